-- ClickHouse: what the API and the pages read. In braces without a colon: a condition, or nothing.

-- name: distribution
-- FINAL merges what it reads: so first, by two columns, which attributes can be in the answer at all. An older row that
-- was large enough lets one too many in, and none is left out.
SELECT attribute_name, entity_type, value_count, distinct_count, number_count, average, least, greatest, quantiles,
       bin_from, bin_width, bins, recent_count, recent_average, recent_median, recent_greatest
FROM rollup_distribution FINAL
WHERE tenant_id = {tenant:UInt32} AND {count_column} >= {min_count:UInt64} {condition}
  AND attribute_name IN (
      SELECT attribute_name FROM rollup_distribution
      WHERE tenant_id = {tenant:UInt32} AND {count_column} >= {min_count:UInt64} {condition})
ORDER BY {order} attribute_name, entity_type
LIMIT {limit:UInt32}

-- name: values
SELECT attribute_name, entity_type, CAST(value_type, 'String'), value, value_count
FROM rollup_values FINAL
WHERE tenant_id = {tenant:UInt32} AND attribute_name = {attribute:String} {condition}
ORDER BY value_count DESC, entity_type, value_type, value_key
LIMIT {limit:UInt32}

-- name: trend
SELECT bucket_us, entity_type, sample_count, average, least, median, p95, greatest
FROM rollup_trend FINAL
WHERE tenant_id = {tenant:UInt32} AND attribute_name = {attribute:String} AND grain = {grain:String}
  AND bucket_us >= {from_us:Int64} AND bucket_us < {to_us:Int64} {condition}
ORDER BY bucket_us {direction}, entity_type
LIMIT {limit:UInt32}

-- name: entities
-- With those of the days before: how many of what exists now existed at the end of each day.
SELECT day_us, entity_type, created_count, total FROM (
    SELECT day_us, entity_type, created_count,
           sum(created_count) OVER (PARTITION BY entity_type ORDER BY day_us ROWS UNBOUNDED PRECEDING) AS total
    FROM rollup_entities FINAL
    WHERE tenant_id = {tenant:UInt32} {condition}
)
WHERE day_us >= {from_us:Int64} AND day_us < {to_us:Int64}
ORDER BY day_us {direction}, entity_type
LIMIT {limit:UInt32}

-- name: types
SELECT entity_type, sum(created_count) FROM rollup_entities FINAL
WHERE tenant_id = {tenant:UInt32}
GROUP BY entity_type
ORDER BY sum(created_count) DESC, entity_type
LIMIT {limit:UInt32}
