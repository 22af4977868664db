"""Deleting a tenant while the feed runs leaves nothing of it in any store, and everything of the other."""

from __future__ import annotations

from typing import Any

import pytest

from analytics.cache.applier import CacheApplier, tenant_count
from analytics.clickhouse import applier as clickhouse
from analytics.clickhouse.applier import ClickHouseApplier
from analytics.clickhouse.client import clickhouse_client
from analytics.feed.settings import cache_client, cache_url
from atlasco.lib import clock
from tenants.models import Tenant
from tenants.services import tenant_contents, tenant_delete
from tests.analytics.feeding import feed_running, replication_dsn_of, slot_name, wal_end, write
from tests.cluster import Cluster
from tests.waiting import wait_until


@pytest.mark.parametrize("is_late", [False, True])
def test_a_deleted_tenant_is_gone_from_every_store(stack: Cluster, acme: Tenant, globex: Tenant, is_late: bool) -> None:
    """is_late: the feed gets to the tenant's rows only after the tenant has been deleted."""
    dsn = replication_dsn_of(stack)
    appliers: Any = [
        CacheApplier(cache_url(), ttl_s=60, max_bytes=1 << 40),
        ClickHouseApplier(stack.clickhouse_url, dsn=dsn),
    ]
    slot = slot_name()
    with feed_running(dsn, appliers, slot=slot, keep_slot=True) as feed:
        kept = write(globex, "kept", n=1)
        if not is_late:
            write(acme, "one", n=1)
            lsn = wal_end(dsn)
            wait_until(lambda: all(worker.position and worker.position.lsn >= lsn for worker in feed.workers))
            assert tenant_contents(tenant=acme)["cached_entities"] == 1
            assert tenant_contents(tenant=acme)["clickhouse_rows"] == 3
            report = tenant_delete(tenant=acme, confirm=acme.slug, now=clock.now())
            # How many depends on who is faster: the feed erases, too.
            assert {"cached_entities", "clickhouse_rows"} <= set(report)
    acme_id = acme.pk
    if is_late:
        for n in range(20):
            write(acme, str(n), n=n)
        tenant_delete(tenant=acme, confirm=acme.slug, now=clock.now())
    with feed_running(dsn, appliers, slot=slot) as feed:
        lsn = wal_end(dsn)
        wait_until(lambda: all(worker.position and worker.position.lsn >= lsn for worker in feed.workers))
    with cache_client() as cached:
        assert tenant_count(cached, tenant_id=acme_id) == 0
        assert tenant_count(cached, tenant_id=globex.pk) == 1
    client = clickhouse_client()
    assert clickhouse.tenant_count(client, tenant_id=acme_id) == 0
    assert clickhouse.tenant_count(client, tenant_id=globex.pk) == 3
    assert kept.version == 1
