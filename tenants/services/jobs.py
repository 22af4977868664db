"""Long work about a whole tenant, done by a worker: an export to download, a deletion with its report."""

from __future__ import annotations

import gzip
import logging
import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, transaction
from django.db.models.functions import Now
from kombu.exceptions import OperationalError as BrokerError

from atlasco.lib.errors import Conflict, NotFound, Problem, Unavailable
from tenants.actors import actor_current
from tenants.audit import audit_record
from tenants.binding import public_bind
from tenants.database.locks import advisory_lock
from tenants.models import Tenant, TenantJob
from tenants.roles import platform_require
from tenants.services.tenants import ConfirmationMismatch, tenant_contents, tenant_delete, tenant_export

log = logging.getLogger(__name__)

FILES_KEPT: Final = timedelta(days=7)
PROGRESS_LINES: Final = 2_000
STALLED: Final = timedelta(minutes=10)
GIVEN_UP: Final = timedelta(days=1)
_FOLDER: Final = "tenant-exports"


class JobUnderWay(Conflict):
    """This is being done already. Wait until it has ended."""

    code = "tenant_job_under_way"


class JobUnknown(NotFound):
    """There is no such job (any more)."""

    code = "tenant_job_unknown"


def job_start(*, tenant: Tenant, kind: TenantJob.Kind, confirm: str = "", now: datetime) -> TenantJob:
    """Queue an export or a deletion of the tenant. confirm: for a deletion, the slug typed again.

    Without a broker the job waits, and the periodic `tenant_jobs_resume` takes it up.
    Raises JobUnderWay, ConfirmationMismatch, RoleMissing.
    """
    platform_require()
    if kind == TenantJob.Kind.DELETE and confirm != tenant.slug:
        raise ConfirmationMismatch(f"Type {tenant.slug} to delete this tenant.")
    with public_bind(), transaction.atomic(using=DEFAULT_DB_ALIAS):
        # The row of the tenant is the lock: two clicks make one job. Its writers, who hold the key, are not waited for.
        Tenant.objects.using(DEFAULT_DB_ALIAS).select_for_update(no_key=True).get(pk=tenant.pk)
        jobs = TenantJob.objects.using(DEFAULT_DB_ALIAS).filter(tenant_id=tenant.pk, kind=kind)
        if jobs.filter(status__in=[TenantJob.Status.QUEUED, TenantJob.Status.RUNNING]).exists():
            raise JobUnderWay
        job = jobs.create(
            kind=kind, tenant_id=tenant.pk, slug=tenant.slug, created_at=now, created_by=actor_current().name
        )
        audit_record(action=f"tenant.{kind.value}_start", subject=f"tenant:{tenant.slug}")
        transaction.on_commit(lambda: _send(job), using=DEFAULT_DB_ALIAS)
    return job


def _send(job: TenantJob) -> None:
    from tenants.tasks import tenant_job_run  # Late: a task's module imports this one.

    try:
        tenant_job_run.delay(job.pk)
    except BrokerError:
        log.warning("The queue does not answer; the job waits.", extra={"job": job.pk})


def job_get(*, job_id: int) -> TenantJob:
    """Return a job. Raises JobUnknown."""
    with public_bind():
        job = TenantJob.objects.using(DEFAULT_DB_ALIAS).filter(pk=job_id).first()
    if job is None:
        raise JobUnknown
    return job


def job_run(*, job_id: int, now: datetime) -> bool:
    """Do a job, in a worker. Returns False where another worker has it, or it is over. Safe to run twice.

    A lock of the session says whose it is: one that was killed has let go of it, and the next begins anew.
    Raises OperationalError, InterfaceError and Unavailable; the job then waits to be taken up again, for GIVEN_UP.
    """
    with advisory_lock(f"atlasco.tenant_job.{job_id}") as is_ours:
        if not is_ours:
            return False
        with public_bind():
            rows = TenantJob.objects.using(DEFAULT_DB_ALIAS).filter(pk=job_id)
            waiting = rows.filter(status__in=[TenantJob.Status.QUEUED, TenantJob.Status.RUNNING])
            if not waiting.update(status=TenantJob.Status.RUNNING, started_at=now, detail=""):
                return False
            job = rows.get()
        _do(job, now=now)
    return True


