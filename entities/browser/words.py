"""A search in words, for lists and confirmations. Pure."""

from __future__ import annotations

from typing import Any, Final

from entities.browser.builder import Shown, builder_tree
from entities.browser.state import BrowserState

_SHOWN_MAX: Final = 400
_VALUES_MAX: Final = 4
_OPERATORS: Final = {
    "eq": "is", "ne": "is not", "in": "is one of", "gt": ">", "ge": "≥", "lt": "<", "le": "≤", "contains": "contains",
    "prefix": "starts with", "is_type": "is of type", "exists": "is present", "missing": "is missing",
}  # fmt: skip


def state_words(state: BrowserState) -> str:
    """What the search finds: `aircraft where seats > 100 and (maker is Boeing or maker is missing)`."""
    return search_words({"entity_type": state.entity_type, "where": state.where})


def search_words(body: dict[str, Any]) -> str:
    """The same of a search's body, `entity_type` and `where`."""
    subject = str(body.get("entity_type") or "") or "all entities"
    tree = builder_tree(body.get("where"), [])
    if tree is None:
        return f"{subject} by conditions"
    conditions = _group_words(tree) if tree["nodes"] else ""
    words = f"{subject} where {conditions}" if conditions else subject
    return words if len(words) <= _SHOWN_MAX else f"{words[:_SHOWN_MAX]}…"


def _group_words(group: Shown) -> str:
    parts = [f"({_group_words(node)})" if _is_list(node) else _node_words(node) for node in group["nodes"]]
    match group["match"]:
        case "any":
            return " or ".join(parts)
        case "at_least":
            return f"at least {group['n']} of: {', '.join(parts)}"
        case "none":
            return f"not {parts[0]}" if len(parts) == 1 else f"none of: {', '.join(parts)}"
        case _:
            return " and ".join(parts)


def _is_list(node: Shown) -> bool:
    return len(node.get("nodes", ())) > 1


def _node_words(node: Shown) -> str:
    if "nodes" in node:
        return _group_words(node)
    texts = [f"“{value['text']}”" if value["type"] == "string" else value["text"] for value in node["values"]]
    shown = ", ".join(texts[:_VALUES_MAX]) + (
        f" and {len(texts) - _VALUES_MAX} more" if len(texts) > _VALUES_MAX else ""
    )
    return f"{node['name']} {_OPERATORS[node['operator']]} {shown}".rstrip()
