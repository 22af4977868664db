"""In which order conditions are cheapest to test: PostgreSQL tests them as written, and only as far as needed. Pure."""

from __future__ import annotations

from typing import Final

from entities.search.estimate import node_share
from entities.search.query import OWN_FIELDS, AtLeast, Condition, Node, Not
from entities.search.statistics import TenantStatistics
from entities.values import value_type

# What tests cost beside each other, in microseconds: an instant is parsed from its text.
_OWN_FIELD: Final = 0.02
_INSTANT: Final = 2.8
_OPERATORS: Final = {"gt": 0.25, "ge": 0.25, "lt": 0.25, "le": 0.25, "is_type": 0.3, "prefix": 0.1, "contains": 0.1}
_OTHERS: Final = 0.05
# What always holds, or never, would divide by nothing.
_SHARE_MIN: Final = 0.001


def where_ordered(node: Node, statistics: TenantStatistics) -> Node:
    """The same condition; of what must all hold, first what costs little and often fails, of `any` what often holds."""
    match node:
        case Not(node=inner):
            return Not(where_ordered(inner, statistics))
        case AtLeast(n=n, nodes=nodes):
            ordered = [where_ordered(child, statistics) for child in nodes]
            if 0 < n == len(nodes):
                ordered.sort(key=lambda child: _cost(child) / max(1 - node_share(child, statistics), _SHARE_MIN))
            elif n == 1:
                ordered.sort(key=lambda child: _cost(child) / max(node_share(child, statistics), _SHARE_MIN))
            return AtLeast(n, tuple(ordered))
        case _:
            return node


def _cost(node: Node) -> float:
    match node:
        case Condition(attribute=name) if name in OWN_FIELDS:
            return _OWN_FIELD
        case Condition(operator=operator, value=value):
            values = value if isinstance(value, tuple) else () if value is None else (value,)
            if operator not in {"prefix", "contains"} and any(value_type(one) == "timestamp" for one in values):
                return _INSTANT
            return _OPERATORS.get(operator, _OTHERS)
        case Not(node=inner):
            return _cost(inner)
        case AtLeast(nodes=nodes):
            return sum(map(_cost, nodes))
