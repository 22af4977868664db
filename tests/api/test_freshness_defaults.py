"""What a tenant settles of freshness for itself: by query class, and for single attributes. Others keep their own."""

from __future__ import annotations

from typing import Any

import pytest

from tenants.binding import tenant_bind
from tenants.models import AuditEntry
from tests.api.client import Answer, Client

DEFAULTS = "/freshness/defaults/"
EVENTUAL = {"X-Freshness-Tier": "EVENTUAL"}


@pytest.fixture(autouse=True)
def _as_before(acme: Client) -> Any:
    """The tenants are kept for the session; what they settled is not."""
    yield
    settled = acme.get(DEFAULTS).body
    nothing = {member: dict.fromkeys(settled[member]) for member in ("classes", "attributes")}
    assert acme.ask("PATCH", DEFAULTS, nothing).status == 200


def settle(client: Client, **members: Any) -> Answer:
    answer = client.ask("PATCH", DEFAULTS, members)
    assert answer.status == 200, answer.content
    return answer


def explained(client: Client, **body: Any) -> tuple[str, Any, dict[str, str]]:
    answer = client.post("/freshness/explain/", {"operation": "search", **body}).body
    return answer["tier"], answer["sla_target"], answer["budget_from"]


def tier(client: Client, body: Any, headers: dict[str, str] | None = None) -> str | None:
    return client.post("/entities/search/", body, headers=headers or {}).header("X-Freshness-Tier")


def test_a_default_of_one_tenant_moves_its_searches_and_no_others(acme: Client, globex: Client) -> None:
    settle(acme, classes={"operational": {"tier": "REALTIME"}})
    searched = acme.post("/entities/search/", {})
    assert (searched.header("X-Freshness-Tier"), searched.header("X-Data-Source")) == ("REALTIME", "primary")
    assert tier(acme, {}, EVENTUAL) == "EVENTUAL"
    assert tier(globex, {}) == "NEAR_REALTIME"
    assert globex.get(DEFAULTS).body["classes"] == {}


def test_seconds_alone_mean_the_tier_in_whose_range_they_lie(acme: Client) -> None:
    told = settle(acme, classes={"reporting": {"max_lag_seconds": 2.5}})
    assert told.body == {"classes": {"reporting": {"max_lag_seconds": 2.5}}, "attributes": {}}
    freshness = acme.post("/analytics/aggregate/", {"fn": "count"}).body["metadata"]["freshness"]
    assert (freshness["tier"], freshness["sla_target"]) == ("NEAR_REALTIME", 2.5)


def test_an_attribute_with_a_floor_is_never_told_older_whatever_a_request_asks(acme: Client, globex: Client) -> None:
    settle(acme, attributes={"price": {"tier": "REALTIME"}})
    entity_id = acme.create("1", price=5, colour="red")["entity_id"]
    globex.create("1", price=7)
    by_price = {"where": [["price", "gt", 1]], "fields": ["colour"]}
    for told in ({}, {"fields": ["price"]}, by_price):
        assert tier(acme, told, EVENTUAL) == "REALTIME"
        assert tier(globex, told, EVENTUAL) == "EVENTUAL"
    assert tier(acme, {"where": [["colour", "exists"]], "fields": ["colour"]}, EVENTUAL) == "EVENTUAL"
    for path, wanted in (
        (f"/entities/{entity_id}/", "REALTIME"),
        (f"/entities/{entity_id}/attributes/price/", "REALTIME"),
        (f"/entities/{entity_id}/attributes/colour/", "EVENTUAL"),
        ("/attributes/", "REALTIME"),
        ("/attributes/price/", "REALTIME"),
        ("/attributes/colour/", "EVENTUAL"),
        ("/attribute-aliases/", "EVENTUAL"),
        ("/analytics/rollups/distribution/", "REALTIME"),
        ("/analytics/rollups/distribution/?attribute=price", "REALTIME"),
        ("/analytics/rollups/distribution/?attribute=colour", "EVENTUAL"),
        ("/analytics/rollups/values/?attribute=price", "REALTIME"),
        ("/analytics/rollups/values/?attribute=colour", "EVENTUAL"),
        ("/analytics/rollups/trend/?attribute=price", "REALTIME"),
        ("/analytics/rollups/trend/?attribute=colour", "EVENTUAL"),
        ("/analytics/rollups/entities/", "EVENTUAL"),
        (f"/entities/{entity_id}/history/", "REALTIME"),
        (f"/entities/{entity_id}/history/?attribute=price", "REALTIME"),
        (f"/entities/{entity_id}/history/?attribute=colour", "EVENTUAL"),
        (f"/entities/{entity_id}/history/?at=2026-01-01T00:00:00Z", "REALTIME"),
        ("/analytics/state/?at=2026-01-01T00:00:00Z", "REALTIME"),
        ("/analytics/state/?at=2026-01-01T00:00:00Z&attribute=price", "REALTIME"),
        ("/analytics/state/?at=2026-01-01T00:00:00Z&attribute=colour", "EVENTUAL"),
    ):
        assert acme.get(path, headers=EVENTUAL).header("X-Freshness-Tier") == wanted, path
    for body, wanted in (
        ({"fn": "max", "attribute": "price"}, "REALTIME"),
        ({"fn": "count", "group_by": "price"}, "REALTIME"),
        ({"fn": "count", "where": [["price", "exists"]]}, "REALTIME"),
        ({"fn": "count"}, "EVENTUAL"),
    ):
        assert acme.post("/analytics/aggregate/", body).header("X-Freshness-Tier") == wanted, body


