"""What all jobs have in common that a worker does in the background: how one is taken, taken up again, and ended.

See Note [Import twice] of `entities.imports`: a job may be asked for any number of times;
whoever holds its lock does it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Final, TypeAlias, TypeVar

from django.db import InterfaceError, OperationalError
from django.db.models import F, QuerySet
from django.db.models.functions import Coalesce

from atlasco.lib.errors import Unavailable
from entities.models import Job, JobStatus
from tenants.database.locks import advisory_lock
from tenants.services import TenantBusy

J = TypeVar("J", bound=Job)
Clock: TypeAlias = Callable[[], datetime]

UNFINISHED: Final = (JobStatus.QUEUED, JobStatus.RUNNING)
# A job that nobody has taken for so long may have lost its message.
ABANDONED_AFTER: Final = timedelta(minutes=2)
# How long the history tells of a job that has ended.
KEPT_FOR: Final = timedelta(days=30)


class QueueUnavailable(Unavailable):
    """No worker can be told of this now. Nothing was begun; send it again."""

    code = "queue_unavailable"


class JobStopped(Exception):
    """The job was cancelled, or is gone with its tenant."""


def job_run(
    jobs: QuerySet[J], *, attempts_max: int, clock: Clock, work: Callable[[J], None], fail: Callable[[J, str], None]
) -> str:
    """Do the one job of `jobs`, or what is left of it. Returns the status that it has then.

    "gone" where there is no such job, "running" where another worker is at it.
    attempts_max: starts that never get through a batch, before the job is given up. work: does it, and notes its end;
    it may raise JobStopped. fail: notes that the job ended for the reason given.
    Raises OperationalError, InterfaceError and Unavailable; the job then waits to be taken up again.
    """
    job = jobs.first()
    if job is None:
        return "gone"
    with job_lock(job.pk) as is_ours:
        if is_ours and (job := jobs.first()) is not None and job.status in UNFINISHED:
            _job_do(jobs, job, attempts_max=attempts_max, clock=clock, work=work, fail=fail)
        ended = jobs.first()
        return "gone" if ended is None else str(ended.status)


def _job_do(
    jobs: QuerySet[J],
    job: J,
    *,
    attempts_max: int,
    clock: Clock,
    work: Callable[[J], None],
    fail: Callable[[J, str], None],
) -> None:
    if job.attempts >= attempts_max:
        fail(job, f"Given up after {job.attempts} starts without progress.")
        return
    started_at = Coalesce(F("started_at"), clock())
    if not unfinished(jobs).update(status=JobStatus.RUNNING, started_at=started_at, attempts=F("attempts") + 1):
        return  # Cancelled a moment ago.
    try:
        work(job)
    except (JobStopped, TenantBusy):
        return
    except (OperationalError, InterfaceError, Unavailable):
        raise
    except Exception:
        fail(job, "An unexpected error, which the log explains.")
        raise


def unfinished(jobs: QuerySet[J]) -> QuerySet[J]:
    """Those that wait for a worker, or that one is at."""
    return jobs.filter(status__in=UNFINISHED)


def jobs_abandoned(model: type[J], *, tenant_id: int, now: datetime) -> list[J]:
    """The bound tenant's unfinished jobs that nobody works on and that have waited for a while."""
    waiting = unfinished(model._default_manager.using("default").filter(tenant_id=tenant_id))
    abandoned = []
    for job in waiting.filter(created_at__lt=now - ABANDONED_AFTER).order_by("created_at"):
        with job_lock(job.pk) as is_free:
            if is_free:
                abandoned.append(job)
    return abandoned


def jobs_stop(jobs: QuerySet[J], *, now: datetime) -> None:
    """Cancel what is unfinished, and wait until no worker is at it."""
    stopped = list(unfinished(jobs).values_list("pk", flat=True))
    unfinished(jobs).update(status=JobStatus.CANCELLED, finished_at=now)
    for job_id in stopped:
        with job_lock(job_id, wait=True):
            pass


def job_lock(job_id: uuid.UUID, *, wait: bool = False) -> AbstractContextManager[bool]:
    """Hold the job's lock; False where another worker has it."""
    return advisory_lock(f"atlasco.job.{job_id}", wait=wait)
