"""How much a tenant may have and ask for. None means no limit; a platform admin sets them.

Requests: a bucket in Valkey that all web processes share; it holds two seconds' worth, so short bursts pass. Without
Valkey nobody is held back: limits protect the platform from its tenants, they must not be what takes it down.
Entities and values: compared with figures that are up to USAGE_TTL_S old, before a request that could add some; so an
import that begins below a quota is taken whole. Deleting is always allowed.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import redis
from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from atlasco.lib.errors import Problem
from atlasco.lib.rest import Rest
from tenants.binding import tenant_current
from tenants.errors import Forbidden
from tenants.members.models import ApiToken
from tenants.models import Tenant
from tenants.scopes import scope_required

log = logging.getLogger(__name__)

BURST_S: Final = 2.0
USAGE_TTL_S: Final = 30.0
TIMEOUT_S: Final = 0.5
# A Valkey that hangs costs a process one request's TIMEOUT_S in so long, not each request's.
REST_S: Final = 5.0
# The theoretical arrival time of the next request (GCRA), in microseconds of Valkey's own clock.
_TAKE: Final = """
local now = redis.call('TIME')
local at = now[1] * 1000000 + now[2]
local step = tonumber(ARGV[1])
local due = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), at)
local wait = due + step - tonumber(ARGV[2]) - at
if wait > 0 then return wait end
redis.call('SET', KEYS[1], string.format('%.0f', due + step), 'PX', math.ceil((due + step - at) / 1000) + 1000)
return 0
"""

Usage = dict[str, int]


class RateLimited(Problem):
    """This tenant may not send so many requests in a second."""

    status = 429
    code = "rate_limited"

    def __init__(self, detail: str = "", *, retry_after_s: int = 1, **extra: Any) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(detail, **extra)


class QuotaExceeded(Forbidden):
    """This tenant has as much as it may have. Delete what is not needed, or ask the platform for more."""

    code = "quota_exceeded"


_usage_read: Callable[[Tenant], Usage] | None = None
_usages: dict[int, tuple[float, Usage]] = {}
_lock = threading.Lock()
_valkey = Rest(REST_S)


def usage_register(read: Callable[[Tenant], Usage]) -> None:
    """Say who knows how many `entities` and `values` a bound tenant has. Their owner does so when it starts."""
    global _usage_read  # noqa: PLW0603  # One hook, set once.
    _usage_read = read


def quota_require(*, tenant: Tenant, kinds: tuple[str, ...]) -> None:
    """Let pass a request that may add to these kinds, `entities` or `values`. Raises QuotaExceeded."""
    limits = {kind: getattr(tenant, f"quota_{kind}") for kind in kinds}
    if _usage_read is None or all(limit is None for limit in limits.values()):
        return
    found_at, usage = _usages.get(tenant.pk, (0.0, {}))
    if not found_at or time.monotonic() - found_at > USAGE_TTL_S:
        usage = _usage_read(tenant)
        with _lock:
            if len(_usages) >= 10_000:
                _usages.clear()
            _usages[tenant.pk] = (time.monotonic(), usage)
    for kind, limit in limits.items():
        if limit is not None and usage.get(kind, 0) >= limit:
            detail = f"This tenant may have {limit:,} {kind} and has {usage[kind]:,}. Delete some, or ask for more."
            raise QuotaExceeded(detail, quota=kind, limit=limit, used=usage[kind])


def usage_forget() -> None:
    """Forget every figure, because a quota has changed or a test wants to count anew."""
    with _lock:
        _usages.clear()


def rate_require(*, tenant: Tenant) -> None:
    """Take one request of the tenant's bucket. Raises RateLimited with the seconds until there is one again."""
    rate = tenant.quota_requests_per_s
    if rate is None or _valkey.is_on():
        return
    step_us = 1e6 / rate
    try:
        wait_us = int(_take()(keys=[f"atlasco:rate:{tenant.pk}"], args=[step_us, BURST_S * 1e6]))
    except redis.RedisError as error:
        if _valkey.begin():
            log.warning("Rates of requests can't be looked up; nobody is held back.", extra={"error": str(error)})
        return
    if wait_us > 0:
        retry_after_s = max(1, math.ceil(wait_us / 1e6))
        detail = f"This tenant may send {rate:,} requests a second. Try again in {retry_after_s} s."
        raise RateLimited(detail, retry_after_s=retry_after_s, limit=rate)


@cache
def _take() -> Any:
    client = redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=TIMEOUT_S, socket_timeout=TIMEOUT_S)
    return client.register_script(_TAKE)


class TenantThrottle(BaseThrottle):
    """Asks both, after the token was found good: made-up tokens take nothing of a tenant's bucket."""

    def allow_request(self, request: Request, view: Any) -> bool:
        """True, or raises RateLimited or QuotaExceeded."""
        tenant = tenant_current()
        if tenant is None:
            return True
        rate_require(tenant=tenant)
        method = request.method or "GET"
        if method in {"POST", "PUT", "PATCH"} and scope_required(view, method) == ApiToken.Scope.WRITE:
            quota_require(tenant=tenant, kinds=("entities", "values") if method == "POST" else ("values",))
        return True
