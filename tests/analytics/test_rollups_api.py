"""Rollups over HTTP: what they answer, how fresh they say they are, and to whom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from analytics.clickhouse.applier import ClickHouseApplier
from analytics.clickhouse.client import clickhouse_client
from analytics.feed.run import Feed
from analytics.rollups.refresh import rollups_refresh
from atlasco.lib import clock
from tenants.models import Tenant
from tenants.services import token_create
from tests.analytics.feeding import feed_running, replication_dsn_of, slot_name, write
from tests.analytics.test_rollups import settle
from tests.api.client import Client
from tests.cluster import Cluster


@pytest.fixture
def dsn(stack: Cluster) -> str:
    return replication_dsn_of(stack)


@pytest.fixture
def feed(stack: Cluster, dsn: str, web_url: str) -> Iterator[Feed]:
    with feed_running(dsn, [ClickHouseApplier(stack.clickhouse_url, dsn=dsn)], slot=slot_name()) as feed:
        yield feed


def client_of(tenant: Tenant, web_url: str) -> Client:
    token = token_create(tenant=tenant, name="t", scopes=("read",), expires_at=None, now=clock.now())[1]
    return Client(web_url, tenant, token)


@pytest.fixture
def acme_client(feed: Feed, dsn: str, web_url: str, acme: Tenant, globex: Tenant) -> Client:
    """Of acme, whose rollups are there, as globex's are."""
    for n in range(4):
        write(acme, f"t{n}", size=n, kind="a" if n else "b")
    write(globex, "other", size=1000, secret=1)
    settle(feed, dsn)
    clickhouse = clickhouse_client()
    for tenant in (acme, globex):
        rollups_refresh(clickhouse, tenant_id=tenant.pk, now=clock.now())
    clickhouse.close()
    return client_of(acme, web_url)


def rows(client: Client, path: str, **params: Any) -> list[dict[str, Any]]:
    answer = client.get(f"/analytics/rollups/{path}/", params=params)
    assert answer.status == 200, answer.content
    found: list[dict[str, Any]] = answer.body["rows"]
    return found


def test_each_rollup_answers_its_own_tenant(acme_client: Client) -> None:
    answer = acme_client.get("/analytics/rollups/distribution/", params={"attribute": "size"})
    [row] = answer.body["rows"]
    assert (row["entity_type"], row["values"], row["numbers"]["median"], row["numbers"]["max"]) == ("thing", 4, 1.5, 3)
    assert row["histogram"] == {"start": 0, "width": 1, "counts": [1, 1, 1, 1]}
    assert row["recent"] == {"count": 4, "average": 1.5, "median": 1.5, "max": 3}
    assert answer.header("X-Data-Source") == answer.body["metadata"]["freshness"]["source"] == "clickhouse"
    assert answer.header("X-SLA-Met") == "true" and answer.header("X-Freshness-Tier") == "EVENTUAL"
    assert answer.body["metadata"]["refreshed_at"]
    assert rows(acme_client, "distribution", attribute="secret") == []
    assert [(row["value"], row["count"]) for row in rows(acme_client, "values", attribute="kind")] == [
        ("a", 3),
        ("b", 1),
    ]
    assert [row["value"] for row in rows(acme_client, "values", attribute="size")] == [0, 1, 2, 3]
    [day] = rows(acme_client, "trend", attribute="size")
    assert (day["samples"], day["p95"]) == (4, pytest.approx(2.85))
    assert [row["total"] for row in rows(acme_client, "entities", newest="true")] == [4]


def test_who_asks_for_fresher_ones_gets_them_from_a_database(acme_client: Client, acme: Tenant) -> None:
    write(acme, "new", size=50)
    for headers in ({"X-Freshness-Tier": "REALTIME"}, {"X-Max-Lag-Seconds": "0"}):
        answer = acme_client.get("/analytics/rollups/distribution/", params={"attribute": "size"}, headers=headers)
        assert answer.header("X-Data-Source") == "primary"
        assert answer.body["rows"][0]["numbers"]["max"] == 50 and answer.body["metadata"]["refreshed_at"] is None
    answer = acme_client.get(
        "/analytics/rollups/trend/", params={"attribute": "size"}, headers={"X-Freshness-Tier": "REALTIME"}
    )
    assert (answer.status, answer.code) == (503, "trend_not_fresh")


def test_distributions_come_in_pages_or_the_largest_first(acme_client: Client) -> None:
    first = acme_client.get("/analytics/rollups/distribution/", params={"limit": 1}).body
    assert [row["attribute"] for row in first["rows"]] == ["kind"]
    second = acme_client.get(
        "/analytics/rollups/distribution/", params={"limit": 1, "cursor": first["next_cursor"]}
    ).body
    assert [row["attribute"] for row in second["rows"]] == ["size"] and second["next_cursor"] is None
    forged = acme_client.get(
        "/analytics/rollups/distribution/", params={"cursor": first["next_cursor"], "attribute": "size"}
    )
    assert (forged.status, forged.code) == (400, "invalid_cursor")
    assert [row["attribute"] for row in rows(acme_client, "distribution", top=1, recent="true")] == ["size"]


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("distribution", {"limit": 0}),
        ("distribution", {"limit": 1001}),
        ("distribution", {"top": 5, "limit": 5}),
        ("distribution", {"recent": "yes"}),
        ("distribution", {"nonsense": 1}),
        ("distribution", {"attribute": "x" * 256}),
        ("values", {}),
        ("trend", {"attribute": "a", "grain": "week"}),
        ("trend", {"attribute": "a", "from": "yesterday"}),
        ("trend", {"attribute": "a", "from": "2026-01-01T00:00:00"}),
        ("entities", {"limit": "-1"}),
    ],
)
def test_what_can_not_be_understood_is_refused(acme: Tenant, web_url: str, path: str, params: dict[str, Any]) -> None:
    answer = client_of(acme, web_url).get(f"/analytics/rollups/{path}/", params=params)
    assert (answer.status, answer.code) == (400, "invalid_parameter")
