-- Whoever loads ClickHouse or compares it with the primary must know which months the primary has given to files.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'atlasco_replication') THEN
        GRANT SELECT ON partition_archives TO atlasco_replication;
        CREATE POLICY feed ON partition_archives FOR SELECT TO atlasco_replication USING (true);
    END IF;
END
$$;
