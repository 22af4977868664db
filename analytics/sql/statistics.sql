-- What the registry says of an attribute's values. `analytics.statistics` runs these for one tenant, in one transaction,
-- while nobody folds that tenant's changes: `attribute_metadata.value_types` stands still meanwhile.

-- name: attributes_due
-- Attributes that were never analysed, that changed enough since, or whose few changes have waited long enough.
-- Quarantined names wait until somebody wants them.
SELECT m.attribute_name, m.pending_changes, c.count
FROM attribute_metadata m
CROSS JOIN LATERAL (SELECT coalesce(sum(value::bigint), 0)::bigint FROM jsonb_each_text(m.value_types)) c(count)
WHERE m.tenant_id = %(tenant_id)s AND m.status <> 'quarantined'
  AND (%(force)s
       OR m.last_analyzed IS NULL
       OR m.pending_changes > 0 AND (m.pending_changes >= %(share)s * c.count OR m.last_analyzed < %(stale_before)s))
ORDER BY m.attribute_name;

-- name: entities_count
-- Up to a limit, so that it never takes long.
SELECT count(*) FROM (SELECT FROM entities WHERE tenant_id = %(tenant_id)s LIMIT %(limit)s) e;

-- name: values_summarize
-- One pass over the documents, for all the attributes asked for. One statement, so one snapshot: what it counts and
-- what attribute_changes still holds belong together.
-- method: all documents; every stride-th range of ten ids; a percentage of the tables' blocks, as ANALYZE takes them.
-- Ids are dense where many were created at once, so ranges are cut by rank: any of ten entities is as likely as any other.
-- A value of more than %(wide_bytes)s bytes counts by its digest and is never among the most common.
WITH documents AS MATERIALIZED (
    SELECT e.attributes FROM entities e WHERE e.tenant_id = %(tenant_id)s AND %(method)s = 'all'
    UNION ALL
    SELECT e.attributes
    FROM entities e
    WHERE e.tenant_id = %(tenant_id)s AND %(method)s = 'ranges'
      AND e.entity_id = ANY (ARRAY(
          SELECT entity_id
          FROM (SELECT entity_id, row_number() OVER (ORDER BY entity_id) - 1 AS rank
                FROM entities WHERE tenant_id = %(tenant_id)s) r
          WHERE rank / 10 %% %(stride)s = %(offset)s
      ))
    UNION ALL
    SELECT e.attributes
    FROM entities e TABLESAMPLE SYSTEM (%(percent)s)
    WHERE e.tenant_id = %(tenant_id)s AND %(method)s = 'blocks'
), exploded AS MATERIALIZED (
    SELECT name, value, instant, CASE WHEN instant IS NULL THEN jsonb_typeof(value) ELSE 'timestamp' END AS kind,
           pg_column_size(value) > %(wide_bytes)s AS is_wide
    FROM (
        -- OFFSET 0, or the planner would ask for the instant in each place that uses it.
        SELECT a.key AS name, a.value, value_instant(a.value) AS instant
        FROM documents d
        CROSS JOIN LATERAL jsonb_each(d.attributes) a
        WHERE a.key = ANY (%(names)s::text[])
        OFFSET 0
    ) v
), counted AS (
    -- Equal instants are one value, however they are written.
    SELECT name, kind, is_wide, canonical, count(*) AS n, sum(bytes) AS bytes
    FROM (
        SELECT name, kind, is_wide, octet_length(value #>> '{}') AS bytes, CASE
                   WHEN is_wide THEN to_jsonb(md5(value::text))
                   WHEN instant IS NOT NULL THEN to_jsonb(instant)
                   ELSE value
               END AS canonical
        FROM exploded
    ) c
    GROUP BY name, kind, is_wide, canonical
), summed AS (
    SELECT name, sum(n)::bigint AS sampled, count(*) AS distinct_values, count(*) FILTER (WHERE n = 1) AS singletons,
           (sum(bytes) / sum(n))::float8 AS value_bytes
    FROM counted
    GROUP BY name
), common AS (
    -- A value that occurs once among many says nothing.
    SELECT name, jsonb_agg(jsonb_build_array(
               -- 1 and 1.0 are the same number, and either may have come first.
               CASE WHEN jsonb_typeof(canonical) = 'number' THEN to_jsonb(trim_scale(canonical::numeric)) ELSE canonical END,
               round(share, 6)
           ) ORDER BY place) AS most_common
    FROM (
        SELECT c.name, c.canonical, c.n / s.sampled::numeric AS share,
               row_number() OVER (PARTITION BY c.name ORDER BY c.n DESC, c.canonical) AS place
        FROM counted c
        JOIN summed s ON s.name = c.name
        WHERE NOT c.is_wide AND (c.n > 1 OR s.distinct_values <= %(common_max)s)
    ) p
    WHERE place <= %(common_max)s
    GROUP BY name
), typed AS (
    SELECT name, jsonb_object_agg(kind, n) AS types
    FROM (
        SELECT name, kind, sum(n) AS n
        FROM (
            SELECT name, kind, n FROM counted
            UNION ALL
            -- What writers have reported and nobody has folded in yet will be added later.
            SELECT attribute_name, value_type, -entity_delta
            FROM attribute_changes
            WHERE tenant_id = %(tenant_id)s AND attribute_name = ANY (%(names)s::text[])
        ) u
        GROUP BY name, kind
        HAVING sum(n) <> 0
    ) t
    GROUP BY name
), bucketed AS (
    SELECT name, percentile_disc(%(fractions)s::float8[]) WITHIN GROUP (ORDER BY value::float8) AS histogram
    FROM exploded
    WHERE kind = 'number'
    GROUP BY name
)
SELECT (SELECT count(*) FROM documents), name, coalesce(sampled, 0), coalesce(distinct_values, 0), coalesce(singletons, 0),
       coalesce(most_common, '[]')::text, coalesce(types, '{}')::text, histogram, value_bytes
FROM unnest(%(names)s::text[]) AS due(name)
LEFT JOIN summed USING (name)
LEFT JOIN common USING (name)
LEFT JOIN typed USING (name)
LEFT JOIN bucketed USING (name);

-- name: statistics_write
-- value_types: NULL where a sample can't correct them. Changes that came meanwhile stay pending.
UPDATE attribute_metadata m
SET cardinality_estimate = s.cardinality,
    null_rate = s.null_rate,
    most_common = s.most_common,
    histogram = s.histogram,
    value_bytes = s.value_bytes,
    value_types = coalesce(s.value_types, m.value_types),
    value_type = coalesce((
        SELECT key FROM jsonb_each_text(coalesce(s.value_types, m.value_types)) ORDER BY value::bigint DESC, key LIMIT 1
    ), m.value_type),
    pending_changes = m.pending_changes - s.pending_seen,
    last_analyzed = %(now)s
FROM jsonb_to_recordset(%(statistics)s::jsonb) AS s(
    name text, cardinality bigint, null_rate float8, most_common jsonb, histogram float8[], value_bytes float8, value_types jsonb,
    pending_seen bigint
)
WHERE m.tenant_id = %(tenant_id)s AND m.attribute_name = s.name;

-- name: null_rates_write
-- Attributes that were not due: entities without them may have come or gone.
UPDATE attribute_metadata m
SET null_rate = r.null_rate
FROM (
    SELECT attribute_name,
           least(1, greatest(0, 1 - (SELECT coalesce(sum(value::bigint), 0) FROM jsonb_each_text(value_types))
                                    / %(entities)s::float8)) AS null_rate
    FROM attribute_metadata
    WHERE tenant_id = %(tenant_id)s AND last_analyzed IS NOT NULL AND attribute_name <> ALL (%(names)s::text[])
) r
WHERE m.tenant_id = %(tenant_id)s AND m.attribute_name = r.attribute_name AND abs(m.null_rate - r.null_rate) > 0.001;

-- name: planner_sample_draw
-- By a hash of the id, so that each entity is as likely as any other, and nothing is sorted.
INSERT INTO tenant_statistics (tenant_id, entities, sample, analyzed_at)
SELECT %(tenant_id)s, %(entities)s, coalesce(array_agg(entity_id), '{}'), %(now)s
FROM (
    SELECT entity_id
    FROM entities
    WHERE tenant_id = %(tenant_id)s AND %(is_sampled)s AND NOT %(by_blocks)s
      AND (hashint8extended(entity_id, %(seed)s) & 2147483647) %% %(stride)s = 0
    UNION ALL
    (SELECT entity_id
     FROM entities TABLESAMPLE SYSTEM (%(percent)s)
     WHERE tenant_id = %(tenant_id)s AND %(by_blocks)s
     ORDER BY hashint8extended(entity_id, %(seed)s)
     LIMIT %(sample_max)s)
) drawn
ON CONFLICT (tenant_id) DO UPDATE
SET entities = excluded.entities, sample = excluded.sample, analyzed_at = excluded.analyzed_at;
