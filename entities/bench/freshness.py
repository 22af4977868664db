"""`bench freshness`: what routing costs, who answers, and what it buys against asking the primary for everything."""

from __future__ import annotations

import random
import secrets
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Final

from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from atlasco.lib.clock import now
from entities.bench.data import lines
from entities.bench.ingest import ndjson
from entities.bench.report import Report, median, percentile
from entities.ingest.importer import import_run
from entities.reads import EntityRead, SearchRead
from entities.search.query import Query
from entities.search.run import search_run
from entities.selectors import entity_get
from freshness.board import Board
from freshness.choice import candidates_judge
from freshness.defaults import budget_now, defaults_change
from freshness.middleware import FreshnessMiddleware
from freshness.monitor import Monitor, database_urls, monitor_start
from freshness.policy import Limit, Tier, Wish
from freshness.reads import candidates_now, read_through
from freshness.state import Answer, FreshnessState, freshness_scope, freshness_state
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tenants.services import tenant_create, tenant_delete

THREADS: Final = 4
SECONDS: Final = 5.0
COST_LOOPS: Final = 3_000
# Processes that serve on one machine, as far as they watch the stores, and for how long they are watched doing so.
WATCHERS: Final = 8
WATCHED_S: Final = 4.0
# What people and programs ask, as (operation, tier, weight): lists and dashboards mostly, entities now and then, a few
# reads that must be of this moment.
TRAFFIC: Final[tuple[tuple[str, Tier, int], ...]] = (
    ("search", "NEAR_REALTIME", 60),
    ("entity", "NEAR_REALTIME", 20),
    ("search", "EVENTUAL", 15),
    ("entity", "REALTIME", 5),
)


def freshness_bench(*, entities: int, seed: int) -> Report:
    """Measure on the running stack, with the monitor of this process. One tenant, removed afterwards."""
    report = Report(
        "freshness",
        {"entities": entities, "seed": seed, "threads": THREADS, "seconds each": SECONDS, "traffic": _traffic_text()},
    )
    monitor_start()
    tenant = tenant_create(slug=f"bench-f{secrets.token_hex(4)}", name="Benchmark, freshness", now=now())
    try:
        with tenant_bind(tenant):
            content = ndjson(list(lines(count=entities, seed=seed, now=now())))
            import_run(tenant_id=tenant.pk, chunks=[content], mode="merge", now=now(), line_max_bytes=1 << 20)
            newest = Query(limit=min(entities, 500))
            page = search_run(tenant_id=tenant.pk, query=newest, using="default", position="0/0")
            ids = [row.entity_id for row in page.entities]
        # As of a tenant that has settled something: it is looked at by each request.
        defaults_change(tenant=tenant, classes={"reporting": Limit(None, 120.0)}, attributes={"a": Limit("EVENTUAL")})
        tenant.refresh_from_db()
        time.sleep(2)  # The replicas get there, and the monitor sees it.
        with tenant_bind(tenant):
            _cost(report)
        _watching(report)
        primary, alone = _throughput(tenant, ids, seed=seed, tier="REALTIME")
        routed, sources = _throughput(tenant, ids, seed=seed, tier=None)
    finally:
        tenant_delete(tenant=tenant, confirm=tenant.slug, now=now())
    baseline = report.add("everything on the primary", primary, "reads/s")
    report.add("routed by its budget", routed, "reads/s", baseline=baseline)
    total = sum(map(len, sources.values()))
    report.add("away from the primary", 100 * (1 - len(sources["primary"]) / max(1, total)), "%")
    usual = report.add("an answer of the primary, asked for everything, p50", 1000 * median(alone["primary"]), "ms")
    for source, times in sorted(sources.items(), key=lambda item: -len(item[1])):
        report.add(f"answered by {source}", 100 * len(times) / total, "%")
        report.add(f"an answer of {source}, p50", 1000 * median(times), "ms", baseline=usual)
    return report


def _traffic_text() -> str:
    return ", ".join(f"{weight} % {operation} {tier}" for operation, tier, weight in TRAFFIC)


