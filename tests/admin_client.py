"""Browsing the admin with Django's test client: each client is one browser on one host."""

from __future__ import annotations

import secrets
from typing import Any

from django.conf import settings
from django.test import Client

from atlasco.lib import clock
from tenants.binding import public_bind, tenant_bind
from tenants.members.models import Role, User
from tenants.models import Tenant
from tenants.services import member_create, platform_admin_ensure, tenant_host

PASSWORD = "correct-horse-9"  # Of accounts that live as long as a test.


class Browser(Client):
    """A client that asks one host, as `admin.get("tenants/")` below /admin/."""

    def __init__(self, host: str, **options: Any) -> None:
        super().__init__(SERVER_NAME=host, **options)
        self.host = host

    def generic(self, method: str, path: Any, *args: Any, **kwargs: Any) -> Any:
        return super().generic(method, path if path.startswith("/") else f"/admin/{path}", *args, **kwargs)

    def text(self, path: str, **kwargs: Any) -> str:
        """The page's HTML, which must be there."""
        response = self.get(path, **kwargs)
        assert response.status_code == 200, (path, response.status_code)
        return str(response.content.decode())


def platform_browser() -> Browser:
    """Logged in as an admin of the platform, on the public host. The account stays for the session."""
    with public_bind():
        if not User.objects.filter(username="admin-of-tests").exists():
            platform_admin_ensure(username="admin-of-tests", password=PASSWORD, now=clock.now())
        browser = Browser(settings.BASE_DOMAIN)
        browser.force_login(User.objects.get(username="admin-of-tests"))
    return browser


def tenant_browser(tenant: Tenant, *, role: str = Role.ADMIN) -> Browser:
    """Logged in as a new member of this tenant, on its host."""
    name = f"member-{secrets.token_hex(4)}"
    user = member_create(tenant=tenant, username=name, password=PASSWORD, role=role, now=clock.now())
    browser = Browser(tenant_host(slug=tenant.slug))
    with tenant_bind(tenant):
        browser.force_login(user)
    return browser


def host_browser(tenant: Tenant | None) -> Browser:
    """Not logged in; on the tenant's host, or the public one."""
    return Browser(settings.BASE_DOMAIN if tenant is None else tenant_host(slug=tenant.slug))