def test_explain_tells_whose_a_budget_is(acme: Client) -> None:
    assert explained(acme) == ("NEAR_REALTIME", 10, {"origin": "class"})
    settle(acme, classes={"operational": {"max_lag_seconds": 7}}, attributes={"price": {"max_lag_seconds": 2}})
    assert explained(acme, attributes=["colour"]) == ("NEAR_REALTIME", 7, {"origin": "tenant"})
    assert explained(acme, **EVENTUAL, attributes=[]) == ("EVENTUAL", 300, {"origin": "header"})
    floor = {"origin": "attribute", "attribute": "price"}
    assert explained(acme, **EVENTUAL) == ("NEAR_REALTIME", 2, floor)
    assert explained(acme, attributes=["colour", "price"]) == ("NEAR_REALTIME", 2, floor)
    for operation in ("entity", "value", "attributes", "history", "state", "aggregate"):
        assert explained(acme, operation=operation, **EVENTUAL)[1:] == (2, floor), operation
    for operation in ("overview", "jobs", "defaults"):
        assert explained(acme, operation=operation, **EVENTUAL)[1:] == (300, {"origin": "header"}), operation
    route = acme.post("/entities/search/", {}, params={"explain": "route"}).body["route"]
    assert (route["sla_target"], route["budget_from"]) == (2, floor)
    refused = acme.post("/freshness/explain/", {"operation": "search", "attributes": "price"})
    assert refused.faults == [("attributes", "invalid_explain")]


def test_what_is_taken_back_is_as_if_it_had_never_been(acme: Client) -> None:
    settle(acme, classes={"operational": {"tier": "REALTIME"}}, attributes={"price": {"tier": "REALTIME"}})
    settle(acme, attributes={"price": None})
    assert acme.get(DEFAULTS).body["classes"] == {"operational": {"tier": "REALTIME"}}
    settle(acme, classes={"operational": None})
    assert tier(acme, {}) == "NEAR_REALTIME"
    with tenant_bind(acme.tenant):
        entries = AuditEntry.objects.filter(tenant_id=acme.tenant.pk, action="tenant.freshness").order_by("-audit_id")
        assert (entries[0].before, entries[0].after) == (
            {"classes": {"operational": {"tier": "REALTIME"}}},
            {"classes": {"operational": None}},
        )


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ([], [("", "invalid_type")]),
        ({"tiers": {}}, [("tiers", "unknown_field")]),
        ({"classes": []}, [("classes", "invalid_type")]),
        ({"classes": {"urgent": {"tier": "REALTIME"}}}, [("classes.urgent", "unknown_class")]),
        ({"attributes": {"a": {}}}, [("attributes.a", "invalid_limit")]),
        ({"attributes": {"a": {"tier": "FAST"}}}, [("attributes.a.tier", "invalid_tier")]),
        ({"attributes": {"a": {"max_lag_seconds": -1}}}, [("attributes.a.max_lag_seconds", "invalid_lag")]),
        ({"attributes": {"a": {"max_lag_seconds": True}}}, [("attributes.a.max_lag_seconds", "invalid_lag")]),
        ({"attributes": {"a": {"lag": 1}}}, [("attributes.a", "invalid_limit")]),
        ({"attributes": {"": {"tier": "REALTIME"}}}, [("attributes", "invalid_name")]),
        ({"attributes": {f"a{number}": {"tier": "EVENTUAL"} for number in range(201)}}, [("attributes", "too_many")]),
    ],
)
def test_what_can_not_be_settled_is_refused_whole(body: Any, faults: list[tuple[str, str]], acme: Client) -> None:
    answer = acme.ask("PATCH", DEFAULTS, body)
    assert (answer.status, answer.faults) == (400, faults)
    settled = acme.get(DEFAULTS).body
    assert (settled["classes"], settled["attributes"]) == ({}, {})
