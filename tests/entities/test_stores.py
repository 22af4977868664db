"""What the data plane tells `tenants` to export and to erase."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import orjson
import psycopg
import pytest
from django.db import connection, connections

from entities import receipts, services, stores
from entities.imports import jobs
from entities.ingest import importer
from entities.ingest.batch import BatchResult, batch_write
from entities.ingest.importer import import_run
from entities.ingest.lines import Line, line_parse
from entities.models import AttributeMetadata
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tenants.services import TenantBusy, tenant_delete, tenant_export
from tests.entities.plane import LINE_MAX_BYTES, NOW, entity, line_of, write

EARLIER = NOW - timedelta(days=2)
EARLIER_TEXT = "2026-02-27T12:00:00Z"
NOW_TEXT = "2026-03-01T12:00:00Z"


def exported(tenant: Tenant) -> dict[str, list[dict[str, Any]]]:
    records: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for text in tenant_export(tenant=tenant, now=NOW):
        line = json.loads(text)
        records[line["record"]].append(line["data"])
    return records


def test_an_export_knows_each_values_instant(acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "_PAGE", 2)
    write(acme, [entity("a", at=EARLIER, color="red", size=3), entity("b", color="blue"), entity("empty")])
    write(acme, [entity("a", color="green", size=None)])
    write(globex, [entity("a", color="theirs")])
    records = exported(acme)
    assert records["entity_attributes"] == [
        {"entity_type": "lamp", "external_id": "a", "ats": {"color": NOW_TEXT, "size": NOW_TEXT}},
        {"entity_type": "lamp", "external_id": "b", "ats": {"color": NOW_TEXT}},
        {"entity_type": "lamp", "external_id": "empty", "ats": {}},
    ]
    write(acme, [entity("c", at=EARLIER, old=1), entity("c", at=NOW, new=2)])
    assert exported(acme)["entity_attributes"][-1]["ats"] == {"new": NOW_TEXT, "old": EARLIER_TEXT}


def test_an_exported_entity_is_a_line_of_an_import(acme: Tenant, globex: Tenant) -> None:
    write(acme, [entity("a", color="red"), entity("b", size=1.5, on=True)])
    for number, record in enumerate(exported(acme)["entities"], 1):
        assert isinstance(line_parse(number, orjson.dumps(record)), Line)


def test_an_export_holds_what_people_said_of_attributes(
    acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "_PAGE", 1)
    write(acme, [entity("a", color="red", size=3)])
    write(globex, [entity("a", theirs=1)])
    with tenant_bind(acme):
        services.attribute_describe(
            tenant_id=acme.pk,
            name="size",
            changes={"description": "How large", "unit": "m", "status": "deprecated", "owner": "Ann"},
        )
    blank: dict[str, Any] = {"description": "", "unit": "", "owner": "", "status": "active", "quarantine_reason": ""}
    blank |= {"is_indexed": False, "first_seen_at": NOW_TEXT}
    described = {"description": "How large", "unit": "m", "status": "deprecated", "owner": "Ann"}
    records = exported(acme)["attribute_metadata"]
    assert records == [
        {"attribute_name": "color", **blank},
        {"attribute_name": "size", **blank, **described},
    ]
    # What the product finds out again by itself is left out; whoever adds a field decides here.
    counted = {
        "value_type", "value_types", "is_indexing", "value_bytes", "cardinality_estimate", "null_rate", "most_common",
        "histogram", "hot_score", "pending_changes", "last_analyzed",
    }  # fmt: skip
    fields = {field.name for field in AttributeMetadata._meta.concrete_fields}
    assert records[0].keys() == fields - counted - {"tenant_id"}


# --- Deleting a tenant that is being written to ---------------------------------------------------------------------

Owner = psycopg.Connection[tuple[Any, ...]]


def delete(tenant: Tenant) -> dict[str, int]:
    return tenant_delete(tenant=tenant, confirm=tenant.slug, now=NOW)


def left_of(owner: Owner, tenant: Tenant) -> dict[str, int]:
    """Rows of the tenant by table, whoever is bound."""
    owner.execute("SELECT set_config('atlasco.tenant_id', %s, false)", [str(tenant.pk)])
    counts = {}
    for table in stores._TABLES:
        row = owner.execute(f"SELECT count(*) FROM {table} WHERE tenant_id = %s", [tenant.pk]).fetchone()
        assert row is not None
        counts[table] = row[0]
    return {table: count for table, count in counts.items() if count}


@pytest.mark.parametrize("dedicated", [False, True])
def test_an_import_that_streams_on_ends_when_its_tenant_is_deleted(
    owner_db: Owner,
    tenant_make: Callable[..., Tenant],
    globex: Tenant,
    dedicated: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importer, "BATCH_LINES", 1)
    gone = tenant_make("gone", dedicated=dedicated)
    write(globex, [entity("theirs", n=1)])

    def chunks() -> Iterator[bytes]:
        yield line_of(entity("before", n=1))
        yield line_of(entity("with it", n=2))
        delete(gone)
        yield line_of(entity("after", n=3))

    with tenant_bind(gone), pytest.raises(TenantBusy):
        import_run(tenant_id=gone.pk, chunks=chunks(), mode="merge", now=NOW, line_max_bytes=LINE_MAX_BYTES)
    assert left_of(owner_db, gone) == {}
    assert left_of(owner_db, globex)["entities"] == 1


@pytest.mark.parametrize("dedicated", [False, True])
def test_a_deletion_waits_for_the_batch_that_is_being_written(
    owner_db: Owner, tenant_make: Callable[..., Tenant], dedicated: bool
) -> None:
    gone = tenant_make("gone", dedicated=dedicated)
    reports: list[dict[str, int]] = []

    def work() -> None:
        try:
            reports.append(delete(gone))
        finally:
            connections.close_all()

    deletion = threading.Thread(target=work)

    def inspect(locked: object) -> None:
        deletion.start()
        while not owner_db.execute(
            "SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
        ).fetchone():
            time.sleep(0.02)
            assert deletion.is_alive()

    line = line_parse(1, line_of(entity("late", n=1)))
    assert isinstance(line, Line)
    with tenant_bind(gone):
        result = batch_write(tenant_id=gone.pk, lines=[line], mode="merge", now=NOW, inspect=inspect)
    deletion.join(60)
    assert result == BatchResult(1, 0, 0)
    assert [report["entities"] for report in reports] == [1]
    assert left_of(owner_db, gone) == {}


def test_what_lies_in_a_shared_leaf_of_a_dedicated_tenant_is_erased_too(
    owner_db: Owner, tenant_make: Callable[..., Tenant]
) -> None:
    gone = tenant_make("gone", dedicated=True)
    write(gone, [entity("a", n=1)])
    # A deletion was interrupted right after the drop, and an older version of the product wrote on.
    Tenant.objects.filter(pk=gone.pk).update(status=Tenant.Status.DELETING)
    with tenant_bind(gone), connection.cursor() as cursor:
        cursor.execute("SELECT tenant_partitions_drop(%s)", [gone.pk])
        cursor.execute(
            "INSERT INTO entities (tenant_id, entity_type, external_id) VALUES (%s, 'lamp', 'stray')"
            " RETURNING entity_id",
            [gone.pk],
        )
        cursor.execute(
            "INSERT INTO entity_attributes (tenant_id, entity_id, attribute_name, value_type, attribute_value)"
            " VALUES (%s, %s, 'n', 'string', 'x')",
            [gone.pk, cursor.fetchone()[0]],
        )
    report = delete(gone)
    assert (report["entities"], report["entity_attributes"]) == (1, 1)
    assert left_of(owner_db, gone) == {}


def test_a_deleted_tenant_gets_neither_jobs_nor_receipts(owner_db: Owner, tenant_make: Callable[..., Tenant]) -> None:
    gone = tenant_make("gone")
    delete(gone)
    with tenant_bind(gone):
        with pytest.raises(TenantBusy):
            receipts.receipt_open(tenant_id=gone.pk, key="k", now=NOW)
        with pytest.raises(TenantBusy):
            jobs.import_job_create(
                tenant_id=gone.pk,
                chunks=[b"{}"],
                file_name="late.ndjson",
                mode="merge",
                created_by="token test",
                now=NOW,
                enqueue=lambda job: None,
            )
    assert left_of(owner_db, gone) == {}
    assert jobs.import_files_count(tenant_id=gone.pk) == 0
