"""A snapshot of the primary into ClickHouse: all tenants or one. Safe while the feed goes on.

Every row gets the snapshot's floor_lsn as its version, see Note [A snapshot among changes] in `analytics.feed.slots`.
Afterwards a row below that version is one that the snapshot does not have: it is hidden by a deletion of that version,
unless it belongs to a month that the primary has archived.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import psycopg
from psycopg import sql

from analytics.clickhouse.changes import CHANGE_COLUMNS, PAST, PRESENT, changes_insert
from analytics.feed.slots import Snapshot
from atlasco.lib.sql import sql_blocks

log = logging.getLogger(__name__)

_SQL: Final = sql_blocks(Path(__file__).parent.parent / "sql" / "load.sql")
_PIECE_BYTES: Final = 4 << 20
# As every other removal; when it happened is not known, only that it has.
_HIDE: Final = (
    f"INSERT INTO {{table}} ({', '.join(CHANGE_COLUMNS)}) SELECT tenant_id, attribute_name, entity_id,"
    " toUnixTimestamp64Micro(now64(6)), 'removed', '', 0, 0, 0, {{floor:UInt64}}, toUnixTimestamp64Micro(now64(6)),"
    " '', 0, '', 0, {{commit:UInt64}} FROM attribute_values FINAL WHERE lsn < {{floor:UInt64}} AND {tenant}"
)


# Values first: an entity is seen from the moment on at which its own row is there.
Part: TypeAlias = Literal["values", "entities"]
PARTS: Final[tuple[Part, ...]] = ("values", "entities")
_OF_PART: Final[dict[Part, str]] = {"values": "attribute_name != ''", "entities": "attribute_name = ''"}


def snapshot_load(
    client: Any, snapshot: Snapshot, *, tenant_id: int | None = None, parts: tuple[Part, ...] = PARTS
) -> None:
    """Make ClickHouse what the snapshot is, for every tenant or one. What the feed knows better stays.

    parts: only what comes from `entity_attributes`, or only what comes from `entities`.
    """
    of_tenant = sql.SQL("true") if tenant_id is None else sql.SQL("tenant_id = {}").format(sql.Literal(tenant_id))
    for block in parts:
        statement = sql.SQL(_SQL[block]).format(
            lsn=sql.Literal(snapshot.floor_lsn), commit_lsn=sql.Literal(snapshot.lsn), tenant=of_tenant
        )
        size = 0
        for piece in _pieces(snapshot.connection, statement):
            changes_insert(client, piece)
            size += len(piece)
        log.info("Loaded into ClickHouse.", extra={"rows_of": block, "bytes": size})
    parameters = {"floor": snapshot.floor_lsn, "commit": snapshot.lsn, "tenant": tenant_id or 0}
    of_tenant_text = "tenant_id != 0" if tenant_id is None else "tenant_id = {tenant:UInt32}"
    of_tenant_text += f" AND {not_archived(snapshot)}"
    of_tenant_text += f" AND ({' OR '.join(_OF_PART[part] for part in parts)})"
    for table in (PAST, PRESENT):
        client.command(_HIDE.format(table=table, tenant=of_tenant_text), parameters=parameters)


def not_archived(snapshot: Snapshot) -> str:
    """ClickHouse's condition for rows outside of all archived months: only of those the snapshot knows anything."""
    months = [
        f"(tenant_id = {int(tenant_id)}{'' if lower is None else f' AND entity_id >= {int(lower)}'}"
        f" AND entity_id < {int(upper)})"
        for tenant_id, lower, upper in snapshot.connection.execute(_SQL["archived"]).fetchall()
    ]
    return f"NOT ({' OR '.join(months) or 'false'})"


def _pieces(connection: psycopg.Connection[tuple[Any, ...]], statement: sql.Composed) -> Iterator[bytes]:
    """The lines of a COPY in pieces of some megabytes, each of whole lines."""
    piece = bytearray()
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for data in copy:
            piece += data
            if len(piece) >= _PIECE_BYTES:
                # PostgreSQL sends whole lines.
                yield bytes(piece)
                piece.clear()
    if piece:
        yield bytes(piece)
