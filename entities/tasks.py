"""Celery's doors to the data plane. Each task is safe to run twice."""

from __future__ import annotations

from typing import Any, Final

from celery import shared_task

from atlasco.lib.clock import now
from entities import receipts, services
from tenants.binding import tenant_bind
from tenants.selectors import tenant_list

SCHEDULE: Final[dict[str, dict[str, Any]]] = {
    "attribute-changes-fold": {
        "task": "entities.tasks.attribute_changes_fold",
        "schedule": 15.0,
        "options": {"expires": 15},
    },
    "import-receipts-expire": {
        "task": "entities.tasks.import_receipts_expire",
        "schedule": 3600.0,
        "options": {"expires": 3600},
    },
}


@shared_task
def attribute_changes_fold() -> int:
    """Move what writers reported of attributes into the registry, tenant by tenant. Returns the names touched."""
    touched = 0
    for tenant in tenant_list():
        with tenant_bind(tenant):
            touched += services.attribute_changes_fold(tenant_id=tenant.pk)
    return touched


@shared_task
def import_receipts_expire() -> int:
    """Forget the answers of imports that are older than a day. Returns how many."""
    forgotten = 0
    for tenant in tenant_list():
        with tenant_bind(tenant):
            forgotten += receipts.receipts_expire(tenant_id=tenant.pk, now=now())
    return forgotten
