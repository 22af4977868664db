"""Pure parts of the feed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.feed.pgoutput import instant_us, lsn_value


@pytest.fixture(autouse=True)
def _database_for_every_test() -> None:
    """None of these tests needs a server."""


@given(st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31)))  # noqa: DTZ001  # A zone comes below.
def test_instants_are_microseconds_since_1970(naive: datetime) -> None:
    instant = naive.replace(tzinfo=UTC)
    text = instant.isoformat(sep=" ").replace("+00:00", "+00")
    assert instant_us(text.encode()) == (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # As PostgreSQL says: SELECT extract(epoch FROM …) * 1000000.
        (b"10000-01-01 00:30:00+00", 253_402_302_600_000_000),
        (b"0001-12-31 10:00:00+00 BC", -62_135_647_200_000_000),
        (b"1999-12-31 23:59:59.5+00", 946_684_799_500_000),
    ],
)
def test_instants_beyond_pythons_years(text: bytes, expected: int) -> None:
    assert instant_us(text) == expected


def test_positions_are_numbers() -> None:
    assert lsn_value(b"1/A0") == (1 << 32) + 160
