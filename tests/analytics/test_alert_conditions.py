"""When a rule fires and when it is cleared. Pure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.alerts.evaluate import Condition, Operator, Sample, State, firings_count, sample_judge, time_judge
from analytics.alerts.rule import Rule
from analytics.alerts.telling import Happening, notices_of
from analytics.alerts.timers import Timers

SECOND = 1_000_000


@pytest.fixture(autouse=True)
def _database_for_every_test() -> None:
    """None is needed."""


def sample_at(lsn: int, at_s: int, value: float | None, seen_s: int = 0) -> Sample:
    """Without a value: a removal."""
    return Sample(lsn, at_s * SECOND, value, seen_s * SECOND, is_there=value is not None)


def outcomes(condition: Condition, *values: float | None, apart_s: int = 60) -> str:
    """One letter a sample: f fired, c cleared, . neither."""
    state, told = State(), ""
    for place, value in enumerate(values):
        state, outcome = sample_judge(condition, state, sample_at(place + 1, place * apart_s, value))
        told += outcome[0] if outcome else "."
    return told


@pytest.mark.parametrize(
    ("operator", "told"),
    [("gt", "..f"), ("ge", ".f."), ("lt", "fc."), ("le", "f.c"), ("eq", ".fc"), ("ne", "fcf")],
)
def test_each_operator_compares_with_the_threshold(operator: Operator, told: str) -> None:
    assert outcomes(Condition(operator, 5), 4, 5, 6) == told


def test_a_run_fires_once_and_each_run_again() -> None:
    assert outcomes(Condition("gt", 5), 6, 7, 8, 1, 9, 2) == "f..cfc"


def test_a_run_must_be_long_enough() -> None:
    assert outcomes(Condition("gt", 5, for_samples=3), 6, 6, 1, 6, 6, 6, 6, 1) == ".....f.c"


def test_a_run_must_last_long_enough_by_the_instants_of_its_samples() -> None:
    assert outcomes(Condition("gt", 5, for_seconds=120), 6, 6, 6, 6, 1) == "..f.c"
    assert outcomes(Condition("gt", 5, for_seconds=120, for_samples=4), 6, 6, 6, 6) == "...f"
    assert outcomes(Condition("gt", 5, for_seconds=1), 6, 6, apart_s=0) == ".."


def test_between_the_thresholds_it_goes_on() -> None:
    """Hysteresis: a value that trembles around the threshold fires once."""
    assert outcomes(Condition("gt", 5, clear_threshold=3), 6, 4, 6, 4, 3, 4, 6) == "f...c.f"
    assert outcomes(Condition("lt", 5, clear_threshold=8), 4, 7, 8, 7) == "f.c."


def test_a_removed_value_clears_and_begins_anew() -> None:
    assert outcomes(Condition("gt", 5), 6, None, None, 6) == "fc.f"
    assert outcomes(Condition("gt", 5, for_samples=2), 6, None, 6, 6) == "...f"


def timed(condition: Condition, *steps: tuple[int, float | None] | int) -> str:
    """As outcomes, of (second, value), or of a second at which nothing came. Samples come at their own instants."""
    state, told = State(), ""
    for place, step in enumerate(steps):
        at_s = step if isinstance(step, int) else step[0]
        state, outcome = time_judge(state, at_s * SECOND)
        told += outcome[0] if outcome else "."
        if not isinstance(step, int):
            state, outcome = sample_judge(condition, state, sample_at(place + 1, at_s, step[1], at_s))
            told += outcome[0] if outcome else "."
    return told


def test_a_run_fires_when_its_time_is_up_though_nothing_comes() -> None:
    hot = Condition("gt", 5, for_seconds=60)
    assert timed(hot, (100, 6), 159, 160, 200, (300, 1)) == "..." + "f" + "." + ".c"
    assert timed(hot, (100, 6), (150, 7), 160) == "...." + "f"
    # It held until it was replaced, also where both come at once to whoever judges.
    assert timed(hot, (100, 6), (170, 1)) == "..fc"
    assert timed(hot, (100, 6), (150, 1), 160) == "....."
    assert timed(hot, (100, 6), (150, None), 160) == "....."
    assert timed(Condition("gt", 5, for_seconds=60, for_samples=2), (100, 6), 200, (210, 7)) == "....f"
    assert timed(Condition("gt", 5, for_seconds=0), (100, 6), 200) == ".f."


def test_samples_of_long_ago_that_come_now_are_judged_by_their_own_instants() -> None:
    hot = Condition("gt", 5, for_seconds=60)
    state, _ = sample_judge(hot, State(), sample_at(1, 100, 6, seen_s=9_000))
    assert time_judge(state, 9_059 * SECOND) == (state, None)
    state, _ = sample_judge(hot, state, sample_at(2, 140, 6, seen_s=9_001))
    # Forty seconds are over by the samples, so twenty are left.
    assert time_judge(state, 9_020 * SECOND)[1] is None
    assert time_judge(state, 9_021 * SECOND)[1] == "fired"
    assert sample_judge(hot, state, sample_at(3, 161, 6, seen_s=9_002))[1] == "fired"


def test_what_is_no_number_neither_fires_nor_clears_but_ends_the_waiting() -> None:
    hot = Condition("gt", 5, for_seconds=60)
    word = Sample(2, 130 * SECOND, None, 130 * SECOND)
    state, _ = sample_judge(hot, State(), sample_at(1, 100, 6, seen_s=100))
    state, outcome = sample_judge(hot, state, word)
    assert (outcome, time_judge(state, 10**15)[1]) == (None, None)
    firing, _ = sample_judge(Condition("gt", 5), State(), sample_at(1, 100, 6))
    assert sample_judge(Condition("gt", 5), firing, word)[0].firing_lsn == 1


def test_stale_fires_when_nothing_comes_and_is_cleared_by_anything() -> None:
    silent = Condition("stale", 0, for_seconds=60)
    assert timed(silent, (100, 6), 159, 160, 500, (600, 6), (659, 6), 718, 719) == "..." + "f." + ".c" + ".." + ".f"
    assert timed(silent, (100, 6), (160, 6)) == "..fc"
    assert timed(silent, (100, 6), 200, (210, None), 900) == "..f.c."
    samples = [sample_at(place, at, 1.0, at) for place, at in enumerate((0, 50, 200, 250), 1)]
    assert firings_count(silent, samples[:2], until_us=100 * SECOND) == 0
    assert firings_count(silent, samples, until_us=300 * SECOND) == 1
    assert firings_count(silent, samples, until_us=310 * SECOND) == 2


@given(
    st.lists(st.one_of(st.integers(0, 9), st.none()), max_size=30),
    st.integers(0, 9),
    st.integers(1, 4),
    st.data(),
)
def test_what_comes_again_does_nothing(
    values: list[int | None], threshold: int, for_samples: int, data: st.DataObject
) -> None:
    condition = Condition("gt", threshold, clear_threshold=max(0, threshold - 2), for_samples=for_samples)
    samples = [sample_at(place, place, value) for place, value in enumerate(values, 1)]
    once = State()
    firings = set()
    for sample in samples:
        once, outcome = sample_judge(condition, once, sample)
        if outcome == "fired":
            firings.add(sample.lsn)
    again, repeated = State(), set()
    for place, sample in enumerate(samples):
        again, outcome = sample_judge(condition, again, sample)
        if outcome == "fired":
            repeated.add(sample.lsn)
        for old in samples[data.draw(st.integers(0, place)) : place + 1]:
            state, outcome = sample_judge(condition, again, old)
            assert (state, outcome) == (again, None)
    assert (again, repeated) == (once, firings)
    assert firings_count(condition, samples, until_us=10**15) == len(firings)


def test_timers_stay_as_few_as_there_are_keys_however_often_they_move() -> None:
    timers = Timers({(1, 1): 50, (1, 2): 60})
    for due_us in range(100, 20_000):
        timers.put((1, 1), due_us)
    assert len(timers) < 2_000
    timers.put((1, 3), 10)
    timers.put((1, 2), 0)
    assert not timers.is_due(9)
    assert timers.take(19_998) == [(1, 3)]
    assert timers.take(19_999) == [(1, 1)]
    assert timers.take(10**9) == []


def found_at(lsn: int, at_s: int, value: float | None, seen_s: int) -> Sample:
    """A present value, of a feed that goes on from there."""
    return Sample(lsn, at_s * SECOND, value, seen_s * SECOND, is_found=True)


def test_a_value_that_is_found_present_counts_once() -> None:
    thrice = Condition("gt", 5, for_samples=3)
    state, _ = sample_judge(thrice, State(), sample_at(700, 10, 6))
    state, _ = sample_judge(thrice, state, sample_at(710, 20, 7))
    # The same as before, though the feed goes on from another place, even one before the last that was counted.
    for lsn in (900, 100):
        state, outcome = sample_judge(thrice, state, found_at(lsn, 20, 7, 30))
        assert (outcome, state.run_length) == (None, 2)
    # It comes once more, with one that it had replaced; then a new one, of whatever LSN.
    for sample in (sample_at(105, 10, 6), sample_at(110, 20, 7)):
        state, outcome = sample_judge(thrice, state, sample)
        assert (outcome, state.run_length) == (None, 2)
    assert sample_judge(thrice, state, sample_at(120, 30, 8))[1] == "fired"


def test_time_that_was_over_is_not_lost_where_a_value_is_found_again() -> None:
    hot = Condition("gt", 5, for_seconds=600)
    state, _ = sample_judge(hot, State(), sample_at(1, 100, 6, seen_s=100))
    state, _ = sample_judge(hot, state, found_at(50, 100, 6, 690))
    assert time_judge(state, 699 * SECOND)[1] is None
    assert time_judge(state, 700 * SECOND)[1] == "fired"


def test_a_value_of_a_transaction_that_was_open_when_the_present_was_read_counts() -> None:
    """Its row has an LSN from before the rule, and was not to be seen yet."""
    silent = Condition("stale", 0, for_seconds=60)
    state, _ = sample_judge(silent, State(), found_at(500, 10, 1, 100))
    state, _ = sample_judge(silent, state, sample_at(490, 99, 2, 101))
    assert time_judge(state, 160 * SECOND)[1] is None
    assert time_judge(state, 161 * SECOND)[1] == "fired"


def test_two_notices_of_many_firings_are_two_though_all_were_found_at_one_place() -> None:
    rule = Rule(1, 1, "Heat", "heat", "", "", Condition("gt", 5), (), 7)
    keys = {
        notice.key
        for first in (10, 20)
        for notice in notices_of(
            [
                Happening(rule, n, ("sensor", f"s-{n}"), "fired", found_at(900, 10, 6, 10), 900, firing_id=n)
                for n in range(first, first + 6)
            ]
        )
    }
    assert len(keys) == 2
