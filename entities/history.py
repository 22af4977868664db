"""Values as they were: an entity's changes, and what held at an instant. Kept by whoever registers a reader for it.

# Note [What history knows]
A change is known by the instant that its writer gave it (`at`) and by that of its commit. An update that came late,
with an older `at` than the value there was, never took effect and is in no history.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

import orjson
from django.core import signing

from atlasco.lib.clock import to_us
from atlasco.lib.errors import Unavailable
from entities.search.cursors import InvalidCursor
from freshness.reads import NoStoreAnswers, read_through


class HistoryUnavailable(Unavailable):
    """History is kept in ClickHouse, which does not answer now. What entities are today can still be read."""

    code = "history_unavailable"


_SALT: Final = "entities.history.cursor"


@dataclass(frozen=True, slots=True)
class ValueChange:
    """One value from `at` on. value: JSON text, None where the attribute was removed; lsn: its place in the log."""

    name: str
    value_type: str
    value: str | None
    at: datetime
    committed_at: datetime
    lsn: int


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Changes, newest `at` first. next_cursor: None on the last page."""

    changes: list[ValueChange]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class StateValue:
    """What an attribute of an entity was. at: since when; entity_type, external_id: empty where it is gone today."""

    entity_id: int
    entity_type: str
    external_id: str
    name: str
    value_type: str
    value: str
    at: datetime


@dataclass(frozen=True, slots=True)
class StatePage:
    """Values in order of entity_id and name. next_cursor: None on the last page."""

    values: list[StateValue]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class HistoryRead:
    """Operation "history". Answer: at most limit + 1 of ValueChange, newest first, beyond the place.

    name: of one attribute, None for all; after: microseconds of `at`, lsn and name of the last change before the page.
    """

    tenant_id: int
    entity_id: int
    name: str | None
    limit: int
    after: tuple[int, int, str] | None


@dataclass(frozen=True, slots=True)
class StateRead:
    """Operation "state". Answer: at most limit + 1 of StateValue in order of entity_id and name, beyond the place.

    entity_id, name: None for all; stale_for_s: only entities that had not changed for longer than so many seconds.
    """

    tenant_id: int
    at: datetime
    entity_id: int | None
    name: str | None
    stale_for_s: float | None
    limit: int
    after: tuple[int, str] | None


def entity_history(
    *, tenant_id: int, entity_id: int, name: str | None = None, limit: int = 100, cursor: str | None = None
) -> HistoryPage:
    """Return one page of an entity's changes, newest `at` first, also of one that is gone; empty where none is known.

    name: only those of one attribute.
    Raises InvalidCursor; HistoryUnavailable.
    """
    bound = (tenant_id, entity_id, name)
    after = None if cursor is None else cast(tuple[int, int, str], _cursor_read(cursor, bound, (int, int, str)))
    request = HistoryRead(tenant_id, entity_id, name, limit, after)
    changes: list[ValueChange] = _read(request, operation="history", name=name)
    next_cursor = None
    if len(changes) > limit:
        changes = changes[:limit]
        last = changes[-1]
        next_cursor = _cursor_write((to_us(last.at), last.lsn, last.name), bound)
    return HistoryPage(changes, next_cursor)


def state_at(
    *,
    tenant_id: int,
    at: datetime,
    entity_id: int | None = None,
    name: str | None = None,
    stale_for_s: float | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> StatePage:
    """Return one page of the values that held at an instant: the last of each attribute whose `at` is not behind it.

    entity_id, name: only those of one entity, of one attribute. stale_for_s: only of entities of which nothing had
    changed for longer than so many seconds before the instant.
    Raises InvalidCursor; HistoryUnavailable.
    """
    bound = (tenant_id, to_us(at), entity_id, name, stale_for_s)
    after = None if cursor is None else cast(tuple[int, str], _cursor_read(cursor, bound, (int, str)))
    request = StateRead(tenant_id, at, entity_id, name, stale_for_s, limit, after)
    values: list[StateValue] = _read(request, operation="state", name=name)
    next_cursor = None
    if len(values) > limit:
        values = values[:limit]
        next_cursor = _cursor_write((values[-1].entity_id, values[-1].name), bound)
    return StatePage(values, next_cursor)


def _read(request: HistoryRead | StateRead, *, operation: str, name: str | None) -> Any:
    try:
        return read_through(None, operation=operation, request=request, attributes=None if name is None else (name,))
    except NoStoreAnswers:
        # No database can answer instead.
        raise HistoryUnavailable from None


def _cursor_write(place: tuple[Any, ...], bound: tuple[Any, ...]) -> str:
    return signing.Signer(salt=f"{_SALT}.{bound!r}").sign(signing.b64_encode(orjson.dumps(place)).decode())


def _cursor_read(cursor: str, bound: tuple[Any, ...], kinds: tuple[type, ...]) -> tuple[Any, ...]:
    try:
        place = orjson.loads(signing.b64_decode(signing.Signer(salt=f"{_SALT}.{bound!r}").unsign(cursor).encode()))
    except (signing.BadSignature, ValueError):
        raise InvalidCursor from None
    assert len(place) == len(kinds)  # noqa: S101  # Signed for this very question, so it has the form it was given.
    return tuple(place)
