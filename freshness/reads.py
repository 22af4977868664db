"""Reading from the store that meets the budget, and proving what was delivered.

Every read of data passes `read_through`. It settles the budget, judges the candidates, and runs the reader on the best;
position and lag are read in the same snapshot as the data, so that the claim belongs to the answer. A store that fails
on the way is left out for a moment, and the next one answers. The caller brings the reader of databases; whoever owns
another store registers a reader of its own for the operation, see `freshness.sources`.

# Note [Two positions]
What an answer shows is at least all up to one position and at most all up to another: a snapshot is taken between two
looks at the log. "At least" is what a token asks of a store, and what X-Data-Position says. "At most" goes into a
cursor: the next page must come from a store that has at least all that this page may have shown.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, TypeVar

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connections

from atlasco.lib.errors import Conflict, Problem, Unavailable
from freshness.choice import Candidate, Verdict, candidates_judge, has_reached, lag_accepted
from freshness.defaults import budget_now
from freshness.escalation import escalation_take
from freshness.monitor import PRIMARY, monitor
from freshness.own_writes import own_writes
from freshness.policy import OPERATION_CLASS, Budget, SourceName, budget_settle
from freshness.providers import provider
from freshness.sources import Found, Reader, reader_of, sources_known
from freshness.state import Answer, FreshnessState, freshness_state
from freshness.timelines import NOWHERE, Position, position_both, position_is_lost, position_text, seq_timeline
from freshness.tokens import ConsistencyToken, lsn_parse
from tenants.binding import tenant_current
from tenants.database.snapshot import read_snapshot, snapshot_repeat

log = logging.getLogger(__name__)
T = TypeVar("T")

_POLL_S: Final = 0.02
# A read that would move to the primary waits for a replica instead where that takes no longer than this: about what
# the primary's answer costs.
_CHEAP_WAIT_S: Final = 0.05
# How long a read with a token waits for a store to get there before it is refused.
_REACH_S: Final = 1.5
_DATABASES: Final = ("primary", "read-replica")
# Heartbeat's position, number and instant; a position that nothing in the snapshot is newer than; what the server is.
_SNAPSHOT_FACTS: Final = (
    "SELECT lsn::text, seq, extract(epoch FROM ts)::float8, ({at_most})::text, {is_standby}, {timeline} FROM heartbeat"
)
_CONNECTION_ERRORS: Final = (OperationalError, InterfaceError)
# Classes of SQLSTATE that are about the connection or the server, not about the statement; 40: a replica cancels a read
# that stands in the way of what it must apply.
_STORE_STATES: Final = ("08", "57", "58", "53", "40")
_QUERY_CANCELED: Final = "57014"


class StaleBeyondBudget(Unavailable):
    """No store can answer as fresh as X-Freshness-Tier or X-Max-Lag-Seconds ask for."""

    code = "stale_beyond_budget"


class QueryTimeout(Unavailable):
    """The query took too long and was cancelled. Narrow it, or ask for fewer entities."""

    code = "query_timeout"


class NoStoreAnswers(Unavailable):
    """No database answers. Nothing is lost that was acknowledged; try again."""

    code = "no_store_answers"


class PositionNotReached(Unavailable):
    """No store that answers now has reached what the consistency token or the cursor names. Try again."""

    code = "position_not_reached"


class WriteLost(Conflict):
    """What the consistency token or the cursor names was lost when a replica was promoted. Read, and decide anew."""

    code = "write_lost"


class PrimaryUnavailable(Unavailable):
    """The primary does not answer. What was acknowledged is not lost; this request may or may not have been written."""

    code = "primary_unavailable"


@dataclass(frozen=True, slots=True)
class ReadSource:
    """Where a reader reads. using: the database alias; position: for cursors, as text: nothing it shows is newer."""

    using: str
    position: str


def read_through(
    reader: Callable[[ReadSource], T] | None,
    *,
    operation: str,
    request: object = None,
    query_class: str | None = None,
    attributes: Collection[str] | None = (),
    at_least: Position = NOWHERE,
) -> T:
    """Return what the best store for this class of query answers.

    reader: reads a database, inside one snapshot of it; it may be called again on another one where the first fails.
        None where no database can answer, only registered readers.
    operation, request: what the registered readers of other sources go by; no request, no other sources.
    query_class: a row of the budget matrix; by default the operation's own.
    attributes: whose values the answer tells or rests on, None for any; see Note [Whose budget].
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
    attempt = _Attempt(reader, operation, request, needed, state)
    deadline = time.monotonic() + _REACH_S
    while True:
        verdicts = _judged(budget, needed, own, asked)
        state.verdicts = _protected(verdicts, budget, 0 if tenant is None else tenant.pk)
        try:
            answer: T = _first_answer(attempt, state.verdicts, budget)
        except PositionNotReached:
            # Somebody is on the way there, or a promotion is being noted: a moment is better than a refusal.
            if time.monotonic() > deadline:
                raise
            time.sleep(_POLL_S)
            needed = position_needed(state, at_least)
        else:
            return answer


