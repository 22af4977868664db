"""How new an answer must be: tiers, query classes and budgets, as data. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Tier: TypeAlias = Literal["REALTIME", "NEAR_REALTIME", "EVENTUAL"]
TIERS: Final[tuple[Tier, ...]] = ("REALTIME", "NEAR_REALTIME", "EVENTUAL")
OnStale: TypeAlias = Literal["serve", "wait", "fail"]
ON_STALE: Final[tuple[OnStale, ...]] = ("serve", "wait", "fail")
SourceName: TypeAlias = Literal["primary", "read-replica", "redis-cache", "stream", "clickhouse", "data-lake"]
# Which sources, in which order, and how far behind each may be to be taken, in seconds. The primary is never behind.
Tree: TypeAlias = Mapping[SourceName, float]

# The oldest answer each tier accepts, in seconds. EVENTUAL without a class of its own takes that of reporting.
TIER_SLA_S: Final[dict[Tier, float]] = {"REALTIME": 1.0, "NEAR_REALTIME": 10.0, "EVENTUAL": 300.0}

# The decision tree, see Note [Decision tree] in `freshness.choice`. A replica more than 10 s behind counts as failed
# whatever the tier.
TREE: Final[dict[Tier, Tree]] = {
    "REALTIME": {"primary": 0.5},
    "NEAR_REALTIME": {"read-replica": 5.0, "redis-cache": 5.0, "primary": 0.5},
    "EVENTUAL": {"clickhouse": 60.0, "read-replica": 10.0, "primary": 0.5},
}
# A cache fresher than this stands in, honestly marked, while a primary that was asked for is away.
STAND_IN_S: Final = 5.0
# What classes of their own do otherwise than their tier. Old data in ClickHouse is what they are made for: nobody wants
# a year's trend from a replica because ClickHouse is two minutes late.
_CLASS_TREE: Final[dict[str, Tree]] = {
    "dashboard": {"redis-cache": 5.0, "read-replica": 5.0, "primary": 0.5},
    "alert": {"stream": 30.0, "redis-cache": 30.0, "clickhouse": 30.0, "read-replica": 10.0, "primary": 0.5},
    "analytics": {"clickhouse": 1_800.0, "read-replica": 10.0, "primary": 0.5},
    "historical": {"clickhouse": 7_200.0, "data-lake": 7_200.0, "read-replica": 10.0, "primary": 0.5},
    "compliance": {"data-lake": 86_400.0, "clickhouse": 86_400.0, "read-replica": 10.0, "primary": 0.5},
}
# The class of each operation whose request says nothing of freshness itself.
OPERATION_CLASS: Final[dict[str, str]] = {
    "entity": "critical",
    "value": "critical",
    "search": "operational",
    "attributes": "operational",
    "jobs": "critical",
    "history": "historical",
    "state": "historical",
    "aggregate": "reporting",
}


@dataclass(frozen=True, slots=True)
class QueryClass:
    """A row of the budget matrix. sla_s: None is best effort; max_lag_s: what its source is expected to keep."""

    name: str
    tier: Tier
    sla_s: float | None
    source: SourceName
    max_lag_s: float
    fallback: str

    @property
    def tree(self) -> Tree:
        return _CLASS_TREE.get(self.name, TREE[self.tier])


QUERY_CLASSES: Final[dict[str, QueryClass]] = {
    row.name: row
    for row in (
        QueryClass("critical", "REALTIME", 1.0, "primary", 0.5, "synchronous write and cache"),
        QueryClass("dashboard", "NEAR_REALTIME", 5.0, "redis-cache", 3.0, "replica on a miss"),
        QueryClass("operational", "NEAR_REALTIME", 10.0, "read-replica", 5.0, "primary if the replica lags over 5 s"),
        QueryClass("alert", "EVENTUAL", 30.0, "stream", 15.0, "cached aggregates"),
        QueryClass("reporting", "EVENTUAL", 300.0, "clickhouse", 300.0, "pre-computed materialised views"),
        QueryClass("analytics", "EVENTUAL", 1_800.0, "clickhouse", 1_800.0, "batch-computed aggregates"),
        QueryClass("historical", "EVENTUAL", 7_200.0, "clickhouse", 7_200.0, "data lake"),
        QueryClass("compliance", "EVENTUAL", None, "data-lake", 86_400.0, "archive"),
    )
}


@dataclass(frozen=True, slots=True)
class Budget:
    """What a request asks of its answer. sla_s: the oldest it accepts, None for any age.

    own_tree: the class's, where it differs from the tier's.
    """

    tier: Tier
    sla_s: float | None
    on_stale: OnStale = "serve"
    wait_ms: int = 0
    own_tree: Tree | None = None

    @property
    def tree(self) -> Tree:
        return TREE[self.tier] if self.own_tree is None else self.own_tree


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request's headers say of freshness. tier, max_lag_s: None where they leave it to the operation's class."""

    tier: Tier | None = None
    max_lag_s: float | None = None
    on_stale: OnStale = "serve"
    wait_ms: int = 0


def budget_settle(*, wish: Wish, query_class: str) -> Budget:
    """The budget of one operation: the request's wish, and what it leaves open from the operation's class.

    A bare number of seconds means the tier in whose range it lies: 2.5 is a tight NEAR_REALTIME, not a loose REALTIME.
    """
    row = QUERY_CLASSES[query_class]
    tier, sla_s = row.tier, row.sla_s
    if wish.tier is not None:
        tier, sla_s = wish.tier, TIER_SLA_S[wish.tier]
    elif wish.max_lag_s is not None:
        tier = next((name for name in TIERS if wish.max_lag_s <= TIER_SLA_S[name]), "EVENTUAL")
        sla_s = wish.max_lag_s
    if wish.max_lag_s is not None:
        sla_s = wish.max_lag_s if sla_s is None else min(sla_s, wish.max_lag_s)
    # A request that asks for the class's own tier, or for nothing, goes the class's way.
    own_tree = _CLASS_TREE.get(query_class) if tier == row.tier else None
    return Budget(tier, sla_s, wish.on_stale, wish.wait_ms, own_tree)


def freshness_word(lag_s: float | None) -> str:
    """The word for how fresh an answer turned out: the strictest tier that its lag meets."""
    if lag_s is not None and lag_s < TIER_SLA_S["REALTIME"]:
        return "realtime"
    if lag_s is not None and lag_s < TIER_SLA_S["NEAR_REALTIME"]:
        return "near-realtime"
    return "eventual"


def lag_shown(lag_s: float | None) -> float | None:
    """A lag as answers state it: milliseconds, rounded up, since it is an upper bound."""
    return None if lag_s is None else math.ceil(lag_s * 1000) / 1000


def sla_met(budget: Budget, lag_s: float | None) -> bool | None:
    """Whether an answer of this lag keeps the budget; None where the lag is not known.

    The budget is the oldest age that is accepted: a lag of 0 keeps even `X-Max-Lag-Seconds: 0`.
    """
    if budget.sla_s is None:
        return True
    return None if lag_s is None else lag_s <= budget.sla_s
