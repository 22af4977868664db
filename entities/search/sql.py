"""Conditions as SQL over `entities e`. Every operand is bound; the text is made of constants only.

Each condition compiles to an expression that is never NULL, so that NOT and counting mean what they say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import orjson

from entities.search.query import OWN_FIELDS, AtLeast, Condition, Node, Not
from entities.values import Value, value_type

_COMPARISON: Final = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_OWN_COLUMN: Final = dict(
    zip(OWN_FIELDS, ("e.created_at", "e.updated_at", "e.entity_type", "e.external_id"), strict=True)
)
_INSTANTS: Final = "ANY(ARRAY(SELECT text_instant(t) FROM unnest(%s::text[]) t))"
_INSTANT_FIELDS: Final = frozenset({"@created_at", "@updated_at"})


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of SQL with `%s` places, and what is bound to them, in order."""

    text: str
    values: tuple[Any, ...] = ()


TRUE: Final = Fragment("true")
FALSE: Final = Fragment("false")


def condition_sql(entity_type: str | None, where: Node) -> Fragment:
    """What an entity must satisfy, besides being the tenant's."""
    condition = node_sql(where)
    if entity_type is None:
        return condition
    return Fragment(f"(e.entity_type = %s AND {condition.text})", (entity_type, *condition.values))


def match_sql(tenant_id: int, entity_type: str | None, where: Node) -> Fragment:
    """The predicate of a query over a whole tenant: the tenant first, which prunes partitions and leads every index."""
    condition = condition_sql(entity_type, where)
    return Fragment(f"e.tenant_id = %s AND {condition.text}", (tenant_id, *condition.values))


def node_sql(node: Node) -> Fragment:
    """The expression of a condition tree."""
    match node:
        case Condition():
            return own_field_sql(node) if node.attribute in _OWN_COLUMN else attribute_sql(node)
        case Not(node=inner):
            compiled = node_sql(inner)
            return Fragment(f"NOT {compiled.text}", compiled.values)
        case AtLeast(n=n, nodes=nodes):
            return _at_least_sql(n, [node_sql(child) for child in nodes])


def _at_least_sql(n: int, parts: list[Fragment]) -> Fragment:
    if n <= 0:
        return TRUE
    values = tuple(value for part in parts for value in part.values)
    if n > len(parts):
        return FALSE
    if n in {1, len(parts)}:
        # Tested in this order, as far as needed: instants last, which take ten times as long as the others.
        parts = sorted(parts, key=lambda part: "_instant(" in part.text)
        values = tuple(value for part in parts for value in part.values)
        joint = " AND " if n == len(parts) else " OR "
        return Fragment(f"({joint.join(part.text for part in parts)})", values)
    total = " + ".join(f"({part.text})::integer" for part in parts)
    return Fragment(f"({total} >= %s)", (*values, n))


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def attribute_sql(condition: Condition) -> Fragment:
    """A condition on an attribute: a test of the document."""
    name, value = condition.attribute, condition.value
    match condition.operator:
        case "exists":
            return Fragment("(e.attributes ? %s)", (name,))
        case "missing":
            return Fragment("(NOT e.attributes ? %s)", (name,))
        case "eq":
            return _equals(name, _single(value))
        case "ne":
            equals = _equals(name, _single(value))
            return Fragment(f"(e.attributes ? %s AND NOT {equals.text})", (name, *equals.values))
        case "in":
            return _among(name, _many(value))
        case "is_type":
            return _is_type(name, value)
        case "contains":
            return Fragment(
                "coalesce(strpos(e.attributes ->> %s, %s) > 0 AND value_kind(e.attributes -> %s) = 'string', false)",
                (name, value, name),
            )
        case "prefix":
            return Fragment(
                "coalesce(starts_with(e.attributes ->> %s, %s) AND value_kind(e.attributes -> %s) = 'string', false)",
                (name, value, name),
            )
        case "gt" | "ge" | "lt" | "le":
            sign = _COMPARISON[condition.operator]
            if value_type(_single(value)) == "timestamp":
                return Fragment(
                    f"coalesce(value_instant(e.attributes -> %s) {sign} text_instant(%s), false)", (name, value)
                )
            # jsonb compares numbers exactly, as numeric; the type test keeps other types out.
            return Fragment(
                "coalesce(jsonb_typeof(e.attributes -> %s) = 'number'"
                f" AND (e.attributes -> %s) {sign} %s::jsonb, false)",
                (name, name, _json(value)),
            )


