"""Tenants, as a platform admin manages them: the list, a new one, one of them, suspend and resume."""

from __future__ import annotations

from typing import ClassVar, Final
from urllib.parse import urlencode

from django.db import DEFAULT_DB_ALIAS, transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse

from atlasco.lib import clock
from atlasco.lib.errors import Problem
from tenants.admin.forms import TenantFilterForm, TenantForm, password_generate
from tenants.admin.pages import Host, Page, TenantPage, problem_show
from tenants.members.models import Role
from tenants.models import Tenant
from tenants.selectors import members_count, tenant_domain, tenants_page, tokens_usable
from tenants.services import (
    HostTaken,
    MemberExists,
    TenantExists,
    member_create,
    tenant_create,
    tenant_host,
    tenant_resume,
    tenant_suspend,
)

PAGE_SIZE: Final = 25


class TenantList(Page):
    """Every tenant, a page at a time."""

    host = "platform"
    nav = "tenants"
    title = "Tenants"
    template_name = "atlasco/tenants/list.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        form = TenantFilterForm(request.GET)
        form.is_valid()  # A value that is not a choice narrows nothing.
        chosen = {name: value for name, value in form.cleaned_data.items() if value}
        page = tenants_page(
            search=chosen.get("q", ""),
            status=chosen.get("status", ""),
            placement=chosen.get("placement", ""),
            sort=chosen.get("sort", ""),
            number=page_number(request),
            size=PAGE_SIZE,
        )
        return self.render(form=form, chosen=chosen, page=page, query=urlencode(chosen))


class TenantCreate(Page):
    """A new tenant, usable at once; with a first admin whose password is shown once."""

    host = "platform"
    nav = "tenants"
    title = "New tenant"
    template_name = "atlasco/tenants/new.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return self._form(TenantForm())

    def post(self, request: HttpRequest) -> HttpResponseBase:
        form = TenantForm(request.POST)
        if not form.is_valid():
            return self._form(form)
        data, now, password = form.cleaned_data, clock.now(), password_generate()
        try:
            # One transaction: a tenant whose first admin is refused shall not be left behind.
            with transaction.atomic(using=DEFAULT_DB_ALIAS):
                made = {key: data[key] for key in ("slug", "name", "domain", "dedicated")}
                tenant = tenant_create(**made, now=now)
                if data["admin_username"]:
                    member_create(
                        tenant=tenant, username=data["admin_username"], password=password, role=Role.ADMIN, now=now
                    )
        except Problem as problem:
            fields: dict[type[Problem], str] = {TenantExists: "slug", HostTaken: "slug", MemberExists: "admin_username"}
            problem_show(form, problem, fields)
            return self._form(form)
        detail = reverse("admin:tenant_detail", kwargs={"slug": tenant.slug})
        if not data["admin_username"]:
            return self.leave(detail, f"{tenant.name} is ready.")
        return self.render(
            "atlasco/members/password.html",
            title=f"{tenant.name} is ready",
            crumbs=(("Tenants", reverse("admin:tenants")), (tenant.slug, detail)),
            username=data["admin_username"],
            password=password,
            host=tenant_host(slug=tenant.slug),
            continue_url=detail,
        )

    def _form(self, form: TenantForm) -> HttpResponseBase:
        return self.render(form=form, crumbs=(("Tenants", reverse("admin:tenants")),))


class TenantDetail(TenantPage):
    """One tenant: where it lives, how large it is, its tokens, and what can be done with it."""

    host = "platform"
    nav = "tenants"
    is_overview = True
    template_name = "atlasco/tenants/detail.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        tenant = self.scope.tenant
        now = clock.now()
        return self.render(
            title=tenant.name,
            domain=tenant_domain(tenant=tenant),
            tokens=tokens_usable(tenant=tenant, limit=PAGE_SIZE, now=now),
            members=members_count(tenant=tenant),
            now=now,
        )


class _StatusChange(TenantPage):
    """Ask, then change a tenant's status."""

    host: ClassVar[Host] = "platform"
    nav = "tenants"
    template_name = "atlasco/confirm.html"
    button: ClassVar[str]
    danger: ClassVar[bool] = False
    effects: ClassVar[tuple[str, ...]]

    def change(self, tenant: Tenant) -> str:
        """Do it, and say what was done."""
        raise NotImplementedError

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return self.render(
            question=f"{self.title} {self.scope.tenant.slug}?",
            effects=self.effects,
            button=self.button,
            danger=self.danger,
            back=self.scope.url("detail"),
        )

    def post(self, request: HttpRequest) -> HttpResponseBase:
        return self.leave(self.scope.url("detail"), self.change(self.scope.tenant))


class TenantSuspend(_StatusChange):
    title = "Suspend"
    button = "Suspend tenant"
    danger = True
    effects = (
        "Its pages and its API answer 403 within two seconds, also to tokens that are in use.",
        "Nothing is deleted: entities, values, members and tokens stay as they are.",
        "You can resume it at any time.",
    )

    def change(self, tenant: Tenant) -> str:
        tenant_suspend(tenant=tenant, now=clock.now())
        return f"{tenant.slug} is suspended. Its data is kept."


class TenantResume(_StatusChange):
    title = "Resume"
    button = "Resume tenant"
    effects = ("Its pages and its API answer again within two seconds, with the same members and tokens as before.",)

    def change(self, tenant: Tenant) -> str:
        tenant_resume(tenant=tenant, now=clock.now())
        return f"{tenant.slug} is active again."


def page_number(request: HttpRequest) -> int:
    """The page asked for, from 1; what is not a number is the first."""
    text = request.GET.get("page", "")
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 7 and int(text) > 0 else 1
