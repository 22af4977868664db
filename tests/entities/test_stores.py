"""What the data plane tells `tenants` to export and to erase."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import timedelta
from typing import Any

import orjson
import pytest

from entities import services, stores
from entities.ingest.lines import Line, line_parse
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tenants.services import tenant_export
from tests.entities.plane import NOW, entity, write

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
            tenant_id=acme.pk, name="size", changes={"description": "How large", "unit": "m", "status": "deprecated"}
        )
    blank = {"description": "", "unit": "", "status": "active", "is_indexed": False, "first_seen_at": NOW_TEXT}
    described = {"description": "How large", "unit": "m", "status": "deprecated"}
    assert exported(acme)["attribute_metadata"] == [
        {"attribute_name": "color", **blank},
        {"attribute_name": "size", **blank, **described},
    ]
