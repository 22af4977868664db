"""What the data plane holds of a tenant, for `tenants` to count, export and erase."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import orjson
from django.db import connections, transaction

from atlasco.lib.clock import iso, now
from entities.imports import jobs
from tenants.models import Tenant
from tenants.stores import TenantStore, store_register

_TABLES: Final = (
    "entities",
    "entity_keys",
    "entity_attributes",
    "attribute_metadata",
    "attribute_changes",
    "import_receipts",
    "import_jobs",
)
# A slice per transaction, so that erasing a large tenant holds no lock and no log for long.
_SLICE: Final = 20_000


def stores_register() -> None:
    """Make the tables known, derived ones first."""
    for order, table in enumerate(reversed(_TABLES)):
        store_register(
            TenantStore(
                name=table,
                count=_counter(table),
                erase=_eraser(table),
                export=_entities_export if table == "entities" else None,
                order=200 + order,
            )
        )
    store_register(TenantStore(name="import_files", count=_import_files_count, erase=_import_files_erase, order=190))


def _import_files_count(tenant: Tenant) -> int:
    return jobs.import_files_count(tenant_id=tenant.pk)


def _import_files_erase(tenant: Tenant) -> int:
    return jobs.import_files_erase(tenant_id=tenant.pk, now=now())


def _counter(table: str) -> Callable[[Tenant], int]:
    def count(tenant: Tenant) -> int:
        with connections["default"].cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {table} WHERE tenant_id = %s", (tenant.pk,))
            return int(cursor.fetchone()[0])

    return count


def _eraser(table: str) -> Callable[[Tenant], int]:
    def erase(tenant: Tenant) -> int:
        removed: int = 0
        if table in {"entities", "entity_attributes"} and tenant.placement == Tenant.Placement.DEDICATED:
            # Counted, then dropped with its partitions by whichever of the two tables comes last.
            removed = _counter(table)(tenant)
            if table == "entities":
                with transaction.atomic(using="default"), connections["default"].cursor() as cursor:
                    cursor.execute("SELECT tenant_partitions_drop(%s)", (tenant.pk,))
            return removed
        while True:
            with transaction.atomic(using="default"), connections["default"].cursor() as cursor:
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


def _entities_export(tenant: Tenant) -> Iterator[Mapping[str, Any]]:
    """Each entity as an import line, in order of id. Read in pages, so that no cursor is held between them."""
    after = -(2**63)
    while True:
        with connections["default"].cursor() as cursor:
            cursor.execute(
                "SELECT entity_id, entity_type, external_id, created_at, updated_at, attributes::text FROM entities"
                " WHERE tenant_id = %s AND entity_id > %s ORDER BY entity_id LIMIT 1000",
                (tenant.pk, after),
            )
            rows = cursor.fetchall()
        for entity_id, entity_type, external_id, created_at, updated_at, attributes in rows:
            yield {
                "entity_type": entity_type,
                "external_id": external_id,
                "created_at": iso(created_at),
                "at": iso(updated_at),
                "attributes": orjson.Fragment(attributes),
            }
            after = entity_id
        if len(rows) < 1000:
            return
