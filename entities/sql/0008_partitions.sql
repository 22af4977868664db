-- Partitions that move: a tenant is promoted from its shared leaf to a sub-tree of its own while it is read and written,
-- and cold months are detached and brought back. `entities.partitions` takes these steps; each is safe to take twice.
-- The functions are the owner's, so that a worker can do it without the owner's password. They only ever touch tables
-- whose names they make from a tenant's id.

-- Note [A move and its readers]
-- A move changes partition bounds and row places in one transaction, under a lock of the branch that every reader of
-- the bucket takes before it looks at the bounds. So a statement sees either the old bounds and places or the new ones.
-- Only a snapshot that is older than the move, used by a statement that is planned after it, sees new bounds and old
-- places: rows would be missing. Such a reader finds out afterwards: this sequence holds the transaction id of the
-- newest move, for every snapshot at once, on standbys too. An id that the snapshot does not see, and that has not
-- failed, means: read again (`entities.partitions.snapshots`).
CREATE SEQUENCE partition_moves AS bigint;
GRANT SELECT ON SEQUENCE partition_moves TO atlasco_app;

CREATE FUNCTION snapshot_is_whole() RETURNS boolean
    LANGUAGE sql VOLATILE
    SET search_path = public, pg_temp
    RETURN (SELECT pg_visible_in_snapshot(last_value::text::xid8, pg_current_snapshot())
                   OR coalesce(pg_xact_status(last_value::text::xid8) = 'aborted', true)
            FROM partition_moves);

-- How far each promotion is. moved_from: the lower bound of the sub-tree as it is attached now; NULL before the first.
CREATE TABLE partition_promotions (
    tenant_id integer PRIMARY KEY REFERENCES tenants_tenant (id) ON DELETE CASCADE,
    status varchar(20) NOT NULL DEFAULT 'queued',
    step varchar(40) NOT NULL DEFAULT '',
    requested_at timestamptz NOT NULL,
    requested_by text NOT NULL DEFAULT '',
    started_at timestamptz,
    beat_at timestamptz,
    finished_at timestamptz,
    boundary bigint,                                     -- Ids from here on went to the sub-tree from the beginning.
    moved_from bigint,
    rows_total bigint NOT NULL DEFAULT 0,
    rows_moved bigint NOT NULL DEFAULT 0,
    slices integer NOT NULL DEFAULT 0,
    longest_pause_s double precision NOT NULL DEFAULT 0, -- Of the tenant's writers.
    detail text NOT NULL DEFAULT '',
    CONSTRAINT partition_promotions_status CHECK (status IN ('queued', 'running', 'done', 'failed'))
);

-- Months that were detached to files, one row per month of a tenant.
CREATE TABLE partition_archives (
    tenant_id integer NOT NULL REFERENCES tenants_tenant (id) ON DELETE CASCADE,
    leaf varchar(20) NOT NULL,                           -- 'old', YYYYMM, or YYYYMM_N for a part of a month
    range_from bigint,                                   -- NULL: from the beginning.
    range_to bigint NOT NULL,
    archived_at timestamptz NOT NULL,
    entities bigint NOT NULL,
    attribute_values bigint NOT NULL,
    bytes bigint NOT NULL,
    path text NOT NULL,                                  -- Of the manifest, in Django's default storage.
    digest text NOT NULL,                                -- SHA-256 of the manifest.
    PRIMARY KEY (tenant_id, leaf)
);

-- The platform's own tables: a session that is bound to a tenant sees that tenant's row.
DO $$
DECLARE
    guarded text;
BEGIN
    FOREACH guarded IN ARRAY ARRAY['partition_promotions', 'partition_archives'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', guarded);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', guarded);
        EXECUTE format('CREATE POLICY tenant ON %I USING (coalesce(tenant_id = (SELECT tenant_bound()), (SELECT tenant_bound()) IS NULL))', guarded);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO atlasco_app', guarded);
    END LOOP;
END
$$;

-- The instant of an id: the inverse of entity_id_at.
CREATE FUNCTION entity_id_instant(entity_id bigint) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN to_timestamp(((entity_id >> 22) + 1704067200000) / 1000.0);

