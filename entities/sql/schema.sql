-- The whole schema `public` after every migration, as `manage.py dump_schema` writes it. Never edited by hand.
-- Left out: partitions, which are the same as their parents and come and go.

CREATE SCHEMA public;

COMMENT ON SCHEMA public IS 'standard public schema';

CREATE FUNCTION public.alert_revision_move() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    UPDATE public.alert_revision SET revision = revision + 1;
    RETURN NULL;
END
$$;

CREATE FUNCTION public.archive_attach(p_leaf text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    parent text;
    root text;
    archived partition_archives;
BEGIN
    SELECT * INTO STRICT archived FROM partition_archives WHERE tenant_id = tenant_bound() AND leaf = p_leaf;
    PERFORM pg_logical_emit_message(true, 'atlasco.rows_moved', '{}');
    PERFORM setval('partition_moves', pg_current_xact_id()::text::bigint);
    PERFORM set_config('lock_timeout', '10s', true);
    FOREACH parent IN ARRAY ARRAY['entities', 'entity_attributes'] LOOP
        root := parent || '_tenant_' || archived.tenant_id;
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%s) TO (%s)', root || '_' || p_leaf, root,
                       coalesce(archived.range_from::text, 'MINVALUE'), archived.range_to);
        EXECUTE format('COMMENT ON TABLE %I IS %L', root || '_' || p_leaf,
                       CASE WHEN p_leaf = 'old' THEN 'atlasco: leaf before the first month'
                            ELSE 'atlasco: leaf of ' || left(p_leaf, 4) || '-' || substr(p_leaf, 5, 2) END);
    END LOOP;
END
$$;

