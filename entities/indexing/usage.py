"""What people search for, written down: usage of attributes, searches of late, and hot scores."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import orjson
from django.db import connections, transaction

from entities.indexing.jobs import SQL
from entities.indexing.proposals import HALF_LIFE
from entities.search.usage import TenantUsage, usage_take
from tenants.binding import public_bind, tenant_bind
from tenants.models import Tenant

SAMPLES_KEPT: Final = 200
_MESSAGES_MAX: Final = 2_000


def usage_fold(*, now: datetime) -> int:
    """Write down what processes have counted, tenant by tenant. Return how many searches' attributes that were."""
    taken = usage_take(messages_max=_MESSAGES_MAX)
    with public_bind():
        tenants = list(Tenant.objects.using("default").filter(pk__in=taken).exclude(status=Tenant.Status.DELETING))
    for tenant in tenants:
        with tenant_bind(tenant):
            usage_write(tenant_id=tenant.pk, usage=taken[tenant.pk], now=now)
    return sum(len(taken[tenant.pk].names) for tenant in tenants)


def usage_write(*, tenant_id: int, usage: TenantUsage, now: datetime) -> None:
    """Add to the bound tenant's usage, keep the searches that took most, and weigh its attributes anew."""
    names = [{"name": name, "searches": searches, "ms": ms} for name, (searches, ms) in usage.names.items()]
    samples = [
        {"body": orjson.Fragment(body), "searches": searches, "ms": ms} for body, (searches, ms) in usage.bodies.items()
    ]
    arguments: dict[str, Any] = {
        "tenant_id": tenant_id,
        "now": now,
        "half_life_s": HALF_LIFE.total_seconds(),
        "usage": orjson.dumps(names).decode(),
        "samples": orjson.dumps(samples).decode(),
        "kept": SAMPLES_KEPT,
    }
    with transaction.atomic(using="default"), connections["default"].cursor() as cursor:
        for block in ("usage_write", "samples_write", "samples_trim", "hot_scores_write"):
            cursor.execute(SQL[block], arguments)
