"""Asking a database how far it is: a connection to each, kept, and watched while it is waited for.

They are plain connections: Django's follow the thread's tenant, and would wait for a pool or a breaker.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from freshness.hangs import connection_cut
from freshness.providers import provider
from freshness.timelines import seq_timeline
from freshness.tokens import lsn_parse

_TIMEOUT_S: Final = 1
# The position before the snapshot that shows the heartbeat, or it could be ahead of what the snapshot shows.
_REACHED: Final = "SELECT ({reached})::text, {is_standby}, {timeline}"
_HEARTBEAT: Final = (
    "SELECT lsn::text, seq, extract(epoch FROM ts)::float8, extract(epoch FROM clock_timestamp())::float8, took_s"
    " FROM heartbeat"
)
_TIMELINES: Final = "SELECT timeline, began_lsn::text FROM timelines"


@dataclass(frozen=True, slots=True)
class Told:
    """What a database said of itself. reached_lsn: what it had applied; beat_lsn, beat_at: of its newest heartbeat.

    clock: its own, seconds since 1970; took_s: how long the heartbeat before took to be confirmed.
    """

    reached_lsn: int | None
    is_standby: bool
    timeline: int
    beat_lsn: int | None
    beat_at: float | None
    clock: float | None
    took_s: float | None


class Probes:
    """Of one process. Each database is asked by one thread at a time; others may see who is waited for, and cut."""

    def __init__(self, urls: dict[str, str]) -> None:
        self.urls = urls
        self._connections: dict[str, psycopg.Connection[tuple[Any, ...]]] = {}
        # Since when a database's answer is waited for.
        self._waiting: dict[str, float] = {}

    def ask(self, alias: str) -> Told:
        """What a database says now. Raises psycopg.Error."""
        asked, connection = provider(), self._connected(alias)
        statement = _REACHED.format(reached=asked.reached, is_standby=asked.is_standby, timeline=asked.timeline)
        reached, is_standby, own_timeline = connection.execute(statement).fetchone() or (None, False, None)
        self.answered(alias)
        beat = connection.execute(_HEARTBEAT).fetchone() or (None, None, None, None, None)
        self.answered(alias)
        beat_lsn, seq, beat_at, clock, took_s = beat
        return Told(
            None if reached is None else lsn_parse(reached),
            is_standby,
            own_timeline or seq_timeline(seq),
            None if beat_lsn is None else lsn_parse(beat_lsn),
            beat_at,
            clock,
            took_s,
        )

    def timelines(self, alias: str) -> dict[int, int]:
        """Where each timeline began, as the database tells. Raises psycopg.Error."""
        rows = self._connected(alias).execute(_TIMELINES).fetchall()
        return {timeline: lsn_parse(text) for timeline, text in rows}

    def answered(self, alias: str) -> float:
        """Now; whoever watches waits for the next answer from here on: a database that is slow does not hang."""
        now = self._waiting[alias] = time.monotonic()
        return now

    def ended(self, alias: str) -> None:
        """Nobody waits for the database any more."""
        self._waiting.pop(alias, None)

    def waiting(self) -> dict[str, float]:
        """The databases that are waited for, and since when."""
        return dict(self._waiting)

    def connection(self, alias: str) -> psycopg.Connection[tuple[Any, ...]] | None:
        """The connection that is kept, in whatever state it is."""
        return self._connections.get(alias)

    def cut(self, alias: str) -> None:
        """Let go of a database that hangs, from another thread than the one that waits for it."""
        if (connection := self._connections.get(alias)) is not None:
            connection_cut(connection)

    def drop(self, alias: str) -> None:
        if (connection := self._connections.pop(alias, None)) is not None:
            connection.close()

    def close(self) -> None:
        for alias in list(self._connections):
            self.drop(alias)

    def _connected(self, alias: str) -> psycopg.Connection[tuple[Any, ...]]:
        connection = self._connections.get(alias)
        if connection is None or connection.closed:
            # Known before it is used: it may have to be cut.
            connection = self._connections[alias] = psycopg.connect(
                self.urls[alias], autocommit=True, connect_timeout=_TIMEOUT_S, application_name="atlasco monitor"
            )
            self.answered(alias)
            connection.execute(f"SET statement_timeout = '{_TIMEOUT_S}s'")
            self.answered(alias)
        return connection