CREATE FUNCTION public.archive_detach(p_leaf text, p_entities bigint, p_values bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    parents text[] := ARRAY['entities', 'entity_attributes'];
    parent text;
    expected bigint[] := ARRAY[p_entities, p_values];
    leaf text;
    counted bigint;
    n integer;
BEGIN
    PERFORM pg_logical_emit_message(true, 'atlasco.rows_moved', '{}');
    PERFORM set_config('lock_timeout', '10s', true);
    FOR n IN 1..2 LOOP
        leaf := archive_leaf(parents[n], p_leaf);
        EXECUTE format('LOCK TABLE %I IN SHARE UPDATE EXCLUSIVE MODE', leaf);
        EXECUTE format('SELECT count(*) FROM %I', leaf) INTO counted;
        IF counted IS DISTINCT FROM expected[n] THEN
            RAISE EXCEPTION 'leaf % has % rows, but % were written out', leaf, counted, expected[n];
        END IF;
    END LOOP;
    PERFORM partition_lock(ARRAY(SELECT p || '_tenant_' || tenant_bound() FROM unnest(parents) p)
                           || ARRAY(SELECT archive_leaf(p, p_leaf) FROM unnest(parents) p), 10);
    PERFORM setval('partition_moves', pg_current_xact_id()::text::bigint);
    FOREACH parent IN ARRAY parents LOOP
        leaf := archive_leaf(parent, p_leaf);
        EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', parent || '_tenant_' || tenant_bound(), leaf);
        EXECUTE format('DROP TABLE %I', leaf);
    END LOOP;
END
$$;

CREATE FUNCTION public.archive_leaf(p_parent text, p_leaf text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $_$
DECLARE
    leaf text := p_parent || '_tenant_' || tenant_bound() || '_' || p_leaf;
BEGIN
    IF p_parent NOT IN ('entities', 'entity_attributes') OR p_leaf !~ '^(old|[0-9]{6}(_[0-9]+)?)$' OR leaf IS NULL
       OR coalesce(obj_description(to_regclass(leaf), 'pg_class'), '') NOT LIKE 'atlasco: %' THEN
        RAISE insufficient_privilege USING MESSAGE = format('%s of %s is no leaf that can be archived', p_leaf, p_parent);
    END IF;
    RETURN leaf;
END
$_$;

CREATE FUNCTION public.attribute_name_suspect(name text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN CASE WHEN (name ~* '[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}'::text) THEN 'uuid'::text WHEN (name ~ '(19|20)[0-9]{2}[-_./](0[1-9]|1[0-2])[-_./]([0-2][0-9]|3[01])'::text) THEN 'date'::text WHEN (name ~ '[0-9]{7}'::text) THEN 'digits'::text WHEN (name ~* '(^|[^0-9a-z])(?=[a-f]*[0-9])[0-9a-f]{12,}($|[^0-9a-z])'::text) THEN 'hex'::text ELSE NULL::text END;

CREATE TABLE public.attribute_metadata (
    tenant_id integer NOT NULL,
    attribute_name character varying(255) NOT NULL COLLATE pg_catalog."C",
    value_type character varying(20) NOT NULL COLLATE pg_catalog."C",
    value_types jsonb DEFAULT '{}'::jsonb NOT NULL,
    is_indexed boolean DEFAULT false NOT NULL,
    cardinality_estimate bigint,
    null_rate double precision,
    most_common jsonb DEFAULT '[]'::jsonb NOT NULL,
    histogram double precision[],
    hot_score double precision DEFAULT 0 NOT NULL,
    pending_changes bigint DEFAULT 0 NOT NULL,
    last_analyzed timestamp with time zone,
    first_seen_at timestamp with time zone DEFAULT now() NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    unit character varying(50) DEFAULT ''::character varying NOT NULL,
    status character varying(20) DEFAULT 'active'::character varying NOT NULL,
    is_indexing boolean DEFAULT false NOT NULL,
    value_bytes double precision,
    owner character varying(150) DEFAULT ''::character varying NOT NULL,
    quarantine_reason character varying(20) DEFAULT ''::character varying NOT NULL,
    CONSTRAINT attribute_metadata_status CHECK (((status)::text = ANY ((ARRAY['active'::character varying, 'deprecated'::character varying, 'hidden'::character varying, 'quarantined'::character varying])::text[])))
);

ALTER TABLE ONLY public.attribute_metadata FORCE ROW LEVEL SECURITY;

CREATE TABLE public.tenants_tenant (
    schema_name character varying(63) NOT NULL,
    id integer NOT NULL,
    slug character varying(40) NOT NULL,
    name character varying(200) NOT NULL,
    status character varying(10) NOT NULL,
    placement character varying(10) NOT NULL,
    schema_version text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    status_changed_at timestamp with time zone NOT NULL,
    mfa_required boolean NOT NULL,
    quota_attributes integer,
    quota_entities bigint,
    quota_requests_per_s integer,
    quota_values bigint,
    freshness jsonb NOT NULL,
    CONSTRAINT tenant_schema_named_by_id CHECK (((schema_name)::text = (COALESCE('tenant_'::text, ''::text) || COALESCE((id)::text, ''::text)))),
    CONSTRAINT tenants_tenant_quota_attributes_check CHECK ((quota_attributes >= 0)),
    CONSTRAINT tenants_tenant_quota_entities_check CHECK ((quota_entities >= 0)),
    CONSTRAINT tenants_tenant_quota_requests_per_s_check CHECK ((quota_requests_per_s >= 0)),
    CONSTRAINT tenants_tenant_quota_values_check CHECK ((quota_values >= 0))
);

CREATE FUNCTION public.attribute_names_add(p_tenant_id integer, p_names text[], p_types text[], p_now timestamp with time zone, p_names_max bigint, p_new_names_max bigint) RETURNS SETOF text
    LANGUAGE sql
    SET search_path TO 'public', 'pg_temp'
    BEGIN ATOMIC
 SELECT pg_advisory_xact_lock(hashtext('attribute_names'::text), p_tenant_id) AS pg_advisory_xact_lock;
 WITH fresh AS (
          SELECT n.name,
             n.kind,
             public.attribute_name_suspect(n.name) AS suspect
            FROM UNNEST(attribute_names_add.p_names, attribute_names_add.p_types) n(name, kind)
           WHERE (NOT (EXISTS ( SELECT
                    FROM public.attribute_metadata m
                   WHERE ((m.tenant_id = attribute_names_add.p_tenant_id) AND ((m.attribute_name)::text = n.name)))))
         ), placed AS (
          SELECT f.name,
             f.kind,
             f.suspect,
             row_number() OVER (PARTITION BY (f.suspect IS NULL) ORDER BY (f.name COLLATE "C")) AS place
            FROM fresh f
         ), room AS (
          SELECT (COALESCE((( SELECT t.quota_attributes
                    FROM public.tenants_tenant t
                   WHERE (t.id = attribute_names_add.p_tenant_id)))::bigint, attribute_names_add.p_names_max) - count(*)) AS in_all,
             (attribute_names_add.p_new_names_max - count(*) FILTER (WHERE (m.first_seen_at > (attribute_names_add.p_now - '01:00:00'::interval)))) AS this_hour
            FROM public.attribute_metadata m
           WHERE ((m.tenant_id = attribute_names_add.p_tenant_id) AND ((m.status)::text <> 'quarantined'::text) AND (EXISTS ( SELECT
                    FROM fresh
                   WHERE (fresh.suspect IS NULL))))
         ), named AS (
          INSERT INTO public.attribute_metadata (tenant_id, attribute_name, value_type, first_seen_at, status, quarantine_reason)  SELECT attribute_names_add.p_tenant_id AS p_tenant_id,
                     p.name,
                     p.kind,
                     attribute_names_add.p_now AS p_now,
                         CASE
                             WHEN (r.reason IS NULL) THEN 'active'::text
                             ELSE 'quarantined'::text
                         END AS "case",
                     COALESCE(r.reason, ''::text) AS "coalesce"
                    FROM ((placed p
                      CROSS JOIN room)
                      CROSS JOIN LATERAL ( SELECT COALESCE(p.suspect,
                                 CASE
                                     WHEN (p.place > room.in_all) THEN 'quota'::text
                                     WHEN (p.place > room.this_hour) THEN 'flood'::text
                                     ELSE NULL::text
                                 END) AS "coalesce") r(reason))
                   ORDER BY (p.name COLLATE "C") ON CONFLICT DO NOTHING
           RETURNING attribute_metadata.attribute_name,
             attribute_metadata.status
         )
  SELECT (named.attribute_name)::text AS attribute_name
    FROM named
   WHERE ((named.status)::text = 'quarantined'::text)
   ORDER BY (named.attribute_name)::text;
END;

CREATE FUNCTION public.audit_log_erase(p_tenant_id integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    erased bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM tenants_tenant WHERE id = p_tenant_id AND status = 'deleting') THEN
        RAISE insufficient_privilege USING MESSAGE = format('tenant %s is not being deleted', p_tenant_id);
    END IF;
    DELETE FROM audit_log WHERE tenant_id = p_tenant_id;
    GET DIAGNOSTICS erased = ROW_COUNT;
    RETURN erased;
END
$$;

CREATE FUNCTION public.entity_id_at(instant timestamp with time zone) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (((floor((EXTRACT(epoch FROM instant) * (1000)::numeric)))::bigint - '1704067200000'::bigint) << 22);

CREATE FUNCTION public.entity_id_instant(entity_id bigint) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN to_timestamp((((((entity_id >> 22) + '1704067200000'::bigint))::numeric / 1000.0))::double precision);

CREATE SEQUENCE public.entity_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1000;

CREATE FUNCTION public.entity_id_next() RETURNS bigint
    LANGUAGE sql
    RETURN (public.entity_id_at(clock_timestamp()) | (nextval('public.entity_seq'::regclass) & (4194303)::bigint));

CREATE TABLE public.entities (
    entity_id bigint DEFAULT public.entity_id_next() NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    tenant_id integer NOT NULL,
    entity_type character varying(100) NOT NULL COLLATE pg_catalog."C",
    external_id character varying(512) NOT NULL COLLATE pg_catalog."C",
    attributes jsonb DEFAULT '{}'::jsonb NOT NULL
)
PARTITION BY HASH (tenant_id);

ALTER TABLE ONLY public.entities FORCE ROW LEVEL SECURITY;

CREATE FUNCTION public.entity_write(p_tenant_id integer, p_entity_id bigint, p_entity_type text, p_external_id text, p_attributes jsonb, p_created_at timestamp with time zone, p_at timestamp with time zone, p_now timestamp with time zone, p_versions bigint[], p_is_upsert boolean, p_is_judged boolean, p_may_create boolean, p_names_max bigint, p_new_names_max bigint, OUT outcome text, OUT rules_version bigint, OUT is_new boolean, OUT written public.entities) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    existing_id bigint;
    document jsonb;
    removed text[];
    value_at timestamptz;
    has_changes boolean;
    fresh_names text[];
    fresh_types text[];
BEGIN
    is_new := false;
    PERFORM pg_advisory_xact_lock_shared(hashtext('tenant_move'), p_tenant_id);
    SELECT (SELECT g.version FROM attribute_governance g WHERE g.tenant_id = p_tenant_id) INTO rules_version
    FROM tenants_tenant t
    WHERE t.id = p_tenant_id AND t.status <> 'deleting'
    FOR KEY SHARE;
    IF NOT FOUND THEN
        outcome := 'tenant_busy';
        RETURN;
    END IF;
    IF rules_version IS NOT NULL AND NOT p_is_judged THEN
        SELECT e.* INTO written FROM entities e
        WHERE p_entity_type IS NULL AND e.tenant_id = p_tenant_id AND e.entity_id = p_entity_id;
        outcome := CASE WHEN written.entity_id IS NULL AND p_entity_type IS NULL THEN 'missing' ELSE 'governed' END;
        RETURN;
    END IF;

    IF p_entity_type IS NOT NULL THEN
        IF p_external_id IS NULL THEN
            p_entity_id := entity_id_next();
            p_external_id := p_entity_id::text;
        END IF;
        SELECT k.entity_id INTO existing_id FROM entity_keys k
        WHERE k.tenant_id = p_tenant_id AND k.external_id = p_external_id AND k.entity_type = p_entity_type;
        IF NOT FOUND THEN
            IF NOT p_may_create THEN
                outcome := 'incomplete';
                RETURN;
            END IF;
            -- A key that another transaction is just claiming is waited for.
            INSERT INTO entity_keys AS k (tenant_id, external_id, entity_type, entity_id)
            VALUES (p_tenant_id, p_external_id, p_entity_type, coalesce(p_entity_id, entity_id_next()))
            ON CONFLICT DO NOTHING
            RETURNING k.entity_id INTO p_entity_id;
            is_new := FOUND;
            IF NOT is_new THEN
                SELECT k.entity_id INTO existing_id FROM entity_keys k
                WHERE k.tenant_id = p_tenant_id AND k.external_id = p_external_id AND k.entity_type = p_entity_type;
            END IF;
        END IF;
        IF NOT is_new THEN
            p_entity_id := existing_id;
        END IF;
    END IF;

    IF is_new THEN
        written.tenant_id := p_tenant_id;
        written.entity_id := p_entity_id;
        written.entity_type := p_entity_type;
        written.external_id := p_external_id;
        written.version := 1;
        written.attributes := '{}';
        value_at := coalesce(p_at, p_now);
    ELSE
        SELECT e.* INTO written FROM entities e
        WHERE e.tenant_id = p_tenant_id AND e.entity_id = p_entity_id
        FOR NO KEY UPDATE;
        IF NOT FOUND THEN
            outcome := CASE
                WHEN p_entity_type IS NULL THEN 'missing'
                WHEN EXISTS (
                    SELECT FROM partition_archives a
                    WHERE a.tenant_id = p_tenant_id AND p_entity_id < a.range_to
                      AND p_entity_id >= coalesce(a.range_from, p_entity_id)
                ) THEN 'archived'
                ELSE 'vanished'
            END;
            RETURN;
        END IF;
        IF p_entity_type IS NOT NULL AND NOT p_is_upsert THEN
            outcome := 'exists';
            RETURN;
        END IF;
        IF p_versions IS NOT NULL AND written.version <> ALL (p_versions) THEN
            outcome := 'outdated';
            RETURN;
        END IF;
        value_at := coalesce(p_at, greatest(p_now, written.updated_at));
        -- No value of an entity is newer than the entity: only then may one be newer than what was sent.
        IF p_at < written.updated_at THEN
            SELECT coalesce(jsonb_object_agg(s.key, s.value), '{}') INTO p_attributes
            FROM jsonb_each(p_attributes) s
            WHERE NOT EXISTS (
                SELECT FROM entity_attributes ea
                WHERE ea.tenant_id = p_tenant_id AND ea.entity_id = p_entity_id AND ea.attribute_name = s.key
                  AND ea.updated_at > p_at
            );
        END IF;
    END IF;

    -- A value that did not change is written only to move its `at` forward.
    WITH sent AS MATERIALIZED (
        SELECT s.key, s.value, s.value #>> '{}' AS text, jsonb_typeof(s.value) AS json_type,
               value_instant(s.value) AS instant, written.attributes -> s.key AS stored
        FROM jsonb_each(p_attributes) s
    ), applied AS MATERIALIZED (
        SELECT s.*, CASE WHEN s.instant IS NULL THEN s.json_type ELSE 'timestamp' END AS kind,
               nullif(s.value, 'null') IS DISTINCT FROM s.stored AS changes, m.is_marked
        FROM sent s
        LEFT JOIN LATERAL (
            -- LIMIT keeps it a look-up: a join might read all names of the tenant.
            SELECT m.is_indexed OR m.is_indexing AS is_marked
            FROM attribute_metadata m
            WHERE m.tenant_id = p_tenant_id AND m.attribute_name = s.key
            LIMIT 1
        ) m ON true
        WHERE p_at IS NOT NULL OR nullif(s.value, 'null') IS DISTINCT FROM s.stored
    ), valued AS (
        INSERT INTO entity_attributes AS ea (tenant_id, entity_id, attribute_name, value_type, attribute_value,
                                             numeric_value, instant_value, indexed, created_at, updated_at)
        SELECT p_tenant_id, p_entity_id, a.key, CASE a.kind WHEN 'null' THEN 'removed' ELSE a.kind END, coalesce(a.text, ''),
               CASE WHEN a.kind = 'number' THEN a.value::numeric END, a.instant,
               coalesce(a.is_marked, false) AND a.kind <> 'null' AND octet_length(a.text) <= 1000, value_at, value_at
        FROM applied a
        ORDER BY a.key COLLATE "C"
        ON CONFLICT (tenant_id, entity_id, attribute_name) DO UPDATE
        SET value_type = excluded.value_type, attribute_value = excluded.attribute_value,
            numeric_value = excluded.numeric_value, instant_value = excluded.instant_value,
            indexed = excluded.indexed, updated_at = excluded.updated_at
    ), counted AS (
        INSERT INTO attribute_changes (tenant_id, attribute_name, value_type, entity_delta, value_changes)
        SELECT p_tenant_id, d.key, d.kind, sum(d.entity_delta), sum(d.value_changes)
        FROM (
            SELECT a.key, a.kind, 1 AS entity_delta, 1 AS value_changes FROM applied a WHERE a.changes
            UNION ALL
            -- A removal is a change, too; the change of a value was counted above.
            SELECT a.key, value_kind(a.stored), -1, (a.kind = 'null')::integer
            FROM applied a
            WHERE a.changes AND a.stored IS NOT NULL
        ) d
        WHERE d.kind <> 'null'
        GROUP BY d.key, d.kind
    )
    SELECT jsonb_object_agg(a.key, a.value) FILTER (WHERE a.kind <> 'null'),
           array_agg(a.key) FILTER (WHERE a.kind = 'null'),
           bool_or(a.changes),
           array_agg(a.key) FILTER (WHERE a.kind <> 'null' AND a.is_marked IS NULL),
           array_agg(a.kind) FILTER (WHERE a.kind <> 'null' AND a.is_marked IS NULL)
    INTO document, removed, has_changes, fresh_names, fresh_types
    FROM applied a;

    IF is_new THEN
        INSERT INTO entities (tenant_id, entity_id, entity_type, external_id, created_at, updated_at, attributes)
        VALUES (p_tenant_id, p_entity_id, p_entity_type, p_external_id, coalesce(p_created_at, value_at), value_at,
                coalesce(document, '{}'))
        RETURNING * INTO written;
    ELSIF has_changes OR (has_changes IS NOT NULL AND value_at > written.updated_at)
          OR p_created_at <> written.created_at THEN
        UPDATE entities e
        SET attributes = (written.attributes - coalesce(removed, '{}')) || coalesce(document, '{}'),
            updated_at = CASE WHEN has_changes IS NULL THEN e.updated_at ELSE greatest(written.updated_at, value_at) END,
            created_at = coalesce(p_created_at, written.created_at),
            version = written.version + 1
        WHERE e.tenant_id = p_tenant_id AND e.entity_id = p_entity_id
        RETURNING e.* INTO written;
    END IF;
    IF fresh_names IS NOT NULL THEN
        PERFORM attribute_names_add(p_tenant_id, fresh_names, fresh_types, p_now, p_names_max, p_new_names_max);
    END IF;
    outcome := 'written';
END
$$;

CREATE FUNCTION public.notice_tenants_due(p_now timestamp with time zone) RETURNS SETOF integer
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$ SELECT DISTINCT tenant_id FROM public.notice_deliveries WHERE due_at <= p_now $$;

CREATE FUNCTION public.partition_lock(tables text[], patience_s double precision) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    deadline timestamptz := clock_timestamp() + make_interval(secs => patience_s);
    locked text;
BEGIN
    PERFORM set_config('lock_timeout', '50ms', true);
    LOOP
        BEGIN
            FOREACH locked IN ARRAY tables LOOP
                EXECUTE format('LOCK TABLE ONLY %I IN ACCESS EXCLUSIVE MODE', locked);
            END LOOP;
            EXIT;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            IF clock_timestamp() > deadline THEN
                RAISE;
            END IF;
            PERFORM pg_sleep(0.02 + 0.05 * random());
        END;
    END LOOP;
    PERFORM set_config('lock_timeout', '5s', true);
END
$$;

CREATE FUNCTION public.partition_orphan_drop(p_name text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF p_name NOT IN (SELECT partition_orphans()) OR NOT tenant_partitions_hold(substring(p_name FROM 'tenant_([0-9]+)')::integer) THEN
        RAISE insufficient_privilege USING MESSAGE = format('%s is not an orphan of ours', p_name);
    END IF;
    EXECUTE format('DROP TABLE %I', p_name);
END
$$;

CREATE FUNCTION public.partition_orphans() RETURNS SETOF text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    BEGIN ATOMIC
 SELECT (c.relname)::text AS relname
    FROM pg_class c
   WHERE ((c.relnamespace = ('public'::regnamespace)::oid) AND (c.relkind = ANY (ARRAY['r'::"char", 'p'::"char"])) AND (NOT c.relispartition) AND (c.relname ~ '^(entities|entity_attributes)_tenant_[0-9]+'::text) AND (obj_description(c.oid, 'pg_class'::name) ~~ 'atlasco: %'::text) AND ((NOT (("substring"((c.relname)::text, 'tenant_([0-9]+)'::text))::integer IN ( SELECT tenants_tenant.id
            FROM public.tenants_tenant))) OR (c.relname ~ 'tenant_[0-9]+_'::text)))
   ORDER BY (c.relname COLLATE "C");
END;

CREATE FUNCTION public.partition_tenants() RETURNS TABLE(leaf text, tenant_id integer, entities bigint, bytes bigint)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    BEGIN ATOMIC
 SELECT (c.relname)::text AS relname,
     m.tenant_id,
     ((m.share * GREATEST(c.reltuples, (0)::real)))::bigint AS int8,
     ((m.share * ((pg_total_relation_size((c.oid)::regclass) + pg_total_relation_size((replace((c.relname)::text, 'entities_'::text, 'entity_attributes_'::text))::regclass)))::double precision))::bigint AS int8
    FROM ((pg_class c
      JOIN pg_stats s ON (((s.schemaname = 'public'::name) AND (s.tablename = c.relname) AND (s.attname = 'tenant_id'::name) AND (NOT s.inherited))))
      CROSS JOIN LATERAL UNNEST(((s.most_common_vals)::text)::integer[], s.most_common_freqs) m(tenant_id, share))
   WHERE ((c.relnamespace = ('public'::regnamespace)::oid) AND (c.relname ~ '^entities_p[0-9]{2}_shared$'::text))
   ORDER BY (((m.share * GREATEST(c.reltuples, (0)::real)))::bigint) DESC;
END;

CREATE FUNCTION public.partition_tree() RETURNS TABLE(name text, parent text, is_leaf boolean, bounds text, comment text, bytes bigint, rows_estimate bigint, reads bigint, writes bigint, last_read timestamp with time zone)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    BEGIN ATOMIC
 SELECT (c.relname)::text AS relname,
     (p.relname)::text AS relname,
     (c.relkind = 'r'::"char"),
     pg_get_expr(c.relpartbound, c.oid) AS pg_get_expr,
     obj_description(c.oid, 'pg_class'::name) AS obj_description,
         CASE
             WHEN (c.relkind = 'r'::"char") THEN pg_total_relation_size((c.oid)::regclass)
             ELSE (0)::bigint
         END AS "case",
         CASE
             WHEN (c.relkind = 'r'::"char") THEN (GREATEST(c.reltuples, (s.n_live_tup)::real, (0)::real))::bigint
             ELSE (0)::bigint
         END AS "case",
     COALESCE((s.seq_scan + s.idx_scan), (0)::bigint) AS "coalesce",
     COALESCE(((s.n_tup_ins + s.n_tup_upd) + s.n_tup_del), (0)::bigint) AS "coalesce",
     GREATEST(s.last_seq_scan, s.last_idx_scan) AS "greatest"
    FROM (((pg_class c
      JOIN pg_inherits i ON ((i.inhrelid = c.oid)))
      JOIN pg_class p ON ((p.oid = i.inhparent)))
      LEFT JOIN pg_stat_user_tables s ON ((s.relid = c.oid)))
   WHERE ((c.relnamespace = ('public'::regnamespace)::oid) AND (c.relkind = ANY (ARRAY['r'::"char", 'p'::"char"])) AND (c.relname ~ '^(entities|entity_attributes)_(p[0-9]{2}|tenant_)'::text))
   ORDER BY (c.relname COLLATE "C");
END;

CREATE FUNCTION public.partitions_ahead(p_tenant_id integer, months_ahead integer DEFAULT 3) RETURNS text[]
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $_$
DECLARE
    parents text[] := ARRAY['entities', 'entity_attributes'];
    parent text;
    root text;
    columns text;
    month_start timestamptz;
    month_end timestamptz;
    last_month timestamptz := date_trunc('month', now(), 'UTC') + make_interval(months => months_ahead);
    leaf text;
    made text[] := '{}';
BEGIN
    PERFORM tenant_partitions_check(p_tenant_id);
    IF to_regclass('entities_tenant_' || p_tenant_id) IS NULL OR NOT tenant_partitions_hold(p_tenant_id) THEN
        RETURN made;
    END IF;
    LOOP
        -- `_future` says in its comment where it begins: 'atlasco: leaf from YYYY-MM'.
        month_start := (right(obj_description(('entities_tenant_' || p_tenant_id || '_future')::regclass, 'pg_class'), 7) || '-01')::timestamp AT TIME ZONE 'UTC';
        EXIT WHEN month_start > last_month;
        month_end := (month_start AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
        IF made = '{}' THEN
            PERFORM pg_logical_emit_message(true, 'atlasco.rows_moved', '{}');
            PERFORM pg_advisory_xact_lock(hashtext('tenant_move'), p_tenant_id);
            PERFORM set_config('lock_timeout', '10s', true);
            FOREACH parent IN ARRAY parents LOOP
                EXECUTE format('LOCK TABLE %I IN SHARE UPDATE EXCLUSIVE MODE', parent || '_tenant_' || p_tenant_id);
            END LOOP;
            PERFORM partition_lock(ARRAY['entities_tenant_' || p_tenant_id, 'entity_attributes_tenant_' || p_tenant_id,
                                         'entities_tenant_' || p_tenant_id || '_future', 'entity_attributes_tenant_' || p_tenant_id || '_future'], 10);
            PERFORM setval('partition_moves', pg_current_xact_id()::text::bigint);
        END IF;
        FOREACH parent IN ARRAY parents LOOP
            root := parent || '_tenant_' || p_tenant_id;
            leaf := root || '_' || to_char(month_start AT TIME ZONE 'UTC', 'YYYYMM');
            EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', root, root || '_future');
            PERFORM tenant_leaf_create(root, to_char(month_start AT TIME ZONE 'UTC', 'YYYYMM'), entity_id_at(month_start), entity_id_at(month_end),
                                       'leaf of ' || to_char(month_start AT TIME ZONE 'UTC', 'YYYY-MM'));
            SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns
            FROM pg_attribute
            WHERE attrelid = parent::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
            EXECUTE format('WITH gone AS (DELETE FROM %1$I WHERE entity_id < %2$s RETURNING %3$s) INSERT INTO %4$I (%3$s) SELECT %3$s FROM gone',
                           root || '_future', entity_id_at(month_end), columns, leaf);
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (MAXVALUE)', root, root || '_future', entity_id_at(month_end));
            EXECUTE format('COMMENT ON TABLE %I IS %L', root || '_future', 'atlasco: leaf from ' || to_char(month_end AT TIME ZONE 'UTC', 'YYYY-MM'));
        END LOOP;
        made := made || to_char(month_start AT TIME ZONE 'UTC', 'YYYYMM');
    END LOOP;
    RETURN made;
END
$_$;

CREATE FUNCTION public.promotion_analyze(p_tenant_id integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    PERFORM tenant_partitions_check(p_tenant_id);
    EXECUTE format('ANALYZE %I, %I', 'entities_tenant_' || p_tenant_id, 'entity_attributes_tenant_' || p_tenant_id);
END
$$;

CREATE FUNCTION public.promotion_arm(p_tenant_id integer, p_from bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    leaves text[] := ARRAY['entities_p' || tenant_bucket(p_tenant_id) || '_shared', 'entity_attributes_p' || tenant_bucket(p_tenant_id) || '_shared'];
    leaf text;
BEGIN
    PERFORM tenant_partitions_check(p_tenant_id);
    PERFORM set_config('lock_timeout', '10s', true);
    FOREACH leaf IN ARRAY leaves LOOP
        EXECUTE format('LOCK TABLE %I IN SHARE UPDATE EXCLUSIVE MODE', leaf);
    END LOOP;
    PERFORM partition_lock(leaves, 5);
    FOREACH leaf IN ARRAY leaves LOOP
        EXECUTE format('ALTER TABLE %I DROP CONSTRAINT IF EXISTS %I', leaf, 'promote_' || p_tenant_id);
        EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I CHECK (tenant_id <> %s%s) NOT VALID', leaf, 'promote_' || p_tenant_id,
                       p_tenant_id, ' OR entity_id < ' || p_from);
    END LOOP;
END
$$;

CREATE FUNCTION public.promotion_attach(p_tenant_id integer, p_from bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    bucket text := tenant_bucket(p_tenant_id);
    parent text;
BEGIN
    PERFORM partition_lock(ARRAY['entities_p' || bucket, 'entity_attributes_p' || bucket,
                                 'entities_p' || bucket || '_shared', 'entity_attributes_p' || bucket || '_shared'], 5);
    -- Under the lock: until COMMIT, snapshots of anybody count as outdated.
    PERFORM setval('partition_moves', pg_current_xact_id()::text::bigint);
    FOREACH parent IN ARRAY ARRAY['entities', 'entity_attributes'] LOOP
        IF (SELECT relispartition FROM pg_class WHERE oid = (parent || '_tenant_' || p_tenant_id)::regclass) THEN
            EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', parent || '_p' || bucket, parent || '_tenant_' || p_tenant_id);
        END IF;
        -- A slice that was made for this; it belongs to the sub-tree only now, or rows before its bounds were refused.
        IF to_regclass(parent || '_slice_' || p_tenant_id) IS NOT NULL THEN
            PERFORM promotion_slice_attach(parent, p_tenant_id);
        END IF;
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s, %s) TO (%s, MAXVALUE)',
                       parent || '_p' || bucket, parent || '_tenant_' || p_tenant_id, p_tenant_id,
                       coalesce(p_from::text, 'MINVALUE'), p_tenant_id);
        EXECUTE format('ALTER TABLE %I DROP CONSTRAINT %I', parent || '_p' || bucket || '_shared', 'promote_' || p_tenant_id);
    END LOOP;
END
$$;

CREATE FUNCTION public.promotion_disarm(p_tenant_id integer) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    leaves text[] := ARRAY['entities_p' || tenant_bucket(p_tenant_id) || '_shared', 'entity_attributes_p' || tenant_bucket(p_tenant_id) || '_shared'];
    leaf text;
BEGIN
    IF NOT tenant_partitions_hold(p_tenant_id) THEN
        RETURN false;
    END IF;
    IF EXISTS (SELECT FROM pg_constraint
               WHERE conrelid IN (leaves[1]::regclass, leaves[2]::regclass) AND conname = 'promote_' || p_tenant_id) THEN
        PERFORM partition_lock(leaves, 5);
        FOREACH leaf IN ARRAY leaves LOOP
            EXECUTE format('ALTER TABLE %I DROP CONSTRAINT IF EXISTS %I', leaf, 'promote_' || p_tenant_id);
        END LOOP;
    END IF;
    RETURN true;
END
$$;

CREATE FUNCTION public.promotion_finish(p_tenant_id integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    roots text[] := ARRAY['entities_tenant_' || p_tenant_id, 'entity_attributes_tenant_' || p_tenant_id];
    root text;
    leaf text;
BEGIN
    PERFORM tenant_partitions_check(p_tenant_id);
    PERFORM set_config('lock_timeout', '10s', true);
    FOREACH root IN ARRAY roots LOOP
        EXECUTE format('LOCK TABLE %I IN SHARE UPDATE EXCLUSIVE MODE', root);
    END LOOP;
    PERFORM partition_lock(roots || ARRAY(
        SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent IN (roots[1]::regclass, roots[2]::regclass) ORDER BY c.relname
    ), 10);
    FOREACH root IN ARRAY roots LOOP
        EXECUTE format('ALTER TABLE %I DROP CONSTRAINT IF EXISTS promote_tenant, DROP CONSTRAINT IF EXISTS promote_bucket', root);
        FOR leaf IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = root::regclass LOOP
            EXECUTE format('ALTER TABLE %I DROP CONSTRAINT IF EXISTS promote_range', leaf);
        END LOOP;
    END LOOP;
END
$$;

CREATE FUNCTION public.promotion_move(p_tenant_id integer, p_begins bigint, p_is_last boolean, p_number integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $_$
DECLARE
    shared text;
    parent text;
    slice text;
    columns text;
    definition text;
    rows_moved bigint := 0;
    rows_here bigint;
BEGIN
    PERFORM tenant_partitions_check(p_tenant_id);
    -- First of all: the change feed leaves out what this transaction does.
    PERFORM pg_logical_emit_message(true, 'atlasco.rows_moved', '{}');
    PERFORM set_config('lock_timeout', '10s', true);
    FOREACH parent IN ARRAY ARRAY['entities', 'entity_attributes'] LOOP
        -- Keeps a vacuum of the sub-tree from standing in the way later.
        EXECUTE format('LOCK TABLE %I IN SHARE UPDATE EXCLUSIVE MODE', parent || '_tenant_' || p_tenant_id);
        shared := parent || '_p' || tenant_bucket(p_tenant_id) || '_shared';
        slice := parent || '_slice_' || p_tenant_id;
        SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns
        FROM pg_attribute
        WHERE attrelid = parent::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL EXCLUDING INDEXES)', slice, parent || '_tenant_' || p_tenant_id);
        EXECUTE format('ALTER TABLE %I ADD CONSTRAINT promote_range CHECK (entity_id >= %s AND entity_id < %s)', slice, p_begins,
                       promotion_upper(parent, p_tenant_id));
        EXECUTE format('ALTER TABLE %I SET (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02)', slice);
        EXECUTE format('COMMENT ON TABLE %I IS %L', slice,
                       'atlasco: slice ' || p_number || ' of ' || to_char(entity_id_instant(p_begins) AT TIME ZONE 'UTC', 'YYYY-MM'));
        EXECUTE format(
            'WITH gone AS (DELETE FROM %1$I WHERE tenant_id = %2$s AND entity_id >= %3$s RETURNING %4$s) INSERT INTO %5$I (%4$s) SELECT %4$s FROM gone',
            shared, p_tenant_id, p_begins, columns, slice
        );
        GET DIAGNOSTICS rows_here = ROW_COUNT;
        rows_moved := rows_moved + rows_here;
        -- Indexes afterwards, sorted: a third of the time.
        FOR definition IN
            SELECT coalesce(
                       (SELECT format('ALTER TABLE %I ADD %s', slice, pg_get_constraintdef(k.oid)) FROM pg_constraint k
                        WHERE k.conindid = x.indexrelid AND k.contype IN ('p', 'u') AND k.conrelid = x.indrelid),
                       regexp_replace(pg_get_indexdef(x.indexrelid), ' INDEX \S+ ON (ONLY )?\S+ ', format(' INDEX ON %I ', slice))
                   )
            FROM pg_index x
            WHERE x.indrelid = (parent || '_tenant_' || p_tenant_id)::regclass
        LOOP
            EXECUTE definition;
        END LOOP;
        EXECUTE format('ALTER TABLE %I VALIDATE CONSTRAINT %I', shared, 'promote_' || p_tenant_id);
    END LOOP;
    PERFORM promotion_attach(p_tenant_id, CASE WHEN NOT p_is_last THEN p_begins END);
    IF p_is_last THEN
        FOREACH parent IN ARRAY ARRAY['entities', 'entity_attributes'] LOOP
            PERFORM tenant_leaf_create(parent || '_tenant_' || p_tenant_id, 'old', NULL, p_begins, 'leaf before '
                                       || to_char(entity_id_instant(p_begins) AT TIME ZONE 'UTC', 'YYYY-MM'));
        END LOOP;
    END IF;
    RETURN rows_moved;
END
$_$;

CREATE FUNCTION public.promotion_open(p_tenant_id integer, p_boundary bigint, months_ahead integer DEFAULT 3) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    parents text[] := ARRAY['entities', 'entity_attributes'];
    parent text;
    branch text;
    root text;
    lower bigint;
    month_start timestamptz;
    month_end timestamptz;
BEGIN
    PERFORM tenant_partitions_check(p_tenant_id);
    FOREACH parent IN ARRAY parents LOOP
        branch := parent || '_p' || tenant_bucket(p_tenant_id);
        root := parent || '_tenant_' || p_tenant_id;
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL) PARTITION BY RANGE (entity_id)', root, parent);
        EXECUTE format('COMMENT ON TABLE %I IS %L', root, 'atlasco: sub-tree of tenant ' || p_tenant_id);
        -- These spare ATTACH the reading of rows, which would lock everybody out meanwhile.
        EXECUTE format('ALTER TABLE %I ADD CONSTRAINT promote_tenant CHECK (tenant_id = %s)', root, p_tenant_id);
        EXECUTE format('ALTER TABLE %I ADD CONSTRAINT promote_bucket CHECK (%s)', root, pg_get_partition_constraintdef(branch::regclass));
        lower := p_boundary;
        month_start := date_trunc('month', entity_id_instant(p_boundary), 'UTC');
        FOR ordinal IN 0..months_ahead LOOP
            month_end := (month_start AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
            PERFORM tenant_leaf_create(root, to_char(month_start AT TIME ZONE 'UTC', 'YYYYMM'), lower, entity_id_at(month_end),
                                       'leaf of ' || to_char(month_start AT TIME ZONE 'UTC', 'YYYY-MM'));
            lower := entity_id_at(month_end);
            month_start := month_end;
        END LOOP;
        PERFORM tenant_leaf_create(root, 'future', lower, NULL, 'leaf from ' || to_char(month_start AT TIME ZONE 'UTC', 'YYYY-MM'));
        EXECUTE format('ALTER TABLE %I VALIDATE CONSTRAINT %I', branch || '_shared', 'promote_' || p_tenant_id);
    END LOOP;
    PERFORM promotion_attach(p_tenant_id, p_boundary);
END
$$;

CREATE FUNCTION public.promotion_slice(p_tenant_id integer, p_rows integer, OUT begins bigint, OUT is_last boolean) RETURNS record
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    leaves text[] := ARRAY['entities_p' || tenant_bucket(p_tenant_id) || '_shared', 'entity_attributes_p' || tenant_bucket(p_tenant_id) || '_shared'];
    leaf text;
    newest bigint;
    found_id bigint;
BEGIN
    EXECUTE format('SELECT max(entity_id) FROM %I WHERE tenant_id = %s', leaves[1], p_tenant_id) INTO newest;
    -- A tenant that has nothing left: one empty slice ends its way. It lies before the sub-tree, which may have been
    -- attached in another month than this.
    newest := least(coalesce(newest, entity_id_at(clock_timestamp())),
                    promotion_upper('entities', p_tenant_id) - 1);
    begins := entity_id_at(date_trunc('month', entity_id_instant(newest), 'UTC'));
    FOREACH leaf IN ARRAY leaves LOOP
        EXECUTE format('SELECT entity_id FROM %I WHERE tenant_id = %s ORDER BY entity_id DESC OFFSET %s LIMIT 1', leaf, p_tenant_id, p_rows)
            INTO found_id;
        -- Whole entities: one that is larger than a slice is a slice.
        begins := least(newest, greatest(begins, found_id + 1));
    END LOOP;
    EXECUTE format('SELECT NOT EXISTS (SELECT FROM %I WHERE tenant_id = %s AND entity_id < %s)', leaves[1], p_tenant_id, begins)
        INTO is_last;
END
$$;

CREATE FUNCTION public.promotion_slice_attach(p_parent text, p_tenant_id integer) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    slice text := p_parent || '_slice_' || p_tenant_id;
    root text := p_parent || '_tenant_' || p_tenant_id;
    remark text[] := regexp_match(obj_description(slice::regclass, 'pg_class'), 'slice (\d+) of (\d{4})-(\d{2})');
    bounds text[] := regexp_match(pg_get_constraintdef((SELECT oid FROM pg_constraint WHERE conrelid = slice::regclass AND conname = 'promote_range')),
                                  'entity_id >= ''?(\d+).*entity_id < ''?(\d+)');
    leaf text := root || '_' || remark[2] || remark[3] || '_' || remark[1];
BEGIN
    EXECUTE format('ALTER TABLE %I RENAME TO %I', slice, leaf);
    EXECUTE format('COMMENT ON TABLE %I IS %L', leaf, 'atlasco: leaf of ' || remark[2] || '-' || remark[3]);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', root, leaf, bounds[1], bounds[2]);
END
$$;

CREATE FUNCTION public.promotion_upper(p_parent text, p_tenant_id integer) RETURNS bigint
    LANGUAGE sql STABLE
    SET search_path TO 'public', 'pg_temp'
    RETURN (SELECT ("substring"(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''?\d+''?, ''?(\d+)''?\)'::text))::bigint AS "substring" FROM pg_class c WHERE (c.oid = ((((promotion_upper.p_parent || '_tenant_'::text) || promotion_upper.p_tenant_id))::regclass)::oid));

CREATE SEQUENCE public.partition_moves
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE FUNCTION public.snapshot_is_whole() RETURNS boolean
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    RETURN (SELECT (pg_visible_in_snapshot(((partition_moves.last_value)::text)::xid8, pg_current_snapshot()) OR COALESCE((pg_xact_status(((partition_moves.last_value)::text)::xid8) = 'aborted'::text), true)) FROM public.partition_moves);

CREATE FUNCTION public.tenant_bound() RETURNS integer
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (NULLIF(current_setting('atlasco.tenant_id'::text, true), ''::text))::integer;

CREATE FUNCTION public.tenant_bucket(p_tenant_id integer) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'public', 'pg_temp'
    RETURN (SELECT lpad((g.g)::text, 2, '0'::text) AS lpad FROM generate_series(0, 15) g(g) WHERE satisfies_hash_partition(('public.entities'::regclass)::oid, 16, g.g, tenant_bucket.p_tenant_id));

CREATE FUNCTION public.tenant_dedicate(p_tenant_id integer, months_ahead integer DEFAULT 3) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    parent text;
    bucket integer;
    root text;
    month_start timestamptz;
    month_end timestamptz;
    leaf text;
    ordinal integer;
BEGIN
    IF NOT EXISTS (SELECT FROM tenants_tenant WHERE id = p_tenant_id) THEN
        RAISE insufficient_privilege USING MESSAGE = format('there is no tenant %s', p_tenant_id);
    END IF;
    FOREACH parent IN ARRAY ARRAY['entities', 'entity_attributes'] LOOP
        SELECT g INTO STRICT bucket FROM generate_series(0, 15) g
        WHERE satisfies_hash_partition(parent::regclass, 16, g, p_tenant_id);
        root := parent || '_tenant_' || p_tenant_id;
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%s, MINVALUE) TO (%s, MAXVALUE) PARTITION BY RANGE (entity_id)',
                       root, parent || '_p' || lpad(bucket::text, 2, '0'), p_tenant_id, p_tenant_id);
        month_start := date_trunc('month', now(), 'UTC');
        leaf := root || '_old';
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (MINVALUE) TO (%s)', leaf, root, entity_id_at(month_start));
        EXECUTE format('COMMENT ON TABLE %I IS %L', leaf, 'atlasco: leaf before ' || to_char(month_start AT TIME ZONE 'UTC', 'YYYY-MM'));
        FOR ordinal IN 0..months_ahead LOOP
            month_end := month_start + interval '1 month';
            leaf := root || '_' || to_char(month_start AT TIME ZONE 'UTC', 'YYYYMM');
            EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%s) TO (%s)',
                           leaf, root, entity_id_at(month_start), entity_id_at(month_end));
            EXECUTE format('COMMENT ON TABLE %I IS %L', leaf, 'atlasco: leaf of ' || to_char(month_start AT TIME ZONE 'UTC', 'YYYY-MM'));
            month_start := month_end;
        END LOOP;
        leaf := root || '_future';
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%s) TO (MAXVALUE)', leaf, root, entity_id_at(month_start));
        EXECUTE format('COMMENT ON TABLE %I IS %L', leaf, 'atlasco: leaf from ' || to_char(month_start AT TIME ZONE 'UTC', 'YYYY-MM'));
    END LOOP;
END
$$;

CREATE FUNCTION public.tenant_leaf_create(root text, leaf text, lower bigint, upper bigint, remark text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%s) TO (%s)', root || '_' || leaf, root,
                   coalesce(lower::text, 'MINVALUE'), coalesce(upper::text, 'MAXVALUE'));
    EXECUTE format('ALTER TABLE %I SET (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02)', root || '_' || leaf);
    IF lower IS NOT NULL THEN
        EXECUTE format('ALTER TABLE %I ADD CONSTRAINT promote_range CHECK (entity_id >= %s)', root || '_' || leaf, lower);
    END IF;
    EXECUTE format('COMMENT ON TABLE %I IS %L', root || '_' || leaf, 'atlasco: ' || remark);
END
$$;

CREATE FUNCTION public.tenant_partitions_check(p_tenant_id integer) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM tenants_tenant WHERE id = p_tenant_id AND status <> 'deleting') THEN
        RAISE insufficient_privilege USING MESSAGE = format('there is no tenant %s, or it is being deleted', p_tenant_id);
    END IF;
END
$$;

CREATE FUNCTION public.tenant_partitions_drop(p_tenant_id integer) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    parent text;
    root text;
    found_one boolean := false;
BEGIN
    IF NOT EXISTS (SELECT FROM tenants_tenant WHERE id = p_tenant_id AND status = 'deleting') THEN
        RAISE insufficient_privilege USING MESSAGE = format('tenant %s is not being deleted', p_tenant_id);
    END IF;
    PERFORM promotion_disarm(p_tenant_id);
    FOREACH parent IN ARRAY ARRAY['entities', 'entity_attributes'] LOOP
        root := parent || '_tenant_' || p_tenant_id;
        IF to_regclass(root) IS NOT NULL THEN
            EXECUTE format('DROP TABLE %I', root);
            found_one := true;
        END IF;
    END LOOP;
    RETURN found_one;
END
$$;

CREATE FUNCTION public.tenant_partitions_hold(p_tenant_id integer) RETURNS boolean
    LANGUAGE sql
    RETURN pg_try_advisory_xact_lock(hashtext('tenant_promote'::text), p_tenant_id);

CREATE FUNCTION public.tenant_schema_create(p_tenant_id integer) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
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
$_$;

CREATE FUNCTION public.tenant_schema_drop(p_tenant_id integer) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.tenant_schema_grant(p_schema name) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
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
$_$;

CREATE FUNCTION public.tenant_template_unclonable() RETURNS text[]
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.text_instant(value text) RETURNS timestamp with time zone
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    AS $_$
DECLARE
    shape text := translate(value, '123456789', '000000000');
    zone text := substr(shape, 20);
BEGIN
    IF zone LIKE '.0%' AND length(zone) <= 16 THEN
        zone := ltrim(substr(zone, 2), '0');
    END IF;
    IF left(shape, 19) = '0000-00-00T00:00:00' AND zone IN ('Z', '+00:00', '-00:00') THEN
        IF substr(value, 12, 2) >= '24' OR substr(value, 15, 2) >= '60' OR substr(value, 18, 2) >= '60'
           OR zone <> 'Z' AND (right(value, 5) >= '16' OR right(value, 2) >= '60') THEN
            RETURN NULL;
        END IF;
    ELSIF value ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.,][0-9]{1,100})?(Z|[+-](0[0-9]|1[0-5])(:?[0-5][0-9])?)$' THEN
        value := replace(value, ',', '.');
    ELSE
        RETURN NULL;
    END IF;
    IF NOT pg_input_is_valid(value, 'timestamptz') THEN  -- 30 February, year 0.
        RETURN NULL;
    END IF;
    RETURN value::timestamptz;
