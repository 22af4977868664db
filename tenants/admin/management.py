"""What a platform admin does with a whole tenant: rename, quotas, export, delete, act as."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.conf import settings
from django.http import FileResponse, Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.views import View

from atlasco.lib import clock
from atlasco.lib.errors import Problem
from tenants.accounts.sessions import PassUnusable, acting_end, acting_enter, acting_prepare
from tenants.admin.forms import DeleteForm, QuotasForm, RenameForm
from tenants.admin.pages import Page, TenantPage, problem_show, request_host_tenant, request_user
from tenants.models import TenantJob
from tenants.selectors import tenant_domain
from tenants.services import (
    ConfirmationMismatch,
    HostTaken,
    TenantExists,
    tenant_contents,
    tenant_quotas_set,
    tenant_rename,
)
from tenants.services.jobs import export_path, job_get, job_start


class TenantRename(TenantPage):
    """Another name, another short name, or both."""

    host = "platform"
    nav = "tenants"
    title = "Rename"
    template_name = "atlasco/tenants/rename.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return self.render(form=RenameForm({"name": self.scope.tenant.name, "slug": self.scope.tenant.slug}))

    def post(self, request: HttpRequest) -> HttpResponseBase:
        form = RenameForm(request.POST)
        if not form.is_valid():
            return self.render(form=form)
        tenant, data = self.scope.tenant, form.cleaned_data
        try:
            renamed = tenant_rename(
                tenant=tenant, name=data["name"], slug=data["slug"] if data["slug"] != tenant.slug else None
            )
        except Problem as problem:
            problem_show(form, problem, {TenantExists: "slug", HostTaken: "slug"})
            return self.render(form=form)
        detail = reverse("admin:tenant_detail", kwargs={"slug": renamed.slug})
        return self.leave(detail, f"It is now called {renamed.name} and answers on {tenant_domain(tenant=renamed)}.")


class TenantQuotas(TenantPage):
    """How much the tenant may have and ask for."""

    host = "platform"
    nav = "tenants"
    title = "Quotas"
    template_name = "atlasco/tenants/quotas.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        tenant = self.scope.tenant
        return self.render(form=QuotasForm({name: getattr(tenant, name) for name in QuotasForm.base_fields}))

    def post(self, request: HttpRequest) -> HttpResponseBase:
        form = QuotasForm(request.POST)
        if not form.is_valid():
            return self.render(form=form)
        try:
            tenant_quotas_set(tenant=self.scope.tenant, **form.cleaned_data)
        except Problem as problem:
            problem_show(form, problem)
            return self.render(form=form)
        return self.leave(self.scope.url("detail"), "The quotas are set and take effect within seconds.")


class TenantExport(TenantPage):
    """Ask, then have a worker write everything of the tenant into a file."""

    host = "platform"
    nav = "tenants"
    title = "Export"
    template_name = "atlasco/confirm.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return self.render(
            question=f"Export everything in {self.scope.tenant.slug}?",
            effects=(
                "A worker writes entities, members, tokens' names and saved searches into one NDJSON file, compressed.",
                "Passwords and secrets of tokens are not in it.",
                "You can follow its progress and download it here; the file is removed after 7 days.",
            ),
            button="Start the export",
            back=self.scope.url("detail"),
        )

    def post(self, request: HttpRequest) -> HttpResponseBase:
        job = job_start(tenant=self.scope.tenant, kind=TenantJob.Kind.EXPORT, now=clock.now())
        return HttpResponseRedirect(reverse("admin:job", kwargs={"job_id": job.pk}))


# What people call the records that they know; the others stand behind these.
_RECORDS: Final = {
    "entities": "Entities", "entity_attributes": "Values", "attribute_metadata": "Attributes", "members": "Members",
    "tokens": "Tokens", "saved_searches": "Saved searches", "alert_rules": "Alert rules", "import_jobs": "Imports",
    "export_jobs": "Exports", "bulk_edits": "Bulk edits",
}  # fmt: skip
_NAMES: Final = {"clickhouse_rows": "Rows in ClickHouse", "rollup_rows": "Rows of rollups in ClickHouse"}


def records_shown(counts: Mapping[str, int]) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """How many records of each kind there are, in words: those that people know, and all others. None of zero."""
    known = [(words, counts[name]) for name, words in _RECORDS.items() if counts.get(name)]
    others = [
        (_NAMES.get(name, name.replace("_", " ").capitalize()), n)
        for name, n in counts.items()
        if n and name not in _RECORDS
    ]
    return known, others


class TenantDelete(TenantPage):
    """Show what there is, have the short name typed, then have a worker remove everything."""

    host = "platform"
    nav = "tenants"
    title = "Delete"
    template_name = "atlasco/tenants/delete.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return self._form(DeleteForm())

    def post(self, request: HttpRequest) -> HttpResponseBase:
        form = DeleteForm(request.POST)
        if not form.is_valid():
            return self._form(form)
        try:
            job = job_start(tenant=self.scope.tenant, kind=TenantJob.Kind.DELETE, now=clock.now(), **form.cleaned_data)
        except Problem as problem:
            problem_show(form, problem, {ConfirmationMismatch: "confirm"})
            return self._form(form)
        return HttpResponseRedirect(reverse("admin:job", kwargs={"job_id": job.pk}))

    def _form(self, form: DeleteForm) -> HttpResponseBase:
        contents = tenant_contents(tenant=self.scope.tenant)
        known, others = records_shown(contents)
        return self.render(form=form, contents=known, others=others)


class Job(Page):
    """How far an export or a deletion is, and what came of it."""

    host = "platform"
    nav = "tenants"
    template_name = "atlasco/tenants/job.html"

    def get(self, request: HttpRequest, job_id: int) -> HttpResponseBase:
        job = job_get(job_id=job_id)
        known, others = records_shown(job.report)
        context: dict[str, Any] = {
            "job": job,
            "report": known,
            "others": others,
            "share": min(100, round(100 * job.done / job.total)) if job.total else 0,
            "has_file": job.file_path and export_path(job).exists(),
        }
        if request.headers.get("HX-Request"):
            return self.fragment("atlasco/tenants/job_state.html", **context)
        what = "Export" if job.kind == TenantJob.Kind.EXPORT else "Deletion"
        return self.render(title=f"{what} of {job.slug}", crumbs=(("Tenants", reverse("admin:tenants")),), **context)


class JobFile(Page):
    """The file of an export."""

    host = "platform"

    def get(self, request: HttpRequest, job_id: int) -> HttpResponseBase:
        path = export_path(job_get(job_id=job_id))
        if not path.exists():
            raise Http404
        return FileResponse(path.open("rb"), as_attachment=True, filename=path.name, content_type="application/gzip")


class ActAs(TenantPage):
    """Ask, then open the tenant's own pages to a platform admin, for an hour, in both audit logs."""

    host = "platform"
    nav = "tenants"
    title = "Act as this tenant"
    template_name = "atlasco/confirm.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        tenant = self.scope.tenant
        return self.render(
            question=f"Act as {tenant.slug}?",
            effects=(
                "You can see and change what its own admins can; a banner on every page says so.",
                "Your visit and each change you make are recorded in the tenant's audit log under your name.",
                "It ends after an hour, or when you end it in the banner.",
            ),
            button="Act as this tenant",
            back=self.scope.url("detail"),
        )

    def post(self, request: HttpRequest) -> HttpResponseBase:
        tenant = self.scope.tenant
        if not tenant.is_active:
            return self.leave(self.scope.url("detail"), f"{tenant.slug} is not active: its pages answer nobody.")
        ticket = acting_prepare(tenant=tenant, admin=request_user(request).get_username(), now=clock.now())
        # No redirect: the content security policy lets no form end on another host.
        return self.render(
            "atlasco/tenants/act_as.html", title="Ready to enter", host=tenant_domain(tenant=tenant), ticket=ticket
        )


class ActingEnter(View):
    """On the tenant's host: turn the pass into a session. Nobody is logged in here yet."""

    def get(self, request: HttpRequest) -> HttpResponseBase:
        if request_host_tenant(request) is None:
            raise Http404
        try:
            acting_enter(request, ticket=request.GET.get("pass", ""), now=clock.now())
        except PassUnusable as problem:
            return render(request, "403.html", {"exception": problem.detail}, status=403)
        return HttpResponseRedirect(reverse("admin:index"))


class ActingEnd(View):
    """On the tenant's host: end it, and say the way back."""

    def post(self, request: HttpRequest) -> HttpResponseBase:
        tenant = request_host_tenant(request)
        if tenant is None or not getattr(request.user, "is_acting", False):
            raise Http404
        acting_end(request, tenant=tenant)
        return render(request, "atlasco/tenants/act_end.html", {"tenant": tenant, "host": settings.BASE_DOMAIN})
