-- PostgreSQL: the same answers from a database, for who needs them fresher than the rollups are. Slow on many values.
-- In braces: a condition, or nothing.

-- name: distribution
SELECT a.attribute_name::text, e.entity_type::text, count(*), count(DISTINCT (a.value_type, a.attribute_value)),
       count(a.numeric_key), avg(a.numeric_key), min(a.numeric_key), max(a.numeric_key),
       percentile_cont(ARRAY[0.05, 0.25, 0.5, 0.75, 0.95, 0.99]) WITHIN GROUP (ORDER BY a.numeric_key), NULL, NULL, NULL,
       count(a.numeric_key) FILTER (WHERE recent), avg(a.numeric_key) FILTER (WHERE recent),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY a.numeric_key) FILTER (WHERE recent),
       max(a.numeric_key) FILTER (WHERE recent)
FROM (
    SELECT *, created_at >= %(recent_from)s AS recent FROM entity_attributes
    WHERE tenant_id = %(tenant_id)s AND value_type <> 'removed' {attribute_condition}
) a
JOIN entities e ON e.tenant_id = %(tenant_id)s AND e.entity_id = a.entity_id
WHERE true {type_condition}
GROUP BY a.attribute_name, e.entity_type
HAVING {count_column} >= %(min_count)s {after_condition}
ORDER BY {order} a.attribute_name, e.entity_type
LIMIT %(limit)s

-- name: values
SELECT a.attribute_name::text, e.entity_type::text, a.value_type::text, min(a.attribute_value), count(*)
FROM entity_attributes a
JOIN entities e ON e.tenant_id = %(tenant_id)s AND e.entity_id = a.entity_id
WHERE a.tenant_id = %(tenant_id)s AND a.attribute_name = %(attribute)s AND a.value_type <> 'removed' {type_condition}
GROUP BY a.attribute_name, e.entity_type, a.value_type, a.numeric_value, a.instant_value,
         CASE WHEN a.numeric_value IS NULL AND a.instant_value IS NULL THEN a.attribute_value END
ORDER BY count(*) DESC, e.entity_type, a.value_type, min(a.attribute_value)
LIMIT %(limit)s

-- name: entities
SELECT day_us, entity_type, created, total FROM (
    SELECT (extract(epoch FROM day) * 1000000)::bigint AS day_us, entity_type::text, count(*) AS created,
           sum(count(*)) OVER (PARTITION BY entity_type ORDER BY day)::bigint AS total
    FROM (
        SELECT date_trunc('day', created_at, 'UTC') AS day, entity_type
        FROM entities e
        WHERE tenant_id = %(tenant_id)s {type_condition}
    ) d
    GROUP BY day, entity_type
) t
WHERE day_us >= %(from_us)s AND day_us < %(to_us)s
ORDER BY day_us {direction}, entity_type
LIMIT %(limit)s

-- name: types
SELECT entity_type::text, count(*) FROM entities
WHERE tenant_id = %(tenant_id)s
GROUP BY entity_type
ORDER BY count(*) DESC, entity_type
LIMIT %(limit)s
