"""The data plane of one tenant, filled and read whole, for tests to compare with the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
from django.db import connections

from entities import selectors
from entities.ingest.batch import Mode
from entities.ingest.importer import ImportSummary, import_run
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tests.entities.model import Json, Key, Row, Update, kind_of, microseconds_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LINE_MAX_BYTES = 8 << 20


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def line_of(update: Update) -> bytes:
    line: dict[str, Any] = {
        "entity_type": update.key[0],
        "external_id": update.key[1],
        "attributes": update.attributes,
    }
    if update.at is not None:
        line["at"] = update.at.isoformat()
    if update.created_at is not None:
        line["created_at"] = update.created_at.isoformat()
    return orjson.dumps(line) + b"\n"


def entity(external_id: str, /, entity_type: str = "lamp", at: datetime | None = None, **attributes: Any) -> Update:
    """An update, short to write."""
    return Update((entity_type, external_id), attributes, at=at)


def write(tenant: Tenant, updates: Iterable[Update], *, mode: Mode = "merge", now: datetime = NOW) -> ImportSummary:
    """Import updates by the product's own path."""
    chunks = (line_of(update) for update in updates)
    with tenant_bind(tenant):
        return import_run(tenant_id=tenant.pk, chunks=chunks, mode=mode, now=now, line_max_bytes=LINE_MAX_BYTES)


def rows_read(tenant: Tenant, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    with tenant_bind(tenant), connections["default"].cursor() as cursor:
        cursor.execute(statement, list(parameters))
        return list(cursor.fetchall())


@dataclass
class Stored:
    """An entity with all that the tables say of it."""

    entity_id: int
    created_at: datetime
    updated_at: datetime
    version: int
    document: dict[str, Json]
    values: dict[str, tuple[str, str, Decimal | None, int | None, datetime]]

    @property
    def at(self) -> dict[str, datetime]:
        """The instant of each value, and of each removal that is remembered."""
        return {name: value[4] for name, value in self.values.items()}


def stored(tenant: Tenant) -> dict[Key, Stored]:
    """Every entity of the tenant by its key. Fails where keys, documents and value rows tell different stories."""
    entities = {
        entity_id: (key, Stored(entity_id, created_at, updated_at, version, orjson.loads(document), {}))
        for entity_id, *key, created_at, updated_at, version, document in rows_read(
            tenant,
            "SELECT entity_id, entity_type, external_id, created_at, updated_at, version, attributes::text"
            " FROM entities WHERE tenant_id = %s",
            [tenant.pk],
        )
    }
    keys = rows_read(
        tenant, "SELECT entity_id, entity_type, external_id FROM entity_keys WHERE tenant_id = %s", [tenant.pk]
    )
    assert {entity_id: key for entity_id, *key in keys} == {number: key for number, (key, _) in entities.items()}
    assert len(keys) == len(entities)
    for entity_id, name, *value in rows_read(
        tenant,
        "SELECT entity_id, attribute_name, value_type, attribute_value, numeric_value,"
        " (extract(epoch FROM instant_value) * 1000000)::bigint, updated_at"
        " FROM entity_attributes WHERE tenant_id = %s",
        [tenant.pk],
    ):
        entities[entity_id][1].values[name] = tuple(value)
    for _, stored_entity in entities.values():
        values_check(stored_entity)
    return {(entity_type, external_id): entity for (entity_type, external_id), entity in entities.values()}


def values_check(stored_entity: Stored) -> None:
    """The value rows say what the document says: type, text, number, instant; and nothing more."""
    present = {name: value for name, value in stored_entity.values.items() if value[0] != "removed"}
    assert present.keys() == stored_entity.document.keys()
    for name, (kind, text, number, instant, at) in present.items():
        value = stored_entity.document[name]
        assert kind == kind_of(value)
        assert at <= stored_entity.updated_at
        assert (number is not None, instant is not None) == (kind == "number", kind == "timestamp")
        match kind:
            case "number":
                assert number == Decimal(text) == Decimal(repr(value))
            case "boolean":
                assert text == ("true" if value else "false")
            case "timestamp":
                assert text == value and instant == microseconds_of(text)
            case _:
                assert text == value
    for name, (kind, text, number, instant, _) in stored_entity.values.items():
        assert kind != "removed" or (text, number, instant) == ("", None, None), name


def registry(tenant: Tenant) -> dict[str, Counter[str]]:
    """{name: {type: entities}} as the API tells it: what is folded in and what is not yet."""
    with tenant_bind(tenant):
        page = selectors.attributes_page(tenant_id=tenant.pk, prefix="", limit=1000, cursor=None, using="default")
    return {row.name: Counter(row.types) for row in page.attributes if row.types}


def rows(tenant: Tenant) -> list[Row]:
    """Every entity, as the model's search takes them."""
    return [
        Row(entity.entity_id, *key, entity.created_at, entity.updated_at, entity.document)
        for key, entity in stored(tenant).items()
    ]


def chunked(items: Sequence[Any], sizes: Iterable[int]) -> Iterator[Sequence[Any]]:
    """The items in pieces of these sizes; the rest in one."""
    start = 0
    for size in sizes:
        if start >= len(items):
            return
        yield items[start : start + size]
        start += size
    if start < len(items):
        yield items[start:]
