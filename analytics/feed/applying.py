"""One store's side of the feed: its applier, and the thread that drives it through every trouble of the store.

A store that is away stops nobody but itself: its thread lets the reader go on without it, tries again with back-off,
and when the store is back asks the reader to begin again at the store's own position. What the other stores then get
a second time, their positions filter out.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Literal, Protocol, TypeAlias

from analytics.feed.events import Batch, Event, Heartbeat, Position, ReloadRequested
from analytics.feed.metrics import Metrics

log = logging.getLogger(__name__)

BACKOFF_FIRST_S: Final = 0.2
BACKOFF_MAX_S: Final = 10.0
# What may wait for one store, in bytes of the log; in memory it is some five times as much.
QUEUE_MAX_BYTES: Final = 8 << 20
QUEUE_MAX_BATCHES: Final = 512
# One call of `apply` gets about this much at the most.
APPLY_MAX_BYTES: Final = 4 << 20

WorkerState: TypeAlias = Literal["starting", "loading", "waiting", "running", "down"]


class Applier(Protocol):
    """Brings events into one store. Called from one thread; every method may raise whatever the store's client does.

    name: of the store. linger_s: from one apply with events to the next at least; meanwhile they are collected.
    """

    name: str
    linger_s: float

    def recover(self) -> Position | None:
        """Connect anew and return the position that the store itself has recorded; None where it has none."""

    def load(self, *, start: Position) -> Position:
        """Bring the store from any state into that of a position, and record it. Return the position.

        start: the earliest position that the feed can still send from. The result is that or a later one.
        """

    def apply(self, events: list[Event], position: Position) -> None:
        """Apply events in order and record the position: with them, or after them, never before.

        Events may come again, and position may be the one that is recorded already.
        """

    def close(self) -> None:
        """Let go of the store. Must not raise."""


class Worker(threading.Thread):
    """start_read: returns the earliest position that the feed can send from; raises while the primary is away."""

    def __init__(self, applier: Applier, *, start_read: Callable[[], Position], metrics: Metrics) -> None:
        super().__init__(name=f"feed-{applier.name}", daemon=True)
        self.applier = applier
        self.state: WorkerState = "starting"
        self.position: Position | None = None
        self.trouble = ""
        self._start_read = start_read
        self._metrics = metrics
        self._condition = threading.Condition()
        self._queue: deque[Batch] = deque()
        self._queued_bytes = 0
        self._stopping = False
        self._must_load = False
        self._reload_lsn = 0

    # --- The reader's side --------------------------------------------------------------------------------------------
    def attach(self) -> None:
        """From now on the reader sends everything from this worker's position on."""
        with self._condition:
            self._queue.clear()
            self._queued_bytes = 0
            if self.state == "waiting":
                self.state = "running"
            self._condition.notify_all()

    def detach(self, trouble: str) -> None:
        """The reader goes on without this worker, which asks for its position again when it has time."""
        with self._condition:
            if self.state == "running":
                self.state, self.trouble = "down", trouble
            self._condition.notify_all()

    def leave(self, cluster: str) -> bool:
        """Stop feeding a store whose position is of another history than this one: it has to be loaded anew."""
        with self._condition:
            known = self.position
            if known is None or known.cluster == cluster or self.state not in {"running", "waiting"}:
                return False
            self.state, self.trouble = "down", "another primary"
            self._condition.notify_all()
            return True

    def offer(self, batch: Batch, *, timeout_s: float) -> bool:
        """Queue a batch; False where there was no room for so long. A worker that is not running takes nothing."""
        with self._condition:
            self._condition.wait_for(lambda: self.state != "running" or self._has_room(), timeout_s)
            if self.state != "running":
                return True
            if not self._has_room():
                return False
            self._queue.append(batch)
            self._queued_bytes += batch.size_bytes
            self._condition.notify_all()
            return True

    def _has_room(self) -> bool:
        return self._queued_bytes < QUEUE_MAX_BYTES and len(self._queue) < QUEUE_MAX_BATCHES

    def _is_pressed(self) -> bool:
        # Many small batches fill the queue long before their bytes do.
        return self._stopping or self._queued_bytes >= APPLY_MAX_BYTES or not self._has_room()

    def stop(self) -> None:
        """Ask the thread to end after what it is applying just now."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()

    # --- The thread ---------------------------------------------------------------------------------------------------
    def run(self) -> None:
        backoff_s = BACKOFF_FIRST_S
        while not self._stopping:
            try:
                self._prepare()
                backoff_s = BACKOFF_FIRST_S
                self._work()
            except Exception as error:
                # Whatever a store's client raises: the store is tried again for as long as the feed lives.
                log.warning(
                    "A store can't be fed; trying again.",
                    exc_info=not _is_expected(error),
                    extra={"store": self.applier.name, "error": str(error)[:500]},
                )
                self._metrics.add("errors_total", 1, store=self.applier.name)
                with self._condition:
                    self.state, self.trouble = "down", type(error).__name__
                    self._queue.clear()
                    self._queued_bytes = 0
                    self._condition.notify_all()
                    self._condition.wait_for(lambda: self._stopping, backoff_s)
                backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)
        self.applier.close()

    def _prepare(self) -> None:
        start = self._start_read()
        position = self.applier.recover()
        if self._must_load or position is None or not position.is_of(start.cluster) or position.lsn < start.lsn:
            # What lies between the store's position and the feed's can't be sent any more.
            log.warning("A store is loaded anew.", extra={"store": self.applier.name, "had_position": str(position)})
            with self._condition:
                self.state, self.position = "loading", None
            self._metrics.add("loads_total", 1, store=self.applier.name)
            position = self.applier.load(start=start)
            self._must_load = False
        with self._condition:
            position = replace(position, cluster=start.cluster) if position.is_of(start.cluster) else position
            self.position, self.state, self.trouble = position, "waiting", ""
            self._queue.clear()
            self._queued_bytes = 0

    def _work(self) -> None:
        with self._condition:
            self._condition.wait_for(lambda: self._stopping or self.state != "waiting")
        while (taken := self._take()) is not None:
            began = time.perf_counter()
            self._apply(*taken)
            spent_s = time.perf_counter() - began
            self._metrics.add("apply_seconds_total", spent_s, store=self.applier.name)
            # What comes after a pause is applied at once; of a stream, more together, unless it can't be kept up with.
            if taken[0] and spent_s < self.applier.linger_s:
                with self._condition:
                    self._condition.wait_for(self._is_pressed, self.applier.linger_s - spent_s)

    def _take(self) -> tuple[list[Event], int, Heartbeat | None] | None:
        """What waits, as one: events, end of the last whole transaction, newest heartbeat. None: stop or detached."""
        with self._condition:
            self._condition.wait_for(lambda: self._stopping or self.state != "running" or self._queue)
            if self._stopping or self.state != "running":
                return None
            events: list[Event] = []
            end_lsn, heartbeat, size = 0, None, 0
            while self._queue and size < APPLY_MAX_BYTES:
                batch = self._queue.popleft()
                size += batch.size_bytes
                self._queued_bytes -= batch.size_bytes
                # A lone batch is shared with the other stores' workers, so it is never extended in place.
                events = [*events, *batch.events] if events else batch.events
                end_lsn = batch.end_lsn or end_lsn
                heartbeat = batch.heartbeat or heartbeat
            self._metrics.set("queue_bytes", self._queued_bytes, store=self.applier.name)
            self._condition.notify_all()
            return events, end_lsn, heartbeat

    def _apply(self, events: list[Event], end_lsn: int, heartbeat: Heartbeat | None) -> None:
        known = self.position
        if known is None:
            raise RuntimeError("A worker without a position was attached.")
        if events and events[0].commit_lsn < known.lsn:
            events = [event for event in events if event.commit_lsn >= known.lsn]
        for event in events:
            # A load may begin at a position before the request, which then comes again.
            if (
                isinstance(event, ReloadRequested)
                and event.store in {"", self.applier.name}
                and event.commit_lsn > self._reload_lsn
            ):
                self._must_load, self._reload_lsn = True, event.commit_lsn
                raise ReloadWanted
        is_newer = end_lsn > known.lsn
        position = Position(known.cluster, end_lsn, heartbeat or known.heartbeat) if is_newer else known
        if not events and not is_newer:
            return
        self.applier.apply(events, position)
        with self._condition:
            self.position = position
        self._metrics.add("events_total", len(events), store=self.applier.name)
        self._metrics.add("batches_total", 1, store=self.applier.name)


class ReloadWanted(Exception):
    """Somebody asked that this store be loaded anew."""


def _is_expected(error: Exception) -> bool:
    """Whether the store's being away explains the error, so that its traceback tells nothing."""
    clients = ("redis", "clickhouse_connect", "psycopg")
    return isinstance(error, ReloadWanted | OSError) or type(error).__module__.startswith(clients)
