"""Celery's doors to the data plane. Each task is safe to run twice.

One that goes round all tenants raises RoundIncomplete at the end where it failed for some (`tenants.rounds`).
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from typing import Any, Final

from celery import shared_task
from django.db import InterfaceError, OperationalError
from kombu.exceptions import OperationalError as BrokerError

from atlasco.lib.clock import now
from atlasco.lib.errors import Unavailable
from entities import receipts, services
from entities.bulk import edits as bulk_edits
from entities.bulk import run as bulk_run
from entities.exports import jobs as export_jobs
from entities.exports import run as exports_run
from entities.governance import jobs as attribute_jobs
from entities.governance import work as attribute_work
from entities.imports import jobs, run
from entities.indexing.proposals import autopilot_run, index_run
from entities.indexing.usage import usage_fold
from entities.jobs import QueueUnavailable, jobs_abandoned
from entities.models import AttributeJob, BulkEdit, ExportJob, ImportJob, Job
from entities.partitions import promotion
from entities.partitions import services as partitions_services
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tenants.rounds import tenants_each
from tenants.selectors import tenant_kept
from tenants.tasks import JOB_TIME_LIMIT_S

log = logging.getLogger(__name__)

RESUME_PERIOD_S: Final = 60

# The worker's slice of one tenant's indexes; what is left, the next run goes on with.
INDEX_SLICE_S: Final = 20.0

SCHEDULE: Final[dict[str, dict[str, Any]]] = {
    "search-usage-fold": {
        "task": "entities.tasks.search_usage_fold",
        "schedule": 15.0,
        "options": {"expires": 15},
    },
    "attribute-indexes-work": {
        "task": "entities.tasks.attribute_indexes_work",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
    "attribute-indexes-plan": {
        "task": "entities.tasks.attribute_indexes_plan",
        "schedule": 600.0,
        "options": {"expires": 600},
    },
    "attribute-changes-fold": {
        "task": "entities.tasks.attribute_changes_fold",
        "schedule": 15.0,
        "options": {"expires": 15},
    },
    "jobs-resume": {
        "task": "entities.tasks.jobs_resume",
        "schedule": float(RESUME_PERIOD_S),
        "options": {"expires": RESUME_PERIOD_S},
    },
    "attribute-jobs-expire": {
        "task": "entities.tasks.attribute_jobs_expire",
        "schedule": 3600.0,
        "options": {"expires": 3600},
    },
    "import-jobs-expire": {
        "task": "entities.tasks.import_jobs_expire",
        "schedule": 3600.0,
        "options": {"expires": 3600},
    },
    "bulk-edits-expire": {
        "task": "entities.tasks.bulk_edits_expire",
        "schedule": 3600.0,
        "options": {"expires": 3600},
    },
    "export-jobs-expire": {
        "task": "entities.tasks.export_jobs_expire",
        "schedule": 3600.0,
        "options": {"expires": 3600},
    },
    "partitions-apply": {
        "task": "entities.tasks.partitions_apply",
        "schedule": 3600.0,
        "options": {"expires": 3600},
    },
    "promotions-resume": {
        "task": "entities.tasks.promotions_resume",
        "schedule": float(RESUME_PERIOD_S),
        "options": {"expires": RESUME_PERIOD_S},
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
    return tenants_each(lambda tenant: services.attribute_changes_fold(tenant_id=tenant.pk))


@shared_task
def search_usage_fold() -> int:
    """Write down what people searched for since the last run. Returns how many attributes that touched."""
    return usage_fold(now=now())


@shared_task
def attribute_indexes_work() -> int:
    """Go on building and dropping indexes, a slice for each tenant. Returns how many tenants have more to do."""
    return tenants_each(lambda tenant: index_run(tenant_id=tenant.pk, seconds_max=INDEX_SLICE_S, clock=now))


@shared_task
def attribute_indexes_plan() -> int:
    """Where the settings let it: build what is worth an index, drop what is cold. Returns how many jobs it made."""
    return tenants_each(lambda tenant: len(autopilot_run(tenant_id=tenant.pk, now=now())))


@shared_task
def import_receipts_expire() -> int:
    """Forget the answers of imports that are older than a day. Returns how many."""
    return tenants_each(lambda tenant: receipts.receipts_expire(tenant_id=tenant.pk, now=now()))


@shared_task(time_limit=JOB_TIME_LIMIT_S)
def import_job_run(tenant_id: int, job_id: str) -> str:
    """Do an import job, or what is left of it. Returns its status; "gone" where the job or its tenant is gone."""
    return _job_run(tenant_id, job_id, run.import_job_run)


@shared_task
def import_jobs_expire() -> int:
    """Forget jobs that ended long ago, and files that no job needs. Returns how many jobs."""
    return tenants_each(lambda tenant: jobs.import_jobs_expire(tenant_id=tenant.pk, now=now()))


@shared_task
def partitions_apply() -> int:
    """Make the months ahead, drop what belongs to nobody. Returns how many actions that took."""
    return len(partitions_services.partitions_apply(now=now()))


@shared_task(time_limit=JOB_TIME_LIMIT_S)
def promotion_run(tenant_id: int) -> str:
    """Promote a tenant, or go on. Returns the promotion's status; "busy" where another worker is at it."""
    tenant = tenant_kept(tenant_id=tenant_id)
    if tenant is None:
        return "gone"
    try:
        return promotion.promotion_run(tenant=tenant, clock=now).status
    except promotion.PromotionRunning:
        return "busy"
    except promotion.TenantDedicated:
        return "done"
    except (OperationalError, InterfaceError, Unavailable) as error:
        log.warning("A promotion was interrupted and goes on later.", extra={"slug": tenant.slug, "reason": str(error)})
        return "interrupted"


