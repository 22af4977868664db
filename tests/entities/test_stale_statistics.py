"""What the planner remembers may be old: it may cost time, never a result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg

from atlasco.lib import clock
from entities.bench.promote import neighbour_create
from entities.search.plan import Plan
from entities.search.query import Condition, query_parse
from entities.search.run import search_run
from entities.services import entity_create, entity_input_parse
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tenants.services import tenant_delete
from tests.entities import plane


def test_a_plan_for_an_index_that_is_no_more_gives_the_same_page(acme: Tenant) -> None:
    body = {"entity_type": "t", "external_id": "a", "attributes": {"status": "active"}}
    query = query_parse({"where": [["status", "eq", "active"]]})
    with tenant_bind(acme):
        row, _ = entity_create(
            tenant_id=acme.pk, entity=entity_input_parse(body, is_new=True), upsert=False, now=clock.now()
        )
        # The value was written while the attribute was not indexed, so the index does not hold it.
        plan = Plan("drive", drivers=((Condition("status", "eq", "active"),),))
        page = search_run(tenant_id=acme.pk, query=query, using="default", position="0/0", plan=plan)
    assert [found.entity_id for found in page.entities] == [row.entity_id]
    assert [name for name, _ in page.trace.steps] == ["scan"]


def test_a_value_is_looked_up_by_its_key_where_nothing_is_known_of_its_tenant(
    tenant_make: Callable[..., Tenant], owner_db: psycopg.Connection[Any]
) -> None:
    initech = tenant_make("initech")
    hooli = neighbour_create(initech, slug=f"hooli-{initech.pk}")
    try:
        plane.write(initech, [plane.entity(str(number), a=number, b=number, c=number) for number in range(2000)])
        (leaf,) = owner_db.execute(
            "SELECT 'entity_attributes_p' || tenant_bucket(%s) || '_shared'", [initech.pk]
        ).fetchone() or ("",)
        owner_db.execute(f"ANALYZE {leaf}")
        # As `bulk_values_resolve` does it for lines that come late.
        look_up = (
            "SELECT updated_at FROM entity_attributes WHERE tenant_id = %s AND entity_id = 5 AND attribute_name = 'a'"
        )
        rare = "SELECT entity_id FROM entity_named WHERE tenant_id = %s AND attribute_name = 'a'"
        for statement, index in ((look_up, "_pkey"), (rare, "_attribute_name_idx")):
            told = plane.rows_read(hooli, f"EXPLAIN {statement}", [hooli.pk])
            assert index in "\n".join(line for (line,) in told), told
    finally:
        tenant_delete(tenant=hooli, confirm=hooli.slug, now=clock.now())
