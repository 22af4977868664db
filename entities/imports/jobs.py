"""Jobs as those see them who want something imported, and those who look after what is left."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NoReturn

from django.conf import settings
from django.core import signing
from django.core.files.storage import default_storage
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Q, Sum

from atlasco.lib.errors import Conflict, Invalid, NotFound, Unavailable
from entities.imports.files import file_path, file_remove, file_save, files_list
from entities.ingest.batch import Mode, tenant_hold
from entities.jobs import KEPT_FOR, UNFINISHED, QueueUnavailable, jobs_stop
from entities.models import ImportJob, ImportRejection
from entities.search.cursors import InvalidCursor
from tenants.audit import audit_record
from tenants.members.models import Role
from tenants.roles import role_require

log = logging.getLogger(__name__)

Status = ImportJob.Status
# Their file is there, and somebody may say go.
WAITING: Final = (Status.DRAFT, Status.CHECKED)
WAITS_AT_MOST: Final = timedelta(days=7)
# A file without a job is an upload that is under way, or one whose process was killed.
UPLOAD_LASTS_AT_MOST: Final = timedelta(days=1)
FILE_NAME_MAX_CHARS: Final = 255
_CURSOR_SALT: Final = "entities.imports.cursor"


class ImportUnknown(NotFound):
    """There is no import of this id."""

    code = "import_unknown"


class ImportFinished(Conflict):
    """This import has ended; what it wrote stands."""

    code = "import_finished"


class ImportBusy(Conflict):
    """This import is under way; it can't be changed now."""

    code = "import_busy"


class UploadTooLarge(Invalid):
    """The files that wait for an import are as large as this tenant's may be. Import or cancel some of them first."""

    status = 413
    code = "upload_too_large"


class StorageUnavailable(Unavailable):
    """The file can't be kept for a worker now. Send it again, or use POST /api/v1/entities/import/."""

    code = "storage_unavailable"


@dataclass(frozen=True, slots=True)
class ImportPage:
    jobs: list[ImportJob]
    next_cursor: str | None


def import_job_create(
    *,
    tenant_id: int,
    chunks: Iterable[bytes],
    file_name: str,
    mode: Mode,
    created_by: str,
    now: datetime,
    enqueue: Callable[[ImportJob], None] | None,
    prepare: Callable[[ImportJob], None] | None = None,
    dry_run: bool = False,
) -> ImportJob:
    """Keep the file and hand it to a worker.

    chunks: the file's bytes, gzip or not. prepare: looks at the kept file and says what it is; NDJSON without it.
    enqueue: tells a worker; where it raises, nothing is left of the job. Without it the job is a draft that waits for
    `import_job_start`. dry_run: nothing will be written, and the file stays for another start.
    Raises what chunks and prepare raise, UploadTooLarge, StorageUnavailable, QueueUnavailable, TenantBusy.
    """
    role_require(Role.EDITOR)
    job_id = uuid.uuid4()
    path = file_path(tenant_id=tenant_id, job_id=job_id)
    try:
        size = file_save(path=path, chunks=_bounded(chunks, room=uploads_room(tenant_id=tenant_id)))
        job = ImportJob(
            job_id=job_id,
            tenant_id=tenant_id,
            created_at=now,
            mode=mode,
            file_name=file_name,
            file_path=path,
            bytes_total=size,
            created_by=created_by,
            status=Status.DRAFT if enqueue is None else Status.QUEUED,
            is_dry_run=dry_run,
        )
        if prepare is not None:
            prepare(job)
        with transaction.atomic(using="default"):
            tenant_hold(tenant_id=tenant_id)
            ImportJob.objects.using("default").bulk_create([job])
            _audit("upload" if enqueue is None else "start", job, bytes=size)
        if enqueue is not None:
            enqueue(job)
    except OSError as error:
        _forget(tenant_id, job_id, path)
        log.exception("The file of an import could not be kept.")
        raise StorageUnavailable from error
    except BaseException:
        _forget(tenant_id, job_id, path)
        raise
    return job


