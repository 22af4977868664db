ALTER TABLE heartbeat DROP COLUMN took_s;
