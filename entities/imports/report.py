"""The lines that an import left out: a page of them, and all of them as a file to mend and import again."""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import orjson
from django.db.models import QuerySet

from entities.imports.prepare import job_mapping
from entities.models import ImportJob, ImportRejection

_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """One line that was left out. columns: where in it, as the file calls its columns."""

    line: int
    columns: list[str]
    code: str
    detail: str


def errors_page(*, job: ImportJob, after: int, limit: int, using: str) -> list[ErrorRow]:
    """Lines that were left out, in order, after that line."""
    rows = _rows(job.tenant_id, job.job_id, using).filter(line__gt=after)[:limit]
    columns_of = _columns(job)
    return [ErrorRow(row.line, columns_of(row), row.code, row.detail) for row in rows]


def errors_csv(*, job: ImportJob, labels: list[str]) -> Iterator[bytes]:
    """All lines that were left out as CSV: why, then the cells as they stood in the file.

    labels: the file's columns; of NDJSON and Parquet the line stands in one cell.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    has_cells = job.format == ImportJob.Format.CSV and bool(labels)
    writer.writerow(["error line", "error column", "error", *(labels if has_cells else ["line"])])
    columns_of = _columns(job)
    for row in _all(job):
        cells = orjson.loads(row.raw) if has_cells and row.raw is not None else [row.raw or ""]
        writer.writerow([row.line, "; ".join(columns_of(row)), row.detail, *cells])
        if buffer.tell() > 1 << 16:
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue().encode()


def errors_ndjson(*, job: ImportJob) -> Iterator[bytes]:
    """All lines that were left out as NDJSON: `{line, code, detail, errors, raw}`."""
    for row in _all(job):
        told = {"line": row.line, "code": row.code, "detail": row.detail, "errors": row.errors, "raw": row.raw}
        yield orjson.dumps(told) + b"\n"


def _columns(job: ImportJob) -> Callable[[ImportRejection], list[str]]:
    """Where in a line its faults are, as the file calls its columns. The mapping is read once for all lines."""
    if job.format == ImportJob.Format.NDJSON:
        return lambda row: [error["path"] for error in row.errors]
    label_of = job_mapping(job).label_finder()
    return lambda row: [label for error in row.errors if (label := label_of(error["path"]))]


def _all(job: ImportJob) -> Iterator[ImportRejection]:
    after = -1
    while True:
        rows = list(_rows(job.tenant_id, job.job_id, "default").filter(line__gt=after)[:_PAGE])
        yield from rows
        if len(rows) < _PAGE:
            return
        after = rows[-1].line


def _rows(tenant_id: int, job_id: uuid.UUID, using: str) -> QuerySet[ImportRejection]:
    return ImportRejection.objects.using(using).filter(tenant_id=tenant_id, job_id=job_id).order_by("line")
