"""A search as checked, plain data, and the parser that makes one from a request's JSON. Pure, no database.

The parser reports every fault with its place; nothing that it does not know is passed over.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, TypeVar, cast

from atlasco.lib.errors import FieldError, Invalid
from entities.values import (
    ENTITY_TYPE_MAX_CHARS,
    VALUE_TYPES,
    Value,
    key_error,
    name_error,
    value_error,
    value_type,
)

T = TypeVar("T")
Operator: TypeAlias = Literal[
    "eq", "ne", "in", "gt", "ge", "lt", "le", "exists", "missing", "contains", "prefix", "is_type"
]
OPERATORS: Final[tuple[Operator, ...]] = (
    "eq", "ne", "in", "gt", "ge", "lt", "le", "exists", "missing", "contains", "prefix", "is_type",
)  # fmt: skip
_NO_OPERAND: Final = frozenset({"exists", "missing"})
_ORDERED: Final = frozenset({"gt", "ge", "lt", "le"})
_TEXTUAL: Final = frozenset({"contains", "prefix"})

OWN_FIELDS: Final = ("@created_at", "@updated_at", "@entity_type", "@external_id")
OrderField: TypeAlias = Literal["updated_at", "created_at", "entity_id", "external_id"]
ORDER_FIELDS: Final[tuple[OrderField, ...]] = ("updated_at", "created_at", "entity_id", "external_id")
CountKind: TypeAlias = Literal["none", "estimate", "exact"]
COUNT_KINDS: Final[tuple[CountKind, ...]] = ("none", "estimate", "exact")

LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 1000
CONDITIONS_MAX: Final = 200
DEPTH_MAX: Final = 20
IN_MAX: Final = 1000
FIELDS_MAX: Final = 1000


@dataclass(frozen=True, slots=True)
class Condition:
    """One test of one attribute, or of an own field of the entity. value: None where the operator takes none."""

    attribute: str
    operator: Operator
    value: Value | tuple[Value, ...] | None = None


@dataclass(frozen=True, slots=True)
class AtLeast:
    """True where at least n of the nodes are. All of them: n = len(nodes); any: n = 1."""

    n: int
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    node: Node


Node: TypeAlias = Condition | AtLeast | Not

EVERYTHING: Final = AtLeast(0, ())


@dataclass(frozen=True, slots=True)
class Query:
    """A checked search. fields: None for all attributes; cursor: as the client sent it, not yet verified."""

    entity_type: str | None = None
    where: Node = EVERYTHING
    order_by: OrderField = "updated_at"
    descending: bool = True
    limit: int = LIMIT_DEFAULT
    cursor: str | None = None
    fields: tuple[str, ...] | None = None
    count: CountKind = "none"


def names_of(node: Node) -> set[str]:
    """The attribute names that a tree tests."""
    match node:
        case Condition(attribute=name):
            return set() if name in OWN_FIELDS else {name}
        case Not(node=inner):
            return names_of(inner)
        case AtLeast(nodes=nodes):
            return {name for child in nodes for name in names_of(child)}


class InvalidQuery(Invalid):
    """The query can't be understood; `errors` says where and why."""

    code = "invalid_query"


@dataclass(slots=True)
class Report:
    """Collects the faults of one body."""

    errors: list[FieldError] = field(default_factory=list)

    def add(self, path: str, code: str, detail: str) -> None:
        self.errors.append(FieldError(path, code, detail))

    def raise_any(self) -> None:
        if self.errors:
            raise InvalidQuery(self.errors[0].detail if len(self.errors) == 1 else "", errors=self.errors)


_SEARCH_MEMBERS: Final = ("entity_type", "where", "match", "order_by", "limit", "cursor", "fields", "count")


def query_parse(body: object) -> Query:
    """Return the query of a search body. Raises InvalidQuery with every fault found."""
    report = Report()
    members = members_check(body, _SEARCH_MEMBERS, report)
    order_by, descending = _order_parse(members.get("order_by"), report)
    query = Query(
        entity_type=entity_type_parse(members.get("entity_type"), report),
        where=where_parse(members.get("where"), members.get("match"), report),
        order_by=order_by,
        descending=descending,
        limit=_limit_parse(members.get("limit"), report),
        cursor=_cursor_parse(members.get("cursor"), report),
        fields=_fields_parse(members.get("fields"), report),
        count=_choice(members.get("count"), "count", COUNT_KINDS, "none", report),
    )
    report.raise_any()
    return query


