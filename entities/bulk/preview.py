"""What a bulk edit would do: how many entities, how many of them change, and some of them before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from django.conf import settings
from django.db import connections

from entities.bulk.edits import Changes
from entities.search.aliases import query_resolved
from entities.search.query import AtLeast, Condition, Not, Query
from entities.search.sql import Fragment, condition_sql, node_sql
from entities.values import Value

# Of a document only the attributes of these names, as text.
NAMED_ATTRIBUTES: Final = (
    "coalesce((SELECT jsonb_object_agg(f, e.attributes -> f) FROM unnest(%s::text[]) f WHERE e.attributes ? f), '{}')"
    "::text"
)
SAMPLE: Final = 5
_SHOWN_CHARS: Final = 120


@dataclass(frozen=True, slots=True)
class Sample:
    """One entity before and after. values: (name, text before, text after); None where there is no value."""

    entity_id: int
    external_id: str
    values: list[tuple[str, str | None, str | None]]


@dataclass(frozen=True, slots=True)
class Preview:
    """matched: entities chosen, one more than allowed where there are too many; changing: how many of them change."""

    matched: int
    changing: int
    samples: list[Sample]

    @property
    def is_too_many(self) -> bool:
        return self.matched > int(settings.BULK_EDIT_MAX)


def bulk_edit_preview(
    *, tenant_id: int, query: Query | None, entity_ids: Sequence[int], changes: Changes, using: str
) -> Preview:
    """Look at what the query finds, or without one at the entities named, as they are now. Two statements."""
    if query is not None:
        query = query_resolved(query, tenant_id=tenant_id, using=using)
    chosen = (
        Fragment("e.entity_id = ANY(%s)", (list(entity_ids),))
        if query is None
        else condition_sql(query.entity_type, query.where)
    )
    changing = node_sql(AtLeast(1, tuple(_differs(name, value) for name, value in changes.items())))
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"SELECT count(*), count(*) FILTER (WHERE {changing.text}) FROM (SELECT * FROM entity_documents e"
            f" WHERE e.tenant_id = %s AND {chosen.text} LIMIT %s) e",
            (*changing.values, tenant_id, *chosen.values, settings.BULK_EDIT_MAX + 1),
        )
        matched, changed = cursor.fetchone()
        cursor.execute(
            f"SELECT e.entity_id, e.external_id, {NAMED_ATTRIBUTES}"
            f" FROM entity_documents e WHERE e.tenant_id = %s AND {chosen.text} AND {changing.text} LIMIT %s",
            (list(changes), tenant_id, *chosen.values, *changing.values, SAMPLE),
        )
        samples = [
            Sample(entity_id, external_id, _before_after(orjson.loads(attributes), changes))
            for entity_id, external_id, attributes in cursor.fetchall()
        ]
    return Preview(matched, changed, samples)


def _differs(name: str, value: Value | None) -> Condition | Not:
    return Condition(name, "exists") if value is None else Not(Condition(name, "eq", value))


def _before_after(before: dict[str, Any], changes: Changes) -> list[tuple[str, str | None, str | None]]:
    return [(name, value_shown(before.get(name)), value_shown(value)) for name, value in changes.items()]


def value_shown(value: Value | None) -> str | None:
    """A value as a list shows it: a string in quotes, so that “7” is not 7; cut where it is long."""
    if value is None:
        return None
    text = f"“{value}”" if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"
