"""The loop: settle the budget, judge the stores, ask the best; when it can't answer after all, the next one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection
from typing import Any, Final, TypeVar

from freshness.choice import Candidate, Verdict, candidates_judge
from freshness.defaults import budget_now
from freshness.escalation import escalation_take
from freshness.monitor import monitor
from freshness.own_writes import own_writes
from freshness.policy import OPERATION_CLASS, Budget
from freshness.reads.attempt import Attempt, NotThisOne, ReadSource
from freshness.reads.problems import NoStoreAnswers, PositionNotReached, StaleBeyondBudget, WriteLost
from freshness.reads.stores import candidates_now
from freshness.state import FreshnessState, freshness_state
from freshness.timelines import NOWHERE, Position, position_both, position_is_lost
from tenants.binding import tenant_current

T = TypeVar("T")

POLL_S: Final = 0.02
# A read that would move to the primary waits for a replica instead where that takes no longer than this: about what
# the primary's answer costs.
_CHEAP_WAIT_S: Final = 0.05
# How long a read with a token waits for a store to get there before it is refused.
REACH_S: Final = 1.5


def read_through(
    reader: Callable[[ReadSource], T] | None,
    *,
    operation: str,
    attributes: Collection[str] | None,
    request: object = None,
    query_class: str | None = None,
    at_least: Position = NOWHERE,
) -> T:
    """Return what the best store for this class of query answers.

    reader: reads a database, inside one snapshot of it; it may be called again on another one where the first fails.
        None where no database can answer, only registered readers.
    operation, request: what the registered readers of other sources go by; no request, no other sources.
    attributes: whose values the answer tells or rests on, () for none, None for any; see Note [Whose budget].
    query_class: a row of the budget matrix; by default the operation's own.
    at_least: a log position that the store must have reached, besides the request's consistency token.
    Raises StaleBeyondBudget with X-On-Stale: fail; PositionNotReached; WriteLost; QueryTimeout; NoStoreAnswers; and
    what the reader raises.
    """
    state = freshness_state()
    state.operation = operation
    state.budget = budget = budget_now(
        wish=state.wish, query_class=query_class or OPERATION_CLASS[operation], attributes=attributes
    )
    tenant = tenant_current()
    own = NOWHERE if tenant is None else own_writes.position((tenant.pk, state.asker))
    needed = position_needed(state, at_least)
    asked = operation if request is not None else None
    attempt = Attempt(reader, operation, request, needed, state)
    deadline = time.monotonic() + REACH_S
    while True:
        verdicts = _judged(budget, needed, own, asked)
        state.verdicts = _protected(verdicts, budget, 0 if tenant is None else tenant.pk)
        try:
            answer: T = _first_answer(attempt, state.verdicts, budget)
        except PositionNotReached:
            # Somebody is on the way there, or a promotion is being noted: a moment is better than a refusal.
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)
            needed = position_needed(state, at_least)
        else:
            return answer


def _first_answer(attempt: Attempt, verdicts: list[Verdict], budget: Budget) -> Any:
    """Try one candidate after the other."""
    unreached = False
    for place, verdict in enumerate(verdicts):
        if verdict.reason == "down":
            continue
        if not verdict.reached:
            unreached = True
            continue
        if budget.on_stale == "fail" and not verdict.qualifies:
            break
        try:
            # The last that qualifies answers also where it turns out later than it seemed.
            return attempt.read(verdict, is_last=not any(later.qualifies for later in verdicts[place + 1 :]))
        except NotThisOne as other:
            unreached = unreached or other.unreached
    if budget.on_stale == "fail":
        raise StaleBeyondBudget(sources={verdict.candidate.name: verdict.reason for verdict in verdicts})
    raise PositionNotReached if unreached else NoStoreAnswers


def position_needed(state: FreshnessState, at_least: Position = NOWHERE) -> Position:
    """What an answer must show: the request's token, and a cursor's position. Raises WriteLost."""
    named = [at_least]
    if state.token is not None:
        named.append(Position(state.token.timeline, state.token.lsn))
    began = monitor().timelines
    if any(position_is_lost(position, began) for position in named):
        raise WriteLost
    return position_both(*named) if len(named) > 1 else named[0]


def _judged(budget: Budget, needed: Position, own: Position, operation: str | None) -> list[Verdict]:
    """The candidates in order. With X-On-Stale: wait, after as much waiting as leads to something."""
    began = time.monotonic()
    while True:
        verdicts = candidates_judge(
            budget=budget,
            needed_lsn=needed.lsn,
            needed_timeline=max(needed.timeline, own.timeline),
            wished_lsn=own.lsn,
            candidates=candidates_now(operation=operation),
        )
        if budget.on_stale != "wait":
            return verdicts
        left_s = budget.wait_ms / 1000 - (time.monotonic() - began)
        if left_s <= 0 or not _is_worth_waiting(verdicts, budget, max(needed.lsn, own.lsn), left_s):
            return verdicts
        time.sleep(min(POLL_S, left_s))


def _is_worth_waiting(verdicts: list[Verdict], budget: Budget, lsn: int, left_s: float) -> bool:
    """Whether somebody who is about to be able to answer is better than who can answer now."""
    first = verdicts[0]
    if first.qualifies:
        if first.candidate.source != "primary" or budget.tier == "REALTIME":
            return False
        # The read would move to the primary only because others are late: for a moment they are the cheaper way.
        left_s = min(left_s, _CHEAP_WAIT_S)
    elif budget.tier == "REALTIME" or not any(verdict.candidate.up for verdict in verdicts):
        # Whether the primary comes back nobody can predict; it was asked to be awaited.
        return True
    return any(_qualifies_in_s(verdict.candidate, budget, lsn) <= left_s for verdict in verdicts)


def _qualifies_in_s(candidate: Candidate, budget: Budget, lsn: int) -> float:
    """Seconds until a store that does not qualify now is expected to; infinite where it is not."""
    limit_s = budget.tree.get(candidate.source)
    if not candidate.up or candidate.source == "primary" or limit_s is None or candidate.lag_s is None:
        return math.inf
    progress = monitor().progress(candidate.name)
    if budget.sla_s is not None:
        limit_s = min(limit_s, budget.sla_s)
    waits = (progress.reaches_in_s(lsn), progress.is_within_in_s(lag_s=candidate.lag_s, limit_s=limit_s))
    return max(math.inf if wait is None else wait for wait in waits)


def _protected(verdicts: list[Verdict], budget: Budget, tenant_id: int) -> list[Verdict]:
    """The same verdicts, with the primary put last where a read would only escalate to it and the budget is spent.

    A read whose position no replica has reached goes to the primary all the same: it must not miss what it names.
    """
    first = verdicts[0]
    late = [verdict for verdict in verdicts[1:] if verdict.candidate.up and verdict.reached]
    if first.candidate.source != "primary" or not first.qualifies or budget.tier == "REALTIME":
        return verdicts
    if not late or escalation_take(tenant_id):
        return verdicts
    refused = Verdict(first.candidate, "the escalation budget is spent")
    return [*late, refused, *(verdict for verdict in verdicts[1:] if verdict not in late)]
