"""CPU time of a statement, ours and its backend's: what can be compared where others use the machine, too."""

from __future__ import annotations

import time
from pathlib import Path

from django.db import connections


class CpuClock:
    """Reads how long this thread and the backend of a connection have been computing."""

    def __init__(self, *, using: str) -> None:
        with connections[using].cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid(), inet_server_addr() <<= '127.0.0.0/8'")
            pid, is_here = cursor.fetchone()
        self._path = Path(f"/proc/{pid}/schedstat")
        self.is_known = bool(is_here) and self._path.exists()

    def ms(self) -> float:
        """Milliseconds until now, waits left out; 0 where the server runs elsewhere, or this is not Linux."""
        if not self.is_known:
            return 0.0
        return int(self._path.read_text().split()[0]) / 1e6 + time.thread_time() * 1000
