"""A feed that evaluates alert rules, for the modules that test them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from analytics.alerts.applier import AlertApplier
from analytics.feed.run import Feed
from tests.analytics.feeding import feed_running, replication_dsn_of, slot_name, wal_end
from tests.cluster import Cluster
from tests.waiting import wait_until


@pytest.fixture
def dsn(stack: Cluster, owner_db: psycopg.Connection[Any]) -> str:
    """Of the replication role, where alerts have no position yet."""
    owner_db.execute("DELETE FROM alert_position")
    return replication_dsn_of(stack)


@pytest.fixture
def feed(dsn: str) -> Iterator[Feed]:
    with feed_running(dsn, [AlertApplier(dsn=dsn)], slot=slot_name()) as feed:
        yield feed


def settle(feed: Feed, dsn: str) -> None:
    """Wait until everything committed so far has been tested."""
    lsn = wal_end(dsn)
    wait_until(lambda: (known := feed.workers[0].position) is not None and known.lsn >= lsn)