def _do(job: TenantJob, *, now: datetime) -> None:
    with public_bind():
        tenant = Tenant.objects.using(DEFAULT_DB_ALIAS).filter(pk=job.tenant_id).first()
    try:
        if tenant is None:
            _end(job, TenantJob.Status.FAILED, detail="The tenant is gone.")
        elif job.kind == TenantJob.Kind.EXPORT:
            _export(job, tenant, now=now)
        else:
            _note(job, total=sum(tenant_contents(tenant=tenant).values()))
            report = tenant_delete(tenant=tenant, confirm=tenant.slug, now=now)
            removed = sum(report.values())
            _end(job, TenantJob.Status.DONE, report=report, done=removed, total=removed)
    except (OperationalError, InterfaceError, Unavailable) as error:
        # Not the job's fault: it is done when the servers are back. What never gets through is no such trouble.
        told = error.detail if isinstance(error, Unavailable) else f"{type(error).__name__}."
        if now - job.created_at > GIVEN_UP:
            _end(job, TenantJob.Status.FAILED, detail=f"Given up after many tries: {told}")
        elif isinstance(error, Unavailable):
            _note(job, detail=f"{told} It is tried again.")
        raise
    except Problem as problem:
        _end(job, TenantJob.Status.FAILED, detail=problem.detail)
    except Exception as error:
        _end(job, TenantJob.Status.FAILED, detail=f"{type(error).__name__}. The worker's log says more.")
        raise


def _export(job: TenantJob, tenant: Tenant, *, now: datetime) -> None:
    _note(job, total=sum(tenant_contents(tenant=tenant).values()))
    path = export_path(job)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    lines = 0
    try:
        # Only for its owner: this is all the data of a customer.
        with (
            os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as plain,
            gzip.GzipFile(filename="", mode="wb", fileobj=plain, compresslevel=6) as out,
        ):
            for line in tenant_export(tenant=tenant, now=now):
                out.write(line)
                lines += 1
                if lines % PROGRESS_LINES == 0:
                    _note(job, done=lines)
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
    facts = {"file_path": path.name, "file_bytes": path.stat().st_size, "report": {"records": lines}}
    _end(job, TenantJob.Status.DONE, done=lines, total=lines, **facts)


def export_path(job: TenantJob) -> Path:
    """Where the file of an export is, or will be."""
    return Path(settings.MEDIA_ROOT) / _FOLDER / f"{job.slug}-{job.pk}.ndjson.gz"


def _end(job: TenantJob, status: TenantJob.Status, **facts: object) -> None:
    _note(job, status=status, finished_at=Now(), **facts)


def _note(job: TenantJob, **facts: object) -> None:
    with public_bind():
        TenantJob.objects.using(DEFAULT_DB_ALIAS).filter(pk=job.pk).update(**facts)


def jobs_resume(*, now: datetime) -> int:
    """Send jobs again whose message got lost or whose worker died. One that is being done stays where it is."""
    with public_bind():
        unfinished = TenantJob.objects.using(DEFAULT_DB_ALIAS).filter(
            status__in=[TenantJob.Status.QUEUED, TenantJob.Status.RUNNING], created_at__lt=now - STALLED
        )
        jobs = list(unfinished)
    for job in jobs:
        _send(job)
    return len(jobs)


def jobs_expire(*, now: datetime) -> int:
    """Remove the files of old exports. What was done stays in the list. Returns how many files."""
    with public_bind():
        old = TenantJob.objects.using(DEFAULT_DB_ALIAS).filter(finished_at__lt=now - FILES_KEPT).exclude(file_path="")
        jobs = list(old)
    for job in jobs:
        export_path(job).unlink(missing_ok=True)
        _note(job, file_path="")
    return len(jobs)
