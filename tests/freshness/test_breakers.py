"""When a store is left out and when it is believed again: pure."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshness.breakers import GOOD_PROBES, PAUSE_FIRST_S, PAUSE_MAX_S, Breaker
from freshness.prediction import Progress


def test_one_failure_opens_and_only_several_good_probes_close() -> None:
    breaker = Breaker(changed_at=0.0)
    assert breaker.is_closed
    assert breaker.fail(now=1.0)
    assert breaker.state == "open"
    assert [breaker.succeed(now=2.0) for _ in range(GOOD_PROBES)] == [False] * (GOOD_PROBES - 1) + [True]
    assert (breaker.opened, breaker.changed_at) == (1, 2.0)
    assert not breaker.succeed(now=3.0)


def test_a_store_that_answers_now_and_then_stays_out() -> None:
    breaker = Breaker(changed_at=0.0)
    breaker.fail(now=0.0)
    for now in range(1, 20):
        breaker.succeed(now=now)
        breaker.fail(now=now)
        assert not breaker.is_closed
    assert breaker.opened == 1


@given(st.integers(0, 30), st.floats(0, 1))
@settings(deadline=None, derandomize=True)
def test_the_pause_between_probes_grows_up_to_a_limit_and_is_jittered(failures: int, jitter: float) -> None:
    breaker = Breaker(changed_at=0.0)
    breaker.fail(now=0.0)
    for _ in range(failures):
        breaker.fail(now=0.0)
    assert PAUSE_FIRST_S * 0.5 <= breaker.pause(jitter=jitter) <= PAUSE_MAX_S * 1.5


def test_a_lag_that_crossed_a_limit_must_come_clearly_back() -> None:
    breaker = Breaker(changed_at=0.0)
    breaker.lag_note(4.9)
    assert breaker.out_of == frozenset()
    breaker.lag_note(5.0)
    assert breaker.out_of == {5.0}
    breaker.lag_note(4.5)
    assert breaker.out_of == {5.0}
    breaker.lag_note(None)
    assert breaker.out_of == {5.0}
    breaker.lag_note(3.9)
    assert breaker.out_of == frozenset()


def test_what_a_store_lacks_is_predicted_from_how_it_moves() -> None:
    progress = Progress()
    assert progress.reaches_in_s(100) is None
    progress.note(lsn=0, beat_at=0.0, at=0.0)
    assert progress.reaches_in_s(100) is None
    progress.note(lsn=50, beat_at=3.0, at=1.0)
    assert progress.reaches_in_s(100) == pytest.approx(1.0)
    assert progress.reaches_in_s(50) == 0.0
    # It gains two seconds each second.
    assert progress.is_within_in_s(lag_s=9.0, limit_s=5.0) == pytest.approx(2.0)
    assert progress.is_within_in_s(lag_s=4.0, limit_s=5.0) == 0.0


def test_a_store_that_stands_still_never_gets_there() -> None:
    progress = Progress()
    for at in range(3):
        progress.note(lsn=10, beat_at=1.0, at=float(at))
    assert progress.reaches_in_s(11) is None
    assert progress.is_within_in_s(lag_s=9.0, limit_s=5.0) is None
