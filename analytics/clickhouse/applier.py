"""The feed's side of ClickHouse. See the notes [What ClickHouse holds], [Position with the present], [Order by LSN]."""

from __future__ import annotations

import logging
import time
from decimal import Context, Decimal
from typing import Any, Final

from analytics.clickhouse.changes import changes_insert, position_line, position_read, position_write
from analytics.clickhouse.client import clickhouse_client, text_escape
from analytics.clickhouse.load import not_archived, snapshot_load
from analytics.clickhouse.migrate import migrations_apply
from analytics.feed.events import UNCHANGED, Change, Event, Position, Table, TableTruncated, TenantErased
from analytics.feed.slots import Snapshot, lost_from, snapshot_export
from analytics.rollups.state import rollups_erase

log = logging.getLogger(__name__)

NAME: Final = "clickhouse"
# While nothing changes, the position is recorded this often.
POSITION_EVERY_S: Final = 1.0
# A double shows every number of up to 15 digits; only longer ones have a rest.
_EXACT_DIGITS: Final = 15
# Wide enough for every digit of a double and of its remainder.
_EXACT: Final = Context(prec=2000)
_TENANT_TABLES: Final = ("attribute_values", "attribute_history")
_OWN_ROWS: Final[dict[Table, str]] = {"entities": "= ''", "entity_attributes": "!= ''"}


class ClickHouseApplier:
    """Inserts what comes, then the position. dsn: of the replication role, for snapshots."""

    name = NAME
    # Each apply makes a part per table, which costs ClickHouse some 30 ms of CPU however small it is.
    linger_s = 0.3

    def __init__(self, url: str, *, dsn: str) -> None:
        self._url, self._dsn = url, dsn
        self._client: Any = None
        self._recorded_at = 0.0

    def recover(self) -> Position | None:
        self.close()
        self._client = clickhouse_client(self._url, timeout_s=120)
        for name in migrations_apply(self._client):
            log.info("ClickHouse migrated.", extra={"migration": name})
        return position_read(self._client)

    def load(self, *, start: Position) -> Position:
        """Read a snapshot of the primary into every table, and hide what the primary has no more."""
        before = position_read(self._client)
        with snapshot_export(self._dsn) as snapshot:
            # The primary may be another one than at the start.
            if before is not None and not before.is_of(snapshot.cluster):
                self._cluster_leave(before.cluster, snapshot)
            snapshot_load(self._client, snapshot)
            position = Position(snapshot.cluster, snapshot.lsn)
        position_write(self._client, position)
        return position

    def _cluster_leave(self, cluster: str, snapshot: Snapshot) -> None:
        """Remove what must not meet the LSNs of the snapshot's cluster, and what a promotion has undone.

        May die anywhere: the position names the cluster that is left until all of its rows are gone.
        """
        # What the position speaks for goes, so the position goes first.
        position_write(self._client, Position(cluster, 0))
        lost_lsn = lost_from(self._dsn, cluster=cluster, now=snapshot.cluster)
        if lost_lsn is None:
            # No later promotion is to judge samples by LSNs of another cluster.
            self._mutate("attribute_history UPDATE commit_lsn = 0 WHERE commit_lsn != 0")
        else:
            self._mutate(f"attribute_history DELETE WHERE commit_lsn >= {lost_lsn}")
        if cluster.partition("/")[0] == snapshot.cluster.partition("/")[0]:
            # What is undone has LSNs like those of what comes. Only ClickHouse still has rows of archived months.
            self._mutate(f"attribute_values DELETE WHERE tenant_id != 0 AND {not_archived(snapshot)}")
        else:
            # LSNs of another primary mean nothing here, so they must not decide which row is the newer.
            self._client.command("TRUNCATE TABLE attribute_values")
        position_write(self._client, Position(snapshot.cluster, 0))

    def _mutate(self, change: str) -> None:
        self._client.command(f"ALTER TABLE {change}", settings={"mutations_sync": "2"})

    def apply(self, events: list[Event], position: Position) -> None:
        # A position alone is a part of its own, to be merged like any other. The slot is acknowledged later than this.
        if not events and time.monotonic() - self._recorded_at < POSITION_EVERY_S:
            return
        lines: list[str] = []
        for event in events:
            match event:
                case Change(table="entities"):
                    if event.row is not None and event.row["attributes"] is UNCHANGED:
                        event = self._completed(event, "attributes", "document", lines)  # noqa: PLW2901  # The same, whole.
                    lines.append(entity_line(event))
                case Change(table="entity_attributes"):
                    if event.row is not None and event.row["attribute_value"] is UNCHANGED:
                        event = self._completed(event, "attribute_value", "value", lines)  # noqa: PLW2901  # The same, whole.
                    lines.append(value_line(event))
                case TenantErased(tenant_id=tenant_id):
                    self._flush(lines)
                    tenant_erase(self._client, tenant_id=tenant_id)
                    rollups_erase(self._client, tenant_id=tenant_id)
                case TableTruncated(table=("entities" | "entity_attributes") as table):
                    self._flush(lines)
                    self._mutate(f"attribute_values DELETE WHERE attribute_name {_OWN_ROWS[table]}")
                case _:
                    pass
        self._flush(lines, position=position)
        self._recorded_at = time.monotonic()

    def _flush(self, lines: list[str], *, position: Position | None = None) -> None:
        if lines or position is not None:
            line = "" if position is None else position_line(position)
            changes_insert(self._client, "".join(lines).encode(), position=line.encode())
            lines.clear()

    def _completed(self, change: Change, member: str, column: str, lines: list[str]) -> Change:
        """A row whose long text did not change and did not come: it is the one that we have."""
        # It may be on its way.
        self._flush(lines)
        tenant_id, entity_id, *rest = change.key
        rows = self._client.query(
            f"SELECT {column} FROM attribute_values FINAL WHERE tenant_id = {{tenant:UInt32}}"
            " AND attribute_name = {name:String} AND entity_id = {entity:Int64}",
            parameters={"tenant": tenant_id, "name": rest[0] if rest else "", "entity": entity_id},
        ).result_rows
        if not rows:
            # It was deleted afterwards in a part of the log that we have seen already; the deletion comes again.
            log.info("A value that did not come with its change is not here either.")
        row = {**(change.row or {}), member: rows[0][0] if rows else ""}
        return Change(change.table, tenant_id, change.key, row, change.lsn, change.commit_lsn, change.committed_us)

    def close(self) -> None:
        if self._client is not None:
            try:
                self._client.close()
            except Exception:  # A connection that is broken anyway.
                log.debug("Closing ClickHouse's client failed.", exc_info=True)


