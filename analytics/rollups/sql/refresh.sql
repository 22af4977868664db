-- ClickHouse. Parameters: tenant, generation (of this refresh), starts (where stretches of entity ids begin).
-- In braces without a colon: what the code fills in.

-- name: work_settle
-- What was marked since the last refresh; attributes whose last seven days begin later now (without a place: their parts
-- are right); what a refresh that died has made, perhaps of a stretch that it had cut and that is whole again; and the
-- hours of entities that were deleted: their samples count no more.
INSERT INTO rollup_work (tenant_id, generation, kind, attribute_name, place)
SELECT {tenant:UInt32}, {generation:UInt64}, 'stretch', attribute_name, place
FROM (
    SELECT attribute_name,
           arrayJoin(arraySlice({starts:Array(Int64)}, indexOf({starts:Array(Int64)}, roundDown(least_id, {starts:Array(Int64)})) AS first,
                                indexOf({starts:Array(Int64)}, roundDown(greatest_id, {starts:Array(Int64)})) - first + 1)) AS place
    FROM rollup_marks
    WHERE noted_us > {marks_from:Int64} AND noted_us <= {marks_to:Int64} AND tenant_id = {tenant:UInt32}
)
GROUP BY attribute_name, place
UNION ALL
SELECT {tenant:UInt32}, {generation:UInt64}, 'hour', attribute_name, hour_us
FROM rollup_marks
WHERE noted_us > {marks_from:Int64} AND noted_us <= {marks_to:Int64} AND tenant_id = {tenant:UInt32} AND attribute_name != ''
GROUP BY attribute_name, hour_us
UNION ALL
SELECT {tenant:UInt32}, {generation:UInt64}, 'stretch', attribute_name, {nowhere:Int64}
FROM rollup_parts
PREWHERE tenant_id = {tenant:UInt32} AND recent_least_us < {recent_now:Int64}
WHERE arrayExists(us -> us >= {recent_before:Int64} AND us < {recent_now:Int64}, recent_created_us)
GROUP BY attribute_name
UNION ALL
SELECT DISTINCT {tenant:UInt32}, {generation:UInt64}, 'stretch', attribute_name, from_id
FROM rollup_parts
WHERE tenant_id = {tenant:UInt32} AND generation > {state_generation:UInt64} AND has({starts:Array(Int64)}, from_id)
UNION ALL
SELECT {tenant:UInt32}, {generation:UInt64}, 'hour', attribute_name, updated_us - positiveModulo(updated_us, 3600000000) AS hour_us
FROM attribute_history
WHERE tenant_id = {tenant:UInt32} AND value_type = 'number' AND entity_id IN (
    SELECT entity_id FROM attribute_values
    WHERE tenant_id = {tenant:UInt32} AND attribute_name = '' AND is_deleted = 1 AND updated_us >= {removed_from:Int64})
GROUP BY attribute_name, hour_us

-- name: work_settle_all
-- Everything that there is, and everything that there was.
INSERT INTO rollup_work (tenant_id, generation, kind, attribute_name, place)
SELECT {tenant:UInt32}, {generation:UInt64}, 'stretch', attribute_name, arrayJoin({starts:Array(Int64)})
FROM (
    SELECT attribute_name FROM attribute_values WHERE tenant_id = {tenant:UInt32}
    UNION DISTINCT
    SELECT attribute_name FROM rollup_distribution WHERE tenant_id = {tenant:UInt32}
    UNION DISTINCT
    SELECT ''
)
UNION ALL
SELECT {tenant:UInt32}, {generation:UInt64}, 'hour', attribute_name, hour_us
FROM (
    SELECT attribute_name, updated_us - positiveModulo(updated_us, 3600000000) AS hour_us
    FROM attribute_history WHERE tenant_id = {tenant:UInt32} AND value_type = 'number'
    UNION DISTINCT
    SELECT attribute_name, bucket_us FROM rollup_trend WHERE tenant_id = {tenant:UInt32} AND grain = 'hour'
)