def uploads_room(*, tenant_id: int) -> int:
    """How many bytes more of files may wait for the tenant's imports."""
    kept = ImportJob.objects.using("default").filter(tenant_id=tenant_id).exclude(file_path="")
    return max(settings.IMPORT_UPLOADS_MAX_BYTES - (kept.aggregate(Sum("bytes_total"))["bytes_total__sum"] or 0), 0)


def import_job_change(*, tenant_id: int, job_id: uuid.UUID, **changes: Any) -> ImportJob:
    """Change how the file of a job that waits is to be understood: `mode`, `options`.

    Raises ImportUnknown, ImportFinished, ImportBusy.
    """
    role_require(Role.EDITOR)
    jobs = ImportJob.objects.using("default").filter(tenant_id=tenant_id, job_id=job_id, status__in=WAITING)
    if not jobs.update(**changes):
        _raise_why_not_waiting(tenant_id, job_id)
    return import_job_get(tenant_id=tenant_id, job_id=job_id, using="default")


def import_job_start(
    *, tenant_id: int, job_id: uuid.UUID, dry_run: bool, now: datetime, enqueue: Callable[[ImportJob], None]
) -> ImportJob:
    """Hand a job that waits to a worker. What an earlier dry run found is forgotten.

    Raises ImportUnknown, ImportFinished, ImportBusy, QueueUnavailable; then it waits as before.
    """
    role_require(Role.EDITOR)
    with transaction.atomic(using="default"):
        tenant_hold(tenant_id=tenant_id)
        waiting = ImportJob.objects.using("default").filter(tenant_id=tenant_id, job_id=job_id, status__in=WAITING)
        if not waiting.update(
            status=Status.QUEUED,
            is_dry_run=dry_run,
            created_at=now,
            started_at=None,
            finished_at=None,
            bytes_done=0,
            lines_done=0,
            summary={},
            detail="",
            attempts=0,
        ):
            _raise_why_not_waiting(tenant_id, job_id)
        ImportRejection.objects.using("default").filter(tenant_id=tenant_id, job_id=job_id).delete()
        job = import_job_get(tenant_id=tenant_id, job_id=job_id, using="default")
        _audit("start", job)
    try:
        enqueue(job)
    except QueueUnavailable:
        ImportJob.objects.using("default").filter(tenant_id=tenant_id, job_id=job_id, status=Status.QUEUED).update(
            status=Status.DRAFT
        )
        raise
    return job


def _raise_why_not_waiting(tenant_id: int, job_id: uuid.UUID) -> NoReturn:
    job = import_job_get(tenant_id=tenant_id, job_id=job_id, using="default")
    raise ImportBusy if job.status in UNFINISHED else ImportFinished


def _bounded(chunks: Iterable[bytes], *, room: int) -> Iterator[bytes]:
    for chunk in chunks:
        room -= len(chunk)
        if room < 0:
            raise UploadTooLarge
        yield chunk


def import_job_get(*, tenant_id: int, job_id: uuid.UUID, using: str) -> ImportJob:
    """Return one job. Raises ImportUnknown, for another tenant's too."""
    job = ImportJob.objects.using(using).filter(tenant_id=tenant_id, job_id=job_id).first()
    if job is None:
        raise ImportUnknown
    return job


def import_jobs_page(*, tenant_id: int, limit: int, cursor: str | None, using: str) -> ImportPage:
    """Return one page of the tenant's jobs, newest first. Raises InvalidCursor."""
    jobs = ImportJob.objects.using(using).filter(tenant_id=tenant_id).order_by("-created_at", "-job_id")
    signer = signing.Signer(salt=f"{_CURSOR_SALT}.{tenant_id}")
    if cursor is not None:
        try:
            created_at, job_id = signing.b64_decode(signer.unsign(cursor).encode()).decode().split()
            after = datetime.fromisoformat(created_at), uuid.UUID(job_id)
        except (signing.BadSignature, ValueError):
            raise InvalidCursor from None
        jobs = jobs.filter(Q(created_at__lt=after[0]) | Q(created_at=after[0], job_id__lt=after[1]))
    found = list(jobs[: limit + 1])
    next_cursor = None
    if len(found) > limit:
        found.pop()
        last = f"{found[-1].created_at.isoformat()} {found[-1].job_id}"
        next_cursor = signer.sign(signing.b64_encode(last.encode()).decode())
    return ImportPage(found, next_cursor)


