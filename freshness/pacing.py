"""Bulk writers go slower when replicas can't follow: people's own reads and writes come first.

Every byte that an import writes must be replayed by each replica. When even the freshest one falls behind, reads would
move to the primary just while the import loads it; so the import waits a little after each batch instead.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from django.conf import settings

from freshness.monitor import PRIMARY, monitor

# Half of what NEAR_REALTIME accepts of a replica: imports slow down before a read has to move.
LAG_S: Final = 2.5
PAUSE_MAX_S: Final = 2.0


def pause_s(lags: Sequence[float | None]) -> float:
    """How long to wait after a batch, by the lag of each replica; 0 where none is known: waiting helps nobody then."""
    known = [lag for lag in lags if lag is not None]
    return min(PAUSE_MAX_S, max(0.0, min(known) - LAG_S)) if known else 0.0


def bulk_write_pace() -> None:
    """Wait as long as the replicas need it. Call between two batches, outside of a transaction."""
    if seconds := pause_s(replica_lags_s()):
        time.sleep(seconds)


def replica_lags_s() -> list[float | None]:
    """How many seconds each replica is behind the primary's own newest heartbeat.

    Not behind the clock: where nobody beats, every replica grows older by the clock, and no waiting would help.
    """
    watch = monitor()
    primary = watch.reading(PRIMARY)
    if primary is None or primary.beat_at is None:
        return []
    readings = [watch.reading(alias) for alias in settings.REPLICA_ALIASES]
    return [
        None if reading is None or reading.beat_at is None else max(0.0, primary.beat_at - reading.beat_at)
        for reading in readings
    ]
