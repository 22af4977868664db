"""The admin's site: which pages there are, on which paths, and who may come in.

One site serves every host. A page says on which it exists (`tenants.admin.pages.Page.host`); users and sessions live in
the schema of the host, so a session of one host is worth nothing on another.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.views import LogoutView
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.urls import path, re_path, reverse_lazy
from django.urls.resolvers import URLPattern, URLResolver
from unfold.sites import UnfoldAdminSite

from atlasco.home import Home, ServicesFragment, UsageFragment
from entities.admin import urls as entity_urls
from tenants.admin import urls as tenant_admin_urls
from tenants.admin.forms import LoginForm
from tenants.admin.pages import request_host_tenant, request_user
from tenants.admin.routes import Route, page_view, platform_urls, tenant_urls


class AtlascoSite(UnfoldAdminSite):  # type: ignore[misc]  # unfold carries no types
    """Unfold's shell around pages of our own; no model is registered, so there is no list of apps."""

    site_title = site_header = "Atlasco"
    enable_nav_sidebar = True
    login_form = LoginForm

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
            Route("usage/", UsageFragment, "usage"),
            *tenant_admin_urls.platform_routes,
        )
        return [
            path("login/", self.login, name="login"),
            path("logout/", LogoutView.as_view(next_page=reverse_lazy("admin:login")), name="logout"),
            path("password_change/", self.admin_view(self.password_change, cacheable=True), name="password_change"),
            path(
                "password_change/done/",
                self.admin_view(self.password_change_done, cacheable=True),
                name="password_change_done",
            ),
            *platform_urls(self, routes),
            *tenant_urls(self, (*tenant_admin_urls.tenant_routes, *entity_urls.tenant_routes)),
            re_path(r"^.*$", _no_such_page),
        ]

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        response: HttpResponseBase = page_view(self, Home)(request)
        return response


def _no_such_page(request: HttpRequest) -> HttpResponseBase:
    """The same for everybody, so that nobody learns by guessing paths."""
    raise Http404


site = AtlascoSite(name="admin")
