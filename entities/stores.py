"""What the data plane holds of a tenant, for `tenants` to count, export and erase."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

import orjson
from django.db import connections, transaction

from atlasco.lib.clock import from_us, iso, now
from entities.exports import jobs as export_jobs
from entities.imports import jobs
from entities.partitions.archive import archive_files, archive_files_erase, archived_rows
from freshness.reads import scope_database
from tenants.models import Tenant
from tenants.stores import TenantStore, rows_counter, rows_eraser, store_register

_TABLES: Final = (
    "entities",
    "entity_keys",
    "entity_attributes",
    "attribute_metadata",
    "attribute_changes",
    "attribute_governance",
    "attribute_aliases",
    "attribute_rules",
    "attribute_jobs",
    "attribute_job_changes",
    "import_receipts",
    "import_jobs",
    "import_rejections",
    "import_mappings",
    "export_jobs",
    "bulk_edits",
    "bulk_edit_changes",
    "tenant_statistics",
    "attribute_usage",
    "search_samples",
    "attribute_index_jobs",
)
_PAGE: Final = 1_000
_BEFORE_ALL: Final = -(2**63)


def stores_register() -> None:
    """Make the tables known, derived ones first."""
    exports = {
        "entities": _entities_export,
        "entity_attributes": _instants_export,
        "attribute_metadata": _attributes_export,
        "attribute_rules": _rules_export,
        "attribute_aliases": _aliases_export,
    }
    for order, table in enumerate(reversed(_TABLES)):
        store_register(
            TenantStore(
                name=table,
                count=rows_counter(table),
                erase=_eraser(table),
                export=exports.get(table),
                order=200 + order,
            )
        )
    store_register(TenantStore(name="import_files", count=_import_files_count, erase=_import_files_erase, order=190))
    store_register(TenantStore(name="archive_files", count=_archive_files_count, erase=_archive_files_erase, order=192))
    store_register(TenantStore(name="export_files", count=_export_files_count, erase=_export_files_erase, order=191))


def _import_files_count(tenant: Tenant) -> int:
    return jobs.import_files_count(tenant_id=tenant.pk)


def _import_files_erase(tenant: Tenant) -> int:
    return jobs.import_files_erase(tenant_id=tenant.pk, now=now())


def _archive_files_count(tenant: Tenant) -> int:
    return len(archive_files(tenant=tenant))


def _archive_files_erase(tenant: Tenant) -> int:
    return archive_files_erase(tenant=tenant)


def _export_files_count(tenant: Tenant) -> int:
    return len(export_jobs.export_files(tenant_id=tenant.pk))


def _export_files_erase(tenant: Tenant) -> int:
    return export_jobs.export_files_erase(tenant_id=tenant.pk, now=now())


def _has_partitions(tenant: Tenant) -> bool:
    """Whether it has a sub-tree of its own now. Its placement says only whether it is to have one."""
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", (f"public.entities_tenant_{tenant.pk}",))
        return bool(cursor.fetchone()[0])


def _eraser(table: str) -> Callable[[Tenant], int]:
    erase_rows = rows_eraser(table)

    def erase(tenant: Tenant) -> int:
        removed = 0
        if table in {"entities", "entity_attributes"} and _has_partitions(tenant):
            # Counted, then dropped with its partitions by whichever of the two tables comes last.
            removed = rows_counter(table)(tenant)
            if table != "entities":
                return removed
            with transaction.atomic(using="default"), connections["default"].cursor() as cursor:
                cursor.execute("SELECT tenant_partitions_drop(%s)", (tenant.pk,))
        # After a drop too: what comes later, or came while an earlier deletion was interrupted, lies in shared leaves.
        return removed + erase_rows(tenant)

    return erase


def _pages(statement: str, tenant: Tenant, *, first: Any) -> Iterator[tuple[Any, ...]]:
    """The rows of a statement that begins after a key and has the key in its first column.

    Read in pages, so that no cursor is held between them. A page begins after a row of tenant and entity, not after an
    entity's id: search/run.py says why.
    """
    after = first
    while True:
        with connections[scope_database()].cursor() as cursor:
            cursor.execute(statement, {"tenant_id": tenant.pk, "after": after, "limit": _PAGE})
            rows = cursor.fetchall()
        yield from rows
        if len(rows) < _PAGE:
            return
        after = rows[-1][0]


def _entities_export(tenant: Tenant) -> Iterator[Mapping[str, Any]]:
    """Each entity as an import line, in order of id; then those of archived months, from their files."""
    statement = (
        "SELECT entity_id, entity_type, external_id, created_at, updated_at, attributes::text FROM entities"
        " WHERE tenant_id = %(tenant_id)s AND (tenant_id, entity_id) > (%(tenant_id)s, %(after)s)"
        " ORDER BY entity_id LIMIT %(limit)s"
    )
    for _, entity_type, external_id, created_at, updated_at, attributes in _pages(statement, tenant, first=_BEFORE_ALL):
        yield {
            "entity_type": entity_type,
            "external_id": external_id,
            "created_at": iso(created_at),
            "at": iso(updated_at),
            "attributes": orjson.Fragment(attributes),
        }
    # Afterwards: a month that is archived meanwhile is rather told twice than not at all.
    for row in archived_rows(tenant=tenant, table="entities"):
        yield {
            "entity_type": row["entity_type"],
            "external_id": row["external_id"],
            "created_at": iso(from_us(row["created_us"])),
            "at": iso(from_us(row["updated_us"])),
            "attributes": orjson.Fragment(row["attributes"]),
        }


def _instants_export(tenant: Tenant) -> Iterator[Mapping[str, Any]]:
    """Of each entity, the instant of every value. A name that the entity lacks is a removal that is remembered.

    Records of their own: a line of an import knows one instant for all its attributes.
    """
    statement = (
        "SELECT e.entity_id, e.entity_type, e.external_id, v.names, v.instants"
        " FROM (SELECT entity_id, entity_type, external_id FROM entities WHERE tenant_id = %(tenant_id)s"
        "       AND (tenant_id, entity_id) > (%(tenant_id)s, %(after)s) ORDER BY entity_id LIMIT %(limit)s) e"
        " CROSS JOIN LATERAL (SELECT array_agg(attribute_name::text ORDER BY attribute_name) AS names,"
        "       array_agg(updated_at ORDER BY attribute_name) AS instants FROM entity_attributes"
        "       WHERE tenant_id = %(tenant_id)s AND entity_id = e.entity_id) v"
        " ORDER BY e.entity_id"
    )
    for _, entity_type, external_id, names, instants in _pages(statement, tenant, first=_BEFORE_ALL):
        yield {
            "entity_type": entity_type,
            "external_id": external_id,
            "ats": {name: iso(at) for name, at in zip(names or (), instants or (), strict=True)},
        }
    # Both files are in order of id.
    values = groupby(archived_rows(tenant=tenant, table="entity_attributes"), key=itemgetter("entity_id"))
    entity_id, group = next(values, (None, iter(())))
    for row in archived_rows(tenant=tenant, table="entities"):
        ats: dict[str, str] = {}
        if row["entity_id"] == entity_id:
            ats = {value["attribute_name"]: iso(from_us(value["updated_us"])) for value in group}
            entity_id, group = next(values, (None, iter(())))
        yield {"entity_type": row["entity_type"], "external_id": row["external_id"], "ats": ats}


def _attributes_export(tenant: Tenant) -> Iterator[Mapping[str, Any]]:
    """What people said of each attribute, and since when it is known. Figures can be counted again."""
    statement = (
        "SELECT attribute_name, description, unit, owner, status, quarantine_reason, is_indexed, first_seen_at"
        " FROM attribute_metadata"
        " WHERE tenant_id = %(tenant_id)s AND attribute_name > %(after)s ORDER BY attribute_name LIMIT %(limit)s"
    )
    # No name is empty, so all come after the empty one.
    for name, description, unit, owner, status, reason, is_indexed, first_seen_at in _pages(
        statement, tenant, first=""
    ):
        yield {
            "attribute_name": name,
            "description": description,
            "unit": unit,
            "owner": owner,
            "status": status,
            "quarantine_reason": reason,
            "is_indexed": is_indexed,
            "first_seen_at": iso(first_seen_at),
        }


def _rules_export(tenant: Tenant) -> Iterator[Mapping[str, Any]]:
    """What is asked of each attribute, as the API takes it."""
    statement = (
        "SELECT attribute_name, mode, conditions::text, updated_at, updated_by FROM attribute_rules"
        " WHERE tenant_id = %(tenant_id)s AND attribute_name > %(after)s ORDER BY attribute_name LIMIT %(limit)s"
    )
    for name, mode, conditions, updated_at, updated_by in _pages(statement, tenant, first=""):
        yield {
            "attribute_name": name,
            "mode": mode,
            "conditions": orjson.Fragment(conditions),
            "updated_at": iso(updated_at),
            "updated_by": updated_by,
        }


def _aliases_export(tenant: Tenant) -> Iterator[Mapping[str, Any]]:
    """Which names are stored under which."""
    statement = (
        "SELECT alias, attribute_name, created_at, created_by FROM attribute_aliases"
        " WHERE tenant_id = %(tenant_id)s AND alias > %(after)s ORDER BY alias LIMIT %(limit)s"
    )
    for alias, name, created_at, created_by in _pages(statement, tenant, first=""):
        yield {"alias": alias, "attribute_name": name, "created_at": iso(created_at), "created_by": created_by}
