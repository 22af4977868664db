"""What the change feed's stores hold of a tenant, for `tenants` to count and erase. They repeat PostgreSQL's rows.

# Note [Erasing what is on its way]
When a tenant is erased, changes of it may still be in the log or in a batch. So besides erasing what is there now, a
note is put into the log behind the tenant's last row: when a store gets to the note, nothing of the tenant can follow,
and it erases again. PostgreSQL's tables come first (their order is lower), and a round is repeated where they got more.
A feed that is alive is waited for: the rows' own deletions are still on their way, and would come after the erasing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import orjson
import redis
from clickhouse_connect.driver.exceptions import ClickHouseError
from django.db import connections, transaction

from analytics.cache import applier as hot_cache
from analytics.clickhouse import applier as clickhouse
from analytics.clickhouse.changes import position_read
from analytics.clickhouse.client import is_unknown_table, work_client
from analytics.clickhouse.reading.sources import applied
from analytics.feed.events import PREFIX_TENANT_ERASED
from analytics.feed.settings import cache_client
from analytics.rollups.state import rollups_count, rollups_erase
from atlasco.lib.errors import Unavailable
from entities import cache
from freshness.sources import Applied
from freshness.tokens import lsn_parse
from tenants.models import Tenant
from tenants.stores import TenantStore, store_register

# A store whose newest heartbeat is older has no feed that could still bring it anything.
_FEED_ALIVE_S: Final = 10.0
_FEED_STALL_S: Final = 2.0
_FEED_AWAIT_S: Final = 120.0


class StoreUnavailable(Unavailable):
    """A store that holds the tenant's data does not answer; what it holds can't be erased now."""

    code = "store_unavailable"


def stores_register() -> None:
    """Make the stores known. After PostgreSQL's tables, which fill them."""
    store_register(TenantStore(name="cached_entities", count=_cache_count, erase=_cache_erase, order=300))
    store_register(TenantStore(name="clickhouse_rows", count=_clickhouse_count, erase=_clickhouse_erase, order=310))
    store_register(TenantStore(name="rollup_rows", count=_rollups_count, erase=_rollups_erase, order=320))


def tenant_erased_note(*, tenant_id: int) -> int:
    """Tell every store, at this place of the log, that the tenant is gone. Return the place."""
    note = orjson.dumps({"tenant_id": tenant_id}).decode()
    with transaction.atomic(using="default"), connections["default"].cursor() as cursor:
        cursor.execute("SELECT pg_logical_emit_message(true, %s, %s)::text", (PREFIX_TENANT_ERASED, note))
        return lsn_parse(cursor.fetchone()[0])


def _feed_await(probe: Callable[[], Applied], *, lsn: int) -> None:
    """Wait until a store is at a place of the log, as long as the feed brings it nearer."""
    began = moved_at = time.monotonic()
    last: int | None = -1
    while True:
        applied = probe()
        if applied.lsn is None or applied.lsn >= lsn or time.time() - (applied.beat_at or 0) > _FEED_ALIVE_S:
            return
        now = time.monotonic()
        if applied.lsn != last:
            last, moved_at = applied.lsn, now
        if now - moved_at > _FEED_STALL_S or now - began > _FEED_AWAIT_S:
            return
        time.sleep(0.05)


def _cache_count(tenant: Tenant) -> int:
    try:
        with cache_client() as client:
            return hot_cache.tenant_count(client, tenant_id=tenant.pk)
    except redis.RedisError as error:
        raise StoreUnavailable from error


def _cache_erase(tenant: Tenant) -> int:
    lsn = tenant_erased_note(tenant_id=tenant.pk)
    try:
        _feed_await(cache.probe, lsn=lsn)
        with cache_client() as client:
            return hot_cache.tenant_erase(client, tenant_id=tenant.pk)
    except redis.RedisError as error:
        raise StoreUnavailable from error


def _clickhouse_count(tenant: Tenant) -> int:
    return _clickhouse(lambda client: clickhouse.tenant_count(client, tenant_id=tenant.pk))


def _clickhouse_erase(tenant: Tenant) -> int:
    lsn = tenant_erased_note(tenant_id=tenant.pk)

    def erase(client: Any) -> int:
        _feed_await(lambda: applied(position_read(client)), lsn=lsn)
        return clickhouse.tenant_erase(client, tenant_id=tenant.pk)

    return _clickhouse(erase)


def _rollups_count(tenant: Tenant) -> int:
    return _clickhouse(lambda client: rollups_count(client, tenant_id=tenant.pk))


def _rollups_erase(tenant: Tenant) -> int:
    return _clickhouse(lambda client: rollups_erase(client, tenant_id=tenant.pk))


def _clickhouse(work: Any) -> int:
    """The number that some work returns; 0 where the feed never made its tables."""
    try:
        return int(work(work_client()))
    except ClickHouseError as error:
        if is_unknown_table(error):
            return 0
        raise StoreUnavailable from error
