"""Bulk writers go slower when replicas can't follow: people's own reads and writes come first.

Every byte that an import writes must be replayed by each replica. When even the freshest one falls behind, reads would
move to the primary just while the import loads it; so the import waits a little after each batch instead.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from freshness.reads import databases_now

# Half of what NEAR_REALTIME accepts of a replica: imports slow down before a read has to move.
LAG_S: Final = 2.5
PAUSE_MAX_S: Final = 2.0


def pause_s(lags: Sequence[float | None]) -> float:
    """How long to wait after a batch, by the lag of each replica; 0 where none is known: waiting helps nobody then."""
    known = [lag for lag in lags if lag is not None]
    return min(PAUSE_MAX_S, max(0.0, min(known) - LAG_S)) if known else 0.0


def bulk_write_pace() -> None:
    """Wait as long as the replicas need it. Call between two batches, outside of a transaction."""
    seconds = pause_s([store.lag_s for store in databases_now() if store.source == "read-replica" and store.up])
    if seconds:
        time.sleep(seconds)
