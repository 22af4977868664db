"""The feed's side of ClickHouse. See Note [What ClickHouse holds], and Note [Order by LSN] in `analytics.feed.events`.

# Note [Position after data]
ClickHouse has no transaction over several tables. So the position is written last: it never speaks of data that is not
there. A crash in between makes the same events come again, and rows with the same key and LSN are the same row.
"""

from __future__ import annotations

import logging
import time
from decimal import Context, Decimal
from typing import Any, Final

from analytics.clickhouse.client import clickhouse_client, text_escape
from analytics.clickhouse.load import ENTITY_COLUMNS, HISTORY_COLUMNS, snapshot_load
from analytics.clickhouse.migrate import migrations_apply
from analytics.clickhouse.position import position_read, position_write
from analytics.feed.events import UNCHANGED, Change, Event, Position, TableTruncated, TenantErased
from analytics.feed.slots import snapshot_export

log = logging.getLogger(__name__)

NAME: Final = "clickhouse"
# A double shows every number of up to 15 digits; only longer ones have a rest.
_EXACT_DIGITS: Final = 15
# Wide enough for every digit of a double and of its remainder.
_EXACT: Final = Context(prec=2000)
_TENANT_TABLES: Final = ("entities", "attribute_values", "attribute_history")


class ClickHouseApplier:
    """Inserts what comes into three tables, then the position. dsn: of the replication role, for snapshots."""

    name = NAME
    # Each apply makes a part per table, which ClickHouse has to merge: better fewer and larger ones.
    linger_s = 0.15

    def __init__(self, url: str, *, dsn: str) -> None:
        self._url, self._dsn = url, dsn
        self._client: Any = None

    def recover(self) -> Position | None:
        self.close()
        self._client = clickhouse_client(self._url, timeout_s=120)
        for name in migrations_apply(self._client):
            log.info("ClickHouse migrated.", extra={"migration": name})
        return position_read(self._client)

    def load(self, *, start: Position) -> Position:
        """Read a snapshot of the primary into every table, and hide what the primary has no more."""
        before = position_read(self._client)
        # LSNs of another cluster mean nothing here, so they must not decide which row is the newer.
        if before is not None and before.cluster != start.cluster:
            for table in ("entities", "attribute_values"):
                self._client.command(f"TRUNCATE TABLE {table}")
        with snapshot_export(self._dsn) as snapshot:
            snapshot_load(self._client, snapshot)
            position = Position(snapshot.cluster, snapshot.lsn)
        position_write(self._client, position)
        return position

    def apply(self, events: list[Event], position: Position) -> None:
        entities: list[str] = []
        values: list[str] = []
        for event in events:
            match event:
                case Change(table="entities"):
                    entities.append(entity_line(event))
                case Change(table="entity_attributes"):
                    if event.row is not None and event.row["attribute_value"] is UNCHANGED:
                        self._flush(entities, values)
                        values.append(self._completed_line(event))
                    else:
                        values.append(value_line(event))
                case TenantErased(tenant_id=tenant_id):
                    self._flush(entities, values)
                    tenant_erase(self._client, tenant_id=tenant_id)
                case TableTruncated(table="entities"):
                    self._flush(entities, values)
                    self._client.command("TRUNCATE TABLE entities")
                case TableTruncated(table="entity_attributes"):
                    self._flush(entities, values)
                    self._client.command("TRUNCATE TABLE attribute_values")
                case _:
                    pass
        self._flush(entities, values)
        position_write(self._client, position)

    def _flush(self, entities: list[str], values: list[str]) -> None:
        for table, columns, lines in (
            ("entities", ENTITY_COLUMNS, entities),
            ("attribute_history", HISTORY_COLUMNS, values),
        ):
            if lines:
                block = "".join(lines).encode()
                self._client.raw_insert(table, column_names=columns, insert_block=block, fmt="TabSeparated")
                lines.clear()

    def _completed_line(self, change: Change) -> str:
        """A value row whose long text did not change and did not come: it is the one that we have."""
        tenant_id, entity_id, attribute_name = change.key
        rows = self._client.query(
            "SELECT value FROM attribute_values FINAL WHERE tenant_id = {tenant:UInt32}"
            " AND attribute_name = {name:String} AND entity_id = {entity:Int64}",
            parameters={"tenant": tenant_id, "name": attribute_name, "entity": entity_id},
        ).result_rows
        if not rows:
            # It was deleted afterwards in a part of the log that we have seen already; the deletion comes again.
            log.info("A value that did not come with its change is not here either.")
        row = {**(change.row or {}), "attribute_value": rows[0][0] if rows else ""}
        return value_line(
            Change(change.table, tenant_id, change.key, row, change.lsn, change.commit_lsn, change.committed_us)
        )

    def close(self) -> None:
        if self._client is not None:
            try:
                self._client.close()
            except Exception:  # A connection that is broken anyway.
                log.debug("Closing ClickHouse's client failed.", exc_info=True)


