-- What ClickHouse is loaded from: run on the primary, in a snapshot. PostgreSQL's text format is ClickHouse's
-- TabSeparated, so rows pass through without being looked at. Columns as in `analytics.clickhouse.load`.

-- name: archived
-- Months that the primary gave to files, in the snapshot's own view: ClickHouse keeps their rows.
SELECT tenant_id, range_from, range_to FROM partition_archives ORDER BY tenant_id, range_to

-- name: entities
COPY (
    SELECT tenant_id, '', entity_id, (extract(epoch FROM updated_at) * 1000000)::bigint, 'entity', external_id, 0, 0,
           (extract(epoch FROM created_at) * 1000000)::bigint, {lsn},
           (extract(epoch FROM updated_at) * 1000000)::bigint, entity_type, version, attributes::text, 0,
           {commit_lsn}
    FROM entities
    WHERE {tenant}
) TO STDOUT

-- name: values
-- A number is split as in `analytics.clickhouse.applier.number_split`. A snapshot's row was committed at some time
-- before; the instant of the value itself is the best that is known of it.
COPY (
    SELECT tenant_id, attribute_name, entity_id, (extract(epoch FROM updated_at) * 1000000)::bigint, value_type,
           attribute_value, coalesce(numeric_key, 0),
           CASE WHEN length(numeric_value::text) > 15
                THEN (numeric_value - (numeric_key::text)::numeric)::float8 ELSE 0 END,
           coalesce((extract(epoch FROM instant_value) * 1000000)::bigint, 0), {lsn},
           (extract(epoch FROM updated_at) * 1000000)::bigint, '', 0, '', (extract(epoch FROM created_at) * 1000000)::bigint,
           {commit_lsn}
    FROM entity_attributes
    WHERE {tenant}
) TO STDOUT
