"""Celery's doors to what is done with whole tenants. Each task is safe to run twice."""

from __future__ import annotations

from typing import Any, Final

from celery import shared_task

from atlasco.lib.clock import now
from tenants.services import jobs
from tenants.traffic import traffic_expire

# Of every job that goes through a tenant's data: a hundred million values take their time. The limit that the settings
# set for all other tasks is for those that hang.
JOB_TIME_LIMIT_S: Final = 24 * 3600

SCHEDULE: Final[dict[str, dict[str, Any]]] = {
    "tenant-jobs-resume": {
        "task": "tenants.tasks.tenant_jobs_resume",
        "schedule": 300.0,
        "options": {"expires": 300},
    },
    "tenant-jobs-expire": {
        "task": "tenants.tasks.tenant_jobs_expire",
        "schedule": 3600.0,
        "options": {"expires": 3600},
    },
}


@shared_task(time_limit=JOB_TIME_LIMIT_S)
def tenant_job_run(job_id: int) -> bool:
    """Do one job."""
    return jobs.job_run(job_id=job_id, now=now())


@shared_task
def tenant_jobs_resume() -> int:
    """Send jobs again whose message got lost."""
    return jobs.jobs_resume(now=now())


@shared_task
def tenant_jobs_expire() -> int:
    """Remove the files of old exports, and figures of the API's traffic that nobody looks at any more."""
    traffic_expire(now=now())
    return jobs.jobs_expire(now=now())
