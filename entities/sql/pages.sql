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
    -- The types by name, as below; and OFFSET, or each of the two sums would add them up for itself.
    SELECT coalesce((m.value_types ->> 'string')::bigint, 0) + coalesce((m.value_types ->> 'number')::bigint, 0)
        + coalesce((m.value_types ->> 'boolean')::bigint, 0) + coalesce((m.value_types ->> 'timestamp')::bigint, 0) AS entities
    FROM attribute_metadata m
    WHERE m.tenant_id = %(tenant_id)s
    OFFSET 0
) a;

-- name: tenant_storage
-- Bytes of a tenant's own leaves, and its share by rows of those that tenants share. A tenant that has left the shared
-- leaves has no share. Sizes need no right to read; the names are those of `sql/0001_data_plane.sql`.
WITH leaves AS (
    SELECT c.oid, c.reltuples, c.relname
    FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
        AND c.relname ~ ('^(entities|entity_attributes)_tenant_' || %(tenant_id)s::integer || '_')
), shared AS (
    SELECT c.oid, c.reltuples, CASE WHEN c.relname LIKE 'entities%%' THEN %(entities)s ELSE %(values)s END AS own_rows
    FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND NOT EXISTS (SELECT FROM leaves)
        AND c.relname IN (
            SELECT parent || '_p' || lpad(g::text, 2, '0') || '_shared'
            FROM generate_series(0, 15) g, (VALUES ('entities'), ('entity_attributes')) p (parent)
            WHERE satisfies_hash_partition('public.entities'::regclass, 16, g, %(tenant_id)s)
        )
)
SELECT
    (SELECT sum(pg_total_relation_size(oid))::bigint FROM leaves),
    (SELECT sum(pg_total_relation_size(oid) * least(1.0, own_rows / greatest(reltuples, own_rows, 1)))::bigint FROM shared);

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

-- name: names_suggest
-- Attribute names that hold a text: the very name, then those that start with it, then those with a word that does, then
-- the rest; of equals those that most entities have. A hidden name only where it is spelled out.
SELECT m.attribute_name, m.value_types || coalesce(c.value_types, '{}'), m.description, m.unit, m.status
FROM (
    SELECT a.*, CASE
        WHEN a.attribute_name = %(part)s THEN 0
        WHEN strpos(lower(a.attribute_name), lower(%(part)s)) = 1 THEN 1
        WHEN lower(a.attribute_name) ~ ('[ _./:-]' || %(pattern)s) THEN 2
        ELSE 3 END AS rank
    FROM attribute_metadata a
    WHERE a.tenant_id = %(tenant_id)s AND strpos(lower(a.attribute_name), lower(%(part)s)) > 0
      AND (a.status IN ('active', 'deprecated') OR a.attribute_name = %(part)s)
    ORDER BY rank, a.status, a.null_rate NULLS LAST, a.attribute_name
    LIMIT %(limit)s
) m
LEFT JOIN LATERAL (
    SELECT jsonb_object_agg(d.value_type, d.delta + coalesce((m.value_types ->> d.value_type)::bigint, 0)) AS value_types
    FROM (
        SELECT value_type, sum(entity_delta)::bigint AS delta
        FROM attribute_changes
        WHERE tenant_id = %(tenant_id)s AND attribute_name = m.attribute_name
        GROUP BY value_type
    ) d
) c ON true
ORDER BY m.rank, m.status, m.null_rate NULLS LAST, m.attribute_name;

-- name: names_known
-- What is known of some attributes: types with counts, and whether people should still use them.
SELECT m.attribute_name, m.value_types || coalesce(c.value_types, '{}'), m.description, m.unit, m.status
FROM attribute_metadata m
LEFT JOIN LATERAL (
    SELECT jsonb_object_agg(d.value_type, d.delta + coalesce((m.value_types ->> d.value_type)::bigint, 0)) AS value_types
    FROM (
        SELECT value_type, sum(entity_delta)::bigint AS delta
        FROM attribute_changes
        WHERE tenant_id = %(tenant_id)s AND attribute_name = m.attribute_name
        GROUP BY value_type
    ) d
) c ON true
WHERE m.tenant_id = %(tenant_id)s AND m.attribute_name = ANY(%(names)s::text[]);

-- name: values_most_common
-- The commonest values of an attribute as the statistics know them.
SELECT most_common FROM attribute_metadata WHERE tenant_id = %(tenant_id)s AND attribute_name = %(name)s;

