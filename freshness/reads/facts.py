"""What a database says of itself in the snapshot in which it is read: how far it is, and how old that is.

Asked in two steps, around the beginning of the snapshot:

    before = facts_before(alias, needed=…)
    with read_snapshot(alias):
        facts = facts_read(before)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.db import connections

from freshness.monitor import PRIMARY, monitor
from freshness.providers import provider
from freshness.reads.problems import Demoted
from freshness.timelines import Position, position_text, seq_timeline
from freshness.tokens import lsn_parse

# Heartbeat's position, number and instant; a position that nothing in the snapshot is newer than; what the server is.
_FACTS: Final = (
    "SELECT lsn::text, seq, extract(epoch FROM ts)::float8, ({at_most})::text, {is_standby}, {timeline} FROM heartbeat"
)


@dataclass(frozen=True, slots=True)
class Before:
    """What was known before the snapshot. began: on the primary's clock; known_lsn: applied by then, 0 if not asked."""

    alias: str
    began: float | None
    known_lsn: int


@dataclass(frozen=True, slots=True)
class Facts:
    """reached: all up to there is in the snapshot; at_least_lsn: the same, by its heartbeat alone.

    at_most: as text, a position that nothing in the snapshot is newer than.
    """

    reached: Position
    at_least_lsn: int
    at_most: str
    lag_s: float | None


def facts_before(alias: str, *, needed: Position) -> Before:
    """Ask what must be known before the snapshot, or it could be ahead of what that shows."""
    # A replica that was killed a moment ago may be behind what the monitor saw of it: with a token, ask again.
    known_lsn = 0 if alias == PRIMARY or not needed.lsn else _reached_lsn(alias)
    return Before(alias, monitor().primary_now(), known_lsn)


def facts_read(before: Before) -> Facts:
    """The first statement of the snapshot: what it shows of the heartbeat, the data shows of all other rows.

    Raises Demoted.
    """
    watch, asked = monitor(), provider()
    is_primary = before.alias == PRIMARY
    with connections[before.alias].cursor() as cursor:
        cursor.execute(_FACTS.format(at_most=asked.at_most, is_standby=asked.is_standby, timeline=asked.timeline))
        at_least, seq, beat_at, at_most, is_standby, own_timeline = cursor.fetchone()
    timeline = own_timeline or seq_timeline(seq)
    if is_primary and (is_standby or timeline < watch.timeline()):
        raise Demoted
    known_lsn = 0 if is_standby and not watch.is_believed(beat_at) else before.known_lsn
    at_least_lsn = lsn_parse(at_least)
    return Facts(
        reached=Position(timeline, max(at_least_lsn, known_lsn)),
        at_least_lsn=at_least_lsn,
        at_most=position_text(Position(timeline, lsn_parse(at_most))),
        lag_s=0.0 if is_primary else watch.lag_s(beat_at, at=before.began),
    )


def _reached_lsn(alias: str) -> int:
    """What a database has applied by now, as it says itself; 0 where it does not."""
    with connections[alias].cursor() as cursor:
        cursor.execute(f"SELECT coalesce(({provider().reached})::text, '0/0')")
        return lsn_parse(cursor.fetchone()[0])
