"""One read, tried on one store: what it answers, and what can be claimed of that."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from django.db import DatabaseError, InterfaceError, connections

from atlasco.lib.errors import Problem
from freshness import hangs
from freshness.choice import Candidate, Verdict, has_reached, lag_accepted
from freshness.monitor import PRIMARY, monitor
from freshness.reads.facts import facts_before, facts_read
from freshness.reads.problems import (
    CONNECTION_ERRORS,
    QUERY_CANCELED,
    QueryTimeout,
    StaleBeyondBudget,
    is_store_failure,
    sqlstate,
)
from freshness.reads.stores import DATABASES, alias_of, store_failed
from freshness.sources import Found, Reader, reader_of
from freshness.state import Answer, FreshnessState
from freshness.timelines import Position, seq_timeline
from tenants.database.snapshot import read_snapshot, snapshot_repeat

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReadSource:
    """Where a reader reads. using: the database alias; position: for cursors, as text: nothing it shows is newer."""

    using: str
    position: str


class NotThisOne(Exception):
    """A store can't answer after all. unreached: because it has not reached what the answer must show."""

    def __init__(self, *, unreached: bool = False) -> None:
        self.unreached = unreached


@dataclass(slots=True)
class Attempt:
    """One read, tried on one candidate after the other. missed: readers that would like to keep the answer."""

    reader: Callable[[ReadSource], Any] | None
    operation: str
    request: object
    needed: Position
    state: FreshnessState
    missed: list[Reader] = field(default_factory=list)

    def read(self, verdict: Verdict, *, is_last: bool) -> Any:
        """What one candidate answers. Raises NotThisOne where the next one must be asked.

        is_last: no other one is known that qualifies, so an answer that is late is better than none.
        """
        candidate = verdict.candidate
        try:
            if candidate.source in DATABASES:
                return snapshot_repeat(partial(self._read_database, verdict, is_last=is_last))
            return self._read_source(verdict, is_last=is_last)
        except (DatabaseError, InterfaceError) as error:
            self.state.answer = None
            if sqlstate(error) == QUERY_CANCELED:
                raise QueryTimeout from error
            alias = alias_of(candidate)
            # What a reader meets after its connection broke under it may look like a fault of its own.
            is_away = isinstance(error, CONNECTION_ERRORS) and is_store_failure(error)
            if not is_away and not _is_broken(alias):
                raise
            store_failed(candidate)
            # A broken connection must not be the first thing that the next request meets.
            connections[alias].close()
            raise NotThisOne from error

    def _read_database(self, verdict: Verdict, *, is_last: bool) -> Any:
        if self.reader is None:
            raise NotThisOne
        candidate = verdict.candidate
        alias = alias_of(candidate)
        before = facts_before(alias, needed=self.needed)
        with hangs.reading(connections[alias]), read_snapshot(alias):
            facts = facts_read(before)
            self._note(verdict, lag_s=facts.lag_s, position=facts.reached, is_last=is_last)
            value = self.reader(ReadSource(alias, facts.at_most))
        if alias != PRIMARY:
            # Not from the primary: its snapshot may lack what its log has already, see `entities.cache`.
            for missed in self.missed:
                _keep(missed, self.request, value, facts.at_least_lsn)
        return value

    def _read_source(self, verdict: Verdict, *, is_last: bool) -> Any:
        candidate = verdict.candidate
        registered = reader_of(self.operation, candidate.source)
        if registered is None:
            raise NotThisOne
        watch = monitor()
        began = watch.primary_now()
        try:
            found: Found | None = registered.read(self.request)
        except registered.source.failures as error:
            store_failed(candidate)
            raise NotThisOne from error
        except Problem:
            raise
        except Exception as error:
            # A reader with a fault of its own must not fail a read that another store can answer.
            log.exception("A reader failed; the next store answers.", extra={"store": candidate.name})
            raise NotThisOne from error
        if found is None:
            if registered.fill is not None:
                self.missed.append(registered)
            raise NotThisOne
        applied = found.applied
        position = Position(seq_timeline(applied.seq), applied.lsn or 0)
        self._note(verdict, lag_s=watch.lag_s(applied.beat_at, at=began), position=position, is_last=is_last)
        if found.problem is not None:
            raise found.problem
        return found.value

    def _note(self, verdict: Verdict, *, lag_s: float | None, position: Position, is_last: bool) -> None:
        """Note what is known of the answer: that there is no such entity is an answer too, of this store and this age.

        Raises NotThisOne where it is not what it seemed to be; StaleBeyondBudget with X-On-Stale: fail.
        """
        candidate, state = verdict.candidate, self.state
        reached_require(candidate, position, self.needed)
        if not is_last and verdict.qualifies and not lag_accepted(state.budget, candidate.source, lag_s):
            raise NotThisOne
        state.answer = Answer(
            source=candidate.source,
            lag_s=lag_s,
            position=position.lsn,
            cache_hit=candidate.source == "redis-cache",
            replication_lag_s=lag_s,
            store=candidate.name,
        )
        if state.budget is not None and state.budget.on_stale == "fail" and state.sla_met() is not True:
            raise StaleBeyondBudget(sources={candidate.name: f"lag {lag_s} s when it was read"})


def reached_require(candidate: Candidate, position: Position, needed: Position) -> None:
    """Raise NotThisOne where a store has turned out to be at a position that does not show what is needed."""
    read = replace(candidate, position=position.lsn, timeline=position.timeline)
    if not has_reached(read, needed.lsn, needed.timeline):
        raise NotThisOne(unreached=True)
    if needed.lsn and position.timeline > needed.timeline and position.timeline not in monitor().timelines:
        # Promoted a moment ago: where its timeline began, and whether it has what is needed, is not known yet.
        raise NotThisOne(unreached=True)


def _keep(reader: Reader, request: object, value: object, lsn: int) -> None:
    if reader.fill is None:
        return
    try:
        reader.fill(request, value, lsn)
    except reader.source.failures as error:
        # The answer is there; that it could not be kept is the store's trouble.
        log.info("An answer can't be kept.", extra={"store": reader.source.name, "error": type(error).__name__})


def _is_broken(alias: str) -> bool:
    connection = connections[alias].connection
    return connection is None or bool(connection.closed)
