"""Which store answers over HTTP, with replicas that pause and a primary that dies."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from django.db import connections

from atlasco.lib import clock
from tenants.models import Tenant
from tenants.services import tenant_host, token_create
from tests.cluster import Cluster
from tests.tenants.conftest import tenant_make
from tests.waiting import wait_until

__all__ = ["tenant_make"]

WAIT_S = 30


class Client:
    """The API of one tenant."""

    def __init__(self, web_url: str, tenant: Tenant) -> None:
        _, secret = token_create(tenant=tenant, name="test", now=clock.now())
        self.web_url, self.tenant = web_url, tenant
        self.url = f"{web_url}/api/v1"
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {secret}"

    def stranger(self) -> Client:
        """Somebody else of the same tenant."""
        return Client(self.web_url, self.tenant)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.session.request(method, f"{self.url}/{path}", json=body, headers=named, timeout=30)

    def search(self, **headers: str) -> requests.Response:
        return self.ask("POST", "entities/search/", {}, **headers)

    def create(self) -> requests.Response:
        return self.ask("POST", "entities/", {"entity_type": "thing", "attributes": {"n": 1}})

    def until(self, wanted: Callable[[requests.Response], bool], **headers: str) -> requests.Response:
        """Search until the answer is as wanted; the last answer where it never is."""
        deadline = time.monotonic() + WAIT_S
        while True:
            answer = self.search(**headers)
            if wanted(answer) or time.monotonic() > deadline:
                return answer
            time.sleep(0.1)


@pytest.fixture
def acme(live_db: None, web_url: str, tenant_make: Callable[..., Tenant]) -> Client:
    return Client(web_url, tenant_make("acme"))


@pytest.fixture
def globex(live_db: None, web_url: str, tenant_make: Callable[..., Tenant]) -> Client:
    return Client(web_url, tenant_make("globex"))


@pytest.fixture
def paused(stack: Cluster) -> Iterator[Cluster]:
    """Both replicas apply nothing until the test is over."""
    stack.must_be_embedded()
    for name in ("replica1", "replica2"):
        stack.ask("pause-replay", name=name)
    yield stack
    for name in ("replica1", "replica2"):
        stack.ask("resume-replay", name=name)
    stack.wait_for_replicas()


def source(answer: requests.Response) -> str:
    return answer.headers["X-Data-Source"]


def test_a_search_is_answered_by_a_replica_with_a_lag_that_it_states(acme: Client) -> None:
    answer = acme.until(lambda got: source(got) == "read-replica")
    assert source(answer) == "read-replica"
    assert 0 <= float(answer.headers["X-Data-Lag-Seconds"]) < 5
    assert answer.headers["X-SLA-Met"] == "true"
    freshness = answer.json()["metadata"]["freshness"]
    assert freshness["source"] == "read-replica"
    assert freshness["lag_seconds"] == pytest.approx(float(answer.headers["X-Data-Lag-Seconds"]))


def test_realtime_is_answered_by_the_primary(acme: Client) -> None:
    answer = acme.search(X_Freshness_Tier="REALTIME")
    assert (source(answer), answer.headers["X-SLA-Met"]) == ("primary", "true")


def test_a_token_shows_the_write_on_whatever_store_answers(acme: Client, globex: Client, stack: Cluster) -> None:
    stack.must_be_embedded()
    # A token of its own: what it reads is not the courtesy to the writer's own reads.
    stranger = acme.stranger()
    for name in ("replica1", "replica2"):
        stack.ask("pause-replay", name=name)
    try:
        written = acme.create()
        token = written.headers["X-Consistency-Token"]
        named = {"where": [["@external_id", "eq", written.json()["external_id"]]]}
        assert stranger.ask("POST", "entities/search/", named).json()["entities"] == []
        seen = stranger.ask("POST", "entities/search/", named, X_Consistency_Token=token)
        assert [entity["entity_id"] for entity in seen.json()["entities"]] == [written.json()["entity_id"]]
    finally:
        for name in ("replica1", "replica2"):
            stack.ask("resume-replay", name=name)
        stack.wait_for_replicas()
    assert globex.search(X_Consistency_Token=token).json()["code"] == "invalid_consistency_token"


def test_paused_replicas_hand_over_to_the_primary_and_get_their_reads_back(acme: Client, paused: Cluster) -> None:
    written = acme.create().json()["entity_id"]
    # Somebody else: the writer's own reads go to where its write is, at once.
    reader, seen = acme.stranger(), list[str]()

    def noted(got: requests.Response) -> str:
        seen.append(source(got))
        return seen[-1]

    moved = reader.until(lambda got: noted(got) == "primary")
    assert source(moved) == "primary"
    assert [entity["entity_id"] for entity in moved.json()["entities"]] == [written]
    for name in ("replica1", "replica2"):
        paused.ask("resume-replay", name=name)
    back = reader.until(lambda got: noted(got) == "read-replica")
    assert source(back) == "read-replica"
    assert [entity["entity_id"] for entity in back.json()["entities"]] == [written]
    for _ in range(10):
        noted(reader.search())
    # Away and back, once.
    assert [store for store, _ in groupby(seen)] in (
        ["read-replica", "primary", "read-replica"],
        ["primary", "read-replica"],
    )


def test_without_the_primary_replicas_answer_honestly_and_writes_fail_clearly(acme: Client, stack: Cluster) -> None:
    stack.must_be_embedded()
    written = acme.create().json()["entity_id"]
    stack.wait_for_replicas()
    stack.ask("kill", name="primary")
    try:
        realtime = acme.search(X_Freshness_Tier="REALTIME")
        assert realtime.status_code == 200, realtime.text
        assert (source(realtime), realtime.headers["X-SLA-Met"]) == ("read-replica", "false")
        assert [entity["entity_id"] for entity in realtime.json()["entities"]] == [written]
        refused = acme.create()
        assert (refused.status_code, refused.json()["code"]) == (503, "primary_unavailable")
        assert refused.headers["Retry-After"]
        stale = acme.until(lambda got: got.headers["X-SLA-Met"] == "false", X_Max_Lag_Seconds="2")
        assert stale.headers["X-SLA-Met"] == "false"
        failed = acme.search(X_Max_Lag_Seconds="2", X_On_Stale="fail")
        assert (failed.status_code, failed.json()["code"]) == (503, "stale_beyond_budget")
    finally:
        stack.ask("start", name="primary")
        connections.close_all()  # This process's own died with the primary.
    again = acme.until(lambda got: got.status_code == 200 and source(got) == "primary", X_Freshness_Tier="REALTIME")
    assert (source(again), again.headers["X-SLA-Met"]) == ("primary", "true")
    stack.wait_for_replicas()


def test_explain_names_every_store_with_its_reason(acme: Client) -> None:
    answer = acme.ask("POST", "freshness/explain/", {"operation": "search", "X-Freshness-Tier": "REALTIME"}).json()
    assert answer["chosen"] == "primary"
    assert {candidate["name"] for candidate in answer["candidates"]} >= {"primary", "replica1", "replica2"}
    assert all(candidate["reason"] for candidate in answer["candidates"])
    refused = acme.ask("POST", "freshness/explain/", {"operation": "nothing"})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_explain")


def test_the_sources_are_listed_with_lag_position_and_breaker(acme: Client) -> None:
    answer = acme.ask("GET", "freshness/").json()
    sources = {entry["name"]: entry for entry in answer["sources"]}
    # The two that their owners registered as well, whether the feed has reached them or not.
    assert sources.keys() == {"primary", "replica1", "replica2", "redis-cache", "clickhouse"}
    databases = [sources[name] for name in ("primary", "replica1", "replica2")]
    assert all(entry["breaker"] == "closed" and entry["position"] for entry in databases)
    assert len(answer["matrix"]) == 8


def test_a_read_explains_its_route_on_demand_and_later_by_its_request_id(acme: Client, globex: Client) -> None:
    entity_id = acme.create().json()["entity_id"]
    for method, path, body in (
        ("GET", f"entities/{entity_id}/", None),
        ("POST", "entities/search/", {}),
        ("POST", "analytics/aggregate/", {"fn": "count"}),
        ("GET", "attributes/", None),
    ):
        plain = acme.ask(method, path, body)
        answer = acme.ask(method, f"{path}?explain=route", body)
        assert answer.status_code == 200, answer.text
        route = answer.json().pop("route")
        assert answer.json().keys() - {"route"} == plain.json().keys()
        assert route["answer"]["source"] == source(answer)
        assert {candidate["name"] for candidate in route["candidates"]} >= {"primary", "replica1", "replica2"}
    decision = f"freshness/decisions/{answer.headers['X-Request-Id']}/"
    kept = wait_until(lambda: told if (told := acme.ask("GET", decision)).status_code != 404 else None, pause_s=0.1)
    assert kept.json()["answer"] == route["answer"]
    assert kept.json()["path"] == "/api/v1/attributes/"
    refused = globex.ask("GET", decision)
    assert (refused.status_code, refused.json()["code"]) == (404, "decision_unknown")


def test_a_decision_is_its_tenants_own_and_stays_the_first_of_its_id(acme: Client) -> None:
    def kept(request_id: str, *, wait_s: float = WAIT_S) -> requests.Response:
        deadline = time.monotonic() + wait_s
        while True:
            answer = acme.ask("GET", f"freshness/decisions/{request_id}/")
            if answer.status_code == 200 or time.monotonic() > deadline:
                return answer
            time.sleep(0.1)

    acme.ask("GET", "attributes/?explain=route", X_Request_Id="one")
    assert kept("one").json()["path"] == "/api/v1/attributes/"
    host = f"{tenant_host(slug=acme.tenant.slug)}:{urlsplit(acme.web_url).port}"
    for request_id in ("one", "other"):
        refused = requests.get(
            f"{acme.url}/entities/?explain=route", headers={"Host": host, "X-Request-Id": request_id}, timeout=30
        )
        assert refused.status_code == 401
        acme.ask("GET", "entities/nothing/?explain=route", X_Request_Id=request_id)
    acme.ask("GET", "entities/?explain=route", X_Request_Id="one")
    # What came before this one is written by the time that it is.
    acme.ask("GET", "entities/?explain=route", X_Request_Id="last")
    assert kept("last").json()["path"] == "/api/v1/entities/"
    assert kept("one").json()["path"] == "/api/v1/attributes/"
    assert kept("other", wait_s=0).json()["code"] == "decision_unknown"


@pytest.mark.parametrize(("method", "path"), [("POST", "entities/"), ("GET", "freshness/")])
def test_what_has_no_route_refuses_to_explain_one(method: str, path: str, acme: Client) -> None:
    answer = acme.ask(method, f"{path}?explain=route", {"entity_type": "thing"} if method == "POST" else None)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "unknown_parameter")
    assert acme.search().json()["entities"] == []


def test_prometheus_is_told_of_every_store_and_of_all_reads(acme: Client) -> None:
    acme.search()

    def metrics() -> str:
        text = requests.get(f"{acme.web_url}/metrics", timeout=30).text
        return text if "atlasco_reads_total{" in text else ""

    text = wait_until(metrics, pause_s=0.2)
    assert 'atlasco_freshness_lag_seconds{store="replica1"}' in text
    assert 'atlasco_freshness_breaker_open{store="primary"} 0' in text
    assert "atlasco_sla_burn_rate{" in text
