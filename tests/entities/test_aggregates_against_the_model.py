"""Aggregates equal what plain Python computes, group by group, in order and in type."""

from __future__ import annotations

import math
from typing import Any

import orjson
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from entities import aggregates
from entities.aggregates import FUNCTIONS, TooManyGroups, aggregate_parse, aggregate_run
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tests.entities import plane, queries
from tests.entities.effort import examples
from tests.entities.kept import tenant_empty
from tests.entities.model import Group, Json, Update, aggregate_of, identity
from tests.entities.plane import entity

GROUPINGS = [None, "entity_type", "@created_at:day", *queries.NAMES]


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    body = draw(queries.wheres()) if draw(st.integers(0, 3)) == 0 else {}
    body["fn"] = draw(st.sampled_from(FUNCTIONS))
    body["attribute"] = draw(st.sampled_from([*queries.NAMES, "unknown"]))
    if body["fn"] == "count" and draw(st.booleans()):
        del body["attribute"]
    body["group_by"] = draw(st.sampled_from([*GROUPINGS, *GROUPINGS[1:], "unknown"]))
    if draw(st.integers(0, 2)) == 0:
        body["min_count"] = draw(st.integers(0, 4))
    # The largest types would be an odd question.
    if body["fn"] != "type_mix" and draw(st.integers(0, 2)) == 0:
        body["top"] = draw(st.integers(1, 4))
    return body


def computed(tenant: Tenant, body: dict[str, Any]) -> list[Group]:
    with tenant_bind(tenant):
        groups = aggregate_run(tenant_id=tenant.pk, aggregate=aggregate_parse(body), using="default")
    return [Group(orjson.loads(group.key), orjson.loads(group.value), group.count) for group in groups]


def same_value(left: Any, right: Any) -> bool:
    if isinstance(left, float) or isinstance(right, float):
        return left is not None and right is not None and math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-300)
    return bool(left == right and type(left) is type(right))


def assert_same_groups(got: list[Group], expected: list[Group]) -> None:
    def key_of(key: Json | None) -> Any:
        return None if key is None else identity(key)

    assert [key_of(group.key) for group in got] == [key_of(group.key) for group in expected]
    for group, wanted in zip(got, expected, strict=True):
        assert (group.count, same_value(group.value, wanted.value)) == (wanted.count, True), (group, wanted)


@given(
    entities=queries.crowds,
    decoys=queries.entities,
    asked=st.lists(bodies(), min_size=6, max_size=12),
)
@examples(40)
def test_an_aggregate_is_what_plain_python_computes(
    entities: list[Update], decoys: list[Update], asked: list[dict[str, Any]], acme: Tenant, globex: Tenant
) -> None:
    tenant_empty(acme)
    tenant_empty(globex)
    plane.write(acme, entities)
    plane.write(globex, decoys)
    rows = plane.rows(acme)
    for body in asked:
        expected = aggregate_of(rows, body)
        assert_same_groups(computed(acme, body), expected)
        event("several groups" if len(expected) > 1 else "a group" if expected else "no group")