def members_check(body: object, known: tuple[str, ...], report: Report) -> dict[str, Any]:
    """The body's members; an unknown one is a fault. Anything but an object counts as an empty one, with a fault."""
    if not isinstance(body, dict):
        report.add("", "invalid_type", "The body is a JSON object.")
        return {}
    for name in body:
        if name not in known:
            report.add(
                name[:100], "unknown_field", f"There is no member {name[:100]!r} here; known are {', '.join(known)}."
            )
    return body


def entity_type_parse(raw: object, report: Report) -> str | None:
    if raw is None:
        return None
    if (error := key_error(raw, "entity_type", ENTITY_TYPE_MAX_CHARS)) is not None:
        report.errors.append(error)
        return None
    return cast(str, raw)


def where_parse(where: object, match: object, report: Report) -> Node:
    """The tree of a `where`: a list combined by `match`, or a tree that says itself how it combines."""
    budget = _Budget()
    if where is None or isinstance(where, list):
        nodes = tuple(_node_parse(raw, f"where[{index}]", 1, budget, report) for index, raw in enumerate(where or []))
        return AtLeast(_match_parse(match, len(nodes), report), nodes)
    if match is not None:
        report.add(
            "match", "invalid_match", "`match` combines a list of conditions; a tree says itself how it combines."
        )
    return _node_parse(where, "where", 1, budget, report)


@dataclass(slots=True)
class _Budget:
    conditions: int = 0


def _match_parse(match: object, count: int, report: Report) -> int:
    if match is None or match == "all":
        return count
    if match == "any":
        return 1 if count else 0
    if isinstance(match, dict) and list(match) == ["at_least"]:
        return _at_least_parse(match["at_least"], "match.at_least", count, report)
    report.add("match", "invalid_match", '`match` is "all", "any" or {"at_least": n}.')
    return count


def _at_least_parse(raw: object, path: str, count: int, report: Report) -> int:
    if not isinstance(raw, int) or isinstance(raw, bool) or raw < 0:
        report.add(path, "invalid_at_least", "`at_least` is a whole number, 0 or more.")
        return count
    if raw > count:
        report.add(path, "invalid_at_least", f"At least {raw} of {count} conditions can never hold.")
    return raw


def _node_parse(raw: object, path: str, depth: int, budget: _Budget, report: Report) -> Node:
    if depth > DEPTH_MAX:
        report.add(path, "too_deep", f"Conditions nest at most {DEPTH_MAX} deep.")
        return EVERYTHING
    if isinstance(raw, list):
        return _condition_parse(raw, path, budget, report)
    if isinstance(raw, dict):
        return _branch_parse(raw, path, depth, budget, report)
    report.add(
        path,
        "invalid_condition",
        'A condition is [attribute, operator, value], or {"all": …}, {"any": …}, {"at_least": n, "of": …}, {"not": …}.',
    )
    return EVERYTHING


def _branch_parse(raw: dict[str, Any], path: str, depth: int, budget: _Budget, report: Report) -> Node:
    def nodes_of(name: str) -> tuple[Node, ...]:
        listed = raw[name]
        if not isinstance(listed, list):
            report.add(f"{path}.{name}", "invalid_type", f"`{name}` holds a list of conditions.")
            return ()
        return tuple(
            _node_parse(node, f"{path}.{name}[{index}]", depth + 1, budget, report) for index, node in enumerate(listed)
        )

    match sorted(raw):
        case ["all"]:
            nodes = nodes_of("all")
            return AtLeast(len(nodes), nodes)
        case ["any"]:
            nodes = nodes_of("any")
            if not nodes and isinstance(raw["any"], list):
                report.add(f"{path}.any", "empty_any", "None of no conditions can hold: `any` needs at least one.")
            return AtLeast(1, nodes)
        case ["at_least", "of"]:
            nodes = nodes_of("of")
            return AtLeast(_at_least_parse(raw["at_least"], f"{path}.at_least", len(nodes), report), nodes)
        case ["not"]:
            return Not(_node_parse(raw["not"], f"{path}.not", depth + 1, budget, report))
        case names:
            report.add(
                path,
                "unknown_node",
                'A node is "all", "any", "at_least" with "of", or "not"; this one has '
                f"{', '.join(name[:40] for name in names) or 'nothing'}.",
            )
            return EVERYTHING


