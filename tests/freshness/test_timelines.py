"""Positions across promotions: pure."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from freshness.choice import Candidate, has_reached
from freshness.timelines import (
    NOWHERE,
    Position,
    position_both,
    position_is_lost,
    position_parse,
    position_text,
    seq_first,
    seq_timeline,
)

BEGAN = {1: 0, 2: 500, 3: 900}
POSITIONS = st.builds(Position, st.integers(1, 2**31 - 1), st.integers(0, 2**64 - 1))


def test_what_lies_behind_the_beginning_of_a_later_timeline_is_lost() -> None:
    assert not position_is_lost(Position(1, 500), BEGAN)
    assert position_is_lost(Position(1, 501), BEGAN)
    assert not position_is_lost(Position(2, 900), BEGAN)
    assert position_is_lost(Position(2, 901), BEGAN)
    assert not position_is_lost(Position(3, 10_000), BEGAN)


def test_a_timeline_that_nobody_noted_is_covered_by_the_one_after_it() -> None:
    assert position_is_lost(Position(1, 901), {1: 0, 3: 900})


def test_nothing_asked_for_is_never_lost() -> None:
    assert not position_is_lost(NOWHERE, BEGAN)


def test_a_store_on_an_older_timeline_has_not_reached_a_position_whatever_its_number() -> None:
    store = Candidate("replica1", "read-replica", 0.1, 10_000, timeline=1)
    assert has_reached(store, 10_000, 1)
    assert not has_reached(store, 600, 2)


@given(st.integers(2, 2**22), st.integers(0, 2**40 - 1))
@settings(deadline=None, derandomize=True)
def test_a_heartbeats_number_tells_its_timeline(timeline: int, beats: int) -> None:
    assert seq_timeline(seq_first(timeline) + beats) == timeline
    assert seq_timeline(beats) == seq_timeline(None) == 1


@given(POSITIONS)
@settings(deadline=None, derandomize=True)
def test_a_position_survives_being_written(position: Position) -> None:
    assert position_parse(position_text(position)) == position


def test_an_older_cursors_position_without_a_timeline_is_of_the_first() -> None:
    assert position_parse("0/1F4") == Position(1, 500)


@given(POSITIONS, POSITIONS)
@settings(deadline=None, derandomize=True)
def test_reaching_both_is_reaching_each(first: Position, second: Position) -> None:
    both = position_both(first, second)
    store = Candidate("replica1", "read-replica", 0.1, both.lsn, timeline=both.timeline)
    assert has_reached(store, first.lsn, first.timeline) and has_reached(store, second.lsn, second.timeline)
