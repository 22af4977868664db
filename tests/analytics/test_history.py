"""Values as they were: every change, what held at an instant, and what had not changed for long, over HTTP."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import Any

import pytest

from atlasco.lib import clock
from tenants.models import Tenant
from tenants.services import token_create
from tests.analytics.live_feed import live_feed
from tests.analytics.test_answers_by_store import until
from tests.api.client import Client, line
from tests.cluster import Cluster
from tests.entities.model import microseconds_of
from tests.entities.test_reference_data import STREAMS, World, assert_same, loaded

__all__ = ["live_feed"]

pytestmark = pytest.mark.usefixtures("live_feed")


@pytest.fixture
def acme(live_db: None, web_url: str, tenant_make: Callable[..., Tenant]) -> Client:
    return client_of(web_url, tenant_make("acme"))


@pytest.fixture
def globex(live_db: None, web_url: str, tenant_make: Callable[..., Tenant]) -> Client:
    return client_of(web_url, tenant_make("globex"))


def client_of(web_url: str, tenant: Tenant) -> Client:
    return Client(web_url, tenant, token_create(tenant=tenant, name="test", now=clock.now())[1])


def pages(client: Client, path: str, member: str, **params: Any) -> Iterator[dict[str, Any]]:
    """Every item of a list, page by page."""
    cursor: dict[str, str] = {}
    while True:
        answer = client.get(path, params={"limit": 1000, **params, **cursor})
        assert answer.status == 200, answer.content[:500]
        assert answer.header("X-Data-Source") == "clickhouse"
        yield from answer.body[member]
        if answer.body["next_cursor"] is None:
            return
        cursor = {"cursor": answer.body["next_cursor"]}


def id_of(client: Client, external_id: str) -> str:
    entity_id: str = client.get("/entities/", params={"external_id": external_id}).body["entities"][0]["entity_id"]
    return entity_id


def caught_up(client: Client) -> None:
    """Wait until ClickHouse has what the client wrote last, and ask for nothing less from then on."""
    token = str(client.post("/entities/", {"entity_type": "mark"}).header("X-Consistency-Token"))
    client.extra["X-Consistency-Token"] = token
    # Nobody else can answer; behind its token it refuses.
    until(lambda: client.get("/entities/1/history/"), lambda answer: answer.status == 200)


def values_at(client: Client, at: str, **params: Any) -> dict[str, Any]:
    return {
        f"{value['external_id']}|{value['name']}": value["value"]
        for value in pages(client, "/analytics/state/", "values", at=at, **params)
    }


def test_every_change_of_an_entity_is_told_newest_first(acme: Client, globex: Client) -> None:
    days = [f"2026-01-0{day}T00:00:00Z" for day in range(1, 6)]
    lines = [line("a", at=days[0], n=1, s="é"), line("a", at=days[1], n=2), line("a", at=days[1], n=2.5)]
    assert acme.import_lines(*lines).status == 200
    assert acme.import_lines(line("a", at=days[3], n=True), line("b", at=days[3], n=7)).status == 200
    # Came too late to take effect.
    assert acme.import_lines(line("a", at=days[2], n="late")).status == 200
    assert acme.import_lines(line("a", at=days[4], n=None)).status == 200
    assert globex.import_lines(line("a", at=days[4], n="theirs")).status == 200
    caught_up(acme)
    caught_up(globex)
    path = f"/entities/{id_of(acme, 'a')}/history/"
    changes = list(pages(acme, path, "changes", limit=2))
    told = [(change["name"], change["value"], change["at"]) for change in changes]
    assert told[:4] == [("n", None, days[4]), ("n", True, days[3]), ("n", 2.5, days[1]), ("n", 2, days[1])]
    assert sorted(told[4:]) == [("n", 1, days[0]), ("s", "é", days[0])]
    assert [change["value"] for change in pages(acme, path, "changes", attribute="s")] == ["é"]
    assert changes[0]["value_type"] == "removed" and changes[1]["value_type"] == "boolean"
    assert list(pages(globex, path, "changes")) == []


def test_what_held_at_an_instant(acme: Client, globex: Client) -> None:
    assert (
        acme.import_lines(
            line("a", at="2026-01-01T00:00:00Z", n=1),
            line("a", at="2026-01-02T00:00:00Z", n=2, m="x"),
            line("a", at="2026-01-03T00:00:00Z", n=None),
            line("b", at="2026-01-01T12:00:00Z", n=9),
        ).status
        == 200
    )
    assert globex.import_lines(line("a", at="2026-01-01T00:00:00Z", n="theirs")).status == 200
    caught_up(acme)
    caught_up(globex)
    assert values_at(acme, "2025-12-31T00:00:00Z") == {}
    assert values_at(acme, "2026-01-01T00:00:00Z") == {"a|n": 1}
    assert values_at(acme, "2026-01-02T23:00:00+01:00", limit=1) == {"a|n": 2, "a|m": "x", "b|n": 9}
    assert values_at(acme, "2026-01-03T00:00:00Z") == {"a|m": "x", "b|n": 9}
    assert values_at(acme, "2026-01-03T00:00:00Z", attribute="m") == {"a|m": "x"}
    # a changed just now; b has not for a day and a half.
    assert values_at(acme, "2026-01-03T00:00:00Z", stale_for_s=86_400) == {"b|n": 9}
    assert values_at(acme, "2026-01-03T00:00:00Z", stale_for_s=129_600) == {}
    path = f"/entities/{id_of(acme, 'a')}/history/"
    of_one = acme.get(path, params={"at": "2026-01-02T00:00:00Z"}).body["values"]
    assert {value["name"]: value["value"] for value in of_one} == {"m": "x", "n": 2}
    assert acme.ask("DELETE", path.removesuffix("history/")).status == 204
    caught_up(acme)
    (gone, *_) = acme.get(path, params={"at": "2026-01-02T00:00:00Z", "attribute": "n"}).body["values"]
    assert (gone["value"], gone["external_id"]) == (2, None)
    assert [change["value"] for change in pages(acme, path, "changes", attribute="m")] == [None, "x"]


def test_questions_that_make_no_sense_are_refused(acme: Client, globex: Client) -> None:
    assert acme.get("/analytics/state/").faults == [("at", "invalid_parameter")]
    assert acme.get("/analytics/state/", params={"at": "2026-01-01"}).faults == [("at", "invalid_parameter")]
    stale = {"at": "2026-01-01T00:00:00Z", "stale_for_s": "-1"}
    assert acme.get("/analytics/state/", params=stale).faults == [("stale_for_s", "invalid_parameter")]
    assert acme.get("/entities/1/history/", params={"cursor": "x"}).code == "invalid_cursor"
    assert acme.get("/entities/1/history/", params={"since": "x"}).faults == [("since", "unknown_parameter")]
    assert globex.import_lines(line("a", at="2026-01-01T00:00:00Z", n=1, m=2)).status == 200
    caught_up(globex)
    path = f"/entities/{id_of(globex, 'a')}/history/"
    cursor = globex.get(path, params={"limit": 1}).body["next_cursor"]
    assert acme.get(path, params={"limit": 1, "cursor": cursor}).code == "invalid_cursor"


# --- A real stream ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def streams(live_feed: Cluster, web_url: str, django_db_blocker: Any) -> Iterator[dict[str, World]]:
    made = {name: World(name, web_url) for name in STREAMS}
    with django_db_blocker.unblock():
        for world in made.values():
            for tenant in world.lines:
                # All lines at once: most values are replaced in the same transaction.
                world._clients[tenant] = client = world.empty(tenant)
                data = gzip.compress(b"".join(world.lines[tenant]), 1)
                answer = client.post("/entities/import/", data=data, headers={"Content-Encoding": "gzip"})
                assert answer.status == 200, answer.content[:500]
                caught_up(client)
        yield made
        for world in made.values():
            world.delete()


def asked(kind: str) -> list[Any]:
    items = [(name, item) for name in STREAMS for item in loaded(name, "answers") if item.get("kind") == kind]
    return [pytest.param(name, item, id=item["id"]) for name, item in items]


def state(world: World, at: str, **params: Any) -> dict[str, dict[str, Any]]:
    return {
        f"{value['external_id']}|{value['name']}": value
        for client in world._clients.values()
        for value in pages(client, "/analytics/state/", "values", at=at, **params)
    }


@pytest.mark.parametrize(("name", "item"), asked("state_at"))
def test_the_state_of_a_stream_at_an_instant(name: str, item: dict[str, Any], streams: dict[str, World]) -> None:
    got = state(streams[name], item["filter"]["at_or_before"])
    expected = item["expected"]
    assert got.keys() == expected.keys()
    for series, value in got.items():
        assert_same(value["value"], expected[series]["value"], 0.0)
        assert microseconds_of(value["at"]) == microseconds_of(expected[series]["at"])


@pytest.mark.parametrize(("name", "item"), asked("freshness"))
def test_what_of_a_stream_was_stale_at_an_instant(name: str, item: dict[str, Any], streams: dict[str, World]) -> None:
    at, limit_s = item["filter"]["at"], item["filter"]["max_age_minutes"] * 60
    stale = {series.split("|")[0] for series in state(streams[name], at, stale_for_s=limit_s)}
    known = {series.split("|")[0] for series in state(streams[name], at)}
    assert (sorted(stale), sorted(known - stale)) == (item["expected"]["stale"], item["expected"]["fresh"])


def samples(world: World, external_id: str, attribute: str) -> list[tuple[datetime, Any]]:
    for client in world._clients.values():
        found = client.get("/entities/", params={"external_id": external_id}).body["entities"]
        if found:
            path = f"/entities/{found[0]['entity_id']}/history/"
            changes = pages(client, path, "changes", attribute=attribute)
            return [(datetime.fromisoformat(change["at"]), change["value"]) for change in changes][::-1]
    raise AssertionError(external_id)


@pytest.mark.parametrize(("name", "item"), asked("window"))
def test_the_samples_of_a_window(name: str, item: dict[str, Any], streams: dict[str, World]) -> None:
    filter_ = item["filter"]
    start, end = (datetime.fromisoformat(filter_[member]) for member in ("from", "to_exclusive"))
    series = samples(streams[name], filter_["external_id"], filter_["attribute"])
    values = [value for at, value in series if start <= at < end]
    got = {
        "count": len(values), "min": min(values), "max": max(values),
        "avg": sum(values) / len(values), "median": float(median(values)),
    }  # fmt: skip
    assert_same(got, item["expected"] | {"median": float(item["expected"]["median"])}, 1e-9)


@pytest.mark.parametrize(("name", "item"), asked("gaps"))
def test_the_gaps_of_a_series(name: str, item: dict[str, Any], streams: dict[str, World]) -> None:
    filter_ = item["filter"]
    instants = [at for at, _ in samples(streams[name], filter_["external_id"], filter_["attribute"])]
    gaps = [(later - at).total_seconds() for at, later in pairwise(instants)]
    wide = [gap for gap in gaps if gap > filter_["over_minutes"] * 60]
    assert (len(wide), max(wide)) == (item["expected"]["gaps"], item["expected"]["longest_gap_seconds"])
