"""Databases that stop without dying: their machine takes what is sent, and nothing answers. Over HTTP."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import requests
from django.db import connections

from atlasco.stack.processes import descendants
from freshness.hangs import GUARD_S, HUNG_S, Patience
from tenants.models import Tenant
from tests.cluster import Cluster
from tests.freshness.test_live_routing import Client, source
from tests.tenants.conftest import tenant_make

__all__ = ["tenant_make"]

# More than there are threads that serve: one that is held for good would show.
READERS = 24


@pytest.fixture
def acme(live_db: None, web_url: str, tenant_make: Callable[..., Tenant]) -> Client:
    return Client(web_url, tenant_make("acme"))


@contextmanager
def stopped(stack: Cluster, *names: str) -> Iterator[None]:
    """Nothing of these servers runs inside."""
    parents = [stack.service(name)["pid"] for name in names]
    pids = [pid for parent in parents for pid in (parent, *descendants(parent))]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        stack.wait_for_replicas()


@pytest.fixture
def embedded(stack: Cluster) -> Cluster:
    stack.must_be_embedded()
    return stack


@pytest.fixture
def many(acme: Client) -> list[Client]:
    return [acme.stranger() for _ in range(READERS)]


def test_a_look_that_lasts_is_lost_and_a_process_that_slept_has_not_waited() -> None:
    patience, now = Patience(now=0.0), 0.0
    while now < HUNG_S:
        assert patience.lost({"replica1": 0.0}, now=now) == []
        now += GUARD_S
    assert patience.lost({"replica1": 0.0, "replica2": now}, now=now + 2 * GUARD_S) == ["replica1"]
    # Another look begins anew; so does one after an hour in which nothing of this process ran.
    assert patience.lost({"replica1": 1.0}, now=now + 3 * GUARD_S) == []
    assert patience.lost({"replica1": 1.0}, now=now + 3600) == []
    assert patience.lost({}, now=now + 3601) == []


def search_at_once(clients: list[Client], **headers: str) -> list[requests.Response]:
    """What many get who ask at the same time, before anybody can know."""
    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(lambda each: each.search(**headers), clients))


def test_reads_on_replicas_that_stop_are_answered_by_the_primary(
    acme: Client, many: list[Client], embedded: Cluster
) -> None:
    written = acme.create().json()["entity_id"]
    embedded.wait_for_replicas()
    search_at_once(many)
    with stopped(embedded, "replica1", "replica2"):
        for answer in search_at_once(many):
            assert answer.status_code == 200, answer.text
            assert source(answer) == "primary"
            assert [entity["entity_id"] for entity in answer.json()["entities"]] == [written]
    back = acme.until(lambda got: source(got) == "read-replica")
    assert source(back) == "read-replica"


def test_a_primary_that_stops_leaves_the_reads_to_replicas_and_refuses_writes(
    acme: Client, many: list[Client], embedded: Cluster
) -> None:
    acme.create()
    embedded.wait_for_replicas()
    search_at_once(many, X_Freshness_Tier="REALTIME")
    with stopped(embedded, "primary"), ThreadPoolExecutor(1) as pool:
        refused = pool.submit(acme.create)
        for answer in search_at_once(many, X_Freshness_Tier="REALTIME"):
            assert answer.status_code == 200, answer.text
            assert (source(answer), answer.headers["X-SLA-Met"]) == ("read-replica", "false")
            assert len(answer.json()["entities"]) == 1
        assert (refused.result().status_code, refused.result().json()["code"]) == (503, "primary_unavailable")
    connections.close_all()
    again = acme.until(lambda got: source(got) == "primary", X_Freshness_Tier="REALTIME")
    assert (source(again), again.headers["X-SLA-Met"]) == ("primary", "true")
