DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'atlasco_replication') THEN
        DROP POLICY IF EXISTS feed_lock ON alert_rules;
        REVOKE UPDATE (name) ON alert_rules FROM atlasco_replication;
    END IF;
END
$$;
ALTER TABLE alert_states DROP COLUMN last_us, DROP COLUMN is_found;
ALTER TABLE alert_rules DROP COLUMN effective_at;
