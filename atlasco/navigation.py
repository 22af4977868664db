"""The one place for navigation: what stands in the sidebar of which host, and whose name stands above it.

`settings.UNFOLD` names these functions; unfold calls them for each page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from django.db import DatabaseError
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse

from analytics.alerts.services import firings_unseen_count
from tenants.admin.pages import Host, request_host_tenant, request_role
from tenants.members.models import Role
from tenants.roles import role_covers


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the sidebar. key: what a Page names in `nav`; url: a URL name; icon: a Material Symbol.

    role: whoever has less does not see it.
    """

    key: str
    title: str
    icon: str
    url: str
    host: Host = "both"
    role: Role = Role.VIEWER
    badge: Callable[[HttpRequest], str] | None = None


def alerts_badge(request: HttpRequest) -> str:
    """How many alerts wait on this tenant's host; empty for none, and on the public host."""
    tenant = request_host_tenant(request)
    if tenant is None:
        return ""
    try:
        count = firings_unseen_count(tenant_id=tenant.pk)
    except DatabaseError:  # A page must not fail for its sidebar's sake: it says itself what is wrong.
        return ""
    return "" if count == 0 else "99+" if count > 99 else str(count)


# (title of the group, its entries). A group without a visible entry is left out.
GROUPS: Final[tuple[tuple[str, tuple[Entry, ...]], ...]] = (
    (
        "",
        (
            Entry("home", "Home", "space_dashboard", "admin:index"),
            Entry("tenants", "Tenants", "apartment", "admin:tenants", host="platform"),
        ),
    ),
    (
        "Data",
        (
            Entry("entities", "Entities", "category", "admin:entities"),
            Entry("attributes", "Attributes", "sell", "admin:attributes"),
            Entry("imports", "Imports", "upload_file", "admin:imports"),
            Entry("analytics", "Analytics", "monitoring", "admin:analytics"),
            Entry("alerts", "Alerts", "notifications", "admin:alerts", badge=alerts_badge),
        ),
    ),
    (
        "Operations",
        (
            Entry("freshness", "Freshness", "speed", "admin:freshness", host="platform"),
            Entry("partitions", "Partitions", "account_tree", "admin:partitions", host="platform"),
        ),
    ),
    (
        "Administration",
        (
            Entry("members", "Members", "group", "admin:members", host="tenant", role=Role.ADMIN),
            Entry("tokens", "Tokens", "key", "admin:tokens", host="tenant", role=Role.ADMIN),
            Entry("usage", "Usage", "data_usage", "admin:usage", host="tenant"),
            Entry(
                "freshness_defaults",
                "Freshness",
                "speed",
                "admin:freshness_defaults",
                host="tenant",
                role=Role.ADMIN,
            ),
            Entry("settings", "Settings", "settings", "admin:settings", host="tenant", role=Role.ADMIN),
            Entry("audit", "Audit log", "history", "admin:audit", role=Role.ADMIN),
        ),
    ),
    ("Help", (Entry("docs", "API reference", "menu_book", "docs"),)),
)


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """The sidebar of this request, as unfold wants it."""
    here: Host = "platform" if request_host_tenant(request) is None else "tenant"
    role = request_role(request) if request.user.is_authenticated else None
    current = getattr(request, "nav", "")
    groups = []
    for title, entries in GROUPS:
        items = [
            {
                "title": entry.title,
                "icon": entry.icon,
                "link": reverse(entry.url),
                "active": entry.key == current,
                "badge": entry.badge(request) if entry.badge is not None and role is not None else "",
            }
            for entry in entries
            if entry.host in {"both", here} and role_covers(role, entry.role)
        ]
        if items:
            groups.append({"title": title, "separator": False, "collapsible": False, "items": items})
    return groups


def site_subheader(request: HttpRequest) -> str:
    """Whose pages these are."""
    tenant = request_host_tenant(request)
    return "Platform" if tenant is None else str(tenant.name)


def site_icon(request: HttpRequest) -> str:
    return static("atlasco/mark.svg")


def stylesheet(request: HttpRequest) -> str:
    return static("atlasco/atlasco.css")
