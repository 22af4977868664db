"""What the planner remembers may be old: it may cost time, never a result."""

from __future__ import annotations

from atlasco.lib import clock
from entities.search.plan import Plan
from entities.search.query import Condition, query_parse
from entities.search.run import search_run
from entities.services import entity_create, entity_input_parse
from tenants.binding import tenant_bind
from tenants.models import Tenant


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
