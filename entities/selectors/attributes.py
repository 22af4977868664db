"""The registry of attributes, by name and for pages. `using`: the database alias that answers."""

from __future__ import annotations

from collections.abc import Iterable
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

SQL: Final = sql_blocks(Path(__file__).parent.parent / "sql" / "queries.sql")
PAGES: Final = sql_blocks(Path(__file__).parent.parent / "sql" / "pages.sql")
_CURSOR_SALT: Final = "entities.attributes.cursor"
REGISTRY_SORTS: Final = ("name", "entities", "distinct", "missing", "hot", "newest")


class AttributeUnknown(NotFound):
    """No entity of this tenant ever had an attribute of this name."""

    code = "attribute_unknown"


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
    owner: str
    quarantine_reason: str

    @property
    def value_type(self) -> str | None:
        """The type most of its values have; None where no entity has a value now."""
        return max(self.types, key=lambda name: (self.types[name], name), default=None)


@dataclass(frozen=True, slots=True)
class AttributePage:
    attributes: list[AttributeRow]
    next_cursor: str | None


def alias_target(*, tenant_id: int, alias: str, using: str) -> str | None:
    """The attribute that this name is an alias of; None where it is none."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT attribute_name FROM attribute_aliases WHERE tenant_id = %s AND alias = %s", (tenant_id, alias)
        )
        row = cursor.fetchone()
    return None if row is None else str(row[0])


def alias_targets(*, tenant_id: int, aliases: Iterable[str], using: str) -> dict[str, str]:
    """Of these names those that are aliases, each with its attribute. One statement."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT alias, attribute_name FROM attribute_aliases WHERE tenant_id = %s AND alias = ANY(%s::text[])",
            (tenant_id, list(aliases)),
        )
        return dict(cursor.fetchall())


def attributes_page(
    *, tenant_id: int, prefix: str, limit: int, cursor: str | None, using: str, status: str = ""
) -> AttributePage:
    """Return one page of the tenant's registry in order of name. Raises InvalidCursor.

    status: one of them, or "" for all.
    """
    after = ""
    # The status holds no point, so that no other question has the same salt.
    signer = signing.Signer(salt=f"{_CURSOR_SALT}.{tenant_id}.{status}.{prefix}")
    if cursor is not None:
        try:
            after = signing.b64_decode(signer.unsign(cursor).encode()).decode()
        except (signing.BadSignature, ValueError):
            raise InvalidCursor from None
    rows = _attributes(tenant_id, after=after, prefix=prefix, name=None, limit=limit + 1, using=using, status=status)
    next_cursor = None
    if len(rows) > limit:
        rows.pop()
        next_cursor = signer.sign(signing.b64_encode(rows[-1].name.encode()).decode())
    return AttributePage(rows, next_cursor)


def attribute_names(*, tenant_id: int, using: str) -> dict[str, tuple[int, str | None]]:
    """Every name of the tenant that is not quarantined: {name: (entities that have it, the type most of them have)}."""
    with connections[using].cursor() as cursor:
        cursor.execute(SQL["attribute_names"], {"tenant_id": tenant_id})
        return {name: (entities, kind if entities else None) for name, entities, kind in cursor.fetchall()}


def attribute_get(*, tenant_id: int, name: str, using: str) -> AttributeRow:
    """Return what is known of one attribute. Raises AttributeUnknown."""
    rows = _attributes(tenant_id, after="", prefix="", name=name, limit=1, using=using, status="")
    if not rows:
        raise AttributeUnknown
    return rows[0]


def _attributes(
    tenant_id: int, *, after: str, prefix: str, name: str | None, limit: int, using: str, status: str
) -> list[AttributeRow]:
    with connections[using].cursor() as cursor:
        cursor.execute(
            SQL["attributes_page"],
            {
                "tenant_id": tenant_id,
                "after": after,
                "prefix": prefix,
                "name": name,
                "limit": limit,
                "status": status,
            },
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


@dataclass(frozen=True, slots=True)
class RegistryFilter:
    """What a page of the registry shows. part: of the name or the description, whatever its case.

    status: one of them, "all", or "" for what is in use; kind: a type that some of its values have.
    """

    part: str = ""
    status: str = ""
    kind: str = ""
    indexed: bool = False
    sort: str = "name"


@dataclass(frozen=True, slots=True)
class RegistryPage:
    """attributes: in the order asked for; next_after: the key and the name to go on after, None at the end."""

    attributes: list[AttributeRow]
    next_after: tuple[float, str] | None


def registry_page(
    *, tenant_id: int, wanted: RegistryFilter, after: tuple[float, str] | None, limit: int, using: str
) -> RegistryPage:
    """Return one page of the tenant's registry. One pass over its names, of which there are thousands."""
    arguments: dict[str, int | float | str | bool | None] = {
        "tenant_id": tenant_id,
        "part": wanted.part,
        "status": wanted.status,
        "type": wanted.kind,
        "indexed": wanted.indexed,
        "sort": wanted.sort,
        "after_key": None if after is None else after[0],
        "after": "" if after is None else after[1],
        "limit": limit + 1,
    }
    with connections[using].cursor() as cursor:
        cursor.execute(PAGES["registry_page"], arguments)
        found = cursor.fetchall()
    rows = [_attribute_row(*row[1:]) for row in found[:limit]]
    return RegistryPage(rows, (found[limit - 1][0], rows[-1].name) if len(found) > limit else None)


def registry_counts(*, tenant_id: int, using: str) -> dict[str, int]:
    """How many names there are of each status."""
    with connections[using].cursor() as cursor:
        cursor.execute(PAGES["registry_counts"], {"tenant_id": tenant_id})
        return dict(cursor.fetchall())