-- name: work_settle_grown
-- All that lies in stretches that are to be made anew: they were cut.
INSERT INTO rollup_work (tenant_id, generation, kind, attribute_name, place)
SELECT {tenant:UInt32}, {generation:UInt64}, 'stretch', attribute_name, arrayJoin({grown:Array(Int64)})
FROM (
    SELECT attribute_name FROM attribute_values
    WHERE tenant_id = {tenant:UInt32} AND roundDown(entity_id, {starts:Array(Int64)}) IN {grown:Array(Int64)}
    UNION DISTINCT
    SELECT attribute_name FROM rollup_parts WHERE tenant_id = {tenant:UInt32} AND from_id IN {grown:Array(Int64)}
)

-- name: stretches_grown
-- Where to cut stretches, among those from run_from to run_to, that have become too long: their starts, and new ones.
SELECT from_id, arrayMap(place -> ids[place * {length:UInt32} + 1], range(1, toUInt32(ceil(length(ids) / {length:UInt32})))) AS cuts
FROM (
    SELECT roundDown(entity_id, {starts:Array(Int64)}) AS from_id, arraySort(groupArray(entity_id)) AS ids
    FROM attribute_values FINAL
    WHERE tenant_id = {tenant:UInt32} AND attribute_name = '' AND entity_id >= {run_from:Int64} AND entity_id <= {run_to:Int64}
    GROUP BY from_id
)
WHERE length(ids) > 2 * {length:UInt32}

-- name: stretches_due
-- Each stretch that has anything to be made anew, and whether entities are among it.
SELECT place, max(attribute_name = '')
FROM rollup_work
WHERE tenant_id = {tenant:UInt32} AND generation = {generation:UInt64} AND kind = 'stretch' AND place IN {starts:Array(Int64)}
GROUP BY place
ORDER BY place

-- name: stretches_size
-- About how many values there are to be read for each.
SELECT roundDown(entity_id, {starts:Array(Int64)}) AS place, count()
FROM attribute_values
WHERE tenant_id = {tenant:UInt32} AND entity_id >= {run_from:Int64} AND entity_id <= {run_to:Int64}
  AND attribute_name IN (SELECT attribute_name FROM ({stretches}))
GROUP BY place

-- name: work_size
-- How many attributes and hours of attributes there are to be done, whether entities are, the hours' first and last.
SELECT uniqExactIf(attribute_name, attribute_name != ''), countIf(kind = 'hour'),
       countIf(kind = 'stretch' AND attribute_name = '') > 0, minIf(place, kind = 'hour'), maxIf(place, kind = 'hour')
FROM (SELECT DISTINCT kind, attribute_name, place FROM rollup_work
      WHERE tenant_id = {tenant:UInt32} AND generation = {generation:UInt64})

-- name: parts_size
-- How many values the parts have of all attributes that are to be done.
SELECT sum(value_count) FROM rollup_parts WHERE tenant_id = {tenant:UInt32} AND attribute_name IN (
    SELECT attribute_name FROM rollup_work
    WHERE tenant_id = {tenant:UInt32} AND generation = {generation:UInt64} AND kind = 'stretch' AND attribute_name != '')

-- name: stretches
SELECT DISTINCT attribute_name, place
FROM rollup_work
WHERE tenant_id = {tenant:UInt32} AND generation = {generation:UInt64} AND kind = 'stretch'
  AND place >= {run_from:Int64} AND place <= {run_to:Int64}

-- name: hours_size
-- About how many samples there are to be read.
SELECT count() FROM attribute_history
WHERE tenant_id = {tenant:UInt32} AND value_type = 'number'
  AND updated_us >= {hour_from:Int64} AND updated_us < {hour_to:Int64} + 3600000000
  AND attribute_name IN (SELECT attribute_name FROM ({hours}))

