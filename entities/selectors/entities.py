"""Entities and their values, by key and for pages. `using`: the database alias that answers."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson
from django.db import connections

from atlasco.lib.errors import NotFound
from atlasco.lib.sql import sql_blocks
from entities.search.run import EntityRow

SQL: Final = sql_blocks(Path(__file__).parent.parent / "sql" / "queries.sql")
PAGES: Final = sql_blocks(Path(__file__).parent.parent / "sql" / "pages.sql")
_ENTITY_ID_MAX: Final = 2**63 - 1
_ID_DIGITS_MAX: Final = 19
# Of a longer value a page shows the beginning until the whole is asked for.
VALUE_SHOWN_CHARS: Final = 2_000
_TYPES_SAMPLE: Final = 1_000


class EntityNotFound(NotFound):
    """There is no entity with this id."""

    code = "entity_not_found"


class EntityArchived(EntityNotFound):
    """The entity lies in an archived month. Ask the people who run this installation to restore it."""

    code = "entity_archived"


class AttributeNotFound(NotFound):
    """The entity has no attribute of this name."""

    code = "attribute_not_found"


@dataclass(frozen=True, slots=True)
class ValueRow:
    """One value of one entity. updated_at: the `at` of the value; version: the entity's."""

    name: str
    value: Any
    value_type: str
    updated_at: datetime
    version: int


def entity_id_parse(text: str) -> int:
    """The id that a text writes. Raises EntityNotFound where no entity could have it."""
    digits = text.lstrip("0") or "0"
    # Python refuses to read thousands of digits with an error of its own.
    if not (text.isascii() and text.isdigit()) or len(digits) > _ID_DIGITS_MAX or int(digits) > _ENTITY_ID_MAX:
        raise EntityNotFound
    return int(digits)


def entity_missing(*, tenant_id: int, entity_id: int, using: str) -> EntityNotFound:
    """What to say of an id that is not there: whether it lies in an archived range; what was there, files know."""
    with connections[using].cursor() as cursor:
        cursor.execute(SQL["archive_of_id"], {"tenant_id": tenant_id, "entity_id": entity_id})
        return EntityNotFound() if cursor.fetchone() is None else EntityArchived()


def entity_get(*, tenant_id: int, entity_id: int, using: str) -> EntityRow:
    """Return one entity. Raises EntityNotFound, for another tenant's too; EntityArchived where it may be in a file."""
    with connections[using].cursor() as cursor:
        cursor.execute(SQL["entity_by_id"], {"tenant_id": tenant_id, "entity_id": entity_id})
        row = cursor.fetchone()
    if row is None:
        raise entity_missing(tenant_id=tenant_id, entity_id=entity_id, using=using)
    return EntityRow(*row)


