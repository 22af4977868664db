-- Reads of the data plane. Every one names the tenant; row-level security stands behind.

-- name: entity_by_id
SELECT e.entity_id, e.entity_type, e.external_id, e.created_at, e.updated_at, e.version, e.attributes::text
FROM entities e
WHERE e.tenant_id = %(tenant_id)s AND e.entity_id = %(entity_id)s;

-- name: archive_of_id
-- Keys stay when a month is archived: so an id that never was is not taken for one that is in a file.
SELECT
FROM partition_archives a
WHERE a.tenant_id = %(tenant_id)s AND %(entity_id)s >= coalesce(a.range_from, %(entity_id)s) AND %(entity_id)s < a.range_to;

-- name: value_by_name
SELECT ea.attribute_name, e.attributes -> ea.attribute_name, ea.value_type, ea.updated_at, e.version
FROM entity_attributes ea
JOIN entities e ON e.tenant_id = ea.tenant_id AND e.entity_id = ea.entity_id
WHERE ea.tenant_id = %(tenant_id)s AND ea.entity_id = %(entity_id)s AND ea.attribute_name = %(name)s
  AND ea.value_type <> 'removed';

-- name: attributes_page
-- One page of the registry in order of name, with what writers reported since the last folding.
-- status: one of them, or '' for all.
SELECT m.attribute_name, m.value_types || coalesce(c.value_types, '{}'), m.is_indexed, m.cardinality_estimate, m.null_rate,
       m.most_common, m.hot_score, m.last_analyzed, m.first_seen_at, m.description, m.unit, m.status, m.owner,
       m.quarantine_reason
FROM (
    SELECT *
    FROM attribute_metadata
    WHERE tenant_id = %(tenant_id)s AND attribute_name > %(after)s AND starts_with(attribute_name, %(prefix)s)
      AND attribute_name >= %(prefix)s AND (%(name)s::text IS NULL OR attribute_name = %(name)s)
      AND (%(status)s = '' OR status = %(status)s)
    ORDER BY attribute_name
    LIMIT %(limit)s
) m
LEFT JOIN LATERAL (
    -- Only the types that changed; `||` above puts their new totals over the folded ones.
    SELECT jsonb_object_agg(d.value_type, d.delta + coalesce((m.value_types ->> d.value_type)::bigint, 0)) AS value_types
    FROM (
        SELECT value_type, sum(entity_delta)::bigint AS delta
        FROM attribute_changes
        WHERE tenant_id = %(tenant_id)s AND attribute_name = m.attribute_name
        GROUP BY value_type
    ) d
) c ON true
ORDER BY m.attribute_name;

-- name: attribute_names
-- Every name that is not quarantined, with how many entities have it, as far as it is folded in.
SELECT m.attribute_name, coalesce((SELECT sum(t.n::bigint) FROM jsonb_each_text(m.value_types) t(kind, n)), 0)::bigint,
       m.value_type
FROM attribute_metadata m
WHERE m.tenant_id = %(tenant_id)s AND m.status NOT IN ('quarantined', 'hidden')
ORDER BY m.attribute_name;

-- name: attribute_changes_fold
-- Moves what writers reported into the registry. One folder at a time (an advisory lock); writers are not disturbed.
WITH taken AS (
    DELETE FROM attribute_changes WHERE tenant_id = %(tenant_id)s
    RETURNING attribute_name, value_type, entity_delta, value_changes
), typed AS (
    SELECT attribute_name, value_type, sum(entity_delta) AS delta, sum(value_changes) AS changes
    FROM taken
    GROUP BY attribute_name, value_type
), named AS (
    SELECT t.attribute_name, sum(t.changes) AS changes,
           jsonb_object_agg(t.value_type, t.delta + coalesce((m.value_types ->> t.value_type)::bigint, 0)) AS value_types
    FROM typed t
    JOIN attribute_metadata m ON m.tenant_id = %(tenant_id)s AND m.attribute_name = t.attribute_name
    GROUP BY t.attribute_name
)
UPDATE attribute_metadata m
SET value_types = m.value_types || n.value_types,
    pending_changes = m.pending_changes + n.changes,
    value_type = coalesce((
        SELECT key FROM jsonb_each_text(m.value_types || n.value_types) ORDER BY value::bigint DESC, key LIMIT 1
    ), m.value_type)
FROM named n
WHERE m.tenant_id = %(tenant_id)s AND m.attribute_name = n.attribute_name;
