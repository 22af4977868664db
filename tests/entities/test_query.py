"""From a search body to a checked query: every fault with its place, nothing passed over."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entities.search.query import (
    CONDITIONS_MAX,
    DEPTH_MAX,
    EVERYTHING,
    FIELDS_MAX,
    IN_MAX,
    OPERATORS,
    AtLeast,
    Condition,
    InvalidQuery,
    Not,
    Query,
    query_parse,
)
from tests.entities.effort import examples

NEEDS_NO_SERVER = True
A, B, C = (Condition(name, "exists") for name in "abc")
EXISTS = [[name, "exists"] for name in "abc"]


def faults(body: object) -> list[tuple[str, str]]:
    with pytest.raises(InvalidQuery) as refused:
        query_parse(body)
    assert all(error.detail for error in refused.value.errors)
    return [(error.path, error.code) for error in refused.value.errors]


def nested(depth: int) -> Any:
    node: Any = ["a", "exists"]
    for _ in range(depth - 1):
        node = {"not": node}
    return node


def test_an_empty_body_asks_for_everything_newest_first() -> None:
    assert query_parse({}) == Query(
        entity_type=None,
        where=EVERYTHING,
        order_by="updated_at",
        descending=True,
        limit=100,
        cursor=None,
        fields=None,
        count="none",
    )
    nulls = dict.fromkeys(("entity_type", "where", "match", "order_by", "limit", "cursor", "fields", "count"))
    assert query_parse(nulls) == query_parse({})


def test_every_member_is_read() -> None:
    assert query_parse(
        {
            "entity_type": "aircraft",
            "where": [["status", "eq", "active"], ["priority", "gt", 5]],
            "match": "all",
            "order_by": "external_id",
            "limit": 7,
            "cursor": "c",
            "fields": ["status", "region", "status"],
            "count": "exact",
        }
    ) == Query(
        entity_type="aircraft",
        where=AtLeast(2, (Condition("status", "eq", "active"), Condition("priority", "gt", 5))),
        order_by="external_id",
        descending=False,
        limit=7,
        cursor="c",
        fields=("status", "region"),
        count="exact",
    )


@pytest.mark.parametrize(
    ("match", "n"),
    [(None, 3), ("all", 3), ("any", 1), ({"at_least": 0}, 0), ({"at_least": 2}, 2), ({"at_least": 3}, 3)],
)
def test_match_says_how_a_list_combines(match: Any, n: int) -> None:
    assert query_parse({"where": EXISTS, "match": match}).where == AtLeast(n, (A, B, C))


@pytest.mark.parametrize(
    ("where", "node"),
    [
        ([], AtLeast(0, ())),
        ({"all": EXISTS}, AtLeast(3, (A, B, C))),
        ({"all": []}, AtLeast(0, ())),
        ({"any": EXISTS}, AtLeast(1, (A, B, C))),
        ({"at_least": 2, "of": EXISTS}, AtLeast(2, (A, B, C))),
        ({"not": EXISTS[0]}, Not(A)),
        ([{"not": {"any": EXISTS[:1]}}, {"all": EXISTS[1:]}], AtLeast(2, (Not(AtLeast(1, (A,))), AtLeast(2, (B, C))))),
    ],
)
def test_a_tree_says_itself_how_it_combines(where: Any, node: Any) -> None:
    assert query_parse({"where": where}).where == node


@pytest.mark.parametrize("field", ["updated_at", "created_at", "entity_id", "external_id"])
def test_order_is_a_field_with_or_without_a_minus(field: str) -> None:
    for sign, descending in (("", False), ("-", True)):
        query = query_parse({"order_by": sign + field})
        assert (query.order_by, query.descending) == (field, descending)


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_operator_has_an_operand_it_takes(operator: str) -> None:
    operand: Any = {"in": ["a", 1, True], "is_type": "timestamp", "contains": "", "prefix": "2026-01-01T00:00:00Z"}.get(
        operator, 5
    )
    condition = ["a", operator] if operator in {"exists", "missing"} else ["a", operator, operand]
    parsed = query_parse({"where": [condition]}).where
    expected = tuple(operand) if operator == "in" else None if len(condition) == 2 else operand
    assert parsed == AtLeast(1, (Condition("a", operator, expected),))  # type: ignore[arg-type]  # From a table.


def test_exists_may_carry_a_null() -> None:
    assert query_parse({"where": [["a", "exists", None]]}) == query_parse({"where": [["a", "exists"]]})


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        # The body and its members.
        (None, [("", "invalid_type")]),
        ([], [("", "invalid_type")]),
        ("text", [("", "invalid_type")]),
        ({"colour": 1}, [("colour", "unknown_field")]),
        ({"Where": []}, [("Where", "unknown_field")]),
        ({"entity_type": 1}, [("entity_type", "invalid_type")]),
        ({"entity_type": ""}, [("entity_type", "invalid_length")]),
        ({"entity_type": "a\x00"}, [("entity_type", "nul_character")]),
        ({"limit": 0}, [("limit", "invalid_limit")]),
        ({"limit": 1001}, [("limit", "invalid_limit")]),
        ({"limit": -1}, [("limit", "invalid_limit")]),
        ({"limit": 1.0}, [("limit", "invalid_limit")]),
        ({"limit": "10"}, [("limit", "invalid_limit")]),
        ({"limit": True}, [("limit", "invalid_limit")]),
        ({"order_by": "name"}, [("order_by", "invalid_order_by")]),
        ({"order_by": "--updated_at"}, [("order_by", "invalid_order_by")]),
        ({"order_by": "@updated_at"}, [("order_by", "invalid_order_by")]),
        ({"order_by": ["updated_at"]}, [("order_by", "invalid_order_by")]),
        ({"cursor": 5}, [("cursor", "invalid_cursor")]),
        ({"count": "all"}, [("count", "invalid_count")]),
        ({"count": True}, [("count", "invalid_count")]),
        ({"count": ["none"]}, [("count", "invalid_count")]),
        ({"fields": "status"}, [("fields", "invalid_fields")]),
        ({"fields": ["a"] * (FIELDS_MAX + 1)}, [("fields", "invalid_fields")]),
        ({"fields": ["a", "", 5]}, [("fields[1]", "invalid_name"), ("fields[2]", "invalid_name")]),
        # Match.
        ({"where": EXISTS, "match": "some"}, [("match", "invalid_match")]),
        ({"where": EXISTS, "match": 2}, [("match", "invalid_match")]),
        ({"where": EXISTS, "match": {"at_most": 2}}, [("match", "invalid_match")]),
        ({"where": EXISTS, "match": {"at_least": 2, "of": []}}, [("match", "invalid_match")]),
        ({"where": EXISTS, "match": {"at_least": 4}}, [("match.at_least", "invalid_at_least")]),
        ({"where": EXISTS, "match": {"at_least": -1}}, [("match.at_least", "invalid_at_least")]),
        ({"where": EXISTS, "match": {"at_least": True}}, [("match.at_least", "invalid_at_least")]),
        ({"where": EXISTS, "match": {"at_least": 1.5}}, [("match.at_least", "invalid_at_least")]),
        ({"match": {"at_least": 1}}, [("match.at_least", "invalid_at_least")]),
        ({"where": {"all": []}, "match": "all"}, [("match", "invalid_match")]),
        # Nodes.
        ({"where": "a"}, [("where", "invalid_condition")]),
        ({"where": ["a", "exists"]}, [("where[0]", "invalid_condition"), ("where[1]", "invalid_condition")]),
        ({"where": [None]}, [("where[0]", "invalid_condition")]),
        ({"where": {}}, [("where", "unknown_node")]),
        ({"where": {"or": []}}, [("where", "unknown_node")]),
        ({"where": {"all": [], "any": []}}, [("where", "unknown_node")]),
        ({"where": {"at_least": 1}}, [("where", "unknown_node")]),
        ({"where": {"all": {}}}, [("where.all", "invalid_type")]),
        ({"where": {"any": []}}, [("where.any", "empty_any")]),
        ({"where": {"at_least": 2, "of": EXISTS[:1]}}, [("where.at_least", "invalid_at_least")]),
        ({"where": {"not": 5}}, [("where.not", "invalid_condition")]),
        ({"where": [{"any": [{"not": ["a", "like", "b"]}]}]}, [("where[0].any[0].not[1]", "unknown_operator")]),
        # Conditions.
        ({"where": [[]]}, [("where[0]", "invalid_condition")]),
        ({"where": [["a"]]}, [("where[0]", "invalid_condition")]),
        ({"where": [["a", "eq", 1, 2]]}, [("where[0]", "invalid_condition")]),
        ({"where": [["", "eq", 1]]}, [("where[0][0]", "invalid_name")]),
        ({"where": [["x" * 256, "eq", 1]]}, [("where[0][0]", "invalid_name")]),
        ({"where": [["a\x00", "exists"]]}, [("where[0][0]", "nul_character")]),
        ({"where": [[1, "eq", 1]]}, [("where[0][0]", "invalid_name")]),
        ({"where": [["a", "=", 1]]}, [("where[0][1]", "unknown_operator")]),
        ({"where": [["a", "EQ", 1]]}, [("where[0][1]", "unknown_operator")]),
        ({"where": [["a", ["eq"], 1]]}, [("where[0][1]", "unknown_operator")]),
        ({"where": [["a", "eq"]]}, [("where[0]", "missing_operand")]),
        ({"where": [["a", "exists", 1]]}, [("where[0][2]", "unexpected_operand")]),
        # Operands.
        ({"where": [["a", "eq", None]]}, [("where[0][2]", "invalid_value")]),
        ({"where": [["a", "eq", [1]]]}, [("where[0][2]", "invalid_value")]),
        ({"where": [["a", "eq", "\x00"]]}, [("where[0][2]", "nul_character")]),
        ({"where": [["a", "ne", {}]]}, [("where[0][2]", "invalid_value")]),
        ({"where": [["a", "in", "a"]]}, [("where[0][2]", "invalid_operand")]),
        ({"where": [["a", "in", []]]}, [("where[0][2]", "invalid_operand")]),
        ({"where": [["a", "in", [1] * (IN_MAX + 1)]]}, [("where[0][2]", "invalid_operand")]),
        ({"where": [["a", "in", [1, None]]]}, [("where[0][2][1]", "invalid_value")]),
        ({"where": [["a", "gt", "5"]]}, [("where[0][2]", "invalid_operand")]),
        ({"where": [["a", "le", True]]}, [("where[0][2]", "invalid_operand")]),
        ({"where": [["a", "ge", "2026-01-01"]]}, [("where[0][2]", "invalid_operand")]),
        ({"where": [["a", "contains", 5]]}, [("where[0][2]", "invalid_operand")]),
        ({"where": [["a", "prefix", True]]}, [("where[0][2]", "invalid_operand")]),
        ({"where": [["a", "is_type", "text"]]}, [("where[0][2]", "invalid_operand")]),
        ({"where": [["a", "is_type", ["string"]]]}, [("where[0][2]", "invalid_operand")]),
        ({"where": [["@created_at", "gt", 5, 6]]}, [("where[0]", "invalid_condition")]),
    ],
    ids=lambda value: repr(value)[:50],
)  # fmt: skip
def test_every_fault_is_reported_with_its_place(body: object, expected: list[tuple[str, str]]) -> None:
    assert sorted(faults(body)) == sorted(expected)


def test_all_faults_are_reported_at_once() -> None:
    assert faults({"where": [["a", "=", 1], ["b", "eq"]], "limit": 0, "colour": 1}) == [
        ("colour", "unknown_field"),
        ("where[0][1]", "unknown_operator"),
        ("where[1]", "missing_operand"),
        ("limit", "invalid_limit"),
    ]


def test_conditions_are_bounded_in_number() -> None:
    condition = ["a", "exists"]
    query_parse({"where": [condition] * CONDITIONS_MAX})
    assert faults({"where": [condition] * (CONDITIONS_MAX + 1)}) == [
        (f"where[{CONDITIONS_MAX}]", "too_many_conditions")
    ]
    halves = {"any": [{"all": [condition] * 150}, {"all": [condition] * 150}]}
    assert faults({"where": halves}) == [("where.any[1].all[50]", "too_many_conditions")]


def test_conditions_are_bounded_in_depth() -> None:
    query_parse({"where": nested(DEPTH_MAX)})
    assert faults({"where": nested(DEPTH_MAX + 1)}) == [("where" + ".not" * DEPTH_MAX, "too_deep")]


@given(
    st.recursive(
        st.one_of(
            st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(["a", "all", "any", *OPERATORS])
        ),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(
                st.sampled_from(["all", "any", "at_least", "of", "not", "where", "match", "limit"]), inner, max_size=3
            ),
        ),
        max_leaves=12,
    )
)
@examples(100)
def test_any_json_is_a_query_or_a_list_of_faults(body: object) -> None:
    try:
        query = query_parse(body)
    except InvalidQuery as error:
        refused = error.errors
    else:
        refused = []
        assert 1 <= query.limit <= 1000
    assert refused or isinstance(body, dict)
