-- ClickHouse. Parameters: tenant, generation (of this refresh), slice and slices of the attributes.
-- In braces without a colon: what the code fills in.

-- name: entities
SELECT entity_id, entity_type
FROM attribute_values FINAL
WHERE tenant_id = {tenant:UInt32} AND attribute_name = ''

-- name: attributes_due
SELECT DISTINCT attribute_name
FROM rollup_work
WHERE tenant_id = {tenant:UInt32} AND generation = {generation:UInt64} AND attribute_name != ''
  AND cityHash64(attribute_name) % {slices:UInt32} = {slice:UInt32}

-- name: work_settle
-- What was marked since the last refresh; and attributes whose last seven days begin later now.
INSERT INTO rollup_work (tenant_id, generation, attribute_name, day_us)
SELECT {tenant:UInt32}, {generation:UInt64}, attribute_name, day_us
FROM rollup_marks
WHERE noted_us > {marks_from:Int64} AND noted_us <= {marks_to:Int64} AND tenant_id = {tenant:UInt32}
GROUP BY attribute_name, day_us
UNION ALL
SELECT {tenant:UInt32}, {generation:UInt64}, attribute_name, {no_day:Int64}
FROM attribute_values
WHERE tenant_id = {tenant:UInt32} AND created_us >= {recent_before:Int64} AND created_us < {recent_now:Int64}
GROUP BY attribute_name

-- name: work_settle_all
-- Everything that there is, and everything that there was.
INSERT INTO rollup_work (tenant_id, generation, attribute_name, day_us)
SELECT {tenant:UInt32}, {generation:UInt64}, attribute_name,
       arrayJoin([updated_us - positiveModulo(updated_us, 86400000000)]) AS day_us
FROM attribute_history
WHERE tenant_id = {tenant:UInt32}
GROUP BY attribute_name, day_us
UNION ALL
SELECT {tenant:UInt32}, {generation:UInt64}, attribute_name, {no_day:Int64}
FROM attribute_values WHERE tenant_id = {tenant:UInt32} GROUP BY attribute_name
UNION ALL
SELECT {tenant:UInt32}, {generation:UInt64}, attribute_name, {no_day:Int64}
FROM rollup_distribution WHERE tenant_id = {tenant:UInt32} GROUP BY attribute_name
UNION ALL
SELECT {tenant:UInt32}, {generation:UInt64}, attribute_name, bucket_us AS day_us
FROM rollup_trend WHERE tenant_id = {tenant:UInt32} AND grain = 'day' GROUP BY attribute_name, bucket_us
UNION ALL
SELECT {tenant:UInt32}, {generation:UInt64}, '', {no_day:Int64}

-- name: work_size
-- How many attributes, days of attributes, and present values there are to read.
SELECT
    uniqExactIf(attribute_name, attribute_name != ''),
    countIf(attribute_name != '' AND day_us != {no_day:Int64}),
    countIf(attribute_name = '') > 0,
    (SELECT count() FROM attribute_values WHERE tenant_id = {tenant:UInt32} AND attribute_name IN (
        SELECT attribute_name FROM rollup_work
        WHERE tenant_id = {tenant:UInt32} AND generation = {generation:UInt64} AND attribute_name != ''))
FROM (SELECT DISTINCT attribute_name, day_us FROM rollup_work
      WHERE tenant_id = {tenant:UInt32} AND generation = {generation:UInt64})

-- name: distribution_write
-- Stretches of a histogram: whole numbers get whole ones, and the rare far away does not squeeze the rest.
INSERT INTO rollup_distribution (
    tenant_id, attribute_name, entity_type, generation, is_deleted, value_count, distinct_count, number_count, average,
    least, greatest, quantiles, bin_from, bin_width, bins, recent_count, recent_average, recent_median, recent_greatest)
SELECT {tenant:UInt32}, attribute_name, entity_type, {generation:UInt64}, 0, value_count, distinct_count, number_count,
       average, least, greatest, quantiles, bin_from, bin_width, bins, recent_count, recent_average, recent_median,
       recent_greatest