END
$_$;

CREATE FUNCTION public.value_instant(value jsonb) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN ((jsonb_typeof(value) = 'string'::text) AND ((value #>> '{}'::text[]) ~~ '____-__-__T%'::text)) THEN public.text_instant((value #>> '{}'::text[])) ELSE NULL::timestamp with time zone END;

CREATE FUNCTION public.value_kind(value jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN (public.value_instant(value) IS NOT NULL) THEN 'timestamp'::text ELSE jsonb_typeof(value) END;

CREATE TABLE public.account_emailaddress (
    id integer NOT NULL,
    email character varying(254) NOT NULL,
    verified boolean NOT NULL,
    "primary" boolean NOT NULL,
    user_id bigint NOT NULL
);

ALTER TABLE public.account_emailaddress ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.account_emailaddress_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.account_emailconfirmation (
    id integer NOT NULL,
    created timestamp with time zone NOT NULL,
    sent timestamp with time zone,
    key character varying(64) NOT NULL,
    email_address_id integer NOT NULL
);

ALTER TABLE public.account_emailconfirmation ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.account_emailconfirmation_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.alert_firings (
    firing_id bigint NOT NULL,
    tenant_id integer NOT NULL,
    rule_id bigint NOT NULL,
    entity_id bigint NOT NULL,
    entity_type character varying(100) NOT NULL COLLATE pg_catalog."C",
    external_id character varying(512) NOT NULL COLLATE pg_catalog."C",
    fired_lsn bigint NOT NULL,
    fired_us bigint NOT NULL,
    value double precision,
    noticed_at timestamp with time zone NOT NULL,
    cleared_us bigint,
    cleared_value double precision,
    acknowledged_at timestamp with time zone,
    acknowledged_by text DEFAULT ''::text NOT NULL
);

ALTER TABLE ONLY public.alert_firings FORCE ROW LEVEL SECURITY;

ALTER TABLE public.alert_firings ALTER COLUMN firing_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.alert_firings_firing_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.alert_position (
    is_only boolean DEFAULT true NOT NULL,
    cluster text NOT NULL,
    lsn bigint NOT NULL,
    heartbeat_seq bigint NOT NULL,
    heartbeat_ts_us bigint NOT NULL,
    heartbeat_lsn bigint NOT NULL,
    CONSTRAINT alert_position_is_only_check CHECK (is_only)
);

CREATE TABLE public.alert_revision (
    is_only boolean DEFAULT true NOT NULL,
    revision bigint NOT NULL,
    CONSTRAINT alert_revision_is_only_check CHECK (is_only)
);

CREATE TABLE public.alert_rules (
    rule_id bigint NOT NULL,
    tenant_id integer NOT NULL,
    name character varying(200) NOT NULL,
    attribute_name character varying(255) NOT NULL COLLATE pg_catalog."C",
    entity_type character varying(100) DEFAULT ''::character varying NOT NULL COLLATE pg_catalog."C",
    external_id character varying(512) DEFAULT ''::character varying NOT NULL COLLATE pg_catalog."C",
    operator text NOT NULL,
    threshold double precision NOT NULL,
    clear_threshold double precision,
    for_samples integer DEFAULT 1 NOT NULL,
    for_seconds integer DEFAULT 0 NOT NULL,
    is_enabled boolean DEFAULT true NOT NULL,
    webhook_url text DEFAULT ''::text NOT NULL,
    webhook_nonce text DEFAULT ''::text NOT NULL,
    emails text[] DEFAULT '{}'::text[] NOT NULL,
    effective_lsn bigint NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    effective_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT alert_rules_for_samples_check CHECK (((for_samples >= 1) AND (for_samples <= 10000))),
    CONSTRAINT alert_rules_for_seconds_check CHECK (((for_seconds >= 0) AND (for_seconds <= 31536000))),
    CONSTRAINT alert_rules_operator_check CHECK (((operator = ANY (ARRAY['gt'::text, 'ge'::text, 'lt'::text, 'le'::text, 'eq'::text, 'ne'::text, 'stale'::text])) AND ((operator <> 'stale'::text) OR (for_seconds > 0))))
);

ALTER TABLE ONLY public.alert_rules FORCE ROW LEVEL SECURITY;

ALTER TABLE public.alert_rules ALTER COLUMN rule_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.alert_rules_rule_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.alert_states (
    rule_id bigint NOT NULL,
    entity_id bigint NOT NULL,
    tenant_id integer NOT NULL,
    run_length integer NOT NULL,
    run_since_us bigint NOT NULL,
    firing_lsn bigint,
    last_lsn bigint NOT NULL,
    due_us bigint DEFAULT 0 NOT NULL,
    last_value double precision,
    last_us bigint DEFAULT 0 NOT NULL,
    is_found boolean DEFAULT false NOT NULL
);

ALTER TABLE ONLY public.alert_states FORCE ROW LEVEL SECURITY;

CREATE TABLE public.attribute_aliases (
    tenant_id integer NOT NULL,
    alias character varying(255) NOT NULL COLLATE pg_catalog."C",
    attribute_name character varying(255) NOT NULL COLLATE pg_catalog."C",
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by text DEFAULT ''::text NOT NULL,
    CONSTRAINT attribute_aliases_other CHECK (((alias)::text <> (attribute_name)::text))
);

ALTER TABLE ONLY public.attribute_aliases FORCE ROW LEVEL SECURITY;

CREATE TABLE public.attribute_changes (
    change_id bigint NOT NULL,
    tenant_id integer NOT NULL,
    attribute_name character varying(255) NOT NULL COLLATE pg_catalog."C",
    value_type character varying(20) NOT NULL COLLATE pg_catalog."C",
    entity_delta bigint NOT NULL,
    value_changes bigint NOT NULL
);

ALTER TABLE ONLY public.attribute_changes FORCE ROW LEVEL SECURITY;

ALTER TABLE public.attribute_changes ALTER COLUMN change_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.attribute_changes_change_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.attribute_governance (
    tenant_id integer NOT NULL,
    version bigint NOT NULL
);

ALTER TABLE ONLY public.attribute_governance FORCE ROW LEVEL SECURITY;

CREATE TABLE public.attribute_index_jobs (
    tenant_id integer NOT NULL,
    attribute_name character varying(255) NOT NULL COLLATE pg_catalog."C",
    action character varying(10) NOT NULL,
    status character varying(10) DEFAULT 'queued'::character varying NOT NULL,
    after_id bigint DEFAULT '-9223372036854775808'::bigint NOT NULL,
    barrier xid8,
    entities_done bigint DEFAULT 0 NOT NULL,
    values_done bigint DEFAULT 0 NOT NULL,
    entities_total bigint DEFAULT 0 NOT NULL,
    work_ms double precision DEFAULT 0 NOT NULL,
    benefit_ms double precision,
    reason text DEFAULT ''::text NOT NULL,
    requested_by text DEFAULT ''::text NOT NULL,
    detail text DEFAULT ''::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    CONSTRAINT attribute_index_jobs_action CHECK (((action)::text = ANY ((ARRAY['build'::character varying, 'drop'::character varying])::text[]))),
    CONSTRAINT attribute_index_jobs_status CHECK (((status)::text = ANY ((ARRAY['queued'::character varying, 'running'::character varying, 'done'::character varying, 'cancelled'::character varying, 'failed'::character varying])::text[])))
);

ALTER TABLE ONLY public.attribute_index_jobs FORCE ROW LEVEL SECURITY;

CREATE TABLE public.attribute_job_changes (
    tenant_id integer NOT NULL,
    job_id uuid NOT NULL,
    entity_id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    old_value jsonb NOT NULL,
    replaced jsonb
);

ALTER TABLE ONLY public.attribute_job_changes FORCE ROW LEVEL SECURITY;

CREATE TABLE public.attribute_jobs (
    job_id uuid NOT NULL,
    tenant_id integer NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    kind character varying(20) NOT NULL,
    status character varying(20) DEFAULT 'queued'::character varying NOT NULL,
    attribute_name character varying(255) DEFAULT ''::character varying NOT NULL COLLATE pg_catalog."C",
    target character varying(255) DEFAULT ''::character varying NOT NULL COLLATE pg_catalog."C",
    options jsonb DEFAULT '{}'::jsonb NOT NULL,
    entities_total bigint DEFAULT 0 NOT NULL,
    entities_done bigint DEFAULT 0 NOT NULL,
    after_entity_id bigint DEFAULT 0 NOT NULL,
    changed bigint DEFAULT 0 NOT NULL,
    result jsonb DEFAULT '{}'::jsonb NOT NULL,
    detail text DEFAULT ''::text NOT NULL,
    created_by text DEFAULT ''::text NOT NULL,
    attempts smallint DEFAULT 0 NOT NULL,
    CONSTRAINT attribute_jobs_kind CHECK (((kind)::text = ANY ((ARRAY['rule_check'::character varying, 'rename'::character varying, 'drop'::character varying, 'undo'::character varying, 'similar'::character varying])::text[]))),
    CONSTRAINT attribute_jobs_status CHECK (((status)::text = ANY ((ARRAY['queued'::character varying, 'running'::character varying, 'done'::character varying, 'failed'::character varying, 'cancelled'::character varying])::text[])))
);

ALTER TABLE ONLY public.attribute_jobs FORCE ROW LEVEL SECURITY;

CREATE TABLE public.attribute_rules (
    tenant_id integer NOT NULL,
    attribute_name character varying(255) NOT NULL COLLATE pg_catalog."C",
    mode character varying(10) DEFAULT 'off'::character varying NOT NULL,
    conditions jsonb NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by text DEFAULT ''::text NOT NULL,
    CONSTRAINT attribute_rules_mode CHECK (((mode)::text = ANY ((ARRAY['off'::character varying, 'warn'::character varying, 'enforce'::character varying])::text[])))
);

ALTER TABLE ONLY public.attribute_rules FORCE ROW LEVEL SECURITY;

CREATE TABLE public.attribute_usage (
    tenant_id integer NOT NULL,
    attribute_name character varying(255) NOT NULL COLLATE pg_catalog."C",
    searches double precision NOT NULL,
    search_ms double precision NOT NULL,
    last_used_at timestamp with time zone NOT NULL
);

ALTER TABLE ONLY public.attribute_usage FORCE ROW LEVEL SECURITY;

CREATE TABLE public.audit_log (
    audit_id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    tenant_id integer DEFAULT COALESCE((NULLIF(current_setting('atlasco.tenant_id'::text, true), ''::text))::integer, 0) NOT NULL,
    actor_kind character varying(20) NOT NULL,
    actor character varying(200) NOT NULL COLLATE pg_catalog."C",
    action character varying(60) NOT NULL COLLATE pg_catalog."C",
    subject text NOT NULL COLLATE pg_catalog."C",
    before jsonb,
    after jsonb,
    via character varying(10) NOT NULL,
    ip inet,
    request_id character varying(64) DEFAULT ''::character varying NOT NULL,
    CONSTRAINT audit_log_subject_length CHECK ((length(subject) <= 1000))
);

ALTER TABLE public.audit_log ALTER COLUMN audit_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.audit_log_audit_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.auth_group (
    id integer NOT NULL,
    name character varying(150) NOT NULL
);

ALTER TABLE public.auth_group ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.auth_group_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.auth_group_permissions (
    id bigint NOT NULL,
    group_id integer NOT NULL,
    permission_id integer NOT NULL
);

ALTER TABLE public.auth_group_permissions ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.auth_group_permissions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.auth_permission (
    id integer NOT NULL,
    name character varying(255) NOT NULL,
    content_type_id integer NOT NULL,
    codename character varying(100) NOT NULL
);

ALTER TABLE public.auth_permission ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.auth_permission_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.axes_accessattempt (
    id integer NOT NULL,
    user_agent character varying(255) NOT NULL,
    ip_address inet,
    username character varying(255),
    http_accept character varying(1025) NOT NULL,
    path_info character varying(255) NOT NULL,
    attempt_time timestamp with time zone NOT NULL,
    get_data text NOT NULL,
    post_data text NOT NULL,
    failures_since_start integer NOT NULL,
    CONSTRAINT axes_accessattempt_failures_since_start_check CHECK ((failures_since_start >= 0))
);

ALTER TABLE public.axes_accessattempt ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.axes_accessattempt_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.axes_accessattemptexpiration (
    access_attempt_id integer NOT NULL,
    expires_at timestamp with time zone NOT NULL
);

CREATE TABLE public.axes_accessfailurelog (
    id integer NOT NULL,
    user_agent character varying(255) NOT NULL,
    ip_address inet,
    username character varying(255),
    http_accept character varying(1025) NOT NULL,
    path_info character varying(255) NOT NULL,
    attempt_time timestamp with time zone NOT NULL,
    locked_out boolean NOT NULL
);

ALTER TABLE public.axes_accessfailurelog ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.axes_accessfailurelog_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.axes_accesslog (
    id integer NOT NULL,
    user_agent character varying(255) NOT NULL,
    ip_address inet,
    username character varying(255),
    http_accept character varying(1025) NOT NULL,
    path_info character varying(255) NOT NULL,
    attempt_time timestamp with time zone NOT NULL,
    logout_time timestamp with time zone,
    session_hash character varying(64) NOT NULL
);

ALTER TABLE public.axes_accesslog ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.axes_accesslog_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.bulk_edit_changes (
    tenant_id integer NOT NULL,
    edit_id uuid NOT NULL,
    entity_id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    before jsonb NOT NULL
);

ALTER TABLE ONLY public.bulk_edit_changes FORCE ROW LEVEL SECURITY;

CREATE TABLE public.bulk_edits (
    edit_id uuid NOT NULL,
    tenant_id integer NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    status character varying(20) DEFAULT 'queued'::character varying NOT NULL,
    undo_of uuid,
    query jsonb,
    entity_ids bigint[] DEFAULT '{}'::bigint[] NOT NULL,
    changes jsonb DEFAULT '{}'::jsonb NOT NULL,
    entities_total bigint DEFAULT 0 NOT NULL,
    entities_done bigint DEFAULT 0 NOT NULL,
    entities_changed bigint DEFAULT 0 NOT NULL,
    after_entity_id bigint DEFAULT '-9223372036854775808'::bigint NOT NULL,
    conflicts jsonb DEFAULT '[]'::jsonb NOT NULL,
    conflicts_count bigint DEFAULT 0 NOT NULL,
    detail text DEFAULT ''::text NOT NULL,
    created_by text DEFAULT ''::text NOT NULL,
    attempts smallint DEFAULT 0 NOT NULL,
    CONSTRAINT bulk_edits_status CHECK (((status)::text = ANY ((ARRAY['queued'::character varying, 'running'::character varying, 'done'::character varying, 'failed'::character varying, 'cancelled'::character varying])::text[])))
);

ALTER TABLE ONLY public.bulk_edits FORCE ROW LEVEL SECURITY;

CREATE TABLE public.demo_airlines (
    carrier character varying(2) NOT NULL COLLATE pg_catalog."C",
    tenant_id integer NOT NULL,
    loaded_at timestamp with time zone
);

CREATE TABLE public.demo_flights (
    scheduled_at timestamp with time zone NOT NULL,
    departed_at timestamp with time zone,
    "position" integer NOT NULL,
    flight integer NOT NULL,
    distance integer NOT NULL,
    departure_delay_min integer,
    arrival_delay_min integer,
    air_time_min integer,
    flown_flights integer NOT NULL,
    flown_min integer NOT NULL,
    year_flights integer NOT NULL,
    year_min integer NOT NULL,
    carrier character varying(2) NOT NULL COLLATE pg_catalog."C",
    origin character varying(3) NOT NULL COLLATE pg_catalog."C",
    destination character varying(3) NOT NULL COLLATE pg_catalog."C",
    tailnum character varying(6) COLLATE pg_catalog."C"
);

CREATE TABLE public.demo_replay (
    replayed_at timestamp with time zone,
    rate double precision,
    flights integer NOT NULL,
    "position" integer DEFAULT 0 NOT NULL,
    years integer DEFAULT 0 NOT NULL,
    only_row boolean DEFAULT true NOT NULL,
    CONSTRAINT demo_replay_only_row_check CHECK (only_row)
);

CREATE TABLE public.django_admin_log (
    id integer NOT NULL,
    action_time timestamp with time zone NOT NULL,
    object_id text,
    object_repr character varying(200) NOT NULL,
    action_flag smallint NOT NULL,
    change_message text NOT NULL,
    content_type_id integer,
    user_id bigint NOT NULL,
    CONSTRAINT django_admin_log_action_flag_check CHECK ((action_flag >= 0))
);

ALTER TABLE public.django_admin_log ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.django_admin_log_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.django_content_type (
    id integer NOT NULL,
    app_label character varying(100) NOT NULL,
    model character varying(100) NOT NULL
);

ALTER TABLE public.django_content_type ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.django_content_type_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.django_migrations (
    id bigint NOT NULL,
    app character varying(255) NOT NULL,
    name character varying(255) NOT NULL,
    applied timestamp with time zone NOT NULL
);

ALTER TABLE public.django_migrations ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.django_migrations_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.django_session (
    session_key character varying(40) NOT NULL,
    session_data text NOT NULL,
    expire_date timestamp with time zone NOT NULL
);

CREATE TABLE public.entity_attributes (
    entity_id bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    instant_value timestamp with time zone,
    numeric_key double precision GENERATED ALWAYS AS ((numeric_value)::double precision) STORED,
    tenant_id integer NOT NULL,
    indexed boolean DEFAULT false NOT NULL,
    numeric_value numeric,
    attribute_name character varying(255) NOT NULL COLLATE pg_catalog."C",
    value_type character varying(20) NOT NULL COLLATE pg_catalog."C",
    attribute_value text NOT NULL COLLATE pg_catalog."C",
    CONSTRAINT entity_attributes_indexed_length CHECK (((NOT indexed) OR (octet_length(attribute_value) <= 1000))),
    CONSTRAINT entity_attributes_value_type CHECK (((value_type)::text = ANY ((ARRAY['string'::character varying, 'number'::character varying, 'boolean'::character varying, 'timestamp'::character varying, 'removed'::character varying])::text[])))
)
PARTITION BY HASH (tenant_id);

ALTER TABLE ONLY public.entity_attributes FORCE ROW LEVEL SECURITY;

CREATE VIEW public.entity_documents AS
 SELECT tenant_id,
    entity_id,
    entity_type,
    external_id,
    created_at,
    updated_at,
    version,
    attributes
   FROM public.entities
  WHERE (tenant_id = ( SELECT public.tenant_bound() AS tenant_bound));

CREATE TABLE public.entity_keys (
    entity_id bigint NOT NULL,
    tenant_id integer NOT NULL,
    external_id character varying(512) NOT NULL COLLATE pg_catalog."C",
    entity_type character varying(100) NOT NULL COLLATE pg_catalog."C"
)
PARTITION BY HASH (tenant_id);

ALTER TABLE ONLY public.entity_keys FORCE ROW LEVEL SECURITY;

CREATE VIEW public.entity_named AS
 SELECT tenant_id,
    entity_id,
    attribute_name,
    value_type,
    numeric_key,
    instant_value
   FROM public.entity_attributes
  WHERE ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound)) AND ((value_type)::text IS DISTINCT FROM 'removed'::text));

CREATE VIEW public.entity_values AS
 SELECT tenant_id,
    entity_id,
    attribute_name,
    value_type,
    attribute_value,
    numeric_key,
    instant_value,
    numeric_value
   FROM public.entity_attributes
  WHERE ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound)) AND indexed);

