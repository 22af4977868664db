"""What load balancers and Prometheus are told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from atlasco import health
from freshness.choice import Candidate

STORES = ("primary", "replica1", "replica2", "valkey", "clickhouse")


def fine() -> None:
    """A store that answers."""


def away() -> None:
    raise ConnectionRefusedError


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Callable[..., None]:
    """Makes all stores answer but these."""
    settings.REPLICA_ALIASES = ["replica1", "replica2"]

    def patch(*down: str) -> None:
        checks = {name: away if name in down else fine for name in STORES}
        monkeypatch.setattr(health, "checks_known", lambda: checks)
        monkeypatch.setattr(health, "stores_now", list)

    return patch


@pytest.mark.parametrize(
    ("down", "code", "status"),
    [
        ((), 200, "ready"),
        (("valkey", "clickhouse"), 200, "degraded"),
        (("primary",), 200, "degraded"),
        (("primary", "replica1", "valkey"), 200, "degraded"),
        (("replica1", "replica2"), 200, "degraded"),
        (("primary", "replica1", "replica2"), 503, "unavailable"),
        (STORES, 503, "unavailable"),
    ],
)
def test_ready_as_long_as_any_postgresql_answers(
    client: Client, without: Callable[..., None], down: tuple[str, ...], code: int, status: str
) -> None:
    without(*down)
    response = client.get("/readyz")
    assert (response.status_code, response.json()["status"]) == (code, status)
    assert response.json()["degraded"] == sorted(down)


def test_a_store_that_answers_and_is_not_asked_is_degraded(
    client: Client, without: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    without("valkey")
    stores = [
        Candidate("primary", "primary", lag_s=0.0, position=9),
        Candidate("replica1", "read-replica", lag_s=10.5, position=1),
        Candidate("replica2", "read-replica", lag_s=9.5, position=5, up=False),
        Candidate("clickhouse", "clickhouse", lag_s=59.0, position=4),
        Candidate("redis-cache", "redis-cache", lag_s=70.0, position=4),
    ]
    monkeypatch.setattr(health, "stores_now", lambda: stores)
    response = client.get("/readyz")
    # Late answers are answers: the process stays in rotation.
    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    assert response.json()["degraded"] == ["replica1", "replica2", "valkey"]
    told = {name: check.get("left_out") for name, check in response.json()["checks"].items() if "left_out" in check}
    assert told == {"replica1": "10.5 s behind", "replica2": "Its breaker is open"}


def test_metrics_are_told_whatever_is_down(client: Client, without: Callable[..., None]) -> None:
    without(*STORES)
    response = client.get("/metrics")
    assert response.status_code == 200
    assert [line for line in response.content.decode().splitlines() if line.startswith("atlasco_store_up")] == [
        f'atlasco_store_up{{store="{name}"}} 0.0' for name in STORES
    ]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
@pytest.mark.parametrize("host", ["10.0.0.5", "10.0.0.5:8000", "nobody.localhost", "not a host!"])
def test_probes_are_answered_under_any_host(
    client: Client, without: Callable[..., None], settings: Any, path: str, host: str
) -> None:
    without()
    settings.BEHIND_TLS = settings.SECURE_SSL_REDIRECT = True
    response = client.get(path, headers={"Host": host, "X-Request-Id": "probe-0001"})
    assert response.status_code == 200
    assert response["X-Request-Id"] == "probe-0001"


def test_other_paths_look_at_the_host_as_before(client: Client) -> None:
    assert client.get("/healthz/", headers={"Host": "10.0.0.5"}).status_code == 400
    assert client.get("/", headers={"Host": "10.0.0.5"}).status_code == 400
