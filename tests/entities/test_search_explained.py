"""A search that says how it ran gives the same page, and its counts are true."""

from __future__ import annotations

from typing import Any

from django.db import connection

from entities.search.explain import SearchExplanation, search_explain
from entities.search.query import query_parse
from entities.search.run import Page, search_run
from entities.search.statistics import statistics_forget
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


def test_reads_that_are_intersected_are_told(acme: Tenant, globex: Tenant) -> None:
    """As if the tenant were large, with indexes of both attributes, whose large values are seldom one entity's."""
    numbers = [n / 20 for n in range(101)]
    with tenant_bind(acme), connection.cursor() as cursor:
        # Marked before anything is written, so that every value row is in the index.
        cursor.execute(
            "INSERT INTO attribute_metadata (tenant_id, attribute_name, value_type, is_indexed)"
            " SELECT %s, unnest(%s::text[]), 'number', true",
            [acme.pk, ["size", "weight"]],
        )
    plane.write(acme, [plane.entity(str(n), size=n / 4, weight=5 - n / 4) for n in range(21)])
    plane.write(globex, [plane.entity("theirs", size=4.9, weight=4.9)])
    with tenant_bind(acme), connection.cursor() as cursor:
        cursor.execute("DELETE FROM attribute_changes WHERE tenant_id = %s", [acme.pk])
        cursor.execute(
            "UPDATE attribute_metadata SET value_types = '{\"number\": 1000000}', histogram = %s WHERE tenant_id = %s",
            [numbers, acme.pk],
        )
        cursor.execute("INSERT INTO tenant_statistics VALUES (%s, 1000000, '{}', now())", [acme.pk])
    statistics_forget()
    page, explanation = explained(acme, {"where": [["size", "gt", 4.9], ["weight", "gt", 4.8]]})
    assert (page.entities, explanation.found, explanation.plan) == ([], 0, "drive")
    assert explanation.drivers == ('["size","gt",4.9]',)
    assert explanation.within == ('["weight","gt",4.8]',)
    # Each index knows one entity, and no document was looked at.
    assert [(count.expected, count.found) for count in explanation.conditions] == [(20_000, 1), (40_000, 1)]
    assert explanation.steps == (("drive", 0),)
