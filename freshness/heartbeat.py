"""The independent writer of the heartbeat: one in the whole installation, whoever holds the lock.

Every web process and the change feed run a candidate in a thread of its own. The holder of an advisory lock writes;
when its process or connection dies, PostgreSQL frees the lock and the next candidate goes on within a second.
"""

from __future__ import annotations

import logging
import threading
from typing import Final

import psycopg
from django.conf import settings

log = logging.getLogger(__name__)

INTERVAL_S: Final = 0.2
RETRY_S: Final = 1.0
# "beat" as a number; only this writer uses it.
_LOCK_KEY: Final = 0x62656174
# ts and lsn are taken before the write: whoever has this row has everything up to lsn, and that was so at ts.
# A transaction that commits between the two is newer than ts: lag stays an upper bound.
_BEAT: Final = (
    "UPDATE heartbeat SET seq = seq + 1, ts = clock_timestamp(), lsn = pg_current_wal_lsn() WHERE heartbeat_id = 1"
)


class HeartbeatWriter(threading.Thread):
    """Beats until it is stopped, whatever happens to the primary meanwhile."""

    def __init__(self, *, interval_s: float = INTERVAL_S) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._interval_s = interval_s
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Ask the thread to end; it does so within a beat."""
        self._stopping.set()

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._beat_while_holder()
            except psycopg.Error as error:
                # The primary is away; the lag that everybody measures says so louder than a log line each second.
                log.info("The heartbeat can't be written; trying again.", extra={"error": type(error).__name__})
            self._stopping.wait(RETRY_S)

    def _beat_while_holder(self) -> None:
        # A plain connection: Django's follow the thread's tenant and would be one more thing that can fail.
        with psycopg.connect(
            settings.DATABASE_URL, autocommit=True, connect_timeout=2, application_name="atlasco heartbeat"
        ) as connection:
            # A beat that waits for its commit longer than a second is worth less than the next one.
            connection.execute("SET statement_timeout = '2s'")
            held = connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK_KEY,)).fetchone()
            while held is not None and held[0] and not self._stopping.is_set():
                connection.execute(_BEAT)
                self._stopping.wait(self._interval_s)