def _first_answer(attempt: _Attempt, verdicts: list[Verdict], budget: Budget) -> Any:
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
        except _NotThisOne as other:
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
        time.sleep(min(_POLL_S, left_s))


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


class _NotThisOne(Exception):
    """A store can't answer after all. unreached: because it has not reached what the answer must show."""

    def __init__(self, *, unreached: bool = False) -> None:
        self.unreached = unreached


class _Demoted(Exception):
    """What was reached under the primary's address is a primary no longer."""


@dataclass(slots=True)
class _Attempt:
    """One read, tried on one candidate after the other. missed: readers that would like to keep the answer."""

    reader: Callable[[ReadSource], Any] | None
    operation: str
    request: object
    needed: Position
    state: FreshnessState
    missed: list[Reader] = field(default_factory=list)

    def read(self, verdict: Verdict, *, is_last: bool) -> Any:
        """What one candidate answers. Raises _NotThisOne where the next one must be asked.

        is_last: no other one is known that qualifies, so an answer that is late is better than none.
        """
        candidate = verdict.candidate
        try:
            if candidate.source in _DATABASES:
                return snapshot_repeat(partial(self._read_database, verdict, is_last=is_last))
            return self._read_source(verdict, is_last=is_last)
        except (DatabaseError, InterfaceError, _Demoted) as error:
            self.state.answer = None
            if _sqlstate(error) == _QUERY_CANCELED:
                raise QueryTimeout from error
            alias = alias_of(candidate)
            # What a reader meets after its connection broke under it may look like a fault of its own.
            is_away = isinstance(error, (*_CONNECTION_ERRORS, _Demoted)) and is_store_failure(error)
            if not is_away and not _is_broken(alias):
                raise
            _store_failed(candidate)
            # A broken connection must not be the first thing that the next request meets.
            connections[alias].close()
            raise _NotThisOne from error

    def _read_database(self, verdict: Verdict, *, is_last: bool) -> Any:
        if self.reader is None:
            raise _NotThisOne
        candidate = verdict.candidate
        alias = alias_of(candidate)
        is_primary = alias == PRIMARY
        watch = monitor()
        began = watch.primary_now()
        # A replica that was killed a moment ago may be behind what the monitor saw of it: with a token, ask again.
        # Before the snapshot, or it could be ahead of what that shows.
        known_lsn = 0 if is_primary or not self.needed.lsn else _reached_lsn(alias)
        asked = provider()
        with read_snapshot(alias):
            with connections[alias].cursor() as cursor:
                # The first statement of the snapshot: what it shows of the heartbeat, the data shows of all other rows.
                cursor.execute(
                    _SNAPSHOT_FACTS.format(at_most=asked.at_most, is_standby=asked.is_standby, timeline=asked.timeline)
                )
                at_least, seq, beat_at, at_most, is_standby, own_timeline = cursor.fetchone()
            timeline = own_timeline or seq_timeline(seq)
            if is_standby and not watch.is_believed(beat_at):
                known_lsn = 0
            if is_primary and (is_standby or timeline < watch.timeline()):
                # Its address leads to a server that was demoted: what it shows may be any age.
                raise _Demoted
            lag_s = 0.0 if is_primary else watch.lag_s(beat_at, at=began)
            position = Position(timeline, max(lsn_parse(at_least), known_lsn))
            self._note(verdict, lag_s=lag_s, position=position, is_last=is_last)
            value = self.reader(ReadSource(alias, position_text(Position(timeline, lsn_parse(at_most)))))
        if not is_primary:
            # Not from the primary: its snapshot may lack what its log has already, see `entities.cache`.
            for missed in self.missed:
                _keep(missed, self.request, value, lsn_parse(at_least))
        return value

    def _read_source(self, verdict: Verdict, *, is_last: bool) -> Any:
        candidate = verdict.candidate
        registered = reader_of(self.operation, candidate.source)
        if registered is None:
            raise _NotThisOne
        watch = monitor()
        began = watch.primary_now()
        try:
            found: Found | None = registered.read(self.request)
        except registered.source.failures as error:
            _store_failed(candidate)
            raise _NotThisOne from error
        except Problem:
            raise
        except Exception as error:
            # A reader with a fault of its own must not fail a read that another store can answer.
            log.exception("A reader failed; the next store answers.", extra={"store": candidate.name})
            raise _NotThisOne from error
        if found is None:
            if registered.fill is not None:
                self.missed.append(registered)
            raise _NotThisOne
        applied = found.applied
        position = Position(seq_timeline(applied.seq), applied.lsn or 0)
        self._note(verdict, lag_s=watch.lag_s(applied.beat_at, at=began), position=position, is_last=is_last)
        if found.problem is not None:
            raise found.problem
        return found.value

    def _note(self, verdict: Verdict, *, lag_s: float | None, position: Position, is_last: bool) -> None:
        """Note what is known of the answer: that there is no such entity is an answer too, of this store and this age.

        Raises _NotThisOne where it is not what it seemed to be; StaleBeyondBudget with X-On-Stale: fail.
        """
        candidate, state = verdict.candidate, self.state
        read = replace(candidate, position=position.lsn, timeline=position.timeline)
        if not has_reached(read, self.needed.lsn, self.needed.timeline):
            raise _NotThisOne(unreached=True)
        if (
            self.needed.lsn
            and position.timeline > self.needed.timeline
            and position.timeline not in monitor().timelines
        ):
            # Promoted a moment ago: where its timeline began, and whether it has what is needed, is not known yet.
            raise _NotThisOne(unreached=True)
        if not is_last and verdict.qualifies and not lag_accepted(state.budget, candidate.source, lag_s):
            raise _NotThisOne
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