-- name: values_sample
-- The values of an attribute among the newest entities, commonest first; only those that hold a text.
SELECT v.value::text, count(*)
FROM (
    SELECT e.attributes -> %(name)s AS value
    FROM entity_documents e
    WHERE e.tenant_id = %(tenant_id)s
    ORDER BY e.updated_at DESC, e.entity_id DESC
    LIMIT %(sample)s
) v
WHERE v.value IS NOT NULL AND length(v.value #>> '{}') <= %(chars)s AND strpos(lower(v.value #>> '{}'), lower(%(part)s)) > 0
GROUP BY v.value
ORDER BY count(*) DESC, v.value
LIMIT %(limit)s;

-- name: external_ids_prefix
-- External ids that start with a text, in order.
SELECT DISTINCT external_id FROM entity_keys
WHERE tenant_id = %(tenant_id)s AND external_id >= %(part)s AND external_id < %(part)s || chr(1114111)
ORDER BY external_id
LIMIT %(limit)s;

-- name: names_common
-- The attributes that most of some entities have, for a table nobody has chosen columns for.
SELECT k.name
FROM (
    SELECT jsonb_object_keys(e.attributes) AS name
    FROM entity_documents e
    WHERE e.tenant_id = %(tenant_id)s AND e.entity_id = ANY(%(entity_ids)s)
) k
JOIN attribute_metadata m ON m.tenant_id = %(tenant_id)s AND m.attribute_name = k.name AND m.status = 'active'
GROUP BY k.name
ORDER BY count(*) DESC, min(m.null_rate) NULLS LAST, k.name
LIMIT %(limit)s;

-- name: cells
-- Some attributes of some entities: the type of each value, and its text cut to what a cell shows.
SELECT e.entity_id, f.name, value_kind(v.value), left(v.value #>> '{}', %(chars)s), length(v.value #>> '{}')
FROM entity_documents e
CROSS JOIN unnest(%(names)s::text[]) f(name)
CROSS JOIN LATERAL (SELECT e.attributes -> f.name AS value OFFSET 0) v
WHERE e.tenant_id = %(tenant_id)s AND e.entity_id = ANY(%(entity_ids)s) AND v.value IS NOT NULL;

-- name: registry_page
-- A page of the registry in the order asked for, with what writers reported since the last folding for the names shown.
-- status: one of them, 'all', or '' for what is in use. Keyset: the key and the name after which the page begins.
SELECT p.key, p.attribute_name, p.value_types || coalesce(c.value_types, '{}'), p.is_indexed, p.cardinality_estimate,
       p.null_rate, p.most_common, p.hot_score, p.last_analyzed, p.first_seen_at, p.description, p.unit, p.status, p.owner,
       p.quarantine_reason
FROM (
    SELECT r.*
    FROM (
        SELECT m.*, CASE %(sort)s
            -- The types by name: unfolding the object of each of ten thousand names takes twice as long and more.
            WHEN 'entities' THEN -(
                coalesce((m.value_types ->> 'string')::float8, 0) + coalesce((m.value_types ->> 'number')::float8, 0)
                + coalesce((m.value_types ->> 'boolean')::float8, 0) + coalesce((m.value_types ->> 'timestamp')::float8, 0)
            )
            WHEN 'distinct' THEN -coalesce(m.cardinality_estimate, -1)::float8
            WHEN 'missing' THEN -coalesce(m.null_rate, -1)
            WHEN 'hot' THEN -m.hot_score
            WHEN 'newest' THEN -extract(epoch FROM m.first_seen_at)::float8
            ELSE 0
        END AS key
        FROM attribute_metadata m
        WHERE m.tenant_id = %(tenant_id)s
          AND CASE %(status)s WHEN '' THEN m.status IN ('active', 'deprecated') WHEN 'all' THEN true ELSE m.status = %(status)s END
          AND (%(part)s = '' OR strpos(lower(m.attribute_name), lower(%(part)s)) > 0 OR strpos(lower(m.description), lower(%(part)s)) > 0)
          AND (%(type)s = '' OR m.value_types ? %(type)s)
          AND (NOT %(indexed)s OR m.is_indexed)
    ) r
    WHERE %(after_key)s::float8 IS NULL OR (r.key, r.attribute_name) > (%(after_key)s::float8, %(after)s)
    ORDER BY r.key, r.attribute_name
    LIMIT %(limit)s
) p
LEFT JOIN LATERAL (
    SELECT jsonb_object_agg(d.value_type, d.delta + coalesce((p.value_types ->> d.value_type)::bigint, 0)) AS value_types
    FROM (
        SELECT value_type, sum(entity_delta)::bigint AS delta
        FROM attribute_changes
        WHERE tenant_id = %(tenant_id)s AND attribute_name = p.attribute_name
        GROUP BY value_type
    ) d
) c ON true
ORDER BY p.key, p.attribute_name;

-- name: registry_counts
-- How many names there are of each status.
SELECT status, count(*) FROM attribute_metadata WHERE tenant_id = %(tenant_id)s GROUP BY status;
