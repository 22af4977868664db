"""What the planner expects: a sample that is everything tells the truth, and every plan that may fail has another."""

from __future__ import annotations

from math import inf
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entities.search.estimate import condition_share, node_share, share_estimate
from entities.search.ordering import where_ordered
from entities.search.plan import plan_choose
from entities.search.query import AtLeast, Condition, Query, query_parse
from entities.search.reads import drivers
from entities.search.sample import Column, Sample
from entities.search.statistics import AttributeStatistics, TenantStatistics
from entities.search.usage import body_of
from tests.entities import queries
from tests.entities.effort import examples
from tests.entities.model import Row, matches

NEEDS_NO_SERVER = True

NUMBERS = [0, 1, 1.0, 2, 10, -1, 0.1, 1e300]
values = st.sampled_from([True, False, *NUMBERS, *queries.INSTANTS, *queries.TEXTS])
trees = st.recursive(
    st.one_of(
        st.tuples(queries.names, st.sampled_from(["exists", "missing"])),
        st.tuples(queries.names, st.sampled_from(["eq", "ne"]), values),
        st.tuples(queries.names, st.just("in"), st.lists(values, min_size=1, max_size=3)),
        st.tuples(
            queries.names, st.sampled_from(["gt", "ge", "lt", "le"]), st.sampled_from([*NUMBERS, *queries.INSTANTS])
        ),
        st.tuples(queries.names, st.sampled_from(["contains", "prefix"]), st.sampled_from(queries.TEXTS)),
        st.tuples(queries.names, st.just("is_type"), st.sampled_from(["string", "number", "boolean", "timestamp"])),
    ).map(list),
    queries._branches,
    max_leaves=6,
)
documents = st.lists(st.dictionaries(queries.names, values, max_size=4), min_size=1, max_size=12)


def sample_of(found: list[dict[str, Any]]) -> Sample:
    columns = {name: Column.of([document.get(name) for document in found]) for name in queries.NAMES}
    return Sample(len(found), columns)


def parsed(where: Any) -> Query:
    return query_parse({"where": [where] if isinstance(where, list) else where})


@given(found=documents, where=trees)
@examples(300)
def test_a_sample_of_everything_counts_what_plain_python_counts(found: list[dict[str, Any]], where: Any) -> None:
    rows = [Row(n, "t", str(n), queries.T0, queries.T0, document) for n, document in enumerate(found)]
    query = parsed(where)
    expected = sum(matches(row, where if not isinstance(where, list) else {"all": [where]}) for row in rows)
    assert sample_of(found).hits(query.where) == expected


@given(where=trees, indexed=st.booleans(), entities=st.sampled_from([0, 1_000, 10**6]), share=st.floats(0, 1))
@examples(200)
def test_a_plan_that_may_fail_has_another_that_can_not(where: Any, indexed: bool, entities: int, share: float) -> None:
    known = dict.fromkeys(queries.NAMES, AttributeStatistics(present=share, cardinality=10, is_indexed=indexed))
    plan = plan_choose(parsed(where), TenantStatistics(entities, known))
    assert plan.cost_ms == pytest.approx(min(plan.costs.values()), abs=0.01)
    seen = 0
    while plan.fallback is not None:
        assert plan.rows_max < inf
        plan, seen = plan.fallback, seen + 1
    assert (plan.rows_max, seen + 1) == (inf, len(plan.costs))


def test_conditions_that_go_together_are_not_taken_for_independent() -> None:
    found = [{"a": "x", "b": "y"} if n < 100 else {"a": "z", "b": "z"} for n in range(1_000)]
    known = {name: AttributeStatistics(present=1.0, cardinality=2, most_common=(("z", 0.9),)) for name in ("a", "b")}
    where = query_parse({"where": [["a", "eq", "x"], ["b", "eq", "y"]]}).where
    assert node_share(where, TenantStatistics(10**6, known)) == pytest.approx(0.01)
    assert share_estimate(where, TenantStatistics(10**6, known, sample_of(found))) == 0.1


def test_what_the_sample_never_saw_is_expected_to_be_rarer_than_one_of_it() -> None:
    found = [{"a": "z", "b": "z"}] * 1_000
    known = {name: AttributeStatistics(present=1.0, cardinality=2, most_common=(("z", 0.5),)) for name in ("a", "b")}
    where = query_parse({"where": [["a", "eq", "x"], ["b", "eq", "y"]]}).where
    assert share_estimate(where, TenantStatistics(10**6, known, sample_of(found))) == 0.00035


def test_both_ends_of_a_range_are_read_at_once() -> None:
    known = {
        "a": AttributeStatistics(present=1.0, cardinality=100, histogram=tuple(map(float, range(101))), is_indexed=True)
    }
    where = query_parse({"where": [["a", "ge", 50], ["a", "lt", 52]]}).where
    reads = drivers(where, TenantStatistics(10**6, known))
    assert reads is not None
    (driver,) = reads.drivers
    assert {condition.operator for condition in driver} == {"ge", "lt"}
    assert reads.share == pytest.approx(0.02)


