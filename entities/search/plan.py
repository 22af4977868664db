"""How a search runs: a pure function from a query and the tenant's statistics to a plan.

# Note [Four plans]
walk   read the tenant's entities in the order asked for and test each, until the page is full: cheap where many match.
       It goes in stages, and after each thinks again: what it has seen is worth more than what was expected.
       External ids are in order in `entity_keys` only; each document is then looked up.
gin    look up documents that contain the equalities which every match must have, test and sort them: cheap where few
       have them. For k-of-n and `any`, one containment for each way to satisfy it.
drive  read the ids of the entities that may match from value indexes, test and sort their documents: for ranges. Where
       n of m must hold, m - n + 1 of them are read: no match can miss them all. Conditions without a value index are
       looked up in the index of documents, if they are equalities, or in that of names, which tells who has a value
       at all: for rare names.
scan   read the whole tenant and sort: where few match, nothing drives, and looking up documents in order costs more.

A plan that may prove wrong has a limit of rows, and another plan takes over there: a wrong guess costs at most about
twice that plan. Every plan gives the same page.

Costs are milliseconds on the reference machine (`manage.py bench search` prints how well they fit); only their ratios
matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, product
from math import comb, exp, inf
from typing import Final, Literal, TypeAlias

import orjson

from entities.search.estimate import RANGE, all_share, condition_share, node_of, share_estimate
from entities.search.query import OWN_FIELDS, AtLeast, Condition, Node, OrderField, Query
from entities.search.statistics import TenantStatistics
from entities.values import Value, value_type

PlanName: TypeAlias = Literal["walk", "gin", "drive", "scan"]

# What each statement costs whatever it reads.
PLAN_MS: Final = 2.0
# An entity tested: in the order of an index, and in no order.
WALK_MS_PER_ROW: Final[dict[OrderField, float]] = {
    "updated_at": 0.0007, "entity_id": 0.0007, "created_at": 0.001, "external_id": 0.0025,
}  # fmt: skip
SCAN_MS_PER_ROW: Final = 0.0006
# A walk in an order that costs so much more for each entity may end in a scan.
_SCAN_WORTH_MS: Final = 0.0002
# A posting read; an id read from a value index and looked up.
GIN_MS_PER_POSTING: Final = 0.00007
DRIVE_MS_PER_ID: Final = 0.0025
# A value found by its name: its row lies on a page that hardly holds another one.
NAMED_MS_PER_VALUE: Final = 0.003
# A document fetched and tested, and a page of documents that no one has looked at for long.
FETCH_MS_PER_ROW: Final = 0.0007
FETCH_MS_PER_PAGE: Final = 0.002
ROWS_PER_PAGE: Final = 19
# Of a common value's postings, a rarer value's lets so many be skipped.
_SKIPPED_BEYOND: Final = 3
# A plan that was expected to read few rows may read as many as these before another takes over.
ROWS_MIN: Final = 5_000
# Beyond this many alternatives a GIN search is as much work as a scan.
CONTAINMENTS_MAX: Final = 24
DRIVERS_MAX: Final = 24
# In the index, longer values are not; nor does anybody type them.
_DRIVER_MAX_BYTES: Final = 1_000

Document: TypeAlias = dict[str, Value]
# Conditions on one attribute, all of which one read of its index tests: an equality, a prefix, both ends of a range.
Driver: TypeAlias = tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """name: what to do; rows_max: after so many rows the fallback takes over, inf where nothing could.

    documents: for gin, what a match contains at least one of; drivers, named: for drive, what a match satisfies one of,
    found by value or by name, or contains one of the documents; matches: how many are expected; cost_ms: expected;
    costs: of each plan that was possible.
    """

    name: PlanName
    rows_max: float = inf
    fallback: Plan | None = None
    documents: tuple[Document, ...] = ()
    drivers: tuple[Driver, ...] = ()
    named: tuple[Condition, ...] = ()
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
    if walk_ms > SCAN_MS_PER_ROW + _SCAN_WORTH_MS:
        choices.append(_Choice(PLAN_MS + SCAN_MS_PER_ROW * size, Plan("scan"), size))
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


def fetch_ms(rows: float, size: int) -> float:
    """What it costs to fetch so many of a tenant's documents, wherever they lie: many share a page."""
    pages = size / ROWS_PER_PAGE
    return FETCH_MS_PER_ROW * rows + FETCH_MS_PER_PAGE * pages * (1 - exp(-rows / pages))


