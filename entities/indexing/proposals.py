"""Which attributes are worth an index, and which index nobody uses: from the searches of late, and what they took.

# Note [What an index would gain]
Searches are kept with the time they really took. Each is planned twice, as things are and as if the attribute were
indexed; the time that it took shrinks by the ratio of both costs. So the milliseconds are measured, and only their
share is estimated. When the index stands, the same searches are run again, and the job says what they take then.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
from django.conf import settings
from django.db import OperationalError, connections, transaction

from entities.indexing.jobs import SQL, Action, index_jobs, index_request, index_work
from entities.search.plan import plan_choose
from entities.search.query import InvalidQuery, Query, names_of, query_parse
from entities.search.run import search_run
from entities.search.statistics import TenantStatistics, statistics_forget, statistics_read

HALF_LIFE: Final = timedelta(days=7)
# An index that no search has tested for so long is cold.
COLD_AFTER: Final = timedelta(days=30)
CANDIDATES_MAX: Final = 20
SAMPLES_MAX: Final = 200
# What an index must save of the time of its searches, and in all, to be worth its writes.
SAVED_SHARE_MIN: Final = 0.3
SAVED_MS_MIN: Final = 500.0
# Of an index entry, besides the value; and what marking costs, on the reference machine.
_ENTRY_BYTES: Final = 44
_BUILD_MS_PER_ENTITY: Final = 0.01
_BUILD_MS_PER_VALUE: Final = 0.04
_REPLAYED: Final = 5
_REPLAY_TIMEOUT_MS: Final = 5_000


@dataclass(frozen=True, slots=True)
class IndexProposal:
    """Something worth doing. searches: that tested the attribute of late, fading by HALF_LIFE.

    mean_ms, after_ms: what one took, and what it is expected to take; saved_share: of the time of all of them.
    values: rows that the index would hold; megabytes: its size; build_s: the work of making it; write_share: the share
    of a tenant's value writes that would write to it too. Of a proposal to drop, what it would give back.
    """

    name: str
    action: Action
    searches: float
    mean_ms: float
    after_ms: float
    saved_share: float
    values: int
    megabytes: float
    build_s: float
    write_share: float

    @property
    def saved_ms(self) -> float:
        return self.searches * (self.mean_ms - self.after_ms)


@dataclass(frozen=True, slots=True)
class IndexedAttribute:
    """An attribute that has an index, and how often searches test it."""

    name: str
    searches: float
    last_used_at: datetime | None
    values: int
    megabytes: float


@dataclass(frozen=True, slots=True)
class _Sample:
    query: Query
    searches: float
    ms: float


def index_proposals(*, tenant_id: int, now: datetime, using: str = "default") -> list[IndexProposal]:
    """What is worth doing for the bound tenant, the greatest saving first; then what is worth undoing."""
    samples = _samples(tenant_id, now, using)
    arguments = _arguments(tenant_id, now, limit=CANDIDATES_MAX)
    with connections[using].cursor() as cursor:
        cursor.execute(SQL["candidates_list"], arguments)
        candidates = cursor.fetchall()
    names = {name for sample in samples for name in names_of(sample.query.where)}
    statistics = statistics_read(tenant_id=tenant_id, names=names, using=using)
    found = []
    for name, _, _, value_bytes, values in candidates:
        proposal = _proposal(name, value_bytes, values, samples, statistics)
        if proposal is not None:
            found.append(proposal)
    found.sort(key=lambda proposal: -proposal.saved_ms)
    return found + _cold(tenant_id, now, using, statistics.entities)


def indexed_attributes(*, tenant_id: int, now: datetime, limit: int, using: str = "default") -> list[IndexedAttribute]:
    """The attributes that have an index, those that searches test most first."""
    arguments = _arguments(tenant_id, now, limit=limit)
    with connections[using].cursor() as cursor:
        cursor.execute(SQL["indexed_list"], arguments)
        return [
            IndexedAttribute(name, searches, last_used_at, values, _megabytes(values, value_bytes))
            for name, searches, last_used_at, value_bytes, values in cursor.fetchall()
        ]


def autopilot_run(*, tenant_id: int, now: datetime) -> list[str]:
    """Do what is proposed for the bound tenant, where the settings let it. Return the names for which a job was made.

    One job at a time; never beyond INDEX_MAX indexes; what people asked for is never dropped.
    """
    if settings.INDEX_AUTOPILOT != "auto":
        return []
    jobs = index_jobs(tenant_id=tenant_id, limit=1000)
    if any(job.is_open for job in jobs):
        return []
    by_people = {job.name for job in jobs if job.requested_by}
    indexed = indexed_attributes(tenant_id=tenant_id, now=now, limit=settings.INDEX_MAX)
    for proposal in index_proposals(tenant_id=tenant_id, now=now):
        if proposal.name in by_people or (proposal.action == "build" and len(indexed) >= settings.INDEX_MAX):
            continue
        return index_request(
            tenant_id=tenant_id,
            names=[proposal.name],
            action=proposal.action,
            now=now,
            reason=proposal_reason(proposal),
            benefit_ms=proposal.mean_ms - proposal.after_ms,
        )
    return []


def proposal_reason(proposal: IndexProposal) -> str:
    """Why, in a sentence."""
    if proposal.action == "drop":
        return f"No search has tested it for {COLD_AFTER.days} days."
    return (
        f"{proposal.searches:,.0f} recent searches took {proposal.mean_ms:,.0f} ms on average; with the index they are"
        f" expected to take {proposal.after_ms:,.0f} ms."
    )


def index_run(*, tenant_id: int, seconds_max: float, clock: Callable[[], datetime]) -> bool:
    """Go on with the bound tenant's jobs for some time, and measure what a finished index brought. See `index_work`."""
    return index_work(
        tenant_id=tenant_id,
        clock=clock,
        seconds_max=seconds_max,
        on_built=lambda names: index_replay(tenant_id=tenant_id, names=names, now=clock()),
    )


