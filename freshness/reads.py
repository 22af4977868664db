"""Reading from the store that meets the budget, and proving what was delivered.

Every read of data passes `read_through`. It settles the budget, judges the candidates, and runs the reader on the best;
position and lag are read in the same snapshot as the data, so that the claim belongs to the answer. A store that fails
on the way is left out for a moment, and the next one answers.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from django.conf import settings
from django.db import InterfaceError, OperationalError, connections

from atlasco.lib.errors import Problem, Unavailable
from freshness.choice import Candidate, Verdict, candidates_judge
from freshness.escalation import escalation_take
from freshness.monitor import PRIMARY, monitor
from freshness.policy import Budget, budget_settle
from freshness.state import Answer, FreshnessState, freshness_state
from freshness.tokens import ConsistencyToken, lsn_parse
from tenants.binding import tenant_current
from tenants.database.snapshot import read_snapshot

log = logging.getLogger(__name__)
T = TypeVar("T")

_POLL_S: Final = 0.02
# How long a store that failed is left out before it is tried again.
_REST_S: Final = 1.0
_OWN_WRITES_S: Final = 10.0
_OWN_WRITES_MAX: Final = 10_000
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


class PrimaryUnavailable(Unavailable):
    """The primary does not answer. What was acknowledged is not lost; this request may or may not have been written."""

    code = "primary_unavailable"


@dataclass(frozen=True, slots=True)
class ReadSource:
    """Where a reader reads. using: the database alias; position: what it reflects at least, as text."""

    using: str
    position: str


class _OwnWrites:
    """What each asker wrote a moment ago, so that its next reads see it without a token.

    A courtesy of this process, for a few seconds; what must hold across processes and time says X-Consistency-Token.
    """

    def __init__(self) -> None:
        self._written: dict[tuple[int, str], tuple[int, float]] = {}
        self._lock = threading.Lock()

    def note(self, key: tuple[int, str], lsn: int) -> None:
        now = time.monotonic()
        with self._lock:
            if len(self._written) >= _OWN_WRITES_MAX:
                self._written = {kept: value for kept, value in self._written.items() if now - value[1] < _OWN_WRITES_S}
            self._written[key] = (lsn, now)

    def lsn(self, key: tuple[int, str]) -> int:
        lsn, at = self._written.get(key, (0, 0.0))
        return lsn if time.monotonic() - at < _OWN_WRITES_S else 0


class _Rests:
    """Stores that failed a moment ago."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._lock = threading.Lock()

    def rest(self, alias: str) -> None:
        with self._lock:
            self._until[alias] = time.monotonic() + _REST_S

    def rests(self, alias: str) -> bool:
        return self._until.get(alias, 0.0) > time.monotonic()


_rests = _Rests()
_own_writes = _OwnWrites()


def read_through(reader: Callable[[ReadSource], T], *, query_class: str, at_least: int = 0) -> T:
    """Return what the reader reads from the best store for this class of query.

    reader: called inside one snapshot of the store; it may be called again on another store where the first fails.
    at_least: a log position that the store must have reached, besides the request's consistency token.
    Raises StaleBeyondBudget with X-On-Stale: fail; PositionNotReached; QueryTimeout; NoStoreAnswers.
    """
    state = freshness_state()
    state.budget = budget_settle(wish=state.wish, query_class=query_class)
    tenant = tenant_current()
    own = 0 if tenant is None else _own_writes.lsn((tenant.pk, state.asker))
    needed = max(at_least, state.token.lsn if state.token is not None else 0)
    deadline = time.monotonic() + (state.budget.wait_ms / 1000 if state.budget.on_stale == "wait" else 0.0)
    while True:
        state.verdicts = verdicts = candidates_judge(
            budget=state.budget, needed_lsn=needed, wished_lsn=own, candidates=candidates_now()
        )
        if verdicts[0].qualifies or time.monotonic() >= deadline:
            break
        time.sleep(_POLL_S)
    verdicts = state.verdicts = _protected(verdicts, state.budget, 0 if tenant is None else tenant.pk)
    if state.budget.on_stale == "fail" and not verdicts[0].qualifies:
        raise StaleBeyondBudget(sources={verdict.candidate.name: verdict.reason for verdict in verdicts})
    unreached = False
    for verdict in verdicts:
        if verdict.reason == "down":
            continue
        if not verdict.reached:
            unreached = True
            continue
        if state.budget.on_stale == "fail" and not verdict.qualifies:
            raise StaleBeyondBudget(sources={known.candidate.name: known.reason for known in verdicts})
        try:
            return _read(reader, verdict, state)
        except _CONNECTION_ERRORS as error:
            state.answer = None
            if _sqlstate(error) == _QUERY_CANCELED:
                raise QueryTimeout from error
            if not is_store_failure(error):
                raise
            alias = alias_of(verdict.candidate)
            _rests.rest(alias)
            # A broken connection must not be the first thing that the next request meets.
            connections[alias].close()
            log.warning("A store failed a read; the next one answers.", extra={"store": verdict.candidate.name})
    raise PositionNotReached if unreached else NoStoreAnswers


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
    """The primary, for a page that makes several reads of its own and shows the latest of everything."""
    state = freshness_state()
    state.budget = budget_settle(wish=state.wish, query_class=query_class)
    with connections[PRIMARY].cursor() as cursor:
        cursor.execute("SELECT pg_current_wal_lsn()::text")
        text = cursor.fetchone()[0]
    state.answer = Answer(source="primary", lag_s=0.0, position=lsn_parse(text), store="primary")
    return ReadSource(using=PRIMARY, position=text)


