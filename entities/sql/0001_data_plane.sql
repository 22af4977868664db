-- The data plane: entities, their keys, their values and what is known of their attributes.
-- Shared tables in `public`, keyed by tenant_id, guarded twice: an explicit predicate in every query, which prunes
-- partitions, and FORCEd row-level security on the setting that is bound with the tenant.

-- Ids are time-ordered: milliseconds since 2024-01-01 in the upper bits, a sequence in the lower 22.
-- So one range of ids is at once a range of time and a slice of the tenant.
CREATE SEQUENCE entity_seq AS bigint CACHE 1000;

CREATE FUNCTION entity_id_at(instant timestamptz) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (floor(extract(epoch FROM instant) * 1000)::bigint - 1704067200000) << 22;

CREATE FUNCTION entity_id_next() RETURNS bigint
    LANGUAGE sql VOLATILE
    RETURN entity_id_at(clock_timestamp()) | (nextval('public.entity_seq') & 4194303);

-- The bound tenant; NULL where none is bound, so that every policy below then shows no row.
CREATE FUNCTION tenant_bound() RETURNS integer
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('atlasco.tenant_id', true), '')::integer;

-- The instant that a text stands for, or NULL: only a full ISO 8601 date-time with zone is a timestamp.
-- `entities.values.text_is_timestamp` is the same rule in Python; a test holds them together.
-- IMMUTABLE is true: with a zone in the text, the session's TimeZone has no say.
CREATE FUNCTION text_instant(value text) RETURNS timestamptz
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
BEGIN
    IF value !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.,][0-9]{1,100})?(Z|[+-](0[0-9]|1[0-5])(:?[0-5][0-9])?)$' THEN
        RETURN NULL;
    END IF;
    value := replace(value, ',', '.');
    IF NOT pg_input_is_valid(value, 'timestamptz') THEN  -- 30 February, year 0.
        RETURN NULL;
    END IF;
    RETURN value::timestamptz;
END
$$;

-- The instant of a JSON value. The LIKE keeps the function call away from nearly every value.
-- Not STRICT, or the planner could not inline it: 60 µs a call instead of 1.
CREATE FUNCTION value_instant(value jsonb) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN jsonb_typeof(value) = 'string' AND (value #>> '{}') LIKE '____-__-__T%' THEN text_instant(value #>> '{}')
    END;

-- 'string', 'number', 'boolean', 'timestamp' or 'null'.
CREATE FUNCTION value_kind(value jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN value_instant(value) IS NOT NULL THEN 'timestamp' ELSE jsonb_typeof(value) END;

CREATE TABLE entities (
    entity_id bigint NOT NULL DEFAULT entity_id_next(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),       -- The newest `at` of its values.
    version bigint NOT NULL DEFAULT 1,                   -- Grows with every change, also with one that arrives late.
    tenant_id integer NOT NULL,
    entity_type varchar(100) COLLATE "C" NOT NULL,
    external_id varchar(512) COLLATE "C" NOT NULL,
    attributes jsonb NOT NULL DEFAULT '{}',              -- The whole entity, written with its value rows.
    PRIMARY KEY (tenant_id, entity_id)
) PARTITION BY HASH (tenant_id);

-- (entity_type, external_id) can't be unique on a table that is partitioned by entity_id, so it has a table of its own.
-- external_id leads: an id without a type is looked up here too, and a page in order of external_id walks this index.
CREATE TABLE entity_keys (
    entity_id bigint NOT NULL,
    tenant_id integer NOT NULL,
    external_id varchar(512) COLLATE "C" NOT NULL,
    entity_type varchar(100) COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, external_id, entity_type)
) PARTITION BY HASH (tenant_id);

CREATE TABLE entity_attributes (
    entity_id bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),       -- The `at` of the value: an older one never overwrites it.
    instant_value timestamptz,                           -- Of a timestamp.
    -- Of a number: numeric operators are not leakproof and would lose their index under row-level security.
    numeric_key double precision GENERATED ALWAYS AS (numeric_value::double precision) STORED,
    tenant_id integer NOT NULL,
    indexed boolean NOT NULL DEFAULT false,              -- attribute_metadata.is_indexed when the value was written.
    numeric_value numeric,
    attribute_name varchar(255) COLLATE "C" NOT NULL,
    value_type varchar(20) COLLATE "C" NOT NULL,
    attribute_value text COLLATE "C" NOT NULL,
    -- 'removed' keeps the instant of a removal, so that a late, older update can't bring the value back.
    CONSTRAINT entity_attributes_value_type CHECK (value_type IN ('string', 'number', 'boolean', 'timestamp', 'removed')),
    -- A B-tree entry may have 2,704 bytes at the most.
    CONSTRAINT entity_attributes_indexed_length CHECK (NOT indexed OR octet_length(attribute_value) <= 1000),
    PRIMARY KEY (tenant_id, entity_id, attribute_name)
) PARTITION BY HASH (tenant_id);

