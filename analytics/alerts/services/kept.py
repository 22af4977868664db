"""What is kept of a tenant."""

from __future__ import annotations

from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections

from tenants.models import Tenant
from tenants.stores import TenantStore, store_register


def stores_register() -> None:
    """Make the tables known."""
    for order, table in enumerate(("alert_firings", "alert_states", "alert_rules")):
        store_register(TenantStore(name=table, count=_counter(table), erase=_eraser(table), order=140 + order))


def _counter(table: str) -> Any:
    def count(tenant: Tenant) -> int:
        with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {table} WHERE tenant_id = %s", (tenant.pk,))
            return int(cursor.fetchone()[0])

    return count


def _eraser(table: str) -> Any:
    def erase(tenant: Tenant) -> int:
        with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
            cursor.execute(f"DELETE FROM {table} WHERE tenant_id = %s", (tenant.pk,))
            return int(cursor.rowcount)

    return erase
