"""ClickHouse: entities and values as they are, every value as it was, and the answers read from them.

# Note [What ClickHouse holds]
`attribute_values` is the present: a row per entity and attribute, and under the empty name a row of the entity itself
with its document. Per key the row with the greatest LSN counts, deletions are rows that hide the others
(ReplacingMergeTree, read with FINAL). `attribute_history` is the past: a row per entity, attribute, instant and value.
Both are fed from rows as PostgreSQL publishes them: a value row has its type, its exact text and its instant already, a
removal is a row like any other, and an update of one value is one row, not a document. The same lines go into
`feed_past` and then into `feed_changes`, which keep nothing: materialized views fill the tables from them.

# Note [One state a statement]
The present is one table, and the feed inserts whole transactions in one block, which makes one part. A statement reads
one state of a table, whatever it names it for (`enable_shared_storage_snapshot_in_query`). So a reader sees all of a
transaction or nothing of it: an entity with its values, two entities that were written together. Only a transaction
too large for one batch (`analytics.feed.assemble`) becomes visible in pieces. See also Note [Position with the present]
in `analytics.clickhouse.changes`.
"""
