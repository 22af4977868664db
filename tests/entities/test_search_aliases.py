"""Searches and aggregates by a name that stands for another, wherever the values lie."""

from __future__ import annotations

from typing import Any, Final

import pytest

from entities.aggregates import aggregate_parse, aggregate_run
from entities.governance import store
from entities.search.explain import search_explain
from entities.search.query import query_parse
from entities.search.run import search_run
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tests.entities import plane

NOW: Final = plane.NOW
VALUES: Final[list[Any]] = ["red", "reddish", 7, 12, True, "2026-01-01T00:00:00Z"]


def found(tenant: Tenant, body: dict[str, Any]) -> list[str]:
    """All matches in order of external id, page by page."""
    rows, cursor = [], None
    with tenant_bind(tenant):
        while True:
            query = query_parse({**body, "order_by": "external_id", "limit": 3, "cursor": cursor})
            page = search_run(tenant_id=tenant.pk, query=query, using="default", position="0/0")
            rows += [row.external_id for row in page.entities]
            if (cursor := page.next_cursor) is None:
                return rows


@pytest.fixture
def renamed(acme: Tenant, globex: Tenant) -> tuple[Tenant, Tenant]:
    """Two tenants with the same values: acme has some under `colour`, of before it became an alias of `color`."""
    mixed: dict[str, dict[str, Any]] = {"both": {"colour": "blue", "color": "red"}, "none": {"x": 1}}
    mixed |= {f"old {place}": {"colour": value} for place, value in enumerate(VALUES)}
    mixed |= {f"new {place}": {"color": value} for place, value in enumerate(VALUES)}
    plane.write(acme, [plane.entity(name, **values) for name, values in mixed.items()])
    for values in mixed.values():
        if "colour" in values:
            values.setdefault("color", values.pop("colour"))
            values.pop("colour", None)
    plane.write(globex, [plane.entity(name, **values) for name, values in mixed.items()])
    with tenant_bind(acme):
        store.alias_set(tenant_id=acme.pk, alias="colour", name="color", created_by="test", now=NOW)
    return acme, globex


@pytest.mark.parametrize("name", ["colour", "color"])
def test_each_operator_asks_the_attribute_and_then_its_alias(renamed: tuple[Tenant, Tenant], name: str) -> None:
    acme, globex = renamed
    conditions: list[list[Any]] = [
        ["eq", "red"], ["eq", "blue"], ["ne", "red"], ["in", ["red", 7]], ["gt", 7], ["le", 12], ["exists"],
        ["missing"], ["contains", "dish"], ["prefix", "red"], ["is_type", "boolean"], ["lt", "2027-01-01T00:00:00Z"],
    ]  # fmt: skip
    for condition in conditions:
        asked = {"where": [[name, *condition]]}
        expected = found(globex, {"where": [["color", *condition]]})
        assert found(acme, asked) == expected, condition
        negated = {"where": {"at_least": 1, "of": [{"not": [name, *condition]}, ["x", "eq", 1]]}}
        assert len(found(acme, negated)) == len(VALUES) * 2 + 2 - len(set(expected) - {"none"}), condition


def test_an_aggregate_by_an_alias_is_the_attributes(renamed: tuple[Tenant, Tenant]) -> None:
    acme, _ = renamed
    with tenant_bind(acme):
        by = [
            aggregate_run(
                tenant_id=acme.pk,
                aggregate=aggregate_parse(
                    {"fn": "max", "attribute": name, "group_by": name, "where": [[name, "gt", 7]]}
                ),
                using="default",
            )
            for name in ("colour", "color")
        ]
    assert by[0] == by[1]
    assert [(group.key, group.value) for group in by[0]] == [("12", "12")]


def test_fields_and_explanations_tell_the_stored_name(renamed: tuple[Tenant, Tenant]) -> None:
    acme, _ = renamed
    query = query_parse({"where": [["colour", "eq", 12]], "fields": ["colour"], "order_by": "external_id"})
    with tenant_bind(acme):
        page, explanation = search_explain(tenant_id=acme.pk, query=query, using="default", position="0/0")
    assert [row.attributes for row in page.entities] == ['{"color": 12}', '{"colour": 12}']
    assert '["color","eq",12]' in [one.condition for one in explanation.conditions]


def test_an_alias_that_is_removed_stands_for_itself_again(renamed: tuple[Tenant, Tenant]) -> None:
    acme, _ = renamed
    with tenant_bind(acme):
        store.alias_remove(tenant_id=acme.pk, alias="colour")
    assert found(acme, {"where": [["colour", "eq", "red"]]}) == ["old 0"]
