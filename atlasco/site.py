"""The admin's site: which pages there are, on which paths, and who may come in.

One site serves every host. A page says on which it exists (`tenants.admin.pages.Page.host`); users and sessions live in
the schema of the host, so a session of one host is worth nothing on another.
"""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.urls import path, re_path
from django.urls.resolvers import URLPattern, URLResolver
from django.views.generic import RedirectView
from unfold.sites import UnfoldAdminSite

from analytics.admin import urls as analytics_urls
from atlasco.home import Home, LoadFragment, ServicesFragment, UsageFragment
from atlasco.lag_monitor import LagMonitor, LagMonitorLive
from atlasco.usage import TenantUsage
from entities.admin import urls as entity_urls
from freshness.admin import tenant_routes as freshness_routes
from tenants.admin import urls as tenant_admin_urls
from tenants.admin.pages import request_host_tenant, request_user
from tenants.admin.routes import Route, page_view, platform_urls, tenant_urls


class AtlascoSite(UnfoldAdminSite):  # type: ignore[misc]  # unfold carries no types
    """Unfold's shell around pages of our own; no model is registered, so there is no list of apps."""

    site_title = site_header = "Atlasco"
    enable_nav_sidebar = True

    def has_permission(self, request: HttpRequest) -> bool:
        """Members on their tenant's host; on the public host admins of the platform only."""
        user = request.user
        if not (user.is_active and getattr(user, "is_staff", False)):
            return False
        return request_host_tenant(request) is not None or request_user(request).is_superuser

    def get_urls(self) -> list[URLPattern | URLResolver]:
        """All paths below /admin/. Unfold's and Django's own pages about models are left out on purpose.

        Unfold's search among them: it remembers results by user id and text alone, and user ids repeat from one
        tenant's schema to the next.
        """
        routes = (
            Route("", Home, "index"),
            Route("services/", ServicesFragment, "services"),
            Route("usage/counts/", UsageFragment, "usage_counts"),
            Route("load/", LoadFragment, "load"),
            Route("freshness/", LagMonitor, "freshness"),
            Route("freshness/live/", LagMonitorLive, "freshness_live"),
            *tenant_admin_urls.platform_routes,
            *entity_urls.platform_routes,
        )
        return [
            # The views of both are `tenants.admin.accounts`; these are the names by which Django's admin knows them.
            path("login/", RedirectView.as_view(pattern_name="account_login"), name="login"),
            path("logout/", RedirectView.as_view(pattern_name="account_logout"), name="logout"),
            *platform_urls(self, routes),
            *tenant_urls(
                self,
                (
                    Route("usage/", TenantUsage, "usage"),
                    *tenant_admin_urls.tenant_routes,
                    *freshness_routes,
                    *entity_urls.tenant_routes,
                    *analytics_urls.tenant_routes,
                ),
            ),
            re_path(r"^.*$", _no_such_page),
        ]

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        response: HttpResponseBase = page_view(self, Home)(request)
        return response


def _no_such_page(request: HttpRequest) -> HttpResponseBase:
    """The same for everybody, so that nobody learns by guessing paths."""
    raise Http404


site = AtlascoSite(name="admin")
