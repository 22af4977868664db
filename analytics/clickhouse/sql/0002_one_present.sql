-- The present in one table: an entity's own row, with its document, beside its values. An insert makes one part, so what
-- comes together becomes visible together, and one statement reads one state of it. Note [What ClickHouse holds] tells.

DROP VIEW IF EXISTS attribute_values_feed {on_cluster};

DROP TABLE IF EXISTS entities {on_cluster};

DROP TABLE IF EXISTS attribute_values {on_cluster};

CREATE TABLE IF NOT EXISTS attribute_values {on_cluster} (
    tenant_id UInt32,
    -- Empty for the entity's own row, which has no other name in common with any attribute.
    attribute_name LowCardinality(String),
    entity_id Int64,
    value_type Enum8('string' = 1, 'number' = 2, 'boolean' = 3, 'timestamp' = 4, 'removed' = 5, 'entity' = 6),
    -- Of an own row: the external_id.
    value String CODEC(ZSTD(1)),
    -- A number as a double, and what the double lacks: together 32 digits, so that order is exact.
    number Float64,
    number_rest Float64,
    -- Of an own row: created_at.
    instant_us Int64,
    updated_us Int64,
    lsn UInt64,
    is_deleted UInt8,
    -- Of own rows only. document: the attributes as PostgreSQL writes them.
    entity_type LowCardinality(String),
    version Int64,
    document String CODEC(ZSTD(1))
) ENGINE = {replacing}(lsn, is_deleted)
ORDER BY (tenant_id, attribute_name, entity_id)
SETTINGS {table_settings};

-- What the feed inserts into; it keeps nothing itself.
CREATE TABLE IF NOT EXISTS feed_changes {on_cluster} (
    tenant_id UInt32,
    attribute_name LowCardinality(String),
    entity_id Int64,
    updated_us Int64,
    value_type LowCardinality(String),
    value String,
    number Float64,
    number_rest Float64,
    instant_us Int64,
    lsn UInt64,
    committed_us Int64,
    entity_type LowCardinality(String),
    version Int64,
    document String
) ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS attribute_history_feed {on_cluster} TO attribute_history AS
SELECT tenant_id, attribute_name, entity_id, updated_us, value_type, value, number, number_rest, instant_us, lsn, committed_us
FROM feed_changes
WHERE attribute_name != '';

CREATE MATERIALIZED VIEW IF NOT EXISTS attribute_values_feed {on_cluster} TO attribute_values AS
SELECT tenant_id, attribute_name, entity_id, value_type, value, number, number_rest, instant_us, updated_us, lsn,
       value_type = 'removed' AS is_deleted, entity_type, version, document
FROM feed_changes;

CREATE VIEW IF NOT EXISTS entities {on_cluster} AS
SELECT tenant_id, entity_id, entity_type, value AS external_id, instant_us AS created_us, updated_us, version, lsn, is_deleted
FROM attribute_values FINAL
WHERE attribute_name = '';

-- The table is empty, so the feed has to load it.
TRUNCATE TABLE IF EXISTS feed_position {on_cluster};
