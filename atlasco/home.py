"""Home, on the public host and on a tenant's, and the two parts of it that load by themselves: services and counts."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from atlasco.lib import clock
from atlasco.platform_load import platform_problems, platform_queues
from atlasco.services_health import service_names, services_health
from entities.overview import Overview, overview_read
from entities.selectors import Usage, platform_usage, tenant_usage
from freshness.state import Answer, FreshnessState, freshness_scope, freshness_state
from tenants.admin.pages import Page, TenantScope, request_host_tenant, request_role
from tenants.binding import tenant_bind
from tenants.members.models import Role
from tenants.models import Tenant
from tenants.roles import role_covers
from tenants.selectors import (
    members_count,
    tenant_domain,
    tenants_by_status,
    tenants_named,
    tenants_newest,
    tokens_usable_count,
)

NEWEST_TENANTS: Final = 8
# As many as the longest list that asks for them; each costs one query.
USAGE_TENANTS_MAX: Final = 50


class Home(Page):
    """Where one lands: the state of things, and the way to each of them."""

    nav = "home"
    title = "Home"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        tenant = request_host_tenant(request)
        return self._platform() if tenant is None else self._tenant(tenant)

    def _platform(self) -> HttpResponseBase:
        return self.render(
            "atlasco/home_platform.html",
            by_status=tenants_by_status(),
            usage=platform_usage(using=DEFAULT_DB_ALIAS),
            newest=tenants_newest(limit=NEWEST_TENANTS),
            services=service_names(),
        )

    def _tenant(self, tenant: Tenant) -> HttpResponseBase:
        now = clock.now()
        is_admin = role_covers(request_role(self.request), Role.ADMIN)
        overview, answer = _overview(tenant)
        return self.render(
            "atlasco/home_tenant.html",
            title=tenant.name,
            tenant=tenant,
            scope=TenantScope(tenant, on_platform=False),
            usage=overview.usage,
            newest=overview.newest,
            answer=answer,
            members=members_count(tenant=tenant) if is_admin else None,
            tokens_usable=tokens_usable_count(tenant=tenant, now=now) if is_admin else 0,
            host=tenant_domain(tenant=tenant),
            is_admin=is_admin,
        )


def _overview(tenant: Tenant) -> tuple[Overview, Answer | None]:
    """The tenant's overview, and how fresh it is. What this browser wrote before is in it."""
    page = freshness_state()
    own = FreshnessState(asker=page.asker, orm_class=page.orm_class, seen=page.seen, wrote=page.wrote)
    with tenant_bind(tenant), freshness_scope(own):
        return overview_read(tenant_id=tenant.pk), own.answer


def _usage(tenant: Tenant) -> Usage:
    with tenant_bind(tenant):
        return tenant_usage(tenant_id=tenant.pk, using=DEFAULT_DB_ALIAS)


class UsageFragment(Page):
    """How much each of some tenants has, for the cells that ask for it after their page was painted."""

    host = "platform"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        tenants = tenants_named(slugs=request.GET.getlist("tenant")[:USAGE_TENANTS_MAX])
        usages = [(tenant, _usage(tenant)) for tenant in tenants]
        return self.fragment("atlasco/parts/usage.html", usages=usages, with_next="next" in request.GET)


class LoadFragment(Page):
    """What is written, what waits, and what went wrong lately."""

    host = "platform"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return self.fragment(
            "atlasco/parts/load.html", queues=platform_queues(), problems=platform_problems(now=clock.now())
        )


class ServicesFragment(Page):
    """Whether each service answers, now."""

    host = "platform"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        services = services_health()
        down = [service for service in services if not service.ok]
        return self.fragment(
            "atlasco/parts/services.html",
            services=services,
            down=down,
            checked_at=clock.now(),
            is_embedded=(settings.RUN_DIR / "control.sock").exists(),
        )
