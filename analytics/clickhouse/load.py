"""A snapshot of the primary into ClickHouse: all tenants or one. Safe while the feed goes on.

Every row gets the snapshot's floor_lsn as its version, see Note [A snapshot among changes] in `analytics.feed.slots`.
Afterwards a row below that version is one that the snapshot does not have: it is hidden by a deletion of that version.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from analytics.feed.slots import Snapshot
from atlasco.lib.sql import sql_blocks

log = logging.getLogger(__name__)

_SQL: Final = sql_blocks(Path(__file__).parent.parent / "sql" / "load.sql")
_PIECE_BYTES: Final = 4 << 20
CHANGES: Final = "feed_changes"
CHANGE_COLUMNS: Final = (
    "tenant_id", "attribute_name", "entity_id", "updated_us", "value_type", "value", "number", "number_rest",
    "instant_us", "lsn", "committed_us", "entity_type", "version", "document", "created_us",
)  # fmt: skip
# As every other removal; when it happened is not known, only that it has.
_HIDE: Final = (
    f"INSERT INTO {CHANGES} ({', '.join(CHANGE_COLUMNS)}) SELECT tenant_id, attribute_name, entity_id,"
    " toUnixTimestamp64Micro(now64(6)), 'removed', '', 0, 0, 0, {floor:UInt64}, toUnixTimestamp64Micro(now64(6)),"
    " '', 0, '', 0 FROM attribute_values FINAL WHERE lsn < {floor:UInt64}"
)


def snapshot_load(client: Any, snapshot: Snapshot, *, tenant_id: int | None = None) -> None:
    """Make ClickHouse what the snapshot is, for every tenant or one. What the feed knows better stays."""
    of_tenant = sql.SQL("true") if tenant_id is None else sql.SQL("tenant_id = {}").format(sql.Literal(tenant_id))
    # Values first: an entity is seen from the moment on at which its own row is there.
    for block in ("values", "entities"):
        statement = sql.SQL(_SQL[block]).format(lsn=sql.Literal(snapshot.floor_lsn), tenant=of_tenant)
        size = 0
        for piece in _pieces(snapshot.connection, statement):
            client.raw_insert(CHANGES, column_names=CHANGE_COLUMNS, insert_block=piece, fmt="TabSeparated")
            size += len(piece)
        log.info("Loaded into ClickHouse.", extra={"rows_of": block, "bytes": size})
    hide, parameters = _HIDE, {"floor": snapshot.floor_lsn}
    if tenant_id is not None:
        hide += " AND tenant_id = {tenant:UInt32}"
        parameters["tenant"] = tenant_id
    client.command(hide, parameters=parameters)


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
