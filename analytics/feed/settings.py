"""What the settings say of the feed's connections."""

from __future__ import annotations

import redis
from django.conf import settings

from analytics.alerts.applier import AlertApplier
from analytics.cache.applier import CacheApplier
from analytics.clickhouse.applier import ClickHouseApplier
from analytics.feed.applying import Applier
from atlasco.lib import env
from atlasco.lib.errors import Unavailable


class ReplicationNotConfigured(Unavailable):
    """DATABASE_REPLICATION_URL names no role that may read the change feed."""

    code = "replication_not_configured"


def replication_dsn() -> str:
    """DATABASE_REPLICATION_URL from the environment, else from `owner.env` in the run directory.

    The file is read here and not into the environment: serving processes must not inherit the password.
    Raises ReplicationNotConfigured.
    """
    if settings.DATABASE_REPLICATION_URL:
        return str(settings.DATABASE_REPLICATION_URL)
    # Where DATABASE_URL names another primary, the file is of a stack whose changes are none of ours.
    written = env.file_values(settings.RUN_DIR / "owner.env") if settings.RUN_DIR_IS_OURS else {}
    if not (url := written.get("DATABASE_REPLICATION_URL")):
        raise ReplicationNotConfigured
    return url


def cache_url() -> str:
    """Valkey with the number of the cache's database."""
    return str(settings.CACHES["default"]["LOCATION"])


def cache_client() -> redis.Redis:
    """A client of the cache's database, for commands and for what is not on the path of a request."""
    return redis.Redis.from_url(cache_url(), socket_connect_timeout=2, socket_timeout=10)


def appliers_configured() -> list[Applier]:
    """Every store that the feed fills."""
    return [
        CacheApplier(cache_url(), ttl_s=settings.CACHE_TTL_S, max_bytes=settings.CACHE_MAX_BYTES),
        ClickHouseApplier(settings.CLICKHOUSE_URL, dsn=replication_dsn()),
        AlertApplier(dsn=replication_dsn()),
    ]
