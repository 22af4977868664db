DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'atlasco_replication') THEN
        DROP POLICY IF EXISTS feed ON partition_archives;
        REVOKE SELECT ON partition_archives FROM atlasco_replication;
    END IF;
END
$$;
