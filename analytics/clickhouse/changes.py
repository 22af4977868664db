"""How changes come into ClickHouse: the past first, then the present with the position in one insert.

# Note [Position with the present]
ClickHouse has no transaction over several tables, but an insert of one block makes one part, which is seen whole or not
at all. So the position is a row of `attribute_values` and rides in the block of the changes that it speaks of: a
statement that reads values and position reads what belongs together. The past is inserted before. A crash in between
makes the same events come again, and rows with the same key and LSN are the same row.
"""

from __future__ import annotations

import time
from typing import Any, Final

from analytics.feed.events import Heartbeat, Position

CHANGE_COLUMNS: Final = (
    "tenant_id", "attribute_name", "entity_id", "updated_us", "value_type", "value", "number", "number_rest",
    "instant_us", "lsn", "committed_us", "entity_type", "version", "document", "created_us",
    "commit_lsn",
)  # fmt: skip
PAST: Final = "feed_past"
PRESENT: Final = "feed_changes"
# No tenant has this id, and the row no entity.
POSITION_ROWS: Final = "tenant_id = 0 AND attribute_name = '@position'"
POSITION_READ: Final = f"SELECT value FROM attribute_values FINAL WHERE {POSITION_ROWS}"
# However many bytes: one block, one part.
_ONE_BLOCK: Final = {
    "input_format_parallel_parsing": "0",
    "max_insert_block_size": str(1 << 30),
    "min_insert_block_size_rows": str(1 << 30),
    "min_insert_block_size_bytes": str(1 << 40),
}


def changes_insert(client: Any, lines: bytes, *, position: bytes = b"") -> None:
    """Insert lines of TabSeparated in the order of CHANGE_COLUMNS; with them, the line of a position."""
    for table, block in ((PAST, lines), (PRESENT, lines + position)):
        if block:
            client.raw_insert(
                table, column_names=CHANGE_COLUMNS, insert_block=block, fmt="TabSeparated", settings=_ONE_BLOCK
            )


def position_line(position: Position) -> str:
    """A position as a line beside the changes that it speaks of."""
    beat = position.heartbeat or Heartbeat(0, 0, 0)
    value = f"{position.cluster or '-'} {position.lsn} {beat.seq} {beat.ts_us} {beat.lsn}"
    # Its version grows with every row, also when a snapshot takes the position back.
    return f"0\t@position\t0\t0\tstring\t{value}\t0\t0\t0\t{time.time_ns()}\t0\t\t0\t\t0\t0\n"


def position_parse(value: str) -> Position:
    """The position of a position row's value."""
    cluster, *numbers = value.split(" ")
    lsn, seq, ts_us, heartbeat_lsn = map(int, numbers)
    return Position(cluster, lsn, Heartbeat(seq, ts_us, heartbeat_lsn) if seq else None)


def position_read(client: Any) -> Position | None:
    """Return the newest position; None where there is none. Read it before the data that it is to speak for."""
    rows = client.query(POSITION_READ).result_rows
    return position_parse(rows[0][0]) if rows else None


def position_write(client: Any, position: Position) -> None:
    """Record a position of what has been inserted before."""
    changes_insert(client, b"", position=position_line(position).encode())
