-- New entities of a benchmark, table by table. Documents hold no backslash and no tab: COPY takes their JSON as it is.

-- name: stage_create
DROP TABLE IF EXISTS bench_stage;
CREATE TEMP TABLE bench_stage (
    external_id text NOT NULL,
    entity_type text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    attributes jsonb NOT NULL
) ON COMMIT DROP;

-- name: stage_number
ALTER TABLE bench_stage ADD entity_id bigint;
UPDATE bench_stage SET entity_id = entity_id_at(created_at) | (nextval('entity_seq') & 4194303);

-- name: keys_load
INSERT INTO entity_keys (tenant_id, external_id, entity_type, entity_id)
SELECT %(tenant_id)s, external_id, entity_type, entity_id FROM bench_stage ORDER BY external_id, entity_type;

-- name: entities_load
INSERT INTO entities (tenant_id, entity_id, entity_type, external_id, created_at, updated_at, attributes)
SELECT %(tenant_id)s, entity_id, entity_type, external_id, created_at, updated_at, attributes
FROM bench_stage
ORDER BY updated_at, entity_id;

-- name: values_load
INSERT INTO entity_attributes (tenant_id, entity_id, attribute_name, value_type, attribute_value, numeric_value,
                               instant_value, indexed, created_at, updated_at)
SELECT %(tenant_id)s, s.entity_id, a.key, value_kind(a.value), a.value #>> '{}',
       CASE WHEN jsonb_typeof(a.value) = 'number' THEN a.value::numeric END, value_instant(a.value),
       a.key = ANY (ARRAY(
           SELECT m.attribute_name::text FROM attribute_metadata m
           WHERE m.tenant_id = %(tenant_id)s AND (m.is_indexed OR m.is_indexing)
       )),
       s.updated_at, s.updated_at
FROM bench_stage s
CROSS JOIN LATERAL jsonb_each(s.attributes) a
ORDER BY s.entity_id, a.key;

-- name: registry_load
WITH seen AS MATERIALIZED (
    SELECT a.key, value_kind(a.value) AS kind, count(*) AS n
    FROM bench_stage s CROSS JOIN LATERAL jsonb_each(s.attributes) a
    GROUP BY 1, 2
), named AS (
    INSERT INTO attribute_metadata (tenant_id, attribute_name, value_type)
    SELECT %(tenant_id)s, key, min(kind) FROM seen GROUP BY key ORDER BY key
    ON CONFLICT DO NOTHING
)
INSERT INTO attribute_changes (tenant_id, attribute_name, value_type, entity_delta, value_changes)
SELECT %(tenant_id)s, key, kind, n, n FROM seen;