def _keep(reader: Reader, request: object, value: object, lsn: int) -> None:
    if reader.fill is None:
        return
    try:
        reader.fill(request, value, lsn)
    except reader.source.failures as error:
        # The answer is there; that it could not be kept is the store's trouble.
        log.info("An answer can't be kept.", extra={"store": reader.source.name, "error": type(error).__name__})


def _store_failed(candidate: Candidate) -> None:
    monitor().failed(alias_of(candidate))
    log.warning("A store failed a read; the next one answers.", extra={"store": candidate.name})


def _is_broken(alias: str) -> bool:
    connection = connections[alias].connection
    return connection is None or bool(connection.closed)


def _reached_lsn(alias: str) -> int:
    with connections[alias].cursor() as cursor:
        cursor.execute(f"SELECT coalesce(({provider().reached})::text, '0/0')")
        return lsn_parse(cursor.fetchone()[0])


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


def primary_is_up() -> bool:
    """Whether the primary is believed to answer."""
    return _candidate("primary", "primary", reading_of=PRIMARY).up


def database_settle(state: FreshnessState, *, budget: Budget) -> str:
    """The alias of the database that reads of this scope go to, settled once. See Note [Reads of the ORM].

    Raises NoStoreAnswers, PositionNotReached.
    """
    deadline = time.monotonic() + _REACH_S
    while state.database is None:
        try:
            state.database = _database_settled(state, budget=budget)
        except PositionNotReached:
            # As in `read_through`: a replica is on the way there, or the primary's breaker is about to close.
            if time.monotonic() > deadline:
                raise
            time.sleep(_POLL_S)
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
        except _CONNECTION_ERRORS as error:
            if not is_store_failure(error):
                raise
            _store_failed(verdict.candidate)
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
            _SNAPSHOT_FACTS.format(at_most=asked.at_most, is_standby=asked.is_standby, timeline=asked.timeline)
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


