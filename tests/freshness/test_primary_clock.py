"""The primary's clock as others see it: never too early, whatever it does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from freshness.primary_clock import HELD_S, PrimaryClock

# Of each look: the pause before it, how long the answer was on its way there and back.
LOOKS = st.lists(st.tuples(st.floats(0.05, 5), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=40)


def look(clock: PrimaryClock, *, at: float, ahead_s: float, there_s: float = 0.01, back_s: float = 0.01) -> bool:
    """A look at a clock that is so far ahead of ours."""
    return clock.note(shown=at + there_s + ahead_s, began=at, ended=at + there_s + back_s)


@given(looks=LOOKS, ahead_s=st.floats(-1e9, 1e9), drift=st.floats(-1e-4, 1e-4))
def test_a_sound_clock_is_never_seen_early_nor_taken_for_one_that_was_set_back(
    looks: list[tuple[float, float, float]], ahead_s: float, drift: float
) -> None:
    clock, at = PrimaryClock(), 0.0
    for pause_s, there_s, back_s in looks:
        at += pause_s
        ahead_now_s = ahead_s + drift * at
        assert not look(clock, at=at, ahead_s=ahead_now_s, there_s=there_s + 1e-3, back_s=back_s + 1e-3)
        at += there_s + back_s
        distance_s = clock.distance(at=at)
        # A drift since the look, of the time that the look took.
        assert distance_s is not None and distance_s >= ahead_s + drift * at - 3e-4


@given(looks=LOOKS, step_s=st.floats(0.5, 1000))
def test_a_clock_that_is_set_back_makes_no_older_heartbeat_look_younger(
    looks: list[tuple[float, float, float]], step_s: float
) -> None:
    clock = PrimaryClock()
    look(clock, at=1000.0, ahead_s=50.0)
    beat_at, at = 1050.0, 1001.0
    assert look(clock, at=at, ahead_s=50.0 - step_s)
    for pause_s, there_s, back_s in looks:
        at += pause_s
        look(clock, at=at, ahead_s=50.0 - step_s, there_s=there_s, back_s=back_s)
        distance_s = clock.distance(at=at)
        assert distance_s is not None
        if at < 1001.0 + HELD_S:
            assert at + distance_s - beat_at >= at - 1000.0


def test_a_step_is_forgotten_when_what_was_written_before_it_is_old() -> None:
    clock = PrimaryClock()
    look(clock, at=0.0, ahead_s=50.0)
    assert look(clock, at=10.0, ahead_s=40.0)
    held_s, later_s = clock.distance(at=20.0), clock.distance(at=10.1 + HELD_S)
    assert held_s is not None and held_s >= 50.0
    assert later_s is not None and later_s < 40.1


def test_a_clock_that_is_set_ahead_is_followed_at_once() -> None:
    clock = PrimaryClock()
    look(clock, at=0.0, ahead_s=50.0)
    assert not look(clock, at=1.0, ahead_s=60.0)
    distance_s = clock.distance(at=1.1)
    assert distance_s is not None and distance_s >= 60.0


def test_nothing_is_known_of_a_clock_that_was_never_seen() -> None:
    assert PrimaryClock().distance(at=5.0) is None
