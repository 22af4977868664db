"""The clock, read only at the doors; everything behind a door gets `now` passed in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def now() -> datetime:
    """The present instant, in UTC."""
    return datetime.now(UTC)


def iso(instant: datetime) -> str:
    """An instant as the API writes it: UTC, microseconds only where there are any, `Z` at the end."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def from_us(microseconds: int) -> datetime:
    """The instant so many microseconds after 1970. Raises OverflowError beyond the years 1 to 9999."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def to_us(instant: datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
