-- The second wall inside tenant schemas: rows of a schema are there only while its own tenant is bound.
-- Schemas that exist get their policies when `migrate_schemas` seals them next: one transaction each, since every table
-- is locked for it.

-- What the application role may do in one tenant schema: rows, nothing else, and only for that tenant.
-- Enabled, not forced: the owner migrates a schema with no tenant bound, and foreign keys are checked as the owner.
-- The setting is read here as tenant_bound() does; that function is younger, from the migrations of `entities`.
CREATE OR REPLACE FUNCTION public.tenant_schema_grant(p_schema name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tenant_id CONSTANT integer := substring(p_schema FROM '^tenant_([0-9]+)$');
    relation name;
BEGIN
    IF tenant_id IS NULL THEN
        RAISE EXCEPTION '% is no schema of a tenant', p_schema USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- Before the grants: no table is ever open without its policy.
    FOR relation IN
        SELECT c.relname
        FROM pg_class AS c
        WHERE c.relnamespace = to_regnamespace(quote_ident(p_schema)) AND c.relkind = 'r' AND NOT (
            c.relrowsecurity
            AND EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid AND p.polname = 'tenant')
        )
        ORDER BY c.oid
    LOOP
        EXECUTE format('ALTER TABLE %I.%I ENABLE ROW LEVEL SECURITY', p_schema, relation);
        EXECUTE format('DROP POLICY IF EXISTS tenant ON %I.%I', p_schema, relation);
        -- In a sub-select it is looked at once a statement, not once a row.
        EXECUTE format(
            $policy$CREATE POLICY tenant ON %I.%I TO atlasco_app
                USING ((SELECT nullif(current_setting('atlasco.tenant_id', true), '')::integer) = %s)$policy$,
            p_schema, relation, tenant_id);
    END LOOP;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO atlasco_app', p_schema);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO atlasco_app', p_schema);
    EXECUTE format('GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA %I TO atlasco_app', p_schema);
    EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON %I.django_migrations FROM atlasco_app', p_schema);
END
$$;
