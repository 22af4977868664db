"""Importing a file: upload, mapping with a preview, dry run, progress, what was left out; and the history."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponseRedirect, QueryDict, StreamingHttpResponse
from django.http.response import HttpResponseBase

from atlasco.lib import clock
from atlasco.lib.errors import FieldError, Problem
from atlasco.lib.words import TYPE_WORDS
from entities import tasks
from entities.admin.pages import DataPage
from entities.imports import jobs, report
from entities.imports.cells import DATE_EXAMPLES, DATES, KINDS, are_dates
from entities.imports.formats import DELIMITERS, ENCODINGS, Sample
from entities.imports.mapping import EMPTIES, USES, Column, InvalidMapping
from entities.imports.prepare import (
    job_check,
    job_describe,
    job_dialect,
    job_mapping,
    job_preview,
    job_sample,
    mapping_remember,
)
from entities.ingest.lines import BrokenBody
from entities.jobs import UNFINISHED
from entities.models import ImportJob
from entities.search.cursors import InvalidCursor
from entities.values import VALUE_TYPES

PAGE_SIZE: Final = 25
PREVIEW_ROWS: Final = 8
ERRORS_SIZE: Final = 50
_CELLS_SHOWN: Final = 3
_USE_WORDS: Final = {
    "attribute": "Attribute", "external_id": "External id", "entity_type": "Entity type", "created_at": "Created at",
    "at": "Updated at", "skip": "Leave out",
}  # fmt: skip
_KIND_WORDS: Final = {"auto": "as it looks", **TYPE_WORDS}
_DELIMITER_WORDS: Final = {",": "Comma", ";": "Semicolon", "\t": "Tab", "|": "Bar |"}


class ImportList(DataPage):
    """Where a file is dropped, and what became of the files before it."""

    nav = "imports"
    route = "imports"
    title = "Imports"
    template_name = "atlasco/imports/list.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return self._list(request)

    def post(self, request: HttpRequest) -> HttpResponseBase:
        file = request.FILES.get("file")
        if file is None:
            return self._list(request, problem="Choose a file first.", status=400)
        tenant = self.scope.tenant
        try:
            with self.scope.bind():
                job = jobs.import_job_create(
                    tenant_id=tenant.pk,
                    chunks=file.chunks(),
                    file_name=(file.name or "")[: jobs.FILE_NAME_MAX_CHARS],
                    mode="merge",
                    created_by=str(request.user),
                    now=clock.now(),
                    enqueue=None,
                    prepare=job_describe,
                )
        except Problem as problem:
            return self._list(request, problem=problem.detail, status=problem.status)
        return HttpResponseRedirect(self.scope.url("import", job_id=job.job_id))

    def _list(self, request: HttpRequest, *, problem: str = "", status: int = 200) -> HttpResponseBase:
        cursor = request.GET.get("cursor") or None
        with self.reading() as source:
            try:
                page = jobs.import_jobs_page(
                    tenant_id=self.scope.tenant.pk, limit=PAGE_SIZE, cursor=cursor, using=source.using
                )
            except InvalidCursor:  # An old link: the first page is better than an error.
                cursor = None
                page = jobs.import_jobs_page(
                    tenant_id=self.scope.tenant.pk, limit=PAGE_SIZE, cursor=None, using=source.using
                )
            room = jobs.uploads_room(tenant_id=self.scope.tenant.pk)
        return self.render(
            status=status,
            jobs=page.jobs,
            problem=problem,
            room=room,
            is_first=cursor is None,
            next_query=urlencode({"cursor": page.next_cursor}) if page.next_cursor else "",
            first_query="",
        )


class JobPage(DataPage):
    """A page about one import."""

    nav = "imports"
    chooser = False

    def job(self, job_id: uuid.UUID) -> ImportJob:
        """The job, of the bound tenant. Raises ImportUnknown."""
        return jobs.import_job_get(tenant_id=self.scope.tenant.pk, job_id=job_id, using="default")


class ImportDetail(JobPage):
    """One import, whatever it waits for."""

    template_name = "atlasco/imports/detail.html"

    def get(self, request: HttpRequest, job_id: uuid.UUID) -> HttpResponseBase:
        return self._show(request, job_id)

    def post(self, request: HttpRequest, job_id: uuid.UUID) -> HttpResponseBase:
        """What the buttons of a waiting job do: read the file otherwise, check it, import it."""
        action = request.POST.get("action", "read")
        try:
            with self.scope.bind():
                job = job_told(self.job(job_id), request.POST, clear_mapping=action == "read")
                if action in {"check", "import"}:
                    self._start(job, dry_run=action == "check")
        except Problem as problem:
            return self._show(request, job_id, problem=problem)
        return HttpResponseRedirect(self.scope.url("import", job_id=job_id))

    def _start(self, job: ImportJob, *, dry_run: bool) -> None:
        now = clock.now()
        job_check(job)
        mapping_remember(job, now=now)
        jobs.import_job_start(
            tenant_id=job.tenant_id, job_id=job.job_id, dry_run=dry_run, now=now, enqueue=tasks.import_job_enqueue
        )

    def _show(self, request: HttpRequest, job_id: uuid.UUID, problem: Problem | None = None) -> HttpResponseBase:
        after = request.GET.get("after", "")
        context: dict[str, Any] = {}
        with self.reading():
            job = self.job(job_id)
            if job.status in jobs.WAITING:
                context |= mapping_context(job)
            rejected = rejected_count(job)
            if rejected:
                start = int(after) if after.isascii() and after.isdigit() and len(after) < 18 else 0
                rows = report.errors_page(job=job, after=start, limit=ERRORS_SIZE + 1, using="default")
                more = len(rows) > ERRORS_SIZE
                context |= {
                    "errors": rows[:ERRORS_SIZE],
                    "is_first": not start,
                    "first_query": "",
                    "next_query": urlencode({"after": rows[ERRORS_SIZE - 1].line}) if more else "",
                }
        errors: list[FieldError] = [] if problem is None else problem.errors
        return self.render(
            title=job.file_name or "Import",
            crumbs=(("Imports", self.scope.url("imports")),),
            status=200 if problem is None else problem.status,
            job=job,
            rejected=rejected,
            problem=problem,
            faults=[error.detail for error in errors],
            **progress_context(job),
            **context,
        )


class ImportPreview(JobPage):
    """The first rows under the mapping as it stands in the form, which is kept."""

    def post(self, request: HttpRequest, job_id: uuid.UUID) -> HttpResponseBase:
        with self.scope.bind():
            job = job_told(self.job(job_id), request.POST)
            context = mapping_context(job)
        return self.fragment("atlasco/imports/preview.html", job=job, **context)


class ImportProgress(JobPage):
    """How far it is, asked again and again; the page comes anew when there is more to say."""

    def get(self, request: HttpRequest, job_id: uuid.UUID) -> HttpResponseBase:
        with self.scope.bind():
            job = self.job(job_id)
        response = self.fragment("atlasco/imports/progress.html", scope=self.scope, job=job, **progress_context(job))
        if job.status not in UNFINISHED:
            response.headers["HX-Refresh"] = "true"
        return response


class ImportCancel(JobPage):
    """Stop it, or throw a waiting file away."""

    template_name = "atlasco/confirm.html"

    def get(self, request: HttpRequest, job_id: uuid.UUID) -> HttpResponseBase:
        with self.scope.bind():
            job = self.job(job_id)
        waits = job.status in jobs.WAITING
        if not waits and job.status not in UNFINISHED:
            return HttpResponseRedirect(self.scope.url("import", job_id=job_id))  # It has ended meanwhile.
        return self.render(
            title="Throw away" if waits else "Stop",
            question=f"Throw “{job.file_name}” away?" if waits else f"Stop importing “{job.file_name}”?",
            effects=("Nothing of it has been written.", "The file is removed.")
            if waits
            else ("What was written so far stays.", "The batch that is being written is finished first."),
            button="Throw away" if waits else "Stop the import",
            danger=True,
            back=self.scope.url("import", job_id=job_id),
            crumbs=(("Imports", self.scope.url("imports")),),
        )

    def post(self, request: HttpRequest, job_id: uuid.UUID) -> HttpResponseBase:
        with self.scope.bind():
            job = jobs.import_job_cancel(tenant_id=self.scope.tenant.pk, job_id=job_id, now=clock.now())
        return self.leave(self.scope.url("imports"), f"“{job.file_name}” is cancelled.")


class ImportErrors(JobPage):
    """The lines that were left out, as a file."""

    def get(self, request: HttpRequest, job_id: uuid.UUID, suffix: str) -> HttpResponseBase:
        if suffix not in {"csv", "ndjson"}:
            raise Http404
        with self.scope.bind():
            job = self.job(job_id)
            labels = list(job.options.get("labels", []))
        chunks = report.errors_csv(job=job, labels=labels) if suffix == "csv" else report.errors_ndjson(job=job)
        kind = "text/csv; charset=utf-8" if suffix == "csv" else "application/x-ndjson"
        response = StreamingHttpResponse(self._bound(chunks), content_type=kind)
        response.headers["Content-Disposition"] = f'attachment; filename="left-out-{job.job_id}.{suffix}"'
        return response

    def _bound(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Each piece is read for the tenant: on the public host none is bound when the answer is sent."""
        while True:
            with self.scope.bind():
                chunk = next(chunks, None)
            if chunk is None:
                return
            yield chunk


