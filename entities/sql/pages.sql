-- Reads of the admin's pages. None walks more of a tenant than it shows: what would have to be counted is bounded or estimated.

-- name: tenant_usage
-- How much the bound tenant has. Entities are counted up to a bound; beyond it the registry knows a floor: the
-- entities of its most common attribute. Values and names come from the registry, with what is not folded in yet.
SELECT
    (SELECT count(*) FROM (SELECT FROM entities WHERE tenant_id = %(tenant_id)s LIMIT %(bound)s) e),
    coalesce(max(a.entities), 0)::bigint,
    coalesce(sum(a.entities), 0)::bigint + (
        SELECT coalesce(sum(entity_delta), 0)::bigint FROM attribute_changes WHERE tenant_id = %(tenant_id)s
    ),
    count(*)
FROM (
    SELECT (SELECT coalesce(sum(t.n::bigint), 0) FROM jsonb_each_text(m.value_types) t(kind, n)) AS entities
    FROM attribute_metadata m
    WHERE m.tenant_id = %(tenant_id)s
) a;

-- name: platform_usage
-- About how many entities and values all tenants have: what PostgreSQL believes of the leaves, without reading them.
-- The live count is there at once and lost in a crash; reltuples survives and comes with the first ANALYZE.
SELECT
    coalesce(sum(greatest(pg_stat_get_live_tuples(c.oid), c.reltuples::bigint, 0)) FILTER (WHERE l.root = 'entities'), 0)::bigint,
    coalesce(sum(greatest(pg_stat_get_live_tuples(c.oid), c.reltuples::bigint, 0)) FILTER (WHERE l.root = 'entity_attributes'), 0)::bigint
FROM (VALUES ('entities'), ('entity_attributes')) AS l(root)
CROSS JOIN LATERAL pg_partition_tree(l.root::regclass) AS p
JOIN pg_class c ON c.oid = p.relid
WHERE p.isleaf;

-- name: entity_keys_exact
-- The entities an external id names, one a type.
SELECT entity_id FROM entity_keys
WHERE tenant_id = %(tenant_id)s AND external_id = %(text)s AND (%(entity_type)s::text IS NULL OR entity_type = %(entity_type)s)
ORDER BY entity_type
LIMIT %(limit)s;

-- name: entity_keys_prefix
-- The entities whose external id starts with a text, in order of it. U+10FFFF sorts after every other character.
SELECT entity_id FROM entity_keys
WHERE tenant_id = %(tenant_id)s AND external_id >= %(text)s AND external_id < %(text)s || chr(1114111)
  AND (%(entity_type)s::text IS NULL OR entity_type = %(entity_type)s)
ORDER BY external_id, entity_type
LIMIT %(limit)s;

-- name: entity_heads
-- Entities without their documents, in the order of the ids given.
SELECT e.entity_id, e.entity_type, e.external_id, e.created_at, e.updated_at, e.version, '{}'
FROM entities e
WHERE e.tenant_id = %(tenant_id)s AND e.entity_id = ANY(%(entity_ids)s)
ORDER BY array_position(%(entity_ids)s::bigint[], e.entity_id);

-- name: entity_types_recent
-- The types of the newest entities, most frequent first: for suggestions, not a list of all types.
SELECT r.entity_type
FROM (
    SELECT entity_type FROM entities WHERE tenant_id = %(tenant_id)s ORDER BY updated_at DESC, entity_id DESC LIMIT %(sample)s
) r
GROUP BY r.entity_type
ORDER BY count(*) DESC, r.entity_type
LIMIT 50;

-- name: values_page
-- Some values of one entity in order of name, each cut to what a page shows, and how many match in all.
SELECT v.attribute_name, v.value_type, left(v.attribute_value, %(chars)s), length(v.attribute_value), v.updated_at,
       (SELECT count(*) FROM entity_attributes c
        WHERE c.tenant_id = %(tenant_id)s AND c.entity_id = %(entity_id)s AND c.value_type <> 'removed'
          AND strpos(lower(c.attribute_name), lower(%(part)s)) > 0)
FROM entity_attributes v
WHERE v.tenant_id = %(tenant_id)s AND v.entity_id = %(entity_id)s AND v.value_type <> 'removed'
  AND v.attribute_name > %(after)s AND strpos(lower(v.attribute_name), lower(%(part)s)) > 0
ORDER BY v.attribute_name
LIMIT %(limit)s;

-- name: value_text
-- One whole value as text.
SELECT attribute_value FROM entity_attributes
WHERE tenant_id = %(tenant_id)s AND entity_id = %(entity_id)s AND attribute_name = %(name)s AND value_type <> 'removed';