def index_replay(*, tenant_id: int, names: list[str], now: datetime) -> str:
    """Run the searches of late that test these attributes again, and say what they took before and take now."""
    statistics_forget()
    before, after, count = 0.0, 0.0, 0
    for sample in _samples(tenant_id, now, "default"):
        if count == _REPLAYED or not names_of(sample.query.where) & set(names):
            continue
        took = _timed(tenant_id, sample.query)
        if took is not None:
            before, after, count = before + sample.ms / sample.searches, after + took, count + 1
    if not count:
        return ""
    searches = "1 recent search" if count == 1 else f"{count} recent searches"
    return f"{searches}, run again: {before / count:,.1f} ms on average before, {after / count:,.1f} ms now."


def _timed(tenant_id: int, query: Query) -> float | None:
    try:
        with transaction.atomic(using="default"), connections["default"].cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {_REPLAY_TIMEOUT_MS}")
            began = time.perf_counter()
            search_run(tenant_id=tenant_id, query=query, using="default", position="0/0", is_counted=False)
            return (time.perf_counter() - began) * 1000
    except OperationalError:
        return None


def _arguments(tenant_id: int, now: datetime, *, limit: int) -> dict[str, Any]:
    return {"tenant_id": tenant_id, "now": now, "half_life_s": HALF_LIFE.total_seconds(), "limit": limit}


def _samples(tenant_id: int, now: datetime, using: str) -> list[_Sample]:
    arguments = _arguments(tenant_id, now, limit=SAMPLES_MAX)
    with connections[using].cursor() as cursor:
        cursor.execute(SQL["samples_list"], arguments)
        rows = cursor.fetchall()
    found = []
    for body, searches, ms in rows:
        query = _query(orjson.loads(body))
        if query is not None:
            found.append(_Sample(query, searches, ms))
    return found


def _query(body: Any) -> Query | None:
    try:
        return query_parse(body)
    except InvalidQuery:  # Kept by an older version, which allowed it.
        return None


def _proposal(
    name: str, value_bytes: float | None, values: int, samples: list[_Sample], statistics: TenantStatistics
) -> IndexProposal | None:
    known = statistics.attributes.get(name)
    if known is None:
        return None
    imagined = replace(statistics, attributes={**statistics.attributes, name: replace(known, is_indexed=True)})
    searches, took, saved = 0.0, 0.0, 0.0
    for sample in samples:
        if name not in names_of(sample.query.where):
            continue
        now_ms, then_ms = plan_choose(sample.query, statistics).cost_ms, plan_choose(sample.query, imagined).cost_ms
        searches += sample.searches
        took += sample.ms
        saved += sample.ms * max(1.0 - then_ms / max(now_ms, 0.01), 0.0)
    if not searches or saved < SAVED_MS_MIN or saved < SAVED_SHARE_MIN * took:
        return None
    return IndexProposal(
        name=name,
        action="build",
        searches=searches,
        mean_ms=took / searches,
        after_ms=(took - saved) / searches,
        saved_share=saved / took,
        values=values,
        megabytes=_megabytes(values, value_bytes),
        build_s=(_BUILD_MS_PER_ENTITY * statistics.entities + _BUILD_MS_PER_VALUE * values) / 1000,
        write_share=known.present,
    )


def _cold(tenant_id: int, now: datetime, using: str, entities: int) -> list[IndexProposal]:
    return [
        IndexProposal(
            name=one.name,
            action="drop",
            searches=one.searches,
            mean_ms=0.0,
            after_ms=0.0,
            saved_share=0.0,
            values=one.values,
            megabytes=one.megabytes,
            build_s=(_BUILD_MS_PER_ENTITY * entities + _BUILD_MS_PER_VALUE * one.values) / 1000,
            write_share=min(1.0, one.values / max(entities, 1)),
        )
        for one in indexed_attributes(tenant_id=tenant_id, now=now, limit=1000, using=using)
        if one.last_used_at is not None and one.last_used_at < now - COLD_AFTER
    ]


def _megabytes(values: int, value_bytes: float | None) -> float:
    return values * (_ENTRY_BYTES + (value_bytes or 8.0)) / 1e6