def entity_line(change: Change) -> str:
    """A change of `entities` as a line of TabSeparated, in the order of ENTITY_COLUMNS."""
    tenant_id, entity_id = change.key
    row = change.row
    if row is None:
        return f"{tenant_id}\t{entity_id}\t\t\t0\t0\t0\t{change.lsn}\t1\n"
    return (
        f"{tenant_id}\t{entity_id}\t{text_escape(row['entity_type'])}\t{text_escape(row['external_id'])}"
        f"\t{row['created_at']}\t{row['updated_at']}\t{row['version']}\t{change.lsn}\t0\n"
    )


def value_line(change: Change) -> str:
    """A change of `entity_attributes` as a line of TabSeparated, in the order of HISTORY_COLUMNS.

    A row that is deleted together with its entity is removed at the instant of the commit.
    """
    tenant_id, entity_id, attribute_name = change.key
    head = f"{tenant_id}\t{text_escape(attribute_name)}\t{entity_id}\t"
    tail = f"\t{change.lsn}\t{change.committed_us}\n"
    row = change.row
    if row is None:
        return f"{head}{change.committed_us}\tremoved\t\t0\t0\t0{tail}"
    digits = row["numeric_value"]
    number, rest = (0.0, 0.0) if digits is None else number_split(digits)
    return (
        f"{head}{row['updated_at']}\t{row['value_type']}\t{text_escape(row['attribute_value'])}"
        f"\t{number!r}\t{rest!r}\t{row['instant_value'] or 0}{tail}"
    )


def number_split(digits: str) -> tuple[float, float]:
    """A number as the nearest double, and what is missing from that double's shortest text.

    `load.sql` splits in the same way: the text is what PostgreSQL and Python agree upon.
    """
    number = float(digits)
    if len(digits) <= _EXACT_DIGITS:
        return number, 0.0
    return number, float(_EXACT.subtract(Decimal(digits), Decimal(repr(number))))


def tenant_erase(client: Any, *, tenant_id: int) -> int:
    """Remove a tenant's rows from the disk; return how many entities and values there were."""
    removed = tenant_count(client, tenant_id=tenant_id)
    if removed == 0:
        return 0  # A deletion rewrites parts, even where there is nothing to delete.
    began = time.perf_counter()
    for table in _TENANT_TABLES:
        client.command(
            f"ALTER TABLE {table} DELETE WHERE tenant_id = {{tenant:UInt32}}",
            parameters={"tenant": tenant_id},
            settings={"mutations_sync": "2"},
        )
    log.info("Tenant erased from ClickHouse.", extra={"rows": removed, "seconds": time.perf_counter() - began})
    return removed


def tenant_count(client: Any, *, tenant_id: int) -> int:
    """How many rows the tenant has in all tables, hidden ones too."""
    counts = " + ".join(
        f"(SELECT count() FROM {table} WHERE tenant_id = {{tenant:UInt32}})" for table in _TENANT_TABLES
    )
    return int(client.query(f"SELECT {counts}", parameters={"tenant": tenant_id}).result_rows[0][0])
