DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'atlasco_replication') THEN
        DROP POLICY IF EXISTS feed ON notice_deliveries;
        REVOKE INSERT ON notice_deliveries FROM atlasco_replication;
    END IF;
END
$$;
DROP TABLE alert_firings, alert_states, alert_rules, alert_position, alert_revision;
DROP FUNCTION alert_revision_move();
