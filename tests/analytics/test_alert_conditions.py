"""When a rule fires and when it is cleared. Pure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.alerts.evaluate import Condition, Operator, Sample, State, firings_count, sample_judge

SECOND = 1_000_000


@pytest.fixture(autouse=True)
def _database_for_every_test() -> None:
    """None is needed."""


def outcomes(condition: Condition, *values: float | None, apart_s: int = 60) -> str:
    """One letter a sample: f fired, c cleared, . neither."""
    state, told = State(), ""
    for place, value in enumerate(values):
        state, outcome = sample_judge(condition, state, Sample(place + 1, place * apart_s * SECOND, value))
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
    samples = [Sample(place, place * SECOND, value) for place, value in enumerate(values, 1)]
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
    assert firings_count(condition, samples) == len(firings)
