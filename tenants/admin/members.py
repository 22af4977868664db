"""A tenant's members: the list, and a new one whose password is shown once."""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from atlasco.lib import clock
from atlasco.lib.errors import Problem
from tenants.accounts.sessions import sessions_end
from tenants.admin.forms import MemberChangeForm, MemberForm, password_generate
from tenants.admin.pages import TenantPage, problem_show
from tenants.members.models import Role, User
from tenants.selectors import member_get, member_has_factor, members_read, tenant_domain
from tenants.services import (
    LastAdmin,
    MemberExists,
    member_change,
    member_create,
    member_factor_reset,
    member_link_make,
)

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


class _MemberAction(TenantPage):
    """Something that is done with one member by a button on its page. Only ever POSTed to."""

    role_required = Role.ADMIN
    nav = "members"
    http_method_names = ["post"]

    def back(self, member: User, message: str) -> HttpResponseBase:
        return self.leave(self.scope.url("member", member_id=member.pk), message)


class MemberLink(_MemberAction):
    """A link with which a member chooses a new password, shown once."""

    def post(self, request: HttpRequest, member_id: int) -> HttpResponseBase:
        user, path = member_link_make(tenant=self.scope.tenant, member_id=member_id)
        return self.render(
            "atlasco/members/link.html",
            title=f"A link for {user.username}",
            crumbs=(("Members", self.scope.url("members")),),
            path=path,
            host=tenant_domain(tenant=self.scope.tenant),
            continue_url=self.scope.url("member", member_id=member_id),
        )


class MemberFactorReset(_MemberAction):
    """Remove the second factor of somebody who lost it."""

    def post(self, request: HttpRequest, member_id: int) -> HttpResponseBase:
        user = member_factor_reset(tenant=self.scope.tenant, member_id=member_id)
        return self.back(user, f"{user.username} has no second factor any more.")


class MemberSessionsEnd(_MemberAction):
    """Log a member out everywhere."""

    def post(self, request: HttpRequest, member_id: int) -> HttpResponseBase:
        member = member_get(tenant=self.scope.tenant, member_id=member_id)
        ended = sessions_end(tenant=self.scope.tenant, member=member)
        return self.back(member, f"{member.username} is logged out: {ended} session{'' if ended == 1 else 's'} ended.")


class MemberChange(TenantPage):
    """One member: role, e-mail, and whether they may log in."""

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
            title=member.username,
            member=member,
            form=form,
            has_factor=member_has_factor(tenant=self.scope.tenant, member=member),
            crumbs=(("Members", self.scope.url("members")),),
        )
