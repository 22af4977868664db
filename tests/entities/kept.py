"""Tenants that serve a whole session: emptied between tests, and made anew where a test broke one."""

from __future__ import annotations

import secrets

from django.db import connections

from atlasco.lib import clock
from entities.search.statistics import statistics_forget
from entities.stores import _TABLES
from tenants.binding import public_bind, tenant_bind
from tenants.models import Tenant
from tenants.services import tenant_create, tenant_delete


class KeptTenants:
    """By name. A tenant that a test deleted or suspended is replaced by a new one."""

    def __init__(self) -> None:
        self._tenants: dict[str, Tenant] = {}

    def emptied(self, name: str) -> Tenant:
        """The tenant of this name, active and without any row in the data plane."""
        tenant = self._tenants.get(name)
        with public_bind():
            usable = tenant is not None and Tenant.objects.filter(pk=tenant.pk, status=Tenant.Status.ACTIVE).exists()
        if tenant is None or not usable:
            tenant = tenant_create(slug=f"{name}-{secrets.token_hex(4)}", name=name, now=clock.now())
            self._tenants[name] = tenant
        else:
            tenant_empty(tenant)
        return tenant

    def delete(self) -> None:
        with public_bind():
            left = list(Tenant.objects.filter(pk__in=[tenant.pk for tenant in self._tenants.values()]))
        for tenant in left:
            tenant_delete(tenant=tenant, confirm=tenant.slug, now=clock.now())


def tenant_empty(tenant: Tenant) -> None:
    """Remove every row that the data plane holds of this tenant."""
    with tenant_bind(tenant), connections["default"].cursor() as cursor:
        for table in _TABLES:
            cursor.execute(f"DELETE FROM {table} WHERE tenant_id = %s", [tenant.pk])
    # What this process remembers of attributes, it remembers of those that are gone.
    statistics_forget()
