-- Creating and dropping tenant schemas without being the owner.
-- The application role may call two functions; they check what they are asked for, and run as the owner.
-- Every function pins search_path with pg_temp last: a caller's temporary table must not stand in for ours.

-- What the application role may do in one tenant schema: rows, nothing else.
CREATE FUNCTION public.tenant_schema_grant(p_schema name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO atlasco_app', p_schema);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO atlasco_app', p_schema);
    EXECUTE format('GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA %I TO atlasco_app', p_schema);
    EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON %I.django_migrations FROM atlasco_app', p_schema);
END
$$;

-- What the template holds that the clone below would not copy. Empty is good; `migrate_schemas` refuses anything else.
CREATE FUNCTION public.tenant_template_unclonable() RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(what ORDER BY what), '{}')
    FROM (
        SELECT to_regnamespace('tenant_template')::oid AS oid
    ) AS template,
    LATERAL (
        -- Tables and their indexes are copied; sequences only as identity columns.
        SELECT format('relation %s', c.relname) AS what
        FROM pg_class AS c
        WHERE c.relnamespace = template.oid AND (
            c.relkind NOT IN ('r', 'i', 'S') OR c.reloptions IS NOT NULL OR c.relrowsecurity OR c.relpersistence <> 'p'
            OR c.relkind = 'S' AND NOT EXISTS (
                SELECT FROM pg_depend AS d
                WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'i'
            )
        )
        UNION ALL
        SELECT format('function %s', p.proname) FROM pg_proc AS p WHERE p.pronamespace = template.oid
        UNION ALL
        SELECT format('type %s', t.typname)
        FROM pg_type AS t WHERE t.typnamespace = template.oid AND t.typtype IN ('d', 'e', 'r')
        UNION ALL
        SELECT format('trigger %s', t.tgname)
        FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
        WHERE c.relnamespace = template.oid AND NOT t.tgisinternal
        UNION ALL
        SELECT format('rule %s', r.rulename)
        FROM pg_rewrite AS r JOIN pg_class AS c ON c.oid = r.ev_class
        WHERE c.relnamespace = template.oid AND c.relkind = 'r'
        UNION ALL
        SELECT format('statistics %s', s.stxname) FROM pg_statistic_ext AS s WHERE s.stxnamespace = template.oid
    ) AS found
$$;

-- Clone tenant_template for one tenant: tables, identity columns and their counters, rows, constraints and indexes
-- under their own names, comments, grants. Returns the template's version.
CREATE FUNCTION public.tenant_schema_create(p_tenant_id integer) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    template CONSTANT name := 'tenant_template';
    target CONSTANT name := 'tenant_' || p_tenant_id;
    source oid;
    note text;
    version text;
    relation record;
    statement text;
    statements text[];
