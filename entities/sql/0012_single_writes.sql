-- One write of one entity, in one statement. The same rules as a batch of one line (`sql/ingest.sql`), without a stage:
-- filling and emptying temporary tables cost a single write more than all else, and a program that sends 100 writes a
-- second has no batches. Tests hold both ways together.

-- Names seen for the first time go into the registry. Returns those that are quarantined: names that look like ids, and
-- names beyond the room that the tenant has left, which is counted only here.
CREATE FUNCTION attribute_names_add(
    p_tenant_id integer, p_names text[], p_types text[], p_now timestamptz, p_names_max bigint, p_new_names_max bigint
) RETURNS SETOF text
    LANGUAGE sql
    SET search_path = public, pg_temp
BEGIN ATOMIC
    WITH fresh AS (
        SELECT n.name, n.kind, attribute_name_suspect(n.name) AS suspect
        FROM unnest(p_names, p_types) AS n(name, kind)
    ), placed AS (
        SELECT f.*, row_number() OVER (PARTITION BY f.suspect IS NULL ORDER BY f.name COLLATE "C") AS place FROM fresh f
    ), room AS (
        SELECT coalesce((SELECT t.quota_attributes FROM tenants_tenant t WHERE t.id = p_tenant_id), p_names_max)
                   - count(*) AS in_all,
               p_new_names_max - count(*) FILTER (WHERE m.first_seen_at > p_now - interval '1 hour') AS this_hour
        FROM attribute_metadata m
        WHERE m.tenant_id = p_tenant_id AND m.status <> 'quarantined' AND EXISTS (SELECT FROM fresh WHERE suspect IS NULL)
    ), named AS (
        INSERT INTO attribute_metadata (tenant_id, attribute_name, value_type, first_seen_at, status, quarantine_reason)
        SELECT p_tenant_id, p.name, p.kind, p_now,
               CASE WHEN r.reason IS NULL THEN 'active' ELSE 'quarantined' END, coalesce(r.reason, '')
        FROM placed p
        CROSS JOIN room
        CROSS JOIN LATERAL (SELECT coalesce(p.suspect, CASE
            WHEN p.place > room.in_all THEN 'quota' WHEN p.place > room.this_hour THEN 'flood'
        END)) r(reason)
        ORDER BY p.name COLLATE "C"
        ON CONFLICT DO NOTHING
        RETURNING attribute_name, status
    )
    SELECT attribute_name::text FROM named WHERE status = 'quarantined' ORDER BY attribute_name;
END;

-- Merges attributes into an entity, which is named by its id or (with p_entity_type) by its key; one of a new key is made.
-- Without p_external_id a new one gets its id as that.
--
-- outcome: written; else nothing was written, because of: tenant_busy (being deleted), governed (the tenant has rules, in
-- version rules_version, and nobody has judged the values: judge, and call again with p_is_judged), missing, outdated
-- (the version is none of p_versions), exists (and p_is_upsert is false), incomplete (it would be new, and p_may_create is
-- false), archived, vanished (deleted while we waited for it: try again).
-- written: the entity as it is then; of governed, exists and outdated, as it was.
--
-- Lock order as in a batch: the tenant, the key, the entity. An own search_path, so that plans of the statements inside are
-- kept when the connection's goes from tenant to tenant.
CREATE FUNCTION entity_write(
    p_tenant_id integer, p_entity_id bigint, p_entity_type text, p_external_id text, p_attributes jsonb,
    p_created_at timestamptz, p_at timestamptz, p_now timestamptz, p_versions bigint[], p_is_upsert boolean,
    p_is_judged boolean, p_may_create boolean, p_names_max bigint, p_new_names_max bigint,
    OUT outcome text, OUT rules_version bigint, OUT is_new boolean, OUT written entities
)
    LANGUAGE plpgsql
    SET search_path = public, pg_temp
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
