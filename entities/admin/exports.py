"""Exports of a result: asked for, watched, fetched, and what was exported before."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, Final

from django import forms
from django.core.files.storage import default_storage
from django.http import FileResponse, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse

from atlasco.lib import clock
from atlasco.lib.errors import Problem
from entities import tasks
from entities.admin.browser import state_count
from entities.admin.pages import DataPage
from entities.browser.state import BrowserState, state_parse
from entities.browser.words import search_words, state_words
from entities.exports.jobs import (
    FILE_KEPT_FOR,
    ExportNotReady,
    export_job_cancel,
    export_job_create,
    export_job_file,
    export_job_get,
    export_jobs_list,
    is_ready,
)
from entities.jobs import UNFINISHED
from entities.models import ExportJob
from tenants.admin.pages import problem_show, request_user
from tenants.members.models import Role

_CONTENT_TYPES: Final = {
    "csv": "text/csv; charset=utf-8",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}


class ExportForm(forms.Form):
    """What the file is to be."""

    format = forms.ChoiceField(
        choices=[
            ("csv", "CSV: for spreadsheets. A text that would be run as a formula gets an apostrophe before it."),
            ("ndjson", "NDJSON: a line each, as an import takes it."),
            ("parquet", "Parquet: typed columns, for data tools."),
        ],
        initial="csv",
        widget=forms.RadioSelect(),
    )
    attributes = forms.ChoiceField(
        choices=[("shown", "The columns of the table"), ("all", "All attributes")],
        initial="shown",
        widget=forms.RadioSelect(),
    )


class ExportPage(DataPage):
    """What the pages about exports share."""

    nav = "entities"
    chooser = False
    # Whoever may see the data may take it along.
    role_to_change = Role.VIEWER

    @property
    def crumbs(self) -> tuple[tuple[str, str], ...]:
        return (("Entities", self.scope.url("entities")), ("Exports", self.scope.url("exports")))


class ExportList(ExportPage):
    """What was exported, newest first."""

    title = "Exports"
    template_name = "atlasco/entities/exports.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        with self.scope.bind():
            jobs = export_jobs_list(tenant_id=self.scope.tenant.pk)
        return self.render(
            rows=[job_shown(job, clock.now()) for job in jobs], days=FILE_KEPT_FOR.days, crumbs=self.crumbs[:1]
        )


class ExportCreate(ExportPage):
    """Export what the address asks for."""

    title = "Export"
    template_name = "atlasco/entities/export_form.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return self.show(ExportForm(), state_parse(request.GET))

    def post(self, request: HttpRequest) -> HttpResponseBase:
        state, form = state_parse(request.GET), ExportForm(request.POST)
        if not form.is_valid():
            return self.show(form, state, status=400)
        body = state.body()
        columns = body.pop("fields", []) if form.cleaned_data["attributes"] == "shown" else []
        body.pop("fields", None)
        with self.reading() as source:
            total = state_count(tenant_id=self.scope.tenant.pk, state=state, source=source)
        try:
            with self.scope.bind():
                export_job_create(
                    tenant_id=self.scope.tenant.pk,
                    query=body,
                    columns=columns,
                    format=form.cleaned_data["format"],
                    rows_expected=total.number if total is not None else None,
                    created_by=request_user(request).get_username(),
                    now=clock.now(),
                    enqueue=tasks.export_job_enqueue,
                )
        except Problem as problem:
            problem_show(form, problem)
            return self.show(form, state, status=problem.status)
        return HttpResponseRedirect(self.scope.url("exports"))

    def show(self, form: ExportForm, state: BrowserState, *, status: int = 200) -> HttpResponseBase:
        query = state.url_query()
        return self.render(
            status=status,
            form=form,
            words=state_words(state),
            back=f"{self.scope.url('entities')}?{query}",
            crumbs=self.crumbs[:1],
            is_broken=state.query is None,
            button="Export",
        )


class ExportRow(ExportPage):
    """How far one export is: its row of the list, asked for again and again."""

    def get(self, request: HttpRequest, job_id: uuid.UUID) -> HttpResponseBase:
        with self.scope.bind():
            job = export_job_get(tenant_id=self.scope.tenant.pk, job_id=job_id)
        return self.row(job)

    def row(self, job: ExportJob) -> TemplateResponse:
        return self.fragment("atlasco/entities/export_row.html", row=job_shown(job, clock.now()), scope=self.scope)


class ExportCancel(ExportRow):
    """Stop one that has not ended."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, job_id: uuid.UUID) -> HttpResponseBase:
        with self.scope.bind():
            job = export_job_cancel(tenant_id=self.scope.tenant.pk, job_id=job_id, now=clock.now())
        if "HX-Request" in request.headers:
            return self.row(job)
        return self.leave(self.scope.url("exports"), f"The export {job.file_name} is cancelled.")


class ExportFile(ExportPage):
    """The file."""

    def get(self, request: HttpRequest, job_id: uuid.UUID) -> HttpResponseBase:
        with self.scope.bind():
            job = export_job_file(tenant_id=self.scope.tenant.pk, job_id=job_id, now=clock.now())
        try:
            file = default_storage.open(job.file_path, "rb")
        except FileNotFoundError as error:
            raise ExportNotReady from error
        return FileResponse(file, as_attachment=True, filename=job.file_name, content_type=_CONTENT_TYPES[job.format])


def job_shown(job: ExportJob, now: datetime) -> dict[str, Any]:
    """One row of the list."""
    expected = max(job.rows_expected or 0, job.rows_done)
    return {
        "job": job,
        "words": search_words(job.query),
        "is_unfinished": job.status in UNFINISHED,
        "is_ready": is_ready(job, now=now),
        "is_expired": job.status == "done" and not is_ready(job, now=now),
        "expected": expected if job.status == "running" and expected else None,
    }
