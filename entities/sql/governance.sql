-- What jobs about attributes read: a tenant's entities in slices of bounded length, in order of id. The slice begins after
-- a row, not after an id: search/run.py says why.

-- name: values_slice
-- A slice of the tenant's entities, and those of them that have the attribute, with the instant of the value and what
-- they have under another name (none is empty). One row without an entity where none of the slice has it.
WITH slice AS MATERIALIZED (
    SELECT entity_id, entity_type, external_id, attributes -> %(name)s AS value, attributes -> %(target)s AS target_value
    FROM entities
    WHERE tenant_id = %(tenant_id)s AND (tenant_id, entity_id) > (%(tenant_id)s, %(after)s)
    ORDER BY entity_id
    LIMIT %(limit)s
)
SELECT s.last_id, s.entities, h.entity_id, h.entity_type, h.external_id, h.value::text, h.target_value::text, v.updated_at,
       t.updated_at
FROM (SELECT max(entity_id) AS last_id, count(*) AS entities FROM slice) s
LEFT JOIN slice h ON h.value IS NOT NULL
LEFT JOIN entity_attributes v
    ON v.tenant_id = %(tenant_id)s AND v.entity_id = h.entity_id AND v.attribute_name = %(name)s
LEFT JOIN entity_attributes t
    ON t.tenant_id = %(tenant_id)s AND t.entity_id = h.entity_id AND t.attribute_name = %(target)s
ORDER BY h.entity_id;

-- name: values_checked
-- A slice of the tenant's entities with one value each; NULL where an entity has none.
SELECT entity_id, entity_type, external_id, (attributes -> %(name)s)::text
FROM entities
WHERE tenant_id = %(tenant_id)s AND (tenant_id, entity_id) > (%(tenant_id)s, %(after)s)
ORDER BY entity_id
LIMIT %(limit)s;

-- name: changes_slice
-- What a job changed, with what stands there now.
SELECT c.entity_id, e.entity_type, e.external_id, c.at, c.old_value::text, c.replaced::text,
       (e.attributes -> %(name)s)::text, (e.attributes -> %(target)s)::text
FROM (
    SELECT * FROM attribute_job_changes
    WHERE tenant_id = %(tenant_id)s AND job_id = %(job_id)s AND entity_id > %(after)s
    ORDER BY entity_id
    LIMIT %(limit)s
) c
LEFT JOIN entities e ON e.tenant_id = %(tenant_id)s AND e.entity_id = c.entity_id
ORDER BY c.entity_id;

-- name: name_forget
-- A name that no entity has any more, and that nobody has just written.
DELETE FROM attribute_metadata m
WHERE m.tenant_id = %(tenant_id)s AND m.attribute_name = %(name)s
  AND NOT EXISTS (SELECT FROM jsonb_each_text(m.value_types) t(kind, n) WHERE t.n::bigint > 0)
  AND NOT EXISTS (
      SELECT FROM attribute_changes c WHERE c.tenant_id = m.tenant_id AND c.attribute_name = m.attribute_name
  );

-- name: name_retire
-- What people said of the old name goes to the new one where that has nothing of its own; the old one is hidden.
WITH old AS (
    UPDATE attribute_metadata SET status = 'hidden'
    WHERE tenant_id = %(tenant_id)s AND attribute_name = %(name)s
    RETURNING description, unit, owner
)
UPDATE attribute_metadata m
SET description = CASE WHEN m.description = '' THEN old.description ELSE m.description END,
    unit = CASE WHEN m.unit = '' THEN old.unit ELSE m.unit END,
    owner = CASE WHEN m.owner = '' THEN old.owner ELSE m.owner END,
    status = CASE WHEN m.status IN ('hidden', 'quarantined') THEN 'active' ELSE m.status END
FROM old
WHERE m.tenant_id = %(tenant_id)s AND m.attribute_name = %(target)s;
