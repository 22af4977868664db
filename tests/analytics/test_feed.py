"""The feed against the real primary: order, completeness, and what happens when somebody fails."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace
from typing import Any

import orjson
import psycopg
import pytest
import redis

from analytics.feed.applying import QUEUE_MAX_BATCHES, Worker
from analytics.feed.events import PREFIX_ROWS_MOVED, PREFIX_TENANT_ERASED, Batch, Change, Event, Position, TenantErased
from analytics.feed.metrics import Metrics
from analytics.feed.repair import feed_resnapshot
from analytics.feed.run import Feed
from analytics.feed.slots import slot_read, snapshot_export
from freshness.heartbeat import HeartbeatWriter
from tenants.models import Tenant
from tests.analytics.feeding import (
    ARRIVAL_TIMEOUT_S,
    Recorder,
    delete,
    feed_running,
    patch,
    replication_dsn_of,
    slot_name,
    wait_for_position,
    write,
)
from tests.cluster import Cluster
from tests.waiting import wait_until


@pytest.fixture
def dsn(stack: Cluster) -> str:
    return replication_dsn_of(stack)


def changes_of(events: list[Event], tenant: Tenant, table: str = "entities") -> list[Change]:
    return [
        event for event in events if isinstance(event, Change) and event.table == table and event.tenant_id == tenant.pk
    ]


def test_changes_arrive_in_order_with_their_tenant(dsn: str, acme: Tenant, globex: Tenant) -> None:
    recorder = Recorder()
    with feed_running(dsn, [recorder], slot=slot_name()):
        one = write(acme, "one", colour="red", weight=1.5)
        other = write(globex, "one", colour="blue")
        patch(acme, one.entity_id, weight=2)
        delete(acme, one.entity_id)
        wait_for_position([recorder], dsn)
    rows = [change.row for change in changes_of(recorder.events, acme)]
    assert [row and orjson.loads(row["attributes"]) for row in rows] == [
        {"colour": "red", "weight": 1.5},
        {"colour": "red", "weight": 2},
        None,
    ]
    assert [row and row["version"] for row in rows] == [1, 2, None]
    assert [change.key for change in changes_of(recorder.events, globex)] == [(globex.pk, other.entity_id)]
    lsns = [event.lsn for event in recorder.events if isinstance(event, Change)]
    commits = [event.commit_lsn for event in recorder.events]
    assert commits == sorted(commits) and len(set(lsns)) == len(lsns)
    assert all(event.lsn < event.commit_lsn for event in recorder.events if isinstance(event, Change))


def test_values_keep_type_and_every_digit(dsn: str, acme: Tenant, globex: Tenant) -> None:
    recorder = Recorder()
    with feed_running(dsn, [recorder], slot=slot_name()):
        row = write(acme, "one", n=0.1, i=2**63 - 1, s="tab\there\\", t="2026-01-31T12:00:00.25+01:00", b=True)
        write(globex, "one", n="text")
        wait_for_position([recorder], dsn)
    found = {change.key[2]: change.row for change in changes_of(recorder.events, acme, "entity_attributes")}
    assert all(
        change.key[:2] == (acme.pk, row.entity_id) for change in changes_of(recorder.events, acme, "entity_attributes")
    )
    facts = {
        name: (row["value_type"], row["attribute_value"], row["numeric_value"]) for name, row in found.items() if row
    }
    assert facts == {
        "n": ("number", "0.1", "0.1"),
        "i": ("number", "9223372036854775807", "9223372036854775807"),
        "s": ("string", "tab\there\\", None),
        "t": ("timestamp", "2026-01-31T12:00:00.25+01:00", None),
        "b": ("boolean", "true", None),
    }
    timestamp = found["t"]
    assert timestamp is not None and timestamp["instant_value"] == 1_769_857_200_250_000


def test_a_feed_that_starts_again_sends_what_was_missed_and_nothing_twice(
    dsn: str, acme: Tenant, globex: Tenant
) -> None:
    recorder, slot = Recorder(), slot_name()
    with feed_running(dsn, [recorder], slot=slot, keep_slot=True):
        write(acme, "before")
        wait_for_position([recorder], dsn)
    write(acme, "between")
    write(globex, "between")
    with feed_running(dsn, [recorder], slot=slot):
        write(acme, "after")
        wait_for_position([recorder], dsn)
    names = [change.row["external_id"] for change in changes_of(recorder.events, acme) if change.row]
    assert names == ["before", "between", "after"]
    assert recorder.loads == 1


def test_a_store_that_is_away_stops_nobody_and_misses_nothing(dsn: str, acme: Tenant, globex: Tenant) -> None:
    well, ill, slot = Recorder("well"), Recorder("ill"), slot_name()
    away = threading.Event()

    def fails(events: list[Event]) -> None:
        if away.is_set():
            raise OSError("away")

    ill.fails = fails
    with feed_running(dsn, [well, ill], slot=slot) as feed:
        write(acme, "one")
        wait_for_position([well, ill], dsn)
        away.set()
        write(acme, "two")
        write(globex, "two")
        wait_for_position([well], dsn)
        ill_position = ill.position
        # What the one has not committed stays in the log, however far the other is.
        assert ill_position is not None and slot_read(dsn, name=slot).confirmed_lsn <= ill_position.lsn
        away.clear()
        wait_until(feed.is_running)
        write(acme, "three")
        wait_for_position([well, ill], dsn)
    for recorder in (well, ill):
        names = [change.row["external_id"] for change in changes_of(recorder.events, acme) if change.row]
        assert names == ["one", "two", "three"]
        assert recorder.loads == 1


def test_many_small_batches_do_not_wait_for_the_next_time_to_apply(acme: Tenant, globex: Tenant) -> None:
    recorder = Recorder()
    recorder.linger_s = 3600
    worker = Worker(recorder, start_read=lambda: Position("1/1", 0), metrics=Metrics())
    worker.start()
    try:
        wait_until(lambda: worker.state == "waiting")
        worker.attach()
        for n in range(1, QUEUE_MAX_BATCHES + 3):
            batch = Batch([TenantErased((acme, globex)[n % 2].pk, n)], n + 1, None, 1)
            assert worker.offer(batch, timeout_s=ARRIVAL_TIMEOUT_S)
            # From the first on it waits for more.
            wait_until(lambda: recorder.events)
    finally:
        worker.stop()
        worker.join()
    assert len(recorder.events) >= QUEUE_MAX_BATCHES


def test_the_slot_is_acknowledged_once_everybody_has_committed(dsn: str, acme: Tenant, globex: Tenant) -> None:
    recorder, slot = Recorder(), slot_name()
    with feed_running(dsn, [recorder], slot=slot):
        write(acme, "one")
        write(globex, "one")
        wait_for_position([recorder], dsn)
        position = recorder.position
        assert position is not None
        wait_until(lambda: slot_read(dsn, name=slot).confirmed_lsn >= position.lsn)


def test_a_valkey_that_hangs_holds_up_the_figures_and_nothing_else(dsn: str, acme: Tenant, globex: Tenant) -> None:
    recorder = Recorder()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        # It is connected to and never answers; this client waits for ever.
        client = redis.Redis(port=silent.getsockname()[1])
        with feed_running(dsn, [recorder], slot=slot_name(), metrics_client=client), silent.accept()[0]:
            write(acme, "one")
            write(globex, "one")
            wait_for_position([recorder], dsn)
    for tenant in (acme, globex):
        assert len(changes_of(recorder.events, tenant)) == 1


def test_a_large_transaction_passes_in_batches(
    dsn: str, acme: Tenant, globex: Tenant, owner_db: psycopg.Connection[Any]
) -> None:
    recorder = Recorder()
    sizes: list[int] = []
    recorder.fails = lambda events: sizes.append(len(events))
    with feed_running(dsn, [recorder], slot=slot_name()):
        with owner_db.transaction():
            for tenant in (acme, globex):
                owner_db.execute("SELECT set_config('atlasco.tenant_id', %s, true)", (str(tenant.pk),))
                owner_db.execute(
                    "INSERT INTO entities (tenant_id, entity_type, external_id, attributes)"
                    " SELECT %s, 'bulk', g::text, jsonb_build_object('text', repeat('x', 500))"
                    " FROM generate_series(1, 20000) g",
                    (tenant.pk,),
                )
        wait_for_position([recorder], dsn)
    for tenant in (acme, globex):
        assert len({change.key for change in changes_of(recorder.events, tenant)}) == 20_000
    assert max(sizes) < 40_000


def test_a_slot_that_was_lost_is_reported_and_made_anew_by_command(dsn: str, acme: Tenant, globex: Tenant) -> None:
    recorder, slot = Recorder(), slot_name()
    with feed_running(dsn, [recorder], slot=slot, keep_slot=True):
        write(acme, "one")
        wait_for_position([recorder], dsn)
    feed_resnapshot_after_loss(dsn, slot)
    with feed_running(dsn, [recorder], slot=slot):
        write(globex, "two")
        wait_for_position([recorder], dsn)
    assert recorder.loads == 2


def feed_resnapshot_after_loss(dsn: str, slot: str) -> None:
    from tests.analytics.feeding import slot_drop_patiently

    slot_drop_patiently(dsn, slot)
    assert slot_read(dsn, name=slot).state == "missing"
    assert "anew" in feed_resnapshot(dsn=dsn, store="", slot=slot)


def test_a_store_is_loaded_anew_on_demand(dsn: str, acme: Tenant, globex: Tenant) -> None:
    asked, other, slot = Recorder("asked"), Recorder("other"), slot_name()
    with feed_running(dsn, [asked, other], slot=slot) as feed:
        write(acme, "one")
        assert "asked" in feed_resnapshot(dsn=dsn, store="asked", slot=slot)
        wait_until(lambda: asked.loads == 2 and feed.is_running())
        write(globex, "two")
        wait_for_position([asked, other], dsn)
    assert other.loads == 1
    assert [change.row["external_id"] for change in changes_of(other.events, acme) if change.row] == ["one"]


def test_a_store_that_was_loaded_from_another_primary_is_loaded_again(dsn: str, acme: Tenant, globex: Tenant) -> None:
    class Late(Recorder):
        """Its first load is still one of the primary before."""

        def load(self, *, start: Position) -> Position:
            loaded = super().load(start=start)
            self.position = replace(loaded, cluster="1/1") if self.loads == 1 else loaded
            return self.position

    late, slot = Late("late"), slot_name()
    with feed_running(dsn, [late], slot=slot):
        wait_until(lambda: late.loads == 2)
        write(acme, "one")
        write(globex, "one")
        wait_for_position([late], dsn)
        position = late.position
        assert position is not None
        wait_until(lambda: slot_read(dsn, name=slot).confirmed_lsn >= position.lsn)
    assert late.loads == 2


def test_a_snapshot_fits_its_position(dsn: str, acme: Tenant, globex: Tenant) -> None:
    recorder = Recorder()
    with feed_running(dsn, [recorder], slot=slot_name()):
        write(acme, "before")
        with snapshot_export(dsn) as snapshot:
            write(acme, "after")
            write(globex, "after")
            rows = snapshot.connection.execute(
                "SELECT external_id FROM entities WHERE tenant_id = ANY (%s)", ([acme.pk, globex.pk],)
            ).fetchall()
        wait_for_position([recorder], dsn)
    assert rows == [("before",)]
    for change in changes_of(recorder.events, acme):
        assert change.row is not None
        is_in_snapshot = change.row["external_id"] == "before"
        assert (change.commit_lsn < snapshot.lsn) == is_in_snapshot
        assert (change.lsn < snapshot.floor_lsn) == is_in_snapshot


def test_heartbeats_pass_like_any_other_row(dsn: str, acme: Tenant, globex: Tenant) -> None:
    recorder = Recorder()
    writer = HeartbeatWriter()
    writer.start()
    try:
        with feed_running(dsn, [recorder], slot=slot_name()):
            wait_until(lambda: recorder.position and recorder.position.heartbeat)
            first = recorder.position
            assert first is not None and first.heartbeat is not None
            seq = first.heartbeat.seq
            wait_until(
                lambda: recorder.position and recorder.position.heartbeat and recorder.position.heartbeat.seq > seq
            )
            last = recorder.position
            assert last is not None and last.heartbeat is not None
            assert last.heartbeat.lsn <= last.lsn and last.heartbeat.ts_us > first.heartbeat.ts_us
    finally:
        writer.stop()
        writer.join()


def test_notes_in_the_log_erase_a_tenant_and_hide_moved_rows(
    dsn: str, acme: Tenant, globex: Tenant, owner_db: psycopg.Connection[Any]
) -> None:
    recorder = Recorder()
    with feed_running(dsn, [recorder], slot=slot_name()):
        row = write(acme, "one")
        write(globex, "one")
        with owner_db.transaction():
            owner_db.execute("SELECT set_config('atlasco.tenant_id', %s, true)", (str(acme.pk),))
            owner_db.execute("SELECT pg_logical_emit_message(true, %s, '')", (PREFIX_ROWS_MOVED,))
            owner_db.execute("UPDATE entities SET version = version + 1 WHERE tenant_id = %s", (acme.pk,))
        owner_db.execute(
            "SELECT pg_logical_emit_message(true, %s, %s)",
            (PREFIX_TENANT_ERASED, orjson.dumps({"tenant_id": acme.pk}).decode()),
        )
        wait_for_position([recorder], dsn)
    assert [change.key for change in changes_of(recorder.events, acme)] == [(acme.pk, row.entity_id)]
    assert [event.tenant_id for event in recorder.events if isinstance(event, TenantErased)] == [acme.pk]


def test_the_primary_may_be_killed(dsn: str, stack: Cluster, acme: Tenant, globex: Tenant) -> None:
    from django.db import connections

    recorder = Recorder()
    with feed_running(dsn, [recorder], slot=slot_name()) as feed:
        write(acme, "before")
        write(globex, "before")
        stack.ask("kill", name="primary")
        stack.ask("start", name="primary")
        connections.close_all()
        write(acme, "after")
        wait_until(feed.is_running)
        wait_for_position([recorder], dsn)
    names = [change.row["external_id"] for change in changes_of(recorder.events, acme) if change.row]
    assert names == ["before", "after"]
    assert isinstance(feed, Feed)
