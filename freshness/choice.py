"""Which store answers: a pure function of the budget, the token, and what is known of each store.

# Note [Decision tree]
REALTIME        the primary; else the freshest other store, honestly marked.
NEAR_REALTIME   a replica less than 5 s behind; else a fresh cache; else the primary.
EVENTUAL        ClickHouse less than 60 s behind; else a replica; else the primary.
A store qualifies while its lag is known and within both the tree's limit and the request's own budget, and its position
has reached what the request needs: its consistency token, its cursor. Of several that qualify in one step, the one with
the smallest lag is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from freshness.policy import Budget, Source, Tier

# How far behind a store may be for the tree to take it, in seconds.
LIMIT_S: Final[dict[Source, float]] = {
    "primary": 0.5,
    "read-replica": 5.0,
    "redis-cache": 5.0,
    "stream": 15.0,
    "clickhouse": 60.0,
    "data-lake": 86_400.0,
}
ORDER: Final[dict[Tier, tuple[Source, ...]]] = {
    "REALTIME": ("primary",),
    "NEAR_REALTIME": ("read-replica", "redis-cache", "primary"),
    "EVENTUAL": ("clickhouse", "read-replica", "primary"),
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A store as it is known now. name: "primary", "replica1", …; lag_s: an upper bound, None where unknown.

    position: the log position it has applied at least; up: False while its breaker is open.
    """

    name: str
    source: Source
    lag_s: float | None
    position: int | None
    up: bool = True


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided of a candidate. reason: empty for one that qualifies."""

    candidate: Candidate
    reason: str

    @property
    def qualifies(self) -> bool:
        return not self.reason


def candidates_judge(*, budget: Budget, needed_lsn: int, candidates: list[Candidate]) -> list[Verdict]:
    """Return every candidate in the order in which they are to be tried, with the verdict on each.

    Those that qualify come first, in the order of the tree. Then, for when none of them answers after all, the others
    that are up, freshest first: an honest late answer beats none. Last those that are down, with the reason.
    """
    order = ORDER[budget.tier]

    def step(verdict: Verdict) -> tuple[int, int, float]:
        candidate = verdict.candidate
        place = order.index(candidate.source) if candidate.source in order else len(order)
        lag = float("inf") if candidate.lag_s is None else candidate.lag_s
        if verdict.qualifies:
            return (0, place, lag)
        return (1 if candidate.up else 2, 0, lag)

    return sorted(
        (Verdict(candidate, _reason(budget, needed_lsn, candidate, order)) for candidate in candidates), key=step
    )


def _reason(budget: Budget, needed_lsn: int, candidate: Candidate, order: tuple[Source, ...]) -> str:
    if not candidate.up:
        return "down"
    if candidate.source not in order:
        return f"not a source of {budget.tier}"
    if candidate.source != "primary":
        if candidate.lag_s is None:
            return "lag unknown"
        limit_s = LIMIT_S[candidate.source]
        if candidate.lag_s >= limit_s:
            return f"lag {candidate.lag_s:.3f} s is not below {limit_s:g} s"
        if budget.sla_s is not None and candidate.lag_s >= budget.sla_s:
            return f"lag {candidate.lag_s:.3f} s is not below the budget of {budget.sla_s:g} s"
        if needed_lsn and (candidate.position is None or candidate.position < needed_lsn):
            return "has not reached the position that the request needs"
    return ""
