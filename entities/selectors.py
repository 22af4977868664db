"""Reads of the data plane by key: one entity, one value, the registry. `using`: the database alias that answers."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

import orjson
from django.core import signing
from django.db import DEFAULT_DB_ALIAS, connections

from atlasco.lib.errors import NotFound
from atlasco.lib.sql import sql_blocks
from entities.search.cursors import InvalidCursor
from entities.search.run import EntityRow
from tenants.models import Tenant

SQL: Final = sql_blocks(Path(__file__).parent / "sql" / "queries.sql")
_CURSOR_SALT: Final = "entities.attributes.cursor"
_ENTITY_ID_MAX: Final = 2**63 - 1
_ID_DIGITS_MAX: Final = 19


class EntityNotFound(NotFound):
    """There is no entity of this id."""

    code = "entity_not_found"


class EntityArchived(EntityNotFound):
    """The entity lies in an archived month. Ask the people who run this installation to restore it."""

    code = "entity_archived"


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


# --- For pages --------------------------------------------------------------------------------------------------------

PAGES: Final = sql_blocks(Path(__file__).parent / "sql" / "pages.sql")
# Entities are counted up to here; more are estimated. Counting 10,000 takes some milliseconds.
COUNT_BOUND: Final = 10_000
# Of a longer value a page shows the beginning until the whole is asked for.
VALUE_SHOWN_CHARS: Final = 2_000
_TYPES_SAMPLE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Count:
    """A number to show. kind: exact; about (an estimate); over (at least so many, perhaps far more)."""

    number: int
    kind: Literal["exact", "about", "over"] = "exact"


@dataclass(frozen=True, slots=True)
class Usage:
    """How much a tenant has, or the whole platform; attributes: None where nobody counts them."""

    entities: Count
    values: Count
    attributes: Count | None


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


REGISTRY_SORTS: Final = ("name", "entities", "distinct", "missing", "hot", "newest")


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


def tenant_usage(*, tenant_id: int, using: str) -> Usage:
    """How much the bound tenant has. Its cost has a bound, whatever the size of the tenant."""
    with connections[using].cursor() as cursor:
        cursor.execute(PAGES["tenant_usage"], {"tenant_id": tenant_id, "bound": COUNT_BOUND + 1})
        counted, floor, values, names = cursor.fetchone()
    if counted <= COUNT_BOUND:
        entities = Count(counted)
    else:
        entities = Count(floor, "about") if floor > COUNT_BOUND else Count(COUNT_BOUND, "over")
    return Usage(entities, Count(values), Count(names))


def tenant_amounts(tenant: Tenant) -> dict[str, int]:
    """How many entities, values and attribute names the bound tenant has; of many entities about how many."""
    usage = tenant_usage(tenant_id=tenant.pk, using=DEFAULT_DB_ALIAS)
    names = usage.attributes.number if usage.attributes is not None else 0
    return {"entities": usage.entities.number, "values": usage.values.number, "attributes": names}


@dataclass(frozen=True, slots=True)
class Storage:
    """What a tenant takes on disk, with indexes. is_exact: it has partitions of its own; else it is its share."""

    bytes: int
    is_exact: bool


def tenant_storage(tenant: Tenant, *, amounts: dict[str, int]) -> Storage:
    """About how many bytes the tenant's entities and values take. amounts: as `tenant_amounts` says."""
    arguments = {"tenant_id": tenant.pk, "entities": amounts["entities"], "values": amounts["values"]}
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(PAGES["tenant_storage"], arguments)
        own, share = cursor.fetchone()
    return Storage(int(own or 0) + int(share or 0), is_exact=bool(own) and not share)


def platform_usage(*, using: str) -> Usage:
    """About how much all tenants have together, by PostgreSQL's own statistics."""
    with connections[using].cursor() as cursor:
        cursor.execute(PAGES["platform_usage"])
        entities, values = cursor.fetchone()
    return Usage(Count(entities, "about"), Count(values, "about"), None)


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
