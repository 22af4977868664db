"""/healthz, /readyz and /metrics: for load balancers, people on call, and Prometheus. No tenant, no token."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import redis
from django.conf import settings
from django.db import connections
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from analytics.clickhouse.client import reading_client
from analytics.feed.metrics import FeedCollector, feed_check, metrics_read
from analytics.feed.settings import cache_client
from freshness.choice import Candidate
from freshness.figures import reads_of_minutes, reads_total
from freshness.metrics import FreshnessCollector
from freshness.reads import stores_now
from freshness.recorder import burn_by_tier

_TIMEOUT_S: Final = 2
# Later than this they count as down: the contract's failure rules.
_LATE_S: Final[dict[str, float]] = {"read-replica": 10.0, "redis-cache": 60.0, "clickhouse": 60.0}
# Sources whose check has another name.
_CHECKS: Final = {"redis-cache": "valkey"}


def healthz(request: HttpRequest) -> JsonResponse:
    """The process answers; nothing else is asked."""
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> JsonResponse:
    """Whether this process can serve, and what is degraded: 200 while any PostgreSQL answers, else 503.

    Without its primary it still reads from the replicas; taken out of rotation, it would do not even that. A store that
    answers but is left out of the choice, since it is late or was found failing, is degraded, too.
    """
    checks = {name: check_run(check) for name, check in checks_known().items()}
    left_out = {name: why for name, why in stores_left_out(stores_now()).items() if checks.get(name, {}).get("ok")}
    for name, why in left_out.items():
        checks[name] |= {"left_out": why}
    ready = any(checks[name]["ok"] for name in ("primary", *settings.REPLICA_ALIASES) if name in checks)
    degraded = sorted(name for name, result in checks.items() if not result["ok"] or name in left_out)
    status = "ready" if ready and not degraded else "degraded" if ready else "unavailable"
    return JsonResponse({"status": status, "degraded": degraded, "checks": checks}, status=200 if ready else 503)


def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus' text format."""
    registry = CollectorRegistry()
    up = Gauge("atlasco_store_up", "1 where the store answers.", ["store"], registry=registry)
    seconds = Gauge("atlasco_store_check_seconds", "How long the store took to answer.", ["store"], registry=registry)
    for name, check in checks_known().items():
        result = check_run(check)
        up.labels(name).set(1 if result["ok"] else 0)
        seconds.labels(name).set(result["ms"] / 1000)
    with contextlib.suppress(redis.RedisError), cache_client() as client:
        registry.register(FeedCollector(metrics_read(client)))
    reads: dict[tuple[str, str, str], int] = {}
    burn: dict[str, tuple[float, float, int]] = {}
    with contextlib.suppress(redis.RedisError), cache_client() as client:
        reads = reads_total(client)
        burn = burn_by_tier(reads_of_minutes(client, now_s=time.time(), minutes=60))
    registry.register(FreshnessCollector(reads=reads, burn=burn))
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


PATHS: Final[dict[str, Callable[[HttpRequest], HttpResponse]]] = {
    "/healthz": healthz,
    "/readyz": readyz,
    "/metrics": metrics,
}


class HealthMiddleware:
    """Answers these paths under any Host header: probes ask by address.

    Stands before everything that looks at the host or needs a store.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        answer = PATHS.get(request.path_info)
        return self.get_response(request) if answer is None else answer(request)


def stores_left_out(stores: Sequence[Candidate]) -> dict[str, str]:
    """Of each check whose store would not be asked now, however well it answers: why. stores: as they are known."""
    found = {}
    for store in stores:
        limit_s = _LATE_S.get(store.source, math.inf)
        name = _CHECKS.get(store.source, store.name)
        if store.lag_s is not None and store.lag_s > limit_s:
            found[name] = f"{store.lag_s:.1f} s behind"
        elif not store.up and store.position is not None:
            found[name] = "Its breaker is open"
    return found


def checks_known() -> dict[str, Callable[[], None]]:
    """Every store this installation has, and a function that raises where it does not answer."""
    return {
        "primary": lambda: _database_check("default"),
        **{alias: partial(_database_check, alias) for alias in settings.REPLICA_ALIASES},
        "valkey": _valkey_check,
        "clickhouse": _clickhouse_check,
        "feed": _feed_check,
    }


def check_run(check: Callable[[], None]) -> dict[str, Any]:
    """ok, and how many milliseconds it took; a failure's kind, but no address or password of it."""
    began = time.perf_counter()
    try:
        check()
    except Exception as error:  # noqa: BLE001  # Whatever the client raises, the fact is that the store does not answer.
        return {"ok": False, "ms": _ms(began), "error": type(error).__name__}
    return {"ok": True, "ms": _ms(began)}


def _ms(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 1)


def _database_check(alias: str) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT 1")


def _valkey_check() -> None:
    with redis.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=_TIMEOUT_S, socket_timeout=_TIMEOUT_S
    ) as client:
        client.ping()


def _clickhouse_check() -> None:
    reading_client(timeout_s=_TIMEOUT_S).command("SELECT 1")


def _feed_check() -> None:
    with cache_client() as client:
        feed_check(client, now_s=time.time())
