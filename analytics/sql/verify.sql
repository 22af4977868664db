-- What verify_stores compares, as the primary has it. A digest is the sum of 32 bits of each row's MD5: ClickHouse
-- computes the same (`analytics.feed.verify`), so equal tenants need no row to be sent. Of one that differs, a digest
-- of each range of entity ids says where: bounds, ascending, are the first id of each.

-- name: tenants
SELECT id, slug FROM tenants_tenant ORDER BY slug

-- name: entities_digest
SELECT count(*), coalesce(sum(('x' || left(md5(concat_ws('|', entity_id, entity_type, external_id,
    (extract(epoch FROM created_at) * 1000000)::bigint, (extract(epoch FROM updated_at) * 1000000)::bigint, version, attributes::text)), 8))::bit(32)::bigint), 0)::bigint
FROM entities
WHERE tenant_id = %(tenant_id)s

-- name: values_digest
SELECT count(*), coalesce(sum(('x' || left(md5(concat_ws('|', entity_id, attribute_name, value_type, attribute_value,
    (extract(epoch FROM updated_at) * 1000000)::bigint)), 8))::bit(32)::bigint), 0)::bigint
FROM entity_attributes
WHERE tenant_id = %(tenant_id)s AND value_type <> 'removed'

-- name: range_bounds
SELECT entity_id FROM (
    SELECT entity_id, row_number() OVER (ORDER BY entity_id) AS place FROM entities WHERE tenant_id = %(tenant_id)s
) AS placed
WHERE place %% %(entities_per_range)s = 0
ORDER BY entity_id

-- name: entities_ranges
SELECT width_bucket(entity_id, %(bounds)s::bigint[]), count(*), sum(('x' || left(md5(concat_ws('|', entity_id, entity_type, external_id,
    (extract(epoch FROM created_at) * 1000000)::bigint, (extract(epoch FROM updated_at) * 1000000)::bigint, version, attributes::text)), 8))::bit(32)::bigint)::bigint
FROM entities
WHERE tenant_id = %(tenant_id)s
GROUP BY 1

-- name: values_ranges
SELECT width_bucket(entity_id, %(bounds)s::bigint[]), count(*), sum(('x' || left(md5(concat_ws('|', entity_id, attribute_name, value_type, attribute_value,
    (extract(epoch FROM updated_at) * 1000000)::bigint)), 8))::bit(32)::bigint)::bigint
FROM entity_attributes
WHERE tenant_id = %(tenant_id)s AND value_type <> 'removed'
GROUP BY 1

-- name: entities_rows
SELECT entity_id::text, md5(concat_ws('|', entity_id, entity_type, external_id,
    (extract(epoch FROM created_at) * 1000000)::bigint, (extract(epoch FROM updated_at) * 1000000)::bigint, version, attributes::text))
FROM entities
WHERE tenant_id = %(tenant_id)s AND entity_id BETWEEN %(first)s AND %(last)s

-- name: values_rows
SELECT entity_id || ' ' || attribute_name, md5(concat_ws('|', entity_id, attribute_name, value_type, attribute_value,
    (extract(epoch FROM updated_at) * 1000000)::bigint))
FROM entity_attributes
WHERE tenant_id = %(tenant_id)s AND entity_id BETWEEN %(first)s AND %(last)s AND value_type <> 'removed'

-- name: cached_rows
SELECT entity_id, version, attributes::text FROM entities WHERE tenant_id = %(tenant_id)s AND entity_id = ANY (%(entity_ids)s)
