"""A condition tree as the filter builder shows it: groups, conditions, typed texts, and each fault at its place. Pure.

Values travel as text with a type: a script would read 9007199254740993 as another number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import orjson

from atlasco.lib.errors import FieldError
from entities.search.query import OPERATORS
from entities.values import Value, value_type

Shown: TypeAlias = dict[str, Any]


class _NotShowable(Exception):
    """The builder has no form for this; the raw editor has."""


def builder_tree(where: Any, errors: Sequence[FieldError]) -> Shown | None:
    """The tree as the builder takes it; None where only the raw editor can show it.

    A group is {match: all|any|at_least|none, n, nodes, errors}; a condition {name, operator, values: [{type, text}],
    errors}. The root is a group.
    """
    try:
        if where is None or isinstance(where, list):
            nodes = [_node(raw, f"where[{index}]", errors) for index, raw in enumerate(where or [])]
            return _group("all", nodes, _own_errors("where", errors))
        root = _node(where, "where", errors)
    except _NotShowable:
        return None
    return root if "nodes" in root else _group("all", [root], [])


def builder_names(tree: Shown | None) -> set[str]:
    """The attribute names that a tree tests."""
    if tree is None:
        return set()
    if "nodes" not in tree:
        return {tree["name"]}
    return {name for node in tree["nodes"] for name in builder_names(node)}


def conditions_count(tree: Shown | None) -> int:
    """How many conditions a tree has, in all its groups."""
    if tree is None:
        return 0
    return sum(map(conditions_count, tree["nodes"])) if "nodes" in tree else 1


def _node(raw: Any, path: str, errors: Sequence[FieldError]) -> Shown:
    if isinstance(raw, list):
        return _condition(raw, path, errors)
    if not isinstance(raw, dict):
        raise _NotShowable
    own = _own_errors(path, errors)
    match sorted(raw):
        case ["all"]:
            return _group("all", _nodes(raw["all"], f"{path}.all", errors), own)
        case ["any"]:
            return _group("any", _nodes(raw["any"], f"{path}.any", errors), own)
        case ["at_least", "of"] if isinstance(raw["at_least"], int) and not isinstance(raw["at_least"], bool):
            group = _group("at_least", _nodes(raw["of"], f"{path}.of", errors), own)
            group["n"] = raw["at_least"]
            return group
        case ["not"]:
            inner = raw["not"]
            if isinstance(inner, dict) and list(inner) == ["any"]:
                return _group("none", _nodes(inner["any"], f"{path}.not.any", errors), own)
            return _group("none", [_node(inner, f"{path}.not", errors)], own)
        case _:
            raise _NotShowable


def _nodes(raw: Any, path: str, errors: Sequence[FieldError]) -> list[Shown]:
    if not isinstance(raw, list):
        raise _NotShowable
    return [_node(node, f"{path}[{index}]", errors) for index, node in enumerate(raw)]


def _group(match: str, nodes: list[Shown], errors: list[str]) -> Shown:
    return {"match": match, "n": 1, "nodes": nodes, "errors": errors}


def _condition(raw: list[Any], path: str, errors: Sequence[FieldError]) -> Shown:
    name, operator, operand = (*raw, None, None, None)[:3]
    if not 2 <= len(raw) <= 3 or not isinstance(name, str) or operator not in OPERATORS:
        raise _NotShowable
    operands = operand if isinstance(operand, list) else [] if operand is None else [operand]
    return {
        "name": name,
        "operator": operator,
        "values": [_typed(value) for value in operands],
        # A fault of any part of a condition stands beside the condition.
        "errors": [error.detail for error in errors if error.path == path or error.path.startswith(f"{path}[")],
    }


def _typed(value: Any) -> dict[str, str]:
    if isinstance(value, str):
        return {"type": value_type(value), "text": value}
    if isinstance(value, bool | int | float):
        return {"type": value_type(cast(Value, value)), "text": orjson.dumps(value).decode()}
    raise _NotShowable


def _own_errors(path: str, errors: Sequence[FieldError]) -> list[str]:
    """Faults of a group itself: at its path, or at a member of it that is not a node."""
    own = {path, f"{path}.all", f"{path}.any", f"{path}.of", f"{path}.at_least", f"{path}.not"}
    return [error.detail for error in errors if error.path in own]
