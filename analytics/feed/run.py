"""The feed: reads the slot, hands batches to every store's worker, acknowledges what all of them have committed.

# Note [What is acknowledged]
The slot may forget only what every store has committed, those that are away included: the smallest position, a few
seconds late. The delay is for stores that lose their last second in a crash (Valkey with `appendfsync everysec`):
they find it in the log again. A store that stays away keeps the log growing up to `max_slot_wal_keep_size`; then the
primary drops the slot rather than fill its disk, which is reported here and repaired by `manage.py feed --resnapshot`.
"""

from __future__ import annotations

import gc
import logging
import resource
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psycopg
import redis

from analytics.feed.applying import BACKOFF_FIRST_S, BACKOFF_MAX_S, Applier, Worker
from analytics.feed.assemble import Assembler
from analytics.feed.events import Batch, Position
from analytics.feed.metrics import Metrics, Publisher, SlotLost
from analytics.feed.slots import PUBLICATION, SLOT, cluster_identify, slot_create, slot_read
from analytics.feed.stream import ReplicationStream

log = logging.getLogger(__name__)

READ_MAX_BYTES: Final = 1 << 20
READ_TIMEOUT_S: Final = 0.5
ACKNOWLEDGE_DELAY_S: Final = 3.0
# A store whose queue stays full for so long is left behind; it comes back when it has done what it has.
STALL_S: Final = 30.0
_STATM: Final = Path("/proc/self/statm")
_REPORT_S: Final = 1.0
# How often the slot's retained log is looked at.
_SLOT_READ_S: Final = 10.0
_LOST_RETRY_S: Final = 5.0