-- name: hours
SELECT DISTINCT attribute_name, place
FROM rollup_work
WHERE tenant_id = {tenant:UInt32} AND generation = {generation:UInt64} AND kind = 'hour'
  AND cityHash64(attribute_name) % {slices:UInt32} = {slice:UInt32}

-- name: attributes
SELECT DISTINCT attribute_name
FROM rollup_work
WHERE tenant_id = {tenant:UInt32} AND generation = {generation:UInt64} AND kind = 'stretch' AND attribute_name != ''
  AND cityHash64(attribute_name) % {slices:UInt32} = {slice:UInt32}

-- name: parts_write
INSERT INTO rollup_parts (
    tenant_id, attribute_name, from_id, entity_type, generation, is_deleted, value_count, distinct_values, numbers,
    recent_numbers, recent_created_us)
SELECT {tenant:UInt32}, attribute_name, from_id, entity_type, {generation:UInt64}, 0, count(),
       uniqCombinedState(14)(value_hash), arraySort(groupArrayIf(number, value_type = 'number')),
       groupArrayIf(number, value_type = 'number' AND created_us >= {recent_now:Int64}),
       groupArrayIf(created_us, value_type = 'number' AND created_us >= {recent_now:Int64})
FROM (
    SELECT attribute_name, roundDown(entity_id, {starts:Array(Int64)}) AS from_id, entity_id, value_type, number, created_us,
           cityHash64(value_type, value) AS value_hash
    FROM attribute_values FINAL
    WHERE tenant_id = {tenant:UInt32} AND attribute_name != '' AND entity_id >= {run_from:Int64} AND entity_id <= {run_to:Int64}
      AND attribute_name IN (SELECT attribute_name FROM ({stretches})) AND (attribute_name, from_id) IN ({stretches})
) AS v
INNER JOIN (
    SELECT entity_id, entity_type
    FROM attribute_values FINAL
    WHERE tenant_id = {tenant:UInt32} AND attribute_name = '' AND entity_id >= {run_from:Int64} AND entity_id <= {run_to:Int64}
) AS e ON e.entity_id = v.entity_id
GROUP BY attribute_name, from_id, entity_type
UNION ALL
SELECT {tenant:UInt32}, attribute_name, from_id, entity_type, {generation:UInt64} - 1, 1, 0,
       initializeAggregation('uniqCombinedState(14)', toUInt64(0)), [], [], []
FROM rollup_parts FINAL
WHERE tenant_id = {tenant:UInt32} AND (attribute_name, from_id) IN ({stretches}) AND generation < {generation:UInt64} - 1

-- name: value_parts_write
INSERT INTO rollup_value_parts (
    tenant_id, attribute_name, from_id, entity_type, value_type, value_key, generation, is_deleted, value, value_count)
SELECT {tenant:UInt32}, attribute_name, from_id, entity_type, value_type, value_key, {generation:UInt64}, 0, min(value), count()
FROM (
    SELECT attribute_name, roundDown(entity_id, {starts:Array(Int64)}) AS from_id, entity_id,
           CAST(value_type, 'String') AS value_type, value,
           multiIf(value_type = 'number', concat(toString(number), ' ', toString(number_rest)),
                   value_type = 'timestamp', toString(instant_us), value) AS value_key
    FROM attribute_values FINAL
    WHERE tenant_id = {tenant:UInt32} AND attribute_name != '' AND entity_id >= {run_from:Int64} AND entity_id <= {run_to:Int64}
      AND attribute_name IN (SELECT attribute_name FROM ({few_values})) AND (attribute_name, from_id) IN ({few_values})
      AND length(value) <= {value_bytes:UInt64}
) AS v
INNER JOIN (
    SELECT entity_id, entity_type
    FROM attribute_values FINAL
    WHERE tenant_id = {tenant:UInt32} AND attribute_name = '' AND entity_id >= {run_from:Int64} AND entity_id <= {run_to:Int64}
) AS e ON e.entity_id = v.entity_id
GROUP BY attribute_name, from_id, entity_type, value_type, value_key
UNION ALL
SELECT {tenant:UInt32}, attribute_name, from_id, entity_type, CAST(value_type, 'String'), value_key, {generation:UInt64} - 1, 1, '', 0
FROM rollup_value_parts FINAL
WHERE tenant_id = {tenant:UInt32} AND (attribute_name, from_id) IN ({stretches}) AND generation < {generation:UInt64} - 1

