-- A sample is undone by a promotion when its transaction is, whose end may lie far behind the sample's own record.
-- commit_lsn: where the commit record begins; of a snapshot's rows, where the snapshot ends. 0: not known.
ALTER TABLE attribute_history {on_cluster} ADD COLUMN IF NOT EXISTS commit_lsn UInt64 CODEC(ZSTD(1));

ALTER TABLE feed_past {on_cluster} ADD COLUMN IF NOT EXISTS commit_lsn UInt64;

ALTER TABLE feed_changes {on_cluster} ADD COLUMN IF NOT EXISTS commit_lsn UInt64;

DROP VIEW IF EXISTS attribute_history_feed {on_cluster};

CREATE MATERIALIZED VIEW IF NOT EXISTS attribute_history_feed {on_cluster} TO attribute_history AS
SELECT tenant_id, attribute_name, entity_id, updated_us, value_type, value, number, number_rest, instant_us, lsn, committed_us,
       commit_lsn
FROM feed_past
WHERE attribute_name != '';
