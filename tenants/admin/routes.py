"""Where pages are: each app lists its routes, `atlasco.site` puts them on paths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.admin import AdminSite
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path

from tenants.admin.pages import Page, request_host_tenant

TENANT_PREFIX = "tenants/<slug:slug>/"


@dataclass(frozen=True, slots=True)
class Route:
    """One page at one path. platform_only: of the tenants' pages, one that their own hosts do not have."""

    path: str
    page: type[Page]
    name: str
    platform_only: bool = False


def page_view(site: AdminSite, page: type[Page]) -> Any:
    """The view of a page: 404 where its host has no such page, then log-in, then the page."""
    view = site.admin_view(page.as_view(site=site))

    def on_its_host(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        # First of all: a redirect to the log-in would tell that there is something to log in for.
        if not page.exists_on(request_host_tenant(request)):
            raise Http404
        return view(request, *args, **kwargs)

    return on_its_host


def platform_urls(site: AdminSite, routes: Sequence[Route]) -> Iterator[URLPattern]:
    """Paths of pages that are about no tenant in particular, as `admin:NAME`."""
    for route in routes:
        yield path(route.path, page_view(site, route.page), name=route.name)


def tenant_urls(site: AdminSite, routes: Sequence[Route]) -> Iterator[URLPattern]:
    """Paths of the tenants' pages: `admin:NAME` for their own hosts, `admin:tenant_NAME` for the public one."""
    for route in routes:
        view = page_view(site, route.page)
        yield path(f"{TENANT_PREFIX}{route.path}", view, name=f"tenant_{route.name}")
        if not route.platform_only:
            yield path(route.path, view, name=route.name)
