"""Pages and the ORM: one database for many reads of one scope. See Note [Reads of the ORM] in `freshness.routers`."""

from __future__ import annotations

import time
from collections.abc import Collection

from django.db import connections

from freshness.choice import Candidate, candidates_judge
from freshness.defaults import budget_now
from freshness.monitor import PRIMARY
from freshness.policy import Budget
from freshness.reads.attempt import NotThisOne, ReadSource, reached_require
from freshness.reads.facts import facts_before, facts_read
from freshness.reads.problems import CONNECTION_ERRORS, NoStoreAnswers, PositionNotReached, is_store_failure
from freshness.reads.stores import alias_of, databases_now, store_failed
from freshness.reads.through import POLL_S, REACH_S, position_needed
from freshness.state import Answer, FreshnessState, freshness_state, freshness_state_entered
from freshness.timelines import NOWHERE, Position


def primary_source(*, query_class: str) -> ReadSource:
    """The primary, for a page that makes several reads of its own and shows the latest of everything.

    While it does not answer, the freshest replica, which is noted as the answer's. Raises NoStoreAnswers.
    """
    return _page_source(query_class=query_class, attributes=(), is_primary=True)


def page_source(*, query_class: str, attributes: Collection[str] | None = ()) -> ReadSource:
    """The database that meets the class's budget, for a page that makes several reads of its own.

    attributes: whose values it shows, None for any. Raises NoStoreAnswers.
    """
    return _page_source(query_class=query_class, attributes=attributes, is_primary=False)


def _page_source(*, query_class: str, attributes: Collection[str] | None, is_primary: bool) -> ReadSource:
    state = freshness_state()
    budget = budget_now(wish=state.wish, query_class=query_class, attributes=attributes)
    primary, *_ = databases_now()
    alias: str | None = None
    if state.wrote:
        alias = _database_note(state, primary, budget=budget)
    elif is_primary and primary.up:
        alias = _database_tried(state, primary, budget=budget)
    if alias is None:
        state.database = None
        alias = database_settle(state, budget=budget)
    if state.answer is None:
        raise NoStoreAnswers
    return ReadSource(using=alias, position=state.at_most)


def scope_database() -> str:
    """The alias that reads of this scope go to: settled once, by its class and wish; the primary outside of any.

    Raises NoStoreAnswers, PositionNotReached.
    """
    state = freshness_state_entered()
    if state is None or state.orm_class is None or state.wrote or connections[PRIMARY].in_atomic_block:
        return PRIMARY
    return database_settle(state, budget=budget_now(wish=state.wish, query_class=state.orm_class, attributes=None))


def database_settle(state: FreshnessState, *, budget: Budget) -> str:
    """The alias of the database that reads of this scope go to, settled once. See Note [Reads of the ORM].

    Raises NoStoreAnswers, PositionNotReached.
    """
    deadline = time.monotonic() + REACH_S
    while state.database is None:
        try:
            state.database = _database_settled(state, budget=budget)
        except PositionNotReached:
            # As in `read_through`: a replica is on the way there, or the primary's breaker is about to close.
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)
    return state.database


def _database_settled(state: FreshnessState, *, budget: Budget) -> str:
    needed = position_needed(state, state.seen)
    verdicts = candidates_judge(
        budget=budget, needed_lsn=needed.lsn, needed_timeline=needed.timeline, candidates=databases_now()
    )
    unreached = any(not verdict.reached for verdict in verdicts)
    for verdict in verdicts:
        if verdict.reason == "down" or not verdict.reached:
            continue
        try:
            alias = _database_tried(state, verdict.candidate, budget=budget, needed=needed)
        except NotThisOne:
            unreached = True
            continue
        if alias is not None:
            state.verdicts = verdicts
            return alias
    raise PositionNotReached if unreached else NoStoreAnswers


def _database_tried(
    state: FreshnessState, candidate: Candidate, *, budget: Budget, needed: Position = NOWHERE
) -> str | None:
    """As `_database_note`; None where the database does not answer after all, and is left out for a moment."""
    try:
        return _database_note(state, candidate, budget=budget, needed=needed)
    except CONNECTION_ERRORS as error:
        if not is_store_failure(error):
            raise
        store_failed(candidate)
        connections[alias_of(candidate)].close()
        return None


def _database_note(state: FreshnessState, candidate: Candidate, *, budget: Budget, needed: Position = NOWHERE) -> str:
    """Note what a database has applied by now as the answer of this scope; return its alias.

    Raises NotThisOne where it has not what is needed, Demoted.
    """
    alias = alias_of(candidate)
    # Without a snapshot of its own: what is read later shows at least as much.
    facts = facts_read(facts_before(alias, needed=needed))
    reached_require(candidate, facts.reached, needed)
    state.budget = budget
    state.at_most = facts.at_most
    state.answer = Answer(
        source=candidate.source,
        lag_s=facts.lag_s,
        position=facts.at_least_lsn,
        replication_lag_s=facts.lag_s,
        store=candidate.name,
    )
    return alias
