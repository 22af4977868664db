"""Entities for the browser tests to look at."""

from __future__ import annotations

from typing import Any

import orjson

from atlasco.lib import clock
from entities.ingest.importer import import_run
from entities.selectors import entities_lookup
from tenants.binding import tenant_bind
from tenants.models import Tenant


def aircraft(external_id: str, **attributes: Any) -> dict[str, Any]:
    return {"entity_type": "aircraft", "external_id": external_id, "attributes": attributes or {"seats": 149}}


def entities_write(tenant: Tenant, *lines: dict[str, Any]) -> list[int]:
    """Import lines for this tenant; their entity ids, in order."""
    body = b"\n".join(orjson.dumps(line) for line in lines)
    with tenant_bind(tenant):
        import_run(tenant_id=tenant.pk, chunks=[body], mode="merge", now=clock.now(), line_max_bytes=1 << 22)
        found = []
        for line in lines:
            rows, _ = entities_lookup(
                tenant_id=tenant.pk, text=line["external_id"], entity_type=line["entity_type"], limit=2, using="default"
            )
            found.append(rows[0].entity_id)
        return found
