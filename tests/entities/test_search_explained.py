"""A search that says how it ran gives the same page, and its counts are true."""

from __future__ import annotations

from typing import Any

from entities.search.explain import SearchExplanation, search_explain
from entities.search.query import query_parse
from entities.search.run import Page, search_run
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tests.entities import plane

WHERE: list[Any] = [["color", "eq", "red"], {"not": ["size", "gt", 5]}]


def explained(tenant: Tenant, body: dict[str, Any]) -> tuple[Page, SearchExplanation]:
    with tenant_bind(tenant):
        return search_explain(tenant_id=tenant.pk, query=query_parse(body), using="default", position="0/0")


def test_the_plan_comes_with_the_page_and_with_true_counts(acme: Tenant, globex: Tenant) -> None:
    plane.write(acme, [plane.entity(str(n), color="red" if n % 2 else "blue", size=n) for n in range(20)])
    plane.write(globex, [plane.entity("theirs", color="red", size=1)])
    body = {"where": WHERE, "limit": 2}
    page, explanation = explained(acme, body)
    with tenant_bind(acme):
        plain = search_run(tenant_id=acme.pk, query=query_parse(body), using="default", position="0/0")
    assert (page.entities, page.next_cursor) == (plain.entities, plain.next_cursor)
    assert explanation.found == 3
    assert [(count.condition, count.found) for count in explanation.conditions] == [
        ('["color","eq","red"]', 10),
        ('["size","gt",5]', 14),
    ]
    assert explanation.plan in explanation.expected_ms
    # At least what it returned was read; in a small table PostgreSQL reads its neighbours', too.
    assert [statement.tested >= 2 for statement in explanation.statements] == [True]
    assert not explanation.gave_up


def test_a_tenant_without_entities_has_a_plan_too(acme: Tenant) -> None:
    page, explanation = explained(acme, {"where": WHERE})
    assert (page.entities, explanation.found) == ([], 0)