def _condition_parse(raw: list[Any], path: str, budget: _Budget, report: Report) -> Node:
    budget.conditions += 1
    if budget.conditions == CONDITIONS_MAX + 1:
        report.add(path, "too_many_conditions", f"A query has at most {CONDITIONS_MAX} conditions.")
    if budget.conditions > CONDITIONS_MAX:
        return EVERYTHING
    if not 2 <= len(raw) <= 3:
        report.add(
            path,
            "invalid_condition",
            "A condition is [attribute, operator, value]; `exists` and `missing` take no value.",
        )
        return EVERYTHING
    attribute, operator = raw[0], raw[1]
    if (error := name_error(attribute, f"{path}[0]")) is not None:
        report.errors.append(error)
        return EVERYTHING
    if not isinstance(operator, str) or operator not in OPERATORS:
        report.add(
            f"{path}[1]",
            "unknown_operator",
            f"There is no operator {str(operator)[:40]!r}; known are {', '.join(OPERATORS)}.",
        )
        return EVERYTHING
    known = operator
    if known in _NO_OPERAND:
        if len(raw) == 3 and raw[2] is not None:
            report.add(f"{path}[2]", "unexpected_operand", f"`{known}` takes no value.")
        return Condition(attribute, known)
    if len(raw) == 2:
        report.add(path, "missing_operand", f"`{known}` needs a value.")
        return EVERYTHING
    fault = _operand_error(attribute, known, raw[2], f"{path}[2]")
    if fault is not None:
        report.errors.append(fault)
        return EVERYTHING
    return Condition(attribute, known, tuple(raw[2]) if known == "in" else raw[2])


def _operand_error(attribute: str, operator: Operator, operand: object, path: str) -> FieldError | None:
    if operator == "in":
        if not isinstance(operand, list) or not 1 <= len(operand) <= IN_MAX:
            return FieldError(path, "invalid_operand", f"`in` takes a list of 1 to {IN_MAX} values.")
        return next(
            (error for index, item in enumerate(operand) if (error := value_error(item, f"{path}[{index}]"))), None
        )
    if operator == "is_type":
        if operand not in VALUE_TYPES:
            return FieldError(path, "invalid_operand", f"`is_type` takes one of {', '.join(VALUE_TYPES)}.")
        return None
    if (error := value_error(operand, path)) is not None:
        return error
    kind = value_type(cast(Value, operand))
    if operator in _ORDERED and kind not in {"number", "timestamp"}:
        return FieldError(
            path,
            "invalid_operand",
            f"`{operator}` compares numbers or timestamps (full ISO 8601 with zone); this is a {kind}.",
        )
    if operator in _TEXTUAL and not isinstance(operand, str):
        return FieldError(path, "invalid_operand", f"`{operator}` takes a string; this is a {kind}.")
    return None


def _order_parse(raw: object, report: Report) -> tuple[OrderField, bool]:
    if raw is None:
        return "updated_at", True
    if isinstance(raw, str):
        name, descending = raw.removeprefix("-"), raw.startswith("-")
        for known in ORDER_FIELDS:
            if name == known:
                return known, descending
    report.add(
        "order_by",
        "invalid_order_by",
        f"`order_by` is one of {', '.join(ORDER_FIELDS)}, each with an optional - before it.",
    )
    return "updated_at", True


def _limit_parse(raw: object, report: Report) -> int:
    if raw is None:
        return LIMIT_DEFAULT
    if isinstance(raw, int) and not isinstance(raw, bool) and 1 <= raw <= LIMIT_MAX:
        return raw
    report.add("limit", "invalid_limit", f"`limit` is a whole number from 1 to {LIMIT_MAX}.")
    return LIMIT_DEFAULT


def _cursor_parse(raw: object, report: Report) -> str | None:
    if raw is None or isinstance(raw, str):
        return raw or None
    report.add("cursor", "invalid_cursor", "`cursor` is the `next_cursor` of the page before.")
    return None


def _fields_parse(raw: object, report: Report) -> tuple[str, ...] | None:
    if raw is None:
        return None
    if not isinstance(raw, list) or len(raw) > FIELDS_MAX:
        report.add("fields", "invalid_fields", f"`fields` is a list of at most {FIELDS_MAX} attribute names.")
        return None
    for index, name in enumerate(raw):
        if (error := name_error(name, f"fields[{index}]")) is not None:
            report.errors.append(error)
    return tuple(dict.fromkeys(name for name in raw if isinstance(name, str)))


def _choice(raw: object, name: str, known: tuple[T, ...], default: T, report: Report) -> T:
    if raw is None:
        return default
    for choice in known:
        if raw == choice:
            return choice
    report.add(name, f"invalid_{name}", f"`{name}` is one of {', '.join(map(str, known))}.")
    return default
