"""Run a search on one store by its plan, and return a page. See Note [Three plans]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import orjson
from django.db import connections

from entities.search.cursors import Cursor, cursor_decode, cursor_encode
from entities.search.plan import Plan, PlanName, plan_choose
from entities.search.query import OWN_FIELDS, AtLeast, Condition, CountKind, Node, Not, Query
from entities.search.sql import Fragment, node_sql
from entities.search.statistics import TenantStatistics, statistics_read
from entities.values import value_type
from tenants.database.snapshot import read_snapshot

# How many of the newest entities an estimated count looks at before it extrapolates.
ESTIMATE_SAMPLE: Final = 20_000
_CHUNK_FIRST: Final = 1_000
_CHUNK_MAX: Final = 16_000

_KEY: Final = {
    "updated_at": ("e.updated_at", "timestamptz"),
    "created_at": ("e.created_at", "timestamptz"),
    "external_id": ("e.external_id", "text"),
    "entity_id": ("e.entity_id", "bigint"),
}
_COLUMNS: Final = "e.entity_id, e.entity_type, e.external_id, e.created_at, e.updated_at, e.version"


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


@dataclass(slots=True)
class Trace:
    """What a search did: the plans it ran, in order, and how many entities it tested in each, where it counted them."""

    steps: list[tuple[PlanName, int | None]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Page:
    """entities: at most query.limit; next_cursor: None on the last page; total_count: None unless asked for."""

    entities: list[EntityRow]
    next_cursor: str | None
    total_count: int | None
    count_kind: CountKind
    plan: Plan
    trace: Trace


def search_run(*, tenant_id: int, query: Query, using: str, position: str, plan: Plan | None = None) -> Page:
    """Return one page of the tenant's entities that satisfy the query.

    using: the database alias that answers; position: what that store has applied, for the next cursor.
    plan: for tests and benchmarks; by default the one expected to be cheapest. Every plan gives the same page.
    An empty page has no cursor. Raises InvalidCursor.
    """
    cursor = None
    if query.cursor is not None:
        cursor = cursor_decode(query.cursor, tenant_id=tenant_id, query=query)
    statistics = statistics_read(tenant_id=tenant_id, names=names_of(query.where), using=using)
    plan = plan or plan_choose(query, statistics)
    # One state for all chunks: an entity that is updated meanwhile would move to where the walk has been.
    with read_snapshot(using), connections[using].cursor() as database:
        search = _Search(database, tenant_id, query, cursor)
        rows = search.run(plan)
        total = _count(database, search, statistics)
    next_cursor = None
    if len(rows) > query.limit:
        rows.pop()
        next_cursor = cursor_encode(_cursor_after(rows[-1], query, position), tenant_id=tenant_id, query=query)
    return Page(rows, next_cursor, total, query.count, plan, search.trace)


class _Search:
    """One search under way: its fragments, compiled once, and the cursor that runs them."""

    def __init__(self, database: Any, tenant_id: int, query: Query, after: Cursor | None) -> None:
        self.database, self.tenant_id, self.query = database, tenant_id, query
        self.trace = Trace()
        self.condition = condition_sql(query.entity_type, query.where)
        self.column, self.cast = _KEY[query.order_by]
        direction, self.beyond = ("DESC", "<") if query.descending else ("ASC", ">")
        self.by_id = query.order_by == "entity_id"
        self.order = f"e.entity_id {direction}" if self.by_id else f"{self.column} {direction}, e.entity_id {direction}"
        self.after = Fragment("true") if after is None else self._beyond(after.key, after.entity_id)
        self.attributes = _projection(query.fields)
        self.wanted = query.limit + 1

    def run(self, plan: Plan) -> list[EntityRow]:
        """The rows of the page and one more, if there is one more."""
        match plan.name:
            case "walk":
                return self._walk(plan)
            case "gin":
                return self._gin(plan)
            case "drive" if plan.driver is not None:
                return self._drive(plan.driver)
            case _:
                return self._scan()

    def _beyond(self, key: str, entity_id: int) -> Fragment:
        if self.by_id:
            return Fragment(f"e.entity_id {self.beyond} %s", (entity_id,))
        return Fragment(f"({self.column}, e.entity_id) {self.beyond} (%s::{self.cast}, %s)", (key, entity_id))

    def _walk(self, plan: Plan) -> list[EntityRow]:
        found: list[EntityRow] = []
        after, tested, size = self.after, 0, _CHUNK_FIRST
        while True:
            rows, last, seen = self._walk_chunk(after, size, self.wanted - len(found))
            found += rows
            tested += seen
            if len(found) >= self.wanted or last is None or seen < size:
                self.trace.steps.append(("walk", tested))
                return found
            if plan.fallback is not None and tested >= plan.rows_max:
                self.trace.steps.append(("walk", tested))
                return self.run(plan.fallback)
            after, size = self._beyond(*last), min(size * 4, _CHUNK_MAX)

    def _walk_chunk(
        self, after: Fragment, size: int, wanted: int
    ) -> tuple[list[EntityRow], tuple[str, int] | None, int]:
        """The matches among the next `size` entities, the last of those entities, and how many there were.

        The inner LIMIT comes before the test, or PostgreSQL might sort the whole tenant.
        """
        self.database.execute(
            f"WITH chunk AS MATERIALIZED (SELECT {_COLUMNS}, e.attributes FROM entity_documents e"
            f" WHERE e.tenant_id = %s AND {after.text} ORDER BY {self.order} LIMIT %s)"
            f" (SELECT {_COLUMNS}, {self.attributes.text} FROM chunk e WHERE {self.condition.text}"
            f" ORDER BY {self.order} LIMIT %s)"
            " UNION ALL (SELECT e.entity_id, NULL, e.external_id, e.created_at, e.updated_at,"
            f" (SELECT count(*) FROM chunk), NULL FROM chunk e ORDER BY {_reversed(self.order)} LIMIT 1)",
            (self.tenant_id, *after.values, size, *self.attributes.values, *self.condition.values, wanted),
        )
        rows = self.database.fetchall()
        if not rows:
            return [], None, 0
        last = EntityRow(*rows.pop())
        return [EntityRow(*row) for row in rows], (_key_text(last, self.query), last.entity_id), last.version

    def _gin(self, plan: Plan) -> list[EntityRow]:
        contains = " OR ".join("e.attributes @> %s::jsonb" for _ in plan.documents)
        documents = [orjson.dumps(document).decode() for document in plan.documents]
        self.trace.steps.append(("gin", None))
        return self._sorted(Fragment(f"({contains}) AND {self.condition.text}", (*documents, *self.condition.values)))

    def _scan(self) -> list[EntityRow]:
        self.trace.steps.append(("scan", None))
        return self._sorted(self.condition)

    def _drive(self, driver: Condition) -> list[EntityRow]:
        if driver.attribute not in OWN_FIELDS and not self._is_indexed(driver.attribute):
            return self._scan()
        ids = driver_sql(self.tenant_id, driver)
        self.trace.steps.append(("drive", None))
        # OFFSET 0 keeps the driver's index in front: the planner thinks too little of it.
        return self._sorted(
            self.condition,
            source=Fragment(
                f"({ids.text} OFFSET 0) d CROSS JOIN LATERAL"
                " (SELECT * FROM entity_documents x WHERE x.tenant_id = %s AND x.entity_id = d.entity_id OFFSET 0) e",
                (*ids.values, self.tenant_id),
            ),
        )

    def _is_indexed(self, name: str) -> bool:
        """Whether the index holds every value of the attribute, in this snapshot: what the planner knew may be old."""
        self.database.execute(
            "SELECT is_indexed FROM attribute_metadata WHERE tenant_id = %s AND attribute_name = %s",
            (self.tenant_id, name),
        )
        row = self.database.fetchone()
        return row is not None and bool(row[0])

    def _sorted(self, condition: Fragment, source: Fragment | None = None) -> list[EntityRow]:
        """The first rows of all that satisfy the condition; only those are projected."""
        source = source or Fragment("entity_documents e")
        self.database.execute(
            f"WITH matches AS MATERIALIZED (SELECT {_COLUMNS}, e.attributes FROM {source.text}"
            f" WHERE e.tenant_id = %s AND {self.after.text} AND {condition.text})"
            f" SELECT {_COLUMNS}, {self.attributes.text}"
            f" FROM (SELECT * FROM matches e ORDER BY {self.order} LIMIT %s) e ORDER BY {self.order}",
            (
                *source.values,
                self.tenant_id,
                *self.after.values,
                *condition.values,
                *self.attributes.values,
                self.wanted,
            ),
        )
        return [EntityRow(*row) for row in self.database.fetchall()]


def condition_sql(entity_type: str | None, where: Node) -> Fragment:
    """What an entity must satisfy, besides being the tenant's."""
    condition = node_sql(where)
    if entity_type is None:
        return condition
    return Fragment(f"(e.entity_type = %s AND {condition.text})", (entity_type, *condition.values))


