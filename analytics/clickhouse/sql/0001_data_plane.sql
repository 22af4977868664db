-- One statement after the other, each ended by a semicolon at the end of a line. In braces: what depends on the
-- installation, see `analytics.clickhouse.migrate`. Instants are microseconds since 1970: an `at` of the year 1 or 9999
-- is as good as any, and DateTime64 ends in 2299.

CREATE TABLE IF NOT EXISTS entities {on_cluster} (
    tenant_id UInt32,
    entity_id Int64,
    entity_type LowCardinality(String),
    external_id String,
    created_us Int64,
    updated_us Int64,
    version Int64,
    lsn UInt64,
    is_deleted UInt8
) ENGINE = {replacing}(lsn, is_deleted)
ORDER BY (tenant_id, entity_id)
SETTINGS {table_settings};

CREATE TABLE IF NOT EXISTS attribute_values {on_cluster} (
    tenant_id UInt32,
    attribute_name LowCardinality(String),
    entity_id Int64,
    value_type Enum8('string' = 1, 'number' = 2, 'boolean' = 3, 'timestamp' = 4, 'removed' = 5),
    value String CODEC(ZSTD(1)),
    -- A number as a double, and what the double lacks: together 32 digits, so that order is exact.
    number Float64,
    number_rest Float64,
    instant_us Int64,
    updated_us Int64,
    lsn UInt64,
    is_deleted UInt8
) ENGINE = {replacing}(lsn, is_deleted)
ORDER BY (tenant_id, attribute_name, entity_id)
SETTINGS {table_settings};

CREATE TABLE IF NOT EXISTS attribute_history {on_cluster} (
    tenant_id UInt32,
    attribute_name LowCardinality(String),
    entity_id Int64,
    updated_us Int64,
    value_type Enum8('string' = 1, 'number' = 2, 'boolean' = 3, 'timestamp' = 4, 'removed' = 5),
    value String CODEC(ZSTD(1)),
    number Float64,
    number_rest Float64,
    instant_us Int64,
    lsn UInt64,
    committed_us Int64,
    -- The same value at the same instant is the same sample, however often it is sent.
    value_hash UInt64 MATERIALIZED cityHash64(value)
) ENGINE = {replacing}(lsn)
ORDER BY (tenant_id, attribute_name, entity_id, updated_us, value_type, value_hash)
SETTINGS {table_settings};

CREATE MATERIALIZED VIEW IF NOT EXISTS attribute_values_feed {on_cluster} TO attribute_values AS
SELECT tenant_id, attribute_name, entity_id, value_type, value, number, number_rest, instant_us, updated_us, lsn,
       value_type = 'removed' AS is_deleted
FROM attribute_history;

-- How far the feed has come. Written after the data that it speaks of, never before.
CREATE TABLE IF NOT EXISTS feed_position {on_cluster} (
    store LowCardinality(String),
    cluster String,
    -- Grows with every row, also when a snapshot takes the position back.
    ordinal UInt64,
    lsn UInt64,
    heartbeat_seq UInt64,
    heartbeat_ts_us Int64,
    heartbeat_lsn UInt64
) ENGINE = {replacing}(ordinal)
ORDER BY store
SETTINGS {table_settings};
