"""Celery's doors to analytics. Each task is safe to run twice."""

from __future__ import annotations

import logging
from contextlib import closing
from typing import Any, Final

from celery import shared_task
from clickhouse_connect.driver.exceptions import ClickHouseError
from django.conf import settings

from analytics.clickhouse.client import clickhouse_client
from analytics.demo import replay
from analytics.rollups.refresh import rollups_round
from analytics.statistics import statistics_refresh
from atlasco.lib.clock import now
from tenants.rounds import tenants_each

log = logging.getLogger(__name__)

# A run that waited for longer than its period is of no use: the next one does its work.
SCHEDULE: Final[dict[str, dict[str, Any]]] = {
    "attribute-statistics": {
        "task": "analytics.tasks.refresh_attribute_statistics",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "rollups-refresh": {
        "task": "analytics.tasks.refresh_rollups",
        "schedule": 15.0,
        "options": {"expires": 15},
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

    A tenant whose analysis fails does not keep the others from theirs; the task then raises RoundIncomplete at the end.
    """
    return tenants_each(lambda tenant: statistics_refresh(tenant_id=tenant.pk, now=now()).attributes)


@shared_task
def refresh_rollups() -> int:
    """Refresh the rollups of tenants where something changed. Returns how many; 0 while ClickHouse is away.

    A tenant whose refresh fails does not keep the others from theirs; the task then raises RoundIncomplete at the end.
    """
    try:
        with closing(clickhouse_client(timeout_s=600)) as client:
            return rollups_round(client, now=now)
    except ClickHouseError as error:
        log.warning("Rollups wait for ClickHouse.", extra={"error": str(error)[:300]})
        return 0


@shared_task
def demo_replay() -> int:
    """Replay the demo's flights that are due. Returns how many; 0 where there is no demo."""
    return replay.demo_advance(now=now(), rate=settings.DEMO_RATE)
