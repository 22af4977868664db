"""How every service is, for the home page: the checks of `atlasco.health` all at once, under one deadline.

A check that hangs is left to itself and reported as unanswered; until it comes back no second one is started, so that
a dead store does not collect threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any, Final

from django.db import connections

from atlasco.celery import app
from atlasco.health import check_run, checks_known
from freshness.reads import candidates_now

DEADLINE_S: Final = 2.5
WORKER_TIMEOUT_S: Final = 1.5


class NoWorker(Exception):
    """No Celery worker answered."""


@dataclass(frozen=True, slots=True)
class ServiceName:
    """key: as `manage.py stack` calls it; title, role: for people; loss: what does not work while it is down."""

    key: str
    title: str
    role: str
    loss: str


@dataclass(frozen=True, slots=True)
class ServiceHealth:
    """What a check found. detail: what is known of a failure, in few words.

    No time is told: it would be that of opening a connection in a new thread, not the store's.
    lag_s: how far a replica is behind at the most; None where that is not known, and for what is not a replica.
    """

    name: ServiceName
    ok: bool
    detail: str = ""
    lag_s: float | None = None

    @property
    def is_replica(self) -> bool:
        return self.name.key.startswith("replica")


_KNOWN: Final = {
    "primary": ServiceName("primary", "Primary database", "Takes every write", "Nothing can be written."),
    "valkey": ServiceName("valkey", "Valkey", "Queue and cache", "Background jobs wait; pages and the API go on."),
    "clickhouse": ServiceName(
        "clickhouse", "ClickHouse", "Reports", "Reports are computed in PostgreSQL, more slowly."
    ),
    "feed": ServiceName(
        "feed", "Change feed", "Fills cache and ClickHouse", "Cache and ClickHouse fall behind; PostgreSQL answers."
    ),
    "worker": ServiceName("worker", "Worker", "Background jobs", "Background imports and statistics wait."),
}


def service_names() -> list[ServiceName]:
    """Every service, in the order in which they are shown."""
    return [_service_name(key) for key in _checks()]


def services_health() -> list[ServiceHealth]:
    """Ask every service; return within about DEADLINE_S, whatever hangs."""
    running = {key: _probes.start(key, check) for key, check in _checks().items()}
    wait(running.values(), timeout=DEADLINE_S)
    lags = {candidate.name: candidate.lag_s for candidate in candidates_now() if candidate.source != "primary"}
    return [_health(key, future, lags.get(key)) for key, future in running.items()]


def _checks() -> dict[str, Callable[[], None]]:
    return {**checks_known(), "worker": _worker_check}


def _service_name(key: str) -> ServiceName:
    if key.startswith("replica"):
        return ServiceName(
            key, f"Replica {key.removeprefix('replica')}", "Serves reads", "Reads go to another replica or the primary."
        )
    return _KNOWN.get(key) or ServiceName(key, key.capitalize(), "", "")


def _health(key: str, future: Future[dict[str, Any]], lag_s: float | None) -> ServiceHealth:
    name = _service_name(key)
    if not future.done():
        return ServiceHealth(name, ok=False, detail=f"No answer within {DEADLINE_S:g} seconds")
    result = future.result()
    detail = _WORDS.get(result.get("error", ""), "Does not answer")
    return ServiceHealth(name, ok=result["ok"], detail=detail, lag_s=lag_s)


_WORDS: Final = {
    "NoWorker": "No worker took the call",
    "TimeoutError": "Answers too slowly",
    "FeedSilent": "Tells nothing any more",
    "SlotLost": "Lost its place in the log: manage.py feed --resnapshot",
    "SlotNearlyLost": "The log kept for it is nearly full",
}


def _worker_check() -> None:
    # `limit`: the first worker that answers is enough; otherwise the whole timeout is waited out every time.
    if not app.control.broadcast("ping", reply=True, timeout=WORKER_TIMEOUT_S, limit=1):
        raise NoWorker


class _Probes:
    """The checks under way, one of each service at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, Future[dict[str, Any]]] = {}

    def start(self, key: str, check: Callable[[], None]) -> Future[dict[str, Any]]:
        with self._lock:
            earlier = self._running.get(key)
            if earlier is not None and not earlier.done():
                return earlier
            future: Future[dict[str, Any]] = Future()
            self._running[key] = future
        threading.Thread(target=_probe, args=(check, future), name=f"check-{key}", daemon=True).start()
        return future


_probes = _Probes()


def _probe(check: Callable[[], None], future: Future[dict[str, Any]]) -> None:
    # A thread of its own has connections of its own, and is bound to no tenant.
    try:
        future.set_result(check_run(check))
    except BaseException as error:
        future.set_exception(error)
        raise
    finally:
        connections.close_all()
