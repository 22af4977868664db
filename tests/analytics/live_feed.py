"""The feed as a service of the stack, for as long as a module's tests want it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from analytics.clickhouse.reading import sources
from analytics.feed import metrics
from analytics.feed.settings import cache_client
from entities import cache
from freshness.sources import Applied
from tests.analytics.feeding import replication_dsn_of, slot_drop_patiently
from tests.cluster import Cluster
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def live_feed(stack: Cluster, web_url: str) -> Iterator[Cluster]:
    """Web and feed are running, every store is being fed; afterwards the feed is not, and its slot retains no log."""
    dsn = replication_dsn_of(stack)
    began = time.time()
    stack.ask("start", name="feed")
    # What is written before a store is loaded comes with its snapshot: it has no history.
    wait_until(lambda: all((probe().beat_at or 0) > began for probe in (cache.probe, clickhouse_probe)))
    yield stack
    stack.ask("kill", name="feed")
    slot_drop_patiently(dsn, "atlasco_feed")
    # Or /readyz would miss it.
    with cache_client() as client:
        client.delete(metrics.KEY)


def clickhouse_probe() -> Applied:
    """How far ClickHouse is; nowhere before its tables are made."""
    try:
        return sources.probe()
    except ClickHouseError:
        return Applied(None, None)