CREATE TABLE public.export_jobs (
    job_id uuid NOT NULL,
    tenant_id integer NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    expires_at timestamp with time zone,
    status character varying(20) DEFAULT 'queued'::character varying NOT NULL,
    format character varying(20) NOT NULL,
    query jsonb NOT NULL,
    columns jsonb DEFAULT '[]'::jsonb NOT NULL,
    file_name text DEFAULT ''::text NOT NULL,
    file_path text DEFAULT ''::text NOT NULL,
    rows_expected bigint,
    rows_done bigint DEFAULT 0 NOT NULL,
    bytes_done bigint DEFAULT 0 NOT NULL,
    is_cut boolean DEFAULT false NOT NULL,
    detail text DEFAULT ''::text NOT NULL,
    created_by text DEFAULT ''::text NOT NULL,
    attempts smallint DEFAULT 0 NOT NULL,
    CONSTRAINT export_jobs_format CHECK (((format)::text = ANY ((ARRAY['csv'::character varying, 'ndjson'::character varying, 'parquet'::character varying])::text[]))),
    CONSTRAINT export_jobs_status CHECK (((status)::text = ANY ((ARRAY['queued'::character varying, 'running'::character varying, 'done'::character varying, 'failed'::character varying, 'cancelled'::character varying])::text[])))
);

