"""The independent writer of the heartbeat: one in the whole installation, whoever holds the lock.

Every web process and the change feed run a candidate in a thread of its own. The holder of an advisory lock writes;
when its process or connection dies, PostgreSQL frees the lock and the next candidate goes on within a second.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Final

import psycopg
from django.conf import settings

from atlasco.lib.databases import options_beside
from freshness.providers import provider
from freshness.timelines import seq_first

log = logging.getLogger(__name__)

INTERVAL_S: Final = 0.2
RETRY_S: Final = 0.3
# "beat" as a number; only this writer uses it.
_LOCK_KEY: Final = 0x62656174
# ts and lsn are taken before the write: whoever has this row has everything up to lsn, and that was so at ts.
# A transaction that commits between the two is newer than ts: lag stays an upper bound.
_BEAT: Final = (
    "UPDATE heartbeat SET seq = greatest(seq + 1, %(seq_first)s), ts = clock_timestamp(), lsn = {written},"
    " took_s = %(took_s)s WHERE heartbeat_id = 1"
)
# A primary that was promoted remembers up to where it had replayed, until it is restarted. Then the last heartbeat that
# it had is what certainly survived; tokens between the two are refused though their writes are there.
_TIMELINE_NOTE: Final = (
    "INSERT INTO timelines (timeline, began_lsn) SELECT %(timeline)s, CASE WHEN NOT EXISTS (SELECT FROM timelines)"
    " THEN '0/0' ELSE coalesce(pg_last_wal_replay_lsn(), (SELECT lsn FROM heartbeat)) END"
    " ON CONFLICT (timeline) DO NOTHING"
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
            settings.DATABASE_URL,
            autocommit=True,
            connect_timeout=2,
            application_name="atlasco heartbeat",
            **options_beside(settings.DATABASE_URL),
        ) as connection:
            # A beat that waits for its commit longer than a second is worth less than the next one.
            connection.execute("SET statement_timeout = '2s'")
            held = connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK_KEY,)).fetchone()
            if held is None or not held[0]:
                return
            beat, seq_first = self._timeline_note(connection)
            took_s: float | None = None
            while not self._stopping.is_set():
                began = time.monotonic()
                connection.execute(beat, {"seq_first": seq_first, "took_s": took_s})
                took_s = time.monotonic() - began
                self._stopping.wait(self._interval_s)

    def _timeline_note(self, connection: psycopg.Connection[tuple[Any, ...]]) -> tuple[str, int]:
        """Note where the primary's timeline began, once. Return the statement of a beat, and the first of its numbers.

        Before the first beat: whoever has a beat of a timeline knows where it began.
        """
        row = connection.execute(f"SELECT {provider().timeline}").fetchone()
        timeline = 1 if row is None else row[0]
        connection.execute(_TIMELINE_NOTE, {"timeline": timeline})
        return _BEAT.format(written=provider().written), 0 if timeline == 1 else seq_first(timeline)
