"""What a request asked for and what its answer turned out to be. One ContextVar, one door."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from freshness.policy import Budget, Source, Wish, sla_met
from freshness.tokens import ConsistencyToken, lsn_text


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of an answer. lag_s: an upper bound of its age in seconds, None where unknown.

    position: the log position that it reflects at least; replication_lag_s: that of the replica that gave it.
    """

    source: Source
    lag_s: float | None
    position: int
    cache_hit: bool = False
    replication_lag_s: float | None = 0.0


@dataclass(slots=True)
class FreshnessState:
    """wish, token: from the request; budget: None until the operation is known; written: a write's token."""

    wish: Wish = field(default_factory=Wish)
    token: ConsistencyToken | None = None
    budget: Budget | None = None
    answer: Answer | None = None
    written: ConsistencyToken | None = None

    def metadata(self) -> dict[str, Any]:
        """The `freshness` member of an answer's body."""
        if self.budget is None or self.answer is None:
            raise RuntimeError("The freshness of an answer is known only after it was read.")
        return {
            "tier": self.budget.tier,
            "lag_seconds": self.answer.lag_s,
            "source": self.answer.source,
            "sla_target": self.budget.sla_s,
            "sla_met": sla_met(self.budget, self.answer.lag_s),
            "position": lsn_text(self.answer.position),
        }


_state: ContextVar[FreshnessState | None] = ContextVar("freshness_state", default=None)


@contextmanager
def freshness_scope(state: FreshnessState) -> Iterator[FreshnessState]:
    """Do what is inside under this state. Middleware, tasks and tests all enter here."""
    token = _state.set(state)
    try:
        yield state
    finally:
        _state.reset(token)


def freshness_state() -> FreshnessState:
    """The state of this context; a fresh one, that asks for nothing, where nobody entered a scope."""
    return _state.get() or FreshnessState()