ALTER TABLE ONLY public.export_jobs FORCE ROW LEVEL SECURITY;

CREATE TABLE public.heartbeat (
    heartbeat_id smallint DEFAULT 1 NOT NULL,
    seq bigint NOT NULL,
    ts timestamp with time zone NOT NULL,
    lsn pg_lsn NOT NULL,
    took_s double precision,
    CONSTRAINT heartbeat_one_row CHECK ((heartbeat_id = 1))
)
WITH (fillfactor='10');

CREATE TABLE public.import_jobs (
    job_id uuid NOT NULL,
    tenant_id integer NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    status character varying(20) DEFAULT 'queued'::character varying NOT NULL,
    mode character varying(20) DEFAULT 'merge'::character varying NOT NULL,
    file_name text NOT NULL,
    file_path text NOT NULL,
    bytes_total bigint NOT NULL,
    bytes_done bigint DEFAULT 0 NOT NULL,
    lines_done bigint DEFAULT 0 NOT NULL,
    summary jsonb DEFAULT '{}'::jsonb NOT NULL,
    detail text DEFAULT ''::text NOT NULL,
    created_by text DEFAULT ''::text NOT NULL,
    attempts smallint DEFAULT 0 NOT NULL,
    format character varying(20) DEFAULT 'ndjson'::character varying NOT NULL,
    options jsonb DEFAULT '{}'::jsonb NOT NULL,
    is_dry_run boolean DEFAULT false NOT NULL,
    CONSTRAINT import_jobs_format CHECK (((format)::text = ANY ((ARRAY['ndjson'::character varying, 'csv'::character varying, 'parquet'::character varying])::text[]))),
    CONSTRAINT import_jobs_status CHECK (((status)::text = ANY ((ARRAY['draft'::character varying, 'queued'::character varying, 'running'::character varying, 'checked'::character varying, 'done'::character varying, 'failed'::character varying, 'cancelled'::character varying])::text[])))
);

ALTER TABLE ONLY public.import_jobs FORCE ROW LEVEL SECURITY;

