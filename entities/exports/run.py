"""What a worker does with an export. See Note [Order of an export]."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import IO, Any, Final

from django.conf import settings
from django.core.files.storage import default_storage
from django.db.models import QuerySet

from atlasco.lib.errors import Invalid
from entities.exports.formats import LimitReached, Spool, csv_write, ndjson_write, parquet_write
from entities.exports.jobs import FILE_KEPT_FOR, export_path
from entities.imports.files import CHUNK, file_save
from entities.jobs import Clock, JobStopped, job_run, unfinished
from entities.models import ExportJob, JobStatus
from entities.reads import SearchRead
from entities.search.aliases import query_resolved
from entities.search.cursors import cursor_position
from entities.search.query import Query, query_parse
from entities.search.run import Page, search_run
from freshness.reads import primary_position, read_through
from freshness.timelines import Position, position_both

# Starts of an export that never comes to its end, before it is given up.
ATTEMPTS_MAX: Final = 3
_PAGE: Final = 1_000
# So much of a file is kept in memory before it goes to disk.
_MEMORY_BYTES: Final = 4 << 20


def export_job_run(*, tenant_id: int, job_id: uuid.UUID, clock: Clock) -> str:
    """Write the file of an export of the bound tenant, see `entities.jobs.job_run`. An interrupted one begins anew."""

    def work(job: ExportJob) -> None:
        _job_work(job, clock=clock)

    def fail(job: ExportJob, detail: str) -> None:
        _job_end(job, JobStatus.FAILED, now=clock(), detail=detail)

    jobs = ExportJob.objects.using("default").filter(tenant_id=tenant_id, job_id=job_id)
    return job_run(jobs, attempts_max=ATTEMPTS_MAX, clock=clock, work=work, fail=fail)


def _job_work(job: ExportJob, *, clock: Clock) -> None:
    try:
        changes = _file_write(job)
    except Invalid as problem:
        _job_end(job, JobStatus.FAILED, now=clock(), detail=problem.detail)
    except OSError:
        _job_end(job, JobStatus.FAILED, now=clock(), detail="The file could not be kept; the disk may be full.")
        raise
    else:
        now = clock()
        is_ended = _job_end(job, JobStatus.DONE, now=now, expires_at=now + FILE_KEPT_FOR, **changes)
        done = ExportJob.objects.using("default").filter(job_id=job.job_id, status=JobStatus.DONE)
        # Cancelled at the last moment; not where our lock went with its connection, and another worker has written it.
        if not is_ended and not done.exists():
            default_storage.delete(changes["file_path"])


def _file_write(job: ExportJob) -> dict[str, Any]:
    """Read the result, write the file; what is to be noted of it. Raises JobStopped where it is no longer wanted."""
    with tempfile.TemporaryFile() as spooled:
        spool = Spool(spooled, bytes_max=settings.EXPORT_MAX_BYTES)
        is_cut = _rows_read(job, spool)
        with tempfile.SpooledTemporaryFile(max_size=_MEMORY_BYTES) as target:
            written = _rows_write(job, spool, target)
            size = target.tell()
            path = export_path(tenant_id=job.tenant_id, job_id=job.job_id)
            default_storage.delete(path)  # Of an earlier start.
            target.seek(0)
            file_save(path=path, chunks=_chunks(target))
    return {
        "file_path": path,
        "rows_done": written,
        "bytes_done": size,
        "is_cut": is_cut or written < spool.rows,
    }


def _rows_read(job: ExportJob, spool: Spool) -> bool:
    """Keep all rows. Returns whether a limit cut them."""
    body = {**job.query, "fields": job.columns or None}
    body.pop("order_by", None)
    query = replace(query_parse(body), order_by="entity_id", descending=False, limit=_PAGE)
    # Nothing that was written before the export began is missing from it.
    began = primary_position()
    while True:
        page = _page_read(job.tenant_id, query, at_least=began)
        for row in page.entities:
            if spool.rows >= settings.EXPORT_ROWS_MAX:
                return True
            try:
                spool.add(row)
            except LimitReached:
                return True
        if not _unfinished(job).update(rows_done=spool.rows, bytes_done=spool.size):
            raise JobStopped
        if page.next_cursor is None:
            return False
        query = replace(query, cursor=page.next_cursor)


def _page_read(tenant_id: int, query: Query, *, at_least: Position) -> Page:
    request = SearchRead(tenant_id, query_resolved(query, tenant_id=tenant_id, using=None))
    return read_through(
        lambda source: search_run(tenant_id=tenant_id, query=query, using=source.using, position=source.position),
        operation="search",
        attributes=request.attributes,
        at_least=position_both(at_least, cursor_position(tenant_id=tenant_id, query=request.query)),
    )


def _rows_write(job: ExportJob, spool: Spool, target: IO[bytes]) -> int:
    # The columns asked for, in their order; of all, those that there are, in order of name.
    names = list(job.columns) or sorted(spool.kinds)
    match job.format:
        case "csv":
            return csv_write(spool, target, names=names, bytes_max=settings.EXPORT_MAX_BYTES)
        case "parquet":
            return parquet_write(spool, target, names=names, bytes_max=settings.EXPORT_MAX_BYTES)
        case _:
            return ndjson_write(spool, target, bytes_max=settings.EXPORT_MAX_BYTES)


def _job_end(job: ExportJob, status: JobStatus, *, now: datetime, **changes: Any) -> bool:
    """Note the end of a job. False where it was cancelled meanwhile."""
    return bool(_unfinished(job).update(status=status, finished_at=now, **changes))


def _unfinished(job: ExportJob) -> QuerySet[ExportJob]:
    return unfinished(ExportJob.objects.using("default").filter(tenant_id=job.tenant_id, job_id=job.job_id))


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(CHUNK):
        yield chunk
