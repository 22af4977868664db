"""From an aggregate's body to a checked aggregate: every fault with its place."""

from __future__ import annotations

from typing import Any

import pytest

from entities.aggregates import FUNCTIONS, TOP_MAX, Aggregate, aggregate_parse
from entities.search.query import AtLeast, Condition, InvalidQuery

NEEDS_NO_SERVER = True


def faults(body: object) -> list[tuple[str, str]]:
    with pytest.raises(InvalidQuery) as refused:
        aggregate_parse(body)
    return [(error.path, error.code) for error in refused.value.errors]


def test_a_count_needs_no_attribute() -> None:
    assert aggregate_parse({"fn": "count"}) == Aggregate(fn="count")


@pytest.mark.parametrize("fn", FUNCTIONS)
def test_every_member_is_read(fn: str) -> None:
    body = {
        "fn": fn,
        "attribute": "price",
        "entity_type": "lamp",
        "where": [["a", "eq", 1], ["b", "exists"]],
        "match": "any",
        "group_by": "colour",
        "min_count": 3,
        "top": 5,
    }
    assert aggregate_parse(body) == Aggregate(
        fn=fn,  # type: ignore[arg-type]  # Wrong ones, too.
        attribute="price",
        entity_type="lamp",
        where=AtLeast(1, (Condition("a", "eq", 1), Condition("b", "exists"))),
        group_by="colour",
        min_count=3,
        top=5,
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (None, [("", "invalid_type"), ("fn", "invalid_fn")]),
        ([], [("", "invalid_type"), ("fn", "invalid_fn")]),
        ({}, [("fn", "invalid_fn")]),
        ({"fn": "sum"}, [("fn", "invalid_fn")]),
        ({"fn": "COUNT"}, [("fn", "invalid_fn")]),
        ({"fn": ["count"]}, [("fn", "invalid_fn")]),
        ({"fn": {}}, [("fn", "invalid_fn")]),
        ({"fn": "count", "limit": 5}, [("limit", "unknown_field")]),
        ({"fn": "count", "attribute": ""}, [("attribute", "invalid_name")]),
        ({"fn": "count", "attribute": 5}, [("attribute", "invalid_name")]),
        ({"fn": "avg", "attribute": "a\x00"}, [("attribute", "nul_character")]),
        ({"fn": "count", "group_by": ""}, [("group_by", "invalid_name")]),
        ({"fn": "count", "group_by": ["a"]}, [("group_by", "invalid_name")]),
        ({"fn": "count", "group_by": "a\x00"}, [("group_by", "nul_character")]),
        ({"fn": "count", "entity_type": ""}, [("entity_type", "invalid_length")]),
        ({"fn": "count", "min_count": -1}, [("min_count", "invalid_min_count")]),
        ({"fn": "count", "min_count": 1.5}, [("min_count", "invalid_min_count")]),
        ({"fn": "count", "min_count": True}, [("min_count", "invalid_min_count")]),
        ({"fn": "count", "min_count": 2**64}, [("min_count", "invalid_min_count")]),
        ({"fn": "count", "top": 0}, [("top", "invalid_top")]),
        ({"fn": "count", "top": TOP_MAX + 1}, [("top", "invalid_top")]),
        ({"fn": "count", "top": "5"}, [("top", "invalid_top")]),
        ({"fn": "count", "where": [["a", "~", 1]]}, [("where[0][1]", "unknown_operator")]),
        ({"fn": "count", "where": [], "match": "some"}, [("match", "invalid_match")]),
        ({"fn": "sum", "top": 0, "x": 1}, [("x", "unknown_field"), ("fn", "invalid_fn"), ("top", "invalid_top")]),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_every_fault_is_reported_with_its_place(body: Any, expected: list[tuple[str, str]]) -> None:
    assert faults(body) == expected


@pytest.mark.parametrize("fn", [fn for fn in FUNCTIONS if fn != "count"])
def test_other_functions_need_an_attribute(fn: str) -> None:
    assert faults({"fn": fn}) == [("attribute", "required")]