def match_sql(tenant_id: int, entity_type: str | None, where: Node) -> Fragment:
    """The predicate of a query over a whole tenant: the tenant first, which prunes partitions and leads every index."""
    condition = condition_sql(entity_type, where)
    return Fragment(f"e.tenant_id = %s AND {condition.text}", (tenant_id, *condition.values))


def driver_sql(tenant_id: int, driver: Condition) -> Fragment:
    """The ids of the entities that may satisfy the driver: all that do, and few others; documents are tested after.

    A number is compared as a double, so both ends are taken in: 2^53 + 1 and 2^53 are the same key.
    """
    if driver.attribute == "@external_id":
        wanted = list(driver.value) if isinstance(driver.value, tuple) else [driver.value]
        return Fragment(
            "SELECT k.entity_id FROM entity_keys k WHERE k.tenant_id = %s AND k.external_id = ANY(%s::text[])",
            (tenant_id, [text for text in wanted if isinstance(text, str)]),
        )
    value = driver.value
    if value is None or isinstance(value, tuple):
        raise TypeError("Only a condition with a single value can drive.")
    sign = {"eq": "=", "gt": ">=", "ge": ">=", "lt": "<=", "le": "<="}[driver.operator]
    match value_type(value):
        case "number":
            test, operand = f"v.numeric_key {sign} %s::double precision", value
        case "timestamp":
            test, operand = f"v.instant_value {sign} text_instant(%s)", value
        case "boolean":
            test, operand = "v.attribute_value = %s", "true" if value else "false"
        case _:
            test, operand = "v.attribute_value = %s", value
    return Fragment(
        f"SELECT v.entity_id FROM entity_values v WHERE v.tenant_id = %s AND v.attribute_name = %s AND {test}",
        (tenant_id, driver.attribute, operand),
    )


