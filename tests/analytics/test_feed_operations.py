"""What an operator sees of the feed, and what can be done about it."""

from __future__ import annotations

import gc
import signal
import struct
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import Client

from analytics.cache.applier import CacheApplier, tenant_count
from analytics.clickhouse.applier import ClickHouseApplier
from analytics.clickhouse.client import clickhouse_client
from analytics.clickhouse.migrate import migrations_apply
from analytics.feed import assemble, run
from analytics.feed.metrics import (
    FIGURES,
    KEY,
    PREFIX,
    FeedCollector,
    FeedSilent,
    Metrics,
    SlotLost,
    SlotNearlyLost,
    feed_check,
)
from analytics.feed.settings import cache_client, cache_url
from entities.cache import entity_read
from freshness.heartbeat import HeartbeatWriter
from tenants.models import Tenant
from tests.analytics.feeding import feed_running, replication_dsn_of, slot_name, wal_end, write
from tests.cluster import Cluster
from tests.waiting import wait_until


@pytest.fixture
def cache(stack: Cluster) -> Iterator[redis.Redis]:
    with cache_client() as client:
        client.delete(KEY)
        yield client
        client.delete(KEY)


def figures(client: redis.Redis, **values: float) -> None:
    metrics = Metrics()
    for name, value in values.items():
        metrics.set(name, value)
    metrics.write(client, now_s=1000)


def test_trouble_is_told_by_its_name(cache: redis.Redis) -> None:
    feed_check(cache, now_s=1000)  # One that never ran.
    figures(cache, slot_lost=0, slot_retained_bytes=10, slot_safe_bytes=90)
    feed_check(cache, now_s=1001)
    with pytest.raises(FeedSilent):
        feed_check(cache, now_s=1060)
    figures(cache, slot_retained_bytes=80, slot_safe_bytes=20)
    with pytest.raises(SlotNearlyLost):
        feed_check(cache, now_s=1001)
    figures(cache, slot_lost=1)
    with pytest.raises(SlotLost):
        feed_check(cache, now_s=1001)


def test_every_figure_of_a_running_feed_is_in_the_metrics(
    stack: Cluster, cache: redis.Redis, client: Client, acme: Tenant, globex: Tenant
) -> None:
    dsn = replication_dsn_of(stack)
    applier = CacheApplier(cache_url(), ttl_s=60, max_bytes=1 << 40)
    with feed_running(dsn, [applier], slot=slot_name()) as feed:
        write(acme, "one", n=1)
        write(globex, "two", n=1)
        lsn = wal_end(dsn)
        wait_until(lambda: (known := feed.workers[0].position) is not None and known.lsn >= lsn)
        feed.metrics.write(cache, now_s=time.time())
        known = feed.metrics.read()
    assert {name.removeprefix(PREFIX).split("{")[0] for name in known} <= FIGURES.keys()
    text = client.get("/metrics").content.decode()
    assert 'atlasco_feed_events_total{store="redis-cache"}' in text
    assert "# TYPE atlasco_feed_slot_retained_bytes gauge" in text
    assert "atlasco_feed_memory_bytes " in text and "atlasco_feed_decode_seconds_total " in text
    told = {line.split(" ")[0] for line in text.splitlines() if line.startswith(PREFIX)}
    assert told == known.keys() | {f"{PREFIX}updated_at"}


def test_one_tenant_is_loaded_anew_beside_the_feed(
    stack: Cluster, cache: redis.Redis, capsys: pytest.CaptureFixture[str], acme: Tenant, globex: Tenant
) -> None:
    dsn = replication_dsn_of(stack)
    client = clickhouse_client()
    migrations_apply(client)
    heartbeat = HeartbeatWriter()
    heartbeat.start()
    appliers: Any = [
        CacheApplier(cache_url(), ttl_s=60, max_bytes=1 << 40),
        ClickHouseApplier(stack.clickhouse_url, dsn=dsn),
    ]

    def values(tenant: Tenant) -> list[tuple[str, str]]:
        rows = client.query(
            "SELECT attribute_name, value FROM attribute_values FINAL WHERE tenant_id = {tenant:UInt32} ORDER BY ALL",
            parameters={"tenant": tenant.pk},
        ).result_rows
        return [tuple(row) for row in rows]

    try:
        with feed_running(dsn, appliers, slot=slot_name()) as feed:
            row, theirs = write(acme, "one", n=1, s="x"), write(globex, "one", n=2)
            lsn = wal_end(dsn)
            wait_until(lambda: all(worker.position and worker.position.lsn >= lsn for worker in feed.workers))
            before = values(acme), values(globex)
            client.command(
                f"ALTER TABLE attribute_values DELETE WHERE tenant_id IN ({acme.pk}, {globex.pk})",
                settings={"mutations_sync": "2"},
            )
            call_command("feed", resnapshot="clickhouse", tenant=acme.slug, table="values")
            assert values(acme) == [("n", "1"), ("s", "x")]
            call_command("feed", resnapshot="", tenant=acme.slug)
            assert (values(acme), values(globex)) == (before[0], [])
            assert entity_read(tenant_id=acme.pk, entity_id=row.entity_id) is None
            assert entity_read(tenant_id=globex.pk, entity_id=theirs.entity_id) is not None
            assert tenant_count(cache, tenant_id=acme.pk) == 0
            # What comes afterwards wins.
            write(acme, "one", n=5)
            lsn = wal_end(dsn)
            wait_until(lambda: all(worker.position and worker.position.lsn >= lsn for worker in feed.workers))
            assert ("n", "5") in values(acme)
    finally:
        heartbeat.stop()
        heartbeat.join()
    assert "cached entities were dropped" in capsys.readouterr().out


def test_a_transaction_comes_whole_unless_it_is_huge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assemble, "WHOLE_MAX_BYTES", 100)
    note = b'{"tenant_id": 7}'
    begin = b"B" + struct.pack(">QqI", 500, 0, 1)
    erased = [
        b"M\x01" + struct.pack(">Q", lsn) + b"atlasco.tenant_erased\0" + struct.pack(">I", len(note)) + note
        for lsn in (1, 2)
    ]
    commit = b"C\0" + struct.pack(">QQq", 500, 510, 0)
    assembler = assemble.Assembler()
    first = assembler.batch([(1, begin), (1, erased[0])])
    assert (first.events, first.end_lsn) == ([], 0)
    # Too large to be kept: what there is of it comes, and its end later.
    second = assembler.batch([(2, erased[1])])
    assert (len(second.events), second.end_lsn) == (2, 0)
    third = assembler.batch([(3, commit)])
    assert (third.events, third.end_lsn) == ([], 510)
    whole = assembler.batch([(4, begin), (5, erased[0]), (6, commit)])
    assert (len(whole.events), whole.end_lsn) == (1, 510)


def test_a_figure_that_nobody_knows_is_left_out() -> None:
    collector = FeedCollector({f"{PREFIX}memory_bytes": 1.0, "strange": 2.0})
    assert [family.name for family in collector.collect()] == [f"{PREFIX}memory_bytes"]


def test_a_feed_that_ends_by_a_fault_fails_its_command(
    stack: Cluster, monkeypatch: pytest.MonkeyPatch, acme: Tenant, globex: Tenant
) -> None:
    monkeypatch.setattr(settings, "DATABASE_REPLICATION_URL", replication_dsn_of(stack))

    def fails(dsn: str) -> str:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(run, "cluster_identify", fails)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    collecting = gc.get_threshold()
    try:
        with pytest.raises(CommandError, match="unforeseen"):
            call_command("feed")
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        gc.set_threshold(*collecting)
        gc.unfreeze()
