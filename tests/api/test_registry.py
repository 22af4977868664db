"""/attributes/: every name that a tenant ever used, with what is known of it."""

from __future__ import annotations

from typing import Any

import pytest

from entities import services
from tenants.binding import tenant_bind
from tests.api.client import Client, line


def fold(client: Client) -> None:
    with tenant_bind(client.tenant):
        services.attribute_changes_fold(tenant_id=client.tenant.pk)
    client_stack_wait(client)


def client_stack_wait(client: Client) -> None:
    """The registry may be read from a replica: a write through the API makes this client see what was folded."""
    client.create(None)


def names(client: Client, **params: Any) -> list[str]:
    return [attribute["name"] for attribute in client.get("/attributes/", params=params).body["attributes"]]


def test_the_registry_fills_itself(acme: Client, globex: Client) -> None:
    acme.import_lines(line("1", a=1, b="x"), line("2", a="2", b="y"), line("3", a=True), line("4", a=2))
    globex.import_lines(line("1", c=1))
    for _ in range(2):
        (a, b) = acme.get("/attributes/").body["attributes"]
        assert (a["name"], a["types"], a["entity_count"]) == ("a", {"number": 2, "string": 1, "boolean": 1}, 4)
        assert (b["name"], b["types"], b["value_type"]) == ("b", {"string": 2}, "string")
        assert a == acme.get("/attributes/a/").body
        assert {
            "cardinality_estimate",
            "hot_score",
            "is_indexed",
            "last_analyzed",
            "description",
            "unit",
            "status",
        } <= a.keys()
        # The same with the counts folded in.
        fold(acme)
    assert names(globex) == ["c"]


def test_counts_follow_every_kind_of_write(acme: Client) -> None:
    entity = acme.create("1", a=1)
    path = f"/entities/{entity['entity_id']}/"

    def types() -> Any:
        return acme.get("/attributes/a/").body["types"]

    assert types() == {"number": 1}
    acme.ask("PUT", f"{path}attributes/a/", {"value": "one"})
    assert types() == {"string": 1}
    fold(acme)
    acme.import_lines(line("1", a=True), line("2", a=True), line("2", a=5))
    assert types() == {"boolean": 1, "number": 1}
    acme.ask("PATCH", path, {"attributes": {"a": None}})
    assert types() == {"number": 1}
    fold(acme)
    acme.import_lines(line("2"), params={"mode": "replace"})
    assert types() == {}
    known = acme.get("/attributes/a/").body
    assert (known["entity_count"], known["value_type"]) == (0, None)
    acme.import_lines(line("2", a=5))
    acme.ask(
        "DELETE", f"/entities/{acme.get('/entities/', params={'external_id': '2'}).body['entities'][0]['entity_id']}/"
    )
    assert types() == {}


def test_names_come_in_order_in_pages_and_by_prefix(acme: Client) -> None:
    wanted = ["A", "a", "a b", "a%", "a/b", "a_", "b", "é", "日本"]
    acme.import_lines({**line("1"), "attributes": dict.fromkeys(wanted, 1)})
    assert names(acme) == wanted
    assert names(acme, prefix="a") == ["a", "a b", "a%", "a/b", "a_"]
    assert names(acme, prefix="a%") == ["a%"]
    assert names(acme, prefix="a_") == ["a_"]
    assert names(acme, prefix="é") == ["é"]
    assert names(acme, prefix="x") == []
    seen: list[str] = []
    params: dict[str, Any] = {"limit": 4}
    while True:
        page = acme.get("/attributes/", params=params).body
        assert len(page["attributes"]) <= 4
        seen += [attribute["name"] for attribute in page["attributes"]]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    assert seen == wanted


def test_a_cursor_of_another_tenant_or_of_a_search_is_refused(acme: Client, globex: Client) -> None:
    for client in (acme, globex):
        client.import_lines(line("1", a=1, b=1), line("2"))
    theirs = globex.get("/attributes/", params={"limit": 1}).body["next_cursor"]
    search = acme.post("/entities/search/", {"limit": 1}).body["next_cursor"]
    own = acme.get("/attributes/", params={"limit": 1}).body["next_cursor"]
    assert names(acme, cursor=own) == ["b"]
    # A page goes on with the question it was a page of.
    for other in ({"prefix": "b"}, {"status": "active"}):
        assert acme.get("/attributes/", params={"cursor": own, **other}).code == "invalid_cursor"
    for cursor in (theirs, search, own[:-1] + ("A" if own[-1] != "A" else "B"), "garbage", "é", ":"):
        answer = acme.get("/attributes/", params={"cursor": cursor})
        assert (answer.status, answer.code) == (400, "invalid_cursor"), cursor


def test_people_describe_an_attribute(acme: Client, globex: Client) -> None:
    for client in (acme, globex):
        client.import_lines({**line("1"), "attributes": {"a/b": 1}})
    change = {"description": "How bright.", "unit": "lm", "status": "deprecated"}
    answer = acme.ask("PATCH", "/attributes/a%2Fb/", change)
    assert answer.status == 200 and change.items() <= answer.body.items()
    assert change.items() <= acme.get("/attributes/a%2Fb/").body.items()
    acme.import_lines({**line("1"), "attributes": {"a/b": 2}})
    assert acme.get("/attributes/a%2Fb/").body["unit"] == "lm"
    assert globex.get("/attributes/a%2Fb/").body["unit"] == ""


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"name": "b"}, ("name", "unknown_field")),
        ({"is_indexed": True}, ("is_indexed", "unknown_field")),
        ({"unit": 5}, ("unit", "invalid_value")),
        ({"unit": None}, ("unit", "invalid_value")),
        ({"unit": "x" * 51}, ("unit", "invalid_value")),
        ({"unit": "\x00"}, ("unit", "invalid_value")),
        ({"description": "x" * 10_001}, ("description", "invalid_value")),
        ({"status": "gone"}, ("status", "invalid_value")),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_nothing_else_can_be_said(body: dict[str, Any], fault: tuple[str, str], acme: Client) -> None:
    acme.import_lines(line("1", a=1))
    answer = acme.ask("PATCH", "/attributes/a/", body)
    assert (answer.status, answer.faults) == (400, [fault])


def test_a_name_that_nobody_used_is_unknown(acme: Client, globex: Client) -> None:
    globex.import_lines(line("1", a=1))
    assert acme.get("/attributes/a/").code == "attribute_unknown"
    assert acme.ask("PATCH", "/attributes/a/", {"unit": "W"}).code == "attribute_unknown"
    assert globex.get("/attributes/a/").body["unit"] == ""
