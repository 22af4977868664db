"""Writes down what requests were answered by, beside them: a thread of each web process, in batches.

A request only appends to a queue, which drops what does not fit. Every few seconds one process of all, whoever is
first, takes a sample of every store's lag and looks for what people on call must know.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
import redis
from django.conf import settings
from django.db import Error, connections
from django_redis import get_redis_connection

from atlasco.lib import clock
from atlasco.lib.request_id import request_id_var
from freshness import figures
from freshness.alerts import Condition, conditions_now
from freshness.choice import Candidate
from freshness.escalation import TokenBucket
from freshness.figures import LAG_EVERY_S, LAG_KEPT, LAG_KEY, ReadKind, Reads
from freshness.policy import TIERS, Budget, lag_shown
from freshness.reads import stores_now
from freshness.state import FreshnessState
from freshness.tokens import lsn_text
from tenants.binding import public_bind
from tenants.notices.channels import Notice, Target
from tenants.notices.services import notices_queue

log = logging.getLogger(__name__)

_FLUSH_S: Final = 0.5
_QUEUE_MAX: Final = 20_000
_PATH_CHARS: Final = 500
# So many seconds' worth of decisions may come at once.
_BURST_S: Final = 20.0
_WANTED_TIMES: Final = 10
_TURN_KEY: Final = "atlasco:lag:turn"
# What is wrong for one look only is not told.
_LOOKS: Final = 2


@dataclass(frozen=True, slots=True)
class _Noted:
    state: FreshnessState
    tenant_id: int
    request_id: str
    path: str
    status: int
    at_s: float
    is_kept: bool


class Recorder(threading.Thread):
    """feed_figures: reads what the change feed says of itself, from a client of Valkey; empty where it says nothing."""

    def __init__(self, *, feed_figures: Callable[[Any], Mapping[str, float]]) -> None:
        super().__init__(name="recorder", daemon=True)
        self._feed_figures = feed_figures
        self._queue: deque[_Noted] = deque(maxlen=_QUEUE_MAX)
        rate, now = settings.DECISIONS_PER_S, time.monotonic()
        self._sampled = TokenBucket(rate, rate * _BURST_S, now, burst_s=_BURST_S)
        # Those that somebody asked to look up have a bucket of their own, or they would be crowded out.
        self._wanted = TokenBucket(rate * _WANTED_TIMES, rate * _WANTED_TIMES * _BURST_S, now, burst_s=_BURST_S)
        self._looks: Counter[str] = Counter()
        self._told: dict[str, Condition] = {}
        self._lag_at = 0.0

    def note(self, state: FreshnessState, *, tenant_id: int, path: str, status: int) -> None:
        """Note how a request was answered whose token was accepted. What read and wrote nothing is not noted."""
        if state.answer is None and not state.verdicts:
            return
        bucket = self._wanted if state.is_explained else self._sampled
        is_kept = bucket.has(now=time.monotonic())
        if is_kept:
            bucket.spend()
        noted = _Noted(state, tenant_id, request_id_var.get(), path[:_PATH_CHARS], status, time.time(), is_kept)
        self._queue.append(noted)

    def run(self) -> None:
        while True:
            time.sleep(_FLUSH_S)
            try:
                self._flush()
                self._look()
            except redis.RedisError as error:
                log.debug("Figures can't be written.", extra={"error": type(error).__name__})
            except Exception:
                # Whatever is wrong with the figures: answers go on, and so does the next attempt.
                log.exception("Figures can't be recorded.")

    def _flush(self) -> None:
        noted = [self._queue.popleft() for _ in range(len(self._queue))]
        if not noted:
            return
        reads: Reads = Counter(kind for one in noted if (kind := _kind_of(one)) is not None)
        pipeline = get_redis_connection("default").pipeline(transaction=False)
        figures.reads_add(pipeline, reads, now_s=time.time())
        for one in noted:
            if one.is_kept:
                key = figures.decision_key(one.tenant_id, one.request_id)
                # The first one stays: a client chooses its ids, and may choose one again.
                pipeline.set(key, orjson.dumps(decision_json(one)), ex=figures.DECISION_TTL_S, nx=True)
        pipeline.execute()

    def _look(self) -> None:
        """Look at the stores now and then, in whichever process is first."""
        if time.monotonic() - self._lag_at < LAG_EVERY_S:
            return
        self._lag_at = time.monotonic()
        try:
            if not get_redis_connection("default").set(_TURN_KEY, "1", nx=True, px=int(LAG_EVERY_S * 900)):
                return
        except redis.RedisError as error:
            # Without it nobody knows whose turn it is: everybody looks, and the notice's key sorts it out.
            log.debug("Whose turn it is can't be told.", extra={"error": type(error).__name__})
        self.look()

    def look(self) -> None:
        """Sample every store's lag, and tell what is wrong where the look before found it, too."""
        stores = stores_now()
        feed: Mapping[str, float] = {}
        burn: dict[str, tuple[float, float, int]] = {}
        try:
            client = get_redis_connection("default")
            feed = self._feed_figures(client)
            sample = {"at": time.time(), "lag": {store.name: lag_shown(store.lag_s) for store in stores if store.up}}
            client.pipeline().rpush(LAG_KEY, orjson.dumps(sample)).ltrim(LAG_KEY, -LAG_KEPT, -1).execute()
            burn = burn_by_tier(figures.reads_of_minutes(client, now_s=time.time(), minutes=60))
        except redis.RedisError as error:
            log.debug("The lag can't be sampled.", extra={"error": type(error).__name__})
        self._tell(conditions_now(stores, burn=burn, feed=feed))

    def _tell(self, conditions: list[Condition]) -> None:
        present = {condition.key: condition for condition in conditions}
        self._looks = Counter({key: self._looks[key] + 1 for key in present})
        for key, condition in present.items():
            if self._looks[key] >= _LOOKS and key not in self._told:
                log.error("Alert: freshness.", extra={"alert": condition.title, "detail": condition.detail})
                if _notice_queue(condition, event="freshness.alert"):
                    self._told[key] = condition
        for key in [key for key in self._told if key not in present]:
            log.warning("Alert is over: freshness.", extra={"alert": self._told[key].title})
            _notice_queue(self._told.pop(key), event="freshness.recovered")


