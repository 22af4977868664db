"""Where a tenant's data lies besides its schema. Each owner registers its stores here, since `tenants` can't know them.

The functions are called with the tenant bound. `erase` removes everything of the tenant and returns how many records
that were; it may be called again after an interruption and then returns what was left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS, connections, transaction

from tenants.models import Tenant

_SLICE: Final = 20_000


@dataclass(frozen=True, slots=True)
class TenantStore:
    """One kind of record in one store, by a name that reads well in a report ("entities", "clickhouse events").

    count: how many records the tenant has; export: its records as JSON-ready mappings, None where they only repeat
    what another store exports; order: they are erased from low to high.
    """

    name: str
    count: Callable[[Tenant], int]
    erase: Callable[[Tenant], int]
    export: Callable[[Tenant], Iterator[Mapping[str, Any]]] | None = None
    order: int = 100


_stores: dict[str, TenantStore] = {}


def store_register(store: TenantStore) -> None:
    """Make a store known. Registering a name again replaces it, so that `ready()` may run twice."""
    _stores[store.name] = store


def store_unregister(name: str) -> None:
    """Forget a store. For tests."""
    _stores.pop(name, None)


def stores_registered() -> tuple[TenantStore, ...]:
    """Every store, in the order in which they are erased."""
    return tuple(sorted(_stores.values(), key=lambda store: (store.order, store.name)))


# --- Stores that are a table with a column `tenant_id` ----------------------------------------------------------------
def rows_counter(table: str) -> Callable[[Tenant], int]:
    """What counts a tenant's rows of a table."""

    def count(tenant: Tenant) -> int:
        with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {table} WHERE tenant_id = %s", (tenant.pk,))
            return int(cursor.fetchone()[0])

    return count


def rows_eraser(table: str) -> Callable[[Tenant], int]:
    """What erases a tenant's rows of a table, a slice in a transaction: no lock and no log is held for long."""

    def erase(tenant: Tenant) -> int:
        removed = 0
        while True:
            with transaction.atomic(using=DEFAULT_DB_ALIAS), connections[DEFAULT_DB_ALIAS].cursor() as cursor:
                cursor.execute(
                    f"DELETE FROM {table} t"
                    f" USING (SELECT tableoid, ctid FROM {table} WHERE tenant_id = %s LIMIT %s) gone"
                    " WHERE t.tenant_id = %s AND t.tableoid = gone.tableoid AND t.ctid = gone.ctid",
                    (tenant.pk, _SLICE, tenant.pk),
                )
                slice_removed = int(cursor.rowcount)
            removed += slice_removed
            if slice_removed < _SLICE:
                return removed

    return erase
