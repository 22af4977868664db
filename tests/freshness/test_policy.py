"""Budgets, as arithmetic."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freshness.policy import (
    QUERY_CLASSES,
    TIER_SLA_S,
    TIERS,
    Budget,
    Defaults,
    Limit,
    Wish,
    budget_settle,
    freshness_word,
    sla_met,
)

# The budget matrix of the contract: class, tier of its decision tree, SLA in seconds.
MATRIX = [
    ("critical", "REALTIME", 1),
    ("dashboard", "NEAR_REALTIME", 5),
    ("operational", "NEAR_REALTIME", 10),
    ("alert", "EVENTUAL", 30),
    ("reporting", "EVENTUAL", 5 * 60),
    ("analytics", "EVENTUAL", 30 * 60),
    ("historical", "EVENTUAL", 2 * 3600),
    ("compliance", "EVENTUAL", None),
]


@pytest.mark.parametrize(("name", "tier", "sla_s"), MATRIX)
def test_a_request_that_asks_for_nothing_gets_its_operations_class(name: str, tier: str, sla_s: float | None) -> None:
    budget = budget_settle(wish=Wish(), query_class=name)
    assert (budget.tier, budget.sla_s) == (tier, sla_s)


def test_a_dashboard_asks_the_cache_first_unless_the_request_names_another_tier() -> None:
    assert next(iter(budget_settle(wish=Wish(), query_class="dashboard").tree)) == "redis-cache"
    assert next(iter(budget_settle(wish=Wish(tier="NEAR_REALTIME"), query_class="dashboard").tree)) == "redis-cache"
    assert next(iter(budget_settle(wish=Wish(tier="EVENTUAL"), query_class="dashboard").tree)) == "clickhouse"


def test_the_matrix_has_no_other_class() -> None:
    assert list(QUERY_CLASSES) == [name for name, _, _ in MATRIX]


@pytest.mark.parametrize("name", list(QUERY_CLASSES))
@pytest.mark.parametrize(("tier", "sla_s"), [("REALTIME", 1), ("NEAR_REALTIME", 10), ("EVENTUAL", 300)])
def test_a_tier_replaces_the_class(name: str, tier: str, sla_s: float) -> None:
    budget = budget_settle(wish=Wish(tier=tier), query_class=name)  # type: ignore[arg-type]  # From a table.
    assert (budget.tier, budget.sla_s) == (tier, sla_s)


@pytest.mark.parametrize(
    ("max_lag_s", "tier"),
    [
        (0, "REALTIME"),
        (1, "REALTIME"),
        (1.001, "NEAR_REALTIME"),
        (10, "NEAR_REALTIME"),
        (11, "EVENTUAL"),
        (1e9, "EVENTUAL"),
    ],
)
def test_a_bare_lag_means_the_tier_in_whose_range_it_lies(max_lag_s: float, tier: str) -> None:
    budget = budget_settle(wish=Wish(max_lag_s=max_lag_s), query_class="operational")
    assert (budget.tier, budget.sla_s) == (tier, max_lag_s)


@pytest.mark.parametrize(("max_lag_s", "sla_s"), [(2.5, 2.5), (60, 10)])
def test_a_lag_beside_a_tier_only_tightens_it(max_lag_s: float, sla_s: float) -> None:
    budget = budget_settle(wish=Wish(tier="NEAR_REALTIME", max_lag_s=max_lag_s), query_class="critical")
    assert (budget.tier, budget.sla_s) == ("NEAR_REALTIME", sla_s)


def test_a_lag_bounds_what_was_best_effort() -> None:
    assert budget_settle(wish=Wish(max_lag_s=100), query_class="compliance").sla_s == 100


def test_what_to_do_when_stale_passes_through() -> None:
    budget = budget_settle(wish=Wish(on_stale="wait", wait_ms=250), query_class="critical")
    assert (budget.on_stale, budget.wait_ms) == ("wait", 250)


@pytest.mark.parametrize(
    ("lag_s", "word"),
    [
        (0.0, "realtime"),
        (0.999, "realtime"),
        (1.0, "near-realtime"),
        (9.99, "near-realtime"),
        (10.0, "eventual"),
        (None, "eventual"),
    ],
)
def test_the_word_is_the_strictest_tier_that_the_lag_meets(lag_s: float | None, word: str) -> None:
    assert freshness_word(lag_s) == word


@pytest.mark.parametrize(
    ("sla_s", "lag_s", "met"),
    [(5.0, 4.9, True), (5.0, 5.1, False), (5.0, None, None), (None, None, True), (None, 1e9, True), (0.0, 0.0, True)],
)
def test_a_budget_is_kept_broken_or_unknown_but_never_guessed(
    sla_s: float | None, lag_s: float | None, met: bool | None
) -> None:
    assert sla_met(Budget("NEAR_REALTIME", sla_s), lag_s) is met


def test_tiers_are_ordered_from_strict_to_loose() -> None:
    limits = [budget_settle(wish=Wish(tier=tier), query_class="critical").sla_s for tier in TIERS]
    assert limits == sorted(limits, key=lambda limit: limit or 0.0)


LIMITS = st.builds(
    Limit, tier=st.sampled_from(TIERS), max_lag_s=st.none() | st.floats(0, 10_000, allow_nan=False)
) | st.builds(Limit, tier=st.none(), max_lag_s=st.floats(0, 10_000, allow_nan=False))
WISHES = st.builds(Wish, tier=st.none() | st.sampled_from(TIERS), max_lag_s=st.none() | st.floats(0, 10_000))
NAMES = st.sampled_from(["price", "stock", "colour"])
DEFAULTS = st.builds(
    Defaults,
    classes=st.dictionaries(st.sampled_from(list(QUERY_CLASSES)), LIMITS, max_size=3),
    attributes=st.dictionaries(NAMES, LIMITS, max_size=3),
)


def age(budget: Budget) -> float:
    return math.inf if budget.sla_s is None else budget.sla_s


def test_a_tenants_default_holds_where_a_request_says_nothing() -> None:
    defaults = Defaults(classes={"operational": Limit("REALTIME"), "reporting": Limit(None, 20.0)})
    searched = budget_settle(wish=Wish(), query_class="operational", defaults=defaults)
    assert (searched.tier, searched.sla_s, searched.origin) == ("REALTIME", 1.0, "tenant")
    counted = budget_settle(wish=Wish(), query_class="reporting", defaults=defaults)
    assert (counted.tier, counted.sla_s, counted.origin) == ("EVENTUAL", 20.0, "tenant")
    other = budget_settle(wish=Wish(), query_class="critical", defaults=defaults)
    assert (other.sla_s, other.origin) == (1.0, "class")


def test_headers_come_before_a_tenants_default_and_an_attribute_before_both() -> None:
    defaults = Defaults({"operational": Limit("REALTIME")}, {"price": Limit("NEAR_REALTIME", 2.5)})
    eventual = Wish(tier="EVENTUAL")
    asked = budget_settle(wish=eventual, query_class="operational", defaults=defaults, attributes=["stock"])
    assert (asked.tier, asked.origin) == ("EVENTUAL", "header")
    for attributes in (["stock", "price"], None):
        told = budget_settle(wish=eventual, query_class="operational", defaults=defaults, attributes=attributes)
        assert (told.tier, told.sla_s, told.origin, told.origin_name) == ("NEAR_REALTIME", 2.5, "attribute", "price")
    # Stricter than the floor already: nothing is changed, and nobody else is named.
    kept = budget_settle(wish=Wish(), query_class="operational", defaults=defaults, attributes=None)
    assert (kept.tier, kept.sla_s, kept.origin) == ("REALTIME", 1.0, "tenant")


@given(wish=WISHES, query_class=st.sampled_from(list(QUERY_CLASSES)), defaults=DEFAULTS, attributes=st.lists(NAMES))
def test_a_floor_is_never_undercut_and_loosens_nothing(
    wish: Wish, query_class: str, defaults: Defaults, attributes: list[str]
) -> None:
    plain = budget_settle(wish=wish, query_class=query_class, defaults=defaults)
    budget = budget_settle(wish=wish, query_class=query_class, defaults=defaults, attributes=attributes)
    assert TIERS.index(budget.tier) <= TIERS.index(plain.tier) and age(budget) <= age(plain)
    for name in attributes:
        if (limit := defaults.attributes.get(name)) is not None:
            if limit.tier is not None:
                assert TIERS.index(budget.tier) <= TIERS.index(limit.tier) and age(budget) <= TIER_SLA_S[limit.tier]
            assert limit.max_lag_s is None or age(budget) <= limit.max_lag_s
    if (wish.tier, wish.max_lag_s) != (None, None):
        assert plain == budget_settle(wish=wish, query_class=query_class)
    assert budget.origin != "attribute" or budget.origin_name in attributes


@given(wish=WISHES, query_class=st.sampled_from(list(QUERY_CLASSES)))
def test_without_defaults_nothing_is_settled_by_a_tenant(wish: Wish, query_class: str) -> None:
    budget = budget_settle(wish=wish, query_class=query_class, attributes=None)
    assert budget.origin == ("class" if wish == Wish() else "header")
