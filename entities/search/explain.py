"""Why a search runs as it does: the plan, what was expected of it, and what was true.

The search runs as always; before each of its statements, the statement's EXPLAIN (ANALYZE, BUFFERS).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

import orjson
from django.db import OperationalError, connections, transaction

from entities.search.aliases import query_resolved
from entities.search.estimate import condition_share
from entities.search.plan import Plan, PlanName
from entities.search.query import AtLeast, Condition, Node, Not, Query, names_of
from entities.search.reads import Driver
from entities.search.run import Page, search_run
from entities.search.sql import condition_sql, node_sql
from entities.search.statistics import statistics_read
from tenants.database.snapshot import read_snapshot, snapshot_repeat

# True counts read the whole tenant: where that takes longer, they stay unknown.
COUNTING_MAX_MS: Final = 5_000
_CONDITIONS_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a search. rows: that it returned; tested: entities that it read; pages: of 8 kB."""

    planning_ms: float
    execution_ms: float
    rows: int
    tested: int
    pages_cached: int
    pages_read: int


@dataclass(frozen=True, slots=True)
class ConditionCount:
    """One condition as text, how many entities were expected to satisfy it, and how many do; None where not counted."""

    condition: str
    expected: int
    found: int | None


@dataclass(frozen=True, slots=True)
class SearchExplanation:
    """plan: what was chosen; expected_ms: of every plan that was possible; steps: the plans that ran, in their order.

    expected, found: entities that satisfy the whole query, found is None where counting took too long; drivers,
    documents: what the indexes were asked; within: what was asked before any document was fetched, and intersected with
    what the drivers found; gave_up: the plan first chosen proved wrong, and another took over.
    """

    plan: PlanName
    expected_ms: dict[PlanName, float]
    steps: tuple[tuple[PlanName, int | None], ...]
    entities: int
    expected: int
    found: int | None
    conditions: tuple[ConditionCount, ...]
    documents: tuple[dict[str, Any], ...]
    drivers: tuple[str, ...]
    within: tuple[str, ...]
    statements: tuple[Statement, ...]

    @property
    def gave_up(self) -> bool:
        return len(self.steps) > 1

    def as_dict(self) -> dict[str, Any]:
        """As the API shows it."""
        return {
            **asdict(self),
            "steps": [{"plan": name, "entities_read": rows} for name, rows in self.steps],
            "gave_up": self.gave_up,
        }


def search_explain(
    *, tenant_id: int, query: Query, using: str, position: str, is_counted: bool = True
) -> tuple[Page, SearchExplanation]:
    """Run a search and say how. Costs at least twice the search, and up to COUNTING_MAX_MS for the true counts.

    is_counted: else the true counts, which read the whole tenant, stay None.
    """
    resolved = query_resolved(query, tenant_id=tenant_id, using=using)
    statistics = statistics_read(tenant_id=tenant_id, names=names_of(resolved.where), using=using)
    conditions = list(_conditions(resolved.where))[:_CONDITIONS_MAX]

    def read() -> tuple[Page, list[Statement], int | None, list[int | None]]:
        statements: list[Statement] = []
        with read_snapshot(using):
            with _explained(using, statements):
                page = search_run(tenant_id=tenant_id, query=query, using=using, position=position, is_counted=False)
            if not is_counted:
                return page, statements, None, [None] * len(conditions)
            return page, statements, *_counted(tenant_id, resolved, conditions, using)

    page, statements, found, each = snapshot_repeat(read)
    size = max(statistics.entities, 1)
    counts = tuple(
        ConditionCount(condition_text(condition), round(condition_share(condition, statistics) * size), count)
        for condition, count in zip(conditions, each, strict=True)
    )
    plan: Plan = page.plan
    return page, SearchExplanation(
        plan=plan.name,
        expected_ms=dict(plan.costs),
        steps=tuple(page.trace.steps),
        entities=statistics.entities,
        expected=round(plan.matches),
        found=found,
        conditions=counts,
        documents=plan.documents,
        drivers=tuple(_read_texts(plan.drivers, plan.named)),
        within=tuple(" or ".join(_read_texts(reads.drivers, reads.named)) for reads in plan.within),
        statements=tuple(statements),
    )


def condition_text(condition: Condition) -> str:
    """A condition as people write it in a body."""
    operand = condition.value
    parts = [condition.attribute, condition.operator, *([] if operand is None else [operand])]
    return orjson.dumps(parts).decode()


def _read_texts(drivers: Iterable[Driver], named: Iterable[Condition]) -> Iterator[str]:
    for driver in (*drivers, *((condition,) for condition in named)):
        yield " and ".join(map(condition_text, driver))


def _conditions(node: Node) -> Iterator[Condition]:
    match node:
        case Condition():
            yield node
        case Not(node=inner):
            yield from _conditions(inner)
        case AtLeast(nodes=nodes):
            for child in nodes:
                yield from _conditions(child)


@contextmanager
def _explained(using: str, statements: list[Statement]) -> Iterator[None]:
    """Explain, inside, what reads entities, and run it."""

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "entity_documents" in sql:
            execute(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {sql}", params, many, context)
            answer = context["cursor"].fetchone()[0]
            statements.append(_statement(orjson.loads(answer)[0] if isinstance(answer, str) else answer[0]))
        return execute(sql, params, many, context)

    with connections[using].execute_wrapper(wrapper):
        yield


def _statement(answer: dict[str, Any]) -> Statement:
    top = answer["Plan"]
    return Statement(
        planning_ms=round(answer["Planning Time"], 3),
        execution_ms=round(answer["Execution Time"], 3),
        rows=round(top["Actual Rows"]),
        tested=_tested(top),
        pages_cached=top["Shared Hit Blocks"],
        pages_read=top["Shared Read Blocks"],
    )


def _tested(node: dict[str, Any]) -> int:
    """Entities that the leaves of a plan read, those filtered away too."""
    children = node.get("Plans", [])
    tested = sum(map(_tested, children))
    if str(node.get("Relation Name", "")).startswith("entities") and "Index Only" not in node["Node Type"]:
        kept = (
            node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
        )
        tested += round(kept * node["Actual Loops"])
    return tested


def _counted(
    tenant_id: int, query: Query, conditions: list[Condition], using: str
) -> tuple[int | None, list[int | None]]:
    """How many entities satisfy the query, and each condition, in one pass over the tenant; None where it took long."""
    whole = condition_sql(query.entity_type, query.where)
    each = [node_sql(condition) for condition in conditions]
    counts = "".join(f", count(*) FILTER (WHERE {one.text})" for one in each)
    try:
        with transaction.atomic(using=using), connections[using].cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {COUNTING_MAX_MS}")
            cursor.execute(
                f"SELECT count(*) FILTER (WHERE {whole.text}){counts} FROM entity_documents e WHERE e.tenant_id = %s",
                (*whole.values, *(value for one in each for value in one.values), tenant_id),
            )
            found, *counted = cursor.fetchone()
            return found, counted
    except OperationalError:
        return None, [None] * len(conditions)