def walk_rows(query: Query, *, share: float, size: int) -> float:
    """How many entities a walk is expected to test until the page is full, or all are tested."""
    return min(float(size), (query.limit + 1) / max(share, 0.1 / size))


# --- gin --------------------------------------------------------------------------------------------------------------


def _gin(where: Node, statistics: TenantStatistics) -> _Choice | None:
    documents = containments(where)
    if not documents:
        return None
    size = max(statistics.entities, 1)
    postings, rows = 0.0, 0.0
    kept: dict[bytes, Document] = {}
    for document in documents:
        chosen, read = _narrowed(document, statistics)
        text = orjson.dumps(chosen, option=orjson.OPT_SORT_KEYS)
        if text not in kept:
            kept[text] = chosen
            postings += read
            rows += size * all_share([Condition(name, "eq", value) for name, value in chosen.items()], statistics)
    rows = min(rows, size)
    cost = PLAN_MS + GIN_MS_PER_POSTING * postings + fetch_ms(rows, size)
    return _Choice(cost, Plan("gin", documents=tuple(kept.values())), rows)


def _narrowed(document: Document, statistics: TenantStatistics) -> tuple[Document, float]:
    """The part of the document that is worth looking up, rarest values first, and how many postings that reads.

    A common value's postings cost more to read than the documents that they would spare.
    """
    size = max(statistics.entities, 1)
    conditions = sorted(
        (Condition(name, "eq", value) for name, value in document.items()),
        key=lambda condition: condition_share(condition, statistics),
    )
    chosen = conditions[:1]
    postings = rows = condition_share(conditions[0], statistics) * size
    for condition in conditions[1:]:
        read = min(condition_share(condition, statistics) * size, _SKIPPED_BEYOND * rows)
        left = all_share([*chosen, condition], statistics) * size
        if GIN_MS_PER_POSTING * read < fetch_ms(rows, size) - fetch_ms(left, size):
            chosen.append(condition)
            postings, rows = postings + read, left
    return {condition.attribute: document[condition.attribute] for condition in chosen}, postings


