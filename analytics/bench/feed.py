"""`bench feed`: how fast changes reach the hot cache and ClickHouse, how late, and in how much memory.

It feeds stores of its own (another database of Valkey and of ClickHouse) from a slot of its own. A feed that runs
beside it reads the same log and takes its share of the machine: `manage.py stack kill feed` first to be without it.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import redis
from django.conf import settings
from django.db import connections, transaction

from analytics.cache.applier import CacheApplier
from analytics.clickhouse.applier import ClickHouseApplier
from analytics.clickhouse.changes import position_write
from analytics.clickhouse.client import clickhouse_client
from analytics.clickhouse.migrate import migrations_apply
from analytics.feed.applying import Applier
from analytics.feed.events import Event, Position
from analytics.feed.run import Feed, garbage_collect_less
from analytics.feed.settings import cache_url, replication_dsn
from analytics.feed.slots import cluster_identify, slot_create, slot_drop
from atlasco.lib.clock import now
from atlasco.lib.sql import sql_blocks
from entities.bench.report import Figure, Report, percentile
from freshness.tokens import lsn_parse
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tenants.services import tenant_create, tenant_delete

_SQL: Final = sql_blocks(Path(__file__).parent.parent / "sql" / "bench_feed.sql")
ATTRIBUTES: Final = 9
EVENTS_EACH: Final = ATTRIBUTES + 1
BATCH_ENTITIES: Final = 500
RATE_EVENTS_PER_S: Final = 2_000
LATENCY_S: Final = 15.0
LARGE_ROWS: Final = 1_000_000
_CACHE_DATABASE: Final = "9"
_DATABASE: Final = "bench_feed"
_TIMEOUT_S: Final = 600.0


class _Nothing:
    """A store that takes everything and keeps nothing: what is left is reading and decoding."""

    name = "nothing"
    linger_s = 0.0

    def __init__(self, position: Position) -> None:
        self._position = position

    def recover(self) -> Position | None:
        return self._position

    def load(self, *, start: Position) -> Position:
        return start

    def apply(self, events: list[Event], position: Position) -> None:
        self._position = position

    def close(self) -> None:
        pass


def feed_bench(*, entities: int, large_rows: int) -> Report:
    """Measure a backlog of entities with nine values each, writes at a steady rate, and one very large transaction."""
    events = entities * EVENTS_EACH
    facts = {
        "events in the backlog": events,
        "events a second, latency": RATE_EVENTS_PER_S,
        "rows in the large transaction": large_rows,
    }
    report = Report("feed", facts)
    dsn = replication_dsn()
    garbage_collect_less()
    tenant = tenant_create(slug=f"bench-f{secrets.token_hex(4)}", name="Benchmark, feed", now=now())
    slots = [f"bench_{secrets.token_hex(4)}" for _ in range(2)]
    try:
        starts = [Position(cluster_identify(dsn), slot_create(dsn, name=slot)) for slot in slots]
        end = _backlog_write(tenant, entities)
        with _feeding(dsn, [_Nothing(starts[0])], slots[0]) as feed:
            seconds, cpu_s = _spent_until(feed, end)
            decoded = report.add("decode only", events / seconds, "events/s")
            decoding = report.add("decode only, CPU of this process", cpu_s / events * 1e6, "µs/event")
        slot_drop(dsn, name=slots[0])
        appliers = _appliers(dsn, starts[1])
        with _feeding(dsn, appliers, slots[1]) as feed:
            seconds, cpu_s = _spent_until(feed, end)
            report.add("applied to both stores", events / seconds, "events/s", baseline=decoded)
            report.add("applied to both, CPU of this process", cpu_s / events * 1e6, "µs/event", baseline=decoding)
            for worker in feed.workers:
                busy_s = feed.metrics.read()[f'atlasco_feed_apply_seconds_total{{store="{worker.applier.name}"}}']
                report.add(f"applied to {worker.applier.name} alone", events / busy_s, "events/s", baseline=decoded)
            _latencies(report, feed, tenant)
            _large(report, feed, tenant, large_rows)
    finally:
        for slot in slots:
            slot_drop(dsn, name=slot)
        _stores_drop()
        tenant_delete(tenant=tenant, confirm=tenant.slug, now=now())
    return report


# --- Stores and feed --------------------------------------------------------------------------------------------------


def _appliers(dsn: str, start: Position) -> list[Applier]:
    """Appliers of empty stores that are at a position already."""
    _stores_drop()
    clickhouse_client().command(f"CREATE DATABASE {_DATABASE} ENGINE = Atomic")
    client = clickhouse_client(_clickhouse_url())
    migrations_apply(client)
    position_write(client, start)
    cache = CacheApplier(_cache_url(), ttl_s=settings.CACHE_TTL_S, max_bytes=settings.CACHE_MAX_BYTES)
    cache.recover()
    cache.load(start=start)
    return [cache, ClickHouseApplier(_clickhouse_url(), dsn=dsn)]


def _stores_drop() -> None:
    clickhouse_client().command(f"DROP DATABASE IF EXISTS {_DATABASE}")
    with redis.Redis.from_url(_cache_url()) as client:
        client.flushdb()


def _clickhouse_url() -> str:
    return urlunsplit(urlsplit(settings.CLICKHOUSE_URL)._replace(path=f"/{_DATABASE}"))


def _cache_url() -> str:
    return urlunsplit(urlsplit(cache_url())._replace(path=f"/{_CACHE_DATABASE}"))


@contextmanager
def _feeding(dsn: str, appliers: Sequence[Applier], slot: str) -> Iterator[Feed]:
    feed = Feed(dsn=dsn, appliers=appliers, slot=slot)
    thread = threading.Thread(target=feed.run, daemon=True)
    thread.start()
    try:
        yield feed
    finally:
        feed.stop()
        thread.join(60)


def _spent_until(feed: Feed, lsn: int) -> tuple[float, float]:
    """Seconds, and seconds of CPU, from the moment on at which all stores are fed until all have this position."""
    deadline = time.monotonic() + _TIMEOUT_S
    while not feed.is_running():
        _check(deadline)
    began, cpu_began = time.perf_counter(), time.process_time()
    while not all(worker.position is not None and worker.position.lsn > lsn for worker in feed.workers):
        _check(deadline)
    return time.perf_counter() - began, time.process_time() - cpu_began


def _check(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise RuntimeError("The feed did not get there in time.")
    time.sleep(0.002)


# --- Writes -----------------------------------------------------------------------------------------------------------


def _backlog_write(tenant: Tenant, entities: int) -> int:
    """Write entities with their values, some in each transaction; return a position in the last one."""
    lsn = 0
    for first in range(0, entities, BATCH_ENTITIES):
        lsn = _write(tenant, "entities_with_values", first=first, count=min(BATCH_ENTITIES, entities - first))
    return lsn


def _write(tenant: Tenant, block: str, *, first: int, count: int) -> int:
    """One transaction; return a position in it."""
    with tenant_bind(tenant), transaction.atomic(using="default"), connections["default"].cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(_SQL[block], {"tenant_id": tenant.pk, "first": first, "count": count, "attributes": ATTRIBUTES})
        cursor.execute("SELECT pg_logical_emit_message(true, 'bench', '')::text")
        return lsn_parse(cursor.fetchone()[0])


def _latencies(report: Report, feed: Feed, tenant: Tenant) -> None:
    """From the return of COMMIT to the moment on at which a store has it, at a steady rate."""
    seen: dict[str, list[float]] = {worker.applier.name: [] for worker in feed.workers}
    pending: dict[str, list[tuple[int, float]]] = {name: [] for name in seen}
    stopping = threading.Event()

    def watch() -> None:
        while not stopping.is_set() or any(pending.values()):
            for worker in feed.workers:
                waiting = pending[worker.applier.name]
                at = worker.position.lsn if worker.position is not None else 0
                while waiting and waiting[0][0] < at:
                    seen[worker.applier.name].append(time.perf_counter() - waiting.pop(0)[1])
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    entities_each = 10
    period_s = entities_each * EVENTS_EACH / RATE_EVENTS_PER_S
    began = time.perf_counter()
    writes = 0
    while (spent_s := time.perf_counter() - began) < LATENCY_S:
        first = 10_000_000 + writes * entities_each
        lsn = _write(tenant, "entities_with_values", first=first, count=entities_each)
        committed_at = time.perf_counter()
        for waiting in pending.values():
            waiting.append((lsn, committed_at))
        writes += 1
        time.sleep(max(0.0, writes * period_s - spent_s))
    stopping.set()
    watcher.join(_TIMEOUT_S)
    report.facts["events a second, written"] = round(writes * entities_each * EVENTS_EACH / spent_s)
    for name, values in seen.items():
        half = report.add(f"commit → {name}, p50", percentile(values, 0.5) * 1000, "ms")
        report.add(f"commit → {name}, p99", percentile(values, 0.99) * 1000, "ms", baseline=half)


def _large(report: Report, feed: Feed, tenant: Tenant, rows: int) -> None:
    """One transaction of many rows, and this process's memory while it passes."""
    before = report.add("memory before the large transaction", _rss_mb(), "MB")
    peak = _rss_mb()
    stopping = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not stopping.wait(0.02):
            peak = max(peak, _rss_mb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    lsn = _write(tenant, "values_many", first=0, count=rows)
    seconds, _ = _spent_until(feed, lsn)
    stopping.set()
    watcher.join()
    report.add("memory at the most, large transaction", peak, "MB", baseline=before)
    report.add("large transaction", rows / seconds, "events/s", baseline=_named(report, "decode only"))


def _named(report: Report, name: str) -> Figure:
    return next(figure for figure in report.figures if figure.name == name)


def _rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6
