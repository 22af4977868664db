"""What a request asked for and what its answer turned out to be. One ContextVar, one door."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from freshness.choice import Verdict
from freshness.policy import Budget, SourceName, Wish, lag_shown, sla_met
from freshness.timelines import NOWHERE, Position
from freshness.tokens import ConsistencyToken, lsn_text


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of an answer. lag_s: an upper bound of its age in seconds, None where unknown.

    position: the log position that it reflects at least; replication_lag_s: that of the replica that gave it;
    store: which of the source's stores it was, "replica1" say.
    """

    source: SourceName
    lag_s: float | None
    position: int
    cache_hit: bool = False
    replication_lag_s: float | None = 0.0
    store: str = ""


@dataclass(slots=True)
class FreshnessState:
    """What one request asked, and what it got.

    asker: whose later reads shall see this request's write; wish, token: from the headers; budget: None until the
    operation is known; written: a write's token; verdicts: on each store, in the order of trying; operation: what was
    read. Of reads by the ORM: orm_class: their query class, None for the primary; seen: what earlier requests may have
    written; wrote: whether something may have been written by this one, so that the rest is read from the primary;
    database: which one was settled; at_most: nothing that it showed then is newer. is_explained: whether the answer
    shall tell its route.
    """

    asker: str = ""
    wish: Wish = field(default_factory=Wish)
    token: ConsistencyToken | None = None
    budget: Budget | None = None
    answer: Answer | None = None
    written: ConsistencyToken | None = None
    verdicts: list[Verdict] = field(default_factory=list)
    operation: str = ""
    orm_class: str | None = None
    seen: Position = NOWHERE
    wrote: bool = False
    database: str | None = None
    at_most: str = ""
    is_explained: bool = False

    def sla_met(self) -> bool | None:
        """Whether the answer keeps the budget; None where its lag is not known.

        Without the primary nobody can tell that an answer is the latest, so REALTIME is not met by another store.
        """
        if self.budget is None or self.answer is None:
            return None
        if self.budget.tier == "REALTIME" and self.answer.source != "primary":
            return False
        return sla_met(self.budget, self.answer.lag_s)

    def metadata(self) -> dict[str, Any]:
        """The `freshness` member of an answer's body."""
        if self.budget is None or self.answer is None:
            raise RuntimeError("The freshness of an answer is known only after it was read.")
        return {
            "tier": self.budget.tier,
            "lag_seconds": lag_shown(self.answer.lag_s),
            "source": self.answer.source,
            "sla_target": self.budget.sla_s,
            "sla_met": self.sla_met(),
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


def freshness_state_entered() -> FreshnessState | None:
    """The state of the scope that we are in; None outside of any."""
    return _state.get()
