"""Imports that a worker does: the file is kept, a job says how far it is, and whoever finds the job goes on with it.

# Note [Import twice]
A job's message may be delivered twice, and its worker may be killed. So a worker holds an advisory lock while it works
on a job, which ends with its connection, and notes after each batch how many lines are done. A second delivery of a
running or finished job does nothing; a job that nobody works on any more is found by `import_jobs_abandoned` and goes
on after the last batch that was noted. Only a batch that was written and not noted is imported twice, which changes
nothing but the counts.
"""

from __future__ import annotations

import io
import logging
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from django.conf import settings
from django.core import signing
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.db import InterfaceError, OperationalError, connections
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from atlasco.lib.errors import Conflict, NotFound, Unavailable
from entities.ingest.batch import Mode
from entities.ingest.importer import ImportSummary, import_run
from entities.ingest.lines import BrokenBody, Rejection, plain
from entities.models import ImportJob
from entities.search.cursors import InvalidCursor
from freshness.reads import write_finished
from freshness.tokens import lsn_text

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

log = logging.getLogger(__name__)

Clock: TypeAlias = Callable[[], datetime]
Status = ImportJob.Status
UNFINISHED: Final = (Status.QUEUED, Status.RUNNING)
# Starts of a job that never gets through a batch, before it is given up.
ATTEMPTS_MAX: Final = 5
KEPT_FOR: Final = timedelta(days=30)
# A job that nobody has taken for so long may have lost its message.
ABANDONED_AFTER: Final = timedelta(minutes=2)
# A file without a job is an upload that is under way, or one whose process was killed.
UPLOAD_LASTS_AT_MOST: Final = timedelta(days=1)
# Rejections that a job lists: its row is written anew after every batch.
REJECTIONS_LISTED: Final = 1_000
FILE_NAME_MAX_CHARS: Final = 255
_FOLDER: Final = "imports"
_CHUNK: Final = 1 << 18
# How much is read between two looks at whether the job was cancelled, where no batch is written.
_REPORT_BYTES: Final = 16 << 20
_CURSOR_SALT: Final = "entities.imports.cursor"


class ImportUnknown(NotFound):
    """There is no import of this id."""

    code = "import_unknown"


class ImportFinished(Conflict):
    """This import has ended; what it wrote stands."""

    code = "import_finished"


class QueueUnavailable(Unavailable):
    """No worker can be told of an import now. Nothing was kept; send it again, or use POST /api/v1/entities/import/."""

    code = "queue_unavailable"


class StorageUnavailable(Unavailable):
    """The file can't be kept for a worker now. Send it again, or use POST /api/v1/entities/import/."""

    code = "storage_unavailable"


class _Stopped(Exception):
    """The job was cancelled, or is gone with its tenant."""


@dataclass(frozen=True, slots=True)
class ImportPage:
    jobs: list[ImportJob]
    next_cursor: str | None


# --- For those who want something imported ----------------------------------------------------------------------------


def import_job_create(
    *,
    tenant_id: int,
    chunks: Iterable[bytes],
    file_name: str,
    mode: Mode,
    created_by: str,
    now: datetime,
    enqueue: Callable[[ImportJob], None],
) -> ImportJob:
    """Keep the file and hand it to a worker.

    chunks: NDJSON, plain or gzip. enqueue: tells a worker; where it raises, nothing is left of the job.
    Raises what the chunks raise, StorageUnavailable, QueueUnavailable.
    """
    job_id = uuid.uuid4()
    path = f"{_FOLDER}/{tenant_id}/{job_id}"
    stream = _ChunkStream(chunks)
    try:
        default_storage.save(path, File(io.BufferedReader(stream, _CHUNK)))
        job = ImportJob(
            job_id=job_id,
            tenant_id=tenant_id,
            created_at=now,
            mode=mode,
            file_name=file_name,
            file_path=path,
            bytes_total=stream.size,
            created_by=created_by,
        )
        ImportJob.objects.using("default").bulk_create([job])
        enqueue(job)
    except OSError as error:
        _forget(tenant_id, job_id, path)
        log.exception("The file of an import could not be kept.")
        raise StorageUnavailable from error
    except BaseException:
        _forget(tenant_id, job_id, path)
        raise
    return job


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
    jobs = ImportJob.objects.using("default").filter(tenant_id=tenant_id, job_id=job_id)
    was_queued = jobs.filter(status=Status.QUEUED).update(status=Status.CANCELLED, finished_at=now)
    if not was_queued:
        jobs.filter(status=Status.RUNNING).update(status=Status.CANCELLED, finished_at=now)
    job = import_job_get(tenant_id=tenant_id, job_id=job_id, using="default")
    if job.status != Status.CANCELLED:
        raise ImportFinished
    if was_queued:
        _file_remove(job)
    return job


