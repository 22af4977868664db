"""Celery's doors to analytics. Each task is safe to run twice."""

from __future__ import annotations

import logging
from typing import Any, Final

from celery import shared_task
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections

from analytics.demo import replay
from analytics.statistics import statistics_refresh
from atlasco.lib.clock import now
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tenants.selectors import tenant_list

log = logging.getLogger(__name__)

# A run that waited for longer than its period is of no use: the next one does its work.
SCHEDULE: Final[dict[str, dict[str, Any]]] = {
    "attribute-statistics": {
        "task": "analytics.tasks.refresh_attribute_statistics",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "demo-replay": {
        "task": "analytics.tasks.demo_replay",
        "schedule": replay.TICK_S,
        "options": {"expires": replay.TICK_S},
    },
}


@shared_task
def refresh_attribute_statistics() -> int:
    """Analyse what has changed enough, tenant by tenant. Returns how many attributes that were.

    A tenant whose analysis fails does not keep the others from theirs.
    """
    refreshed = 0
    for tenant in tenant_list():
        if tenant.status == Tenant.Status.DELETING:
            continue
        with tenant_bind(tenant):
            try:
                refreshed += statistics_refresh(tenant_id=tenant.pk, now=now()).attributes
            except DatabaseError:
                if not connections[DEFAULT_DB_ALIAS].is_usable():
                    raise
                log.exception("The statistics of a tenant could not be refreshed.")
    return refreshed


@shared_task
def demo_replay() -> int:
    """Replay the demo's flights that are due. Returns how many; 0 where there is no demo."""
    return replay.demo_advance(now=now(), rate=settings.DEMO_RATE)