def candidates_now() -> list[Candidate]:
    """Every database as it is known now."""
    watch = monitor()
    primary = watch.reading(PRIMARY)
    found = [
        Candidate(
            name="primary",
            source="primary",
            lag_s=0.0,
            position=None if primary is None else primary.lsn,
            up=primary is not None and not primary.error and not _rests.rests(PRIMARY),
        )
    ]
    for alias in settings.REPLICA_ALIASES:
        reading = watch.reading(alias)
        found.append(
            Candidate(
                name=alias,
                source="read-replica",
                lag_s=None if reading is None else watch.lag_s(reading.beat_at),
                position=None if reading is None else reading.lsn,
                up=reading is not None and not reading.error and not _rests.rests(alias),
            )
        )
    return found


def alias_of(candidate: Candidate) -> str:
    return PRIMARY if candidate.source == "primary" else candidate.name


def _read(reader: Callable[[ReadSource], T], verdict: Verdict, state: FreshnessState) -> T:
    alias = alias_of(verdict.candidate)
    watch = monitor()
    began = watch.primary_now()
    with read_snapshot(alias):
        with connections[alias].cursor() as cursor:
            # The first statement of the snapshot: what it shows of the heartbeat, the data shows of every other row.
            if alias == PRIMARY:
                cursor.execute("SELECT pg_current_wal_lsn()::text, NULL::float8")
            else:
                cursor.execute("SELECT lsn::text, extract(epoch FROM ts)::float8 FROM heartbeat")
            text, beat_at = cursor.fetchone()
        lag_s = 0.0 if alias == PRIMARY else watch.lag_s(beat_at, at=began)
        # Noted before the reader runs: that there is no such entity is an answer too, of this store and this age.
        state.answer = Answer(
            source=verdict.candidate.source,
            lag_s=lag_s,
            # Both are lower bounds: what the monitor had seen applied before, and the heartbeat of this snapshot.
            position=max(lsn_parse(text), verdict.candidate.position or 0),
            replication_lag_s=lag_s,
            store=verdict.candidate.name,
        )
        if state.budget is not None and state.budget.on_stale == "fail" and state.sla_met() is not True:
            raise StaleBeyondBudget(sources={verdict.candidate.name: f"lag {lag_s} s when it was read"})
        return reader(ReadSource(using=alias, position=text))


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


def write_finished(*, tenant_id: int) -> ConsistencyToken:
    """Note a write that has been committed; its token goes into the answer. Call after COMMIT, never inside.

    The log ends at or after the end of the COMMIT record by then, so whoever has applied it has applied the write.
    """
    if connections[PRIMARY].in_atomic_block:
        raise RuntimeError("A token taken before COMMIT would promise too much.")
    with connections[PRIMARY].cursor() as cursor:
        # The name of a log file starts with the timeline, in eight hexadecimal digits.
        cursor.execute("SELECT l::text, left(pg_walfile_name(l), 8) FROM pg_current_wal_lsn() l")
        text, timeline = cursor.fetchone()
    lsn = lsn_parse(text)
    state = freshness_state()
    state.budget = budget_settle(wish=state.wish, query_class="critical")
    state.answer = Answer(source="primary", lag_s=0.0, position=lsn, store="primary")
    state.written = ConsistencyToken(timeline=int(timeline, 16), tenant_id=tenant_id, lsn=lsn)
    _own_writes.note((tenant_id, state.asker), lsn)
    return state.written
