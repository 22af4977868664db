-- How long the beat before took from being sent to being confirmed: what every write pays, at the least.
ALTER TABLE heartbeat ADD COLUMN took_s double precision;
