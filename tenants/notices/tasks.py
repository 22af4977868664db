"""Celery's doors to the notices. Each task is safe to run twice."""

from __future__ import annotations

from typing import Any, Final

from celery import shared_task

from atlasco.lib.clock import now
from tenants.binding import public_bind
from tenants.notices import services
from tenants.rounds import tenants_each

PERIOD_S: Final = 5.0
# A delivery to a mail server that hangs is not cut by anything else.
_TIME_LIMIT_S: Final = 120
SCHEDULE: Final[dict[str, dict[str, Any]]] = {
    "notices-deliver": {
        "task": "tenants.notices.tasks.notices_deliver",
        "schedule": PERIOD_S,
        "options": {"expires": PERIOD_S},
    },
    "notices-expire": {
        "task": "tenants.notices.tasks.notices_expire",
        "schedule": 24 * 3600.0,
        "options": {"expires": 3600},
    },
}


@shared_task(time_limit=_TIME_LIMIT_S)
def notices_deliver() -> int:
    """Send what is due. Returns how many notices arrived."""
    return services.notices_deliver(clock=now)


@shared_task
def notices_expire() -> int:
    """Forget deliveries that ended long ago. Returns how many."""
    with public_bind():
        own = services.deliveries_expire(tenant_id=None, now=now())
    return own + tenants_each(lambda tenant: services.deliveries_expire(tenant_id=tenant.pk, now=now()))
