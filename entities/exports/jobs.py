"""Exports as those see them who want one, and those who look after what is left."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final

from django.core.files.storage import default_storage
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import QuerySet

from atlasco.lib.errors import Conflict, NotFound
from entities.ingest.batch import tenant_hold
from entities.jobs import KEPT_FOR, UNFINISHED, jobs_stop, unfinished
from entities.models import ExportJob, JobStatus
from entities.search.query import query_parse
from tenants.audit import audit_record
from tenants.members.models import Role
from tenants.roles import role_require

# How long a file can be fetched.
FILE_KEPT_FOR: Final = timedelta(days=7)
UNFINISHED_MAX: Final = 5
SHOWN_MAX: Final = 100
_FOLDER: Final = "exports"


class ExportUnknown(NotFound):
    """There is no export of this id."""

    code = "export_unknown"


class ExportFinished(Conflict):
    """This export has ended."""

    code = "export_finished"


class ExportNotReady(NotFound):
    """There is no file of this export: it has not been written yet, was cancelled, or has expired."""

    code = "export_not_ready"


class TooManyExports(Conflict):
    """Five exports of this tenant wait already. Let one end, or cancel one."""

    code = "too_many_exports"


def export_job_create(
    *,
    tenant_id: int,
    query: dict[str, Any],
    columns: list[str],
    format: str,
    rows_expected: int | None,
    created_by: str,
    now: datetime,
    enqueue: Callable[[ExportJob], None],
) -> ExportJob:
    """Ask a worker for a file of what the search finds.

    query: the body of a search; columns: names of attributes, none for all.
    enqueue: tells a worker; where it raises, nothing is left of the job.
    Raises InvalidQuery, TooManyExports, QueueUnavailable, TenantBusy, RoleMissing.
    """
    role_require(Role.VIEWER)
    query_parse({**query, "fields": columns or None})
    job = ExportJob(
        job_id=uuid.uuid4(),
        tenant_id=tenant_id,
        created_at=now,
        format=format,
        query=query,
        columns=columns,
        file_name=f"{_slug(query.get('entity_type') or 'entities')}-{now:%Y%m%d-%H%M%S}.{format}",
        rows_expected=rows_expected,
        created_by=created_by,
    )
    with transaction.atomic(using="default"):
        tenant_hold(tenant_id=tenant_id)
        if unfinished(_jobs(tenant_id)).count() >= UNFINISHED_MAX:
            raise TooManyExports
        _jobs(tenant_id).bulk_create([job])
        audit_record(
            action="export.create",
            subject=f"export:{job.file_name}",
            after={"query": query, "columns": columns, "format": format},
        )
    try:
        enqueue(job)
    except BaseException:
        with suppress(OperationalError, InterfaceError):
            _jobs(tenant_id).filter(job_id=job.job_id).delete()
        raise
    return job


def export_job_get(*, tenant_id: int, job_id: uuid.UUID) -> ExportJob:
    """Return one job. Raises ExportUnknown, for another tenant's too."""
    job = _jobs(tenant_id).filter(job_id=job_id).first()
    if job is None:
        raise ExportUnknown
    return job


def export_jobs_list(*, tenant_id: int) -> list[ExportJob]:
    """The newest exports, newest first."""
    return list(_jobs(tenant_id).order_by("-created_at", "-job_id")[:SHOWN_MAX])


def export_job_cancel(*, tenant_id: int, job_id: uuid.UUID, now: datetime) -> ExportJob:
    """Stop an export; its worker sees it after the rows it is reading. Cancelling twice is once.

    Raises ExportUnknown, ExportFinished, RoleMissing.
    """
    role_require(Role.VIEWER)
    with transaction.atomic(using="default"):
        was = unfinished(_jobs(tenant_id).filter(job_id=job_id)).update(status=JobStatus.CANCELLED, finished_at=now)
        job = export_job_get(tenant_id=tenant_id, job_id=job_id)
        if was:
            audit_record(action="export.cancel", subject=f"export:{job.file_name}", after={"rows": job.rows_done})
    if job.status != JobStatus.CANCELLED:
        raise ExportFinished
    return job


def export_job_file(*, tenant_id: int, job_id: uuid.UUID, now: datetime) -> ExportJob:
    """A job whose file can be fetched. Raises ExportUnknown, ExportNotReady."""
    job = export_job_get(tenant_id=tenant_id, job_id=job_id)
    if not is_ready(job, now=now):
        raise ExportNotReady
    return job


def is_ready(job: ExportJob, *, now: datetime) -> bool:
    """Whether its file can be fetched."""
    is_kept = job.expires_at is not None and now < job.expires_at
    return job.status == JobStatus.DONE and is_kept and bool(job.file_path)


def export_jobs_expire(*, tenant_id: int, now: datetime) -> int:
    """Remove the bound tenant's files that have expired or belong to no job, and forget old jobs. Returns how many."""
    for job in _jobs(tenant_id).filter(expires_at__lt=now).exclude(file_path=""):
        default_storage.delete(job.file_path)
        _jobs(tenant_id).filter(job_id=job.job_id).update(file_path="")
    known = set(_jobs(tenant_id).exclude(file_path="").values_list("file_path", flat=True))
    for path in export_files(tenant_id=tenant_id):
        with suppress(FileNotFoundError):
            if path not in known and now - default_storage.get_modified_time(path) > timedelta(days=1):
                default_storage.delete(path)
    old = _jobs(tenant_id).exclude(status__in=UNFINISHED).filter(finished_at__lt=now - KEPT_FOR, file_path="")
    forgotten, _ = old.delete()
    return forgotten


def export_files(*, tenant_id: int) -> list[str]:
    """The paths of the tenant's files."""
    folder = f"{_FOLDER}/{tenant_id}"
    try:
        return [f"{folder}/{name}" for name in default_storage.listdir(folder)[1]]
    except FileNotFoundError:
        return []


def export_files_erase(*, tenant_id: int, now: datetime) -> int:
    """Stop every export of the bound tenant, wait until no worker is at one, and remove the files. Returns how many."""
    jobs_stop(_jobs(tenant_id), now=now)
    files = export_files(tenant_id=tenant_id)
    for path in files:
        default_storage.delete(path)
    return len(files)


def export_path(*, tenant_id: int, job_id: uuid.UUID) -> str:
    return f"{_FOLDER}/{tenant_id}/{job_id}"


def _jobs(tenant_id: int) -> QuerySet[ExportJob]:
    return ExportJob.objects.using("default").filter(tenant_id=tenant_id)


def _slug(text: str) -> str:
    """A type as a part of a file's name: letters, digits and hyphens."""
    kept = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in text)
    return kept.strip("-")[:40].lower() or "entities"
