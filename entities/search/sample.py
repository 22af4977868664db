"""A sample of a tenant's entities, and what share of it satisfies a query. Pure, no database.

Shares of single conditions come from the statistics of their attributes; how conditions go together (a country with its
region, error codes with errors) only whole entities can tell.

# Note [Masks]
Which entities of the sample satisfy a node is one long integer with a byte for each entity, 0 or 1. So `and` and `or`
are one operation, and "at least n of" is a sum: 2,000 entities take a microsecond a node.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from entities.search.query import AtLeast, Condition, Node, Not
from entities.values import Value, value_type

Key: TypeAlias = tuple[str, Value | float]
# A sum of masks must fit a byte.
_NODES_MAX: Final = 255
# A mask takes 2 kB.
_MASKS_MAX: Final = 32


@dataclass(slots=True)
class Column:
    """One attribute in the sample. places: where each value stands; ordered: numbers, or instants, ascending."""

    size: int
    places: dict[Key, array[int]] = field(default_factory=dict)
    ordered: dict[str, tuple[list[float], list[int]]] = field(default_factory=dict)
    # Of conditions asked of late: people ask the same again.
    _masks: dict[tuple[Condition, str], int] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Sequence[Value | datetime | None]) -> Column:
        """The column of these values, one an entity; None where an entity has none."""
        column = cls(len(values))
        for place, value in enumerate(values):
            if value is not None:
                column.places.setdefault(_key(value), array("H")).append(place)
        for kind in ("number", "timestamp"):
            pairs = sorted(
                (float(value), place) for (of, value), places in column.places.items() if of == kind for place in places
            )
            column.ordered[kind] = ([value for value, _ in pairs], [place for _, place in pairs])
        return column

    def mask(self, condition: Condition) -> int:
        """Which entities satisfy the condition. See Note [Masks]."""
        # By its text, too: to Python, 1, 1.0 and true are equal.
        key = (condition, repr(condition.value))
        mask = self._masks.get(key)
        if mask is None:
            if len(self._masks) >= _MASKS_MAX:
                self._masks.clear()
            mask = self._masks[key] = self._computed(condition)
        return mask

    def _computed(self, condition: Condition) -> int:
        value = condition.value
        match condition.operator:
            case "exists":
                return self._mask(self.places.values())
            case "missing":
                return ones(self.size) - self._mask(self.places.values())
            case "eq" if value is not None and not isinstance(value, tuple):
                return self._equal((value,))
            case "ne" if value is not None and not isinstance(value, tuple):
                return self._mask(self.places.values()) - self._equal((value,))
            case "in" if isinstance(value, tuple):
                return self._equal(value)
            case "is_type":
                return self._mask(places for (kind, _), places in self.places.items() if kind == value)
            case "contains":
                return self._texts(lambda text: str(value) in text)
            case "prefix":
                return self._texts(lambda text: text.startswith(str(value)))
            case "gt" | "ge" | "lt" | "le" if value is not None and not isinstance(value, tuple):
                kind, operand = _key(value)
                values, places = self.ordered.get(kind, ([], []))
                cut = (bisect_right if condition.operator in {"gt", "le"} else bisect_left)(values, float(operand))
                return self._mask([places[cut:] if condition.operator in {"gt", "ge"} else places[:cut]])
        return 0

    def _equal(self, values: Iterable[Value]) -> int:
        found = (self.places.get(_key(value)) for value in values)
        return self._mask(places for places in found if places is not None)

    def _texts(self, test: Any) -> int:
        return self._mask(places for (kind, text), places in self.places.items() if kind == "string" and test(text))

    def _mask(self, places: Iterable[Iterable[int]]) -> int:
        held = bytearray(self.size)
        for some in places:
            for place in some:
                held[place] = 1
        return int.from_bytes(held, "little")


@dataclass(frozen=True, slots=True)
class Sample:
    """Entities drawn at random. columns: of the attributes that a query tests, and of the entity's own fields."""

    size: int
    columns: Mapping[str, Column]

    def hits(self, node: Node) -> int:
        """How many entities of the sample satisfy the node."""
        return self.mask(node).bit_count()

    def mask(self, node: Node) -> int:
        match node:
            case Condition(attribute=name):
                column = self.columns.get(name)
                return (column or Column(self.size)).mask(node)
            case Not(node=inner):
                return ones(self.size) - self.mask(inner)
            case AtLeast(n=n, nodes=nodes):
                return self._at_least(n, [self.mask(child) for child in nodes[:_NODES_MAX]])

    def _at_least(self, n: int, masks: list[int]) -> int:
        if n <= 0:
            return ones(self.size)
        total = sum(masks).to_bytes(self.size, "little")
        table = bytes(count >= n for count in range(256))
        return int.from_bytes(total.translate(table), "little")


def ones(size: int) -> int:
    """The mask of everything."""
    return int.from_bytes(b"\x01" * size, "little")


def _key(value: Value | datetime) -> Key:
    """What equal values have in common: their type, and the same text, number or instant."""
    if isinstance(value, datetime):
        return "timestamp", value.timestamp()
    kind = value_type(value)
    if kind != "timestamp":
        return kind, value
    try:
        return kind, datetime.fromisoformat(str(value)).astimezone(UTC).timestamp()
    except (ValueError, OverflowError):  # More decimals than Python reads, or a year 0: an estimate can do without it.
        return kind, 0.0