def _equals(name: str, value: Value) -> Fragment:
    if value_type(value) == "timestamp":
        # The same instant may be written in several ways.
        return Fragment("coalesce(value_instant(e.attributes -> %s) = text_instant(%s), false)", (name, value))
    return Fragment("(e.attributes @> %s::jsonb)", (_json({name: value}),))


def _is_type(name: str, kind: Any) -> Fragment:
    # Only of texts it must be known whether they are instants, which takes ten times as long.
    if kind not in {"string", "timestamp"}:
        return Fragment("coalesce(jsonb_typeof(e.attributes -> %s) = %s, false)", (name, kind))
    return Fragment(
        "coalesce(jsonb_typeof(e.attributes -> %s) = 'string' AND value_kind(e.attributes -> %s) = %s, false)",
        (name, name, kind),
    )


def _among(name: str, values: tuple[Value, ...]) -> Fragment:
    """Equal to one of them. One array of each kind: PostgreSQL plans a thousand comparisons longer than it compares."""
    instants = [value for value in values if value_type(value) == "timestamp"]
    others = [_json(value) for value in values if value_type(value) != "timestamp"]
    parts = []
    if others:
        parts.append(Fragment("coalesce(e.attributes -> %s = ANY(%s::jsonb[]), false)", (name, others)))
    if instants:
        parts.append(Fragment(f"coalesce(value_instant(e.attributes -> %s) = {_INSTANTS}, false)", (name, instants)))
    return _at_least_sql(1, parts)


def own_field_sql(condition: Condition) -> Fragment:
    """A condition on a field of the entity itself. A value of another type is never equal, and always different."""
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
            return _own_equals(column, is_instant, _single(value))
        case "ne":
            equals = _own_equals(column, is_instant, _single(value))
            return Fragment(f"(NOT {equals.text})", equals.values)
        case "in":
            return _own_among(column, is_instant, _many(value))
        case "contains":
            return FALSE if is_instant else Fragment(f"(strpos({column}, %s) > 0)", (value,))
        case "prefix":
            return FALSE if is_instant else Fragment(f"(starts_with({column}, %s))", (value,))
        case "gt" | "ge" | "lt" | "le":
            if is_instant and value_type(_single(value)) == "timestamp":
                return Fragment(f"({column} {_COMPARISON[condition.operator]} text_instant(%s))", (value,))
            return FALSE


def _own_equals(column: str, is_instant: bool, value: Value) -> Fragment:
    if not isinstance(value, str):
        return FALSE
    if is_instant:
        return Fragment(f"({column} = text_instant(%s))", (value,)) if value_type(value) == "timestamp" else FALSE
    return Fragment(f"({column} = %s)", (value,))


def _own_among(column: str, is_instant: bool, values: tuple[Value, ...]) -> Fragment:
    texts = [value for value in values if isinstance(value, str)]
    if is_instant:
        return Fragment(f"({column} = {_INSTANTS})", ([text for text in texts if value_type(text) == "timestamp"],))
    if column == "e.external_id":
        return Fragment(
            "(e.entity_id IN (SELECT k.entity_id FROM entity_keys k"
            " WHERE k.tenant_id = tenant_bound() AND k.external_id = ANY(%s::text[])))",
            (texts,),
        )
    return Fragment(f"({column} = ANY(%s::text[]))", (texts,))


def _single(value: Value | tuple[Value, ...] | None) -> Value:
    if value is None or isinstance(value, tuple):
        raise TypeError("The parser lets only a single value through here.")
    return value


def _many(value: Value | tuple[Value, ...] | None) -> tuple[Value, ...]:
    if not isinstance(value, tuple):
        raise TypeError("The parser lets only a list through here.")
    return value