def import_job_cancel(*, tenant_id: int, job_id: uuid.UUID, now: datetime) -> ImportJob:
    """Stop a job that has not ended: at once, or after the batch that its worker is writing. What was written stands.

    Cancelling twice is once. Raises ImportUnknown, ImportFinished.
    """
    role_require(Role.EDITOR)
    jobs = ImportJob.objects.using("default").filter(tenant_id=tenant_id, job_id=job_id)
    with transaction.atomic(using="default"):
        was_queued = jobs.filter(status__in=(Status.QUEUED, *WAITING)).update(status=Status.CANCELLED, finished_at=now)
        was_running = not was_queued and jobs.filter(status=Status.RUNNING).update(
            status=Status.CANCELLED, finished_at=now
        )
        job = import_job_get(tenant_id=tenant_id, job_id=job_id, using="default")
        if was_queued or was_running:
            _audit("cancel", job, lines=job.lines_done)
    if job.status != Status.CANCELLED:
        raise ImportFinished
    if was_queued:
        file_remove(job)
    return job


def import_jobs_expire(*, tenant_id: int, now: datetime) -> int:
    """Forget the bound tenant's old jobs, and remove files that no job needs any more. Returns how many jobs."""
    jobs = ImportJob.objects.using("default").filter(tenant_id=tenant_id)
    jobs.filter(status__in=WAITING, created_at__lt=now - WAITS_AT_MOST).update(
        status=Status.CANCELLED, finished_at=now, detail="Nobody started it."
    )
    for job in jobs.exclude(status__in=(*UNFINISHED, *WAITING)).exclude(file_path=""):
        file_remove(job)
    known = set(jobs.values_list("job_id", flat=True))
    for path in files_list(tenant_id=tenant_id):
        with suppress(FileNotFoundError):  # Removed by whoever has just finished with it.
            is_old = now - default_storage.get_modified_time(path) > UPLOAD_LASTS_AT_MOST
            if is_old and uuid.UUID(path.rpartition("/")[2]) not in known:
                default_storage.delete(path)
    old = jobs.exclude(status__in=(*UNFINISHED, *WAITING)).filter(finished_at__lt=now - KEPT_FOR)
    forgotten = list(old.values_list("job_id", flat=True))
    ImportRejection.objects.using("default").filter(tenant_id=tenant_id, job_id__in=forgotten).delete()
    jobs.filter(job_id__in=forgotten).delete()
    return len(forgotten)


def import_files_count(*, tenant_id: int) -> int:
    return len(files_list(tenant_id=tenant_id))


def import_files_erase(*, tenant_id: int, now: datetime) -> int:
    """Stop every job of the bound tenant, wait until no worker is at one, and remove the files. Returns how many."""
    jobs_stop(ImportJob.objects.using("default").filter(tenant_id=tenant_id), now=now)
    files = files_list(tenant_id=tenant_id)
    for path in files:
        default_storage.delete(path)
    return len(files)


def _audit(verb: str, job: ImportJob, **told: Any) -> None:
    audit_record(
        action=f"import.{verb}",
        subject=f"import:{job.file_name or job.job_id}",
        after={"mode": job.mode, "dry_run": job.is_dry_run, **told},
    )


def _forget(tenant_id: int, job_id: uuid.UUID, path: str) -> None:
    """Leave nothing of a job that could not be created."""
    default_storage.delete(path)
    with suppress(OperationalError, InterfaceError):
        ImportJob.objects.using("default").filter(tenant_id=tenant_id, job_id=job_id).delete()
