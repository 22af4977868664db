"""How a search runs: a pure function from a query and the tenant's statistics to a plan.

# Note [Three plans]
walk   read the tenant's entities in the order asked for, chunk by chunk, testing each: cheap where many match, since
       the page is soon full. It has a budget of rows; when that is spent, the cheapest other plan takes over: a wrong
       guess costs at most about twice that plan.
gin    look up documents that contain the equalities which every match must have, test and sort them: cheap where few
       have them. For k-of-n and `any`, one containment for each way to satisfy it.
drive  read one indexed attribute's values in a range or at a value, then test and sort the documents: for ranges.
scan   read the whole tenant and sort: where the order asked for has no index and nothing else drives.

Costs are milliseconds on the reference machine (`manage.py bench search`); only their ratios matter.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import combinations, product
from math import comb, inf
from typing import Final, Literal, TypeAlias

import orjson

from entities.search.query import OWN_FIELDS, AtLeast, Condition, Node, Not, OrderField, Query
from entities.search.statistics import AttributeStatistics, TenantStatistics
from entities.values import Value, value_type

PlanName: TypeAlias = Literal["walk", "gin", "drive", "scan"]

WALK_MS_PER_ROW: Final = 0.0025
GIN_MS_PER_POSTING: Final = 0.0001
GIN_MS_PER_MATCH: Final = 0.004
DRIVE_MS_PER_ROW: Final = 0.005
SCAN_MS_PER_ROW: Final = 0.004
PLAN_MS: Final = 0.5
WALK_ROWS_MIN: Final = 5_000
# Beyond this many alternatives a GIN search is as much work as a scan.
CONTAINMENTS_MAX: Final = 24
_WALKABLE: Final[frozenset[OrderField]] = frozenset({"updated_at", "entity_id"})
_RANGE: Final = frozenset({"gt", "ge", "lt", "le"})
# Without statistics: an equality is selective, a range is not.
_GUESS: Final = {"eq": 0.01, "in": 0.05, "ne": 0.9, "exists": 0.5, "missing": 0.5, "contains": 0.05, "prefix": 0.05}

Document: TypeAlias = dict[str, Value]


@dataclass(frozen=True, slots=True)
class Plan:
    """name: what to do; rows_max: a walk's budget, inf where nothing could take over; fallback: what takes over.

    documents: for gin, what a match contains at least one of; driver: for drive; matches: how many are expected;
    costs: expected milliseconds of each plan that was possible.
    """

    name: PlanName
    rows_max: float = inf
    fallback: Plan | None = None
    documents: tuple[Document, ...] = ()
    driver: Condition | None = None
    matches: float = 0.0
    costs: dict[PlanName, float] = field(default_factory=dict)


def plan_choose(query: Query, statistics: TenantStatistics) -> Plan:
    """Return the plan expected to be cheapest."""
    size = max(statistics.entities, 1)
    share = node_share(query.where, statistics)
    if query.entity_type is not None:
        share *= 0.5  # Types are few; nothing counts them yet.
    matches = share * size
    alternatives: list[tuple[float, Plan]] = []
    documents = containments(query.where)
    if documents:
        shares = [_document_share(document, statistics) for document in documents]
        postings = sum(
            _share_of(Condition(name, "eq", value), statistics) * size
            for document in documents
            for name, value in document.items()
        )
        cost = PLAN_MS + GIN_MS_PER_POSTING * postings + GIN_MS_PER_MATCH * min(1.0, sum(shares)) * size
        alternatives.append((cost, Plan("gin", documents=tuple(documents), matches=matches)))
    driver = _driver(query.where, statistics)
    if driver is not None:
        cost = PLAN_MS + DRIVE_MS_PER_ROW * _share_of(driver, statistics) * size
        alternatives.append((cost, Plan("drive", driver=driver, matches=matches)))
    walkable = query.order_by in _WALKABLE
    if not walkable:
        alternatives.append((PLAN_MS + SCAN_MS_PER_ROW * size, Plan("scan", matches=matches)))
    costs: dict[PlanName, float] = {plan.name: round(cost, 2) for cost, plan in alternatives}
    best = min(alternatives, key=lambda item: item[0], default=None)
    if not walkable and best is not None:
        return _with_costs(best[1], costs)
    walk_rows = min(float(size), (query.limit + 1) / max(share, 0.1 / size))
    walk_cost = PLAN_MS + WALK_MS_PER_ROW * walk_rows
    costs["walk"] = round(walk_cost, 2)
    if best is not None and best[0] < walk_cost:
        return _with_costs(best[1], costs)
    if best is None:
        return Plan("walk", matches=matches, costs=costs)
    rows_max = max(WALK_ROWS_MIN, 2 * best[0] / WALK_MS_PER_ROW)
    return Plan("walk", rows_max=rows_max, fallback=best[1], matches=matches, costs=costs)


def _with_costs(plan: Plan, costs: dict[PlanName, float]) -> Plan:
    return Plan(plan.name, plan.rows_max, plan.fallback, plan.documents, plan.driver, plan.matches, costs)


def containments(node: Node) -> list[Document] | None:
    """Documents such that every match contains at least one of them; None where no such short list exists.

    An equality of a timestamp is no containment: one instant has several spellings.
    """
    match node:
        case Condition(attribute=name) if name in OWN_FIELDS:
            return None
        case Condition(attribute=name, operator="eq", value=str() | int() | float() as value):
            return [{name: value}] if _contained(value) else None
        case Condition(attribute=name, operator="in", value=tuple() as values):
            return (
                [{name: item} for item in values]
                if len(values) <= CONTAINMENTS_MAX and all(map(_contained, values))
                else None
            )
        case AtLeast(n=n, nodes=nodes) if n > 0:
            return _containments_of_branch(n, nodes)
        case _:
            return None


def _containments_of_branch(n: int, nodes: tuple[Node, ...]) -> list[Document] | None:
    lists = [found for child in nodes if (found := containments(child)) is not None]
    # So many of the ones that we can look up must hold, even if all others do.
    needed = n - (len(nodes) - len(lists))
    if needed < 1:
        return None
    # By their JSON text: to Python, 1 and true are equal.
    merged_by_text: dict[bytes, Document] = {}
    # Bounded before it is begun: C(40, 10) ways of which every one contradicts itself would never end.
    if comb(len(lists), needed) > CONTAINMENTS_MAX:
        return None
    for chosen in combinations(sorted(lists, key=len), needed):
        # Merging narrows the search; too many ways to merge: one of the lists alone must hold as well.
        if len(merged_by_text) > CONTAINMENTS_MAX:
            return None
        ways = 1
        kept: list[list[Document]] = []
        for documents in chosen:
            if kept and ways * len(documents) > CONTAINMENTS_MAX:
                break
            ways *= len(documents)
            kept.append(documents)
        for parts in product(*kept):
            merged = _merge(parts)
            if merged is not None:
                merged_by_text[orjson.dumps(merged, option=orjson.OPT_SORT_KEYS)] = merged
    return list(merged_by_text.values()) if 0 < len(merged_by_text) <= CONTAINMENTS_MAX else None


def _merge(parts: tuple[Document, ...]) -> Document | None:
    """All of the documents at once; None where they contradict each other."""
    merged: Document = {}
    for part in parts:
        for name, value in part.items():
            if name in merged and (merged[name] != value or isinstance(merged[name], bool) != isinstance(value, bool)):
                return None
            merged[name] = value
    return merged


def _contained(value: Value) -> bool:
    return value_type(value) != "timestamp"


def _driver(node: Node, statistics: TenantStatistics) -> Condition | None:
    """The most selective condition on external_id or an indexed attribute that every match must satisfy."""
    required: tuple[Node, ...] = ()
    match node:
        case Condition():
            required = (node,)
        case AtLeast(n=n, nodes=nodes) if n == len(nodes):
            required = nodes
    usable = [
        child
        for child in required
        if isinstance(child, Condition)
        and (child.operator in _RANGE or child.operator == "eq")
        and (known := statistics.attributes.get(child.attribute)) is not None
        and known.is_indexed
        # Longer values are not in the index.
        and (not isinstance(child.value, str) or len(child.value.encode()) <= 1000)
    ]
    keyed = [
        child
        for child in required
        if isinstance(child, Condition) and child.attribute == "@external_id" and child.operator in {"eq", "in"}
    ]
    return min(keyed + usable, key=lambda child: _share_of(child, statistics), default=None)


def node_share(node: Node, statistics: TenantStatistics) -> float:
    """The share of the tenant's entities expected to match, taking conditions for independent."""
    match node:
        case Condition():
            return _share_of(node, statistics)
        case Not(node=inner):
            return 1.0 - node_share(inner, statistics)
        case AtLeast(n=n, nodes=nodes):
            # distribution[i]: the probability that exactly i of the nodes seen so far hold.
            distribution = [1.0]
            for child in nodes:
                share = node_share(child, statistics)
                grown = [0.0] * (len(distribution) + 1)
                for held, probability in enumerate(distribution):
                    grown[held] += probability * (1 - share)
                    grown[held + 1] += probability * share
                distribution = grown
            return sum(distribution[max(n, 0) :])


