"""Feed and servers die in the midst of writes; afterwards every store holds exactly what the primary holds."""

from __future__ import annotations

import random
import threading
import time

import pytest
from django.db import connections

from analytics.bench.faults import Written, writes_lost, writes_run
from analytics.clickhouse.client import clickhouse_client
from analytics.feed.settings import cache_client
from analytics.feed.slots import snapshot_export
from analytics.feed.verify import stores_verify
from tenants.models import Tenant
from tests.analytics.feeding import ARRIVAL_TIMEOUT_S, replication_dsn_of
from tests.analytics.live_feed import live_feed
from tests.cluster import Cluster
from tests.entities import plane

__all__ = ["live_feed"]


def rows_of(tenant: Tenant) -> int:
    counts = (
        "SELECT (SELECT count(*) FROM entities WHERE tenant_id = %s)"
        " + (SELECT count(*) FROM entity_attributes WHERE tenant_id = %s AND value_type <> 'removed')"
    )
    return int(plane.rows_read(tenant, counts, [tenant.pk, tenant.pk])[0][0])


@pytest.mark.parametrize("seed", [11])
def test_nothing_is_lost_whoever_is_killed(seed: int, live_feed: Cluster, acme: Tenant, globex: Tenant) -> None:
    live_feed.must_be_embedded()
    chance = random.Random(seed)
    stopping, written = threading.Event(), Written()
    writer = threading.Thread(target=writes_run, args=([acme, globex], 0, chance.random(), written, stopping))
    writer.start()
    try:
        for name in ("feed", "clickhouse", "feed", "valkey", "primary", "feed"):
            time.sleep(chance.uniform(0.2, 0.8))
            live_feed.ask("kill", name=name)
            time.sleep(chance.uniform(0.0, 0.3))
            live_feed.ask("start", name=name)
    finally:
        stopping.set()
        writer.join()
    connections.close_all()
    assert written.writes > 20
    assert writes_lost([acme, globex], written) == 0
    with snapshot_export(replication_dsn_of(live_feed)) as snapshot, cache_client() as cache:
        for tenant in (acme, globex):
            verified = stores_verify(
                snapshot=snapshot,
                clickhouse=clickhouse_client(),
                cache=cache,
                tenant=tenant.slug,
                repair=False,
                wait_s=ARRIVAL_TIMEOUT_S,
            )
            assert verified.differences == ()
            assert verified.rows == rows_of(tenant) > 0