def garbage_collect_less() -> None:
    """For a process that only feeds: events hold no cycles, and looking for some takes a quarter of its time."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


class Feed:
    """Run it in a thread or as a process: `run` returns after `stop`.

    dsn: of the replication role; slot: created where neither it nor any store's position exists.
    metrics_client: where figures are written; None keeps them in `metrics` only.
    """

    def __init__(
        self,
        *,
        dsn: str,
        appliers: Sequence[Applier],
        slot: str = SLOT,
        publication: str = PUBLICATION,
        metrics_client: redis.Redis | None = None,
    ) -> None:
        self.metrics = Metrics()
        self._dsn, self._slot, self._publication = dsn, slot, publication
        self._publisher = Publisher(self.metrics, metrics_client)
        self._stopping = threading.Event()
        self._cluster = ""
        self._trail: deque[tuple[float, int]] = deque()
        self._reported_at = 0.0
        self._slot_read_at = 0.0
        self.workers = [Worker(applier, start_read=self._start_read, metrics=self.metrics) for applier in appliers]

    def stop(self) -> None:
        """Ask the feed to end; what stores have not applied comes again at the next start."""
        self._stopping.set()

    def run(self) -> None:
        """Feed the stores until `stop`. Raises nothing for trouble that can pass."""
        self._publisher.start()
        for worker in self.workers:
            worker.start()
        backoff_s = BACKOFF_FIRST_S
        try:
            while not self._stopping.is_set():
                try:
                    self._stream_once()
                    backoff_s = BACKOFF_FIRST_S
                except SlotLost as error:
                    self.metrics.set("slot_lost", 1)
                    log.error("The slot is lost.", extra={"reason": str(error)})  # noqa: TRY400  # Told, not traced.
                    self._wait(_LOST_RETRY_S)
                except psycopg.Error as error:
                    self.metrics.add("reconnects_total", 1)
                    log.warning("The primary can't be read; trying again.", extra={"error": str(error).strip()[:500]})
                    self._wait(backoff_s)
                    backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)
        finally:
            self._publisher.stop()
            for worker in self.workers:
                worker.stop()
            for worker in self.workers:
                worker.join(STALL_S)

    def is_running(self) -> bool:
        """Whether every store is being fed."""
        return all(worker.state == "running" for worker in self.workers)

    # --- One connection -----------------------------------------------------------------------------------------------
    def _stream_once(self) -> None:
        """Stream until a store has to be sent from an earlier position, or until `stop`."""
        # What answers now may be another server than before, see Note [Positions after a promotion].
        self._cluster = cluster_identify(self._dsn)
        self._start_read()
        self._slot_read_at = time.monotonic()
        ready = self._wait_for_workers()
        if not ready:
            return
        start_lsn = min(worker.position.lsn for worker in ready if worker.position is not None)
        stream = ReplicationStream(self._dsn, slot=self._slot, publication=self._publication, start_lsn=start_lsn)
        log.info("Streaming.", extra={"slot": self._slot, "stores": [worker.applier.name for worker in ready]})
        self.metrics.set("slot_lost", 0)
        try:
            for worker in ready:
                worker.attach()
            assembler = Assembler()
            while not self._stopping.is_set() and not any(worker.state == "waiting" for worker in self.workers):
                messages = stream.read(timeout_s=READ_TIMEOUT_S, limit_bytes=READ_MAX_BYTES)
                if messages:
                    began = time.perf_counter()
                    batch = assembler.batch(messages)
                    self.metrics.add("decode_seconds_total", time.perf_counter() - began)
                    self.metrics.add("read_bytes_total", batch.size_bytes)
                    self.metrics.add("read_events_total", len(batch.events))
                    if batch.events or batch.end_lsn:
                        for worker in ready:
                            self._hand_over(worker, batch, stream)
                self._acknowledge(stream)
                self._report()
                if time.monotonic() - self._slot_read_at > _SLOT_READ_S:
                    self._slot_read_at = time.monotonic()
                    self._start_read()
        finally:
            stream.close()

    def _wait_for_workers(self) -> list[Worker]:
        """The workers that can be fed: those that are, and those that wait to be.

        Empty on `stop`, and where one has a position of another primary: which of the two it is now has to be asked.
        """
        # At the start, give a store that is well the time to say so: every rewind reads the log again.
        grace_until = time.monotonic() + 1.0
        while not self._stopping.is_set():
            # One that has been loading until now may have begun before the promotion, or after it.
            if any(worker.leave(self._cluster) for worker in self.workers):
                return []
            ready = [worker for worker in self.workers if worker.state in {"waiting", "running"}]
            if ready and (len(ready) == len(self.workers) or time.monotonic() > grace_until):
                return ready
            self._report()
            self._wait(0.05)
        return []

    def _hand_over(self, worker: Worker, batch: Batch, stream: ReplicationStream) -> None:
        """Back-pressure: while a store's queue is full nothing is read, and PostgreSQL waits."""
        began = time.monotonic()
        deadline = began + STALL_S
        while not self._stopping.is_set() and not worker.offer(batch, timeout_s=0.2):
            stream.keep_alive()
            self._report()
            self.metrics.add("stall_seconds_total", time.monotonic() - began)
            began = time.monotonic()
            if began > deadline and len(self.workers) > 1:
                log.warning("A store can't keep up and is left behind.", extra={"store": worker.applier.name})
                worker.detach("stalled")
                return

    def _acknowledge(self, stream: ReplicationStream) -> None:
        # A store that has no position here yet is being loaded: its snapshot may need everything that is still there.
        positions = [self._reached(worker) for worker in self.workers]
        now = time.monotonic()
        if not self._trail or now - self._trail[-1][0] > 0.2:
            self._trail.append((now, min(positions)))
        while len(self._trail) > 1 and now - self._trail[1][0] > ACKNOWLEDGE_DELAY_S:
            self._trail.popleft()
        if now - self._trail[0][0] > ACKNOWLEDGE_DELAY_S:
            # Never more than what holds now: a store may have fallen back meanwhile.
            stream.acknowledge(min(self._trail[0][1], *positions))

    def _reached(self, worker: Worker) -> int:
        known = worker.position
        return known.lsn if known is not None and known.cluster == self._cluster else 0

    # --- The slot -----------------------------------------------------------------------------------------------------
    def _start_read(self) -> Position:
        """The earliest position that can still be sent. Raises SlotLost, psycopg.OperationalError."""
        if not self._cluster:
            self._cluster = cluster_identify(self._dsn)
        slot = slot_read(self._dsn, name=self._slot)
        self.metrics.set("slot_retained_bytes", slot.retained_bytes)
        if slot.safe_bytes is not None:
            self.metrics.set("slot_safe_bytes", slot.safe_bytes)
        if slot.state == "lost":
            raise SlotLost(slot.detail)
        if slot.state == "missing":
            if any(self._reached(worker) for worker in self.workers):
                raise SlotLost("the slot is missing")
            return self._first_slot()
        return Position(self._cluster, slot.confirmed_lsn)

    def _first_slot(self) -> Position:
        try:
            lsn = slot_create(self._dsn, name=self._slot)
        except psycopg.errors.DuplicateObject:  # Another thread was faster.
            lsn = slot_read(self._dsn, name=self._slot).confirmed_lsn
        return Position(self._cluster, lsn)

    # --- Figures ------------------------------------------------------------------------------------------------------
    def _report(self) -> None:
        now = time.time()
        if now - self._reported_at < _REPORT_S:
            return
        self._reported_at = now
        for worker in self.workers:
            name = worker.applier.name
            self.metrics.set("store_running", 1 if worker.state == "running" else 0, store=name)
            if worker.position is not None:
                self.metrics.set("position_lsn", worker.position.lsn, store=name)
                if worker.position.heartbeat is not None:
                    self.metrics.set("lag_seconds", now - worker.position.heartbeat.ts_us / 1e6, store=name)
        self.metrics.set("memory_bytes", int(_STATM.read_text().split()[1]) * resource.getpagesize())
        self._publisher.tell(now_s=now)

    def _wait(self, seconds: float) -> None:
        self._stopping.wait(seconds)
