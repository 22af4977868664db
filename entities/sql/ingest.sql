-- One batch of an import: COPY → ingest_stage → the statements below, in this order, in one
-- transaction. Lock order: keys by (external_id, entity_type), then entities by entity_id; every writer takes both in
-- that order, so batches wait for each other and never deadlock. Attribute counts are inserts only and block nobody.
-- The lock of the tenant comes before both; writers share it, and only a deletion of the tenant waits for it.

-- name: stage_create
-- Once a connection. One row a line; a line's number is its order.
CREATE TEMP TABLE IF NOT EXISTS ingest_stage (
    line integer NOT NULL,
    entity_id bigint,                    -- Set where the caller chose it.
    entity_type text COLLATE "C" NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    created_at timestamptz,
    at timestamptz,                      -- NULL: now, and it always wins.
    attributes jsonb NOT NULL
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS ingest_entity (
    entity_id bigint NOT NULL,
    entity_type text COLLATE "C" NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    is_new boolean NOT NULL,
    version bigint,
    created_at timestamptz,
    updated_at timestamptz,
    attributes jsonb NOT NULL DEFAULT '{}'
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS ingest_value (
    line integer NOT NULL,
    entity_id bigint NOT NULL,
    attribute_name text COLLATE "C" NOT NULL,
    value jsonb NOT NULL,                -- 'null' removes.
    value_type text COLLATE "C" NOT NULL,
    instant timestamptz,                 -- Of a timestamp.
    at timestamptz NOT NULL,
    stored jsonb,                        -- The entity's value before this batch; NULL where it had none.
    changes boolean NOT NULL,            -- This line changed what the line before it had left.
    is_last boolean NOT NULL             -- What the batch leaves behind.
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS ingest_count (
    attribute_name text COLLATE "C" NOT NULL,
    value_type text COLLATE "C" NOT NULL,
    entities bigint NOT NULL             -- New entities with such a value: `bulk_values_insert` counts as it writes.
) ON COMMIT DELETE ROWS;

-- name: tenant_hold
-- No row: the tenant is marked as being deleted, or gone. A deletion marks it, waits for this lock, and erases then: so
-- it sees all that was written under the lock, and nothing is written after it.
-- The advisory lock is what a promotion pauses the tenant's writers by; it queues fairly, a row's lock does not.
-- By the way: the version of the tenant's rules and aliases, NULL where it has none.
SELECT (SELECT g.version FROM attribute_governance g WHERE g.tenant_id = %(tenant_id)s),
       pg_advisory_xact_lock_shared(hashtext('tenant_move'), id)
FROM public.tenants_tenant
WHERE id = %(tenant_id)s AND status <> 'deleting'
FOR KEY SHARE;

-- name: move_await
SELECT pg_advisory_xact_lock_shared(hashtext('tenant_move'), %(tenant_id)s);

-- name: deletes_await
-- For a batch whose entities were deleted under it twice: running deletes end, later ones wait for the batch.
SELECT pg_advisory_xact_lock(hashtext('entity_delete'), %(tenant_id)s);

-- name: delete_begin
-- Deletes wait for no one but a promotion's slice, and a batch that can't get through otherwise. Before any other lock,
-- or they could deadlock.
SELECT pg_advisory_xact_lock_shared(hashtext('tenant_move'), %(tenant_id)s),
       pg_advisory_xact_lock_shared(hashtext('entity_delete'), %(tenant_id)s);

-- name: keys_claim
-- New (entity_type, external_id) pairs get their entity_id; a pair that another transaction is just claiming is waited for.
WITH claimed AS (
    INSERT INTO entity_keys (tenant_id, external_id, entity_type, entity_id)
    SELECT %(tenant_id)s, s.external_id, s.entity_type, coalesce(s.entity_id, entity_id_next())
    FROM (SELECT external_id, entity_type, min(entity_id) AS entity_id FROM ingest_stage GROUP BY external_id, entity_type) s
    WHERE NOT EXISTS (
        SELECT FROM entity_keys k
        WHERE k.tenant_id = %(tenant_id)s AND k.external_id = s.external_id AND k.entity_type = s.entity_type
    )
    ORDER BY s.external_id, s.entity_type
    ON CONFLICT DO NOTHING
    RETURNING entity_id, entity_type, external_id
)
INSERT INTO ingest_entity (entity_id, entity_type, external_id, is_new)
SELECT entity_id, entity_type, external_id, true FROM claimed;

-- name: entities_lock_by_key
-- The entities that were there before, locked, as they are now. One that was deleted meanwhile is missing from the result.
INSERT INTO ingest_entity (entity_id, entity_type, external_id, is_new, version, created_at, updated_at, attributes)
SELECT e.entity_id, e.entity_type, e.external_id, false, e.version, e.created_at, e.updated_at, e.attributes
FROM (
    SELECT e.*
    FROM entities e
    WHERE e.tenant_id = %(tenant_id)s
      AND e.entity_id = ANY (ARRAY(
          SELECT k.entity_id
          FROM (
              -- EXCEPT, which hashes: estimates of a stage are guesses, and a join may compare each with each.
              SELECT external_id, entity_type FROM ingest_stage
              EXCEPT
              SELECT external_id, entity_type FROM ingest_entity
          ) s
          JOIN entity_keys k ON k.tenant_id = %(tenant_id)s AND k.external_id = s.external_id AND k.entity_type = s.entity_type
      ))
    ORDER BY e.entity_id
    FOR NO KEY UPDATE OF e
) e;

-- name: entity_hold
-- For a single write that somebody has to judge first: the entity, locked.
SELECT e.entity_type, e.external_id, e.version, e.attributes::text
FROM entities e
WHERE e.tenant_id = %(tenant_id)s AND e.entity_id = %(entity_id)s
FOR NO KEY UPDATE;

-- name: entity_write
SELECT w.outcome, w.is_new, (w.written).entity_id, (w.written).entity_type, (w.written).external_id,
       (w.written).created_at, (w.written).updated_at, (w.written).version, (w.written).attributes::text
FROM entity_write(
    %(tenant_id)s, %(entity_id)s, %(entity_type)s, %(external_id)s, %(attributes)s::jsonb, %(created_at)s::timestamptz,
    %(at)s::timestamptz, %(now)s, %(versions)s::bigint[], %(is_upsert)s, %(is_judged)s, %(may_create)s, %(names_max)s,
    %(new_names_max)s
) w;

-- name: lines_archived
-- Lines whose entity lies in an archived month: its key is there, and its row is in a file.
SELECT s.line
FROM ingest_stage s
JOIN entity_keys k ON k.tenant_id = %(tenant_id)s AND k.external_id = s.external_id AND k.entity_type = s.entity_type
JOIN partition_archives a ON a.tenant_id = %(tenant_id)s AND k.entity_id < a.range_to
                         AND k.entity_id >= coalesce(a.range_from, k.entity_id)
WHERE NOT EXISTS (SELECT FROM ingest_entity t WHERE t.entity_id = k.entity_id);

-- name: values_resolve
-- Each attribute of each line, in line order, judged: a given `at` that is older than what is stored, or than an earlier
-- line of the batch, does not apply; what applies either changes the value or leaves it.
-- With mode "replace", names that a line does not have count as null in it.
-- Of one entity, either all lines of a batch have an `at` or none has: the caller sees to it. A line without `at` takes
-- the present, or the entity's newest instant where that lies ahead; one that changes nothing leaves the value's alone.
-- The stored `at` of a value is looked up only for entities that were updated after the line's `at`: no value of an
-- entity is newer than the entity.
WITH incoming AS (
    SELECT s.line, t.entity_id, a.key AS attribute_name, a.value, s.at, t.updated_at AS entity_updated_at,
           t.attributes -> a.key AS stored
    FROM ingest_stage s
    JOIN ingest_entity t ON t.external_id = s.external_id AND t.entity_type = s.entity_type
    CROSS JOIN LATERAL jsonb_each(s.attributes) a
    UNION ALL
    SELECT s.line, t.entity_id, a.key, 'null', s.at, t.updated_at, a.value
    FROM ingest_stage s
    JOIN ingest_entity t ON t.external_id = s.external_id AND t.entity_type = s.entity_type
    CROSS JOIN LATERAL jsonb_each(t.attributes) a
    WHERE %(mode)s = 'replace' AND NOT s.attributes ? a.key
), judged AS (
    SELECT i.*,
           i.at IS NULL OR coalesce(
               i.at >= greatest(
                   v.updated_at,
                   max(i.at) OVER (PARTITION BY i.entity_id, i.attribute_name ORDER BY i.line
                                   ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
               ),
               true
           ) AS applies
    FROM incoming i
    LEFT JOIN LATERAL (
        -- LIMIT keeps it a look-up: a join would read all values of the tenant, and estimates of a stage are guesses.
        SELECT ea.updated_at
        FROM entity_attributes ea
        WHERE i.at < i.entity_updated_at
          AND ea.tenant_id = %(tenant_id)s AND ea.entity_id = i.entity_id AND ea.attribute_name = i.attribute_name
        LIMIT 1
    ) v ON true
), applied AS (
    SELECT j.line, j.entity_id, j.attribute_name, j.value, j.at, j.stored, j.entity_updated_at,
           nullif(j.value, 'null') IS DISTINCT FROM nullif(lag(j.value, 1, j.stored) OVER lines, 'null') AS changes
    FROM judged j
    WHERE j.applies
    WINDOW lines AS (PARTITION BY j.entity_id, j.attribute_name ORDER BY j.line)
)
INSERT INTO ingest_value (line, entity_id, attribute_name, value, value_type, instant, at, stored, changes, is_last)
SELECT line, entity_id, attribute_name, value, CASE WHEN instant IS NULL THEN jsonb_typeof(value) ELSE 'timestamp' END, instant,
       coalesce(at, greatest(%(now)s::timestamptz, entity_updated_at)), stored, changes,
       lead(line) OVER (PARTITION BY entity_id, attribute_name ORDER BY line) IS NULL
FROM (
    -- OFFSET 0, or the planner would ask for the instant in each place that uses it.
    SELECT a.*, value_instant(a.value) AS instant FROM applied a WHERE a.changes OR a.at IS NOT NULL OFFSET 0
) v;

-- name: bulk_begin
-- For a batch in which every entity stands once: sorts and hashes of 50,000 values stay in memory.
SET LOCAL work_mem = '64MB';

-- name: bulk_values_insert
-- Of such a batch, the values of the new entities: in one pass, and without looking for conflicts, since nobody else knows
-- their ids yet. In order of entity_id, so that the pages of the index are visited one after the other.
WITH written AS (
    INSERT INTO entity_attributes (tenant_id, entity_id, attribute_name, value_type, attribute_value,
                                   numeric_value, instant_value, indexed, created_at, updated_at)
    SELECT %(tenant_id)s, n.entity_id, a.key,
           CASE WHEN a.instant IS NOT NULL THEN 'timestamp' WHEN a.kind = 'null' THEN 'removed' ELSE a.kind END,
           coalesce(a.text, ''),
           CASE WHEN a.kind = 'number' THEN a.value::numeric END,
           a.instant,
           a.key = ANY (ARRAY(
               SELECT m.attribute_name::text FROM attribute_metadata m
               WHERE m.tenant_id = %(tenant_id)s AND (m.is_indexed OR m.is_indexing)
           )) AND a.kind <> 'null' AND octet_length(a.text) <= 1000,
           n.at, n.at
    FROM (
        SELECT t.entity_id, s.at IS NOT NULL AS has_at, coalesce(s.at, %(now)s::timestamptz) AS at, s.attributes
        FROM ingest_entity t
        JOIN ingest_stage s ON s.external_id = t.external_id AND s.entity_type = t.entity_type
        WHERE t.is_new
        ORDER BY t.entity_id
    ) n
    CROSS JOIN LATERAL (
        SELECT e.key, e.value, e.value #>> '{}' AS text, jsonb_typeof(e.value) AS kind, value_instant(e.value) AS instant
        FROM jsonb_each(n.attributes) e
        OFFSET 0
    ) a
    WHERE a.kind <> 'null' OR n.has_at
    RETURNING attribute_name, value_type
)
INSERT INTO ingest_count (attribute_name, value_type, entities)
SELECT attribute_name, value_type, count(*)
FROM written
WHERE value_type <> 'removed'
GROUP BY attribute_name, value_type;

-- name: bulk_entities_insert
INSERT INTO entities (tenant_id, entity_id, entity_type, external_id, created_at, updated_at, attributes)
SELECT %(tenant_id)s, t.entity_id, t.entity_type, t.external_id, coalesce(s.created_at, s.at, %(now)s::timestamptz),
       coalesce(s.at, %(now)s::timestamptz), jsonb_strip_nulls(s.attributes)
FROM ingest_entity t
JOIN ingest_stage s ON s.external_id = t.external_id AND s.entity_type = t.entity_type
WHERE t.is_new
ORDER BY t.entity_id;

-- name: bulk_values_resolve
-- Of such a batch, the entities that were there before; judged as `values_resolve` does, where no line has one before it.
INSERT INTO ingest_value (line, entity_id, attribute_name, value, value_type, instant, at, stored, changes, is_last)
SELECT i.line, i.entity_id, i.key, i.value, CASE WHEN i.instant IS NULL THEN jsonb_typeof(i.value) ELSE 'timestamp' END,
       i.instant, coalesce(i.at, greatest(%(now)s::timestamptz, i.entity_updated_at)), i.stored, i.changes, true
FROM (
    SELECT s.line, t.entity_id, a.key, a.value, s.at, t.updated_at AS entity_updated_at, a.stored,
           value_instant(a.value) AS instant, nullif(a.value, 'null') IS DISTINCT FROM a.stored AS changes
    FROM ingest_entity t
    JOIN ingest_stage s ON s.external_id = t.external_id AND s.entity_type = t.entity_type
    CROSS JOIN LATERAL (
        SELECT e.key, e.value, t.attributes -> e.key AS stored FROM jsonb_each(s.attributes) e
        UNION ALL
        SELECT e.key, 'null', e.value FROM jsonb_each(t.attributes) e WHERE %(mode)s = 'replace' AND NOT s.attributes ? e.key
    ) a
    WHERE NOT t.is_new
    OFFSET 0
) i
LEFT JOIN LATERAL (
    SELECT ea.updated_at
    FROM entity_attributes ea
    WHERE i.at < i.entity_updated_at
      AND ea.tenant_id = %(tenant_id)s AND ea.entity_id = i.entity_id AND ea.attribute_name = i.key
    LIMIT 1
) v ON true
WHERE (i.changes OR i.at IS NOT NULL) AND coalesce(i.at >= v.updated_at, true);

-- name: samples_tell
-- Values that a later line of the batch replaces are never stored, but they are samples of history and of alerts: the
-- change feed gets them from the log, before the rows, in messages of about a megabyte.
SELECT count(pg_logical_emit_message(true, 'atlasco.samples', content::text))
FROM (
    SELECT jsonb_build_object('tenant_id', %(tenant_id)s::integer, 'samples', jsonb_agg(jsonb_build_array(
               v.entity_id, v.attribute_name, CASE v.value_type WHEN 'null' THEN 'removed' ELSE v.value_type END,
               coalesce(v.value #>> '{}', ''), CASE WHEN v.value_type = 'number' THEN v.value #>> '{}' END,
               CASE WHEN v.value_type = 'timestamp' THEN (extract(epoch FROM value_instant(v.value)) * 1000000)::bigint END,
               (extract(epoch FROM v.at) * 1000000)::bigint
           ) ORDER BY v.line)) AS content
    FROM (
        SELECT *, sum(length(value::text) + length(attribute_name)) OVER (ORDER BY line ROWS UNBOUNDED PRECEDING) / 1000000 AS piece
        FROM ingest_value
        WHERE NOT is_last
    ) v
    GROUP BY v.piece
    ORDER BY v.piece
) m;

-- name: values_write
-- A value that did not change is written to move its `at` forward.
INSERT INTO entity_attributes AS ea (tenant_id, entity_id, attribute_name, value_type, attribute_value,
                                     numeric_value, instant_value, indexed, created_at, updated_at)
SELECT %(tenant_id)s, v.entity_id, v.attribute_name,
       CASE v.value_type WHEN 'null' THEN 'removed' ELSE v.value_type END,
       coalesce(v.value #>> '{}', ''),
       CASE WHEN v.value_type = 'number' THEN (v.value)::numeric END,
       v.instant,
       v.attribute_name = ANY (ARRAY(
           SELECT m.attribute_name::text FROM attribute_metadata m
           WHERE m.tenant_id = %(tenant_id)s AND (m.is_indexed OR m.is_indexing)
       )) AND v.value_type <> 'null' AND octet_length(v.value #>> '{}') <= 1000,
       v.at, v.at
FROM ingest_value v
WHERE v.is_last
ORDER BY v.entity_id, v.attribute_name
ON CONFLICT (tenant_id, entity_id, attribute_name) DO UPDATE
SET value_type = excluded.value_type, attribute_value = excluded.attribute_value, numeric_value = excluded.numeric_value,
    instant_value = excluded.instant_value, indexed = excluded.indexed, updated_at = excluded.updated_at;

-- name: entities_insert
-- The first line says when the entity came into being, unless one says so itself.
INSERT INTO entities (tenant_id, entity_id, entity_type, external_id, created_at, updated_at, attributes)
SELECT %(tenant_id)s, t.entity_id, t.entity_type, t.external_id,
       coalesce(s.created_at, s.first_at, %(now)s::timestamptz),
       greatest(v.at, coalesce(s.first_at, %(now)s::timestamptz)),
       coalesce(v.document, '{}')
FROM ingest_entity t
JOIN (
    SELECT external_id, entity_type,
           (array_agg(created_at ORDER BY line DESC) FILTER (WHERE created_at IS NOT NULL))[1] AS created_at,
           (array_agg(at ORDER BY line))[1] AS first_at
    FROM ingest_stage
    GROUP BY external_id, entity_type
) s ON s.external_id = t.external_id AND s.entity_type = t.entity_type
LEFT JOIN (
    SELECT entity_id, max(at) AS at, jsonb_object_agg(attribute_name, value) FILTER (WHERE value <> 'null') AS document
    FROM ingest_value
    WHERE is_last
    GROUP BY entity_id
) v ON v.entity_id = t.entity_id
WHERE t.is_new
ORDER BY t.entity_id;

-- name: entities_update
-- Untouched where no value changed, no newer `at` came and created_at stays.
UPDATE entities e
SET attributes = (t.attributes - coalesce(v.removed, '{}')) || coalesce(v.document, '{}'),
    updated_at = greatest(t.updated_at, v.at),
    created_at = coalesce(s.created_at, t.created_at),
    version = t.version + 1
FROM ingest_entity t
JOIN (
    SELECT external_id, entity_type,
           (array_agg(created_at ORDER BY line DESC) FILTER (WHERE created_at IS NOT NULL))[1] AS created_at
    FROM ingest_stage
    GROUP BY external_id, entity_type
) s ON s.external_id = t.external_id AND s.entity_type = t.entity_type
LEFT JOIN (
    SELECT entity_id,
           max(at) AS at,
           bool_or(nullif(value, 'null') IS DISTINCT FROM stored) AS changes,
           jsonb_object_agg(attribute_name, value) FILTER (WHERE value <> 'null') AS document,
           array_agg(attribute_name::text) FILTER (WHERE value = 'null') AS removed
    FROM ingest_value
    WHERE is_last
    GROUP BY entity_id
) v ON v.entity_id = t.entity_id
WHERE NOT t.is_new
  AND e.tenant_id = %(tenant_id)s AND e.entity_id = t.entity_id
  AND (v.changes OR v.at > t.updated_at OR s.created_at <> t.created_at);

-- name: registry_write
-- Names seen for the first time, and what changed for each name and type. Returns the new names that are quarantined.
-- Counted once, since there are thousands of values to a name; what was stored before has a name and a type, too.
WITH observed AS MATERIALIZED (
    SELECT attribute_name, value_type, stored_type, changes, sum(entities) AS entities
    FROM (
        SELECT attribute_name, value_type, value_kind(stored) AS stored_type,
               nullif(value, 'null') IS DISTINCT FROM stored AS changes, 1 AS entities
        FROM ingest_value
        WHERE is_last
        UNION ALL
        SELECT attribute_name, value_type, NULL, true, entities FROM ingest_count
    ) o
    GROUP BY attribute_name, value_type, stored_type, changes
), fresh AS (
    SELECT array_agg(n.attribute_name) AS names, array_agg(n.value_type) AS types
    FROM (
        SELECT o.attribute_name, min(o.value_type) AS value_type
        FROM observed o
        WHERE o.value_type <> 'null'
          AND NOT EXISTS (
              SELECT FROM attribute_metadata m WHERE m.tenant_id = %(tenant_id)s AND m.attribute_name = o.attribute_name
          )
        GROUP BY o.attribute_name
    ) n
), changed AS (
    INSERT INTO attribute_changes (tenant_id, attribute_name, value_type, entity_delta, value_changes)
    SELECT %(tenant_id)s, attribute_name, value_type, sum(entity_delta), sum(value_changes)
    FROM (
        SELECT attribute_name, value_type, entities AS entity_delta, entities AS value_changes FROM observed WHERE changes
        UNION ALL
        -- A removal is a change, too; the change of a value was counted above.
        SELECT attribute_name, stored_type, -entities, CASE WHEN value_type = 'null' THEN entities ELSE 0 END
        FROM observed
        WHERE changes AND stored_type IS NOT NULL
    ) d
    WHERE value_type <> 'null'
    GROUP BY attribute_name, value_type
)
SELECT q.name
FROM fresh f
CROSS JOIN attribute_names_add(%(tenant_id)s, f.names, f.types, %(now)s, %(names_max)s, %(new_names_max)s) q(name)
WHERE f.names IS NOT NULL;

-- name: lines_count
-- What each line did, had they come one by one.
SELECT count(*) FILTER (WHERE creates), count(*) FILTER (WHERE NOT creates AND changes), count(*) FILTER (WHERE NOT creates AND NOT changes)
FROM (
    SELECT t.is_new AND row_number() OVER lines = 1 AS creates,
           coalesce(v.changes, false) OR coalesce(s.created_at <> coalesce(
               -- What the lines before it had left: the last created_at that one of them gave, or what was there.
               lag(s.created_at) OVER (PARTITION BY t.entity_id, s.created_at IS NULL ORDER BY s.line),
               t.created_at,
               first_value(coalesce(s.at, %(now)s::timestamptz)) OVER lines
           ), false) AS changes
    FROM ingest_stage s
    JOIN ingest_entity t ON t.external_id = s.external_id AND t.entity_type = s.entity_type
    LEFT JOIN (SELECT line, bool_or(changes) AS changes FROM ingest_value GROUP BY line) v ON v.line = s.line
    WINDOW lines AS (PARTITION BY t.entity_id ORDER BY s.line)
) l;

-- name: bulk_lines_count
-- The same where every entity stands once.
SELECT count(*) FILTER (WHERE t.is_new), count(*) FILTER (WHERE NOT t.is_new AND c.changes),
       count(*) FILTER (WHERE NOT t.is_new AND NOT c.changes)
FROM ingest_entity t
JOIN ingest_stage s ON s.external_id = t.external_id AND s.entity_type = t.entity_type
LEFT JOIN (SELECT entity_id, bool_or(changes) AS changes FROM ingest_value GROUP BY entity_id) v ON v.entity_id = t.entity_id
CROSS JOIN LATERAL (SELECT coalesce(v.changes, false) OR coalesce(s.created_at <> t.created_at, false)) c(changes);

-- name: entity_delete
-- Last of the three of a delete: entity_lock, key_delete, entity_delete. Who waits for the entity's lock meanwhile finds
-- neither the entity nor its key afterwards, and starts again.
WITH gone AS (
    DELETE FROM entities e
    WHERE e.tenant_id = %(tenant_id)s AND e.entity_id = %(entity_id)s
    RETURNING e.attributes
), values_gone AS (
    DELETE FROM entity_attributes ea
    WHERE ea.tenant_id = %(tenant_id)s AND ea.entity_id = %(entity_id)s
)
INSERT INTO attribute_changes (tenant_id, attribute_name, value_type, entity_delta, value_changes)
SELECT %(tenant_id)s, a.key, value_kind(a.value), -1, 1
FROM gone CROSS JOIN LATERAL jsonb_each(gone.attributes) a;

-- name: entity_lock
-- First of a delete: the one lock that every other writer of the entity waits for.
SELECT e.version
FROM entities e
WHERE e.tenant_id = %(tenant_id)s AND e.entity_id = %(entity_id)s
FOR UPDATE;

-- name: key_delete
DELETE FROM entity_keys k
USING entities e
WHERE e.tenant_id = %(tenant_id)s AND e.entity_id = %(entity_id)s
  AND k.tenant_id = e.tenant_id AND k.external_id = e.external_id AND k.entity_type = e.entity_type;