FROM (
    SELECT attribute_name, entity_type, value_count, distinct_count, number_count, average, least, greatest, quantiles,
           recent_count, recent_average, recent_median, recent_greatest,
           if(is_whole, floor(edges[1]), edges[1]) AS bin_from,
           if(is_whole, ceil(edges[2]), edges[2]) AS bin_to,
           multiIf(is_whole, greatest(ceil((bin_to - bin_from + 1) / 24), 1), bin_to > bin_from, (bin_to - bin_from) / 24, 1)
               AS bin_width,
           toUInt8(multiIf(is_whole, ceil((bin_to - bin_from + 1) / bin_width), bin_to > bin_from, 24, 1)) AS bin_count,
           arrayMap(x -> toUInt8(greatest(least(floor((x - bin_from) / bin_width), bin_count - 1), 0)), numbers) AS places,
           if(number_count = 0, [], arrayMap(place -> countEqual(places, place), range(bin_count))) AS bins
    FROM (
        SELECT attribute_name, entity_type,
               count() AS value_count,
               uniqCombined(14)(value_type, value) AS distinct_count,
               countIf(value_type = 'number') AS number_count,
               avgIf(number, value_type = 'number') AS average,
               minIf(number, value_type = 'number') AS least,
               maxIf(number, value_type = 'number') AS greatest,
               quantilesExactInclusiveIf(0.05, 0.25, 0.5, 0.75, 0.95, 0.99)(number, value_type = 'number') AS quantiles,
               quantilesExactInclusiveIf(0.01, 0.99)(number, value_type = 'number') AS edges,
               groupArrayIf(number, value_type = 'number') AS numbers,
               minIf(number = floor(number), value_type = 'number') = 1 AS is_whole,
               countIf(value_type = 'number' AND created_us >= {recent_now:Int64}) AS recent_count,
               avgIf(number, value_type = 'number' AND created_us >= {recent_now:Int64}) AS recent_average,
               quantileExactInclusiveIf(0.5)(number, value_type = 'number' AND created_us >= {recent_now:Int64})
                   AS recent_median,
               maxIf(number, value_type = 'number' AND created_us >= {recent_now:Int64}) AS recent_greatest
        FROM (
            SELECT attribute_name, entity_id, value_type, value, number, created_us
            FROM attribute_values FINAL
            WHERE tenant_id = {tenant:UInt32} AND attribute_name IN ({attributes_due})
        ) AS v
        INNER JOIN ({entities}) AS e ON e.entity_id = v.entity_id
        GROUP BY attribute_name, entity_type
    )
)
UNION ALL
SELECT {tenant:UInt32}, attribute_name, entity_type, {generation:UInt64} - 1, 1, 0, 0, 0, 0, 0, 0, [], 0, 0, [], 0, 0, 0, 0
FROM rollup_distribution FINAL
WHERE tenant_id = {tenant:UInt32} AND attribute_name IN ({attributes_due}) AND generation < {generation:UInt64} - 1

-- name: values_write
INSERT INTO rollup_values (
    tenant_id, attribute_name, entity_type, value_type, value_key, generation, is_deleted, value, value_count)
SELECT {tenant:UInt32}, attribute_name, entity_type, value_type, value_key, {generation:UInt64}, 0, min(value), count()
FROM (
    SELECT attribute_name, entity_id, CAST(value_type, 'String') AS value_type, value,
           multiIf(value_type = 'number', concat(toString(number), ' ', toString(number_rest)),
                   value_type = 'timestamp', toString(instant_us), value) AS value_key
    FROM attribute_values FINAL
    WHERE tenant_id = {tenant:UInt32} AND attribute_name IN (
        SELECT attribute_name FROM rollup_distribution FINAL
        WHERE tenant_id = {tenant:UInt32} AND attribute_name IN ({attributes_due})
        GROUP BY attribute_name HAVING max(distinct_count) <= {few:UInt64}
    ) AND length(value) <= {value_bytes:UInt64}
) AS v
INNER JOIN ({entities}) AS e ON e.entity_id = v.entity_id
GROUP BY attribute_name, entity_type, value_type, value_key
UNION ALL
SELECT {tenant:UInt32}, attribute_name, entity_type, CAST(value_type, 'String'), value_key, {generation:UInt64} - 1, 1, '', 0
FROM rollup_values FINAL
WHERE tenant_id = {tenant:UInt32} AND attribute_name IN ({attributes_due}) AND generation < {generation:UInt64} - 1

