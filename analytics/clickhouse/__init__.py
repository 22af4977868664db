"""ClickHouse: entities and values as they are, every value as it was, and the aggregates answered from them.

# Note [What ClickHouse holds]
`entities` and `attribute_values` are the present: per key the row with the greatest LSN, deletions as rows that hide
the others (ReplacingMergeTree, read with FINAL). `attribute_history` is the past: a row per entity, attribute, instant
and value. All three are fed from rows as PostgreSQL publishes them: a value row has its type, its exact text and its
instant already, a removal is a row like any other, and an update of one value is one row, not a document.
Values come in once: a materialized view copies the history's inserts to the present.
"""