CREATE TABLE public.import_mappings (
    tenant_id integer NOT NULL,
    fingerprint character varying(64) NOT NULL COLLATE pg_catalog."C",
    options jsonb NOT NULL,
    used_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE ONLY public.import_mappings FORCE ROW LEVEL SECURITY;

CREATE TABLE public.import_receipts (
    tenant_id integer NOT NULL,
    idempotency_key character varying(255) NOT NULL COLLATE pg_catalog."C",
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    fingerprint bytea,
    status smallint,
    answer text
);

ALTER TABLE ONLY public.import_receipts FORCE ROW LEVEL SECURITY;

CREATE TABLE public.import_rejections (
    tenant_id integer NOT NULL,
    job_id uuid NOT NULL,
    line bigint NOT NULL,
    code text NOT NULL,
    detail text NOT NULL,
    errors jsonb DEFAULT '[]'::jsonb NOT NULL,
    raw text
);

ALTER TABLE ONLY public.import_rejections FORCE ROW LEVEL SECURITY;

CREATE TABLE public.members_apitoken (
    id bigint NOT NULL,
    name character varying(100) NOT NULL,
    prefix character varying(8) NOT NULL,
    digest character varying(64) NOT NULL,
    scopes character varying(10)[] NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    last_used_at timestamp with time zone,
    revoked_at timestamp with time zone,
    CONSTRAINT apitoken_scopes_known CHECK (((scopes <@ ARRAY['read'::character varying(10), 'write'::character varying(10)]) AND (
CASE
    WHEN (scopes IS NULL) THEN NULL::integer
    ELSE COALESCE(array_length(scopes, 1), 0)
END > 0)))
);

ALTER TABLE public.members_apitoken ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.members_apitoken_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.members_savedsearch (
    id bigint NOT NULL,
    name character varying(100) NOT NULL,
    query jsonb NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    owner_id bigint,
    columns jsonb NOT NULL,
    is_default boolean NOT NULL,
    is_shared boolean NOT NULL,
    owner_name character varying(150) NOT NULL,
    CONSTRAINT savedsearch_owned_or_shared CHECK (((owner_id IS NOT NULL) OR is_shared))
);

ALTER TABLE public.members_savedsearch ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.members_savedsearch_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.members_user (
    id bigint NOT NULL,
    password character varying(128) NOT NULL,
    last_login timestamp with time zone,
    is_superuser boolean NOT NULL,
    username character varying(150) NOT NULL,
    first_name character varying(150) NOT NULL,
    last_name character varying(150) NOT NULL,
    email character varying(254) NOT NULL,
    is_staff boolean NOT NULL,
    is_active boolean NOT NULL,
    date_joined timestamp with time zone NOT NULL,
    role character varying(10) NOT NULL,
    CONSTRAINT user_admin_is_superuser CHECK (((is_superuser AND ((role)::text = 'admin'::text)) OR ((NOT is_superuser) AND (NOT ((role)::text = 'admin'::text))))),
    CONSTRAINT user_role_known CHECK ((((role)::text = 'viewer'::text) OR ((role)::text = 'editor'::text) OR ((role)::text = 'admin'::text)))
);

CREATE TABLE public.members_user_groups (
    id bigint NOT NULL,
    user_id bigint NOT NULL,
    group_id integer NOT NULL
);

ALTER TABLE public.members_user_groups ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.members_user_groups_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE public.members_user ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.members_user_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.members_user_user_permissions (
    id bigint NOT NULL,
    user_id bigint NOT NULL,
    permission_id integer NOT NULL
);

ALTER TABLE public.members_user_user_permissions ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.members_user_user_permissions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.mfa_authenticator (
    id bigint NOT NULL,
    type character varying(20) NOT NULL,
    data jsonb NOT NULL,
    user_id bigint NOT NULL,
    created_at timestamp with time zone NOT NULL,
    last_used_at timestamp with time zone
);

ALTER TABLE public.mfa_authenticator ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.mfa_authenticator_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.notice_deliveries (
    delivery_id bigint NOT NULL,
    tenant_id integer,
    kind text NOT NULL,
    address text NOT NULL COLLATE pg_catalog."C",
    nonce text DEFAULT ''::text NOT NULL,
    notice_key text NOT NULL COLLATE pg_catalog."C",
    event text NOT NULL,
    subject text NOT NULL,
    body text NOT NULL,
    facts jsonb NOT NULL,
    happened_at timestamp with time zone NOT NULL,
    queued_at timestamp with time zone NOT NULL,
    attempts smallint DEFAULT 0 NOT NULL,
    due_at timestamp with time zone,
    delivered_at timestamp with time zone,
    failed_at timestamp with time zone,
    error text DEFAULT ''::text NOT NULL,
    CONSTRAINT notice_deliveries_kind_check CHECK ((kind = ANY (ARRAY['webhook'::text, 'email'::text])))
);

ALTER TABLE ONLY public.notice_deliveries FORCE ROW LEVEL SECURITY;

ALTER TABLE public.notice_deliveries ALTER COLUMN delivery_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.notice_deliveries_delivery_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.partition_archives (
    tenant_id integer NOT NULL,
    leaf character varying(20) NOT NULL,
    range_from bigint,
    range_to bigint NOT NULL,
    archived_at timestamp with time zone NOT NULL,
    entities bigint NOT NULL,
    attribute_values bigint NOT NULL,
    bytes bigint NOT NULL,
    path text NOT NULL,
    digest text NOT NULL
);

ALTER TABLE ONLY public.partition_archives FORCE ROW LEVEL SECURITY;

CREATE TABLE public.partition_promotions (
    tenant_id integer NOT NULL,
    status character varying(20) DEFAULT 'queued'::character varying NOT NULL,
    step character varying(40) DEFAULT ''::character varying NOT NULL,
    requested_at timestamp with time zone NOT NULL,
    requested_by text DEFAULT ''::text NOT NULL,
    started_at timestamp with time zone,
    beat_at timestamp with time zone,
    finished_at timestamp with time zone,
    boundary bigint,
    moved_from bigint,
    rows_total bigint DEFAULT 0 NOT NULL,
    rows_moved bigint DEFAULT 0 NOT NULL,
    slices integer DEFAULT 0 NOT NULL,
    longest_pause_s double precision DEFAULT 0 NOT NULL,
    detail text DEFAULT ''::text NOT NULL,
    CONSTRAINT partition_promotions_status CHECK (((status)::text = ANY ((ARRAY['queued'::character varying, 'running'::character varying, 'done'::character varying, 'failed'::character varying])::text[])))
);

ALTER TABLE ONLY public.partition_promotions FORCE ROW LEVEL SECURITY;

CREATE TABLE public.search_samples (
    tenant_id integer NOT NULL,
    fingerprint bytea NOT NULL,
    body jsonb NOT NULL,
    searches double precision NOT NULL,
    search_ms double precision NOT NULL,
    last_used_at timestamp with time zone NOT NULL
);

ALTER TABLE ONLY public.search_samples FORCE ROW LEVEL SECURITY;

CREATE TABLE public.tenant_statistics (
    tenant_id integer NOT NULL,
    entities bigint NOT NULL,
    sample bigint[] NOT NULL,
    analyzed_at timestamp with time zone NOT NULL
);

ALTER TABLE ONLY public.tenant_statistics FORCE ROW LEVEL SECURITY;

CREATE TABLE public.tenant_traffic (
    tenant_id integer NOT NULL,
    slot timestamp with time zone NOT NULL,
    requests bigint NOT NULL,
    writes bigint NOT NULL,
    throttled bigint NOT NULL,
    failed bigint NOT NULL
);

CREATE TABLE public.tenants_domain (
    id bigint NOT NULL,
    domain character varying(253) NOT NULL,
    is_primary boolean NOT NULL,
    tenant_id integer NOT NULL
);

ALTER TABLE public.tenants_domain ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.tenants_domain_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE public.tenants_tenant ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.tenants_tenant_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.tenants_tenantjob (
    id bigint NOT NULL,
    kind character varying(10) NOT NULL,
    status character varying(10) NOT NULL,
    tenant_id integer NOT NULL,
    slug character varying(40) NOT NULL,
    created_at timestamp with time zone NOT NULL,
    created_by character varying(200) NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    done bigint NOT NULL,
    total bigint NOT NULL,
    report jsonb NOT NULL,
    file_path text NOT NULL,
    file_bytes bigint NOT NULL,
    detail text NOT NULL
);

ALTER TABLE ONLY public.tenants_tenantjob FORCE ROW LEVEL SECURITY;

ALTER TABLE public.tenants_tenantjob ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.tenants_tenantjob_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.timelines (
    timeline integer NOT NULL,
    began_lsn pg_lsn NOT NULL,
    noted_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

CREATE TABLE public.usersessions_usersession (
    id bigint NOT NULL,
    created_at timestamp with time zone NOT NULL,
    ip inet NOT NULL,
    last_seen_at timestamp with time zone NOT NULL,
    session_key character varying(40) NOT NULL,
    user_agent character varying(200) NOT NULL,
    data jsonb NOT NULL,
    user_id bigint NOT NULL
);

ALTER TABLE public.usersessions_usersession ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.usersessions_usersession_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE ONLY public.account_emailaddress
    ADD CONSTRAINT account_emailaddress_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.account_emailaddress
    ADD CONSTRAINT account_emailaddress_user_id_email_987c8728_uniq UNIQUE (user_id, email);

ALTER TABLE ONLY public.account_emailconfirmation
    ADD CONSTRAINT account_emailconfirmation_key_key UNIQUE (key);

ALTER TABLE ONLY public.account_emailconfirmation
    ADD CONSTRAINT account_emailconfirmation_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.alert_firings
    ADD CONSTRAINT alert_firings_once UNIQUE (rule_id, entity_id, fired_lsn);

ALTER TABLE ONLY public.alert_firings
    ADD CONSTRAINT alert_firings_pkey PRIMARY KEY (firing_id);

ALTER TABLE ONLY public.alert_position
    ADD CONSTRAINT alert_position_pkey PRIMARY KEY (is_only);

ALTER TABLE ONLY public.alert_revision
    ADD CONSTRAINT alert_revision_pkey PRIMARY KEY (is_only);

ALTER TABLE ONLY public.alert_rules
    ADD CONSTRAINT alert_rules_pkey PRIMARY KEY (rule_id);

ALTER TABLE ONLY public.alert_states
    ADD CONSTRAINT alert_states_pkey PRIMARY KEY (rule_id, entity_id);

ALTER TABLE ONLY public.attribute_aliases
    ADD CONSTRAINT attribute_aliases_pkey PRIMARY KEY (tenant_id, alias);

ALTER TABLE ONLY public.attribute_changes
    ADD CONSTRAINT attribute_changes_pkey PRIMARY KEY (change_id);

ALTER TABLE ONLY public.attribute_governance
    ADD CONSTRAINT attribute_governance_pkey PRIMARY KEY (tenant_id);

ALTER TABLE ONLY public.attribute_index_jobs
    ADD CONSTRAINT attribute_index_jobs_pkey PRIMARY KEY (tenant_id, attribute_name);

ALTER TABLE ONLY public.attribute_job_changes
    ADD CONSTRAINT attribute_job_changes_pkey PRIMARY KEY (tenant_id, job_id, entity_id);

ALTER TABLE ONLY public.attribute_jobs
    ADD CONSTRAINT attribute_jobs_pkey PRIMARY KEY (job_id);

ALTER TABLE ONLY public.attribute_metadata
    ADD CONSTRAINT attribute_metadata_pkey PRIMARY KEY (tenant_id, attribute_name);

ALTER TABLE ONLY public.attribute_rules
    ADD CONSTRAINT attribute_rules_pkey PRIMARY KEY (tenant_id, attribute_name);

ALTER TABLE ONLY public.attribute_usage
    ADD CONSTRAINT attribute_usage_pkey PRIMARY KEY (tenant_id, attribute_name);

ALTER TABLE ONLY public.audit_log
    ADD CONSTRAINT audit_log_pkey PRIMARY KEY (audit_id);

ALTER TABLE ONLY public.auth_group
    ADD CONSTRAINT auth_group_name_key UNIQUE (name);

ALTER TABLE ONLY public.auth_group_permissions
    ADD CONSTRAINT auth_group_permissions_group_id_permission_id_0cd325b0_uniq UNIQUE (group_id, permission_id);

ALTER TABLE ONLY public.auth_group_permissions
    ADD CONSTRAINT auth_group_permissions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.auth_group
    ADD CONSTRAINT auth_group_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.auth_permission
    ADD CONSTRAINT auth_permission_content_type_id_codename_01ab375a_uniq UNIQUE (content_type_id, codename);

ALTER TABLE ONLY public.auth_permission
    ADD CONSTRAINT auth_permission_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.axes_accessattempt
    ADD CONSTRAINT axes_accessattempt_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.axes_accessattempt
    ADD CONSTRAINT axes_accessattempt_username_ip_address_user_agent_8ea22282_uniq UNIQUE (username, ip_address, user_agent);

ALTER TABLE ONLY public.axes_accessattemptexpiration
    ADD CONSTRAINT axes_accessattemptexpiration_pkey PRIMARY KEY (access_attempt_id);

ALTER TABLE ONLY public.axes_accessfailurelog
    ADD CONSTRAINT axes_accessfailurelog_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.axes_accesslog
    ADD CONSTRAINT axes_accesslog_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.bulk_edit_changes
    ADD CONSTRAINT bulk_edit_changes_pkey PRIMARY KEY (tenant_id, edit_id, entity_id);

ALTER TABLE ONLY public.bulk_edits
    ADD CONSTRAINT bulk_edits_pkey PRIMARY KEY (edit_id);

ALTER TABLE ONLY public.demo_airlines
    ADD CONSTRAINT demo_airlines_pkey PRIMARY KEY (carrier);

ALTER TABLE ONLY public.demo_airlines
    ADD CONSTRAINT demo_airlines_tenant_id_key UNIQUE (tenant_id);

ALTER TABLE ONLY public.demo_flights
    ADD CONSTRAINT demo_flights_pkey PRIMARY KEY ("position");

ALTER TABLE ONLY public.demo_replay
    ADD CONSTRAINT demo_replay_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY public.django_admin_log
    ADD CONSTRAINT django_admin_log_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.django_content_type
    ADD CONSTRAINT django_content_type_app_label_model_76bd3d3b_uniq UNIQUE (app_label, model);

ALTER TABLE ONLY public.django_content_type
    ADD CONSTRAINT django_content_type_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.django_migrations
    ADD CONSTRAINT django_migrations_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.django_session
    ADD CONSTRAINT django_session_pkey PRIMARY KEY (session_key);

ALTER TABLE ONLY public.entities
    ADD CONSTRAINT entities_pkey PRIMARY KEY (tenant_id, entity_id);

ALTER TABLE ONLY public.entity_attributes
    ADD CONSTRAINT entity_attributes_pkey PRIMARY KEY (tenant_id, entity_id, attribute_name);

ALTER TABLE ONLY public.entity_keys
    ADD CONSTRAINT entity_keys_pkey PRIMARY KEY (tenant_id, external_id, entity_type);

ALTER TABLE ONLY public.export_jobs
    ADD CONSTRAINT export_jobs_pkey PRIMARY KEY (job_id);

ALTER TABLE ONLY public.heartbeat
    ADD CONSTRAINT heartbeat_pkey PRIMARY KEY (heartbeat_id);

ALTER TABLE ONLY public.import_jobs
    ADD CONSTRAINT import_jobs_pkey PRIMARY KEY (job_id);

ALTER TABLE ONLY public.import_mappings
    ADD CONSTRAINT import_mappings_pkey PRIMARY KEY (tenant_id, fingerprint);

ALTER TABLE ONLY public.import_receipts
    ADD CONSTRAINT import_receipts_pkey PRIMARY KEY (tenant_id, idempotency_key);

ALTER TABLE ONLY public.import_rejections
    ADD CONSTRAINT import_rejections_pkey PRIMARY KEY (tenant_id, job_id, line);

ALTER TABLE ONLY public.members_apitoken
    ADD CONSTRAINT members_apitoken_digest_key UNIQUE (digest);

ALTER TABLE ONLY public.members_apitoken
    ADD CONSTRAINT members_apitoken_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.members_savedsearch
    ADD CONSTRAINT members_savedsearch_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.members_user_groups
    ADD CONSTRAINT members_user_groups_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.members_user_groups
    ADD CONSTRAINT members_user_groups_user_id_group_id_e4658dba_uniq UNIQUE (user_id, group_id);

ALTER TABLE ONLY public.members_user
    ADD CONSTRAINT members_user_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.members_user_user_permissions
    ADD CONSTRAINT members_user_user_permis_user_id_permission_id_290733df_uniq UNIQUE (user_id, permission_id);

ALTER TABLE ONLY public.members_user_user_permissions
    ADD CONSTRAINT members_user_user_permissions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.members_user
    ADD CONSTRAINT members_user_username_key UNIQUE (username);

ALTER TABLE ONLY public.mfa_authenticator
    ADD CONSTRAINT mfa_authenticator_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.notice_deliveries
    ADD CONSTRAINT notice_deliveries_once UNIQUE NULLS NOT DISTINCT (tenant_id, kind, address, notice_key);

ALTER TABLE ONLY public.notice_deliveries
    ADD CONSTRAINT notice_deliveries_pkey PRIMARY KEY (delivery_id);

ALTER TABLE ONLY public.partition_archives
    ADD CONSTRAINT partition_archives_pkey PRIMARY KEY (tenant_id, leaf);

ALTER TABLE ONLY public.partition_promotions
    ADD CONSTRAINT partition_promotions_pkey PRIMARY KEY (tenant_id);

ALTER TABLE ONLY public.members_savedsearch
    ADD CONSTRAINT savedsearch_name_unique UNIQUE NULLS NOT DISTINCT (owner_id, name);

ALTER TABLE ONLY public.search_samples
    ADD CONSTRAINT search_samples_pkey PRIMARY KEY (tenant_id, fingerprint);

ALTER TABLE ONLY public.tenants_tenant
    ADD CONSTRAINT tenant_slug_unique UNIQUE (slug);

ALTER TABLE ONLY public.tenant_statistics
    ADD CONSTRAINT tenant_statistics_pkey PRIMARY KEY (tenant_id);

ALTER TABLE ONLY public.tenant_traffic
    ADD CONSTRAINT tenant_traffic_pkey PRIMARY KEY (tenant_id, slot);

ALTER TABLE ONLY public.tenants_domain
    ADD CONSTRAINT tenants_domain_domain_key UNIQUE (domain);

ALTER TABLE ONLY public.tenants_domain
    ADD CONSTRAINT tenants_domain_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.tenants_tenant
    ADD CONSTRAINT tenants_tenant_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.tenants_tenant
    ADD CONSTRAINT tenants_tenant_schema_name_key UNIQUE (schema_name);

ALTER TABLE ONLY public.tenants_tenantjob
    ADD CONSTRAINT tenants_tenantjob_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.timelines
    ADD CONSTRAINT timelines_pkey PRIMARY KEY (timeline);

ALTER TABLE ONLY public.usersessions_usersession
    ADD CONSTRAINT usersessions_usersession_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.usersessions_usersession
    ADD CONSTRAINT usersessions_usersession_session_key_key UNIQUE (session_key);

CREATE INDEX account_emailaddress_email_03be32b2 ON public.account_emailaddress USING btree (email);

CREATE INDEX account_emailaddress_email_03be32b2_like ON public.account_emailaddress USING btree (email varchar_pattern_ops);

CREATE INDEX account_emailaddress_user_id_2c513194 ON public.account_emailaddress USING btree (user_id);

CREATE INDEX account_emailconfirmation_email_address_id_5b7f8c58 ON public.account_emailconfirmation USING btree (email_address_id);

CREATE INDEX account_emailconfirmation_key_f43612bd_like ON public.account_emailconfirmation USING btree (key varchar_pattern_ops);

CREATE INDEX alert_firings_newest ON public.alert_firings USING btree (tenant_id, firing_id);

CREATE INDEX alert_firings_open ON public.alert_firings USING btree (tenant_id, firing_id) WHERE ((cleared_us IS NULL) OR (acknowledged_at IS NULL));

CREATE INDEX alert_rules_tenant ON public.alert_rules USING btree (tenant_id, rule_id);

CREATE INDEX attribute_changes_name ON public.attribute_changes USING btree (tenant_id, attribute_name);

CREATE INDEX attribute_jobs_newest ON public.attribute_jobs USING btree (tenant_id, created_at DESC);

CREATE INDEX attribute_metadata_admitted ON public.attribute_metadata USING btree (tenant_id, first_seen_at) WHERE ((status)::text <> 'quarantined'::text);

CREATE INDEX audit_log_by_action ON public.audit_log USING btree (tenant_id, action, at DESC);

CREATE INDEX audit_log_by_actor ON public.audit_log USING btree (tenant_id, actor, at DESC);

CREATE INDEX audit_log_by_subject ON public.audit_log USING btree (tenant_id, subject, at DESC);

CREATE INDEX audit_log_newest ON public.audit_log USING btree (tenant_id, at DESC, audit_id DESC);

CREATE INDEX auth_group_name_a6ea08ec_like ON public.auth_group USING btree (name varchar_pattern_ops);

CREATE INDEX auth_group_permissions_group_id_b120cbf9 ON public.auth_group_permissions USING btree (group_id);

CREATE INDEX auth_group_permissions_permission_id_84c5c92e ON public.auth_group_permissions USING btree (permission_id);

CREATE INDEX auth_permission_content_type_id_2f476e4b ON public.auth_permission USING btree (content_type_id);

CREATE INDEX axes_accessattempt_ip_address_10922d9c ON public.axes_accessattempt USING btree (ip_address);

CREATE INDEX axes_accessattempt_user_agent_ad89678b ON public.axes_accessattempt USING btree (user_agent);

CREATE INDEX axes_accessattempt_user_agent_ad89678b_like ON public.axes_accessattempt USING btree (user_agent varchar_pattern_ops);

CREATE INDEX axes_accessattempt_username_3f2d4ca0 ON public.axes_accessattempt USING btree (username);

CREATE INDEX axes_accessattempt_username_3f2d4ca0_like ON public.axes_accessattempt USING btree (username varchar_pattern_ops);

CREATE INDEX axes_accessfailurelog_ip_address_2e9f5a7f ON public.axes_accessfailurelog USING btree (ip_address);

CREATE INDEX axes_accessfailurelog_user_agent_ea145dda ON public.axes_accessfailurelog USING btree (user_agent);

CREATE INDEX axes_accessfailurelog_user_agent_ea145dda_like ON public.axes_accessfailurelog USING btree (user_agent varchar_pattern_ops);

CREATE INDEX axes_accessfailurelog_username_a8b7e8a4 ON public.axes_accessfailurelog USING btree (username);

CREATE INDEX axes_accessfailurelog_username_a8b7e8a4_like ON public.axes_accessfailurelog USING btree (username varchar_pattern_ops);

CREATE INDEX axes_accesslog_ip_address_86b417e5 ON public.axes_accesslog USING btree (ip_address);

CREATE INDEX axes_accesslog_user_agent_0e659004 ON public.axes_accesslog USING btree (user_agent);

CREATE INDEX axes_accesslog_user_agent_0e659004_like ON public.axes_accesslog USING btree (user_agent varchar_pattern_ops);

CREATE INDEX axes_accesslog_username_df93064b ON public.axes_accesslog USING btree (username);

CREATE INDEX axes_accesslog_username_df93064b_like ON public.axes_accesslog USING btree (username varchar_pattern_ops);

CREATE INDEX bulk_edit_changes_entity ON public.bulk_edit_changes USING btree (tenant_id, entity_id, at DESC);

CREATE INDEX bulk_edits_newest ON public.bulk_edits USING btree (tenant_id, created_at DESC);

CREATE UNIQUE INDEX bulk_edits_undo ON public.bulk_edits USING btree (tenant_id, undo_of) WHERE ((undo_of IS NOT NULL) AND ((status)::text <> 'cancelled'::text));

CREATE INDEX django_admin_log_content_type_id_c4bce8eb ON public.django_admin_log USING btree (content_type_id);

CREATE INDEX django_admin_log_user_id_c564eba6 ON public.django_admin_log USING btree (user_id);

CREATE INDEX django_session_expire_date_a5c62663 ON public.django_session USING btree (expire_date);

CREATE INDEX django_session_session_key_c0390e0f_like ON public.django_session USING btree (session_key varchar_pattern_ops);

CREATE UNIQUE INDEX domain_one_primary ON public.tenants_domain USING btree (tenant_id) WHERE is_primary;

CREATE INDEX entities_created ON ONLY public.entities USING btree (tenant_id, created_at DESC, entity_id DESC);

CREATE INDEX entities_document ON ONLY public.entities USING gin (tenant_id, attributes jsonb_path_ops);

CREATE INDEX entities_recent ON ONLY public.entities USING btree (tenant_id, updated_at DESC, entity_id DESC);

CREATE INDEX entity_attributes_by_instant ON ONLY public.entity_attributes USING btree (tenant_id, attribute_name, instant_value, entity_id) WHERE (indexed AND (instant_value IS NOT NULL));

CREATE INDEX entity_attributes_by_name ON ONLY public.entity_attributes USING btree (tenant_id, attribute_name) WHERE ((value_type)::text IS DISTINCT FROM 'removed'::text);

CREATE INDEX entity_attributes_by_number ON ONLY public.entity_attributes USING btree (tenant_id, attribute_name, numeric_key, entity_id) WHERE (indexed AND (numeric_value IS NOT NULL));

CREATE INDEX entity_attributes_by_value ON ONLY public.entity_attributes USING btree (tenant_id, attribute_name, attribute_value, entity_id) WHERE indexed;

CREATE INDEX export_jobs_newest ON public.export_jobs USING btree (tenant_id, created_at DESC);

CREATE INDEX import_jobs_newest ON public.import_jobs USING btree (tenant_id, created_at DESC);

CREATE INDEX members_apitoken_digest_14567a3e_like ON public.members_apitoken USING btree (digest varchar_pattern_ops);

CREATE INDEX members_apitoken_prefix_65412dde ON public.members_apitoken USING btree (prefix);

CREATE INDEX members_apitoken_prefix_65412dde_like ON public.members_apitoken USING btree (prefix varchar_pattern_ops);

CREATE INDEX members_savedsearch_owner_id_ed036867 ON public.members_savedsearch USING btree (owner_id);

CREATE INDEX members_user_groups_group_id_39b83d85 ON public.members_user_groups USING btree (group_id);

CREATE INDEX members_user_groups_user_id_db5cba0f ON public.members_user_groups USING btree (user_id);

CREATE INDEX members_user_user_permissions_permission_id_5f80148e ON public.members_user_user_permissions USING btree (permission_id);

CREATE INDEX members_user_user_permissions_user_id_3371a207 ON public.members_user_user_permissions USING btree (user_id);

CREATE INDEX members_user_username_c7299158_like ON public.members_user USING btree (username varchar_pattern_ops);

CREATE INDEX mfa_authenticator_user_id_0c3a50c0 ON public.mfa_authenticator USING btree (user_id);

CREATE INDEX notice_deliveries_due ON public.notice_deliveries USING btree (due_at) WHERE (due_at IS NOT NULL);

CREATE INDEX notice_deliveries_queued ON public.notice_deliveries USING btree (queued_at);

CREATE INDEX tenant_by_name ON public.tenants_tenant USING btree (name, id);

CREATE INDEX tenant_job_newest ON public.tenants_tenantjob USING btree (tenant_id, created_at DESC);

CREATE INDEX tenant_job_status ON public.tenants_tenantjob USING btree (status, created_at DESC);

CREATE INDEX tenant_newest ON public.tenants_tenant USING btree (created_at DESC, id DESC);

CREATE INDEX tenant_traffic_slot ON public.tenant_traffic USING btree (slot);

CREATE INDEX tenants_domain_domain_e75f0449_like ON public.tenants_domain USING btree (domain varchar_pattern_ops);

CREATE INDEX tenants_domain_is_primary_0abe1b9f ON public.tenants_domain USING btree (is_primary);

CREATE INDEX tenants_domain_tenant_id_3c778562 ON public.tenants_domain USING btree (tenant_id);

CREATE INDEX tenants_tenant_schema_name_c2605603_like ON public.tenants_tenant USING btree (schema_name varchar_pattern_ops);

CREATE UNIQUE INDEX unique_authenticator_type ON public.mfa_authenticator USING btree (user_id, type) WHERE ((type)::text = ANY ((ARRAY['totp'::character varying, 'recovery_codes'::character varying])::text[]));

CREATE UNIQUE INDEX unique_primary_email ON public.account_emailaddress USING btree (user_id, "primary") WHERE "primary";

CREATE INDEX usersessions_usersession_session_key_fd35de43_like ON public.usersessions_usersession USING btree (session_key varchar_pattern_ops);

CREATE INDEX usersessions_usersession_user_id_af5e0a6d ON public.usersessions_usersession USING btree (user_id);

CREATE TRIGGER alert_rules_changed AFTER INSERT OR DELETE OR UPDATE ON public.alert_rules FOR EACH STATEMENT EXECUTE FUNCTION public.alert_revision_move();

ALTER TABLE ONLY public.account_emailaddress
    ADD CONSTRAINT account_emailaddress_user_id_2c513194_fk_members_user_id FOREIGN KEY (user_id) REFERENCES public.members_user(id) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.account_emailconfirmation
    ADD CONSTRAINT account_emailconfirm_email_address_id_5b7f8c58_fk_account_e FOREIGN KEY (email_address_id) REFERENCES public.account_emailaddress(id) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.alert_firings
    ADD CONSTRAINT alert_firings_rule_id_fkey FOREIGN KEY (rule_id) REFERENCES public.alert_rules(rule_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.alert_states
    ADD CONSTRAINT alert_states_rule_id_fkey FOREIGN KEY (rule_id) REFERENCES public.alert_rules(rule_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.auth_group_permissions
    ADD CONSTRAINT auth_group_permissio_permission_id_84c5c92e_fk_auth_perm FOREIGN KEY (permission_id) REFERENCES public.auth_permission(id) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.auth_group_permissions
    ADD CONSTRAINT auth_group_permissions_group_id_b120cbf9_fk_auth_group_id FOREIGN KEY (group_id) REFERENCES public.auth_group(id) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.auth_permission
    ADD CONSTRAINT auth_permission_content_type_id_2f476e4b_fk_django_co FOREIGN KEY (content_type_id) REFERENCES public.django_content_type(id) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.axes_accessattemptexpiration
    ADD CONSTRAINT axes_accessattemptex_access_attempt_id_6b73a47a_fk_axes_acce FOREIGN KEY (access_attempt_id) REFERENCES public.axes_accessattempt(id) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.demo_airlines
    ADD CONSTRAINT demo_airlines_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants_tenant(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.django_admin_log
    ADD CONSTRAINT django_admin_log_content_type_id_c4bce8eb_fk_django_co FOREIGN KEY (content_type_id) REFERENCES public.django_content_type(id) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.django_admin_log
    ADD CONSTRAINT django_admin_log_user_id_c564eba6_fk_members_user_id FOREIGN KEY (user_id) REFERENCES public.members_user(id) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.members_savedsearch
    ADD CONSTRAINT members_savedsearch_owner_id_ed036867_fk_members_user_id FOREIGN KEY (owner_id) REFERENCES public.members_user(id) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.members_user_groups
    ADD CONSTRAINT members_user_groups_group_id_39b83d85_fk_auth_group_id FOREIGN KEY (group_id) REFERENCES public.auth_group(id) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.members_user_groups
    ADD CONSTRAINT members_user_groups_user_id_db5cba0f_fk_members_user_id FOREIGN KEY (user_id) REFERENCES public.members_user(id) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.members_user_user_permissions
    ADD CONSTRAINT members_user_user_pe_permission_id_5f80148e_fk_auth_perm FOREIGN KEY (permission_id) REFERENCES public.auth_permission(id) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.members_user_user_permissions
    ADD CONSTRAINT members_user_user_pe_user_id_3371a207_fk_members_u FOREIGN KEY (user_id) REFERENCES public.members_user(id) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.mfa_authenticator
    ADD CONSTRAINT mfa_authenticator_user_id_0c3a50c0_fk_members_user_id FOREIGN KEY (user_id) REFERENCES public.members_user(id) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.partition_archives
    ADD CONSTRAINT partition_archives_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants_tenant(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.partition_promotions
    ADD CONSTRAINT partition_promotions_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants_tenant(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.tenants_domain
    ADD CONSTRAINT tenants_domain_tenant_id_3c778562_fk_tenants_tenant_id FOREIGN KEY (tenant_id) REFERENCES public.tenants_tenant(id) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.usersessions_usersession
    ADD CONSTRAINT usersessions_usersession_user_id_af5e0a6d_fk_members_user_id FOREIGN KEY (user_id) REFERENCES public.members_user(id) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE public.alert_firings ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.alert_rules ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.alert_states ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.attribute_aliases ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.attribute_changes ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.attribute_governance ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.attribute_index_jobs ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.attribute_job_changes ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.attribute_jobs ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.attribute_metadata ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.attribute_rules ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.attribute_usage ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.audit_log ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.bulk_edit_changes ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.bulk_edits ENABLE ROW LEVEL SECURITY;

CREATE POLICY cascade ON public.alert_firings TO atlasco_owner USING (true);

CREATE POLICY cascade ON public.alert_rules TO atlasco_owner USING (true);

CREATE POLICY cascade ON public.alert_states TO atlasco_owner USING (true);

CREATE POLICY due ON public.notice_deliveries FOR SELECT TO atlasco_owner USING (true);

ALTER TABLE public.entities ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.entity_attributes ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.entity_keys ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.export_jobs ENABLE ROW LEVEL SECURITY;

CREATE POLICY feed ON public.alert_firings TO atlasco_replication USING (true) WITH CHECK (true);

CREATE POLICY feed ON public.alert_rules FOR SELECT TO atlasco_replication USING (true);

CREATE POLICY feed ON public.alert_states TO atlasco_replication USING (true) WITH CHECK (true);

CREATE POLICY feed ON public.attribute_metadata FOR SELECT TO atlasco_replication USING (true);

CREATE POLICY feed ON public.entities FOR SELECT TO atlasco_replication USING (true);

CREATE POLICY feed ON public.entity_attributes FOR SELECT TO atlasco_replication USING (true);

CREATE POLICY feed ON public.notice_deliveries FOR INSERT TO atlasco_replication WITH CHECK (true);

CREATE POLICY feed ON public.partition_archives FOR SELECT TO atlasco_replication USING (true);

CREATE POLICY feed_lock ON public.alert_rules FOR UPDATE TO atlasco_replication USING (true) WITH CHECK (false);

ALTER TABLE public.import_jobs ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.import_mappings ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.import_receipts ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.import_rejections ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.notice_deliveries ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.partition_archives ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.partition_promotions ENABLE ROW LEVEL SECURITY;

CREATE POLICY search ON public.entities FOR SELECT TO atlasco_search USING (true);

CREATE POLICY search ON public.entity_attributes FOR SELECT TO atlasco_search USING (true);

ALTER TABLE public.search_samples ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON public.alert_firings TO atlasco_app USING ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound))) WITH CHECK ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound)));

CREATE POLICY tenant ON public.alert_rules TO atlasco_app USING ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound))) WITH CHECK ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound)));