@shared_task
def promotions_resume() -> int:
    """Tell the workers again of promotions whose message or worker was lost. Returns how many."""
    waiting = promotion.promotions_waiting()
    for tenant_id in waiting:
        promotion_run.apply_async(args=(tenant_id,), expires=RESUME_PERIOD_S)
    return len(waiting)


def promotion_enqueue(tenant_id: int) -> None:
    """Tell a worker of a requested promotion; where the broker is away, the next round of `promotions_resume` does."""
    try:
        promotion_run.apply_async(args=(tenant_id,), retry=False)
    except BrokerError:
        log.warning("A promotion waits for the broker.", extra={"tenant": tenant_id})


def import_job_enqueue(job: ImportJob) -> None:
    """Tell a worker of a new job. Raises QueueUnavailable."""
    _enqueue(import_job_run, job.tenant_id, job.job_id)


# --- Exports and bulk edits -------------------------------------------------------------------------------------------
@shared_task(time_limit=JOB_TIME_LIMIT_S)
def export_job_run(tenant_id: int, job_id: str) -> str:
    """Write the file of an export. Returns its status; "gone" where the job or its tenant is gone."""
    return _job_run(tenant_id, job_id, exports_run.export_job_run)


def export_job_enqueue(job: ExportJob) -> None:
    """Tell a worker of a new export. Raises QueueUnavailable."""
    _enqueue(export_job_run, job.tenant_id, job.job_id)


@shared_task(time_limit=JOB_TIME_LIMIT_S)
def bulk_edit_run(tenant_id: int, edit_id: str) -> str:
    """Do a bulk edit, or what is left of it. Returns its status; "gone" where the edit or its tenant is gone."""
    return _job_run(tenant_id, edit_id, bulk_run.bulk_edit_run)


def bulk_edit_enqueue(edit: BulkEdit) -> None:
    """Tell a worker of a new bulk edit. Raises QueueUnavailable."""
    _enqueue(bulk_edit_run, edit.tenant_id, edit.edit_id)


@shared_task
def bulk_edits_expire() -> int:
    """Forget bulk edits of long ago. Returns how many."""
    return tenants_each(lambda tenant: bulk_edits.bulk_edits_expire(tenant_id=tenant.pk, now=now()))


@shared_task
def export_jobs_expire() -> int:
    """Remove files that have expired, and forget exports of long ago. Returns how many."""
    return tenants_each(lambda tenant: export_jobs.export_jobs_expire(tenant_id=tenant.pk, now=now()))


# --- Jobs about attributes --------------------------------------------------------------------------------------------
@shared_task(time_limit=JOB_TIME_LIMIT_S)
def attribute_job_run(tenant_id: int, job_id: str) -> str:
    """Do a job about an attribute, or what is left of it. Returns its status; "gone" where it or its tenant is gone."""
    return _job_run(tenant_id, job_id, attribute_work.attribute_job_run)


def attribute_job_enqueue(job: AttributeJob) -> None:
    """Tell a worker of a new job about an attribute. Raises QueueUnavailable."""
    _enqueue(attribute_job_run, job.tenant_id, job.job_id)


@shared_task
def attribute_jobs_expire() -> int:
    """Forget jobs about attributes that ended long ago. Returns how many."""
    return tenants_each(lambda tenant: attribute_jobs.jobs_expire(tenant_id=tenant.pk, now=now()))


# --- All kinds of jobs ------------------------------------------------------------------------------------------------
_RUN_BY_MODEL: Final[dict[type[Job], Any]] = {
    ImportJob: import_job_run,
    ExportJob: export_job_run,
    BulkEdit: bulk_edit_run,
    AttributeJob: attribute_job_run,
}


@shared_task
def jobs_resume() -> int:
    """Tell the workers again of jobs whose message or worker was lost. Returns how many."""
    return tenants_each(_jobs_resume)


def _jobs_resume(tenant: Tenant) -> int:
    told = 0
    for model, task in _RUN_BY_MODEL.items():
        for job in jobs_abandoned(model, tenant_id=tenant.pk, now=now()):
            # A busy queue is told again and again: what is still there after a period is superseded.
            task.apply_async(args=(tenant.pk, str(job.pk)), expires=RESUME_PERIOD_S)
            told += 1
    return told


def _job_run(tenant_id: int, job_id: str, work: Callable[..., str]) -> str:
    tenant = tenant_kept(tenant_id=tenant_id)
    if tenant is None:
        return "gone"
    with tenant_bind(tenant):
        try:
            return work(tenant_id=tenant_id, job_id=uuid.UUID(job_id), clock=now)
        except (OperationalError, InterfaceError, Unavailable) as error:
            log.warning("A job was interrupted and goes on later.", extra={"job": job_id, "reason": str(error)})
            return "interrupted"


def _enqueue(task: Any, tenant_id: int, job_id: uuid.UUID) -> None:
    try:
        # Tried twice at once: the first may find a connection that the broker has closed since.
        task.apply_async(
            args=(tenant_id, str(job_id)), retry=True, retry_policy={"max_retries": 1, "interval_start": 0}
        )
    except BrokerError as error:
        raise QueueUnavailable from error
