"""Databases that stop without dying: their machine takes what is sent, and nothing answers. Over HTTP."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
import requests
from django.db import connections
from psycopg.conninfo import make_conninfo

from atlasco.stack.processes import descendants
from freshness.board import Board
from freshness.hangs import GUARD_S, HUNG_S, Patience, connection_cut
from freshness.monitor import HUNG, PRIMARY, Monitor
from tenants.models import Tenant
from tests.cluster import Cluster
from tests.freshness.relay import Relay
from tests.freshness.test_live_routing import Client, source
from tests.tenants.conftest import tenant_make
from tests.waiting import wait_until

__all__ = ["tenant_make"]

# More than there are threads that serve: one that is held for good would show.
READERS = 24


@pytest.fixture
def acme(live_db: None, web_url: str, tenant_make: Callable[..., Tenant]) -> Client:
    return Client(web_url, tenant_make("acme"))


@contextmanager
def stopped(stack: Cluster, *names: str) -> Iterator[None]:
    """Nothing of these servers runs inside."""
    parents = [stack.service(name)["pid"] for name in names]
    pids = [pid for parent in parents for pid in (parent, *descendants(parent))]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        stack.wait_for_replicas()


@pytest.fixture
def embedded(stack: Cluster) -> Cluster:
    stack.must_be_embedded()
    return stack


@pytest.fixture
def many(acme: Client) -> list[Client]:
    return [acme.stranger() for _ in range(READERS)]


def test_a_look_that_lasts_is_lost_and_a_process_that_slept_has_not_waited() -> None:
    patience, now = Patience(now=0.0), 0.0
    while now < HUNG_S:
        assert patience.lost({"replica1": 0.0}, now=now) == []
        now += GUARD_S
    assert patience.lost({"replica1": 0.0, "replica2": now}, now=now + 2 * GUARD_S) == ["replica1"]
    # Another look begins anew; so does one after an hour in which nothing of this process ran.
    assert patience.lost({"replica1": 1.0}, now=now + 3 * GUARD_S) == []
    assert patience.lost({"replica1": 1.0}, now=now + 3600) == []
    assert patience.lost({}, now=now + 3601) == []


def search_at_once(clients: list[Client], **headers: str) -> list[requests.Response]:
    """What many get who ask at the same time, before anybody can know."""
    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(lambda each: each.search(**headers), clients))


def test_reads_on_replicas_that_stop_are_answered_by_the_primary(
    acme: Client, many: list[Client], embedded: Cluster
) -> None:
    written = acme.create().json()["entity_id"]
    embedded.wait_for_replicas()
    search_at_once(many)
    with stopped(embedded, "replica1", "replica2"):
        for answer in search_at_once(many):
            assert answer.status_code == 200, answer.text
            assert source(answer) == "primary"
            assert [entity["entity_id"] for entity in answer.json()["entities"]] == [written]
    back = acme.until(lambda got: source(got) == "read-replica")
    assert source(back) == "read-replica"


def test_a_primary_that_stops_leaves_the_reads_to_replicas_and_refuses_writes(
    acme: Client, many: list[Client], embedded: Cluster
) -> None:
    acme.create()
    embedded.wait_for_replicas()
    search_at_once(many, X_Freshness_Tier="REALTIME")
    with stopped(embedded, "primary"), ThreadPoolExecutor(1) as pool:
        refused = pool.submit(acme.create)
        for answer in search_at_once(many, X_Freshness_Tier="REALTIME"):
            assert answer.status_code == 200, answer.text
            assert (source(answer), answer.headers["X-SLA-Met"]) == ("read-replica", "false")
            assert len(answer.json()["entities"]) == 1
        assert (refused.result().status_code, refused.result().json()["code"]) == (503, "primary_unavailable")
    connections.close_all()
    again = acme.until(lambda got: source(got) == "primary", X_Freshness_Tier="REALTIME")
    assert (source(again), again.headers["X-SLA-Met"]) == ("primary", "true")


def test_a_write_that_is_under_way_when_the_primary_stops_for_a_moment_is_done(
    acme: Client, many: list[Client], embedded: Cluster, owner_db: psycopg.Connection[Any]
) -> None:
    search_at_once(many, X_Freshness_Tier="REALTIME")
    waiting = "SELECT FROM pg_locks WHERE NOT granted AND transactionid = pg_current_xact_id()::xid"
    with ThreadPoolExecutor(1) as pool:
        with owner_db.transaction():
            # The write waits for this, so it is under way for as long as we like.
            owner_db.execute("SELECT FROM tenants_tenant WHERE id = %s FOR UPDATE", [acme.tenant.pk])
            created = pool.submit(acme.create)
            wait_until(lambda: bool(owner_db.execute(waiting).fetchall()))
            with stopped(embedded, "primary"):
                # Answered by replicas: every process has shut its connections down by then, those that only read.
                assert {source(got) for got in search_at_once(many, X_Freshness_Tier="REALTIME")} == {"read-replica"}
        assert created.result().status_code == 201, created.result().text
    acme.until(lambda got: source(got) == "primary", X_Freshness_Tier="REALTIME")


def test_a_database_that_answers_slowly_does_not_hang(stack: Cluster) -> None:
    errors = set()
    with Relay(stack.replica_urls[0]) as relay:
        watch = Monitor({"replica1": relay.url})
        watch.start()
        try:
            wait_until(lambda: (reading := watch.reading("replica1")) is not None and not reading.error)
            # Two answers, as many as a look has, take longer than one may.
            relay.held_s = HUNG_S * 0.6

            def two_looks_are_over() -> bool:
                errors.add(watch._readings["replica1"].error)
                return relay.held > 4

            wait_until(two_looks_are_over)
        finally:
            watch.close()
    assert errors == {""}


def backend_of(watch: Monitor) -> int:
    connection = watch._probes.connection(PRIMARY)
    assert connection is not None
    return connection.info.backend_pid


def test_a_look_that_the_database_cancels_keeps_its_connection(
    stack: Cluster, owner_db: psycopg.Connection[Any]
) -> None:
    owner_db.execute("CREATE SCHEMA slow")
    try:
        owner_db.execute("CREATE VIEW slow.heartbeat AS SELECT h.* FROM public.heartbeat AS h, pg_sleep(600)")
        watch = Monitor({PRIMARY: make_conninfo(stack.owner_url, options="-c search_path=slow,public")})
        assert watch.look(PRIMARY).error == "QueryCanceled"
        before = backend_of(watch)
        assert watch.look(PRIMARY).error == "QueryCanceled"
        assert backend_of(watch) == before
        watch.close()
    finally:
        owner_db.execute("DROP SCHEMA slow CASCADE")


def test_a_connection_whose_number_is_a_files_by_now_is_not_cut(owner_db: psycopg.Connection[Any]) -> None:
    kept = os.dup(owner_db.pgconn.socket)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), owner_db.pgconn.socket)
        assert not connection_cut(owner_db)
    os.dup2(kept, owner_db.pgconn.socket)
    os.close(kept)
    assert owner_db.execute("SELECT 1").fetchone() == (1,)


def test_what_the_board_said_too_long_ago_of_a_database_cuts_no_connection(
    live_db: None, stack: Cluster, tmp_path: Any
) -> None:
    now = time.monotonic()
    hung = {"beat_at": None, "lsn": None, "error": HUNG, "since": now - 600, "timeline": 1, "took_s": None}
    readings = {"replica1": {**hung, "taken_at": now - 60}, "replica2": {**hung, "taken_at": now}}
    raws = {}
    for alias in readings:
        connections[alias].ensure_connection()
        raws[alias] = connections[alias].connection
    board = Board(tmp_path / "board")
    assert board.lead()
    board.write({"written_at": now, "readings": readings, "clock": {}, "timelines": []})
    # In this order: when the second was judged, the first was.
    watch = Monitor(dict(zip(readings, stack.replica_urls, strict=True)))
    watch.start(board=Board(tmp_path / "board"))

    def is_answered(alias: str) -> bool:
        try:
            raws[alias].execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    try:
        wait_until(lambda: not is_answered("replica2"))
        assert is_answered("replica1")
    finally:
        watch.close()
        connections.close_all()
