-- What `bench feed` writes, as the bound tenant.

-- name: entities_with_values
-- Entities with as many values each: numbers, and every third one a text.
WITH e AS (
    INSERT INTO entities (tenant_id, entity_id, entity_type, external_id, attributes)
    SELECT %(tenant_id)s, n, 'bench', 'bench-' || n,
           (SELECT jsonb_object_agg('attribute_' || a, CASE WHEN a %% 3 = 0 THEN to_jsonb('text ' || n) ELSE to_jsonb(n * a) END)
            FROM generate_series(1, %(attributes)s) a)
    FROM generate_series(%(first)s + 1, %(first)s + %(count)s) n
)
INSERT INTO entity_attributes (tenant_id, entity_id, attribute_name, value_type, attribute_value, numeric_value)
SELECT %(tenant_id)s, n, 'attribute_' || a, CASE WHEN a %% 3 = 0 THEN 'string' ELSE 'number' END,
       CASE WHEN a %% 3 = 0 THEN 'text ' || n ELSE (n * a)::text END, CASE WHEN a %% 3 <> 0 THEN n * a END
FROM generate_series(%(first)s + 1, %(first)s + %(count)s) n, generate_series(1, %(attributes)s) a;

-- name: values_many
-- Values of one attribute each, without entities: one row an event.
INSERT INTO entity_attributes (tenant_id, entity_id, attribute_name, value_type, attribute_value, numeric_value)
SELECT %(tenant_id)s, 100000000 + n, 'large', 'number', n::text, n
FROM generate_series(%(first)s + 1, %(first)s + %(count)s) n;
