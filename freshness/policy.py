"""How new an answer must be: tiers, query classes and budgets, as data. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Tier: TypeAlias = Literal["REALTIME", "NEAR_REALTIME", "EVENTUAL"]
TIERS: Final[tuple[Tier, ...]] = ("REALTIME", "NEAR_REALTIME", "EVENTUAL")
OnStale: TypeAlias = Literal["serve", "wait", "fail"]
ON_STALE: Final[tuple[OnStale, ...]] = ("serve", "wait", "fail")
Source: TypeAlias = Literal["primary", "read-replica", "redis-cache", "stream", "clickhouse", "data-lake"]

# The oldest answer each tier accepts, in seconds. EVENTUAL without a class of its own takes that of reporting.
TIER_SLA_S: Final[dict[Tier, float]] = {"REALTIME": 1.0, "NEAR_REALTIME": 10.0, "EVENTUAL": 300.0}


@dataclass(frozen=True, slots=True)
class QueryClass:
    """A row of the budget matrix. sla_s: None is best effort; max_lag_s: what its source is expected to keep."""

    name: str
    tier: Tier
    sla_s: float | None
    source: Source
    max_lag_s: float
    fallback: str


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
    """What a request asks of its answer. sla_s: the oldest it accepts, None for any age."""

    tier: Tier
    sla_s: float | None
    on_stale: OnStale = "serve"
    wait_ms: int = 0


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
    return Budget(tier, sla_s, wish.on_stale, wish.wait_ms)


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
