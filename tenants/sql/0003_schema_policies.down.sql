-- As it was in 0002_tenant_schemas.sql.
CREATE OR REPLACE FUNCTION public.tenant_schema_grant(p_schema name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO atlasco_app', p_schema);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO atlasco_app', p_schema);
    EXECUTE format('GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA %I TO atlasco_app', p_schema);
    EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON %I.django_migrations FROM atlasco_app', p_schema);
END
$$;

DO $$
DECLARE
    guarded record;
BEGIN
    FOR guarded IN
        SELECT t.schema_name, c.relname
        FROM public.tenants_tenant AS t
        JOIN pg_class AS c ON c.relnamespace = to_regnamespace(quote_ident(t.schema_name))
        WHERE c.relkind = 'r' AND c.relrowsecurity
    LOOP
        EXECUTE format('DROP POLICY IF EXISTS tenant ON %I.%I', guarded.schema_name, guarded.relname);
        EXECUTE format('ALTER TABLE %I.%I DISABLE ROW LEVEL SECURITY', guarded.schema_name, guarded.relname);
    END LOOP;
END
$$;
