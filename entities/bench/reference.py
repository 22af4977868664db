"""What a search must answer, computed without SQL, indexes and planner: columns and masks in memory.

All entities of a tenant are read once, in the order of a page; a condition is then one pass over its column.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from django.db import connections

from entities.values import value_type

_PAGE: Final = 20_000
_COMPARE: Final = {"gt": pc.greater, "ge": pc.greater_equal, "lt": pc.less, "le": pc.less_equal}


@dataclass(slots=True)
class _Column:
    """The values of one attribute by type, null where an entity has none of that type."""

    kinds: dict[str, pa.Array]


class Reference:
    """The entities of the bound tenant, newest update first."""

    def __init__(self, *, tenant_id: int) -> None:
        self.ids: list[int] = []
        self._types: list[str] = []
        self._values: dict[str, tuple[list[int], list[Any]]] = {}
        self._columns: dict[str, _Column] = {}
        self._masks: dict[bytes, pa.Array] = {}
        for entity_id, entity_type, document in _entities(tenant_id):
            place = len(self.ids)
            self.ids.append(entity_id)
            self._types.append(entity_type)
            for name, value in orjson.loads(document).items():
                places, values = self._values.setdefault(name, ([], []))
                places.append(place)
                values.append(value)
        self._entity_types = pa.array(self._types)

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
        total = pa.array([0] * len(self.ids), pa.int8())
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
            places, values = self._values.pop(name, ([], []))
            kinds: dict[str, list[Any]] = {
                kind: [None] * len(self.ids) for kind in ("string", "number", "boolean", "timestamp")
            }
            for place, value in zip(places, values, strict=True):
                kinds[value_type(value)][place] = _comparable(value)
            of = {"string": pa.string(), "number": pa.float64(), "boolean": pa.bool_(), "timestamp": pa.float64()}
            self._columns[name] = _Column({kind: pa.array(held, of[kind]) for kind, held in kinds.items()})
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
