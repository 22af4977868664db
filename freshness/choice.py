"""Which store answers: a pure function of the budget, the token, and what is known of each store.

# Note [Decision tree]
REALTIME        the primary.
NEAR_REALTIME   a replica less than 5 s behind; else a fresh cache; else the primary.
EVENTUAL        ClickHouse less than 60 s behind; else a replica; else the primary.
Where none qualifies, another stands in, honestly marked: a cache less than 5 s behind, else a replica, unless that is
10 s later than the freshest store, else the freshest store.
A query class may have a tree of its own (`freshness.policy`): a dashboard asks the cache first.
A store qualifies while its lag is known and within both the tree's limit and the request's own budget, and its position
has reached what the request needs: its consistency token, its cursor. Of several that qualify in one step, the one with
the smallest lag is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from freshness.policy import STAND_IN_CACHE_S, STAND_IN_REPLICA_S, Budget, SourceName


@dataclass(frozen=True, slots=True)
class Candidate:
    """A store as it is known now. name: "primary", "replica1", …; lag_s: an upper bound, None where unknown.

    position: the log position it has applied at least, on this timeline; up: False while its breaker is open;
    out_of: limits in seconds that its lag crossed and has not come back from clearly, see `freshness.breakers`.
    """

    name: str
    source: SourceName
    lag_s: float | None
    position: int | None
    up: bool = True
    timeline: int = 1
    out_of: frozenset[float] = frozenset()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided of a candidate. reason: empty for one that qualifies.

    reached: it has applied what the answer must show. One that has not is not asked, whatever else is down.
    """

    candidate: Candidate
    reason: str
    reached: bool = True

    @property
    def qualifies(self) -> bool:
        return not self.reason


def candidates_judge(
    *,
    budget: Budget,
    candidates: list[Candidate],
    needed_lsn: int = 0,
    needed_timeline: int = 0,
    wished_lsn: int = 0,
) -> list[Verdict]:
    """Return every candidate in the order in which they are to be tried, with the verdict on each.

    needed_lsn: what the answer must show, its consistency token and its cursor, on that timeline or a later one;
    wished_lsn: what it should show, on the newest.

    Those that qualify come first, in the order of the tree. Then, for when none of them answers after all, the others
    that are up: an honest late answer beats none. Last those that are down, with the reason.
    """
    order = tuple(budget.tree)
    freshest_s = min((_lag_s(one) for one in candidates if one.up and one.source != "primary"), default=inf)

    def step(verdict: Verdict) -> tuple[int, int, float]:
        candidate = verdict.candidate
        lag_s = _lag_s(candidate)
        if verdict.qualifies:
            return (0, order.index(candidate.source), lag_s)
        if not candidate.up:
            return (2, 0, lag_s)
        return (1, _stand_in_rank(candidate, freshest_s), lag_s)

    def verdict_on(candidate: Candidate) -> Verdict:
        reached = has_reached(candidate, needed_lsn, needed_timeline)
        reason = _reason(budget, candidate, reached=reached and has_reached(candidate, wished_lsn, needed_timeline))
        return Verdict(candidate, reason, reached)

    return sorted(map(verdict_on, candidates), key=step)


def _stand_in_rank(candidate: Candidate, freshest_s: float) -> int:
    lag_s = _lag_s(candidate)
    if candidate.source == "redis-cache" and lag_s < STAND_IN_CACHE_S:
        return 0
    if candidate.source == "read-replica" and lag_s < freshest_s + STAND_IN_REPLICA_S:
        return 1
    return 2


def _lag_s(candidate: Candidate) -> float:
    return inf if candidate.lag_s is None else candidate.lag_s


def lag_accepted(budget: Budget | None, source: SourceName, lag_s: float | None) -> bool:
    """Whether an answer of this lag from this source is within the tree's limit and the budget. The primary's is."""
    if budget is None or source == "primary":
        return True
    limit_s = budget.tree.get(source)
    return (
        lag_s is not None and limit_s is not None and lag_s < limit_s and (budget.sla_s is None or lag_s < budget.sla_s)
    )


def has_reached(candidate: Candidate, lsn: int, timeline: int = 0) -> bool:
    """Whether a store has applied a position of this timeline. The primary has: what is needed is from its log."""
    if candidate.source == "primary" or not lsn:
        return True
    return candidate.position is not None and candidate.timeline >= timeline and candidate.position >= lsn


def _reason(budget: Budget, candidate: Candidate, *, reached: bool) -> str:
    limits = budget.tree
    if not candidate.up:
        return "down"
    if candidate.source not in limits:
        return f"not a source of {budget.tier}"
    if not reached:
        return "has not reached the position that the request needs"
    if candidate.source != "primary":
        if candidate.lag_s is None:
            return "lag unknown"
        limit_s = limits[candidate.source]
        if candidate.lag_s >= limit_s:
            return f"lag {candidate.lag_s:.3f} s is not below {limit_s:g} s"
        if limit_s in candidate.out_of:
            return f"lag {candidate.lag_s:.3f} s, after it was above {limit_s:g} s, is not clearly below yet"
        if budget.sla_s is not None and candidate.lag_s >= budget.sla_s:
            return f"lag {candidate.lag_s:.3f} s is not below the budget of {budget.sla_s:g} s"
    return ""
