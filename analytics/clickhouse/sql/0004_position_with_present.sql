-- The position rides with the present: a row of attribute_values, in the block of the changes that it speaks of. What is
-- derived besides, the past and the marks of rollups, comes from the same lines, inserted before.

CREATE TABLE IF NOT EXISTS feed_past {on_cluster} AS feed_changes ENGINE = Null;

DROP VIEW IF EXISTS attribute_history_feed {on_cluster};

CREATE MATERIALIZED VIEW IF NOT EXISTS attribute_history_feed {on_cluster} TO attribute_history AS
SELECT tenant_id, attribute_name, entity_id, updated_us, value_type, value, number, number_rest, instant_us, lsn, committed_us
FROM feed_past
WHERE attribute_name != '';

DROP VIEW IF EXISTS rollup_marks_feed {on_cluster};

CREATE MATERIALIZED VIEW IF NOT EXISTS rollup_marks_feed {on_cluster} TO rollup_marks AS
SELECT toUnixTimestamp64Micro(now64(6)) AS noted_us, tenant_id, attribute_name,
       updated_us - positiveModulo(updated_us, 86400000000) AS day_us
FROM feed_past
GROUP BY tenant_id, attribute_name, day_us;

-- Without a position the feed loads everything anew.
DROP TABLE IF EXISTS feed_position {on_cluster};
