"""Helpers of the feed's tests: a feed of the test's own, and writes whose arrival can be waited for."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
import redis

from analytics.feed.applying import Applier
from analytics.feed.events import Event, Position
from analytics.feed.run import Feed
from analytics.feed.slots import slot_drop
from atlasco.lib import clock
from atlasco.lib.errors import Problem
from atlasco.stack.plan import REPLICATION_ROLE
from entities.search.run import EntityRow
from entities.services import EntityInput, entity_create, entity_delete, entity_patch
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tests.cluster import Cluster
from tests.waiting import wait_until

ARRIVAL_TIMEOUT_S = 60


class Recorder:
    """A store in memory that remembers events and position, as an honest store would: both or nothing."""

    linger_s = 0.0

    def __init__(self, name: str = "recorder") -> None:
        self.name = name
        self.events: list[Event] = []
        self.position: Position | None = None
        self.loads = 0
        self.fails: Callable[[list[Event]], None] = lambda events: None

    def recover(self) -> Position | None:
        return self.position

    def load(self, *, start: Position) -> Position:
        self.loads += 1
        self.position = start
        return start

    def apply(self, events: list[Event], position: Position) -> None:
        self.fails(events)
        self.events = [*self.events, *events]
        self.position = position

    def close(self) -> None:
        pass


def replication_dsn_of(stack: Cluster) -> str:
    """Skips where the primary is somebody else's, whose replication role we don't know."""
    if stack.plan.external.database_url:
        pytest.skip("needs the embedded PostgreSQL's replication role")
    return stack.plan.postgres_url("primary", role=REPLICATION_ROLE, password=stack.plan.secrets.replication_password)


def slot_name() -> str:
    return f"feed_test_{secrets.token_hex(4)}"


@contextmanager
def feed_running(
    dsn: str,
    appliers: Sequence[Applier],
    *,
    slot: str,
    keep_slot: bool = False,
    metrics_client: redis.Redis | None = None,
) -> Iterator[Feed]:
    """A feed in a thread of this process, running when the block begins."""
    feed = Feed(dsn=dsn, appliers=appliers, slot=slot, metrics_client=metrics_client)
    thread = threading.Thread(target=feed.run, daemon=True)
    thread.start()
    try:
        wait_until(feed.is_running)
        yield feed
    finally:
        feed.stop()
        thread.join(ARRIVAL_TIMEOUT_S)
        assert not thread.is_alive()
        if not keep_slot:
            slot_drop_patiently(dsn, slot)


def slot_drop_patiently(dsn: str, slot: str) -> None:
    """The walsender of a feed that has just ended needs a moment to notice."""
    wait_until(lambda: _dropped(dsn, slot))


def _dropped(dsn: str, slot: str) -> bool:
    try:
        slot_drop(dsn, name=slot)
    except (Problem, psycopg.Error):
        return False
    return True


def wait_for_position(appliers: Sequence[Recorder], dsn: str) -> None:
    """Wait until everything committed so far has been applied."""
    lsn = wal_end(dsn)
    wait_until(lambda: all(applier.position and applier.position.lsn >= lsn for applier in appliers))


def wal_end(dsn: str) -> int:
    """A position behind everything committed so far, in a transaction that the feed gets to see."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute("SELECT pg_logical_emit_message(true, 'test', '') - '0/0'::pg_lsn").fetchone()
    assert row is not None
    return int(row[0])


def primary_lsn(dsn: str) -> int:
    """Where the primary's log ends."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn").fetchone()
    assert row is not None
    return int(row[0])


def write(tenant: Tenant, external_id: str, **attributes: Any) -> EntityRow:
    with tenant_bind(tenant):
        entity = EntityInput("thing", external_id, None, None, attributes)
        return entity_create(tenant_id=tenant.pk, entity=entity, upsert=True, now=clock.now())[0]


def patch(tenant: Tenant, entity_id: int, **attributes: Any) -> EntityRow:
    with tenant_bind(tenant):
        entity = EntityInput("", None, None, None, attributes)
        return entity_patch(
            tenant_id=tenant.pk, entity_id=entity_id, entity=entity, expected_versions=None, now=clock.now()
        )


def delete(tenant: Tenant, entity_id: int) -> None:
    with tenant_bind(tenant):
        entity_delete(tenant_id=tenant.pk, entity_id=entity_id, expected_versions=None)