CREATE POLICY tenant ON public.alert_states TO atlasco_app USING ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound))) WITH CHECK ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound)));

CREATE POLICY tenant ON public.attribute_aliases USING ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound))) WITH CHECK ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound)));

CREATE POLICY tenant ON public.attribute_changes USING ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound))) WITH CHECK ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound)));

CREATE POLICY tenant ON public.attribute_governance USING ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound))) WITH CHECK ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound)));

CREATE POLICY tenant ON public.attribute_index_jobs USING ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound))) WITH CHECK ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound)));

CREATE POLICY tenant ON public.attribute_job_changes USING ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound))) WITH CHECK ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound)));

CREATE POLICY tenant ON public.attribute_jobs USING ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound))) WITH CHECK ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound)));

CREATE POLICY tenant ON public.attribute_metadata USING ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound))) WITH CHECK ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound)));

CREATE POLICY tenant ON public.attribute_rules USING ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound))) WITH CHECK ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound)));

CREATE POLICY tenant ON public.attribute_usage USING ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound))) WITH CHECK ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound)));

CREATE POLICY tenant ON public.audit_log TO atlasco_app USING ((tenant_id = ( SELECT COALESCE((NULLIF(current_setting('atlasco.tenant_id'::text, true), ''::text))::integer, 0) AS "coalesce")));

