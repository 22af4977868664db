DO $$
DECLARE
    published text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'atlasco_replication') THEN
        RETURN;
    END IF;
    FOREACH published IN ARRAY ARRAY['entities', 'entity_attributes', 'attribute_metadata'] LOOP
        EXECUTE format('DROP POLICY IF EXISTS feed ON %I', published);
    END LOOP;
    REVOKE SELECT ON entities, entity_attributes, attribute_metadata, heartbeat, tenants_tenant FROM atlasco_replication;
END
$$;
