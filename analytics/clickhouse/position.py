"""How far ClickHouse is."""

from __future__ import annotations

import time
from typing import Any, Final

from analytics.feed.events import Heartbeat, Position

_STORE: Final = "clickhouse"
_COLUMNS: Final = ("cluster", "lsn", "heartbeat_seq", "heartbeat_ts_us", "heartbeat_lsn")


def position_read(client: Any) -> Position | None:
    """Return the newest position; None where there is none. Read it before the data that it is to speak for."""
    rows = client.query(
        f"SELECT {', '.join(_COLUMNS)} FROM feed_position WHERE store = {{store:String}} ORDER BY ordinal DESC LIMIT 1",
        parameters={"store": _STORE},
    ).result_rows
    if not rows:
        return None
    cluster, lsn, seq, ts_us, heartbeat_lsn = rows[0]
    return Position(cluster, lsn, Heartbeat(seq, ts_us, heartbeat_lsn) if seq else None)


def position_write(client: Any, position: Position) -> None:
    """Record a position. Call after the data has been inserted."""
    beat = position.heartbeat or Heartbeat(0, 0, 0)
    client.insert(
        "feed_position",
        [[_STORE, position.cluster, time.time_ns(), position.lsn, beat.seq, beat.ts_us, beat.lsn]],
        column_names=["store", "cluster", "ordinal", *_COLUMNS[1:]],
    )
