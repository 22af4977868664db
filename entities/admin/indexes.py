"""Indexes of attributes: what is worth one, what is being built, and what there is."""

from __future__ import annotations

from typing import Final

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from atlasco.lib.clock import now
from entities.admin.pages import DataPage, text_given
from entities.indexing.jobs import Action, index_jobs, index_request
from entities.indexing.proposals import index_proposals, indexed_attributes, proposal_reason
from tenants.admin.pages import request_user
from tenants.members.models import Role

_SHOWN: Final = 100
_JOBS_SHOWN: Final = 20


class IndexList(DataPage):
    """Proposals, jobs and indexes of one tenant; an admin builds and drops here."""

    nav = "attributes"
    route = "indexes"
    title = "Indexes"
    template_name = "atlasco/attributes/indexes.html"
    role_to_change = Role.ADMIN

    def get(self, request: HttpRequest) -> HttpResponseBase:
        tenant_id = self.scope.tenant.pk
        with self.scope.bind():
            proposals = index_proposals(tenant_id=tenant_id, now=now())
            jobs = index_jobs(tenant_id=tenant_id, limit=_JOBS_SHOWN)
            indexed = indexed_attributes(tenant_id=tenant_id, now=now(), limit=_SHOWN)
        under_way = {job.name for job in jobs if job.is_open}
        return self.render(
            proposals=[(one, proposal_reason(one)) for one in proposals if one.name not in under_way],
            jobs=jobs,
            is_working=bool(under_way),
            indexed=indexed,
            crumbs=(("Attributes", self.scope.url("attributes")),),
        )

    def post(self, request: HttpRequest) -> HttpResponseBase:
        name = text_given(request.POST, "name")
        action: Action = "drop" if request.POST.get("action") == "drop" else "build"
        with self.scope.bind():
            asked = index_request(
                tenant_id=self.scope.tenant.pk,
                names=[name],
                action=action,
                now=now(),
                requested_by=request_user(request).get_username(),
                reason="Requested by an admin.",
            )
        what = "built" if action == "build" else "dropped"
        if not asked:
            return self.leave(self.scope.url("indexes"), f"Nothing to do: the index of “{name}” is already that way.")
        return self.leave(
            self.scope.url("indexes"), f"The index of “{name}” is being {what}. The worker does it in the background."
        )
