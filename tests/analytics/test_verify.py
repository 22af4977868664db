"""verify_stores sees what differs, in whose data, and repairs it; after every store has been killed nothing does."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections

from analytics.cache.applier import CacheApplier
from analytics.clickhouse.applier import ClickHouseApplier
from analytics.clickhouse.client import clickhouse_client
from analytics.feed import verify as verify_module
from analytics.feed.run import Feed
from analytics.feed.settings import cache_client, cache_url
from analytics.feed.slots import snapshot_export
from analytics.feed.verify import StoreBehind, Verified, stores_verify
from entities.cache import entity_key
from freshness.heartbeat import HeartbeatWriter
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tests.analytics.feeding import delete, feed_running, patch, replication_dsn_of, slot_name, write
from tests.cluster import Cluster
from tests.waiting import wait_until


@pytest.fixture
def dsn(stack: Cluster) -> str:
    return replication_dsn_of(stack)


@pytest.fixture
def heartbeat(stack: Cluster) -> Iterator[None]:
    """Positions move although nobody writes."""
    writer = HeartbeatWriter()
    writer.start()
    yield
    writer.stop()
    writer.join()


@pytest.fixture
def feed(stack: Cluster, dsn: str, heartbeat: None) -> Iterator[Feed]:
    appliers: Any = [
        CacheApplier(cache_url(), ttl_s=600, max_bytes=1 << 40),
        ClickHouseApplier(stack.clickhouse_url, dsn=dsn),
    ]
    with feed_running(dsn, appliers, slot=slot_name()) as feed:
        yield feed


def verify(dsn: str, tenant: Tenant, *, repair: bool = False, wait_s: float = 60) -> Verified:
    with snapshot_export(dsn) as snapshot, cache_client() as cache:
        return stores_verify(
            snapshot=snapshot,
            clickhouse=clickhouse_client(),
            cache=cache,
            tenant=tenant.slug,
            repair=repair,
            wait_s=wait_s,
        )


@pytest.mark.parametrize("range_rows", [1, 3, verify_module.RANGE_ROWS])
def test_every_kind_of_difference_is_found_and_repaired(
    feed: Feed, dsn: str, acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch, range_rows: int
) -> None:
    monkeypatch.setattr(verify_module, "RANGE_ROWS", range_rows)
    rows = [write(acme, str(n), n=n, text=f"é{n}") for n in range(4)]
    write(globex, "one", n=1)
    assert (verify(dsn, acme).differences, verify(dsn, globex).differences) == ((), ())
    client = clickhouse_client()
    client.command(
        f"ALTER TABLE attribute_values DELETE WHERE tenant_id = {acme.pk} AND entity_id = {rows[0].entity_id}"
        " AND attribute_name != ''"
        " SETTINGS mutations_sync = 2"
    )
    client.command(
        f"ALTER TABLE attribute_values UPDATE document = '{{}}' WHERE tenant_id = {acme.pk} AND attribute_name = ''"
        f" AND entity_id = {rows[1].entity_id} SETTINGS mutations_sync = 2"
    )
    columns = ["tenant_id", "attribute_name", "entity_id", "value_type", "value", "lsn"]
    client.insert("attribute_values", [[acme.pk, "", 5, "entity", "ghost", 5]], column_names=columns)
    with cache_client() as cache:
        cache.hset(entity_key(acme.pk, rows[2].entity_id), "a", "{}")
    found = {(one.store, one.kind): one.count for one in verify(dsn, acme).differences}
    assert found == {
        ("clickhouse", "entities different"): 1,
        ("clickhouse", "entities extra"): 1,
        ("clickhouse", "values missing"): 2,
        ("redis-cache", "entries different"): 1,
    }
    assert verify(dsn, globex).differences == ()
    assert len(verify(dsn, acme, repair=True).differences) == 4
    assert (verify(dsn, acme).differences, verify(dsn, globex).differences) == ((), ())


def test_only_rows_of_ranges_that_differ_are_compared(
    feed: Feed, dsn: str, acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_module, "RANGE_ROWS", 2)
    rows = [write(acme, str(n), n=n) for n in range(12)]
    write(globex, "one", n=1)
    assert verify(dsn, acme).differences == ()
    clickhouse_client().command(
        f"ALTER TABLE attribute_values DELETE WHERE tenant_id = {acme.pk} AND entity_id = {rows[7].entity_id}"
        " AND attribute_name = 'n' SETTINGS mutations_sync = 2"
    )
    compared: list[tuple[int, int]] = []
    keys_that_differ = verify_module._Run._keys_that_differ

    def noted(run: Any, tenant_id: int, name: str, first: int, last: int) -> dict[str, list[str]]:
        compared.append((first, last))
        return keys_that_differ(run, tenant_id, name, first, last)

    monkeypatch.setattr(verify_module._Run, "_keys_that_differ", noted)
    assert [(one.kind, one.examples) for one in verify(dsn, acme).differences] == [
        ("values missing", (f"{rows[7].entity_id} n",))
    ]
    assert len(compared) == 1
    assert [row.entity_id for row in rows if compared[0][0] <= row.entity_id <= compared[0][1]] == [
        row.entity_id for row in rows[7:9]
    ]


def test_archived_months_stay_in_clickhouse_and_are_no_difference(
    feed: Feed, dsn: str, tenant_make: Callable[..., Tenant], globex: Tenant
) -> None:
    initech = tenant_make("initech", dedicated=True)
    rows = [write(initech, str(n), n=n) for n in range(3)]
    assert verify(dsn, initech).differences == ()
    # As the primary is once their month went to files.
    with tenant_bind(initech), connections["default"].cursor() as cursor:
        cursor.execute(
            "SELECT pg_logical_emit_message(true, 'atlasco.rows_moved', '{}');"
            " DELETE FROM entity_attributes WHERE tenant_id = %(id)s AND entity_id <= %(last)s;"
            " DELETE FROM entities WHERE tenant_id = %(id)s AND entity_id <= %(last)s;"
            " INSERT INTO partition_archives VALUES (%(id)s, 'old', NULL, %(last)s + 1, now(), 2, 2, 0, '', '')",
            {"id": initech.pk, "last": rows[1].entity_id},
        )
    client = clickhouse_client()
    client.command(
        f"ALTER TABLE attribute_values DELETE WHERE tenant_id = {initech.pk} AND entity_id = {rows[2].entity_id}"
        " SETTINGS mutations_sync = 2"
    )
    # Only what the primary still has differs; its repair leaves the archived rows. The cache keeps no archive.
    assert {one.kind: one.count for one in verify(dsn, initech, repair=True).differences} == {
        "entities missing": 1,
        "values missing": 1,
        "entries different": 2,
    }
    assert verify(dsn, initech).differences == ()
    held = client.query(f"SELECT count() FROM attribute_values FINAL WHERE tenant_id = {initech.pk}").result_rows
    assert held == [(6,)]


def test_a_store_that_is_behind_is_no_difference(dsn: str, acme: Tenant, globex: Tenant, stack: Cluster) -> None:
    write(acme, "one", n=1)
    write(globex, "one", n=1)
    with pytest.raises(StoreBehind):
        verify(dsn, acme, wait_s=0)


def test_writers_beside_a_verification_are_no_difference(feed: Feed, dsn: str, acme: Tenant, globex: Tenant) -> None:
    entity_ids = [write(acme, str(n), n=n).entity_id for n in range(20)]
    stopping = threading.Event()

    def churn() -> None:
        chance = random.Random(1)
        while not stopping.is_set():
            patch(acme, chance.choice(entity_ids), n=chance.random(), **{f"a{chance.randrange(5)}": None})
            write(globex, str(chance.randrange(20)), n=chance.random())
        connections.close_all()

    writer = threading.Thread(target=churn)
    writer.start()
    try:
        for _ in range(5):
            assert (verify(dsn, acme).differences, verify(dsn, globex).differences) == ((), ())
    finally:
        stopping.set()
        writer.join()


def test_nothing_is_lost_and_nothing_is_twice_when_servers_are_killed(
    feed: Feed, dsn: str, stack: Cluster, acme: Tenant, globex: Tenant
) -> None:
    chance = random.Random(7)
    kept: dict[int, tuple[Tenant, int]] = {}

    def some_writes(count: int) -> None:
        for _ in range(count):
            tenant = chance.choice((acme, globex))
            row = write(
                tenant, str(chance.randrange(30)), n=chance.random(), **{f"a{chance.randrange(6)}": chance.random()}
            )
            kept[row.entity_id] = (tenant, row.version)
            if chance.random() < 0.2:
                delete(tenant, row.entity_id)
                del kept[row.entity_id]

    for server in ("valkey", "clickhouse", "primary", "clickhouse", "valkey"):
        some_writes(10)
        stack.ask("kill", name=server)
        if server != "primary":
            some_writes(10)
        stack.ask("start", name=server)
        connections.close_all()
    wait_until(feed.is_running)
    some_writes(5)
    assert (verify(dsn, acme).differences, verify(dsn, globex).differences) == ((), ())
    versions = dict(
        clickhouse_client()
        .query(f"SELECT entity_id, version FROM entities FINAL WHERE tenant_id IN ({acme.pk}, {globex.pk})")
        .result_rows
    )
    assert versions == {entity_id: version for entity_id, (_, version) in kept.items()}
