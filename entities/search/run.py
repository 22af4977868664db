"""Run a search on one store by its plan, and return a page. See Note [Four plans]."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import inf
from typing import Any, Final

from django.db import connections

from entities.search.aliases import query_resolved
from entities.search.costs import WALK_MS_PER_ROW
from entities.search.cursors import Cursor, cursor_decode, cursor_encode
from entities.search.drive import contains_sql, ids_sql, names_driving, whose_sql
from entities.search.ordering import where_ordered
from entities.search.plan import Plan, PlanName, plan_choose
from entities.search.query import CountKind, Query, names_of
from entities.search.sql import Fragment, condition_sql
from entities.search.statistics import TenantStatistics, statistics_read
from entities.search.usage import search_count
from tenants.database.snapshot import read_snapshot, snapshot_repeat

# How many of the newest entities an estimated count looks at before it extrapolates.
ESTIMATE_SAMPLE: Final = 20_000
# A walk thinks again after so many entities at the earliest, and at the latest.
_STAGE_MIN: Final = 1_000
_STAGE_MAX: Final = 50_000

_KEY: Final = {
    "updated_at": ("e.updated_at", "timestamptz"),
    "created_at": ("e.created_at", "timestamptz"),
    "external_id": ("e.external_id", "text"),
    "entity_id": ("e.entity_id", "bigint"),
}
_COLUMNS: Final = "e.entity_id, e.entity_type, e.external_id, e.created_at, e.updated_at, e.version"
# As text, of which Python makes instants ten times as fast as the driver does.
_SHOWN: Final = "e.entity_id, e.entity_type, e.external_id, e.created_at::text, e.updated_at::text, e.version"
# One document by its id. OFFSET 0: looked up for each id, in their order, and joined in no other way.
_DOCUMENT: Final = "(SELECT * FROM entity_documents x WHERE x.tenant_id = %s AND x.entity_id = {id} OFFSET 0) e"


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


def search_run(
    *,
    tenant_id: int,
    query: Query,
    using: str,
    position: str,
    plan: Plan | None = None,
    is_counted: bool = True,
) -> Page:
    """Return one page of the tenant's entities that satisfy the query.

    using: the database alias that answers; position: what that store has applied, for the next cursor.
    plan: for tests and benchmarks; by default the one expected to be cheapest. Every plan gives the same page.
    is_counted: whether it tells what people search for; False for what nobody asked.
    An empty page has no cursor. Raises InvalidCursor.
    """
    began = time.perf_counter()
    query = query_resolved(query, tenant_id=tenant_id, using=using)
    cursor = None
    if query.cursor is not None:
        cursor = cursor_decode(query.cursor, tenant_id=tenant_id, query=query)
    statistics = statistics_read(tenant_id=tenant_id, names=names_of(query.where), using=using)
    plan = plan or plan_choose(query, statistics)

    def read() -> tuple[list[EntityRow], tuple[int | None, bool], Trace]:
        # One state for all chunks: an entity that is updated meanwhile would move to where the walk has been.
        with read_snapshot(using), connections[using].cursor() as database:
            search = _Search(database, tenant_id, query, cursor, statistics)
            rows = search.run(plan)
            return rows, _count(database, search, statistics, rows), search.trace

    # Inside somebody's snapshot it is that one's to repeat.
    rows, (total, _), trace = snapshot_repeat(read)
    if is_counted:
        search_count(tenant_id=tenant_id, query=query, ms=(time.perf_counter() - began) * 1000)
    next_cursor = None
    if len(rows) > query.limit:
        rows.pop()
        next_cursor = cursor_encode(_cursor_after(rows[-1], query, position), tenant_id=tenant_id, query=query)
    return Page(rows, next_cursor, total, query.count, plan, trace)


def search_total(*, tenant_id: int, query: Query, using: str) -> tuple[int, bool]:
    """How many of the tenant's entities satisfy the query, and whether that is exact; none of them is looked for.

    By the newest entities where there are many: what `count` "estimate" says.
    """
    query = query_resolved(query, tenant_id=tenant_id, using=using)
    statistics = statistics_read(tenant_id=tenant_id, names=names_of(query.where), using=using)

    def read() -> tuple[int | None, bool]:
        with read_snapshot(using), connections[using].cursor() as database:
            search = _Search(database, tenant_id, replace(query, count="estimate"), None, statistics)
            return _count(database, search, statistics)

    total, is_whole = snapshot_repeat(read)
    return total or 0, is_whole


class _Search:
    """One search under way: its fragments, compiled once, and the cursor that runs them."""

    def __init__(
        self, database: Any, tenant_id: int, query: Query, after: Cursor | None, statistics: TenantStatistics
    ) -> None:
        self.database, self.tenant_id, self.query, self.entities = database, tenant_id, query, statistics.entities
        self.trace = Trace()
        self.condition = condition_sql(query.entity_type, where_ordered(query.where, statistics))
        self.column, self.cast = _KEY[query.order_by]
        direction, self.beyond = ("DESC", "<") if query.descending else ("ASC", ">")
        self.by_id = query.order_by == "entity_id"
        self.order = f"e.entity_id {direction}" if self.by_id else f"{self.column} {direction}, e.entity_id {direction}"
        # The same among candidates, of which only the keys are kept.
        self.key_order = f"c.key {direction}, c.entity_id {direction}"
        # External ids stand in order in a table of their own, see Note [Four plans].
        self.walked = "k" if query.order_by == "external_id" else "e"
        self.start = None if after is None else (after.key, after.entity_id)
        self.after = self._beyond(self.start)
        self.attributes = _projection(query.fields)
        self.wanted = query.limit + 1

    def run(self, plan: Plan) -> list[EntityRow]:
        """The rows of the page and one more, if there is one more."""
        match plan.name:
            case "walk":
                found = self._walk(plan)
            case "gin":
                found = self._gin(plan)
            case "drive":
                found = self._drive(plan)
            case "scan":
                found = self._scan()
        if found is not None:
            return found
        # The plan's limit was reached, or its index is no more.
        return self.run(plan.fallback or Plan("scan"))

    def _beyond(self, last: tuple[str, int] | None, *, table: str = "e") -> Fragment:
        """What comes after the row of this key and id; everything, where there was none."""
        if last is None:
            return Fragment("true")
        key, entity_id = last
        if self.by_id:
            # A row, not the id alone: from `tenant_id = 2 AND entity_id > 5` PostgreSQL 18 concludes that no partition
            # holds such rows, wrongly, where they are in a DEFAULT partition beside another tenant's range.
            return Fragment(
                f"({table}.tenant_id, {table}.entity_id) {self.beyond} (%s, %s)", (self.tenant_id, entity_id)
            )
        column = f"{table}.{self.query.order_by}"
        return Fragment(f"({column}, {table}.entity_id) {self.beyond} (%s::{self.cast}, %s)", (key, entity_id))

    def _walk(self, plan: Plan) -> list[EntityRow] | None:
        """None where it is given up for the fallback, which begins anew: it sorts what a walk has in order."""
        found: list[EntityRow] = []
        after, tested = self._beyond(self.start, table=self.walked), 0
        share = plan.matches / max(self.entities, 1)
        while True:
            missing = self.wanted - len(found)
            size = round(min(_STAGE_MAX, max(_STAGE_MIN, 2 * missing / max(share, 1e-9)), plan.rows_max - tested))
            rows, last = self._walk_stage(after, max(size, 1), missing)
            found += rows
            if len(found) >= self.wanted or last is None:
                self.trace.steps.append(("walk", tested + size if last is not None else None))
                return found
            tested += size
            # What was expected counts for as much as the first stage: then what was seen takes over.
            share = (len(found) + share * _STAGE_MIN) / (tested + _STAGE_MIN)
            if plan.fallback is not None and (
                tested >= plan.rows_max or self._walk_left_ms(share, tested, len(found)) > plan.fallback.cost_ms
            ):
                self.trace.steps.append(("walk", tested))
                return None
            after = self._beyond(last, table=self.walked)

    def _walk_left_ms(self, share: float, tested: int, found: int) -> float:
        """What the rest of the walk will cost, by what it has seen so far."""
        left = min(max(self.entities - tested, 0), (self.wanted - found) / max(share, 1e-9))
        return WALK_MS_PER_ROW[self.query.order_by] * left

    def _walk_stage(self, after: Fragment, size: int, wanted: int) -> tuple[list[EntityRow], tuple[str, int] | None]:
        """The matches among the next `size` entities, and the last of those where not enough of them matched.

        No last one: the page is full, or the tenant ends before. The inner LIMIT makes PostgreSQL read in order and
        test what it reads; without it, it might sort the whole tenant. IS TRUE keeps the conditions in the order in
        which they are cheapest to test.
        """
        source = "entity_keys k" if self.walked == "k" else "entity_documents e"
        order = self.order.replace("e.", f"{self.walked}.")
        ordered = f"{source} WHERE {self.walked}.tenant_id = %s AND {after.text} ORDER BY {order}"
        stage: tuple[Any, ...] = (self.tenant_id, *after.values, size)
        if self.walked == "k":
            looked_up = _DOCUMENT.format(id="k.entity_id")
            tested = f"(SELECT k.entity_id FROM {ordered} LIMIT %s) k CROSS JOIN LATERAL {looked_up}"
            stage = (*stage, self.tenant_id)
        else:
            tested = f"(SELECT {_COLUMNS}, e.attributes FROM {ordered} LIMIT %s) e"
        self.database.execute(
            f"SELECT {_SHOWN}, {self.attributes.text} FROM {tested} WHERE ({self.condition.text}) IS TRUE LIMIT %s",
            (*self.attributes.values, *stage, *self.condition.values, wanted),
        )
        found = [_row(*row) for row in self.database.fetchall()]
        if len(found) >= wanted:
            return found, None
        # An index alone answers this.
        last = f"{self.walked}.{self.query.order_by}::text, {self.walked}.entity_id"
        self.database.execute(
            f"SELECT {last} FROM {ordered} OFFSET %s LIMIT 1",
            (self.tenant_id, *after.values, size - 1),
        )
        return found, self.database.fetchone()

    def _gin(self, plan: Plan) -> list[EntityRow] | None:
        contains = contains_sql(plan.documents)
        return self._sorted(plan, Fragment(f"entity_documents e WHERE {contains.text} AND", contains.values))

    def _drive(self, plan: Plan) -> list[EntityRow] | None:
        names = names_driving(plan)
        if names and not self._are_indexed(names):
            return None
        # As an array, so that they are looked up in their order, in one pass over the key's index.
        source = Fragment("entity_documents e WHERE e.entity_id = ANY(ARRAY(SELECT i.entity_id FROM ids i)) AND")
        return self._sorted(plan, source, ids=ids_sql(self.tenant_id, plan))

    def _are_indexed(self, names: Collection[str]) -> bool:
        """Whether the index holds every value of the attributes, in this snapshot: what the planner knew may be old."""
        self.database.execute(
            "SELECT count(*) FROM attribute_metadata"
            " WHERE tenant_id = %s AND attribute_name = ANY(%s::text[]) AND is_indexed",
            (self.tenant_id, list(names)),
        )
        return int(self.database.fetchone()[0]) == len(names)

    def _scan(self) -> list[EntityRow]:
        found = self._sorted(
            Plan("scan"), Fragment(f"entity_documents e WHERE {self.condition.text} AND", self.condition.values)
        )
        return found or []

    def _sorted(self, plan: Plan, source: Fragment, ids: Fragment | None = None) -> list[EntityRow] | None:
        """The first rows of all candidates that satisfy the condition; None where there are more than plan.rows_max.

        ids: of the candidates, where an index knows them before their documents are read; they are counted then.
        PostgreSQL plans a CTE to be read to its end, but reads no more of it than is asked for: so the LIMIT bounds the
        work and lures it into no other plan. Only keys are kept and sorted; the page's documents are read again.
        """
        holds = Fragment("true") if plan.name == "scan" else self.condition
        whose = whose_sql(self.tenant_id, is_alone=plan.is_alone and plan.name == "gin")
        rows_max = None if plan.rows_max == inf else int(plan.rows_max)
        limit = None if rows_max is None else rows_max + 1
        known = "" if ids is None else f"ids AS MATERIALIZED ({ids.text} LIMIT %s), "
        self.database.execute(
            f"WITH {known}candidate AS MATERIALIZED (SELECT e.entity_id, {self.column} AS key, {holds.text} AS holds"
            f" FROM {source.text} {whose.text} AND {self.after.text}),"
            " bounded AS NOT MATERIALIZED (SELECT * FROM candidate LIMIT %s),"
            f" seen AS MATERIALIZED (SELECT count(*) AS n FROM {'bounded' if ids is None else 'ids'})"
            f" (SELECT {_SHOWN}, {self.attributes.text}"
            f" FROM (SELECT c.entity_id FROM bounded c WHERE c.holds AND (SELECT n <= %s IS NOT false FROM seen)"
            f" ORDER BY {self.key_order} LIMIT %s) p CROSS JOIN LATERAL {_DOCUMENT.format(id='p.entity_id')}"
            f" ORDER BY {self.order})"
            " UNION ALL (SELECT 0, NULL, NULL, NULL, NULL, n, NULL FROM seen)",
            (
                *(() if ids is None else (*ids.values, limit)),
                *holds.values,
                *source.values,
                *whose.values,
                *self.after.values,
                limit,
                *self.attributes.values,
                rows_max,
                self.wanted,
                self.tenant_id,
            ),
        )
        *rows, (*_, seen, _) = self.database.fetchall()
        self.trace.steps.append((plan.name, seen))
        return None if seen > plan.rows_max else [_row(*row) for row in rows]


def _row(
    entity_id: int, entity_type: str, external_id: str, created: str, updated: str, version: int, attributes: str
) -> EntityRow:
    created_at, updated_at = datetime.fromisoformat(created), datetime.fromisoformat(updated)
    return EntityRow(entity_id, entity_type, external_id, created_at, updated_at, version, attributes)


def _projection(fields: Sequence[str] | None) -> Fragment:
    if fields is None:
        return Fragment("e.attributes::text")
    return Fragment(
        "coalesce((SELECT jsonb_object_agg(f, e.attributes -> f)"
        " FROM unnest(%s::text[]) f WHERE e.attributes ? f), '{}')::text",
        (list(fields),),
    )


def _key_text(row: EntityRow, query: Query) -> str:
    key = getattr(row, query.order_by)
    return key.isoformat() if isinstance(key, datetime) else str(key)


def _cursor_after(row: EntityRow, query: Query, position: str) -> Cursor:
    return Cursor(_key_text(row, query), row.entity_id, position)


def _count(
    database: Any, search: _Search, statistics: TenantStatistics, rows: list[EntityRow] | None = None
) -> tuple[int | None, bool]:
    """How many entities satisfy the query, and whether that is exact. rows: of its page, where that was read."""
    condition, tenant_id = search.condition, search.tenant_id
    if search.query.count == "none":
        return None, False
    if rows is not None and search.start is None and len(rows) < search.wanted:
        return len(rows), True  # The first page, and the last.
    if search.query.count == "exact":
        database.execute(
            f"SELECT count(*) FROM entity_documents e WHERE e.tenant_id = %s AND {condition.text}",
            (tenant_id, *condition.values),
        )
        return int(database.fetchone()[0]), True
    # The newest entities as a sample: exact where they are all there is.
    database.execute(
        f"SELECT count(*), count(*) FILTER (WHERE {condition.text}) FROM (SELECT * FROM entity_documents e"
        " WHERE e.tenant_id = %s ORDER BY e.updated_at DESC, e.entity_id DESC LIMIT %s) e",
        (*condition.values, tenant_id, ESTIMATE_SAMPLE),
    )
    seen, matched = database.fetchone()
    if seen < ESTIMATE_SAMPLE:
        return int(matched), True
    return round(int(matched) / int(seen) * max(statistics.entities, int(seen))), False
