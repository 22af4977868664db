"""How new an answer must be: tiers, query classes and budgets, as data. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

Tier: TypeAlias = Literal["REALTIME", "NEAR_REALTIME", "EVENTUAL"]
TIERS: Final[tuple[Tier, ...]] = ("REALTIME", "NEAR_REALTIME", "EVENTUAL")
OnStale: TypeAlias = Literal["serve", "wait", "fail"]
ON_STALE: Final[tuple[OnStale, ...]] = ("serve", "wait", "fail")
# Who settled a budget, see Note [Whose budget].
Origin: TypeAlias = Literal["class", "tenant", "header", "attribute"]
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
# What stands in where no store qualifies, see Note [Decision tree] in `freshness.choice`.
STAND_IN_CACHE_S: Final = 5.0
STAND_IN_REPLICA_S: Final = 10.0
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
    "overview": "dashboard",
    "attributes": "operational",
    "jobs": "critical",
    "history": "historical",
    "state": "historical",
    "aggregate": "reporting",
    "defaults": "critical",
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
class Limit:
    """How fresh something must be. tier, max_lag_s: None where it says nothing of it; one of them says something."""

    tier: Tier | None = None
    max_lag_s: float | None = None

    def read(self, *, tier: Tier, sla_s: float | None) -> tuple[Tier, float | None]:
        """The tier and the oldest age that this means; what it leaves open is as given.

        A bare number of seconds means the tier in whose range it lies: 2.5 is a tight NEAR_REALTIME, not a loose
        REALTIME.
        """
        if self.tier is not None:
            tier, sla_s = self.tier, TIER_SLA_S[self.tier]
        elif self.max_lag_s is not None:
            tier, sla_s = tier_of(self.max_lag_s), self.max_lag_s
        if self.max_lag_s is not None:
            sla_s = self.max_lag_s if sla_s is None else min(sla_s, self.max_lag_s)
        return tier, sla_s


_NOTHING: Final = Limit()


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a tenant has settled for itself. classes: by query class, for requests whose headers say nothing.

    attributes: by name, how fresh an answer that tells of this attribute must be at least, whatever the headers say.
    """

    classes: Mapping[str, Limit] = field(default_factory=dict)
    attributes: Mapping[str, Limit] = field(default_factory=dict)

    def floor(self, attributes: Collection[str] | None) -> tuple[Tier, float | None, str] | None:
        """The strictest tier and the smallest age that these attributes ask for, and the name of the strictest one.

        attributes: None for all of the tenant's. None where none of them asks for anything.
        """
        if not self.attributes:
            return None
        names = self.attributes if attributes is None else [name for name in attributes if name in self.attributes]
        floors = [(*self.attributes[name].read(tier="EVENTUAL", sla_s=None), name) for name in names]
        if not floors:
            return None
        ages = [sla_s for _, sla_s, _ in floors if sla_s is not None]
        strictest = min(floors, key=lambda floor: (TIERS.index(floor[0]), math.inf if floor[1] is None else floor[1]))
        return strictest[0], min(ages, default=None), strictest[2]


NO_DEFAULTS: Final = Defaults()


@dataclass(frozen=True, slots=True)
class Budget:
    """What a request asks of its answer. sla_s: the oldest it accepts, None for any age.

    own_tree: the class's, where it differs from the tier's. origin: who settled it; origin_name: of which attribute.
    """

    tier: Tier
    sla_s: float | None
    on_stale: OnStale = "serve"
    wait_ms: int = 0
    own_tree: Tree | None = None
    origin: Origin = "class"
    origin_name: str = ""

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


def budget_settle(
    *,
    wish: Wish,
    query_class: str,
    defaults: Defaults = NO_DEFAULTS,
    attributes: Collection[str] | None = (),
) -> Budget:
    """The budget of one operation.

    defaults: the tenant's; attributes: whose values the answer tells or rests on, None for any that there are.

    # Note [Whose budget]
    The request's headers come first; where they say nothing, the tenant's default for the class; where there is none,
    the class itself. Below that lies the floor of each attribute that the answer tells of: it can make the budget
    tighter, never looser, and headers can't undercut it.
    """
    row = QUERY_CLASSES[query_class]
    origin: Origin = "header"
    origin_name = ""
    asked = Limit(wish.tier, wish.max_lag_s)
    if asked == _NOTHING:
        asked, origin = defaults.classes.get(query_class, _NOTHING), "tenant"
    if asked == _NOTHING:
        origin = "class"
    tier, sla_s = asked.read(tier=row.tier, sla_s=row.sla_s)
    floor = defaults.floor(attributes)
    if floor is not None:
        stricter_tier = min(tier, floor[0], key=TIERS.index)
        stricter_s = min((age for age in (sla_s, floor[1]) if age is not None), default=None)
        if (stricter_tier, stricter_s) != (tier, sla_s):
            tier, sla_s, origin, origin_name = stricter_tier, stricter_s, "attribute", floor[2]
    # A request that asks for the class's own tier, or for nothing, goes the class's way.
    own_tree = _CLASS_TREE.get(query_class) if tier == row.tier else None
    return Budget(tier, sla_s, wish.on_stale, wish.wait_ms, own_tree, origin, origin_name)


def tier_of(max_lag_s: float) -> Tier:
    """The tier in whose range an age lies."""
    return next((name for name in TIERS if max_lag_s <= TIER_SLA_S[name]), "EVENTUAL")


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