-- name: few_values
SELECT attribute_name, from_id
FROM rollup_parts FINAL
WHERE tenant_id = {tenant:UInt32} AND (attribute_name, from_id) IN ({stretches})
GROUP BY attribute_name, from_id
HAVING max(finalizeAggregation(distinct_values)) <= {few:UInt64}

-- name: entity_parts_write
INSERT INTO rollup_entity_parts (tenant_id, from_id, entity_type, day_us, generation, is_deleted, created_count)
SELECT {tenant:UInt32}, roundDown(entity_id, {starts:Array(Int64)}) AS from_id, entity_type,
       instant_us - positiveModulo(instant_us, 86400000000) AS day_us, {generation:UInt64}, 0, count()
FROM attribute_values FINAL
WHERE tenant_id = {tenant:UInt32} AND attribute_name = '' AND entity_id >= {run_from:Int64} AND entity_id <= {run_to:Int64}
  AND ('', from_id) IN ({stretches})
GROUP BY from_id, entity_type, day_us
UNION ALL
SELECT {tenant:UInt32}, from_id, entity_type, day_us, {generation:UInt64} - 1, 1, 0
FROM rollup_entity_parts FINAL
WHERE tenant_id = {tenant:UInt32} AND ('', from_id) IN ({stretches}) AND generation < {generation:UInt64} - 1

-- name: distribution_write
-- Stretches of a histogram: whole numbers get whole ones, and the rare far away does not squeeze the rest.
INSERT INTO rollup_distribution (
    tenant_id, attribute_name, entity_type, generation, is_deleted, value_count, distinct_count, number_count, average,
    least, greatest, quantiles, bin_from, bin_width, bins, recent_count, recent_average, recent_median, recent_greatest)
SELECT {tenant:UInt32}, attribute_name, entity_type, {generation:UInt64}, 0, values_all, distinct_all, length(numbers_all),
       average_all, least_all, greatest_all, arraySlice(levels, 2), bin_from, bin_width, bins, length(recent_all),
       recent_average, recent_median, recent_greatest
FROM (
    SELECT *, arrayMin(numbers_all) AS least_all, arrayMax(numbers_all) AS greatest_all, levels[1] AS edge_from, levels[7] AS edge_to,
           notEmpty(numbers_all) AND NOT arrayExists(x -> x != floor(x), numbers_all) AS is_whole,
           if(is_whole, floor(edge_from), edge_from) AS bin_from,
           if(is_whole, ceil(edge_to), edge_to) AS bin_to,
           multiIf(is_whole, greatest(ceil((bin_to - bin_from + 1) / 24), 1), bin_to > bin_from, (bin_to - bin_from) / 24, 1)
               AS bin_width,
           toUInt8(multiIf(is_whole, ceil((bin_to - bin_from + 1) / bin_width), bin_to > bin_from, 24, 1)) AS bin_count,
           arrayMap(x -> toUInt8(greatest(least(floor((x - bin_from) / bin_width), bin_count - 1), 0)), numbers_all) AS places,
           if(empty(numbers_all), [], arrayMap(place -> countEqual(places, place), range(bin_count))) AS bins,
           arrayAvg(recent_all) AS recent_average, arrayReduce('quantileExactInclusive(0.5)', recent_all) AS recent_median,
           arrayMax(recent_all) AS recent_greatest
    FROM (
        SELECT attribute_name, entity_type,
               sum(value_count) AS values_all,
               uniqCombinedMerge(14)(distinct_values) AS distinct_all,
               avgArray(numbers) AS average_all,
               quantilesExactInclusiveArray(0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)(numbers) AS levels,
               groupArrayArray(numbers) AS numbers_all,
               groupArrayArray(arrayFilter((number, us) -> us >= {recent_now:Int64}, recent_numbers, recent_created_us))
                   AS recent_all
        FROM rollup_parts FINAL
        WHERE tenant_id = {tenant:UInt32} AND attribute_name IN ({attributes}) AND from_id IN {starts:Array(Int64)}
        GROUP BY attribute_name, entity_type
    )
)
UNION ALL
SELECT {tenant:UInt32}, attribute_name, entity_type, {generation:UInt64} - 1, 1, 0, 0, 0, 0, 0, 0, [], 0, 0, [], 0, 0, 0, 0
FROM rollup_distribution FINAL
WHERE tenant_id = {tenant:UInt32} AND attribute_name IN ({attributes}) AND generation < {generation:UInt64} - 1

