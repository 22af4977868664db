"""Positions across promotions. Pure.

# Note [Timelines]
A promotion begins a new timeline of the log. Its positions go on where the replica had come to; what the old primary
had written beyond that point is lost, and the same numbers mean something else now. So a position is a pair, and of a
position on an earlier timeline one has to ask whether the present one has it. `timelines` in the database says where
each one began; the heartbeat's `seq` says which one a store has applied.

A standby does not tell an ordinary role which timeline it replays. What it has replayed behind its newest heartbeat is
therefore believed to be of that heartbeat's timeline only while heartbeats come: a primary that was replaced stopped
sending them. Later than BELIEVED_S after the last one, only what that one says is believed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from freshness.tokens import lsn_parse, lsn_text

_SEQ_BITS: Final = 40
BELIEVED_S: Final = 1.0


class Position(NamedTuple):
    """A place in the primary's log. lsn: bytes into it."""

    timeline: int
    lsn: int


NOWHERE: Final = Position(0, 0)


def seq_timeline(seq: int | None) -> int:
    """The timeline of a heartbeat; 1 for those written before there was any other, and where there is none."""
    return max(1, 0 if seq is None else seq >> _SEQ_BITS)


def seq_first(timeline: int) -> int:
    """The smallest `seq` of a timeline's heartbeats."""
    return timeline << _SEQ_BITS


def position_is_lost(position: Position, began: Mapping[int, int]) -> bool:
    """Whether a promotion left this position behind. began: where each timeline began.

    A timeline that nobody has noted is passed over: the one after it was cut off no later.
    """
    return any(timeline > position.timeline and lsn < position.lsn for timeline, lsn in began.items())


def position_both(first: Position, second: Position) -> Position:
    """A position whose reaching means that both are reached."""
    return Position(max(first.timeline, second.timeline), max(first.lsn, second.lsn))


def position_text(position: Position) -> str:
    """As cursors carry it: "2:0/1A2B3C4D"."""
    return f"{position.timeline}:{lsn_text(position.lsn)}"


def position_parse(text: str) -> Position:
    """The reverse of `position_text`; without a timeline, the first. Raises ValueError."""
    timeline, _, lsn = text.rpartition(":")
    return Position(int(timeline or 1), lsn_parse(lsn))