BEGIN
    IF NOT EXISTS (SELECT FROM public.tenants_tenant WHERE id = p_tenant_id AND schema_name = target) THEN
        RAISE EXCEPTION 'there is no tenant % to create a schema for', coalesce(p_tenant_id::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- `migrate_schemas` holds this exclusively: nobody clones a half-migrated template.
    PERFORM pg_advisory_xact_lock_shared(hashtext('atlasco.tenant_schemas'));
    source := to_regnamespace(template)::oid;
    note := obj_description(source, 'pg_namespace');
    version := substring(note FROM 'version ([0-9a-f]+)$');
    IF version IS NULL THEN
        RAISE EXCEPTION 'tenant_template is not migrated'
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Run manage.py migrate_schemas.';
    END IF;

    EXECUTE format('CREATE SCHEMA %I', target);
    EXECUTE format('COMMENT ON SCHEMA %I IS %L', target, note);

    FOR relation IN
        SELECT c.relname,
               (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
                FROM pg_attribute AS a
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '') AS columns
        FROM pg_class AS c
        WHERE c.relnamespace = source AND c.relkind = 'r'
        ORDER BY c.oid
    LOOP
        -- Constraints and indexes come below: LIKE would give the indexes other names, and later migrations use names.
        EXECUTE format(
            'CREATE TABLE %1$I.%2$I (LIKE %3$I.%2$I INCLUDING ALL EXCLUDING INDEXES EXCLUDING CONSTRAINTS)',
            target, relation.relname, template);
        EXECUTE format(
            'INSERT INTO %1$I.%2$I (%3$s) OVERRIDING SYSTEM VALUE SELECT %3$s FROM %4$I.%2$I',
            target, relation.relname, relation.columns, template);
    END LOOP;

    FOR relation IN
        SELECT c.relname, format_type(s.seqtypid, NULL) AS type
        FROM pg_class AS c JOIN pg_sequence AS s ON s.seqrelid = c.oid
        WHERE c.relnamespace = source
    LOOP
        IF relation.type <> 'bigint' THEN  -- LIKE makes every sequence a bigint one.
            EXECUTE format('ALTER SEQUENCE %I.%I AS %s', target, relation.relname, relation.type);
        END IF;
        EXECUTE format(
            'SELECT setval(%L, last_value, is_called) FROM %I.%I',
            format('%I.%I', target, relation.relname), template, relation.relname);
    END LOOP;

    -- With the template in the path, definitions come out without a schema; with the target in it, they apply there.
    PERFORM set_config('search_path', 'tenant_template, pg_temp', true);
    SELECT array_agg(
        format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s', target, c.relname, k.conname, pg_get_constraintdef(k.oid))
        ORDER BY k.contype = 'f', k.oid)
    INTO statements
    FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid
    WHERE k.connamespace = source AND k.contype IN ('c', 'f', 'p', 'u', 'x');
    SELECT statements || array_agg(
        regexp_replace(pg_get_indexdef(i.indexrelid), ' ON tenant_template\.', format(' ON %I.', target))
        ORDER BY i.indexrelid)
    INTO statements
    FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE c.relnamespace = source AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = i.indexrelid
                                                  AND k.contype IN ('p', 'u', 'x'));
    PERFORM set_config('search_path', quote_ident(target) || ', pg_temp', true);
    FOREACH statement IN ARRAY statements LOOP
        EXECUTE statement;
    END LOOP;

    PERFORM public.tenant_schema_grant(target);
    RETURN version;
END
$$;

-- Drop one tenant's schema. Only for a tenant that is being deleted, and only a schema that carries our comment.
-- Returns false where there is none (any more).
CREATE FUNCTION public.tenant_schema_drop(p_tenant_id integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    target CONSTANT name := 'tenant_' || p_tenant_id;
BEGIN
    IF NOT EXISTS (
        SELECT FROM public.tenants_tenant WHERE id = p_tenant_id AND schema_name = target AND status = 'deleting'
    ) THEN
        RAISE EXCEPTION 'tenant % is not being deleted', coalesce(p_tenant_id::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF to_regnamespace(quote_ident(target)) IS NULL THEN
        RETURN false;
    END IF;
    IF obj_description(to_regnamespace(quote_ident(target))::oid, 'pg_namespace') NOT LIKE 'Atlasco tenant schema%' THEN
        RAISE EXCEPTION 'schema % was not created by Atlasco', target USING ERRCODE = 'insufficient_privilege';
    END IF;
    EXECUTE format('DROP SCHEMA %I CASCADE', target);
    RETURN true;
END
$$;

-- A new function may be executed by everybody: say who may.
REVOKE ALL ON FUNCTION public.tenant_schema_grant(name) FROM PUBLIC;
REVOKE ALL ON FUNCTION public.tenant_template_unclonable() FROM PUBLIC;
REVOKE ALL ON FUNCTION public.tenant_schema_create(integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION public.tenant_schema_drop(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.tenant_schema_create(integer) TO atlasco_app;
GRANT EXECUTE ON FUNCTION public.tenant_schema_drop(integer) TO atlasco_app;