-- name: trend_write
-- Whole days, with their hours.
INSERT INTO rollup_trend (
    tenant_id, attribute_name, grain, bucket_us, entity_type, generation, is_deleted, sample_count, average, least,
    median, p95, greatest)
SELECT {tenant:UInt32}, attribute_name, bucket.1, bucket.2, entity_type, {generation:UInt64}, 0, count(), avg(number),
       min(number), quantileExactInclusive(0.5)(number), quantileExactInclusive(0.95)(number), max(number)
FROM (
    SELECT attribute_name, entity_id, number, updated_us
    FROM attribute_history FINAL
    WHERE tenant_id = {tenant:UInt32} AND attribute_name IN ({attributes_due}) AND value_type = 'number'
      AND updated_us >= (SELECT min(day_us) FROM rollup_work WHERE tenant_id = {tenant:UInt32}
                         AND generation = {generation:UInt64} AND day_us != {no_day:Int64} AND attribute_name != '')
      AND (attribute_name, updated_us - positiveModulo(updated_us, 86400000000)) IN ({days_due})
) AS h
INNER JOIN ({entities}) AS e ON e.entity_id = h.entity_id
ARRAY JOIN [('hour', updated_us - positiveModulo(updated_us, 3600000000)),
            ('day', updated_us - positiveModulo(updated_us, 86400000000))] AS bucket
GROUP BY attribute_name, bucket, entity_type
UNION ALL
SELECT {tenant:UInt32}, attribute_name, CAST(grain, 'String'), bucket_us, entity_type, {generation:UInt64} - 1, 1, 0, 0,
       0, 0, 0, 0
FROM rollup_trend FINAL
WHERE tenant_id = {tenant:UInt32} AND attribute_name IN ({attributes_due}) AND generation < {generation:UInt64} - 1
  AND (attribute_name, bucket_us - positiveModulo(bucket_us, 86400000000)) IN ({days_due})

-- name: days_due
SELECT attribute_name, day_us
FROM rollup_work
WHERE tenant_id = {tenant:UInt32} AND generation = {generation:UInt64} AND day_us != {no_day:Int64}
  AND attribute_name != '' AND cityHash64(attribute_name) % {slices:UInt32} = {slice:UInt32}

-- name: entities_write
INSERT INTO rollup_entities (tenant_id, entity_type, day_us, generation, is_deleted, created_count)
SELECT {tenant:UInt32}, entity_type, instant_us - positiveModulo(instant_us, 86400000000) AS day_us, {generation:UInt64}, 0, count()
FROM attribute_values FINAL
WHERE tenant_id = {tenant:UInt32} AND attribute_name = ''
GROUP BY entity_type, day_us
UNION ALL
SELECT {tenant:UInt32}, entity_type, day_us, {generation:UInt64} - 1, 1, 0
FROM rollup_entities FINAL
WHERE tenant_id = {tenant:UInt32} AND generation < {generation:UInt64} - 1

-- name: states
SELECT tenant_id, generation, cluster, lsn, heartbeat_seq, heartbeat_ts_us, heartbeat_lsn, marks_us, refreshed_us,
       spent_s, recent_us
FROM rollup_state
ORDER BY generation DESC
LIMIT 1 BY tenant_id

-- name: marks
-- The newest mark of each tenant, and how many are newer than the oldest state.
SELECT tenant_id, max(noted_us)
FROM rollup_marks
GROUP BY tenant_id

-- name: marks_new
SELECT attribute_name, count() FROM (
    SELECT DISTINCT attribute_name, day_us FROM rollup_marks
    WHERE noted_us > {marks_from:Int64} AND tenant_id = {tenant:UInt32}
)
GROUP BY attribute_name
ORDER BY attribute_name
