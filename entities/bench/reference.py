"""What a search must answer, computed without SQL, indexes and planner: columns and masks in memory.

All entities of a tenant are read once, in the order of a page; a condition is then one pass over its column.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from django.db import connections

from entities.values import value_type

_PAGE: Final = 20_000
_COMPARE: Final = {"gt": pc.greater, "ge": pc.greater_equal, "lt": pc.less, "le": pc.less_equal}
# How the values of each type are kept: a text as the number of its first occurrence.
_KEPT: Final = {"string": "I", "number": "d", "boolean": "b", "timestamp": "d"}
_ARROW: Final = {"I": pa.uint32(), "d": pa.float64(), "b": pa.int8()}


@dataclass(slots=True)
class _Column:
    """The values of one attribute by type, null where an entity has none of that type."""

    kinds: dict[str, pa.Array]


@dataclass(slots=True)
class _Values:
    """The values of one attribute as they are read: of each type, which entities have one, and which. Some 12 bytes."""

    places: dict[str, array[int]] = field(default_factory=lambda: {kind: array("I") for kind in _KEPT})
    held: dict[str, array[Any]] = field(default_factory=lambda: {kind: array(code) for kind, code in _KEPT.items()})
    texts: dict[str, int] = field(default_factory=dict)

    def add(self, place: int, value: Any) -> None:
        kind = value_type(value)
        self.places[kind].append(place)
        self.held[kind].append(
            self.texts.setdefault(value, len(self.texts)) if kind == "string" else _comparable(value)
        )

    def column(self, size: int) -> _Column:
        kinds = {kind: _spread(size, self.places[kind], self.held[kind]) for kind in _KEPT}
        if self.texts:
            kinds["string"] = pa.array(list(self.texts), pa.string()).take(kinds["string"])
        else:
            kinds["string"] = _no_texts(size)
        kinds["boolean"] = kinds["boolean"].cast(pa.bool_())
        return _Column(kinds)


def _spread(size: int, places: array[int], held: array[Any]) -> pa.Array:
    """The values at their places, null elsewhere."""
    if not places:
        return _nulls(size, held.typecode)
    full, valid = array(held.typecode, bytes(held.itemsize * size)), bytearray(size)
    for place, value in zip(places, held, strict=True):
        full[place] = value
        valid[place] = 1
    values = pa.Array.from_buffers(_ARROW[held.typecode], size, [None, pa.py_buffer(full)])
    is_valid = pa.Array.from_buffers(pa.int8(), size, [None, pa.py_buffer(valid)]).cast(pa.bool_())
    return pc.if_else(is_valid, values, None)


@cache
def _no_texts(size: int) -> pa.Array:
    return pa.nulls(size, pa.string())


@cache
def _nulls(size: int, typecode: str) -> pa.Array:
    """Shared: most attributes have values of one type only."""
    return pa.nulls(size, _ARROW[typecode])


class Reference:
    """The entities of the bound tenant, newest update first.

    names: of the attributes that searches will ask for; of five million entities, the others would fill the memory.
    """

    def __init__(self, *, tenant_id: int, names: Collection[str]) -> None:
        self.ids = array("q")
        self._values = {name: _Values() for name in names}
        self._columns: dict[str, _Column] = {}
        self._masks: dict[bytes, pa.Array] = {}
        types = _Values()
        for place, (entity_id, entity_type, document) in enumerate(_entities(tenant_id)):
            self.ids.append(entity_id)
            types.add(place, entity_type)
            for name, value in orjson.loads(document).items():
                if (values := self._values.get(name)) is not None:
                    values.add(place, value)
        # Of each entity, how many of no conditions hold.
        self._none = pa.Array.from_buffers(pa.int8(), len(self.ids), [None, pa.py_buffer(bytes(len(self.ids)))])
        self._entity_types = types.column(len(self.ids)).kinds["string"]

    def page(self, body: dict[str, Any]) -> list[int]:
        """The ids of the first page of a search."""
        where = body["where"]
        mask = self._mask({"all": where} if isinstance(where, list) else where)
        if body.get("entity_type") is not None:
            mask = pc.and_(mask, pc.equal(self._entity_types, body["entity_type"]))
        places = pc.indices_nonzero(mask).slice(0, body["limit"]).to_pylist()
        return [self.ids[place] for place in places]

    def _mask(self, node: Any) -> pa.Array:
        match node:
            case {"all": nodes}:
                return self._at_least(len(nodes), nodes)
            case {"any": nodes}:
                return self._at_least(1, nodes)
            case {"at_least": n, "of": nodes}:
                return self._at_least(int(n), nodes)
            case {"not": inner}:
                return pc.invert(self._mask(inner))
            case [name, operator, *operand]:
                key = orjson.dumps(node)
                if key not in self._masks:
                    held = self._condition(self._column(name), operator, operand[0] if operand else None)
                    self._masks[key] = pc.fill_null(held, fill_value=False)
                return self._masks[key]
        raise ValueError(node)

    def _at_least(self, n: int, nodes: list[Any]) -> pa.Array:
        total = self._none
        for child in nodes:
            total = pc.add(total, pc.cast(self._mask(child), pa.int8()))
        return pc.greater_equal(total, n)

    def _condition(self, column: _Column, operator: str, operand: Any) -> pa.Array:
        if operator in {"exists", "missing"}:
            present = self._any([pc.is_valid(values) for values in column.kinds.values()])
            return present if operator == "exists" else pc.invert(present)
        if operator == "is_type":
            return pc.is_valid(column.kinds[operand])
        if operator == "prefix":
            return pc.starts_with(column.kinds["string"], operand)
        if operator == "contains":
            return pc.match_substring(column.kinds["string"], operand)
        if operator == "in":
            return self._any([self._equal(column, item) for item in operand])
        if operator == "ne":
            present = self._any([pc.is_valid(values) for values in column.kinds.values()])
            return pc.and_not(present, self._equal(column, operand))
        if operator == "eq":
            return self._equal(column, operand)
        return _COMPARE[operator](column.kinds[value_type(operand)], _comparable(operand))

    def _equal(self, column: _Column, operand: Any) -> pa.Array:
        return pc.fill_null(pc.equal(column.kinds[value_type(operand)], _comparable(operand)), fill_value=False)

    def _any(self, masks: list[pa.Array]) -> pa.Array:
        held = masks[0]
        for mask in masks[1:]:
            held = pc.or_(held, mask)
        return held

    def _column(self, name: str) -> _Column:
        if name not in self._columns:
            self._columns[name] = self._values.pop(name).column(len(self.ids))
        return self._columns[name]


def _comparable(value: Any) -> Any:
    kind = value_type(value)
    if kind == "timestamp":
        return datetime.fromisoformat(value).timestamp()
    return float(value) if kind == "number" else value


def _entities(tenant_id: int) -> Iterator[tuple[int, str, str]]:
    after: tuple[Any, int] | None = None
    while True:
        beyond = "" if after is None else " AND (e.updated_at, e.entity_id) < (%s, %s)"
        with connections["default"].cursor() as cursor:
            cursor.execute(
                "SELECT e.updated_at, e.entity_id, e.entity_type, e.attributes::text FROM entity_documents e"
                f" WHERE e.tenant_id = %s{beyond} ORDER BY e.updated_at DESC, e.entity_id DESC LIMIT %s",
                (tenant_id, *(after or ()), _PAGE),
            )
            rows = cursor.fetchall()
        for _, *row in rows:
            yield tuple(row)
        if len(rows) < _PAGE:
            return
        after = rows[-1][0], rows[-1][1]