@pytest.mark.parametrize("group_by", GROUPINGS)
@pytest.mark.parametrize("fn", FUNCTIONS)
def test_each_function_by_each_grouping(fn: str, group_by: str | None, acme: Tenant, globex: Tenant) -> None:
    values: list[Json] = [True, False, *queries.NUMBERS, *queries.INSTANTS, *queries.TEXTS]
    updates = [
        Update(
            (queries.TYPES[number % 2], str(number)),
            {"a": value, "b": values[number // 3], "c:d e/f": number % 3, "%s": "x"},
        )
        for number, value in enumerate(values)
    ]
    plane.write(acme, [*updates, entity("none")])
    plane.write(globex, updates[:10])
    body = {"fn": fn, "attribute": "a", "group_by": group_by}
    assert_same_groups(computed(acme, body), aggregate_of(plane.rows(acme), body))


# --- By hand ----------------------------------------------------------------------------------------------------------


def lamps(*watts: Any) -> list[Update]:
    return [entity(str(number), watts=value) for number, value in enumerate(watts)]


@pytest.mark.parametrize(
    ("watts", "median", "p95", "average"),
    [
        ([7], 7, 7, 7),
        ([1, 2], 1.5, 1.95, 1.5),
        ([1, 2, 3], 2, 2.9, 2),
        ([3, 1, 2, 10], 2.5, 8.95, 4),
        ([0.1, 0.2, 0.3, 0.4, 0.5], 0.3, 0.48, 0.3),
        ([-5, 5], 0, 4.5, 0),
        ([1, 1, 1, 1, 100], 1, 80.2, 20.8),
        (list(range(1, 101)), 50.5, 95.05, 50.5),
    ],
)
def test_percentiles_interpolate_linearly(
    watts: list[float], median: float, p95: float, average: float, acme: Tenant, globex: Tenant
) -> None:
    plane.write(acme, lamps(*watts, "12", True, "2026-01-01T00:00:00Z", ""))
    plane.write(globex, lamps(1_000_000))
    expected = {"median": median, "p95": p95, "avg": average, "min": min(watts), "max": max(watts)}
    for fn, value in expected.items():
        (group,) = computed(acme, {"fn": fn, "attribute": "watts"})
        assert (group.key, group.count) == (None, len(watts))
        assert group.value == pytest.approx(value, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(
    ("fn", "value"),
    [
        ("count", 0),
        ("distinct", 0),
        ("type_mix", {}),
        ("avg", None),
        ("min", None),
        ("max", None),
        ("median", None),
        ("p95", None),
    ],
)
def test_where_nothing_matches_there_is_one_empty_group(fn: str, value: Any, acme: Tenant, globex: Tenant) -> None:
    plane.write(acme, lamps("bright", True))
    plane.write(globex, lamps(5))
    for body in (
        {"fn": fn, "attribute": "watts", "where": [["watts", "eq", "dim"]]},
        {"fn": fn, "attribute": "nobody ever used this"},
        {"fn": fn, "attribute": "watts", "entity_type": "chair"},
    ):
        assert computed(acme, body) == [Group(None, value, 0)]
        assert computed(acme, {**body, "group_by": "watts"}) == []
        assert computed(acme, {**body, "min_count": 1}) == []


def test_numbers_keep_their_last_digit(acme: Tenant) -> None:
    plane.write(acme, lamps(2**63 - 1, 2**63 - 2, 0.123456789012345))
    assert computed(acme, {"fn": "max", "attribute": "watts"})[0].value == 2**63 - 1
    assert computed(acme, {"fn": "min", "attribute": "watts"})[0].value == 0.123456789012345
    assert computed(acme, {"fn": "distinct", "attribute": "watts"})[0].value == 3


def test_a_key_keeps_its_json_type(acme: Tenant) -> None:
    plane.write(acme, lamps(1, 1.0, "1", True, "true", "1.0", ""))
    groups = computed(acme, {"fn": "count", "group_by": "watts"})
    assert [(group.key, group.value) for group in groups] == [
        ("", 1),
        ("1", 1),
        ("1.0", 1),
        ("true", 1),
        (1, 2),
        (True, 1),
    ]
    assert [type(group.key) for group in groups] == [str, str, str, str, int, bool]


def test_groups_come_in_order_of_key(acme: Tenant) -> None:
    plane.write(acme, lamps("b", "a b", "a", "a!", 'a"', "A", "é", 10, 9, -1, 0.5))
    keys = [group.key for group in computed(acme, {"fn": "count", "group_by": "watts"})]
    assert keys == ["A", "a", "a b", "a!", 'a"', "b", "é", -1, 0.5, 9, 10]


def test_top_keeps_the_largest_and_breaks_ties_by_key(acme: Tenant, globex: Tenant) -> None:
    plane.write(acme, lamps("b", "b", "a b", "a b", "a", "a", "c", "d", "d", "d", 10, 10, 9, 9))
    plane.write(globex, lamps(*["theirs"] * 20))
    body = {"fn": "count", "group_by": "watts"}
    assert [(group.key, group.value) for group in computed(acme, {**body, "top": 4})] == [
        ("d", 3),
        ("a", 2),
        ("a b", 2),
        ("b", 2),
    ]
    assert [group.key for group in computed(acme, {**body, "top": 6})][4:] == [9, 10]
    assert len(computed(acme, {**body, "top": 100})) == 7


def test_top_of_another_function_is_by_its_value(acme: Tenant) -> None:
    plane.write(acme, [entity(str(number), room=f"r{number % 3}", watts=number) for number in range(9)])
    groups = computed(acme, {"fn": "max", "attribute": "watts", "group_by": "room", "top": 2})
    assert groups == [Group("r2", 8, 3), Group("r1", 7, 3)]


def test_small_groups_are_left_out(acme: Tenant) -> None:
    plane.write(acme, lamps("a", "a", "a", "b", "b", "c"))
    keys = [
        [group.key for group in computed(acme, {"fn": "count", "group_by": "watts", "min_count": least})]
        for least in range(5)
    ]
    assert keys == [["a", "b", "c"], ["a", "b", "c"], ["a", "b"], ["a"], []]


def test_min_count_counts_values_not_entities(acme: Tenant) -> None:
    plane.write(acme, [entity("1", room="a", watts=1), entity("2", room="a", watts="x"), entity("3", room="a")])
    body = {"fn": "avg", "attribute": "watts", "group_by": "room"}
    assert computed(acme, {**body, "min_count": 1}) == [Group("a", 1.0, 1)]
    assert computed(acme, {**body, "min_count": 2}) == []


def test_equal_instants_are_one_group_and_one_value(acme: Tenant) -> None:
    plane.write(acme, lamps("2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", "2026-01-01T00:00:00"))
    groups = computed(acme, {"fn": "count", "group_by": "watts"})
    assert sorted(group.value for group in groups) == [1, 2]
    assert computed(acme, {"fn": "distinct", "attribute": "watts"})[0].value == 2


def test_days_are_days_in_utc(acme: Tenant) -> None:
    lines = [entity(str(number)) for number in range(3)]
    for line, text in zip(
        lines, ["2026-01-01T23:59:59Z", "2026-01-02T00:30:00+01:00", "2026-01-01T23:30:00-01:00"], strict=True
    ):
        line.created_at = plane.instant(text)
    plane.write(acme, lines)
    groups = computed(acme, {"fn": "count", "group_by": "@created_at:day"})
    assert groups == [Group("2026-01-01", 2, 2), Group("2026-01-02", 1, 1)]


def test_an_answer_of_too_many_groups_is_refused(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregates, "GROUPS_MAX", 3)
    plane.write(acme, lamps(1, 2, 3))
    assert len(computed(acme, {"fn": "count", "group_by": "watts"})) == 3
    plane.write(acme, [entity("one more", watts=4)])
    with pytest.raises(TooManyGroups):
        computed(acme, {"fn": "count", "group_by": "watts"})
    assert len(computed(acme, {"fn": "count", "group_by": "watts", "top": 2})) == 2