CREATE TABLE attribute_metadata (
    tenant_id integer NOT NULL,
    attribute_name varchar(255) COLLATE "C" NOT NULL,
    value_type varchar(20) COLLATE "C" NOT NULL,         -- The type most of its values have.
    value_types jsonb NOT NULL DEFAULT '{}',             -- {type: entities}; attribute_changes holds what is not yet folded in.
    is_indexed boolean NOT NULL DEFAULT false,
    cardinality_estimate bigint,
    null_rate double precision,                          -- Share of the tenant's entities without it.
    most_common jsonb NOT NULL DEFAULT '[]',             -- [[value, share of the values], …], most common first.
    histogram double precision[],                        -- Bounds of equally filled buckets of its numbers, ascending.
    hot_score double precision NOT NULL DEFAULT 0,
    pending_changes bigint NOT NULL DEFAULT 0,           -- Values written since last_analyzed.
    last_analyzed timestamptz,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    description text NOT NULL DEFAULT '',
    unit varchar(50) NOT NULL DEFAULT '',
    status varchar(20) NOT NULL DEFAULT 'active',
    CONSTRAINT attribute_metadata_status CHECK (status IN ('active', 'deprecated', 'hidden')),
    PRIMARY KEY (tenant_id, attribute_name)
);

-- What writers report of attributes: rows only ever inserted, so that writers of one tenant don't queue for one counter.
-- A Celery task folds them into attribute_metadata; readers add what is still here.
CREATE TABLE attribute_changes (
    change_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id integer NOT NULL,
    attribute_name varchar(255) COLLATE "C" NOT NULL,
    value_type varchar(20) COLLATE "C" NOT NULL,
    entity_delta bigint NOT NULL,                        -- Entities that now have a value of this type, less those that no longer do.
    value_changes bigint NOT NULL
);
CREATE INDEX attribute_changes_name ON attribute_changes (tenant_id, attribute_name);

-- The first answer of an import that carried an Idempotency-Key.
CREATE TABLE import_receipts (
    tenant_id integer NOT NULL,
    idempotency_key varchar(255) COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    fingerprint bytea,                                   -- SHA-256 of the body; NULL while the import runs.
    status smallint,
    answer jsonb,
    PRIMARY KEY (tenant_id, idempotency_key)
);

-- An import that a worker does in the background.
CREATE TABLE import_jobs (
    job_id uuid PRIMARY KEY,
    tenant_id integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    status varchar(20) NOT NULL DEFAULT 'queued',
    mode varchar(20) NOT NULL DEFAULT 'merge',
    file_name text NOT NULL,
    file_path text NOT NULL,                             -- In Django's default storage.
    bytes_total bigint NOT NULL,
    bytes_done bigint NOT NULL DEFAULT 0,
    lines_done bigint NOT NULL DEFAULT 0,
    summary jsonb NOT NULL DEFAULT '{}',
    detail text NOT NULL DEFAULT '',                     -- Why it failed.
    created_by text NOT NULL DEFAULT '',
    CONSTRAINT import_jobs_status CHECK (status IN ('queued', 'running', 'done', 'failed', 'cancelled'))
);
CREATE INDEX import_jobs_newest ON import_jobs (tenant_id, created_at DESC);

CREATE INDEX entities_recent ON entities (tenant_id, updated_at DESC, entity_id DESC);
-- Only marked attributes are indexed by value; short values only (see the check above).
CREATE INDEX entity_attributes_by_value ON entity_attributes (tenant_id, attribute_name, attribute_value, entity_id)
    WHERE indexed;
