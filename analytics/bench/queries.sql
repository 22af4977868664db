-- The specification's "Distribution of numeric attributes across entity types", Part A, step 5.

-- name: specified
-- As it stands there; the seven days begin where the others' do.
SELECT
    e.entity_type,
    ea.attribute_name,
    COUNT(*) as entity_count,
    AVG(ea.numeric_value) as avg_value,
    PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY ea.numeric_value) as median_value,
    MAX(ea.numeric_value) as max_value
FROM entity_attributes ea
JOIN entities e ON e.entity_id = ea.entity_id
WHERE ea.tenant_id = %(tenant_id)s
  AND ea.numeric_value IS NOT NULL
  AND ea.created_at >= %(since)s
GROUP BY e.entity_type, ea.attribute_name
HAVING COUNT(*) > %(min_count)s
ORDER BY entity_count DESC;

-- name: best
-- Partitions of both tables are pruned, and doubles are compared instead of decimals; sorts get memory.
SELECT e.entity_type, ea.attribute_name, count(*) AS entity_count, avg(ea.numeric_key),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY ea.numeric_key), max(ea.numeric_key)
FROM entity_attributes ea
JOIN entities e ON e.tenant_id = %(tenant_id)s AND e.entity_id = ea.entity_id
WHERE ea.tenant_id = %(tenant_id)s AND ea.numeric_key IS NOT NULL AND ea.created_at >= %(since)s
GROUP BY e.entity_type, ea.attribute_name
HAVING count(*) > %(min_count)s
ORDER BY entity_count DESC;

-- name: clickhouse
SELECT entity_type, attribute_name, count() AS entity_count, avg(number), quantileExactInclusive(0.5)(number), max(number)
FROM (
    SELECT attribute_name, entity_id, number FROM attribute_values FINAL
    WHERE tenant_id = {tenant:UInt32} AND attribute_name != '' AND value_type = 'number' AND created_us >= {since:Int64}
) AS v
INNER JOIN (
    SELECT entity_id, entity_type FROM attribute_values FINAL
    WHERE tenant_id = {tenant:UInt32} AND attribute_name = ''
) AS e ON e.entity_id = v.entity_id
GROUP BY entity_type, attribute_name
HAVING entity_count > {min_count:UInt64}
ORDER BY entity_count DESC
