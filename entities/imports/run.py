"""What a worker does with a job."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, Final, cast

from django.core.files.storage import default_storage
from django.db.models import F

from atlasco.lib.errors import FieldError
from entities.imports.files import file_remove
from entities.imports.jobs import Status
from entities.imports.prepare import job_lines
from entities.ingest.batch import Mode
from entities.ingest.importer import ImportSummary, lines_import
from entities.ingest.lines import BrokenBody, Rejection
from entities.jobs import Clock, JobStopped, job_run, unfinished
from entities.models import ImportJob, ImportRejection
from freshness.reads import write_finished
from freshness.tokens import lsn_text
from tenants.services import TenantBusy

# Starts of a job that never gets through a batch, before it is given up.
ATTEMPTS_MAX: Final = 5
# Rejections that a job lists: its row is written anew after every batch.
REJECTIONS_LISTED: Final = 1_000
# How much is read between two looks at whether the job was cancelled, where no batch is written.
_REPORT_BYTES: Final = 16 << 20
# Lines left out that are kept to be downloaded; a wrong file must not fill the database.
REJECTIONS_KEPT: Final = 100_000
_REJECTIONS_AT_ONCE: Final = 500


def import_job_run(*, tenant_id: int, job_id: uuid.UUID, clock: Clock) -> str:
    """Do an import of the bound tenant, or what is left of it, see `entities.jobs.job_run` and Note [Import twice]."""

    def work(job: ImportJob) -> None:
        _job_work(job, clock=clock)

    def fail(job: ImportJob, detail: str) -> None:
        _job_end(job, Status.FAILED, now=clock(), detail=detail)

    jobs = ImportJob.objects.using("default").filter(tenant_id=tenant_id, job_id=job_id)
    return job_run(jobs, attempts_max=ATTEMPTS_MAX, clock=clock, work=work, fail=fail)


def _job_work(job: ImportJob, *, clock: Clock) -> None:
    summary = _summary_read(job.summary)
    try:
        _job_import(job, summary, now=clock())
    except (JobStopped, TenantBusy):
        file_remove(job)
    except BrokenBody as error:
        # A dry run is for finding that out: the file may only want another encoding.
        status = Status.CHECKED if job.is_dry_run else Status.FAILED
        _job_end(job, status, now=clock(), summary=summary, detail=error.detail)
    except FileNotFoundError:
        _job_end(job, Status.FAILED, now=clock(), summary=summary, detail="Its file is gone.")
    else:
        position = lsn_text(write_finished(tenant_id=job.tenant_id).lsn)
        status = Status.CHECKED if job.is_dry_run else Status.DONE
        _job_end(job, status, now=clock(), summary=summary, position=position)


def _job_import(job: ImportJob, summary: ImportSummary, *, now: datetime) -> None:
    """Import what is left of the file. Raises JobStopped where the job is no longer to be done."""
    running = ImportJob.objects.using("default").filter(
        tenant_id=job.tenant_id, job_id=job.job_id, status=Status.RUNNING
    )
    bytes_done = bytes_reported = 0

    def note(**changes: Any) -> None:
        nonlocal bytes_reported
        bytes_reported = bytes_done
        if not running.update(bytes_done=bytes_done, **changes):
            raise JobStopped

    left_out: list[ImportRejection] = []
    kept = ImportRejection.objects.using("default").filter(tenant_id=job.tenant_id, job_id=job.job_id).count()

    def rejections_keep() -> None:
        nonlocal kept
        # Some are there already where a worker was killed after it had kept them.
        ImportRejection.objects.using("default").bulk_create(left_out[: REJECTIONS_KEPT - kept], ignore_conflicts=True)
        kept += len(left_out)
        left_out.clear()

    def refused(rejection: Rejection, original: bytes | None) -> None:
        if kept + len(left_out) >= REJECTIONS_KEPT:
            return
        left_out.append(_rejection_row(job, rejection, original))
        if len(left_out) >= _REJECTIONS_AT_ONCE:
            rejections_keep()

    def batch_note(so_far: ImportSummary) -> None:
        if left_out:
            rejections_keep()
        if so_far.lines_done > job.lines_done:
            job.lines_done = so_far.lines_done
            note(lines_done=so_far.lines_done, summary=_summary_write(so_far), attempts=0)
        else:
            note()

    def advanced(done: int) -> None:
        nonlocal bytes_done
        bytes_done = done
        if bytes_done - bytes_reported >= _REPORT_BYTES:
            note()  # Bytes only: within a batch, lines that are settled need not be the first ones.

    with default_storage.open(job.file_path, "rb") as file:
        lines_import(
            tenant_id=job.tenant_id,
            lines=job_lines(job, file, advanced=advanced),
            mode=cast(Mode, job.mode),
            now=now,
            dry_run=job.is_dry_run,
            progress=batch_note,
            refused=refused,
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
    """Note the end of a job, unless it was cancelled meanwhile. The file goes, but for that of a dry run."""
    changes: dict[str, Any] = {"status": status, "finished_at": now, "detail": detail}
    if summary is not None:
        changes |= {"lines_done": summary.lines_done, "summary": _summary_write(summary)}
    if position:
        changes["bytes_done"] = F("bytes_total")
        changes["summary"]["position"] = position
    jobs = ImportJob.objects.using("default").filter(tenant_id=job.tenant_id, job_id=job.job_id)
    if not unfinished(jobs).update(**changes) or status != Status.CHECKED:
        file_remove(job)


def _rejection_row(job: ImportJob, rejection: Rejection, original: bytes | None) -> ImportRejection:
    raw = None if original is None else original.decode(errors="replace")
    return ImportRejection(
        tenant_id=job.tenant_id,
        job_id=job.job_id,
        line=rejection.line,
        code=rejection.code,
        # PostgreSQL keeps no NUL.
        detail=rejection.detail.replace("\x00", "�"),
        errors=[error.as_dict() for error in rejection.errors],
        raw=None if raw is None or "\x00" in raw else raw,
    )


def _summary_write(summary: ImportSummary) -> dict[str, Any]:
    """The summary as the job's row and the API have it: the members of the import's answer."""
    listed = [rejection.as_dict() for rejection in summary.rejected[:REJECTIONS_LISTED]]
    answer = {**summary.as_dict(), "received": summary.lines_done, "rejected": listed}
    if summary.rejected_count > len(listed):
        answer["rejected_not_listed"] = summary.rejected_count - len(listed)
    return answer


def _summary_read(stored: dict[str, Any]) -> ImportSummary:
    """The summary to go on with; an empty one where the job begins."""
    rejected = [_rejection_read(told) for told in stored.get("rejected", ())]
    warnings = stored.get("warnings", {})
    rules, quarantined = warnings.get("rules", {}), warnings.get("quarantined", {})
    return ImportSummary(
        received=stored.get("received", 0),
        created=stored.get("created", 0),
        updated=stored.get("updated", 0),
        unchanged=stored.get("unchanged", 0),
        rejected_count=len(rejected) + stored.get("rejected_not_listed", 0),
        rejected=rejected,
        warned_count=rules.get("count", 0),
        warned=[_rejection_read(told) for told in rules.get("lines", ())],
        quarantined_count=quarantined.get("count", 0),
        quarantined=quarantined.get("names", []),
    )


def _rejection_read(told: dict[str, Any]) -> Rejection:
    errors = tuple(FieldError(**error) for error in told.get("errors", ()))
    return Rejection(told["line"], told["code"], told["detail"], errors)