# --- The form ---------------------------------------------------------------------------------------------------------


def job_told(job: ImportJob, form: QueryDict, *, clear_mapping: bool = False) -> ImportJob:
    """Note what the form says of a waiting job. Raises ImportBusy, ImportFinished, InvalidMapping, BrokenBody.

    clear_mapping: the file is read otherwise, so its columns are other ones.
    """
    mode = "replace" if form.get("mode") == "replace" else "merge"
    if job.format == ImportJob.Format.NDJSON:
        return jobs.import_job_change(tenant_id=job.tenant_id, job_id=job.job_id, mode=mode)
    dialect = job_dialect(job).as_dict()
    if job.format == ImportJob.Format.CSV:
        dialect = {
            "encoding": form.get("encoding", dialect["encoding"]),
            "delimiter": form.get("delimiter", dialect["delimiter"]),
            "header": form.get("header", "yes") == "yes",
        }
    is_other = dialect != job_dialect(job).as_dict()
    mapping = None if clear_mapping and is_other else _mapping_told(job, form)
    job_describe(job, file_format=job.format, dialect=dialect, mapping=mapping)  # type: ignore[arg-type]  # Kept as one of them.
    return jobs.import_job_change(tenant_id=job.tenant_id, job_id=job.job_id, mode=mode, options=job.options)


