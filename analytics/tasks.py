"""Celery's doors to analytics. Each task is safe to run twice."""

from __future__ import annotations

from typing import Any, Final

from celery import shared_task
from django.conf import settings

from analytics.demo import replay
from atlasco.lib.clock import now

SCHEDULE: Final[dict[str, dict[str, Any]]] = {
    # A tick that waited longer than a tick is of no use: the next one does its flights.
    "demo-replay": {
        "task": "analytics.tasks.demo_replay",
        "schedule": replay.TICK_S,
        "options": {"expires": replay.TICK_S},
    },
}


@shared_task
def demo_replay() -> int:
    """Replay the demo's flights that are due. Returns how many; 0 where there is no demo."""
    return replay.demo_advance(now=now(), rate=settings.DEMO_RATE)
