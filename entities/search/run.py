"""Run a search on one store and return a page. The plan is one: walk the tenant in the order asked for, testing documents."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import connections

from entities.search.cursors import Cursor, InvalidCursor, cursor_decode, cursor_encode
from entities.search.query import CountKind, Node, Query
from entities.search.sql import Fragment, node_sql

# How many of the newest entities an estimated count looks at before it extrapolates.
ESTIMATE_SAMPLE: Final = 20_000

_KEY_CAST: Final = {
    "updated_at": ("e.updated_at", "timestamptz"),
    "created_at": ("e.created_at", "timestamptz"),
    "external_id": ("e.external_id", "text"),
    "entity_id": ("e.entity_id", "bigint"),
}


@dataclass(frozen=True, slots=True)
class EntityRow:
    """One entity as read. attributes: JSON text of the whole document or of the fields asked for."""

    entity_id: int
    entity_type: str
    external_id: str
    created_at: datetime
    updated_at: datetime
    version: int
    attributes: str


@dataclass(frozen=True, slots=True)
class Page:
    """entities: at most query.limit; next_cursor: None on the last page; total_count: None unless asked for."""

    entities: list[EntityRow]
    next_cursor: str | None
    total_count: int | None
    count_kind: CountKind


def search_run(*, tenant_id: int, query: Query, using: str, position: str) -> Page:
    """Return one page of the tenant's entities that satisfy the query.

    using: the database alias that answers; position: what that store has applied, for the next cursor.
    An empty page has no cursor. Raises InvalidCursor.
    """
    matches = match_sql(tenant_id, query.entity_type, query.where)
    column, cast = _KEY_CAST[query.order_by]
    direction, beyond = ("DESC", "<") if query.descending else ("ASC", ">")
    by_id = query.order_by == "entity_id"
    keyset, keyset_values = "", ()
    if query.cursor is not None:
        cursor = cursor_decode(query.cursor, tenant_id=tenant_id, query=query)
        keyset_values = (cursor.entity_id,) if by_id else (cursor.key, cursor.entity_id)
        keyset = f" AND e.entity_id {beyond} %s" if by_id else f" AND ({column}, e.entity_id) {beyond} (%s::{cast}, %s)"
    attributes, attributes_values = _projection(query.fields)
    order = f"e.entity_id {direction}" if by_id else f"{column} {direction}, e.entity_id {direction}"
    statement = (
        f"SELECT e.entity_id, e.entity_type, e.external_id, e.created_at, e.updated_at, e.version, {attributes}"
        f" FROM entities e WHERE {matches.text}{keyset} ORDER BY {order} LIMIT %s"
    )
    with connections[using].cursor() as database:
        database.execute(statement, (*attributes_values, *matches.values, *keyset_values, query.limit + 1))
        rows = [EntityRow(*row) for row in database.fetchall()]
        total = _count(database, tenant_id, query, matches)
    next_cursor = None
    if len(rows) > query.limit:
        rows.pop()
        next_cursor = cursor_encode(_cursor_after(rows[-1], query, position), tenant_id=tenant_id, query=query)
    return Page(rows, next_cursor, total, query.count)


def match_sql(tenant_id: int, entity_type: str | None, where: Node) -> Fragment:
    """The predicate of a query: the tenant first, which prunes partitions and leads every index."""
    condition = node_sql(where)
    text, values = "e.tenant_id = %s", (tenant_id,)
    if entity_type is not None:
        text, values = f"{text} AND e.entity_type = %s", (*values, entity_type)
    return Fragment(f"{text} AND {condition.text}", (*values, *condition.values))


def _projection(fields: tuple[str, ...] | None) -> tuple[str, tuple[Any, ...]]:
    if fields is None:
        return "e.attributes::text", ()
    return (
        "coalesce((SELECT jsonb_object_agg(f, e.attributes -> f) FROM unnest(%s::text[]) f WHERE e.attributes ? f), '{}')::text",
        (list(fields),),
    )


def _cursor_after(row: EntityRow, query: Query, position: str) -> Cursor:
    key = getattr(row, query.order_by)
    return Cursor(key.isoformat() if isinstance(key, datetime) else str(key), row.entity_id, position)


def _count(database: Any, tenant_id: int, query: Query, matches: Fragment) -> int | None:
    if query.count == "none":
        return None
    if query.count == "exact":
        database.execute(f"SELECT count(*) FROM entities e WHERE {matches.text}", matches.values)
        return int(database.fetchone()[0])
    # The newest entities as a sample: exact where they are all there is.
    database.execute(
        "SELECT count(*), count(*) FILTER (WHERE "
        + matches.text
        + ") FROM (SELECT * FROM entities e WHERE e.tenant_id = %s"
        " ORDER BY e.updated_at DESC, e.entity_id DESC LIMIT %s) e",
        (*matches.values, tenant_id, ESTIMATE_SAMPLE),
    )
    seen, matched = database.fetchone()
    if seen < ESTIMATE_SAMPLE:
        return int(matched)
    return round(matched / seen * tenant_entities_estimate(database, tenant_id))


def tenant_entities_estimate(database: Any, tenant_id: int) -> int:
    """About how many entities the tenant has: its share of the id index, as the planner's statistics have it.

    The registry knows no better number than the attribute that most entities have.
    """
    database.execute(
        "SELECT coalesce(max((SELECT sum(v::bigint) FROM jsonb_each_text(m.value_types) t(k, v))), 0)"
        " FROM attribute_metadata m WHERE m.tenant_id = %s",
        (tenant_id,),
    )
    return max(int(database.fetchone()[0]), ESTIMATE_SAMPLE)


__all__ = ["EntityRow", "InvalidCursor", "Page", "match_sql", "search_run", "tenant_entities_estimate"]
