-- Rollups from parts: figures of stretches of entity ids and of hours, from which those of all are put together. A change
-- makes anew the parts that it lies in, however much there is besides. See `analytics.rollups`.

DROP VIEW IF EXISTS rollup_marks_feed {on_cluster};

DROP TABLE IF EXISTS rollup_marks {on_cluster};

DROP TABLE IF EXISTS rollup_work {on_cluster};

-- Where something changed: written with the change itself. In the order of arrival, so that what is new is one range.
-- Empty attribute_name: the entity's own row. least_id, greatest_id: of the entities; close to each other, because those
-- that were made at different times have marks of their own.
CREATE TABLE IF NOT EXISTS rollup_marks {on_cluster} (
    noted_us Int64,
    tenant_id UInt32,
    attribute_name LowCardinality(String),
    hour_us Int64,
    least_id Int64,
    greatest_id Int64
) ENGINE = {merge_tree}
ORDER BY noted_us
TTL fromUnixTimestamp64Micro(noted_us)::DateTime + INTERVAL 3 DAY
SETTINGS {table_settings};

-- 2^34 of ids are four seconds.
CREATE MATERIALIZED VIEW IF NOT EXISTS rollup_marks_feed {on_cluster} TO rollup_marks AS
SELECT toUnixTimestamp64Micro(now64(6)) AS noted_us, tenant_id, attribute_name,
       updated_us - positiveModulo(updated_us, 3600000000) AS hour_us, min(entity_id) AS least_id, max(entity_id) AS greatest_id
FROM feed_past
GROUP BY tenant_id, attribute_name, hour_us, bitShiftRight(entity_id, 34);

-- What one refresh has to do, settled when it begins: all of its statements go by the same list. place: where a stretch
-- of entities begins, or an hour.
CREATE TABLE IF NOT EXISTS rollup_work {on_cluster} (
    tenant_id UInt32,
    generation UInt64,
    kind Enum8('stretch' = 1, 'hour' = 2),
    attribute_name LowCardinality(String),
    place Int64
) ENGINE = {merge_tree}
ORDER BY (tenant_id, generation, kind, attribute_name, place)
TTL fromUnixTimestamp64Nano(generation::Int64)::DateTime + INTERVAL 1 DAY
SETTINGS {table_settings};

-- The present values of an attribute among the entities of a type in one stretch of ids, which begins with from_id.
-- recent_*: of numbers whose row was made in the last seven days before the part was.
CREATE TABLE IF NOT EXISTS rollup_parts {on_cluster} (
    tenant_id UInt32,
    attribute_name LowCardinality(String),
    from_id Int64,
    entity_type LowCardinality(String),
    generation UInt64,
    is_deleted UInt8,
    value_count UInt64,
    distinct_values AggregateFunction(uniqCombined(14), UInt64),
    numbers Array(Float64) CODEC(ZSTD(1)),
    recent_numbers Array(Float64) CODEC(ZSTD(1)),
    recent_created_us Array(Int64) CODEC(ZSTD(1))
) ENGINE = {replacing}(generation, is_deleted)
ORDER BY (tenant_id, attribute_name, from_id, entity_type)
SETTINGS {table_settings};

-- How often each value occurs in the stretch, of attributes with few different ones there.
CREATE TABLE IF NOT EXISTS rollup_value_parts {on_cluster} (
    tenant_id UInt32,
    attribute_name LowCardinality(String),
    from_id Int64,
    entity_type LowCardinality(String),
    value_type Enum8('string' = 1, 'number' = 2, 'boolean' = 3, 'timestamp' = 4),
    value_key String,
    generation UInt64,
    is_deleted UInt8,
    value String,
    value_count UInt64
) ENGINE = {replacing}(generation, is_deleted)
ORDER BY (tenant_id, attribute_name, from_id, entity_type, value_type, value_key)
SETTINGS {table_settings};

-- The entities in the stretch, by type and by the day that they came into being.
CREATE TABLE IF NOT EXISTS rollup_entity_parts {on_cluster} (
    tenant_id UInt32,
    from_id Int64,
    entity_type LowCardinality(String),
    day_us Int64,
    generation UInt64,
    is_deleted UInt8,
    created_count UInt64
) ENGINE = {replacing}(generation, is_deleted)
ORDER BY (tenant_id, from_id, entity_type, day_us)
SETTINGS {table_settings};

-- Of an hour: its numbers, from which the day is put together.
ALTER TABLE rollup_trend {on_cluster} ADD COLUMN IF NOT EXISTS numbers Array(Float64) CODEC(ZSTD(1));

-- Where the tenant's stretches begin. Parts that begin elsewhere are left over from a refresh that died.
ALTER TABLE rollup_state {on_cluster} ADD COLUMN IF NOT EXISTS starts Array(Int64);

-- Without a state a tenant's rollups are computed whole, which makes the parts.
TRUNCATE TABLE IF EXISTS rollup_state {on_cluster};