CREATE FUNCTION tenant_bucket(p_tenant_id integer) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = public, pg_temp
    RETURN (SELECT lpad(g::text, 2, '0') FROM generate_series(0, 15) g
            WHERE satisfies_hash_partition('entities'::regclass, 16, g, p_tenant_id));

-- Raises insufficient_privilege for a tenant that does not exist or is being deleted.
CREATE FUNCTION tenant_partitions_check(p_tenant_id integer) RETURNS void
    LANGUAGE plpgsql
    SET search_path = public, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM tenants_tenant WHERE id = p_tenant_id AND status <> 'deleting') THEN
        RAISE insufficient_privilege USING MESSAGE = format('there is no tenant %s, or it is being deleted', p_tenant_id);
    END IF;
END
$$;

-- An empty leaf of a sub-tree. lower: NULL for none; upper: NULL for none. `promote_range` lets a later ATTACH of the
-- sub-tree believe the leaf's lower bound without reading it.
CREATE FUNCTION tenant_leaf_create(root text, leaf text, lower bigint, upper bigint, remark text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = public, pg_temp
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

-- Takes ACCESS EXCLUSIVE locks of all these tables, or of none and tries again: whoever reads waits 50 ms at the most
-- for an attempt that fails. Raises lock_not_available after that many seconds: a reader does not end.
-- A vacuum would stand in the way for a second before it yields: the caller keeps it away by a weaker lock before.
CREATE FUNCTION partition_lock(tables text[], patience_s double precision) RETURNS void
    LANGUAGE plpgsql
    SET search_path = public, pg_temp
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

-- Whether this session, or nobody, is at work on the tenant's partitions; if nobody, then this transaction is now.
CREATE FUNCTION tenant_partitions_hold(p_tenant_id integer) RETURNS boolean
    LANGUAGE sql VOLATILE
    RETURN pg_try_advisory_xact_lock(hashtext('tenant_promote'), p_tenant_id);

-- Step 1: from now on the shared leaf takes none of the tenant's ids from p_from on (NULL: none at all). Called while
-- the tenant's writers are paused, or with ids that nobody has yet: a writer who comes all the same is told by the
-- constraint's name (`promote_TENANT`), waits and tries again.
CREATE FUNCTION promotion_arm(p_tenant_id integer, p_from bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp
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

-- Undoes step 1 where nobody else is at work on the tenant: what a killed promotion left behind. Returns whether it did.
CREATE FUNCTION promotion_disarm(p_tenant_id integer) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp
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

-- Step 2: the sub-tree, empty, attached for the ids from p_boundary on, which nobody has yet and step 1 keeps out of the
-- shared leaf. A leaf for the rest of that month, one for each month ahead, one without an end.
CREATE FUNCTION promotion_open(p_tenant_id integer, p_boundary bigint, months_ahead integer DEFAULT 3) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp
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

-- Puts the sub-tree into its branch, from p_from on (NULL: from the beginning), in place of where it is now. From here to
-- COMMIT, the bucket's readers and writers wait.
CREATE FUNCTION promotion_attach(p_tenant_id integer, p_from bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path = public, pg_temp
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

-- Where the next slice begins, so that it lies in one month and has about p_rows rows of either table at the most, and
-- whether nothing is left before it.
CREATE FUNCTION promotion_slice(p_tenant_id integer, p_rows integer, OUT begins bigint, OUT is_last boolean)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = public, pg_temp
AS $$
DECLARE
    leaves text[] := ARRAY['entities_p' || tenant_bucket(p_tenant_id) || '_shared', 'entity_attributes_p' || tenant_bucket(p_tenant_id) || '_shared'];
    leaf text;
    newest bigint;
    found_id bigint;
BEGIN
    EXECUTE format('SELECT max(entity_id) FROM %I WHERE tenant_id = %s', leaves[1], p_tenant_id) INTO newest;
    -- A tenant that has nothing left: one empty slice ends its way.
    newest := coalesce(newest, entity_id_at(clock_timestamp()));
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

-- Step 3, alone in its transaction and with step 1 taken for p_from (NULL for the last slice): the tenant's rows from
-- p_from on go to a leaf of their own, and the sub-tree is attached from there on. With the last slice, whose rows begin
-- at p_begins, comes the leaf of all that is older. Returns the rows moved: entities and values.
CREATE FUNCTION promotion_move(p_tenant_id integer, p_begins bigint, p_is_last boolean, p_number integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp
AS $$
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
$$;

-- Where the sub-tree begins as it is attached now.
CREATE FUNCTION promotion_upper(p_parent text, p_tenant_id integer) RETURNS bigint
    LANGUAGE sql STABLE
    SET search_path = public, pg_temp
    RETURN (SELECT substring(pg_get_expr(c.relpartbound, c.oid) FROM 'FROM \(''?\d+''?, ''?(\d+)''?\)')::bigint
            FROM pg_class c WHERE c.oid = (p_parent || '_tenant_' || p_tenant_id)::regclass);

CREATE FUNCTION promotion_slice_attach(p_parent text, p_tenant_id integer) RETURNS void
    LANGUAGE plpgsql
    SET search_path = public, pg_temp
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

-- Last step: the checks have served.
CREATE FUNCTION promotion_finish(p_tenant_id integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp
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

-- Fresh statistics of the moved rows; autovacuum would come only minutes later.
CREATE FUNCTION promotion_analyze(p_tenant_id integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp
AS $$
BEGIN
    PERFORM tenant_partitions_check(p_tenant_id);
    EXECUTE format('ANALYZE %I, %I', 'entities_tenant_' || p_tenant_id, 'entity_attributes_tenant_' || p_tenant_id);
END
$$;

-- Months of a sub-tree that are to be there up to this many from now; `_future` begins after the last one. Rows that
-- `_future` holds of a month that is made now move there. Returns the months made, as 'YYYYMM'.
CREATE FUNCTION partitions_ahead(p_tenant_id integer, months_ahead integer DEFAULT 3) RETURNS text[]
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp
AS $$
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
$$;

-- The tree as it is: every branch and leaf with its bounds, size and activity. Sizes include indexes.
CREATE FUNCTION partition_tree() RETURNS TABLE (
    name text, parent text, is_leaf boolean, bounds text, comment text, bytes bigint, rows_estimate bigint,
    reads bigint, writes bigint, last_read timestamptz
)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = public, pg_temp
    BEGIN ATOMIC
        SELECT c.relname::text, p.relname::text, c.relkind = 'r', pg_get_expr(c.relpartbound, c.oid),
               obj_description(c.oid, 'pg_class'),
               CASE WHEN c.relkind = 'r' THEN pg_total_relation_size(c.oid) ELSE 0 END,
               CASE WHEN c.relkind = 'r' THEN greatest(c.reltuples, s.n_live_tup, 0)::bigint ELSE 0 END,
               coalesce(s.seq_scan + s.idx_scan, 0), coalesce(s.n_tup_ins + s.n_tup_upd + s.n_tup_del, 0),
               greatest(s.last_seq_scan, s.last_idx_scan)
        FROM pg_class c
        JOIN pg_inherits i ON i.inhrelid = c.oid
        JOIN pg_class p ON p.oid = i.inhparent
        LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
          AND c.relname ~ '^(entities|entity_attributes)_(p[0-9]{2}|tenant_)'
        ORDER BY c.relname COLLATE "C";
    END;

-- The tenants of the shared leaves with the share of each, as the newest ANALYZE saw it: only large ones are among a
-- leaf's most common values, and only large ones are asked for.
CREATE FUNCTION partition_tenants() RETURNS TABLE (leaf text, tenant_id integer, entities bigint, bytes bigint)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = public, pg_temp
    BEGIN ATOMIC
        SELECT c.relname::text, m.tenant_id, (m.share * greatest(c.reltuples, 0))::bigint,
               (m.share * (pg_total_relation_size(c.oid)
                           + pg_total_relation_size(replace(c.relname, 'entities_', 'entity_attributes_')::regclass)))::bigint
        FROM pg_class c
        JOIN pg_stats s ON s.schemaname = 'public' AND s.tablename = c.relname AND s.attname = 'tenant_id' AND NOT s.inherited
        CROSS JOIN LATERAL unnest(s.most_common_vals::text::integer[], s.most_common_freqs) AS m(tenant_id, share)
        WHERE c.relnamespace = 'public'::regnamespace AND c.relname ~ '^entities_p[0-9]{2}_shared$'
        ORDER BY 3 DESC;
    END;

-- Tables that carry our comment and belong to nothing any more: their tenant is gone, or a restore was interrupted.
CREATE FUNCTION partition_orphans() RETURNS SETOF text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = public, pg_temp
    BEGIN ATOMIC
        SELECT c.relname::text
        FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
          AND c.relname ~ '^(entities|entity_attributes)_tenant_[0-9]+'
          AND obj_description(c.oid, 'pg_class') LIKE 'atlasco: %'
          AND (substring(c.relname FROM 'tenant_([0-9]+)')::integer NOT IN (SELECT id FROM tenants_tenant)
               OR c.relname ~ 'tenant_[0-9]+_')
        ORDER BY c.relname COLLATE "C";
    END;

-- Drops one of them. Raises insufficient_privilege for a table that is none.
CREATE FUNCTION partition_orphan_drop(p_name text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp
AS $$
BEGIN
    IF p_name NOT IN (SELECT partition_orphans()) OR NOT tenant_partitions_hold(substring(p_name FROM 'tenant_([0-9]+)')::integer) THEN
        RAISE insufficient_privilege USING MESSAGE = format('%s is not an orphan of ours', p_name);
    END IF;
    EXECUTE format('DROP TABLE %I', p_name);
END
$$;

-- A month goes to files. The caller has paused the tenant's writers; rows_* are handed out by the cursors it opens.
-- Reading another tenant's leaf by this door is refused: the tenant must be the bound one.
CREATE FUNCTION archive_leaf(p_parent text, p_leaf text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = public, pg_temp
AS $$
DECLARE
    leaf text := p_parent || '_tenant_' || tenant_bound() || '_' || p_leaf;
BEGIN
    IF p_parent NOT IN ('entities', 'entity_attributes') OR p_leaf !~ '^(old|[0-9]{6}(_[0-9]+)?)$' OR leaf IS NULL
       OR coalesce(obj_description(to_regclass(leaf), 'pg_class'), '') NOT LIKE 'atlasco: %' THEN
        RAISE insufficient_privilege USING MESSAGE = format('%s of %s is no leaf that can be archived', p_leaf, p_parent);
    END IF;
    RETURN leaf;
END
$$;

-- Removes the bound tenant's leaf with its rows. Refused where the number of rows is not the one that was written out.
CREATE FUNCTION archive_detach(p_leaf text, p_entities bigint, p_values bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp
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

-- An empty leaf in the place of one that was archived: rows are then written through the tables as ever.
CREATE FUNCTION archive_attach(p_leaf text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp
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

-- Also what an interrupted promotion left of the tenant, whose rows are gone by then.
CREATE OR REPLACE FUNCTION tenant_partitions_drop(p_tenant_id integer) RETURNS boolean
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

DO $$
DECLARE
    door text;
BEGIN
    FOREACH door IN ARRAY ARRAY[
        'tenant_partitions_check(integer)', 'tenant_leaf_create(text, text, bigint, bigint, text)', 'partition_lock(text[], double precision)',
        'tenant_partitions_hold(integer)', 'archive_leaf(text, text)', 'promotion_attach(integer, bigint)',
        'promotion_upper(text, integer)', 'promotion_slice_attach(text, integer)'
    ] LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', door);
    END LOOP;
    FOREACH door IN ARRAY ARRAY[
        'promotion_arm(integer, bigint)', 'promotion_disarm(integer)', 'promotion_open(integer, bigint, integer)',
        'promotion_move(integer, bigint, boolean, integer)', 'promotion_slice(integer, integer)', 'promotion_finish(integer)', 'promotion_analyze(integer)',
        'partitions_ahead(integer, integer)', 'partition_tree()', 'partition_tenants()', 'partition_orphans()',
        'partition_orphan_drop(text)', 'archive_detach(text, bigint, bigint)', 'archive_attach(text)'
    ] LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', door);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO atlasco_app', door);
    END LOOP;
END
$$;
