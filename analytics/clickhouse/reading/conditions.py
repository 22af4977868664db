"""Conditions as ClickHouse's SQL over rows of `attribute_values`. The same meaning as `entities.search.sql`.

Every operand is bound. Each condition compiles to an expression that is 0 or 1 for every row, so that NOT and counting
mean what they say. See Note [A condition is a set of ids].
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias

import orjson

from analytics.clickhouse.applier import number_split
from entities.search.query import OWN_FIELDS, AtLeast, Condition, Node, Not
from entities.values import Value, value_type

# Which rows an expression is tested on: entities' own rows, or values of one attribute.
Rows: TypeAlias = Literal["own", "values"]

# Each condition on an attribute is a set of ids that ClickHouse makes from all values of it, some 10 to 40 ms of a
# million. With more of them another store answers: PostgreSQL tests one document after the other.
SETS_MAX: Final = 24
TRUE: Final = "1"
FALSE: Final = "0"
_COMPARISON: Final = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_OWN_COLUMN: Final = dict(zip(OWN_FIELDS, ("instant_us", "updated_us", "entity_type", "value"), strict=True))
_INSTANT_FIELDS: Final = frozenset({"@created_at", "@updated_at"})
_INSTANT: Final = re.compile(r"(.{10})T(..):(..):(..)(?:[.,](\d+))?(?:Z|([+-])(\d\d):?(\d\d)?)", re.ASCII)
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()


@dataclass(slots=True)
class Statement:
    """What is bound to a statement of one tenant. `bind` returns the place that stands for a value in the text."""

    tenant_id: int
    parameters: dict[str, Any] = field(default_factory=dict)

    def bind(self, value: Any, kind: str) -> str:
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return f"{{{name}:{kind}}}"

    def text(self, value: str) -> str:
        return self.bind(value, "String")

    def rows(self, attribute_name: str) -> str:
        """The tenant's rows under a name, as they are now: what follows FROM. With `past`, the only way to a table."""
        name = self.text(attribute_name) if attribute_name else "''"
        return f"attribute_values FINAL WHERE {self._of_tenant()} AND attribute_name = {name}"

    def past(self) -> str:
        """The tenant's values as they were: what follows FROM."""
        return f"attribute_history FINAL WHERE {self._of_tenant()}"

    def _of_tenant(self) -> str:
        self.parameters["tenant"] = self.tenant_id
        return "tenant_id = {tenant:UInt32}"


def node_sql(statement: Statement, node: Node, over: Rows) -> str:
    """The expression of a condition tree."""
    match node:
        case Condition(attribute=name) if name in _OWN_COLUMN:
            test = own_field_test(statement, node)
            # Without a row of its own there is no entity: what holds for all or for none needs no look at it.
            return test if over == "own" or test in {TRUE, FALSE} else _ids(statement, "", test)
        case Condition(attribute=name, operator="missing"):
            return f"(NOT {_ids(statement, name, TRUE)})"
        case Condition(attribute=name):
            return _ids(statement, name, value_test(statement, node))
        case Not(node=inner):
            return f"(NOT {node_sql(statement, inner, over)})"
        case AtLeast(n=n, nodes=nodes):
            return _at_least(n, [node_sql(statement, child, over) for child in nodes])


def sets_count(node: Node) -> int:
    """How many sets of ids a condition tree takes."""
    match node:
        case Condition(attribute=name):
            return 0 if name in _OWN_COLUMN else 1
        case Not(node=inner):
            return sets_count(inner)
        case AtLeast(nodes=nodes):
            return sum(map(sets_count, nodes))


def _ids(statement: Statement, attribute_name: str, test: str) -> str:
    return f"(entity_id IN (SELECT entity_id FROM {statement.rows(attribute_name)} AND {test}))"


def _at_least(n: int, parts: list[str]) -> str:
    if n <= 0:
        return TRUE
    if n > len(parts):
        return FALSE
    if n == len(parts):
        return f"({' AND '.join(parts)})"
    if n == 1:
        return f"({' OR '.join(parts)})"
    return f"({' + '.join(f'toUInt16({part})' for part in parts)} >= {n})"


# --- Values -----------------------------------------------------------------------------------------------------------


def value_test(statement: Statement, condition: Condition) -> str:
    """The test of a value row of the condition's attribute, which is there."""
    value = condition.value
    match condition.operator:
        case "exists":
            return TRUE
        case "eq":
            return _equals(statement, _single(value))
        case "ne":
            return f"(NOT {_equals(statement, _single(value))})"
        case "in":
            return _among(statement, _many(value))
        case "is_type":
            return f"(value_type = {statement.text(str(value))})"
        case "contains":
            return f"(value_type = 'string' AND {_contains(statement, 'value', str(value))})"
        case "prefix":
            return f"(value_type = 'string' AND startsWith(value, {statement.text(str(value))}))"
        case "gt" | "ge" | "lt" | "le" as operator:
            return _compares(statement, operator, _single(value))
        case "missing":
            return FALSE


def _equals(statement: Statement, value: Value) -> str:
    match value_type(value):
        case "number":
            number, rest = number_operand(value)
            return f"(value_type = 'number' AND number = {_double(number)} AND number_rest = {_double(rest)})"
        case "boolean":
            return f"(value_type = 'boolean' AND value = '{'true' if value else 'false'}')"
        case "timestamp":
            return f"(value_type = 'timestamp' AND instant_us = {statement.bind(instant_us(str(value)), 'Int64')})"
        case _:
            return f"(value_type = 'string' AND value = {statement.text(str(value))})"


