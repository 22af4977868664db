"""Another name for an attribute, or none: renamed, merged, removed by a worker."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase

from atlasco.lib import clock
from atlasco.lib.errors import Problem
from entities import tasks
from entities.admin.pages import text_given
from entities.admin.registry.page import EXAMPLES, AttributePage
from entities.governance import jobs
from entities.search.query import query_parse
from entities.search.run import search_run
from entities.selectors import AttributeUnknown, attribute_get
from entities.values import NAME_MAX_CHARS
from tenants.admin.forms import TextInput
from tenants.admin.pages import problem_show
from tenants.members.models import Role


class RenameForm(forms.Form):
    """Another name, new or known."""

    target = forms.CharField(label="New name", max_length=NAME_MAX_CHARS, strip=False, widget=TextInput(autofocus=True))
    keep_alias = forms.BooleanField(
        label="Keep accepting the old name",
        required=False,
        initial=True,
        help_text="What is still written to it is stored under the new name.",
    )


class AttributeRename(AttributePage):
    """Rename it, or merge it into another one: first what that would mean, then the job."""

    template_name = "atlasco/attributes/rename.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        target = text_given(request.GET, "target")
        return self._show(RenameForm(initial={"target": target, "keep_alias": True}), target)

    def post(self, request: HttpRequest) -> HttpResponseBase:
        form = RenameForm(request.POST)
        if not form.is_valid():
            return self._show(form, "")
        target = form.cleaned_data["target"]
        if request.POST.get("action") == "look" or target != request.POST.get("previewed"):
            return self._show(form, target)
        try:
            with self.scope.bind():
                job = jobs.rename_start(
                    tenant_id=self.scope.tenant.pk,
                    name=self.name,
                    target=target,
                    keep_alias=form.cleaned_data["keep_alias"],
                    created_by=self.who(),
                    now=clock.now(),
                    enqueue=tasks.attribute_job_enqueue,
                )
        except Problem as problem:
            problem_show(form, problem, {type(problem): "target"})
            return self._show(form, target)
        return HttpResponseRedirect(self.scope.url("attribute_job", job_id=job.job_id))

    def _show(self, form: RenameForm, target: str) -> HttpResponseBase:
        tenant_id = self.scope.tenant.pk
        both: list[Any] = []
        other = None
        with self.reading() as source:
            attribute = attribute_get(tenant_id=tenant_id, name=self.name, using=source.using)
            if target and target != self.name:
                try:
                    other = attribute_get(tenant_id=tenant_id, name=target, using=source.using)
                except AttributeUnknown:
                    other = None
                else:
                    where = [[self.name, "exists"], [target, "exists"]]
                    query = query_parse({"where": where, "limit": EXAMPLES, "fields": [self.name, target]})
                    found = search_run(tenant_id=tenant_id, query=query, using=source.using, position=source.position)
                    both = found.entities
        return self.render(
            title=f"Rename {self.name}",
            crumbs=self.crumbs(),
            form=form,
            attribute=attribute,
            other=other,
            target=target,
            both=both,
            back=self.url(),
        )


class AttributeDrop(AttributePage):
    """Remove every value."""

    role_required = Role.ADMIN
    role_to_change = Role.ADMIN
    title = "Remove"
    template_name = "atlasco/confirm.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        with self.reading() as source:
            attribute = attribute_get(tenant_id=self.scope.tenant.pk, name=self.name, using=source.using)
        return self.render(
            question=f"Remove every value of “{self.name}”?",
            effects=(
                f"{sum(attribute.types.values()):,} entities lose it. A worker does that in small steps.",
                "It can be undone for 30 days, except where it has been written again.",
                "A program that keeps writing it brings it back.",
            ),
            button="Remove all values",
            danger=True,
            back=self.url(),
            crumbs=self.crumbs(),
        )

    def post(self, request: HttpRequest) -> HttpResponseBase:
        with self.scope.bind():
            job = jobs.drop_start(
                tenant_id=self.scope.tenant.pk,
                name=self.name,
                created_by=self.who(),
                now=clock.now(),
                enqueue=tasks.attribute_job_enqueue,
            )
        return HttpResponseRedirect(self.scope.url("attribute_job", job_id=job.job_id))