def entity_id_of_key(*, tenant_id: int, entity_type: str, external_id: str, using: str) -> int | None:
    """The id of the entity that has this key; None where there is none."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT entity_id FROM entity_keys WHERE tenant_id = %s AND external_id = %s AND entity_type = %s",
            (tenant_id, external_id, entity_type),
        )
        row = cursor.fetchone()
    return None if row is None else int(row[0])


def value_get(*, tenant_id: int, entity_id: int, name: str, using: str) -> ValueRow:
    """Return one value. Raises EntityNotFound, AttributeNotFound."""
    with connections[using].cursor() as cursor:
        cursor.execute(SQL["value_by_name"], {"tenant_id": tenant_id, "entity_id": entity_id, "name": name})
        row = cursor.fetchone()
    if row is None:
        entity_get(tenant_id=tenant_id, entity_id=entity_id, using=using)
        raise AttributeNotFound
    name, value, *rest = row
    return ValueRow(name, orjson.Fragment(value), *rest)


@dataclass(frozen=True, slots=True)
class ValueShown:
    """One value on the page of its entity. text: at most VALUE_SHOWN_CHARS of its `chars` characters."""

    name: str
    value_type: str
    text: str
    chars: int
    updated_at: datetime

    @property
    def is_cut(self) -> bool:
        return self.chars > len(self.text)


@dataclass(frozen=True, slots=True)
class ValuesPage:
    """Values in order of name. total: all that match; next_after: the name to go on after, None at the end."""

    values: list[ValueShown]
    total: int
    next_after: str | None


def entities_lookup(
    *, tenant_id: int, text: str, entity_type: str | None, limit: int, using: str
) -> tuple[list[EntityRow], bool]:
    """Return the entities that a text names, without their documents, and whether the text is their very id.

    An entity_id or external_id that is exactly the text comes first; only where there is none, external ids that
    start with it. Empty where nothing fits.
    """
    arguments: dict[str, int | str | None] = {
        "tenant_id": tenant_id,
        "text": text,
        "entity_type": entity_type,
        "limit": limit,
    }
    with connections[using].cursor() as cursor:
        cursor.execute(PAGES["entity_keys_exact"], arguments)
        found = [entity_id for (entity_id,) in cursor.fetchall()]
        with suppress(EntityNotFound):
            found.append(entity_id_parse(text))
        rows = _entity_heads(cursor, tenant_id, found)
        if entity_type is not None:
            rows = [row for row in rows if row.entity_type == entity_type]
        if rows:
            return rows, True
        cursor.execute(PAGES["entity_keys_prefix"], arguments)
        return _entity_heads(cursor, tenant_id, [entity_id for (entity_id,) in cursor.fetchall()]), False


def _entity_heads(cursor: Any, tenant_id: int, entity_ids: list[int]) -> list[EntityRow]:
    if not entity_ids:
        return []
    cursor.execute(PAGES["entity_heads"], {"tenant_id": tenant_id, "entity_ids": list(dict.fromkeys(entity_ids))})
    return [EntityRow(*row) for row in cursor.fetchall()]


def entity_head(*, tenant_id: int, entity_id: int, using: str) -> EntityRow:
    """Return one entity without its document. Raises EntityNotFound, EntityArchived as `entity_get`."""
    rows: list[EntityRow] = []
    if entity_id <= _ENTITY_ID_MAX:
        with connections[using].cursor() as cursor:
            rows = _entity_heads(cursor, tenant_id, [entity_id])
    if not rows:
        raise entity_missing(tenant_id=tenant_id, entity_id=entity_id, using=using)
    return rows[0]


def entity_types_recent(*, tenant_id: int, using: str) -> list[str]:
    """The types of the newest entities, most frequent first. To suggest; there may be more."""
    with connections[using].cursor() as cursor:
        cursor.execute(PAGES["entity_types_recent"], {"tenant_id": tenant_id, "sample": _TYPES_SAMPLE})
        return [entity_type for (entity_type,) in cursor.fetchall()]


def values_page(*, tenant_id: int, entity_id: int, part: str, after: str, limit: int, using: str) -> ValuesPage:
    """Return values of one entity in order of name, cut to what a page shows.

    part: a part of the name, whatever its case; after: the last name of the page before.
    """
    arguments: dict[str, int | str | None] = {
        "tenant_id": tenant_id, "entity_id": entity_id, "part": part, "after": after, "limit": limit + 1,
        "chars": VALUE_SHOWN_CHARS,
    }  # fmt: skip
    with connections[using].cursor() as cursor:
        cursor.execute(PAGES["values_page"], arguments)
        rows = cursor.fetchall()
    values = [ValueShown(*row[:5]) for row in rows[:limit]]
    return ValuesPage(values, rows[0][5] if rows else 0, values[-1].name if len(rows) > limit else None)


def value_text(*, tenant_id: int, entity_id: int, name: str, using: str) -> str:
    """Return one whole value as text. Raises AttributeNotFound."""
    with connections[using].cursor() as cursor:
        cursor.execute(PAGES["value_text"], {"tenant_id": tenant_id, "entity_id": entity_id, "name": name})
        row = cursor.fetchone()
    if row is None:
        raise AttributeNotFound
    return str(row[0])