def _among(statement: Statement, values: tuple[Value, ...]) -> str:
    """Equal to one of them: one list of each type."""
    by_type: dict[str, list[Any]] = {}
    for value in values:
        by_type.setdefault(value_type(value), []).append(value)
    parts = []
    if texts := by_type.get("string"):
        parts.append(f"(value_type = 'string' AND value IN {statement.bind(texts, 'Array(String)')})")
    if instants := by_type.get("timestamp"):
        listed = statement.bind([instant_us(text) for text in instants], "Array(Int64)")
        parts.append(f"(value_type = 'timestamp' AND instant_us IN {listed})")
    if numbers := by_type.get("number"):
        pairs = ", ".join(f"({_double(number)}, {_double(rest)})" for number, rest in map(number_operand, numbers))
        parts.append(f"(value_type = 'number' AND (number, number_rest) IN ({pairs},))")
    parts += [_equals(statement, value) for value in dict.fromkeys(by_type.get("boolean", []))]
    return _at_least(1, parts)


def _compares(statement: Statement, operator: str, value: Value) -> str:
    sign = _COMPARISON[operator]
    if value_type(value) == "timestamp":
        bound = statement.bind(instant_us(str(value)), "Int64")
        return f"(value_type = 'timestamp' AND instant_us {sign} {bound})"
    number, rest = map(_double, number_operand(value))
    # The double decides, and what it lacks where two are the same.
    return (
        f"(value_type = 'number' AND (number {sign[0]} {number} OR (number = {number} AND number_rest {sign} {rest})))"
    )


# --- Own fields -------------------------------------------------------------------------------------------------------


def own_field_test(statement: Statement, condition: Condition) -> str:
    """The test of an entity's own row. A value of another type is never equal, and always different."""
    column = _OWN_COLUMN[condition.attribute]
    is_instant = condition.attribute in _INSTANT_FIELDS
    value = condition.value
    match condition.operator:
        case "exists":
            return TRUE
        case "missing":
            return FALSE
        case "is_type":
            return TRUE if value == ("timestamp" if is_instant else "string") else FALSE
        case "eq":
            return _own_among(statement, column, is_instant, (_single(value),))
        case "ne":
            return f"(NOT {_own_among(statement, column, is_instant, (_single(value),))})"
        case "in":
            return _own_among(statement, column, is_instant, _many(value))
        case "contains":
            return FALSE if is_instant else _contains(statement, column, str(value))
        case "prefix":
            return FALSE if is_instant else f"startsWith({column}, {statement.text(str(value))})"
        case "gt" | "ge" | "lt" | "le" as operator:
            if is_instant and value_type(_single(value)) == "timestamp":
                return f"({column} {_COMPARISON[operator]} {statement.bind(instant_us(str(value)), 'Int64')})"
            return FALSE


def _own_among(statement: Statement, column: str, is_instant: bool, values: tuple[Value, ...]) -> str:
    texts = [value for value in values if isinstance(value, str)]
    if is_instant:
        instants = [instant_us(text) for text in texts if value_type(text) == "timestamp"]
        return f"({column} IN {statement.bind(instants, 'Array(Int64)')})" if instants else FALSE
    return f"({column} IN {statement.bind(texts, 'Array(String)')})" if texts else FALSE


def _contains(statement: Statement, column: str, part: str) -> str:
    # Everything contains the empty text; ClickHouse's position is not of one mind about that.
    return f"(position({column}, {statement.text(part)}) > 0)" if part else TRUE


# --- Operands ---------------------------------------------------------------------------------------------------------


def number_operand(value: Value) -> tuple[float, float]:
    """A number as value rows have it: the nearest double, and what that lacks."""
    number, rest = number_split(f"{Decimal(orjson.dumps(value).decode()):f}")
    return number + 0.0, rest + 0.0  # No negative zero.


def _double(number: float) -> str:
    """A double by its bits: no text of it has to be read. Made of digits only, so that it needs no binding."""
    (bits,) = struct.unpack("<Q", struct.pack("<d", number))
    return f"reinterpretAsFloat64(toUInt64({bits}))"


def instant_us(text: str) -> int:
    """The microseconds since 1970 of a text that is a timestamp, rounded as PostgreSQL rounds."""
    found = _INSTANT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a timestamp.")
    day, hours, minutes, seconds, fraction, sign, zone_hours, zone_minutes = found.groups()
    days = date.fromisoformat(day).toordinal() - _EPOCH_DAY
    offset_s = int(zone_hours or 0) * 3600 + int(zone_minutes or 0) * 60
    whole_s = days * 86_400 + int(hours) * 3600 + int(minutes) * 60 + int(seconds)
    whole_s -= -offset_s if sign == "-" else offset_s
    # As a double, and half to even: so does PostgreSQL.
    return whole_s * 1_000_000 + round(float(f"0.{fraction or 0}") * 1_000_000)


def _single(value: Value | tuple[Value, ...] | None) -> Value:
    if value is None or isinstance(value, tuple):
        raise TypeError("The parser lets only a single value through here.")
    return value


def _many(value: Value | tuple[Value, ...] | None) -> tuple[Value, ...]:
    if not isinstance(value, tuple):
        raise TypeError("The parser lets only a list through here.")
    return value