def candidates_now(*, operation: str | None = None) -> list[Candidate]:
    """Every database as it is known now, and each other source that has a reader for the operation."""
    others = [
        _candidate(source.name, source.name)
        for source in sources_known().values()
        if operation is not None and reader_of(operation, source.name) is not None
    ]
    return [*databases_now(), *others]


def stores_now() -> list[Candidate]:
    """Every store there is, as it is known now."""
    return [*databases_now(), *(_candidate(source.name, source.name) for source in sources_known().values())]


def databases_now() -> list[Candidate]:
    """The primary and the replicas as they are known now."""
    primary = _candidate("primary", "primary", reading_of=PRIMARY)
    replicas = [_candidate(alias, "read-replica") for alias in settings.REPLICA_ALIASES]
    return [replace(primary, lag_s=0.0), *replicas]


def _candidate(name: str, source: SourceName, *, reading_of: str | None = None) -> Candidate:
    watch = monitor()
    key = reading_of or name
    reading = watch.reading(key)
    breaker = watch.breaker(key)
    if reading is None or reading.error:
        return Candidate(name, source, lag_s=None, position=None, up=False)
    return Candidate(
        name=name,
        source=source,
        lag_s=watch.lag_s(reading.beat_at),
        position=reading.lsn,
        up=breaker.is_closed,
        timeline=reading.timeline,
        out_of=breaker.out_of,
    )


def alias_of(candidate: Candidate) -> str:
    """The database alias of a candidate that is a database, and the monitor's name for any."""
    return PRIMARY if candidate.source == "primary" else candidate.name


def _sqlstate(error: Exception) -> str | None:
    return getattr(error.__cause__, "sqlstate", None)


def store_problem(error: OperationalError | InterfaceError) -> Problem | None:
    """What a write's database error is to its client; None for one that is about the statement."""
    if _sqlstate(error) == _QUERY_CANCELED:
        return QueryTimeout()
    return PrimaryUnavailable() if is_store_failure(error) else None


def is_store_failure(error: Exception) -> bool:
    """Whether an error is about the store or the way to it, not about the statement."""
    state = _sqlstate(error)
    return state is None or state.startswith(_STORE_STATES)


def primary_position() -> Position:
    """Where the primary's log ends: everything that has been committed lies before it."""
    asked = provider()
    with connections[PRIMARY].cursor() as cursor:
        cursor.execute(f"SELECT ({asked.written})::text, {asked.timeline}")
        text, timeline = cursor.fetchone()
    return Position(timeline, lsn_parse(text))


def write_finished(*, tenant_id: int) -> ConsistencyToken:
    """Note a write that has been committed; its token goes into the answer. Call after COMMIT, never inside.

    The log ends at or after the end of the COMMIT record by then, so whoever has applied it has applied the write.
    """
    if connections[PRIMARY].in_atomic_block:
        raise RuntimeError("A token taken before COMMIT would promise too much.")
    timeline, lsn = primary_position()
    state = freshness_state()
    state.budget = budget_settle(wish=state.wish, query_class="critical")
    state.answer = Answer(source="primary", lag_s=0.0, position=lsn, store="primary")
    state.written = ConsistencyToken(timeline=timeline, tenant_id=tenant_id, lsn=lsn)
    own_writes.note((tenant_id, state.asker), Position(timeline, lsn))
    return state.written
