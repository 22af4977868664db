"""What each asker wrote a moment ago, so that its next reads see it without a token.

A courtesy of this process, for a few seconds; what must hold across processes and time says X-Consistency-Token.
"""

from __future__ import annotations

import threading
import time
from typing import Final

from freshness.timelines import NOWHERE, Position

_KEPT_S: Final = 10.0
# From so many on, what is over is forgotten: each time that there are twice as many as were left the last time.
_MANY: Final = 10_000


class OwnWrites:
    """Positions by (tenant's id, whoever asked)."""

    def __init__(self) -> None:
        self._written: dict[tuple[int, str], tuple[Position, float]] = {}
        self._tidy_at = _MANY
        self._lock = threading.Lock()

    def note(self, key: tuple[int, str], position: Position) -> None:
        now = time.monotonic()
        with self._lock:
            if len(self._written) >= self._tidy_at:
                self._written = {kept: value for kept, value in self._written.items() if now - value[1] < _KEPT_S}
                self._tidy_at = max(_MANY, 2 * len(self._written))
            self._written[key] = (position, now)

    def position(self, key: tuple[int, str]) -> Position:
        """The position of the latest write; NOWHERE where there was none lately."""
        position, at = self._written.get(key, (NOWHERE, 0.0))
        return position if time.monotonic() - at < _KEPT_S else NOWHERE


own_writes: Final = OwnWrites()
