"""How a search runs: a pure function from a query and the tenant's statistics to a plan.

# Note [Four plans]
walk   read the tenant's entities in the order asked for and test each, until the page is full: cheap where many match.
       It goes in stages, and after each thinks again: what it has seen is worth more than what was expected.
       External ids are in order in `entity_keys` only; each document is then looked up.
gin    look up documents that contain the equalities which every match must have, test and sort them: cheap where few
       have them. For k-of-n and `any`, one containment for each way to satisfy it.
drive  read the ids of the entities that may match from value indexes, test and sort their documents: for ranges. Ids of
       several conditions that must all hold are intersected first, where that costs less than the documents that it
       spares: an index alone tells ids, and twenty of them cost as much as one document. Where n of m must hold,
       m - n + 1 of them are read: no match can miss them all; or fewer, and the documents that hold n of the others.
       Conditions without a value index are looked up in the index of documents, if they are equalities, or in that of
       names, which tells who has a value at all: for rare names.
scan   read the whole tenant and sort: where few match and nothing drives. In no order, an entity costs less.

A plan that may prove wrong has a limit of rows, and another plan takes over there: a wrong guess costs at most about
twice that plan. Every plan gives the same page. What reading costs is in `costs`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf
from typing import Final, Literal, TypeAlias

from entities.search.containments import Document, containments, look_up
from entities.search.costs import (
    FETCH_MS_PER_PAGE,
    FETCH_MS_PER_ROW,
    PLAN_MS,
    SCAN_ALONE_MS_PER_ROW,
    SCAN_MS_PER_ROW,
    WALK_MS_PER_ROW,
    look_up_ms,
)
from entities.search.estimate import node_of, share_estimate
from entities.search.query import Condition, Node, Query
from entities.search.reads import Driver, Reads, drivers
from entities.search.statistics import TenantStatistics

PlanName: TypeAlias = Literal["walk", "gin", "drive", "scan"]

# A plan that was expected to read few rows may read as many as these before another takes over.
ROWS_MIN: Final = 5_000
# A smaller tenant is walked from end to end as fast, whatever its statistics say of its size.
_SCANNED_FROM: Final = 50_000
# A walk in an order that costs so much more for each entity may end in a scan at any size.
_SCAN_WORTH_MS: Final = 0.0002


@dataclass(frozen=True, slots=True)
class Plan:
    """name: what to do; rows_max: after so many rows the fallback takes over, inf where nothing could.

    documents: for gin, what a match contains at least one of; drivers, named: for drive, what a match satisfies one of,
    found by value or by name, or contains one of the documents; within: in each of which it is found as well;
    is_alone: the index of documents is not asked whose they are, see Note [Whose documents]; matches: how many are
    expected; cost_ms: expected; costs: of each plan that was possible.
    """

    name: PlanName
    rows_max: float = inf
    fallback: Plan | None = None
    documents: tuple[Document, ...] = ()
    drivers: tuple[Driver, ...] = ()
    named: tuple[Condition, ...] = ()
    within: tuple[Reads, ...] = ()
    is_alone: bool = False
    matches: float = 0.0
    cost_ms: float = 0.0
    costs: dict[PlanName, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Choice:
    """A plan that can answer. rows: documents it is expected to fetch."""

    cost_ms: float
    plan: Plan
    rows: float


def plan_choose(query: Query, statistics: TenantStatistics) -> Plan:
    """Return the plan expected to be cheapest."""
    size = max(statistics.entities, 1)
    where = node_of(query)
    share = share_estimate(where, statistics)
    choices = [choice for choice in (_gin(where, statistics), _drive(where, statistics)) if choice is not None]
    walk_ms = WALK_MS_PER_ROW[query.order_by]
    rows = walk_rows(query, share=share, size=size)
    choices.append(_Choice(PLAN_MS + walk_ms * rows, Plan("walk"), rows))
    scan_ms = SCAN_ALONE_MS_PER_ROW if statistics.is_alone else SCAN_MS_PER_ROW
    if size >= _SCANNED_FROM or walk_ms > SCAN_MS_PER_ROW + _SCAN_WORTH_MS:
        choices.append(_Choice(PLAN_MS + scan_ms * size, Plan("scan"), size))
    choices.sort(key=lambda choice: choice.cost_ms)
    costs: dict[PlanName, float] = {choice.plan.name: round(choice.cost_ms, 2) for choice in choices}
    fallback: Plan | None = None
    for place, choice in reversed(list(enumerate(choices))):
        rows_max = inf
        if fallback is not None:
            per_row = walk_ms if choice.plan.name == "walk" else FETCH_MS_PER_ROW + FETCH_MS_PER_PAGE
            rows_max = max(ROWS_MIN, 2 * choice.rows, 2 * choices[place + 1].cost_ms / per_row)
        fallback = replace(
            choice.plan,
            rows_max=rows_max,
            fallback=fallback,
            matches=share * size,
            cost_ms=choice.cost_ms,
            costs=costs,
        )
    assert fallback is not None  # noqa: S101  # A walk or a scan is always possible.
    return fallback


def walk_rows(query: Query, *, share: float, size: int) -> float:
    """How many entities a walk is expected to test until the page is full, or all are tested."""
    return min(float(size), (query.limit + 1) / max(share, 0.1 / size))


def _gin(where: Node, statistics: TenantStatistics) -> _Choice | None:
    documents = containments(where)
    if not documents:
        return None
    asked = look_up(documents, statistics)
    is_alone = statistics.is_alone
    cost = PLAN_MS + look_up_ms(asked.postings, asked.rows, max(statistics.entities, 1), is_alone=is_alone)
    return _Choice(cost, Plan("gin", documents=asked.documents, is_alone=is_alone), asked.rows)


def _drive(where: Node, statistics: TenantStatistics) -> _Choice | None:
    reads = drivers(where, statistics)
    if reads is None or not (reads.drivers or reads.named):
        return None
    size = max(statistics.entities, 1)
    plan = replace(drive_plan(reads), is_alone=statistics.is_alone)
    return _Choice(PLAN_MS + reads.cost_ms(size, is_alone=statistics.is_alone), plan, reads.rows(size))


def drive_plan(reads: Reads) -> Plan:
    """The plan that reads these indexes."""
    return Plan("drive", drivers=reads.drivers, documents=reads.documents, named=reads.named, within=reads.within)
