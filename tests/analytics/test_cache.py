"""The hot cache behind a real feed and a real Valkey: never a stale hit, whatever is lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.db import connections, transaction

from analytics.cache.applier import CacheApplier, tenant_count, tenant_erase
from analytics.feed.events import Change, Event, Heartbeat, Position, RowsArchived
from analytics.feed.settings import cache_url
from entities.cache import STATE_KEY, CacheAnswer, entity_fill, entity_key, entity_read
from entities.partitions.archive import SQL as ARCHIVE_SQL
from entities.search.run import EntityRow
from entities.selectors import EntityNotFound, entity_get
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tests.analytics.feeding import (
    delete,
    feed_running,
    patch,
    primary_lsn,
    replication_dsn_of,
    slot_name,
    wal_end,
    write,
)
from tests.cluster import Cluster
from tests.waiting import wait_until

CLUSTER_ID = "1"


@pytest.fixture
def client(stack: Cluster) -> Iterator[Any]:
    with redis.Redis.from_url(cache_url()) as client:
        client.delete(STATE_KEY)
        yield client


@pytest.fixture
def applier(client: Any) -> Iterator[CacheApplier]:
    """An applier of the test's own, without any feed, that begins at position 100."""
    applier = CacheApplier(cache_url(), ttl_s=60, max_bytes=1 << 40)
    assert applier.recover() is None
    applier.load(start=Position(CLUSTER_ID, 100))
    yield applier
    applier.close()


def position(lsn: int) -> Position:
    return Position(CLUSTER_ID, lsn, Heartbeat(1, 1_000_000, lsn - 1))


def upsert(tenant: Tenant, *, version: int, lsn: int, entity_id: int = 1, attributes: str = "{}") -> Change:
    row = {
        "tenant_id": tenant.pk, "entity_id": entity_id, "entity_type": "t", "external_id": "x", "version": version,
        "created_at": 0, "updated_at": 0, "attributes": attributes,
    }  # fmt: skip
    return Change("entities", tenant.pk, (tenant.pk, entity_id), row, lsn, lsn + 1, 0)


def removal(tenant: Tenant, *, lsn: int, entity_id: int = 1) -> Change:
    return Change("entities", tenant.pk, (tenant.pk, entity_id), None, lsn, lsn + 1, 0)


def row_of(answer: CacheAnswer | None) -> EntityRow | None:
    return None if answer is None else answer.row


def version_of(tenant: Tenant) -> int | None:
    """The version that the cache has of the entity; 0 where it knows that it is deleted, None on a miss."""
    answer = entity_read(tenant_id=tenant.pk, entity_id=1)
    return None if answer is None else 0 if answer.row is None else answer.row.version


def cached_row(version: int) -> EntityRow:
    from datetime import UTC, datetime

    return EntityRow(1, "t", "x", datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC), version, "{}")


def test_what_is_written_is_read_from_the_cache_as_it_is_on_the_primary(
    stack: Cluster, client: Any, acme: Tenant, globex: Tenant
) -> None:
    dsn = replication_dsn_of(stack)
    applier = CacheApplier(cache_url(), ttl_s=60, max_bytes=1 << 40)
    with feed_running(dsn, [applier], slot=slot_name()) as feed:
        rows = [(tenant, write(tenant, "one", number=0.1, text="é\n", big=2**63 - 1)) for tenant in (acme, globex)]
        rows.append((acme, patch(acme, rows[0][1].entity_id, number=None, more=True)))
        gone = write(globex, "gone")
        delete(globex, gone.entity_id)
        lsn = wal_end(dsn)
        wait_until(lambda: (known := feed.workers[0].position) is not None and known.lsn >= lsn)
        for tenant, row in rows[1:]:
            answer = entity_read(tenant_id=tenant.pk, entity_id=row.entity_id)
            assert answer is not None and answer.row == row and answer.lsn >= lsn
            other = globex if tenant == acme else acme
            assert entity_read(tenant_id=other.pk, entity_id=row.entity_id) is None
        deleted = entity_read(tenant_id=globex.pk, entity_id=gone.entity_id)
        assert deleted is not None and deleted.row is None


def test_an_older_change_never_wins_and_a_replay_changes_nothing(
    applier: CacheApplier, acme: Tenant, globex: Tenant
) -> None:
    new, old = upsert(acme, version=3, lsn=300), upsert(acme, version=2, lsn=200)
    applier.apply([new], position(400))
    applier.apply([old, upsert(globex, version=1, lsn=210)], position(400))
    assert (version_of(acme), version_of(globex)) == (3, 1)
    applier.apply([removal(acme, lsn=500)], position(600))
    applier.apply([old, new], position(600))
    assert (version_of(acme), version_of(globex)) == (0, 1)