def _mapping_told(job: ImportJob, form: QueryDict) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for at, label in enumerate(form.getlist("label")):
        use = form.get(f"use-{at}", "attribute")
        column: dict[str, Any] = {"use": use}
        if use == "attribute":
            column |= {"name": form.get(f"name-{at}", label), "type": form.get(f"type-{at}", "auto")}
        columns[label] = column
    empty = form.get("empty", "missing")
    return {
        "entity_type": form.get("entity_type", "").strip(),
        "empty": empty if empty in EMPTIES else "missing",
        "decimal": "," if form.get("decimal") == "," else ".",
        "dates": form["dates"] if form.get("dates") in DATES else "iso",
        "columns": columns,
    }


def mapping_context(job: ImportJob) -> dict[str, Any]:
    """What the form of a waiting job shows: its columns with their first cells, and the first rows as stored."""
    sample: Sample | None = None
    broken = ""
    columns: list[dict[str, Any]] = []
    fault = None
    preview = []
    try:
        if job.format != ImportJob.Format.NDJSON:
            sample = job_sample(job)
            mapping = job_mapping(job)
            for at, label in enumerate(sample.labels):
                column: Column = mapping.column(label)
                cells = [str(row[at]) for row in sample.rows if at < len(row) and row[at] not in (None, "")]
                columns.append(
                    {
                        "at": at,
                        "label": label,
                        "column": column,
                        "cells": cells[:_CELLS_SHOWN],
                        "are_dates": are_dates(cells, mapping.dates),
                    }
                )
        preview = job_preview(job, sample, limit=PREVIEW_ROWS)
        job_check(job, sample)
    except InvalidMapping as problem:
        fault = problem.sentences
    except (BrokenBody, FileNotFoundError) as error:
        broken = getattr(error, "detail", "") or "The file is gone."
    names = list(dict.fromkeys(name for row in preview if row.attributes for name in row.attributes))
    return {
        "columns": columns,
        "mapping": None if job.format == ImportJob.Format.NDJSON or broken else job_mapping(job),
        "dialect": job_dialect(job),
        "preview": [(row, [(row.attributes or {}).get(name) for name in names]) for row in preview],
        "preview_names": names,
        "fault": fault,
        "broken": broken,
        "uses": [(use, _USE_WORDS[use]) for use in USES],
        "kinds": [(kind, _KIND_WORDS[kind]) for kind in KINDS],
        "delimiters": [(delimiter, _DELIMITER_WORDS[delimiter]) for delimiter in DELIMITERS],
        "dates": DATE_EXAMPLES.items(),
        "types": VALUE_TYPES,
        "encodings": ENCODINGS,
    }


def progress_context(job: ImportJob) -> dict[str, Any]:
    """percent: of the file's bytes; none before the first batch."""
    done = min(job.bytes_done / job.bytes_total, 1.0) if job.bytes_total else 0.0
    seconds = (clock.now() - job.started_at).total_seconds() if job.started_at else 0.0
    left = seconds / done * (1 - done) if done > 0.02 and seconds > 2 else None
    return {
        "percent": round(done * 100),
        "lines_per_s": round(job.lines_done / seconds) if seconds > 1 else None,
        "time_left": "" if left is None else _duration(left),
        "rejected_so_far": rejected_count(job),
    }


def _duration(seconds: float) -> str:
    """About how long that is, in the one unit that says it best."""
    for unit, size in (("hour", 3600), ("minute", 60)):
        if seconds >= 1.5 * size:
            return f"{round(seconds / size)} {unit}s"
    return f"{max(round(seconds), 1)} second{'' if round(seconds) <= 1 else 's'}"


def rejected_count(job: ImportJob) -> int:
    summary = job.summary or {}
    return len(summary.get("rejected", ())) + int(summary.get("rejected_not_listed", 0))
