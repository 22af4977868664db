"""The clock, read only at the doors; everything behind a door gets `now` passed in."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The present instant, in UTC."""
    return datetime.now(UTC)


def iso(instant: datetime) -> str:
    """An instant as the API writes it: UTC, microseconds only where there are any, `Z` at the end."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