def test_a_row_that_moved_is_deleted_and_there_again(applier: CacheApplier, acme: Tenant, globex: Tenant) -> None:
    events: list[Event] = [upsert(acme, version=3, lsn=300), removal(acme, lsn=400), upsert(acme, version=3, lsn=410)]
    applier.apply(events, position(500))
    applier.apply(events[1:], position(500))
    assert (version_of(acme), version_of(globex)) == (3, None)


def test_what_was_archived_is_served_no_more_and_not_filled_in_again(
    applier: CacheApplier, acme: Tenant, globex: Tenant
) -> None:
    applier.apply([upsert(acme, version=2, lsn=200), upsert(globex, version=2, lsn=210)], position(300))
    applier.apply([RowsArchived(acme.pk, 400)], position(410))
    assert (version_of(acme), version_of(globex)) == (None, 2)
    # Read by a replica that had not come so far.
    assert entity_fill(tenant_id=acme.pk, row=cached_row(2), read_lsn=400) is False
    assert entity_fill(tenant_id=acme.pk, row=cached_row(3), read_lsn=500)
    # The archive is told of once more, and what came back since is a miss again.
    applier.apply([RowsArchived(acme.pk, 400)], position(410))
    assert version_of(acme) is None


def test_an_archived_month_is_told_of_in_its_place(stack: Cluster, client: Any, acme: Tenant, globex: Tenant) -> None:
    """As the archive does it: a note in the transaction that takes the rows away, which is left out itself."""
    dsn = replication_dsn_of(stack)
    applier = CacheApplier(cache_url(), ttl_s=60, max_bytes=1 << 40)
    with feed_running(dsn, [applier], slot=slot_name()) as feed:
        rows = [write(tenant, "one") for tenant in (acme, globex)]
        with tenant_bind(acme), transaction.atomic(), connections["default"].cursor() as cursor:
            cursor.execute("SELECT pg_logical_emit_message(true, 'atlasco.rows_moved', '{}')")
            cursor.execute(ARCHIVE_SQL["archived_note"], {"tenant_id": acme.pk})
        lsn = wal_end(dsn)
        wait_until(lambda: (known := feed.workers[0].position) is not None and known.lsn >= lsn)
        kept = [
            entity_read(tenant_id=tenant.pk, entity_id=row.entity_id)
            for tenant, row in zip((acme, globex), rows, strict=True)
        ]
        assert kept[0] is None and row_of(kept[1]) == rows[1]


def test_a_fill_must_have_been_read_after_the_last_change(applier: CacheApplier, acme: Tenant, globex: Tenant) -> None:
    assert entity_fill(tenant_id=acme.pk, row=cached_row(1), read_lsn=99) is False  # Before the cache's own beginning.
    assert entity_fill(tenant_id=acme.pk, row=cached_row(1), read_lsn=150)
    applier.apply([upsert(acme, version=2, lsn=200)], position(300))
    assert version_of(acme) == 2
    assert entity_fill(tenant_id=acme.pk, row=cached_row(1), read_lsn=400) is False  # An older version.
    assert version_of(globex) is None


def test_a_fill_loses_to_a_change_whose_entry_was_evicted(
    applier: CacheApplier, client: Any, acme: Tenant, globex: Tenant
) -> None:
    read_lsn = 150
    for change in (upsert(acme, version=2, lsn=200), removal(acme, lsn=400)):
        applier.apply([change], position(change.lsn + 10))
        client.delete(entity_key(acme.pk, 1))
        assert entity_fill(tenant_id=acme.pk, row=cached_row(1), read_lsn=read_lsn) is False
        assert version_of(acme) is None
        read_lsn = change.commit_lsn
    assert entity_fill(tenant_id=acme.pk, row=cached_row(3), read_lsn=500)
    assert (version_of(acme), version_of(globex)) == (3, None)


def test_a_tombstone_is_never_filled_over(applier: CacheApplier, acme: Tenant, globex: Tenant) -> None:
    applier.apply([removal(acme, lsn=200)], position(300))
    assert entity_fill(tenant_id=acme.pk, row=cached_row(9), read_lsn=10_000) is False
    assert (version_of(acme), version_of(globex)) == (0, None)


def test_a_cache_that_lost_its_position_is_empty_until_it_has_one(
    applier: CacheApplier, client: Any, acme: Tenant, globex: Tenant
) -> None:
    applier.apply([upsert(acme, version=1, lsn=200), upsert(globex, version=1, lsn=201)], position(300))
    client.delete(STATE_KEY)
    assert (version_of(acme), version_of(globex)) == (None, None)
    assert entity_fill(tenant_id=acme.pk, row=cached_row(1), read_lsn=10_000) is False
    with pytest.raises(redis.ResponseError, match="LOST"):
        applier.apply([upsert(acme, version=2, lsn=400)], position(500))
    assert applier.recover() is None
    applier.load(start=position(350))
    assert (version_of(acme), version_of(globex)) == (None, None)
    applier.apply([upsert(acme, version=2, lsn=400)], position(500))
    assert (version_of(acme), version_of(globex)) == (2, None)