def _watching(report: Report) -> None:
    """What it costs a process to know of every store, alone and together, see Note [One watcher a machine]."""
    with tempfile.TemporaryDirectory() as folder:
        alone = _watched([None] * WATCHERS)
        together = _watched([Board(Path(folder) / "board") for _ in range(WATCHERS)])
    baseline = report.add(f"{WATCHERS} processes that each watch the stores", 100 * alone, "% of a core")
    report.add(f"{WATCHERS} processes, of which one does", 100 * together, "% of a core", baseline=baseline)


def _watched(boards: list[Board | None]) -> float:
    """The share of a core that so many monitors take in this process; the databases' side is not in it."""
    monitors = [Monitor(database_urls()) for _ in boards]
    try:
        for watch, board in zip(monitors, boards, strict=True):
            watch.start(board=board)
        time.sleep(1)  # Connecting is over.
        began, spent = time.monotonic(), time.process_time()
        time.sleep(WATCHED_S)
        return (time.process_time() - spent) / (time.monotonic() - began)
    finally:
        for watch in monitors:
            watch.close()


def _cost(report: Report) -> None:
    """Of a request through the middleware that chooses a store and writes the headers, and reads nothing."""
    requests = RequestFactory()

    def nothing(request: HttpRequest) -> HttpResponse:
        return HttpResponse(b"{}")

    def chosen(request: HttpRequest) -> HttpResponse:
        state = freshness_state()
        state.budget = budget_now(wish=state.wish, query_class="operational", attributes=None)
        state.verdicts = candidates_judge(budget=state.budget, candidates=candidates_now(operation="search"))
        first = state.verdicts[0].candidate
        state.answer = Answer(source=first.source, lag_s=first.lag_s, position=first.position or 0, store=first.name)
        return HttpResponse(b"{}")

    # By the clock, and by the processor: what else the machine does is in the one and not in the other.
    for clock, words in ((time.perf_counter, ""), (time.thread_time, ", of a core")):
        bare = _times(lambda: nothing(requests.get("/api/v1/entities/")), clock)
        routed = _times(lambda: FreshnessMiddleware(chosen)(requests.get("/api/v1/entities/")), clock)
        difference = [max(0.0, value - median(bare)) for value in routed]
        report.add(f"cost of routing and headers{words}, p50", 1000 * median(difference), "ms")
        report.add(f"cost of routing and headers{words}, p99", 1000 * percentile(difference, 0.99), "ms")


def _times(call: Callable[[], object], clock: Callable[[], float]) -> list[float]:
    spent = []
    for _ in range(COST_LOOPS):
        began = clock()
        call()
        spent.append(clock() - began)
    return spent


def _throughput(
    tenant: Tenant, ids: list[int], *, seed: int, tier: Tier | None
) -> tuple[float, dict[str, list[float]]]:
    """Reads a second of all threads, and of each source how long its answers took.

    tier: for all reads; None takes that of the traffic.
    """
    spent: list[dict[str, list[float]]] = [defaultdict(list) for _ in range(THREADS)]
    ends_at = time.monotonic() + SECONDS

    def work(number: int) -> None:
        chance = random.Random(seed + number)  # noqa: S311  # Of no secret.
        weights = [weight for _, _, weight in TRAFFIC]
        try:
            with tenant_bind(tenant):
                while time.monotonic() < ends_at:
                    operation, own_tier, _ = chance.choices(TRAFFIC, weights)[0]
                    state = FreshnessState(wish=Wish(tier=tier or own_tier), asker=str(number))
                    began = time.perf_counter()
                    with freshness_scope(state):
                        _read(tenant.pk, operation, chance.choice(ids))
                    source = state.answer.source if state.answer is not None else "nobody"
                    spent[number][source].append(time.perf_counter() - began)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sources: dict[str, list[float]] = defaultdict(list)
    for of_thread in spent:
        for source, times in of_thread.items():
            sources[source] += times
    return sum(map(len, sources.values())) / SECONDS, sources


def _read(tenant_id: int, operation: str, entity_id: int) -> None:
    if operation == "entity":
        read_through(
            lambda source: entity_get(tenant_id=tenant_id, entity_id=entity_id, using=source.using),
            operation="entity",
            request=EntityRead(tenant_id, entity_id),
            attributes=None,
        )
        return
    query = Query(limit=20)
    read_through(
        lambda source: search_run(tenant_id=tenant_id, query=query, using=source.using, position=source.position),
        operation="search",
        request=SearchRead(tenant_id, query),
        attributes=None,
    )
