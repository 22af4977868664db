-- What `entities.partitions.archive` reads and writes. Bound to the tenant; row-level security stands behind.

-- name: writers_pause
-- Both locks of a promotion, until the transaction ends. Every change of partitions begins with the feed's note.
SELECT pg_logical_emit_message(true, 'atlasco.rows_moved', '{}'), pg_advisory_xact_lock(hashtext('tenant_promote'), %(tenant_id)s),
       pg_advisory_xact_lock(hashtext('tenant_move'), %(tenant_id)s);

-- name: archived_note
-- To the stores that the change feed fills: what is in files now must not be read from a cache.
SELECT pg_logical_emit_message(true, 'atlasco.rows_archived', jsonb_build_object('tenant_id', %(tenant_id)s::int)::text);

-- name: leaf_bounds
-- NULL: no bound on that side, or no such leaf.
SELECT substring(bounds FROM 'FROM \(''?(\d+)''?\)')::bigint, substring(bounds FROM 'TO \(''?(\d+)''?\)')::bigint
FROM partition_tree()
WHERE name = %(name)s AND is_leaf;

-- name: fingerprint
SELECT e.n, e.versions, v.n, v.instants
FROM (
    SELECT count(*) AS n, coalesce(sum(version), 0) AS versions
    FROM entities WHERE tenant_id = %(tenant_id)s AND entity_id >= %(lower)s AND entity_id < %(upper)s
) e, (
    SELECT count(*) AS n, coalesce(sum((extract(epoch FROM updated_at) * 1000000)::bigint), 0) AS instants
    FROM entity_attributes WHERE tenant_id = %(tenant_id)s AND entity_id >= %(lower)s AND entity_id < %(upper)s
) v;

-- name: entities_page
SELECT entity_id, entity_type, external_id, (extract(epoch FROM created_at) * 1000000)::bigint,
       (extract(epoch FROM updated_at) * 1000000)::bigint, version, attributes::text
FROM entities
WHERE tenant_id = %(tenant_id)s AND entity_id > %(after_id)s AND entity_id < %(upper)s
ORDER BY entity_id
LIMIT %(limit)s;

-- name: entity_attributes_page
SELECT entity_id, attribute_name, value_type, attribute_value, numeric_value::text,
       (extract(epoch FROM instant_value) * 1000000)::bigint, indexed,
       (extract(epoch FROM created_at) * 1000000)::bigint, (extract(epoch FROM updated_at) * 1000000)::bigint
FROM entity_attributes
WHERE tenant_id = %(tenant_id)s AND (entity_id, attribute_name) > (%(after_id)s, %(after_name)s::varchar COLLATE "C")
  AND entity_id >= %(lower)s AND entity_id < %(upper)s
ORDER BY entity_id, attribute_name
LIMIT %(limit)s;

-- name: entities_stage
CREATE TEMP TABLE restore_entities (
    entity_id bigint, entity_type text, external_id text, created_us bigint, updated_us bigint, version bigint, attributes jsonb
) ON COMMIT DROP;

-- name: entities_restore
INSERT INTO entities (tenant_id, entity_id, entity_type, external_id, created_at, updated_at, version, attributes)
SELECT tenant_bound(), entity_id, entity_type, external_id, 'epoch'::timestamptz + created_us * interval '1 microsecond',
       'epoch'::timestamptz + updated_us * interval '1 microsecond', version, attributes
FROM restore_entities
ORDER BY entity_id;

-- name: entity_attributes_stage
CREATE TEMP TABLE restore_entity_attributes (
    entity_id bigint, attribute_name text, value_type text, attribute_value text, numeric_value numeric, instant_us bigint,
    indexed boolean, created_us bigint, updated_us bigint
) ON COMMIT DROP;

-- name: entity_attributes_restore
-- Marked for the index as the registry says now, as any writer does: see Note [When an index is whole].
INSERT INTO entity_attributes (tenant_id, entity_id, attribute_name, value_type, attribute_value, numeric_value, instant_value,
                               indexed, created_at, updated_at)
SELECT tenant_bound(), entity_id, attribute_name, value_type, attribute_value, numeric_value,
       'epoch'::timestamptz + instant_us * interval '1 microsecond',
       attribute_name = ANY (ARRAY(
           SELECT m.attribute_name::text FROM attribute_metadata m
           WHERE m.tenant_id = tenant_bound() AND (m.is_indexed OR m.is_indexing)
       )) AND value_type <> 'removed' AND octet_length(attribute_value) <= 1000,
       'epoch'::timestamptz + created_us * interval '1 microsecond', 'epoch'::timestamptz + updated_us * interval '1 microsecond'
FROM restore_entity_attributes
ORDER BY entity_id, attribute_name;

-- name: names_restored
SELECT DISTINCT attribute_name FROM restore_entity_attributes WHERE value_type <> 'removed';