CREATE INDEX entity_attributes_by_number ON entity_attributes (tenant_id, attribute_name, numeric_key, entity_id)
    WHERE indexed AND numeric_value IS NOT NULL;
CREATE INDEX entity_attributes_by_instant ON entity_attributes (tenant_id, attribute_name, instant_value, entity_id)
    WHERE indexed AND instant_value IS NOT NULL;

-- HASH(tenant_id) × 16 → RANGE(tenant_id, entity_id) with one shared DEFAULT leaf per bucket; a large tenant gets a
-- sub-tree of its own beside it. The comment marks what Atlasco made: only partitions that carry it are ever dropped.
DO $$
DECLARE
    parent text;
    bucket integer;
    branch text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['entities', 'entity_attributes'] LOOP
        FOR bucket IN 0..15 LOOP
            branch := parent || '_p' || lpad(bucket::text, 2, '0');
            EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES WITH (MODULUS 16, REMAINDER %s) PARTITION BY RANGE (tenant_id, entity_id)',
                           branch, parent, bucket);
            EXECUTE format('CREATE TABLE %I PARTITION OF %I DEFAULT', branch || '_shared', branch);
            EXECUTE format('ALTER TABLE %I SET (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02)',
                           branch || '_shared');
            EXECUTE format('COMMENT ON TABLE %I IS %L', branch || '_shared', 'atlasco: shared leaf');
        END LOOP;
    END LOOP;
    FOR bucket IN 0..15 LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF entity_keys FOR VALUES WITH (MODULUS 16, REMAINDER %s)',
                       'entity_keys_p' || lpad(bucket::text, 2, '0'), bucket);
    END LOOP;
END
$$;

-- A tenant with a sub-tree of its own: RANGE(entity_id) by month of creation. No DEFAULT at this level, so a cold month
-- can be detached CONCURRENTLY; the last leaf has no upper bound, so no insert ever finds no partition.
-- Raises insufficient_privilege for a tenant that does not exist, duplicate_table for one that has its sub-tree.
-- Only for a tenant without rows: one with rows is moved by `manage.py partitions promote`.
CREATE FUNCTION tenant_dedicate(p_tenant_id integer, months_ahead integer DEFAULT 3) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp
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

-- Removes a tenant's own sub-tree with all rows in it; nothing where it has none. Returns whether it had one.
-- The tenant must be on its way out: a live tenant's data can't be dropped through this door.
CREATE FUNCTION tenant_partitions_drop(p_tenant_id integer) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp
AS $$
DECLARE
    parent text;
    root text;
    found_one boolean := false;
BEGIN
    IF NOT EXISTS (SELECT FROM tenants_tenant WHERE id = p_tenant_id AND status = 'deleting') THEN
        RAISE insufficient_privilege USING MESSAGE = format('tenant %s is not being deleted', p_tenant_id);
    END IF;
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

-- Row-level security, forced on the owner too. Leaves carry no policy and no grant: the application can't name them.
DO $$
DECLARE
    guarded text;
BEGIN
    FOREACH guarded IN ARRAY ARRAY['entities', 'entity_keys', 'entity_attributes', 'attribute_metadata',
                                   'attribute_changes', 'import_receipts', 'import_jobs'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', guarded);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', guarded);
        EXECUTE format('CREATE POLICY tenant ON %I USING (tenant_id = (SELECT tenant_bound())) WITH CHECK (tenant_id = (SELECT tenant_bound()))', guarded);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO atlasco_app', guarded);
    END LOOP;
END
$$;
GRANT USAGE ON SEQUENCE entity_seq TO atlasco_app;
REVOKE EXECUTE ON FUNCTION tenant_dedicate(integer, integer), tenant_partitions_drop(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenant_dedicate(integer, integer), tenant_partitions_drop(integer) TO atlasco_app;

-- The change feed reads whole tables, not leaves: rows move between leaves when a tenant is promoted.
CREATE PUBLICATION atlasco FOR TABLE entities, entity_attributes, attribute_metadata
    WITH (publish_via_partition_root = true);