def burn_by_tier(minutes: list[Reads]) -> dict[str, tuple[float, float, int]]:
    """Of each tier: how fast the last 5 minutes and all of them spend the error budget, and how many reads all had."""
    found: dict[str, tuple[float, float, int]] = {}
    for tier in TIERS:
        parts = [Counter({kind: number for kind, number in part.items() if kind.tier == tier}) for part in minutes]
        short, long = figures.sum_of(parts[-5:]), figures.sum_of(parts)
        found[tier] = (
            figures.burn_rate(short, objective=settings.SLA_OBJECTIVE),
            figures.burn_rate(long, objective=settings.SLA_OBJECTIVE),
            long.total(),
        )
    return found


def _notice_queue(condition: Condition, *, event: str) -> bool:
    """Whether it was queued; without the primary it can't be, and is tried again."""
    now = clock.now()
    notice = Notice(
        key=f"{event}:{condition.key}:{int(now.timestamp() // 60)}",
        event=event,
        subject=condition.title if event == "freshness.alert" else f"Over: {condition.title}",
        body=condition.detail,
        facts={"alert": condition.key},
        happened_at=now,
    )
    targets = [
        Target("email", address) if "://" not in address else Target("webhook", address, nonce="operators")
        for address in settings.OPERATORS
    ]
    try:
        with public_bind():
            notices_queue(tenant_id=None, notice=notice, targets=targets, now=now)
    except Error as error:
        log.warning("An alert can't be queued yet.", extra={"error": type(error).__name__})
        return False
    finally:
        connections.close_all()
    return True


def _kind_of(one: _Noted) -> ReadKind | None:
    """How an answer is counted; None for what read nothing, and for writes."""
    state = one.state
    if state.written is not None or state.budget is None:
        return None
    if state.answer is None:
        return ReadKind(one.tenant_id, state.budget.tier, "refused", "false") if one.status >= 500 else None
    met = state.sla_met()
    return ReadKind(
        one.tenant_id, state.budget.tier, state.answer.source, "unknown" if met is None else str(met).lower()
    )


def decision_json(one: _Noted) -> dict[str, Any]:
    """What is kept of a decision."""
    return {
        "request_id": one.request_id,
        "at": clock.iso(clock.from_us(int(one.at_s * 1e6))),
        "path": one.path,
        "status": one.status,
        **route_json(one.state),
    }


def route_json(state: FreshnessState) -> dict[str, Any]:
    """Why a read was answered by which store."""
    budget, answer, met = state.budget, state.answer, state.sla_met()
    return {
        "operation": state.operation or None,
        "tier": budget.tier if budget is not None else None,
        "sla_target": budget.sla_s if budget is not None else None,
        "budget_from": None if budget is None else origin_json(budget),
        "on_stale": budget.on_stale if budget is not None else None,
        "is_write": state.written is not None,
        "answer": None
        if answer is None
        else {
            "source": answer.source,
            "store": answer.store,
            "lag_seconds": lag_shown(answer.lag_s),
            "position": lsn_text(answer.position),
            "sla_met": met,
        },
        "candidates": [
            {**candidate_json(verdict.candidate), "reason": verdict.reason or "meets the budget"}
            for verdict in state.verdicts
        ],
    }


def origin_json(budget: Budget) -> dict[str, str]:
    """Who settled a budget: its query class, its tenant, the request's headers, or an attribute, with its name."""
    return {"origin": budget.origin} | ({"attribute": budget.origin_name} if budget.origin == "attribute" else {})


def candidate_json(candidate: Candidate) -> dict[str, Any]:
    """A store as it was known, as the API tells it."""
    return {
        "name": candidate.name,
        "source": candidate.source,
        "lag_seconds": lag_shown(candidate.lag_s),
        "position": None if candidate.position is None else lsn_text(candidate.position),
        "breaker": "closed" if candidate.up else "open",
    }


_recorder: Recorder | None = None


def recorder_start(*, feed_figures: Callable[[Any], Mapping[str, float]]) -> None:
    """Record in this process from now on."""
    global _recorder  # noqa: PLW0603  # One a process, started by whoever serves.
    _recorder = Recorder(feed_figures=feed_figures)
    _recorder.start()


def recorder() -> Recorder | None:
    """This process's recorder; None where nothing is recorded."""
    return _recorder
