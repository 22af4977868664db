"""Leaving a server alone for a moment after it failed, so that not each request waits for its timeout."""

from __future__ import annotations

import threading
import time


class Rest:
    """One server's, in one process. `begin` after a failure; ask it before the next try."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._until = 0.0

    def is_on(self) -> bool:
        return time.monotonic() < self._until

    def begin(self) -> bool:
        """Rest from now on. True for whoever begins it, and should say so; others failed beside it."""
        with self._lock:
            begins = not self.is_on()
            self._until = time.monotonic() + self._seconds
        return begins

    def end(self) -> None:
        """The server is known to be well."""
        self._until = 0.0