def test_a_cache_that_fell_back_is_not_continued(
    applier: CacheApplier, client: Any, acme: Tenant, globex: Tenant
) -> None:
    applier.apply([upsert(acme, version=1, lsn=200)], position(300))
    before = client.hgetall(STATE_KEY)
    applier.apply([upsert(acme, version=2, lsn=400), upsert(globex, version=1, lsn=401)], position(500))
    client.delete(STATE_KEY)
    client.hset(STATE_KEY, mapping=before)
    with pytest.raises(redis.ResponseError, match="LOST"):
        applier.apply([], position(600))
    recovered = applier.recover()
    assert recovered is not None and recovered.lsn == 300


def test_a_full_cache_keeps_what_it_has_current_and_takes_nothing_new(
    applier: CacheApplier, acme: Tenant, globex: Tenant
) -> None:
    applier.apply([upsert(acme, version=1, lsn=200)], position(300))
    full = CacheApplier(cache_url(), ttl_s=60, max_bytes=1)
    full.recover()
    full.apply([upsert(acme, version=2, lsn=400), upsert(globex, version=1, lsn=401)], position(500))
    assert (version_of(acme), version_of(globex)) == (2, None)
    assert entity_fill(tenant_id=globex.pk, row=cached_row(1), read_lsn=10_000) is False


def test_an_erased_tenant_stays_erased(applier: CacheApplier, client: Any, acme: Tenant, globex: Tenant) -> None:
    applier.apply([upsert(acme, version=1, lsn=200), upsert(globex, version=1, lsn=201)], position(300))
    assert (tenant_count(client, tenant_id=acme.pk), tenant_erase(client, tenant_id=acme.pk)) == (1, 1)
    # A change that was on its way, and a fill that was read before.
    applier.apply([upsert(acme, version=2, lsn=400)], position(500))
    assert entity_fill(tenant_id=acme.pk, row=cached_row(1), read_lsn=10_000) is False
    assert (version_of(acme), version_of(globex)) == (None, 1)
    applier.load(start=position(600))
    assert entity_fill(tenant_id=acme.pk, row=cached_row(1), read_lsn=10_000) is False


def test_readers_fill_while_writers_write_and_no_hit_is_ever_behind_its_position(
    stack: Cluster, client: Any, acme: Tenant, globex: Tenant
) -> None:
    """What a hit claims, checked against the primary: nothing committed before the cache's position is missing."""
    dsn = replication_dsn_of(stack)
    applier = CacheApplier(cache_url(), ttl_s=60, max_bytes=1 << 40)
    row = write(acme, "one", n=0)
    write(globex, "one", n=0)
    with feed_running(dsn, [applier], slot=slot_name()):
        committed: list[tuple[int, int]] = []
        for n in range(1, 60):
            if n % 3 == 0:
                client.delete(entity_key(acme.pk, row.entity_id))
            with tenant_bind(acme):
                read_lsn = primary_lsn(dsn)
                current = entity_get(tenant_id=acme.pk, entity_id=row.entity_id, using="default")
            version = patch(acme, row.entity_id, n=n).version
            committed.append((primary_lsn(dsn), version))
            entity_fill(tenant_id=acme.pk, row=current, read_lsn=read_lsn)
            answer = entity_read(tenant_id=acme.pk, entity_id=row.entity_id)
            if answer is not None and answer.row is not None:
                due = max((known for lsn, known in committed if lsn <= answer.lsn), default=1)
                assert answer.row.version >= due
    with pytest.raises(EntityNotFound), tenant_bind(globex):
        entity_get(tenant_id=globex.pk, entity_id=row.entity_id, using="default")


def test_valkey_may_be_killed(stack: Cluster, client: Any, acme: Tenant, globex: Tenant) -> None:
    dsn = replication_dsn_of(stack)
    applier = CacheApplier(cache_url(), ttl_s=60, max_bytes=1 << 40)
    with feed_running(dsn, [applier], slot=slot_name()) as feed:
        row = write(acme, "one", n=1)
        wait_until(lambda: row_of(entity_read(tenant_id=acme.pk, entity_id=row.entity_id)))
        stack.ask("kill", name="valkey")
        with pytest.raises(redis.RedisError):
            entity_read(tenant_id=acme.pk, entity_id=row.entity_id)
        updated = patch(acme, row.entity_id, n=2)
        other = write(globex, "two")
        stack.ask("start", name="valkey")
        wait_until(feed.is_running)
        lsn = wal_end(dsn)
        wait_until(lambda: (known := feed.workers[0].position) is not None and known.lsn >= lsn)
        wait_until(lambda: entity_read(tenant_id=globex.pk, entity_id=other.entity_id))
        assert row_of(entity_read(tenant_id=acme.pk, entity_id=row.entity_id)) in {updated, None}
