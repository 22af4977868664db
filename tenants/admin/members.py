"""A tenant's members: the list, and a new one whose password is shown once."""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from atlasco.lib import clock
from atlasco.lib.errors import Problem
from tenants.admin.forms import MemberChangeForm, MemberForm, password_generate
from tenants.admin.pages import TenantPage, problem_show
from tenants.members.models import Role, User
from tenants.selectors import member_get, members_read, tenant_domain
from tenants.services import LastAdmin, MemberExists, member_change, member_create

MEMBERS_MAX = 500


class MemberList(TenantPage):
    """Everybody who can log in on the tenant's host."""

    role_required = Role.ADMIN
    nav = "members"
    title = "Members"
    template_name = "atlasco/members/list.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return self.render(members=members_read(tenant=self.scope.tenant, limit=MEMBERS_MAX))


class MemberCreate(TenantPage):
    """A new member. The password is made up here, and is in the answer to the POST and nowhere else."""

    role_required = Role.ADMIN
    nav = "members"
    title = "New member"
    template_name = "atlasco/members/new.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return self._form(MemberForm())

    def post(self, request: HttpRequest) -> HttpResponseBase:
        form = MemberForm(request.POST)
        if not form.is_valid():
            return self._form(form)
        tenant, password = self.scope.tenant, password_generate()
        try:
            user = member_create(tenant=tenant, password=password, now=clock.now(), **form.cleaned_data)
        except Problem as problem:
            problem_show(form, problem, {MemberExists: "username"})
            return self._form(form)
        return self.render(
            "atlasco/members/password.html",
            title=f"{user.username} is a member now",
            crumbs=(("Members", self.scope.url("members")),),
            username=user.username,
            password=password,
            host=tenant_domain(tenant=tenant),
            continue_url=self.scope.url("members"),
        )

    def _form(self, form: MemberForm) -> HttpResponseBase:
        return self.render(form=form, crumbs=(("Members", self.scope.url("members")),))


class MemberChange(TenantPage):
    """One member: role, e-mail, and whether he may log in."""

    role_required = Role.ADMIN
    nav = "members"
    template_name = "atlasco/members/change.html"

    def get(self, request: HttpRequest, member_id: int) -> HttpResponseBase:
        member = member_get(tenant=self.scope.tenant, member_id=member_id)
        return self._form(
            member, MemberChangeForm({"email": member.email, "role": member.role, "active": member.is_active})
        )

    def post(self, request: HttpRequest, member_id: int) -> HttpResponseBase:
        member = member_get(tenant=self.scope.tenant, member_id=member_id)
        form = MemberChangeForm(request.POST)
        if not form.is_valid():
            return self._form(member, form)
        try:
            member_change(tenant=self.scope.tenant, member_id=member_id, **form.cleaned_data)
        except Problem as problem:
            problem_show(form, problem, {LastAdmin: "role"})
            return self._form(member, form)
        return self.leave(self.scope.url("members"), f"{member.username} is changed.")

    def _form(self, member: User, form: MemberChangeForm) -> HttpResponseBase:
        return self.render(
            title=member.username, member=member, form=form, crumbs=(("Members", self.scope.url("members")),)
        )
