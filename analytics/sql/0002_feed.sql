-- The change feed's role reads whole tables for a snapshot, of every tenant: a policy of its own, SELECT only.
-- Where the role could not be created (managed servers keep REPLICATION to themselves), DATABASE_REPLICATION_URL names
-- another one, which its administrator grants the same.
DO $$
DECLARE
    published text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'atlasco_replication') THEN
        RETURN;
    END IF;
    FOREACH published IN ARRAY ARRAY['entities', 'entity_attributes', 'attribute_metadata'] LOOP
        EXECUTE format('CREATE POLICY feed ON %I FOR SELECT TO atlasco_replication USING (true)', published);
        EXECUTE format('GRANT SELECT ON %I TO atlasco_replication', published);
    END LOOP;
    GRANT SELECT ON heartbeat TO atlasco_replication;
    -- verify_stores goes through the tenants.
    GRANT SELECT ON tenants_tenant TO atlasco_replication;
END
$$;