CREATE POLICY tenant ON public.bulk_edit_changes USING ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound))) WITH CHECK ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound)));

CREATE POLICY tenant ON public.bulk_edits USING ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound))) WITH CHECK ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound)));

CREATE POLICY tenant ON public.entities USING ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound))) WITH CHECK ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound)));

CREATE POLICY tenant ON public.entity_attributes USING ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound))) WITH CHECK ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound)));

CREATE POLICY tenant ON public.entity_keys USING ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound))) WITH CHECK ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound)));

CREATE POLICY tenant ON public.export_jobs USING ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound))) WITH CHECK ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound)));

CREATE POLICY tenant ON public.import_jobs USING ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound))) WITH CHECK ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound)));

CREATE POLICY tenant ON public.import_mappings USING ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound))) WITH CHECK ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound)));

CREATE POLICY tenant ON public.import_receipts USING ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound))) WITH CHECK ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound)));

CREATE POLICY tenant ON public.import_rejections USING ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound))) WITH CHECK ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound)));

CREATE POLICY tenant ON public.notice_deliveries TO atlasco_app USING ((NOT (tenant_id IS DISTINCT FROM ( SELECT (NULLIF(current_setting('atlasco.tenant_id'::text, true), ''::text))::integer AS "nullif")))) WITH CHECK ((NOT (tenant_id IS DISTINCT FROM ( SELECT (NULLIF(current_setting('atlasco.tenant_id'::text, true), ''::text))::integer AS "nullif"))));

CREATE POLICY tenant ON public.partition_archives USING (COALESCE((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound)), (( SELECT public.tenant_bound() AS tenant_bound) IS NULL)));

CREATE POLICY tenant ON public.partition_promotions USING (COALESCE((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound)), (( SELECT public.tenant_bound() AS tenant_bound) IS NULL)));

CREATE POLICY tenant ON public.search_samples USING ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound))) WITH CHECK ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound)));

CREATE POLICY tenant ON public.tenant_statistics USING ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound))) WITH CHECK ((tenant_id = ( SELECT public.tenant_bound() AS tenant_bound)));

CREATE POLICY tenant ON public.tenant_traffic TO atlasco_app USING ((COALESCE(( SELECT (NULLIF(current_setting('atlasco.tenant_id'::text, true), ''::text))::integer AS "nullif"), tenant_id) = tenant_id));

CREATE POLICY tenant ON public.tenants_tenantjob TO atlasco_app USING ((COALESCE(( SELECT (NULLIF(current_setting('atlasco.tenant_id'::text, true), ''::text))::integer AS "nullif"), tenant_id) = tenant_id));

ALTER TABLE public.tenant_statistics ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.tenant_traffic ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.tenants_tenantjob ENABLE ROW LEVEL SECURITY;

REVOKE ALL ON FUNCTION public.archive_attach(p_leaf text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.archive_attach(p_leaf text) TO atlasco_app;

REVOKE ALL ON FUNCTION public.archive_detach(p_leaf text, p_entities bigint, p_values bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION public.archive_detach(p_leaf text, p_entities bigint, p_values bigint) TO atlasco_app;

REVOKE ALL ON FUNCTION public.archive_leaf(p_parent text, p_leaf text) FROM PUBLIC;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.attribute_metadata TO atlasco_app;
GRANT SELECT ON TABLE public.attribute_metadata TO atlasco_replication;

GRANT SELECT ON TABLE public.tenants_tenant TO atlasco_replication;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.tenants_tenant TO atlasco_app;

REVOKE ALL ON FUNCTION public.audit_log_erase(p_tenant_id integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.audit_log_erase(p_tenant_id integer) TO atlasco_app;

GRANT USAGE ON SEQUENCE public.entity_seq TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.entities TO atlasco_app;
GRANT SELECT ON TABLE public.entities TO atlasco_replication;
GRANT SELECT ON TABLE public.entities TO atlasco_search;

REVOKE ALL ON FUNCTION public.notice_tenants_due(p_now timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION public.notice_tenants_due(p_now timestamp with time zone) TO atlasco_app;

REVOKE ALL ON FUNCTION public.partition_lock(tables text[], patience_s double precision) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.partition_orphan_drop(p_name text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.partition_orphan_drop(p_name text) TO atlasco_app;

REVOKE ALL ON FUNCTION public.partition_orphans() FROM PUBLIC;
GRANT ALL ON FUNCTION public.partition_orphans() TO atlasco_app;

REVOKE ALL ON FUNCTION public.partition_tenants() FROM PUBLIC;
GRANT ALL ON FUNCTION public.partition_tenants() TO atlasco_app;

REVOKE ALL ON FUNCTION public.partition_tree() FROM PUBLIC;
GRANT ALL ON FUNCTION public.partition_tree() TO atlasco_app;

REVOKE ALL ON FUNCTION public.partitions_ahead(p_tenant_id integer, months_ahead integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.partitions_ahead(p_tenant_id integer, months_ahead integer) TO atlasco_app;

REVOKE ALL ON FUNCTION public.promotion_analyze(p_tenant_id integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.promotion_analyze(p_tenant_id integer) TO atlasco_app;

REVOKE ALL ON FUNCTION public.promotion_arm(p_tenant_id integer, p_from bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION public.promotion_arm(p_tenant_id integer, p_from bigint) TO atlasco_app;

REVOKE ALL ON FUNCTION public.promotion_attach(p_tenant_id integer, p_from bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.promotion_disarm(p_tenant_id integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.promotion_disarm(p_tenant_id integer) TO atlasco_app;

REVOKE ALL ON FUNCTION public.promotion_finish(p_tenant_id integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.promotion_finish(p_tenant_id integer) TO atlasco_app;

REVOKE ALL ON FUNCTION public.promotion_move(p_tenant_id integer, p_begins bigint, p_is_last boolean, p_number integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.promotion_move(p_tenant_id integer, p_begins bigint, p_is_last boolean, p_number integer) TO atlasco_app;

REVOKE ALL ON FUNCTION public.promotion_open(p_tenant_id integer, p_boundary bigint, months_ahead integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.promotion_open(p_tenant_id integer, p_boundary bigint, months_ahead integer) TO atlasco_app;

REVOKE ALL ON FUNCTION public.promotion_slice(p_tenant_id integer, p_rows integer, OUT begins bigint, OUT is_last boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION public.promotion_slice(p_tenant_id integer, p_rows integer, OUT begins bigint, OUT is_last boolean) TO atlasco_app;

REVOKE ALL ON FUNCTION public.promotion_slice_attach(p_parent text, p_tenant_id integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.promotion_upper(p_parent text, p_tenant_id integer) FROM PUBLIC;

GRANT SELECT ON SEQUENCE public.partition_moves TO atlasco_app;

REVOKE ALL ON FUNCTION public.tenant_dedicate(p_tenant_id integer, months_ahead integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.tenant_dedicate(p_tenant_id integer, months_ahead integer) TO atlasco_app;

REVOKE ALL ON FUNCTION public.tenant_leaf_create(root text, leaf text, lower bigint, upper bigint, remark text) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.tenant_partitions_check(p_tenant_id integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.tenant_partitions_drop(p_tenant_id integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.tenant_partitions_drop(p_tenant_id integer) TO atlasco_app;

REVOKE ALL ON FUNCTION public.tenant_partitions_hold(p_tenant_id integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.tenant_schema_create(p_tenant_id integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.tenant_schema_create(p_tenant_id integer) TO atlasco_app;

REVOKE ALL ON FUNCTION public.tenant_schema_drop(p_tenant_id integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.tenant_schema_drop(p_tenant_id integer) TO atlasco_app;

REVOKE ALL ON FUNCTION public.tenant_schema_grant(p_schema name) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.tenant_template_unclonable() FROM PUBLIC;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.account_emailaddress TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.account_emailconfirmation TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.alert_firings TO atlasco_app;
GRANT SELECT,INSERT,UPDATE ON TABLE public.alert_firings TO atlasco_replication;

GRANT SELECT ON TABLE public.alert_position TO atlasco_app;
GRANT SELECT,INSERT,UPDATE ON TABLE public.alert_position TO atlasco_replication;

GRANT SELECT ON TABLE public.alert_revision TO atlasco_replication;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.alert_rules TO atlasco_app;
GRANT SELECT ON TABLE public.alert_rules TO atlasco_replication;

GRANT UPDATE(name) ON TABLE public.alert_rules TO atlasco_replication;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.alert_states TO atlasco_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.alert_states TO atlasco_replication;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.attribute_aliases TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.attribute_changes TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.attribute_governance TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.attribute_index_jobs TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.attribute_job_changes TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.attribute_jobs TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.attribute_rules TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.attribute_usage TO atlasco_app;

GRANT SELECT ON TABLE public.audit_log TO atlasco_app;

GRANT INSERT(actor_kind) ON TABLE public.audit_log TO atlasco_app;

GRANT INSERT(actor) ON TABLE public.audit_log TO atlasco_app;

GRANT INSERT(action) ON TABLE public.audit_log TO atlasco_app;

GRANT INSERT(subject) ON TABLE public.audit_log TO atlasco_app;

GRANT INSERT(before) ON TABLE public.audit_log TO atlasco_app;

GRANT INSERT(after) ON TABLE public.audit_log TO atlasco_app;

GRANT INSERT(via) ON TABLE public.audit_log TO atlasco_app;

GRANT INSERT(ip) ON TABLE public.audit_log TO atlasco_app;

GRANT INSERT(request_id) ON TABLE public.audit_log TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.auth_group TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.auth_group_permissions TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.auth_permission TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.axes_accessattempt TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.axes_accessattemptexpiration TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.axes_accessfailurelog TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.axes_accesslog TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.bulk_edit_changes TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.bulk_edits TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.demo_airlines TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.demo_flights TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.demo_replay TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.django_admin_log TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.django_content_type TO atlasco_app;

GRANT SELECT ON TABLE public.django_migrations TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.django_session TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.entity_attributes TO atlasco_app;
GRANT SELECT ON TABLE public.entity_attributes TO atlasco_replication;
GRANT SELECT ON TABLE public.entity_attributes TO atlasco_search;

GRANT SELECT ON TABLE public.entity_documents TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.entity_keys TO atlasco_app;

GRANT SELECT ON TABLE public.entity_named TO atlasco_app;

GRANT SELECT ON TABLE public.entity_values TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.export_jobs TO atlasco_app;

GRANT SELECT,UPDATE ON TABLE public.heartbeat TO atlasco_app;
GRANT SELECT ON TABLE public.heartbeat TO atlasco_replication;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.import_jobs TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.import_mappings TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.import_receipts TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.import_rejections TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.members_apitoken TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.members_savedsearch TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.members_user TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.members_user_groups TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.members_user_user_permissions TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.mfa_authenticator TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.notice_deliveries TO atlasco_app;
GRANT INSERT ON TABLE public.notice_deliveries TO atlasco_replication;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.partition_archives TO atlasco_app;
GRANT SELECT ON TABLE public.partition_archives TO atlasco_replication;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.partition_promotions TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.search_samples TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.tenant_statistics TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.tenant_traffic TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.tenants_domain TO atlasco_app;

GRANT USAGE ON SEQUENCE public.tenants_tenant_id_seq TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.tenants_tenantjob TO atlasco_app;

GRANT SELECT,INSERT ON TABLE public.timelines TO atlasco_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.usersessions_usersession TO atlasco_app;