-- name: values_write
INSERT INTO rollup_values (
    tenant_id, attribute_name, entity_type, value_type, value_key, generation, is_deleted, value, value_count)
SELECT {tenant:UInt32}, attribute_name, entity_type, value_type, value_key, {generation:UInt64}, 0, min(text), sum(value_count)
FROM (
    SELECT attribute_name, entity_type, CAST(value_type, 'String') AS value_type, value_key, value AS text, value_count
    FROM rollup_value_parts FINAL
    WHERE tenant_id = {tenant:UInt32} AND from_id IN {starts:Array(Int64)} AND attribute_name IN (
        SELECT attribute_name FROM rollup_distribution FINAL
        WHERE tenant_id = {tenant:UInt32} AND attribute_name IN ({attributes})
        GROUP BY attribute_name HAVING max(distinct_count) <= {few:UInt64}
    )
)
GROUP BY attribute_name, entity_type, value_type, value_key
UNION ALL
SELECT {tenant:UInt32}, attribute_name, entity_type, CAST(value_type, 'String'), value_key, {generation:UInt64} - 1, 1, '', 0
FROM rollup_values FINAL
WHERE tenant_id = {tenant:UInt32} AND attribute_name IN ({attributes}) AND generation < {generation:UInt64} - 1

-- name: trend_hours_write
INSERT INTO rollup_trend (
    tenant_id, attribute_name, grain, bucket_us, entity_type, generation, is_deleted, sample_count, average, least,
    median, p95, greatest, numbers)
SELECT {tenant:UInt32}, attribute_name, 'hour', hour_us, entity_type, {generation:UInt64}, 0, count(), avg(number),
       min(number), quantileExactInclusive(0.5)(number), quantileExactInclusive(0.95)(number), max(number),
       arraySort(groupArray(number))
FROM (
    SELECT attribute_name, entity_id, number, updated_us - positiveModulo(updated_us, 3600000000) AS hour_us
    FROM attribute_history FINAL
    WHERE tenant_id = {tenant:UInt32} AND value_type = 'number'
      AND updated_us >= {hour_from:Int64} AND updated_us < {hour_to:Int64} + 3600000000
      AND attribute_name IN (SELECT attribute_name FROM ({hours})) AND (attribute_name, hour_us) IN ({hours})
) AS h
INNER JOIN (
    SELECT entity_id, entity_type
    FROM attribute_values FINAL
    WHERE tenant_id = {tenant:UInt32} AND attribute_name = '' AND entity_id IN (
        SELECT entity_id FROM attribute_history
        WHERE tenant_id = {tenant:UInt32} AND value_type = 'number'
          AND updated_us >= {hour_from:Int64} AND updated_us < {hour_to:Int64} + 3600000000
          AND attribute_name IN (SELECT attribute_name FROM ({hours}))
          AND (attribute_name, updated_us - positiveModulo(updated_us, 3600000000)) IN ({hours}))
) AS e ON e.entity_id = h.entity_id
GROUP BY attribute_name, hour_us, entity_type
UNION ALL
SELECT {tenant:UInt32}, attribute_name, 'hour', bucket_us, entity_type, {generation:UInt64} - 1, 1, 0, 0, 0, 0, 0, 0, []
FROM rollup_trend FINAL
WHERE tenant_id = {tenant:UInt32} AND attribute_name IN (SELECT attribute_name FROM ({hours})) AND grain = 'hour'
  AND (attribute_name, bucket_us) IN ({hours}) AND generation < {generation:UInt64} - 1