def containments(node: Node) -> list[Document] | None:
    """Documents such that every match contains at least one of them; None where no such short list exists.

    An equality of a timestamp is not a containment: one instant has several spellings.
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


# --- drive ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reads:
    """Index reads such that every match of a node is in at least one of them.

    drivers: of value indexes, with the share of the entities that they find together, at the most; documents: what is
    looked up in the index of documents beside them, with theirs; named: in the index of names, with theirs, and the
    share of the entities that have a value of such a name.
    """

    drivers: tuple[Driver, ...] = ()
    share: float = 0.0
    documents: tuple[Document, ...] = ()
    documents_share: float = 0.0
    named: tuple[Condition, ...] = ()
    named_share: float = 0.0
    named_present: float = 0.0

    @property
    def weight(self) -> float:
        """By what it costs: a document that was looked up is read once more, and so is the row of a value."""
        return self.share + 2 * self.documents_share + self.named_share + self.named_present

    @property
    def count(self) -> int:
        return len(self.drivers) + len(self.documents) + len(self.named)

    def __add__(self, other: Reads) -> Reads:
        return Reads(
            self.drivers + other.drivers,
            self.share + other.share,
            self.documents + other.documents,
            self.documents_share + other.documents_share,
            self.named + other.named,
            self.named_share + other.named_share,
            self.named_present + other.named_present,
        )


def _drive(where: Node, statistics: TenantStatistics) -> _Choice | None:
    reads = drivers(where, statistics)
    if reads is None or not (reads.drivers or reads.named):
        return None
    size = max(statistics.entities, 1)
    ids, looked_up = min(1.0, reads.share + reads.named_share) * size, min(1.0, reads.documents_share) * size
    rows = min(ids + looked_up, size)
    cost = PLAN_MS + DRIVE_MS_PER_ID * rows + fetch_ms(rows, size)
    if looked_up:
        cost += GIN_MS_PER_POSTING * looked_up + fetch_ms(looked_up, size)
    cost += NAMED_MS_PER_VALUE * reads.named_present * size
    plan = Plan("drive", drivers=reads.drivers, documents=reads.documents, named=reads.named)
    return _Choice(cost, plan, rows)


def drivers(node: Node, statistics: TenantStatistics) -> Reads | None:
    """The most selective reads of indexes for a node; None where there are none. Documents alone are for `gin`."""
    match node:
        case Condition():
            if _drivable(node, statistics):
                return Reads(((node,),), _driver_share((node,), statistics))
            return _documents_of(node, statistics) or _named_of(node, statistics)
        case AtLeast(n=n, nodes=nodes) if n > 0:
            found = [reads for child in nodes if (reads := drivers(child, statistics)) is not None]
            if n == len(nodes):
                # Of all that must hold one is enough: where no value index knows one, `gin` does better.
                found = [reads for reads in found if reads.drivers or reads.named] + _ranges(nodes, statistics)
            # A match that misses this many of them satisfies too few.
            needed = len(nodes) - n + 1
            if len(found) < needed:
                return None
            together = sum(sorted(found, key=lambda reads: reads.weight)[:needed], Reads())
            return together if together.count <= DRIVERS_MAX else None
        case _:
            return None


def _documents_of(condition: Condition, statistics: TenantStatistics) -> Reads | None:
    documents = containments(condition)
    if not documents:
        return None
    return Reads(documents=tuple(documents), documents_share=condition_share(condition, statistics))


def _named_of(condition: Condition, statistics: TenantStatistics) -> Reads | None:
    known = statistics.attributes.get(condition.attribute)
    if condition.operator == "missing" or condition.attribute in OWN_FIELDS:
        return None
    present = 0.0 if known is None else known.present
    # Of the value's row, ranges are tested at once; whatever else is asked, the document knows.
    share = condition_share(condition, statistics) if condition.operator in RANGE else present
    return Reads(named=(condition,), named_share=share, named_present=present)


def _ranges(nodes: Sequence[Node], statistics: TenantStatistics) -> list[Reads]:
    """Both ends of a range, where two conditions on one attribute give them."""
    ends: dict[tuple[str, str], list[Condition]] = {}
    for child in nodes:
        if isinstance(child, Condition) and child.operator in RANGE and _drivable(child, statistics):
            assert isinstance(child.value, int | float | str)  # noqa: S101  # The parser lets nothing else through.
            ends.setdefault((child.attribute, value_type(child.value)), []).append(child)
    both = [tuple(conditions) for conditions in ends.values() if len(conditions) > 1]
    return [Reads((driver,), _driver_share(driver, statistics)) for driver in both]


def _drivable(condition: Condition, statistics: TenantStatistics) -> bool:
    """Whether an index of ids by value holds every entity that satisfies the condition."""
    value = condition.value
    if condition.attribute == "@external_id":
        return condition.operator in {"eq", "in"}
    known = statistics.attributes.get(condition.attribute)
    if known is None or not known.is_indexed or value is None:
        return False
    if condition.operator == "in":
        return isinstance(value, tuple) and all(map(_is_short, value))
    # Not a prefix: a text that begins so may be longer than what the index takes.
    return (condition.operator in RANGE or condition.operator == "eq") and _is_short_one(value)


def _is_short_one(value: Value | tuple[Value, ...]) -> bool:
    return not isinstance(value, tuple) and _is_short(value)


def _is_short(value: Value) -> bool:
    return not isinstance(value, str) or len(value.encode()) <= _DRIVER_MAX_BYTES


def _driver_share(driver: Driver, statistics: TenantStatistics) -> float:
    if len(driver) == 1:
        return condition_share(driver[0], statistics)
    # What lies between both ends: what is left when each end cuts off its part.
    known = statistics.attributes.get(driver[0].attribute)
    present = 0.0 if known is None else known.present
    if known is not None and not isinstance(driver[0].value, str):
        present *= known.numbers
    cut = sum(max(present - condition_share(condition, statistics), 0.0) for condition in driver)
    return max(min(max(present - cut, 0.0), all_share(driver, statistics)), 0.5 / max(statistics.entities, 1))
