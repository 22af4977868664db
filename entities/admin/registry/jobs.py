"""What workers do about attributes: how far they are, what they found, what can be done next."""

from __future__ import annotations

import uuid
from typing import Any, Final
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase

from atlasco.lib import clock
from entities import tasks
from entities.admin.pages import DataPage
from entities.governance import jobs
from entities.governance.rules import conditions_parse
from entities.jobs import UNFINISHED
from entities.models import JobStatus

PAIRS_SHOWN: Final = 100


class SimilarNames(DataPage):
    """Names that are probably one, as the last look found them."""

    nav = "attributes"
    route = "attributes_similar"
    title = "Near-duplicates"
    template_name = "atlasco/attributes/similar.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        with self.reading() as source:
            found = jobs.jobs_read(
                tenant_id=self.scope.tenant.pk, using=source.using, limit=1, kind=jobs.Kind.SIMILAR.value
            )
        job = found[0] if found else None
        return self.render(
            crumbs=(("Attributes", self.scope.url("attributes")),),
            job=job,
            pairs=job.result.get("pairs", [])[:PAIRS_SHOWN] if job else [],
        )

    def post(self, request: HttpRequest) -> HttpResponseBase:
        with self.scope.bind():
            job = jobs.similar_start(
                tenant_id=self.scope.tenant.pk,
                created_by=str(request.user),
                now=clock.now(),
                enqueue=tasks.attribute_job_enqueue,
            )
        return HttpResponseRedirect(self.scope.url("attribute_job", job_id=job.job_id))


class AttributeJobPage(DataPage):
    """One job: how far it is, what it found or did, and what can be done next."""

    nav = "attributes"
    chooser = False
    template_name = "atlasco/attributes/job.html"

    def get(self, request: HttpRequest, job_id: uuid.UUID) -> HttpResponseBase:
        with self.reading() as source:
            job = jobs.job_get(tenant_id=self.scope.tenant.pk, job_id=job_id, using=source.using)
        context = job_context(job)
        if request.GET.get("part") == "progress":
            response = self.fragment("atlasco/attributes/progress.html", scope=self.scope, job=job, **context)
            if job.status not in UNFINISHED:
                response.headers["HX-Refresh"] = "true"
            return response
        # The page as a whole goes there, not the part that asks how far it is: it would hold that page in itself.
        if job.kind == jobs.Kind.SIMILAR and job.status == JobStatus.DONE:
            return HttpResponseRedirect(self.scope.url("attributes_similar"))
        name = job.attribute_name
        named = ((name, f"{self.scope.url('attribute')}?{urlencode({'name': name})}"),) if name else ()
        return self.render(
            title=job.get_kind_display(),
            crumbs=(("Attributes", self.scope.url("attributes")), *named),
            job=job,
            name_query=urlencode({"name": name}),
            target_query=urlencode({"name": job.target}),
            **context,
        )

    def post(self, request: HttpRequest, job_id: uuid.UUID) -> HttpResponseBase:
        tenant_id, now = self.scope.tenant.pk, clock.now()
        with self.scope.bind():
            if request.POST.get("action") == "undo":
                job = jobs.undo_start(
                    tenant_id=tenant_id,
                    job_id=job_id,
                    created_by=str(request.user),
                    now=now,
                    enqueue=tasks.attribute_job_enqueue,
                )
            else:
                job = jobs.job_cancel(tenant_id=tenant_id, job_id=job_id, now=now)
        return HttpResponseRedirect(self.scope.url("attribute_job", job_id=job.job_id))


def job_context(job: Any) -> dict[str, Any]:
    """percent: of the entities; what a check asked for, in words."""
    done = min(job.entities_done / job.entities_total, 1.0) if job.entities_total else 0.0
    asked: list[str] = []
    if job.kind == jobs.Kind.RULE_CHECK:
        asked = conditions_parse(job.options.get("conditions", {})).in_words()
    return {"percent": round(done * 100), "asked": asked, "may_undo": jobs.may_undo(job)}