def names_of(node: Node) -> set[str]:
    """The attribute names that a tree tests."""
    match node:
        case Condition(attribute=name):
            return set() if name in OWN_FIELDS else {name}
        case Not(node=inner):
            return names_of(inner)
        case AtLeast(nodes=nodes):
            return {name for child in nodes for name in names_of(child)}


def _projection(fields: Sequence[str] | None) -> Fragment:
    if fields is None:
        return Fragment("e.attributes::text")
    return Fragment(
        "coalesce((SELECT jsonb_object_agg(f, e.attributes -> f)"
        " FROM unnest(%s::text[]) f WHERE e.attributes ? f), '{}')::text",
        (list(fields),),
    )


def _reversed(order: str) -> str:
    return order.replace("DESC", "#").replace("ASC", "DESC").replace("#", "ASC")


def _key_text(row: EntityRow, query: Query) -> str:
    key = getattr(row, query.order_by)
    return key.isoformat() if isinstance(key, datetime) else str(key)


def _cursor_after(row: EntityRow, query: Query, position: str) -> Cursor:
    return Cursor(_key_text(row, query), row.entity_id, position)


def _count(database: Any, search: _Search, statistics: TenantStatistics) -> int | None:
    condition, tenant_id = search.condition, search.tenant_id
    if search.query.count == "none":
        return None
    if search.query.count == "exact":
        database.execute(
            f"SELECT count(*) FROM entity_documents e WHERE e.tenant_id = %s AND {condition.text}",
            (tenant_id, *condition.values),
        )
        return int(database.fetchone()[0])
    # The newest entities as a sample: exact where they are all there is.
    database.execute(
        f"SELECT count(*), count(*) FILTER (WHERE {condition.text}) FROM (SELECT * FROM entity_documents e"
        " WHERE e.tenant_id = %s ORDER BY e.updated_at DESC, e.entity_id DESC LIMIT %s) e",
        (*condition.values, tenant_id, ESTIMATE_SAMPLE),
    )
    seen, matched = database.fetchone()
    if seen < ESTIMATE_SAMPLE:
        return int(matched)
    return round(int(matched) / int(seen) * max(statistics.entities, int(seen)))
