"""What a drive reads: indexes that tell which entities may match, before any document is looked at. Pure, no database.

Ids of several such reads are intersected where that is cheaper than to fetch what one of them finds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from entities.search.containments import Document, containments, look_up
from entities.search.costs import (
    INTERSECT_MS_PER_ID,
    NAMED_MS_PER_VALUE,
    VALUE_MS_PER_ID,
    by_id_ms,
    look_up_ms,
)
from entities.search.estimate import RANGE, all_share, condition_share, share_estimate
from entities.search.query import OWN_FIELDS, AtLeast, Condition, Node
from entities.search.statistics import TenantStatistics
from entities.values import Value, value_type

DRIVERS_MAX: Final = 24
# In the index, longer values are not; nor does anybody type them.
_DRIVER_MAX_BYTES: Final = 1_000

# Conditions on one attribute, all of which one read of its index tests: an equality, a prefix, both ends of a range.
Driver: TypeAlias = tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Reads:
    """Index reads such that every match of a node is in at least one of them, and in each of `within`.

    drivers: of value indexes, with the share of the entities that they find together, at the most; documents: what is
    looked up in the index of documents beside them, with theirs; named: in the index of names, with theirs, and the
    share of the entities that have a value of such a name. within: of indexes that know ids without any document;
    share_within: what is left of all together.
    """

    drivers: tuple[Driver, ...] = ()
    share: float = 0.0
    documents: tuple[Document, ...] = ()
    documents_share: float = 0.0
    named: tuple[Condition, ...] = ()
    named_share: float = 0.0
    named_present: float = 0.0
    within: tuple[Reads, ...] = ()
    share_within: float = 1.0

    @property
    def count(self) -> int:
        return len(self.drivers) + len(self.documents) + len(self.named)

    @property
    def total(self) -> float:
        """The share of the entities whose ids are found, before they are intersected."""
        return min(1.0, self.share + self.documents_share + self.named_share)

    def rows(self, size: int) -> float:
        """How many documents are fetched in the end."""
        return min(self.total, self.share_within) * size

    def ids_ms(self, size: int, *, is_alone: bool) -> float:
        """What it costs to find the ids."""
        documents = self.documents_share * size
        found = VALUE_MS_PER_ID * self.share * size + NAMED_MS_PER_VALUE * self.named_present * size
        return found + (look_up_ms(documents, documents, size, is_alone=is_alone) if documents else 0.0)

    def cost_ms(self, size: int, *, is_alone: bool) -> float:
        """What it costs to find the ids, and to test their documents."""
        found = self.ids_ms(size, is_alone=is_alone) + by_id_ms(self.rows(size), size)
        for reads in self.within:
            found += reads.ids_ms(size, is_alone=is_alone) + INTERSECT_MS_PER_ID * (reads.total + self.total) * size
        return found

    def __add__(self, other: Reads) -> Reads:
        """What is in either; what only one of them is within no longer counts."""
        return Reads(
            self.drivers + other.drivers,
            self.share + other.share,
            self.documents + other.documents,
            self.documents_share + other.documents_share,
            self.named + other.named,
            self.named_share + other.named_share,
            self.named_present + other.named_present,
        )


def drivers(node: Node, statistics: TenantStatistics) -> Reads | None:
    """The cheapest reads of indexes for a node; None where there are none. Documents alone are for `gin`."""
    match node:
        case Condition():
            if _drivable(node, statistics):
                return Reads(((node,),), _driver_share((node,), statistics))
            return _documents_of(node, statistics) or _named_of(node, statistics)
        case AtLeast(n=n, nodes=nodes) if n > 0:
            each = [(child, reads) for child in nodes if (reads := drivers(child, statistics)) is not None]
            if n == len(nodes):
                # Of all that must hold one is enough: where no value index knows one, `gin` does better.
                found = [reads for _, reads in each if reads.drivers or reads.named]
                return _intersected(found + _ranges(nodes, statistics), statistics)
            return _covering(n, nodes, each, statistics)
        case _:
            return None


def _intersected(found: list[Reads], statistics: TenantStatistics) -> Reads | None:
    """The cheapest of reads each of which finds every match, within such of the others as spare more than they cost."""
    if not found:
        return None
    cost_ms = _costs(statistics)
    first, *others = sorted(found, key=cost_ms)
    best, claims = first, [_claim(first)]
    for reads in sorted(others, key=lambda reads: reads.total):
        if reads.documents or reads.count + best.count > DRIVERS_MAX:
            continue
        left = share_estimate(AtLeast(len(claims) + 1, (*claims, _claim(reads))), statistics)
        # What that one is within itself narrows no more than its own ids do.
        other = replace(reads, within=(), share_within=1.0)
        narrowed = replace(best, within=(*best.within, other), share_within=min(best.share_within, left))
        if cost_ms(narrowed) < cost_ms(best):
            best, claims = narrowed, [*claims, _claim(reads)]
    return best


def _costs(statistics: TenantStatistics) -> Callable[[Reads], float]:
    size = max(statistics.entities, 1)
    return lambda reads: reads.cost_ms(size, is_alone=statistics.is_alone)


def _claim(reads: Reads) -> Node:
    """What the entities that are found have in common: no more than that the index knows."""
    each: list[Node] = [AtLeast(len(driver), driver) for driver in reads.drivers]
    each += [AtLeast(len(document), _equalities(document)) for document in reads.documents]
    each += [one if one.operator in RANGE else Condition(one.attribute, "exists") for one in reads.named]
    return each[0] if len(each) == 1 else AtLeast(1, tuple(each))


def _equalities(document: Document) -> tuple[Condition, ...]:
    return tuple(Condition(name, "eq", value) for name, value in document.items())


def _covering(
    n: int, nodes: tuple[Node, ...], each: list[tuple[Node, Reads]], statistics: TenantStatistics
) -> Reads | None:
    """Where n of them must hold: reads none of which may miss a match that all others miss."""
    size = max(statistics.entities, 1)
    # A match that misses this many of them satisfies too few.
    needed = len(nodes) - n + 1
    cost_ms = _costs(statistics)
    each = sorted(each, key=lambda one: cost_ms(one[1]))
    ways = [sum((reads for _, reads in each[:needed]), Reads())] if len(each) >= needed else []
    # Or whatever misses fewer has n of the rest, and documents may tell who has.
    indexed = [one for one in each if not one[1].documents]
    for taken in range(1, min(needed, len(indexed) + 1)):
        chosen = [child for child, _ in indexed[:taken]]
        rest = tuple(child for child in nodes if not any(child is one for one in chosen))
        documents = containments(AtLeast(n, rest))
        if documents:
            asked = look_up(documents, statistics)
            beside = Reads(documents=asked.documents, documents_share=asked.rows / size)
            ways.append(sum((reads for _, reads in indexed[:taken]), beside))
    ways = [reads for reads in ways if reads.count <= DRIVERS_MAX]
    return min(ways, key=cost_ms, default=None)


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
