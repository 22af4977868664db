"""Reads of the data plane by key: one entity, one value, the registry. `using` names the database alias that answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson
from django.core import signing
from django.db import connections

from atlasco.lib.errors import NotFound
from atlasco.lib.sql import sql_blocks
from entities.search.cursors import InvalidCursor
from entities.search.run import EntityRow

SQL: Final = sql_blocks(Path(__file__).parent / "sql" / "queries.sql")
_CURSOR_SALT: Final = "entities.attributes.cursor"


class EntityNotFound(NotFound):
    """There is no entity of this id."""

    code = "entity_not_found"


class AttributeNotFound(NotFound):
    """The entity has no attribute of this name."""

    code = "attribute_not_found"


class AttributeUnknown(NotFound):
    """No entity of this tenant ever had an attribute of this name."""

    code = "attribute_unknown"


@dataclass(frozen=True, slots=True)
class ValueRow:
    """One value of one entity. updated_at: the `at` of the value; version: the entity's."""

    name: str
    value: Any
    value_type: str
    updated_at: datetime
    version: int


@dataclass(frozen=True, slots=True)
class AttributeRow:
    """What is known of an attribute. types: {type: entities with a value of it}; most_common: [[value, share], …]."""

    name: str
    types: dict[str, int]
    is_indexed: bool
    cardinality_estimate: int | None
    null_rate: float | None
    most_common: list[Any]
    hot_score: float
    last_analyzed: datetime | None
    first_seen_at: datetime
    description: str
    unit: str
    status: str

    @property
    def value_type(self) -> str | None:
        """The type most of its values have; None where no entity has a value now."""
        return max(self.types, key=lambda name: (self.types[name], name), default=None)


@dataclass(frozen=True, slots=True)
class AttributePage:
    attributes: list[AttributeRow]
    next_cursor: str | None


def entity_get(*, tenant_id: int, entity_id: int, using: str) -> EntityRow:
    """Return one entity. Raises EntityNotFound, for another tenant's too."""
    with connections[using].cursor() as cursor:
        cursor.execute(SQL["entity_by_id"], {"tenant_id": tenant_id, "entity_id": entity_id})
        row = cursor.fetchone()
    if row is None:
        raise EntityNotFound
    return EntityRow(*row)


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


def attributes_page(*, tenant_id: int, prefix: str, limit: int, cursor: str | None, using: str) -> AttributePage:
    """Return one page of the tenant's registry in order of name. Raises InvalidCursor."""
    after = ""
    signer = signing.Signer(salt=f"{_CURSOR_SALT}.{tenant_id}")
    if cursor is not None:
        try:
            after = signing.b64_decode(signer.unsign(cursor).encode()).decode()
        except (signing.BadSignature, ValueError):
            raise InvalidCursor from None
    rows = _attributes(tenant_id, after=after, prefix=prefix, name=None, limit=limit + 1, using=using)
    next_cursor = None
    if len(rows) > limit:
        rows.pop()
        next_cursor = signer.sign(signing.b64_encode(rows[-1].name.encode()).decode())
    return AttributePage(rows, next_cursor)


def attribute_get(*, tenant_id: int, name: str, using: str) -> AttributeRow:
    """Return what is known of one attribute. Raises AttributeUnknown."""
    rows = _attributes(tenant_id, after="", prefix="", name=name, limit=1, using=using)
    if not rows:
        raise AttributeUnknown
    return rows[0]


def _attributes(
    tenant_id: int, *, after: str, prefix: str, name: str | None, limit: int, using: str
) -> list[AttributeRow]:
    with connections[using].cursor() as cursor:
        cursor.execute(
            SQL["attributes_page"],
            {"tenant_id": tenant_id, "after": after, "prefix": prefix, "name": name, "limit": limit},
        )
        return [_attribute_row(*row) for row in cursor.fetchall()]


def _attribute_row(
    name: str,
    types: str,
    is_indexed: bool,
    cardinality: int | None,
    null_rate: float | None,
    most_common: str,
    *rest: Any,
) -> AttributeRow:
    # Django hands jsonb over as text.
    counts = {kind: count for kind, count in orjson.loads(types).items() if count > 0}
    return AttributeRow(name, counts, is_indexed, cardinality, null_rate, orjson.loads(most_common), *rest)
