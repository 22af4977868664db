-- What verify_stores compares, as the primary has it. A digest is the sum of 32 bits of each row's MD5: ClickHouse
-- computes the same (`analytics.feed.verify`), so equal tenants need no row to be sent.

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

-- name: entities_rows
SELECT entity_id::text, md5(concat_ws('|', entity_id, entity_type, external_id,
    (extract(epoch FROM created_at) * 1000000)::bigint, (extract(epoch FROM updated_at) * 1000000)::bigint, version, attributes::text))
FROM entities
WHERE tenant_id = %(tenant_id)s

-- name: values_rows
SELECT entity_id || ' ' || attribute_name, md5(concat_ws('|', entity_id, attribute_name, value_type, attribute_value,
    (extract(epoch FROM updated_at) * 1000000)::bigint))
FROM entity_attributes
WHERE tenant_id = %(tenant_id)s AND value_type <> 'removed'

-- name: cached_rows
SELECT entity_id, version, attributes::text FROM entities WHERE tenant_id = %(tenant_id)s AND entity_id = ANY (%(entity_ids)s)
