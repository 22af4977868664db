"""Pages and the ORM: one database for many reads of one scope. See Note [Reads of the ORM] in `freshness.routers`."""

from __future__ import annotations

import time
from collections.abc import Collection

from django.db import connections

from freshness.choice import candidates_judge
from freshness.defaults import budget_now
from freshness.monitor import PRIMARY, monitor
from freshness.policy import Budget
from freshness.providers import provider
from freshness.reads.attempt import SNAPSHOT_FACTS, ReadSource
from freshness.reads.problems import CONNECTION_ERRORS, NoStoreAnswers, PositionNotReached, is_store_failure
from freshness.reads.stores import alias_of, databases_now, primary_is_up, store_failed
from freshness.reads.through import POLL_S, REACH_S, position_needed
from freshness.state import Answer, FreshnessState, freshness_state, freshness_state_entered
from freshness.timelines import Position, position_text, seq_timeline
from freshness.tokens import lsn_parse


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
    if state.wrote or (is_primary and primary_is_up()):
        alias = _database_note(state, "primary", budget=budget)
    else:
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
    for verdict in verdicts:
        if verdict.reason == "down" or not verdict.reached:
            continue
        try:
            alias = _database_note(state, verdict.candidate.name, budget=budget)
        except CONNECTION_ERRORS as error:
            if not is_store_failure(error):
                raise
            store_failed(verdict.candidate)
            connections[alias_of(verdict.candidate)].close()
        else:
            state.verdicts = verdicts
            return alias
    raise NoStoreAnswers if all(verdict.reached for verdict in verdicts) else PositionNotReached


def _database_note(state: FreshnessState, name: str, *, budget: Budget) -> str:
    """Note what a database has applied by now as the answer of this scope; return its alias."""
    alias = PRIMARY if name == "primary" else name
    watch, asked = monitor(), provider()
    began = watch.primary_now()
    with connections[alias].cursor() as cursor:
        cursor.execute(
            SNAPSHOT_FACTS.format(at_most=asked.at_most, is_standby=asked.is_standby, timeline=asked.timeline)
        )
        at_least, seq, beat_at, at_most, _, own_timeline = cursor.fetchone()
    lag_s = 0.0 if alias == PRIMARY else watch.lag_s(beat_at, at=began)
    state.budget = budget
    state.at_most = position_text(Position(own_timeline or seq_timeline(seq), lsn_parse(at_most)))
    state.answer = Answer(
        source="primary" if alias == PRIMARY else "read-replica",
        lag_s=lag_s,
        position=lsn_parse(at_least),
        replication_lag_s=lag_s,
        store=name,
    )
    return alias