-- name: trend_days_write
-- From their hours.
INSERT INTO rollup_trend (
    tenant_id, attribute_name, grain, bucket_us, entity_type, generation, is_deleted, sample_count, average, least,
    median, p95, greatest)
SELECT {tenant:UInt32}, attribute_name, 'day', day_us, entity_type, {generation:UInt64}, 0, sum(sample_count),
       avgArray(numbers), minArray(numbers), quantileExactInclusiveArray(0.5)(numbers),
       quantileExactInclusiveArray(0.95)(numbers), maxArray(numbers)
FROM (
    SELECT attribute_name, bucket_us - positiveModulo(bucket_us, 86400000000) AS day_us, entity_type, sample_count, numbers
    FROM rollup_trend FINAL
    WHERE tenant_id = {tenant:UInt32} AND attribute_name IN (SELECT attribute_name FROM ({hours})) AND grain = 'hour'
      AND (attribute_name, bucket_us - positiveModulo(bucket_us, 86400000000)) IN ({days})
)
GROUP BY attribute_name, day_us, entity_type
UNION ALL
SELECT {tenant:UInt32}, attribute_name, 'day', bucket_us, entity_type, {generation:UInt64} - 1, 1, 0, 0, 0, 0, 0, 0
FROM rollup_trend FINAL
WHERE tenant_id = {tenant:UInt32} AND attribute_name IN (SELECT attribute_name FROM ({hours})) AND grain = 'day'
  AND (attribute_name, bucket_us) IN ({days}) AND generation < {generation:UInt64} - 1

-- name: days
SELECT DISTINCT attribute_name, place - positiveModulo(place, 86400000000)
FROM rollup_work
WHERE tenant_id = {tenant:UInt32} AND generation = {generation:UInt64} AND kind = 'hour'
  AND cityHash64(attribute_name) % {slices:UInt32} = {slice:UInt32}

-- name: entities_write
INSERT INTO rollup_entities (tenant_id, entity_type, day_us, generation, is_deleted, created_count)
SELECT {tenant:UInt32}, entity_type, day_us, {generation:UInt64}, 0, sum(created_count)
FROM rollup_entity_parts FINAL
WHERE tenant_id = {tenant:UInt32} AND from_id IN {starts:Array(Int64)}
GROUP BY entity_type, day_us
UNION ALL
SELECT {tenant:UInt32}, entity_type, day_us, {generation:UInt64} - 1, 1, 0
FROM rollup_entities FINAL
WHERE tenant_id = {tenant:UInt32} AND generation < {generation:UInt64} - 1

-- name: states
SELECT tenant_id, generation, cluster, lsn, heartbeat_seq, heartbeat_ts_us, heartbeat_lsn, marks_us, refreshed_us,
       spent_s, recent_us, starts
FROM rollup_state
ORDER BY generation DESC
LIMIT 1 BY tenant_id

-- name: marks
-- The newest mark of each tenant.
SELECT tenant_id, max(noted_us)
FROM rollup_marks
GROUP BY tenant_id

-- name: marks_new
SELECT attribute_name, count() FROM (
    SELECT DISTINCT attribute_name, hour_us FROM rollup_marks
    WHERE noted_us > {marks_from:Int64} AND tenant_id = {tenant:UInt32}
)
GROUP BY attribute_name
ORDER BY attribute_name