# --- For workers ------------------------------------------------------------------------------------------------------


def import_job_run(*, tenant_id: int, job_id: uuid.UUID, clock: Clock) -> str:
    """Do a job of the bound tenant, or what is left of it. Returns the status that it has then.

    "gone" where there is no such job, "running" where another worker is at it. See Note [Import twice].
    clock: read at the beginning and at the end.
    Raises OperationalError, InterfaceError and Unavailable; the job then waits to be taken up again.
    """
    with _job_lock(job_id) as is_ours:
        job = ImportJob.objects.using("default").filter(tenant_id=tenant_id, job_id=job_id).first()
        if job is None:
            return "gone"
        if is_ours and job.status in UNFINISHED:
            _job_do(job, clock=clock)
            job.refresh_from_db(using="default")
        return str(job.status)


def import_jobs_abandoned(*, tenant_id: int, now: datetime) -> list[ImportJob]:
    """The bound tenant's unfinished jobs that nobody works on and that have waited for a while."""
    waiting = ImportJob.objects.using("default").filter(
        tenant_id=tenant_id, status__in=UNFINISHED, created_at__lt=now - ABANDONED_AFTER
    )
    abandoned = []
    for job in waiting.order_by("created_at"):
        with _job_lock(job.job_id) as is_free:
            if is_free:
                abandoned.append(job)
    return abandoned


def import_jobs_expire(*, tenant_id: int, now: datetime) -> int:
    """Forget the bound tenant's old jobs, and remove files that no job needs any more. Returns how many jobs."""
    jobs = ImportJob.objects.using("default").filter(tenant_id=tenant_id)
    for job in jobs.exclude(status__in=UNFINISHED).exclude(file_path=""):
        _file_remove(job)
    known = set(jobs.values_list("job_id", flat=True))
    for path in _files(tenant_id):
        with suppress(FileNotFoundError):  # Removed by whoever has just finished with it.
            is_old = now - default_storage.get_modified_time(path) > UPLOAD_LASTS_AT_MOST
            if is_old and uuid.UUID(path.rpartition("/")[2]) not in known:
                default_storage.delete(path)
    forgotten, _ = jobs.exclude(status__in=UNFINISHED).filter(finished_at__lt=now - KEPT_FOR).delete()
    return forgotten


def import_files_count(*, tenant_id: int) -> int:
    return len(_files(tenant_id))


def import_files_erase(*, tenant_id: int, now: datetime) -> int:
    """Stop every job of the bound tenant, wait until no worker is at one, and remove the files. Returns how many."""
    jobs = ImportJob.objects.using("default").filter(tenant_id=tenant_id, status__in=UNFINISHED)
    stopped = list(jobs.values_list("job_id", flat=True))
    jobs.update(status=Status.CANCELLED, finished_at=now)
    for job_id in stopped:
        with _job_lock(job_id, wait=True):
            pass
    files = _files(tenant_id)
    for path in files:
        default_storage.delete(path)
    return len(files)


def _job_do(job: ImportJob, *, clock: Clock) -> None:
    jobs = ImportJob.objects.using("default").filter(tenant_id=job.tenant_id, job_id=job.job_id, status__in=UNFINISHED)
    if job.attempts >= ATTEMPTS_MAX:
        _job_end(job, Status.FAILED, now=clock(), detail=f"Given up after {job.attempts} starts without progress.")
        return
    started_at = Coalesce(F("started_at"), clock())
    if not jobs.update(status=Status.RUNNING, started_at=started_at, attempts=F("attempts") + 1):
        return  # Cancelled a moment ago.
    summary = _summary_read(job.summary)
    try:
        _job_import(job, summary, now=clock())
    except _Stopped:
        _file_remove(job)
    except (BrokenBody, FileNotFoundError) as error:
        detail = error.detail if isinstance(error, BrokenBody) else "Its file is gone."
        _job_end(job, Status.FAILED, now=clock(), summary=summary, detail=detail)
    except (OperationalError, InterfaceError, Unavailable):
        raise
    except Exception:
        detail = "An unexpected error, which the log explains."
        _job_end(job, Status.FAILED, now=clock(), summary=summary, detail=detail)
        raise
    else:
        position = lsn_text(write_finished(tenant_id=job.tenant_id).lsn)
        _job_end(job, Status.DONE, now=clock(), summary=summary, position=position)


