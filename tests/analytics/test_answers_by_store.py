"""Over HTTP: EVENTUAL answers come from ClickHouse and are the known ones; late replicas are relieved by the cache."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from atlasco.lib import clock
from tenants.models import Tenant
from tenants.services import token_create
from tests.analytics.feeding import ARRIVAL_TIMEOUT_S
from tests.analytics.live_feed import live_feed
from tests.api.client import Answer, Client
from tests.cluster import Cluster
from tests.entities.test_reference_data import ANSWERS, ROUNDTRIPS, SETS, World, answered, assert_same
from tests.waiting import wait_until

__all__ = ["live_feed"]

pytestmark = pytest.mark.usefixtures("live_feed")
# What is told by the registry is not a question to ClickHouse.
_OF_THE_REGISTRY = "/attributes/"


@dataclass
class Eventual(Client):
    """Reads as EVENTUAL, and is answered by ClickHouse alone: it waits until ClickHouse has what its token names."""

    def ask(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        data: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str | bytes | None] | None = None,
    ) -> Answer:
        is_read = method == "GET" or path in {"/entities/search/", "/analytics/aggregate/"}
        sent = {"X-Freshness-Tier": "EVENTUAL", **(headers or {})} if is_read else headers
        deadline = time.monotonic() + ARRIVAL_TIMEOUT_S
        while True:
            answer = super().ask(method, path, json, data=data, params=params, headers=sent)
            source = answer.header("X-Data-Source")
            if not is_read or path == _OF_THE_REGISTRY or source == "clickhouse":
                return answer
            assert time.monotonic() < deadline, source
            time.sleep(0.05)


class EventualWorld(World):
    def empty(self, name: str) -> Client:
        client = super().empty(name)
        return Eventual(client.url, client.tenant, client.token)


@pytest.fixture(scope="module")
def worlds(live_feed: Cluster, web_url: str, django_db_blocker: Any) -> Iterator[dict[str, World]]:
    made: dict[str, World] = {name: EventualWorld(name, web_url) for name in SETS}
    with django_db_blocker.unblock():
        yield made
        for world in made.values():
            world.delete()


@pytest.mark.parametrize(("name", "item"), ANSWERS)
def test_a_question_has_its_known_answer_in_clickhouse(
    name: str, item: dict[str, Any], worlds: dict[str, World]
) -> None:
    assert_same(answered(worlds[name], item), item["expected"], item.get("relative_tolerance", 0.0))


@pytest.mark.parametrize(("name", "item"), ROUNDTRIPS)
def test_an_entity_of_clickhouse_is_the_one_of_the_primary(
    name: str, item: dict[str, Any], worlds: dict[str, World]
) -> None:
    client = worlds[name].client(item["tenant"])
    params = {"external_id": item["external_id"], "entity_type": item["entity_type"]}
    (entity,) = client.get("/entities/", params=params).body["entities"]
    path = f"/entities/{entity['entity_id']}/"
    current = Client(client.url, client.tenant, client.token).get(path)
    assert current.header("X-Data-Source") == "primary"
    assert entity == client.get(path).body == current.body


@pytest.fixture
def acme(live_db: None, web_url: str, tenant_make: Callable[..., Tenant]) -> Client:
    return _client(web_url, tenant_make("acme"))


@pytest.fixture
def globex(live_db: None, web_url: str, tenant_make: Callable[..., Tenant]) -> Client:
    return _client(web_url, tenant_make("globex"))


def _client(web_url: str, tenant: Tenant) -> Client:
    return Client(web_url, tenant, token_create(tenant=tenant, name="test", now=clock.now())[1])


def until(ask: Callable[[], Answer], wanted: Callable[[Answer], bool]) -> Answer:
    return wait_until(lambda: answer if wanted(answer := ask()) else None, pause_s=0.05)


def source(answer: Answer) -> str | None:
    return answer.header("X-Data-Source")


NEAR = {"X-Freshness-Tier": "NEAR_REALTIME"}


def test_while_replicas_are_late_the_cache_answers_what_was_written_lately(
    live_feed: Cluster, acme: Client, globex: Client
) -> None:
    live_feed.must_be_embedded()
    entity = acme.create("1", n=1)
    theirs = globex.create("1", n=2)
    path, their_path = f"/entities/{entity['entity_id']}/", f"/entities/{theirs['entity_id']}/"
    for name in ("replica1", "replica2"):
        live_feed.ask("pause-replay", name=name)
    try:
        answer = until(lambda: acme.get(path, headers=NEAR), lambda got: source(got) == "redis-cache")
        assert (answer.body, answer.header("X-Cache-Hit")) == (entity, "true")
        assert float(answer.header("X-Data-Lag-Seconds") or "inf") < 5 and answer.header("X-SLA-Met") == "true"
        # What it writes, it reads: the cache is waited for, or somebody else answers.
        written = acme.ask("PATCH", path, {"attributes": {"n": 5}})
        seen = acme.get(path, headers=NEAR | {"X-Consistency-Token": str(written.header("X-Consistency-Token"))})
        assert seen.body["attributes"] == {"n": 5}
        # Another tenant's entity is not there, whoever is asked.
        assert acme.get(their_path, headers=NEAR).status == 404
        assert acme.ask("DELETE", path).status == 204
        gone = until(lambda: acme.get(path, headers=NEAR), lambda got: got.status == 404)
        assert gone.code == "entity_not_found"
    finally:
        for name in ("replica1", "replica2"):
            live_feed.ask("resume-replay", name=name)
    live_feed.wait_for_replicas()


def test_clickhouse_keeps_tenants_apart_and_cursors_valid(acme: Client, globex: Client) -> None:
    eventual = {"X-Freshness-Tier": "EVENTUAL"}
    for number in range(5):
        acme.create(str(number), n=number)
    globex.create("9", n=9)
    body: dict[str, Any] = {"where": [["n", "ge", 0]], "order_by": "external_id", "limit": 2, "count": "exact"}

    def page(client: Client, **more: Any) -> Answer:
        return client.post("/entities/search/", {**body, **more}, headers=eventual)

    first = until(
        lambda: page(acme), lambda got: source(got) == "clickhouse" and got.body["metadata"]["total_count"] == 5
    )
    assert [entity["external_id"] for entity in first.body["entities"]] == ["0", "1"]
    # The next page, from whichever store.
    second = page(acme, cursor=first.body["next_cursor"])
    third = acme.post("/entities/search/", {**body, "cursor": second.body["next_cursor"]})
    assert [entity["external_id"] for entity in second.body["entities"] + third.body["entities"]] == ["2", "3", "4"]
    assert page(globex, cursor=first.body["next_cursor"]).code == "invalid_cursor"
    theirs = until(lambda: page(globex), lambda got: source(got) == "clickhouse" and bool(got.body["entities"]))
    assert [entity["external_id"] for entity in theirs.body["entities"]] == ["9"]