def test_where_two_of_three_must_hold_two_indexes_are_enough() -> None:
    histogram = tuple(map(float, range(101)))
    known = {
        name: AttributeStatistics(present=1.0, cardinality=100, histogram=histogram, is_indexed=True) for name in "abc"
    }
    of = [["a", "gt", 99], ["b", "gt", 98], ["c", "gt", 10]]
    reads = drivers(query_parse({"where": {"at_least": 2, "of": of}}).where, TenantStatistics(10**6, known))
    assert reads is not None
    assert [driver[0].attribute for driver in reads.drivers] == ["a", "b"]


def test_an_equality_without_an_index_of_its_own_is_looked_up_in_documents_beside_a_range() -> None:
    known = {
        "a": AttributeStatistics(present=1.0, histogram=tuple(map(float, range(101))), is_indexed=True),
        "b": AttributeStatistics(present=1.0, cardinality=1_000),
    }
    query = query_parse({"where": {"any": [["a", "gt", 99], ["b", "eq", "x"]]}})
    plan = plan_choose(query, TenantStatistics(10**6, known))
    assert plan.costs.keys() == {"walk", "drive", "scan"}
    while plan.name != "drive":
        assert plan.fallback is not None
        plan = plan.fallback
    assert plan.drivers == ((Condition("a", "gt", 99),),)
    assert plan.documents == ({"b": "x"},)


def ranges(names: str) -> dict[str, AttributeStatistics]:
    """Attributes of numbers from 0 to 100, evenly spread, all with indexes of their values."""
    histogram = tuple(map(float, range(101)))
    one = AttributeStatistics(present=1.0, cardinality=100, histogram=histogram, is_indexed=True)
    return dict.fromkeys(names, one)


def test_ids_of_ranges_that_seldom_hold_together_are_intersected_before_documents_are_read() -> None:
    query = query_parse({"where": [["a", "gt", 97], ["b", "gt", 95], ["c", "gt", 5]]})
    plan = plan_choose(query, TenantStatistics(10**6, ranges("abc")))
    assert plan.name == "drive"
    assert plan.drivers == ((Condition("a", "gt", 97),),)
    # Nearly everything satisfies the third one: that would cost more to read than it spares.
    assert [reads.drivers for reads in plan.within] == [((Condition("b", "gt", 95),),)]


def test_where_n_of_m_must_hold_documents_tell_who_has_the_others() -> None:
    known = ranges("a") | {
        name: AttributeStatistics(present=1.0, cardinality=2, most_common=(("x", 0.04),)) for name in ("b", "c", "d")
    }
    of = [["a", "gt", 99], ["b", "eq", "x"], ["c", "eq", "x"], ["d", "exists"]]
    reads = drivers(query_parse({"where": {"at_least": 3, "of": of}}).where, TenantStatistics(10**6, known))
    assert reads is not None
    assert reads.drivers == ((Condition("a", "gt", 99),),)
    # Not every entity with `b`, nor every one with `c`: whoever misses `a` has both.
    assert reads.documents == ({"b": "x", "c": "x"},)


def test_a_value_that_the_sample_holds_often_is_not_taken_for_rare() -> None:
    known = {"a": AttributeStatistics(present=1.0, cardinality=1_000, most_common=(("z", 0.9),))}
    condition = Condition("a", "eq", "y")
    found = [{"a": "y"} if n < 50 else {"a": "z"} for n in range(1_000)]
    assert condition_share(condition, TenantStatistics(10**6, known)) == pytest.approx(0.0001, rel=0.1)
    assert condition_share(condition, TenantStatistics(10**6, known, sample_of(found))) == 0.05


def test_conditions_are_tested_in_the_order_that_costs_least() -> None:
    known = ranges("a") | {"b": AttributeStatistics(present=1.0, cardinality=2, most_common=(("x", 0.1), ("y", 0.9)))}
    statistics = TenantStatistics(10**6, known)
    instant, often, seldom = (
        Condition("b", "gt", "2026-01-01T00:00:00Z"),
        Condition("b", "eq", "y"),
        Condition("b", "eq", "x"),
    )
    assert where_ordered(AtLeast(3, (instant, often, seldom)), statistics) == AtLeast(3, (seldom, often, instant))
    assert where_ordered(AtLeast(1, (instant, seldom, often)), statistics) == AtLeast(1, (often, seldom, instant))
    assert where_ordered(AtLeast(2, (often, instant, seldom)), statistics) == AtLeast(2, (often, instant, seldom))


@given(where=trees, limit=st.integers(1, 1000), order=st.sampled_from(["-updated_at", "external_id", "-entity_id"]))
@examples(100)
def test_a_search_that_is_kept_can_be_made_again(where: Any, limit: int, order: str) -> None:
    query = query_parse(
        {"where": [where] if isinstance(where, list) else where, "limit": limit, "order_by": order, "entity_type": "t"}
    )
    assert query_parse(orjson.loads(body_of(query))) == query
