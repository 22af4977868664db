"""Any query over any entities finds what plain Python finds, in the same order, on pages of any size."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import orjson
import pytest
from django.db import connection
from hypothesis import event, given
from hypothesis import strategies as st

from entities.search import run
from entities.search.containments import containments
from entities.search.plan import Plan, drive_plan
from entities.search.query import AtLeast, Node, query_parse
from entities.search.reads import drivers
from entities.search.run import EntityRow, search_run
from entities.search.statistics import AttributeStatistics, TenantStatistics
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tests.entities import plane, queries
from tests.entities.effort import examples
from tests.entities.kept import tenant_empty
from tests.entities.model import Row, Update, found, same_document


def paged(
    tenant: Tenant, body: dict[str, Any], limit: int, plan: Plan | None = None
) -> tuple[list[EntityRow], int | None]:
    """All pages of a search, and the total that the first one told."""
    rows: list[EntityRow] = []
    cursor, total = None, None
    with tenant_bind(tenant):
        while True:
            query = query_parse({**body, "limit": limit, "cursor": cursor})
            page = search_run(tenant_id=tenant.pk, query=query, using="default", position="0/0", plan=plan)
            assert len(page.entities) <= limit
            assert page.count_kind == body["count"] and (page.total_count is None) == (body["count"] == "none")
            total = page.total_count if cursor is None else total
            rows += page.entities
            cursor = page.next_cursor
            if cursor is None:
                return rows, total
            assert len(page.entities) == limit


def assert_found(tenant: Tenant, rows: list[Row], body: dict[str, Any], limit: int) -> int:
    expected = found(rows, body)
    got, total = paged(tenant, body, limit)
    assert [row.entity_id for row in got] == [row.entity_id for row in expected]
    for row, wanted in zip(got, expected, strict=True):
        fields = body.get("fields")
        document = {name: wanted.attributes[name] for name in wanted.attributes if fields is None or name in fields}
        assert same_document(orjson.loads(row.attributes), document)
        assert (row.entity_type, row.external_id) == (wanted.entity_type, wanted.external_id)
        assert (row.created_at, row.updated_at) == (wanted.created_at, wanted.updated_at)
    # An estimate over so few entities has seen them all.
    assert total == (None if body["count"] == "none" else len(expected))
    return len(expected)


@given(
    entities=queries.entities,
    decoys=queries.entities,
    searches=st.lists(st.tuples(queries.searches(), st.integers(1, 5)), min_size=4, max_size=8),
)
@examples(50)
def test_a_search_finds_what_plain_python_finds(
    entities: list[Update],
    decoys: list[Update],
    searches: list[tuple[dict[str, Any], int]],
    acme: Tenant,
    globex: Tenant,
) -> None:
    tenant_empty(acme)
    tenant_empty(globex)
    plane.write(acme, entities)
    plane.write(globex, decoys)
    rows = plane.rows(acme)
    matched = [assert_found(acme, rows, body, limit) for body, limit in searches]
    event("some query matched some but not all" if any(0 < n < len(rows) for n in matched) else "all or nothing")


def intersections(where: Node) -> list[Plan]:
    """Drives by what must hold, in every order, each within all the others."""
    if not isinstance(where, AtLeast) or where.n != len(where.nodes):
        return []
    known = dict.fromkeys(queries.NAMES, AttributeStatistics(present=0.5, cardinality=10, is_indexed=True))
    each = [reads for child in where.nodes if (reads := drivers(child, TenantStatistics(10_000, known))) is not None]
    each = [replace(reads, within=()) for reads in each]
    return [
        drive_plan(replace(reads, within=tuple(other for other in each if other is not reads)))
        for reads in each
        if len(each) > 1
    ]


def plans(body: dict[str, Any]) -> list[Plan]:
    """Every plan that may answer the query, were the tenant large and every attribute indexed."""
    query = query_parse(body)
    known = dict.fromkeys(queries.NAMES, AttributeStatistics(present=0.5, cardinality=10, is_indexed=True))
    found = [Plan("scan"), Plan("walk"), Plan("walk", rows_max=3, fallback=Plan("scan"))]
    if documents := containments(query.where):
        found.append(Plan("gin", documents=tuple(documents)))
    # With an index of every attribute, and of some: the others are looked up in documents.
    for unindexed in ((), queries.NAMES[::2]):
        known |= dict.fromkeys(unindexed, AttributeStatistics(present=0.5, cardinality=10))
        reads = drivers(query.where, TenantStatistics(10_000, known))
        if reads is not None:
            found.append(drive_plan(reads))
    found += intersections(query.where)
    # As in a partition of one's own, though others' documents lie in this one.
    found += [replace(plan, is_alone=True) for plan in found if plan.documents]
    # Plans that prove wrong at once, and what takes over.
    found += [replace(plan, rows_max=1, fallback=Plan("walk")) for plan in found if plan.name in {"gin", "drive"}]
    return found


@given(entities=queries.entities, searches=st.lists(queries.searches(queries.look_ups), min_size=3, max_size=6))
@examples(40)
def test_every_plan_gives_the_same_pages(
    entities: list[Update],
    searches: list[dict[str, Any]],
    acme: Tenant,
    globex: Tenant,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = {}
    for tenant in (acme, globex):
        tenant_empty(tenant)
        with tenant_bind(tenant), connection.cursor() as cursor:
            # Marked before anything is written, so that every value row is in the index.
            cursor.execute(
                "INSERT INTO attribute_metadata (tenant_id, attribute_name, value_type, is_indexed)"
                " SELECT %s, unnest(%s::text[]), 'string', true",
                [tenant.pk, queries.NAMES],
            )
        plane.write(tenant, entities)
    with monkeypatch.context() as patch:
        patch.setattr(run, "_STAGE_MIN", 2)
        for body in searches:
            expected = [row.external_id for row in paged(acme, body, 1000, Plan("scan"))[0]]
            for plan in plans(body):
                names[f"{plan.name} within others" if plan.within else plan.name] = True
                for limit in (2, 1000):
                    rows = paged(acme, body, limit, plan)[0]
                    assert [row.external_id for row in rows] == expected, plan
    for name in names:
        event(name)


@pytest.mark.parametrize(
    "operator", ["eq", "ne", "in", "gt", "ge", "lt", "le", "contains", "prefix", "is_type", "exists", "missing"]
)
def test_each_operator_on_every_pair_of_values(operator: str, acme: Tenant, globex: Tenant) -> None:
    values = [True, False, *queries.NUMBERS, *queries.INSTANTS, *queries.TEXTS]
    updates = [plane.entity(str(number), a=value) for number, value in enumerate(values)]
    updates.append(plane.entity("none", b=1))
    plane.write(acme, updates)
    plane.write(globex, [plane.entity("theirs", a=value) for value in values])
    rows = plane.rows(acme)
    operands_of: dict[str, list[Any]] = {
        "in": [[left, right] for left, right in pairwise(values)],
        "gt": [*queries.NUMBERS, *queries.INSTANTS],
        "contains": [value for value in values if isinstance(value, str)],
        "is_type": ["string", "number", "boolean", "timestamp"],
        "exists": [None],
    }
    like = {"ge": "gt", "lt": "gt", "le": "gt", "prefix": "contains", "missing": "exists"}.get(operator, operator)
    operands = operands_of.get(like, values)
    hits = 0
    for operand in operands:
        body = {"where": [["a", operator, operand], {"not": ["a", operator, operand]}], "match": "any", "count": "none"}
        assert assert_found(acme, rows, body, 1000) == len(rows)
        hits += assert_found(acme, rows, {**body, "where": body["where"][:1]}, 1000)
    assert 0 < hits < len(operands) * len(rows)
