-- What a state needs to know a value again that is found present, and a rule to know since when it is in force.
ALTER TABLE alert_rules ADD COLUMN effective_at timestamptz NOT NULL DEFAULT now();
UPDATE alert_rules SET effective_at = updated_at;
-- last_us: the last sample's own instant; is_found: that sample was found present, so last_lsn is not its own.
ALTER TABLE alert_states ADD COLUMN last_us bigint NOT NULL DEFAULT 0, ADD COLUMN is_found boolean NOT NULL DEFAULT false;
UPDATE alert_states SET last_us = run_since_us WHERE run_length = 1;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'atlasco_replication') THEN
        RETURN;
    END IF;
    -- The feed locks a rule while it writes what it judged by it, and changes none: a lock needs leave to update.
    GRANT UPDATE (name) ON alert_rules TO atlasco_replication;
    CREATE POLICY feed_lock ON alert_rules FOR UPDATE TO atlasco_replication USING (true) WITH CHECK (false);
END
$$;
