"""Searches and aggregates as a client sees them: envelope, pages, counts, cursors."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.client import FRESHNESS_MEMBERS, Client, line

LAMPS = [
    line("1", at="2026-01-01T00:00:01Z", status="active", priority=7, region="north"),
    line("2", at="2026-01-01T00:00:02Z", status="active", priority=3, region="south"),
    line("3", at="2026-01-01T00:00:03Z", status="broken", priority=9),
    line("4", "chair", at="2026-01-01T00:00:04Z", status="active", priority="9"),
]


@pytest.fixture
def lamps(acme: Client, globex: Client) -> Client:
    acme.import_lines(*LAMPS)
    globex.import_lines(*LAMPS, line("theirs", status="active", priority=9, region="north"))
    return acme


def pages(client: Client, body: dict[str, Any], limit: int) -> list[list[str]]:
    found = []
    cursor = None
    while True:
        answer = client.post("/entities/search/", {**body, "limit": limit, "cursor": cursor})
        assert answer.status == 200, answer.content
        found.append([entity["external_id"] for entity in answer.body["entities"]])
        cursor = answer.body["next_cursor"]
        if cursor is None:
            return found


def test_the_example_of_the_contract_is_answered(lamps: Client) -> None:
    answer = lamps.post(
        "/entities/search/",
        {
            "entity_type": "lamp",
            "where": [["status", "eq", "active"], ["priority", "gt", 5]],
            "match": "all",
            "order_by": "-updated_at",
            "limit": 100,
            "cursor": None,
            "fields": ["status", "region"],
            "count": "none",
        },
    )
    body = answer.body
    assert body.keys() == {"entities", "next_cursor", "metadata"}
    (entity,) = body["entities"]
    assert entity.keys() == {"entity_id", "entity_type", "external_id", "created_at", "updated_at", "attributes"}
    assert entity["attributes"] == {"status": "active", "region": "north"}
    assert body["next_cursor"] is None
    assert body["metadata"].keys() == {"total_count", "count_kind", "freshness"}
    assert (body["metadata"]["total_count"], body["metadata"]["count_kind"]) == (None, "none")


def test_the_body_and_the_headers_tell_one_freshness(lamps: Client) -> None:
    for path, body in (("/entities/search/", {}), ("/analytics/aggregate/", {"fn": "count"})):
        answer = lamps.post(path, body)
        told = answer.body["metadata"]["freshness"]
        assert told.keys() >= FRESHNESS_MEMBERS
        assert (told["tier"], told["source"]) == (answer.header("X-Freshness-Tier"), answer.header("X-Data-Source"))
        assert answer.header("X-SLA-Met") == {True: "true", False: "false", None: "unknown"}[told["sla_met"]]


def test_everything_is_a_search_too(lamps: Client, globex: Client) -> None:
    assert lamps.search() == ["4", "3", "2", "1"]
    assert lamps.post("/entities/search/").status == 200  # Without any body.
    assert globex.search()[0] == "theirs"


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
def test_pages_hold_each_match_once_and_in_order(limit: int, lamps: Client) -> None:
    body = {"where": [["status", "exists"]], "order_by": "external_id"}
    found = pages(lamps, body, limit)
    assert [external_id for page in found for external_id in page] == ["1", "2", "3", "4"]
    assert all(len(page) == limit for page in found[:-1]) and 0 < len(found[-1]) <= limit


def test_a_page_that_nothing_follows_has_no_cursor(lamps: Client) -> None:
    assert pages(lamps, {"where": [["status", "eq", "nothing"]]}, 10) == [[]]
    assert pages(lamps, {}, 4) == [["4", "3", "2", "1"]]


def test_pages_stay_in_order_while_entities_come_and_go(lamps: Client) -> None:
    body = {"order_by": "-updated_at", "limit": 2}
    first = lamps.post("/entities/search/", body).body
    lamps.import_lines(line("new", at="2026-01-01T00:01:00Z"), line("old", at="2026-01-01T00:00:00Z"))
    gone = next(e for e in lamps.post("/entities/search/", {}).body["entities"] if e["external_id"] == "2")
    lamps.ask("DELETE", f"/entities/{gone['entity_id']}/")
    second = lamps.post("/entities/search/", {**body, "cursor": first["next_cursor"]}).body
    assert [entity["external_id"] for entity in first["entities"] + second["entities"]] == ["4", "3", "1", "old"]


@pytest.mark.parametrize("kind", ["none", "exact", "estimate"])
def test_a_total_is_told_where_it_was_asked_for(kind: str, lamps: Client) -> None:
    body = {"where": [["status", "eq", "active"]], "count": kind, "limit": 1}
    metadata = lamps.post("/entities/search/", body).body["metadata"]
    assert (metadata["count_kind"], metadata["total_count"]) == (kind, None if kind == "none" else 3)


def test_only_the_fields_asked_for_are_returned(lamps: Client) -> None:
    for fields, expected in (
        ([], {}),
        (["priority"], {"priority": 7}),
        (["priority", "priority", "unknown"], {"priority": 7}),
        (None, LAMPS[0]["attributes"]),
    ):
        answer = lamps.post("/entities/search/", {"where": [["@external_id", "eq", "1"]], "fields": fields})
        assert answer.body["entities"][0]["attributes"] == expected


def test_a_cursor_is_good_for_its_query_and_tenant_only(lamps: Client, globex: Client) -> None:
    body = {"where": [["status", "eq", "active"]], "limit": 1}
    own = lamps.post("/entities/search/", body).body["next_cursor"]
    theirs = globex.post("/entities/search/", body).body["next_cursor"]
    registry = lamps.get("/attributes/", params={"limit": 1}).body["next_cursor"]
    assert lamps.post("/entities/search/", {**body, "cursor": own}).status == 200
    flipped = ("A" if own[5] != "A" else "B").join([own[:5], own[6:]])
    refused = [theirs, registry, flipped, own[:-3], own + "x", "garbage", "a:b", "é", "\x00", "A" * 10_000]
    for cursor in refused:
        answer = lamps.post("/entities/search/", {**body, "cursor": cursor})
        assert (answer.status, answer.code) == (400, "invalid_cursor"), cursor[:40]
    changes: list[dict[str, Any]] = [
        {"where": []},
        {"order_by": "updated_at"},
        {"entity_type": "lamp"},
        {"match": "any", "where": [["a", "exists"]]},
    ]
    for change in changes:
        answer = lamps.post("/entities/search/", {**body, **change, "cursor": own})
        assert (answer.status, answer.code) == (400, "invalid_cursor"), change
    # The list is the same search with another where.
    assert lamps.get("/entities/", params={"cursor": own}).code == "invalid_cursor"


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"where": [["status", "is", "active"]]}, ("where[0][1]", "unknown_operator")),
        ({"where": [["status"]]}, ("where[0]", "invalid_condition")),
        ({"where": {"any": [["a", "gt", "x"]]}}, ("where.any[0][2]", "invalid_operand")),
        ({"where": [["a", "eq", "\x00"]]}, ("where[0][2]", "nul_character")),
        ({"filter": []}, ("filter", "unknown_field")),
        ({"order_by": "priority"}, ("order_by", "invalid_order_by")),
        ({"limit": 0}, ("limit", "invalid_limit")),
        ({"count": "maybe"}, ("count", "invalid_count")),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_query_that_can_not_be_understood_is_told(body: dict[str, Any], fault: tuple[str, str], acme: Client) -> None:
    answer = acme.post("/entities/search/", body)
    assert (answer.status, answer.code, answer.faults) == (400, "invalid_query", [fault])


def test_the_largest_query_that_is_taken_is_answered(lamps: Client) -> None:
    wide = {"where": [["a", "in", [f"value {number}" for number in range(1000)]]] * 200, "match": "any"}
    assert lamps.search(**wide) == []
    deep: Any = ["status", "eq", "broken"]
    for _ in range(9):
        deep = {"at_least": 1, "of": [{"not": {"not": deep}} if isinstance(deep, list) else deep, ["x", "exists"]]}
    assert lamps.search(where=deep) == ["3"]


# --- Aggregates -------------------------------------------------------------------------------------------------------


def test_an_aggregate_is_groups_and_metadata(lamps: Client) -> None:
    answer = lamps.post("/analytics/aggregate/", {"fn": "count", "group_by": "status"})
    assert answer.status == 200 and answer.body.keys() == {"groups", "metadata"}
    assert answer.body["groups"] == [
        {"key": "active", "value": 3, "count": 3},
        {"key": "broken", "value": 1, "count": 1},
    ]


@pytest.mark.parametrize(
    ("body", "groups"),
    [
        ({"fn": "count"}, [(None, 4, 4)]),
        ({"fn": "count", "entity_type": "lamp"}, [(None, 3, 3)]),
        ({"fn": "count", "attribute": "region"}, [(None, 2, 2)]),
        ({"fn": "avg", "attribute": "priority", "where": [["status", "eq", "active"]]}, [(None, 5, 2)]),
        ({"fn": "median", "attribute": "priority"}, [(None, 7, 3)]),
        ({"fn": "max", "attribute": "priority", "group_by": "entity_type"}, [("lamp", 9, 3)]),
        ({"fn": "type_mix", "attribute": "priority"}, [(None, {"number": 3, "string": 1}, 4)]),
        ({"fn": "distinct", "attribute": "priority"}, [(None, 4, 4)]),
        ({"fn": "count", "group_by": "priority", "top": 1}, [("9", 1, 1)]),
        ({"fn": "count", "group_by": "status", "min_count": 2}, [("active", 3, 3)]),
        ({"fn": "count", "group_by": "@created_at:day"}, [("2026-01-01", 4, 4)]),
        ({"fn": "min", "attribute": "unknown"}, [(None, None, 0)]),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_aggregates_see_this_tenant_only(
    body: dict[str, Any], groups: list[tuple[Any, Any, int]], lamps: Client
) -> None:
    answer = lamps.post("/analytics/aggregate/", body)
    assert [(group["key"], group["value"], group["count"]) for group in answer.body["groups"]] == groups


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({}, ("fn", "invalid_fn")),
        ({"fn": "sum", "attribute": "a"}, ("fn", "invalid_fn")),
        ({"fn": "avg"}, ("attribute", "required")),
        ({"fn": "count", "where": [["a", "~", 1]]}, ("where[0][1]", "unknown_operator")),
        ({"fn": "count", "group": "a"}, ("group", "unknown_field")),
        ({"fn": "count", "group_by": "\x00"}, ("group_by", "nul_character")),
        ({"fn": "count", "top": 0}, ("top", "invalid_top")),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_an_aggregate_that_can_not_be_understood_is_told(
    body: dict[str, Any], fault: tuple[str, str], acme: Client
) -> None:
    answer = acme.post("/analytics/aggregate/", body)
    assert (answer.status, answer.code, answer.faults) == (400, "invalid_query", [fault])


# --- How it ran -------------------------------------------------------------------------------------------------------


def test_a_search_says_how_it_ran(lamps: Client) -> None:
    body = {"where": [["status", "eq", "active"], ["priority", "gt", 5]]}
    plain = lamps.post("/entities/search/", body).body
    answer = lamps.post("/entities/search/?explain=plan", body)
    assert answer.status == 200, answer.content
    assert answer.body["entities"] == plain["entities"]
    plan = answer.body["metadata"]["plan"]
    assert (plan["found"], [count["found"] for count in plan["conditions"]]) == (1, [3, 2])
    assert plan["steps"] and plan["statements"]


def test_another_explanation_is_refused(lamps: Client) -> None:
    answer = lamps.post("/entities/search/?explain=costs", {})
    assert (answer.status, answer.body["code"]) == (400, "invalid_parameter")
