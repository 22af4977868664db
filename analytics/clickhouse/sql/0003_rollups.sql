-- Rollups: what pages and reports read instead of going through every value. See `analytics.rollups`.
-- generation: nanoseconds at which the data of a row began to be read; of one key the greatest counts.

-- When a value's row was made, which the specification's analytical query asks for.
ALTER TABLE attribute_values {on_cluster} ADD COLUMN IF NOT EXISTS created_us Int64;

ALTER TABLE feed_changes {on_cluster} ADD COLUMN IF NOT EXISTS created_us Int64;

DROP VIEW IF EXISTS attribute_values_feed {on_cluster};

CREATE MATERIALIZED VIEW IF NOT EXISTS attribute_values_feed {on_cluster} TO attribute_values AS
SELECT tenant_id, attribute_name, entity_id, value_type, value, number, number_rest, instant_us, updated_us, lsn,
       value_type = 'removed' AS is_deleted, entity_type, version, document, created_us
FROM feed_changes;

-- A day's samples are found without reading the years before it: old ones lie in parts of their own.
ALTER TABLE attribute_history {on_cluster} ADD INDEX IF NOT EXISTS updated_range updated_us TYPE minmax GRANULARITY 1;

-- Where something changed: written with the change itself. In the order of arrival, so that what is new is one range.
-- Empty attribute_name: the entity's own row.
CREATE TABLE IF NOT EXISTS rollup_marks {on_cluster} (
    noted_us Int64,
    tenant_id UInt32,
    attribute_name LowCardinality(String),
    day_us Int64
) ENGINE = {merge_tree}
ORDER BY noted_us
TTL fromUnixTimestamp64Micro(noted_us)::DateTime + INTERVAL 3 DAY
SETTINGS {table_settings};

CREATE MATERIALIZED VIEW IF NOT EXISTS rollup_marks_feed {on_cluster} TO rollup_marks AS
SELECT toUnixTimestamp64Micro(now64(6)) AS noted_us, tenant_id, attribute_name,
       updated_us - positiveModulo(updated_us, 86400000000) AS day_us
FROM feed_changes
GROUP BY tenant_id, attribute_name, day_us;

-- What one refresh has to do, settled when it begins: all of its statements go by the same list.
CREATE TABLE IF NOT EXISTS rollup_work {on_cluster} (
    tenant_id UInt32,
    generation UInt64,
    attribute_name LowCardinality(String),
    day_us Int64
) ENGINE = {merge_tree}
ORDER BY (tenant_id, generation, attribute_name, day_us)
TTL fromUnixTimestamp64Nano(generation::Int64)::DateTime + INTERVAL 1 DAY
SETTINGS {table_settings};

-- The present values of an attribute among the entities of a type. quantiles: 5, 25, 50, 75, 95, 99 %. bins: how many
-- numbers lie in each stretch of bin_width from bin_from on; the first and the last have what lies beyond them, too.
CREATE TABLE IF NOT EXISTS rollup_distribution {on_cluster} (
    tenant_id UInt32,
    attribute_name LowCardinality(String),
    entity_type LowCardinality(String),
    generation UInt64,
    is_deleted UInt8,
    value_count UInt64,
    distinct_count UInt64,
    number_count UInt64,
    average Float64,
    least Float64,
    greatest Float64,
    quantiles Array(Float64),
    bin_from Float64,
    bin_width Float64,
    bins Array(UInt64),
    -- The same of numbers whose row was made in the last seven days.
    recent_count UInt64,
    recent_average Float64,
    recent_median Float64,
    recent_greatest Float64
) ENGINE = {replacing}(generation, is_deleted)
ORDER BY (tenant_id, attribute_name, entity_type)
SETTINGS {table_settings};

-- How often each value occurs, of attributes with few different ones. value_key: equal for equal values.
CREATE TABLE IF NOT EXISTS rollup_values {on_cluster} (
    tenant_id UInt32,
    attribute_name LowCardinality(String),
    entity_type LowCardinality(String),
    value_type Enum8('string' = 1, 'number' = 2, 'boolean' = 3, 'timestamp' = 4),
    value_key String,
    generation UInt64,
    is_deleted UInt8,
    value String,
    value_count UInt64
) ENGINE = {replacing}(generation, is_deleted)
ORDER BY (tenant_id, attribute_name, entity_type, value_type, value_key)
SETTINGS {table_settings};

-- The numbers that were set in each hour and each day.
CREATE TABLE IF NOT EXISTS rollup_trend {on_cluster} (
    tenant_id UInt32,
    attribute_name LowCardinality(String),
    grain Enum8('hour' = 1, 'day' = 2),
    bucket_us Int64,
    entity_type LowCardinality(String),
    generation UInt64,
    is_deleted UInt8,
    sample_count UInt64,
    average Float64,
    least Float64,
    median Float64,
    p95 Float64,
    greatest Float64
) ENGINE = {replacing}(generation, is_deleted)
ORDER BY (tenant_id, attribute_name, grain, bucket_us, entity_type)
SETTINGS {table_settings};

-- Entities that exist, by the day that they came into being.
CREATE TABLE IF NOT EXISTS rollup_entities {on_cluster} (
    tenant_id UInt32,
    entity_type LowCardinality(String),
    day_us Int64,
    generation UInt64,
    is_deleted UInt8,
    created_count UInt64
) ENGINE = {replacing}(generation, is_deleted)
ORDER BY (tenant_id, entity_type, day_us)
SETTINGS {table_settings};

-- What each tenant's rollups reflect. Written after them, never before.
CREATE TABLE IF NOT EXISTS rollup_state {on_cluster} (
    tenant_id UInt32,
    generation UInt64,
    cluster String,
    lsn UInt64,
    heartbeat_seq UInt64,
    heartbeat_ts_us Int64,
    heartbeat_lsn UInt64,
    -- Marks up to here are worked in.
    marks_us Int64,
    -- When something was last refreshed, how long that took, and where the last seven days began then.
    refreshed_us Int64,
    spent_s Float64,
    recent_us Int64
) ENGINE = {replacing}(generation)
ORDER BY tenant_id
SETTINGS {table_settings};

-- Rows that are there already do not know when they were made: the feed loads them again.
TRUNCATE TABLE IF EXISTS feed_position {on_cluster};