def _job_import(job: ImportJob, summary: ImportSummary, *, now: datetime) -> None:
    """Import what is left of the file. Raises _Stopped where the job is no longer to be done."""
    running = ImportJob.objects.using("default").filter(
        tenant_id=job.tenant_id, job_id=job.job_id, status=Status.RUNNING
    )
    bytes_done = bytes_reported = 0

    def note(**changes: Any) -> None:
        nonlocal bytes_reported
        bytes_reported = bytes_done
        if not running.update(bytes_done=bytes_done, **changes):
            raise _Stopped

    def batch_note(so_far: ImportSummary) -> None:
        if so_far.lines_done > job.lines_done:
            job.lines_done = so_far.lines_done
            note(lines_done=so_far.lines_done, summary=_summary_write(so_far), attempts=0)
        else:
            note()

    def chunks(file: File[bytes]) -> Iterator[bytes]:
        nonlocal bytes_done
        while chunk := file.read(_CHUNK):
            bytes_done += len(chunk)
            yield chunk
            if bytes_done - bytes_reported >= _REPORT_BYTES:
                note()  # Bytes only: within a batch, lines that are settled need not be the first ones.

    with default_storage.open(job.file_path, "rb") as file:
        import_run(
            tenant_id=job.tenant_id,
            chunks=plain(chunks(cast("File[bytes]", file))),
            mode=cast(Mode, job.mode),
            now=now,
            line_max_bytes=settings.IMPORT_LINE_MAX_BYTES,
            progress=batch_note,
            summary=summary,
        )


def _job_end(
    job: ImportJob,
    status: Status,
    *,
    now: datetime,
    summary: ImportSummary | None = None,
    position: str = "",
    detail: str = "",
) -> None:
    """Note the end of a job, unless it was cancelled meanwhile, and remove its file."""
    changes: dict[str, Any] = {"status": status, "finished_at": now, "detail": detail}
    if summary is not None:
        changes |= {"lines_done": summary.lines_done, "summary": _summary_write(summary)}
    if status == Status.DONE:
        changes["bytes_done"] = F("bytes_total")
        changes["summary"]["position"] = position
    jobs = ImportJob.objects.using("default").filter(tenant_id=job.tenant_id, job_id=job.job_id, status__in=UNFINISHED)
    jobs.update(**changes)
    _file_remove(job)


def _summary_write(summary: ImportSummary) -> dict[str, Any]:
    """The summary as the job's row and the API have it: the members of the import's answer."""
    listed = [rejection.as_dict() for rejection in summary.rejected[:REJECTIONS_LISTED]]
    answer = {**summary.as_dict(), "received": summary.lines_done, "rejected": listed}
    if summary.rejected_count > len(listed):
        answer["rejected_not_listed"] = summary.rejected_count - len(listed)
    return answer


def _summary_read(stored: dict[str, Any]) -> ImportSummary:
    """The summary to go on with; an empty one where the job begins."""
    rejected = [Rejection(**rejection) for rejection in stored.get("rejected", ())]
    return ImportSummary(
        received=stored.get("received", 0),
        created=stored.get("created", 0),
        updated=stored.get("updated", 0),
        unchanged=stored.get("unchanged", 0),
        rejected_count=len(rejected) + stored.get("rejected_not_listed", 0),
        rejected=rejected,
    )


@contextmanager
def _job_lock(job_id: uuid.UUID, *, wait: bool = False) -> Iterator[bool]:
    """Hold the job's lock, in the session, since the job's transactions are many; False where another worker has it."""
    function = "pg_advisory_lock" if wait else "pg_try_advisory_lock"
    key = f"atlasco.import_job.{job_id}"
    with connections["default"].cursor() as cursor:
        cursor.execute(f"SELECT {function}(hashtextextended(%s, 0))", (key,))
        is_ours = wait or bool(cursor.fetchone()[0])
        try:
            yield is_ours
        finally:
            if is_ours:
                with suppress(OperationalError, InterfaceError):  # With the connection the lock has gone, too.
                    cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (key,))


# --- Files ------------------------------------------------------------------------------------------------------------


class _ChunkStream(io.RawIOBase):
    """Chunks as a file, for a storage to read, whatever it is. size: bytes so far."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        target = memoryview(buffer)
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        self.size += count
        return count


def _files(tenant_id: int) -> list[str]:
    folder = f"{_FOLDER}/{tenant_id}"
    try:
        return [f"{folder}/{name}" for name in default_storage.listdir(folder)[1]]
    except FileNotFoundError:
        return []


def _file_remove(job: ImportJob) -> None:
    default_storage.delete(job.file_path)
    # Whoever finds an ended job with a path knows that its file may still be there.
    ImportJob.objects.using("default").filter(tenant_id=job.tenant_id, job_id=job.job_id).update(file_path="")


def _forget(tenant_id: int, job_id: uuid.UUID, path: str) -> None:
    """Leave nothing of a job that could not be created."""
    default_storage.delete(path)
    with suppress(OperationalError, InterfaceError):
        ImportJob.objects.using("default").filter(tenant_id=tenant_id, job_id=job_id).delete()
