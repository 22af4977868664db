"""Tenants that serve a whole session: emptied between tests, and made anew where a test broke one."""

from __future__ import annotations

import secrets

from django.db import connections

from atlasco.lib import clock
from entities.search.aliases import aliases_forget
from entities.search.statistics import statistics_forget
from entities.stores import _TABLES
from tenants.binding import public_bind, tenant_bind
from tenants.models import Tenant
from tenants.services import tenant_create, tenant_delete


class KeptTenants:
    """By name. A tenant that a test deleted or suspended is replaced by a new one."""

    def __init__(self) -> None:
        self._tenants: dict[str, Tenant] = {}
        # Whether rows were removed since `settled` was last set: replicas may still show them.
        self.settled = True

    def emptied(self, name: str) -> Tenant:
        """The tenant of this name, active and without any row in the data plane."""
        tenant = self._tenants.get(name)
        with public_bind():
            usable = tenant is not None and Tenant.objects.filter(pk=tenant.pk, status=Tenant.Status.ACTIVE).exists()
        if tenant is None or not usable:
            tenant = tenant_create(slug=f"{name}-{secrets.token_hex(4)}", name=name, now=clock.now())
            self._tenants[name] = tenant
            self.settled = False
        elif tenant_empty(tenant):
            self.settled = False
        return tenant

    def delete(self) -> None:
        with public_bind():
            left = list(Tenant.objects.filter(pk__in=[tenant.pk for tenant in self._tenants.values()]))
        for tenant in left:
            tenant_delete(tenant=tenant, confirm=tenant.slug, now=clock.now())


_DELETES = {f"t{n}": f"DELETE FROM {table} WHERE tenant_id = %(id)s RETURNING 1" for n, table in enumerate(_TABLES)}
_EMPTY_SQL = (
    f"WITH {', '.join(f'{name} AS ({delete})' for name, delete in _DELETES.items())}"
    f" SELECT {' OR '.join(f'EXISTS (SELECT FROM {name})' for name in _DELETES)}"
)


def tenant_empty(tenant: Tenant) -> bool:
    """Remove every row that the data plane holds of this tenant. Returns whether there was any."""
    # In one round trip: hundreds of tests begin with this.
    with tenant_bind(tenant), connections["default"].cursor() as cursor:
        cursor.execute(_EMPTY_SQL, {"id": tenant.pk})
        removed = bool(cursor.fetchone()[0])
    # What this process remembers of attributes, it remembers of those that are gone.
    statistics_forget()
    aliases_forget(tenant_id=tenant.pk)
    return removed