def _document_share(document: Document, statistics: TenantStatistics) -> float:
    share = 1.0
    for name, value in document.items():
        share *= _share_of(Condition(name, "eq", value), statistics)
    return share


def _share_of(condition: Condition, statistics: TenantStatistics) -> float:
    if condition.attribute == "@external_id" and condition.operator in {"eq", "in"}:
        wanted = len(condition.value) if isinstance(condition.value, tuple) else 1
        return min(1.0, wanted / max(statistics.entities, 1))
    if condition.attribute in OWN_FIELDS:
        return 0.5
    known = statistics.attributes.get(condition.attribute)
    if known is None:
        # Nobody ever used the name: only `missing` holds.
        return 1.0 if condition.operator == "missing" else 0.0
    value = condition.value
    match condition.operator:
        case "exists":
            return known.present
        case "missing":
            return 1.0 - known.present
        case "eq" if not isinstance(value, tuple) and value is not None:
            return known.present * _value_share(known, value)
        case "ne" if not isinstance(value, tuple) and value is not None:
            return known.present * (1.0 - _value_share(known, value))
        case "in" if isinstance(value, tuple):
            return known.present * min(1.0, sum(_value_share(known, item) for item in value))
        case "gt" | "ge" | "lt" | "le" if isinstance(value, int | float) and known.histogram:
            below = bisect_left(known.histogram, value) / len(known.histogram)
            return known.present * (below if condition.operator in {"lt", "le"} else 1.0 - below)
        case "gt" | "ge" | "lt" | "le":
            return known.present / 3
        case operator:
            return known.present * _GUESS.get(operator, 0.5)


def _value_share(known: AttributeStatistics, value: Value) -> float:
    for common, share in known.most_common:
        if common == value and isinstance(common, bool) == isinstance(value, bool):
            return share
    if not known.cardinality:
        return _GUESS["eq"]
    rest = max(1.0 - sum(share for _, share in known.most_common), 0.0)
    return rest / max(known.cardinality - len(known.most_common), 1)
