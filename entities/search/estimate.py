"""How many entities will match: shares of single conditions by statistics, of combined ones by the sample. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final

from entities.search.query import OWN_FIELDS, AtLeast, Condition, Node, Not, Query
from entities.search.statistics import AttributeStatistics, TenantStatistics
from entities.values import Value

RANGE: Final = frozenset({"gt", "ge", "lt", "le"})
# Without statistics: an equality is selective, a range is not.
_GUESS: Final = {"eq": 0.01, "in": 0.05, "ne": 0.9, "exists": 0.5, "missing": 0.5, "contains": 0.05, "prefix": 0.05}
# So many entities of the sample that match say more than any product of shares.
_HITS_ENOUGH: Final = 10
# Entities of the sample, of a combination that none of it holds.
_UNSEEN: Final = 0.35
_UPWARD: Final = frozenset({"gt", "ge"})


def node_of(query: Query) -> Node:
    """The query's whole condition: its tree, and its entity_type."""
    if query.entity_type is None:
        return query.where
    return AtLeast(2, (Condition("@entity_type", "eq", query.entity_type), query.where))


def share_estimate(node: Node, statistics: TenantStatistics) -> float:
    """The share of the tenant's entities expected to satisfy the node.

    Where the sample holds enough of them, it says how many. Where it holds few or none, it still says how many there
    can be: the product of the conditions' shares, which takes them for independent, is kept within that.
    """
    independent = node_share(node, statistics)
    sample = statistics.sample
    if sample is None or isinstance(node, Condition):
        return independent
    return _settle(independent, sample.hits(node), sample.size)


def _settle(share: float, hits: int, size: int) -> float:
    if hits >= _HITS_ENOUGH:
        return hits / size
    # What was never seen together may be impossible together: an error code on what has no error.
    most = hits + 0.5 if hits else _UNSEEN
    return max(min(share, most / size), hits / (2 * size))


def node_share(node: Node, statistics: TenantStatistics) -> float:
    """The same, taking conditions for independent."""
    match node:
        case Condition():
            return condition_share(node, statistics)
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


def all_share(conditions: Sequence[Condition], statistics: TenantStatistics) -> float:
    """The share of the entities expected to satisfy all of these conditions."""
    if len(conditions) == 1:
        return condition_share(conditions[0], statistics)
    return share_estimate(AtLeast(len(conditions), tuple(conditions)), statistics)


def condition_share(condition: Condition, statistics: TenantStatistics) -> float:
    if condition.attribute == "@external_id" and condition.operator in {"eq", "in"}:
        wanted = len(condition.value) if isinstance(condition.value, tuple) else 1
        return min(1.0, wanted / max(statistics.entities, 1))
    if condition.attribute in OWN_FIELDS:
        sampled = _sampled(condition, statistics)
        return 0.5 if sampled is None else sampled
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
            return _equal_share(known, condition, value, statistics)
        case "ne" if not isinstance(value, tuple) and value is not None:
            return known.present * (1.0 - _value_share(known, value))
        case "in" if isinstance(value, tuple):
            return known.present * min(1.0, sum(_value_share(known, item) for item in value))
        case "gt" | "ge" | "lt" | "le" if isinstance(value, int | float) and len(known.histogram) > 1:
            below = _below(known.histogram, float(value), is_inclusive=condition.operator in {"gt", "le"})
            share = known.present * known.numbers * (1.0 - below if condition.operator in _UPWARD else below)
            # Between two bounds of the histogram lie many values; the sample knows some of them.
            sample = statistics.sample
            if sample is None or condition.attribute not in sample.columns:
                return share
            return _settle(share, sample.hits(condition), sample.size)
        case operator:
            sampled = _sampled(condition, statistics)
            if sampled is not None:
                return sampled
            return known.present * (1 / 3 if operator in RANGE else _GUESS.get(operator, 0.5))


def _equal_share(known: AttributeStatistics, condition: Condition, value: Value, statistics: TenantStatistics) -> float:
    share = known.present * _value_share(known, value)
    sample = statistics.sample
    if sample is None or condition.attribute not in sample.columns:
        return share
    # Taken for as common as any other that is not among the most common ones; the sample knows which of them are more.
    hits = sample.hits(condition)
    is_common = any(_is_same(common, value) for common, _ in known.most_common)
    return share if is_common or hits < _HITS_ENOUGH else hits / sample.size


def _sampled(condition: Condition, statistics: TenantStatistics) -> float | None:
    """What the sample says of one condition; never quite nothing, as it may have missed the few. None without one."""
    if statistics.sample is None or condition.attribute not in statistics.sample.columns:
        return None
    return max(statistics.sample.hits(condition), 0.5) / statistics.sample.size


def _below(bounds: Sequence[float], value: float, *, is_inclusive: bool) -> float:
    """The share of the numbers below the value: whole buckets, and its part of the bucket it falls into."""
    place = (bisect_right if is_inclusive else bisect_left)(bounds, value)
    if place == 0:
        return 0.0
    if place == len(bounds):
        return 1.0
    low, high = bounds[place - 1], bounds[place]
    part = (value - low) / (high - low) if high > low else 0.5
    return (place - 1 + part) / (len(bounds) - 1)


def _is_same(left: Value, right: Value) -> bool:
    """To Python, 1 and true are equal."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def _value_share(known: AttributeStatistics, value: Value) -> float:
    for common, share in known.most_common:
        if _is_same(common, value):
            return share
    if not known.cardinality:
        return _GUESS["eq"]
    rest = max(1.0 - sum(share for _, share in known.most_common), 0.0)
    return rest / max(known.cardinality - len(known.most_common), 1)