def entity_line(change: Change) -> str:
    """A change of `entities` as a line of TabSeparated, in the order of CHANGE_COLUMNS."""
    tenant_id, entity_id = change.key
    row = change.row
    if row is None:
        return _removed_line(change, "", entity_id)
    return (
        f"{tenant_id}\t\t{entity_id}\t{row['updated_at']}\tentity\t{text_escape(row['external_id'])}\t0\t0"
        f"\t{row['created_at']}\t{change.lsn}\t{change.committed_us}\t{text_escape(row['entity_type'])}"
        f"\t{row['version']}\t{text_escape(row['attributes'])}\t0\t{change.commit_lsn}\n"
    )


def value_line(change: Change) -> str:
    """A change of `entity_attributes` as a line of TabSeparated, in the order of CHANGE_COLUMNS."""
    tenant_id, entity_id, attribute_name = change.key
    row = change.row
    if row is None:
        return _removed_line(change, attribute_name, entity_id)
    digits = row["numeric_value"]
    number, rest = (0.0, 0.0) if digits is None else number_split(digits)
    return (
        f"{tenant_id}\t{text_escape(attribute_name)}\t{entity_id}\t{row['updated_at']}\t{row['value_type']}"
        f"\t{text_escape(row['attribute_value'])}\t{number!r}\t{rest!r}\t{row['instant_value'] or 0}"
        f"\t{change.lsn}\t{change.committed_us}\t\t0\t\t{row['created_at']}\t{change.commit_lsn}\n"
    )


def _removed_line(change: Change, attribute_name: str, entity_id: int) -> str:
    """A row that is deleted, values together with their entity, is removed at the instant of the commit."""
    return (
        f"{change.tenant_id}\t{text_escape(attribute_name)}\t{entity_id}\t{change.committed_us}\tremoved\t\t0\t0\t0"
        f"\t{change.lsn}\t{change.committed_us}\t\t0\t\t0\t{change.commit_lsn}\n"
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
