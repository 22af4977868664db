"""What this process knows of each store: its newest heartbeat, its position, and the primary's clock.

A thread for each store asks several times a second, so that a hanging one delays nobody. Where no threads run (a
command, a test), the asker asks itself. A database is known by its alias, a registered source by its name. Which clock
a lag is measured by says Note [Clocks] in `freshness.primary_clock`.

# Note [One watcher a machine]
Of all serving processes of a machine one asks; it writes what it learns on a board in shared memory (`freshness.board`)
which the others look at. Every process judges for itself: breakers, lags and hysteresis are its own, fed by what the
board says. A reading carries the instant at which it was taken, so one that is not renewed grows old and counts as
unknown, whoever took it. When the watcher dies, another process has its lock within LOOK_S and asks; when it only
hangs, each asks for itself until it is heard again. `bench freshness` prints what this saves.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Final

import psycopg
from django.conf import settings

from freshness.board import Board, board_open
from freshness.breakers import Breaker
from freshness.hangs import GUARD_S, Patience, connections_cut
from freshness.prediction import Progress
from freshness.primary_clock import PrimaryClock
from freshness.probes import Probes
from freshness.sources import sources_known
from freshness.timelines import BELIEVED_S, seq_timeline

log = logging.getLogger(__name__)

INTERVAL_S: Final = 0.2
# A reading older than this says nothing any more.
STALE_S: Final = 2.0
RETRY_S: Final = 5.0
# How often a process that does not ask looks at the board.
LOOK_S: Final = 0.05
HUNG: Final = "Hangs"
# What a database that hangs answers to whoever connects.
_SILENT: Final = frozenset({HUNG, "ConnectionTimeout"})
# Longer than two looks at such a one may be apart.
_SILENT_S: Final = 4.0
PRIMARY: Final = "default"


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at a store. beat_at: its newest heartbeat, seconds on the primary's clock; lsn: what it had applied.

    timeline: of that heartbeat; took_s: how long the one before took to be confirmed, of databases; taken_at: on the
    machine's monotonic clock; error: empty where the store answered; since: when that began.
    """

    beat_at: float | None
    lsn: int | None
    taken_at: float
    error: str
    since: float
    timeline: int = 1
    took_s: float | None = None


class Monitor:
    """The readings of one process."""

    def __init__(self, urls: dict[str, str]) -> None:
        self._urls = urls
        self._probes = Probes(urls)
        self._readings: dict[str, Reading] = {}
        self._breakers: dict[str, Breaker] = {}
        self._progress: dict[str, Progress] = {}
        self._clock = PrimaryClock()
        # Where each timeline began, as any database tells.
        self.timelines: dict[int, int] = {}
        self._threads: list[threading.Thread] = []
        self._locks: dict[str, threading.Lock] = {}
        # Stores that this process asks itself, each with what ends that.
        self._asked: dict[str, threading.Event] = {}
        self._board: Board | None = None
        self._publishing = threading.Lock()
        self._stopping = threading.Event()

    def start(self, *, board: Board | None = None) -> None:
        """Know of every database, and every source registered by now, from now on. See Note [One watcher a machine].

        board: what the machine's processes share; without one this process asks every store itself.
        """
        self._board = board
        self._thread(self._guard, "monitor guard")
        if board is None:
            self._ask(self._names())
        else:
            self._thread(partial(self._share, board), "monitor board")

    def _names(self) -> list[str]:
        return [*self._urls, *sources_known()]

    def _ask(self, names: list[str]) -> None:
        """Ask these stores in this process, from now on."""
        for name in names:
            if name not in self._asked:
                ended = self._asked[name] = threading.Event()
                self._thread(partial(self._watch, name, ended), f"monitor {name}")

    def _leave(self, name: str) -> None:
        """Ask this store no longer: somebody else does."""
        if (ended := self._asked.pop(name, None)) is not None:
            ended.set()

    def _thread(self, work: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._threads = [*(known for known in self._threads if known.is_alive()), thread]
        thread.start()

    def reading(self, name: str) -> Reading | None:
        """The latest reading of a store; None where there is none that still says anything."""
        interval_s = self._interval_s(name)
        if not self._threads and self._is_old(name, interval_s):
            self.look(name)
        return None if self._is_old(name, STALE_S + interval_s) else self._readings[name]

    def breaker(self, name: str) -> Breaker:
        """The breaker of a store."""
        known = self._breakers.get(name)
        return known if known is not None else self._breakers.setdefault(name, Breaker(changed_at=time.monotonic()))

    def progress(self, name: str) -> Progress:
        """How a store has been moving."""
        known = self._progress.get(name)
        return known if known is not None else self._progress.setdefault(name, Progress())

    def failed(self, name: str) -> None:
        """A read failed on a store: leave it out until probes have found it well."""
        if self.breaker(name).fail(now=time.monotonic()):
            log.warning("A store is left out.", extra={"store": name})

    def is_silent(self, alias: str) -> bool:
        """Whether a database is known to take connections and answer nothing. False where nobody watches."""
        reading = self._readings.get(alias) if self._threads else None
        return reading is not None and reading.error in _SILENT and not self._is_old(alias, _SILENT_S)

    def primary_now(self) -> float | None:
        """Seconds on the primary's clock, never too early; None where the primary was never seen."""
        if self._clock.distance_s is None and not self._threads:
            self.look(PRIMARY)
        now = time.monotonic()
        distance_s = self._clock.distance(at=now)
        return None if distance_s is None else now + distance_s

    def timeline(self) -> int:
        """The newest timeline that is known of; 1 where none is."""
        return max(self.timelines, default=1)

    def lag_s(self, beat_at: float | None, *, at: float | None = None) -> float | None:
        """The age of a heartbeat, at a given instant of the primary's clock or now. None where unknown."""
        now = self.primary_now() if at is None else at
        return None if now is None or beat_at is None else max(0.0, now - beat_at)

    def look(self, name: str) -> Reading:
        """Ask one store now."""
        with self._locks.setdefault(name, threading.Lock()):
            if name not in self._urls:
                return self._look_at_source(name)
            self._probes.answered(name)
            try:
                return self._look_at_database(name)
            finally:
                self._probes.ended(name)

    def close(self) -> None:
        """End the threads, and close what their looks or the asker's own opened, and the board."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(STALE_S)
        self._probes.close()
        with self._publishing:
            board, self._board = self._board, None
            if board is not None:
                board.close()

    # --- Looking ------------------------------------------------------------------------------------------------------
    def _look_at_source(self, name: str) -> Reading:
        source = sources_known()[name]
        began = time.monotonic()
        try:
            applied = source.probe()
        except source.failures as error:
            return self._noted(name, Reading(None, None, time.monotonic(), type(error).__name__, began))
        timeline = seq_timeline(applied.seq)
        return self._noted(name, Reading(applied.beat_at, applied.lsn, time.monotonic(), "", began, timeline))

    def _look_at_database(self, alias: str) -> Reading:
        began = time.monotonic()
        kept = self._probes.connection(alias)
        try:
            try:
                return self._ask_database(alias, began)
            except psycopg.OperationalError:
                if kept is None or not kept.closed:
                    raise
            # A connection that broke since the last look says nothing of the server now, which may have been restarted.
            began = self._probes.answered(alias)
            return self._ask_database(alias, began)
        except psycopg.Error as failure:
            # Who cancels a statement that took too long answers: connecting anew would only cost it more.
            if not isinstance(failure, psycopg.errors.QueryCanceled):
                self._probes.drop(alias)
            return self._noted(alias, Reading(None, None, time.monotonic(), type(failure).__name__, began))

    def _ask_database(self, alias: str, began: float) -> Reading:
        told = self._probes.ask(alias)
        if told.timeline not in self.timelines:
            self.timelines = {**self.timelines, **self._probes.timelines(alias)}
        error = ""
        if alias == PRIMARY and (told.is_standby or told.timeline < self.timeline()):
            # Its address leads to a server that is primary no longer: a new connection may find the one that is.
            error = "Standby" if told.is_standby else "Deposed"
            self._probes.drop(alias)
        clock = told.clock if alias == PRIMARY and not error else None
        if clock is not None and self._clock.note(shown=clock, began=began, ended=time.monotonic()):
            log.warning("The primary's clock was set back; lags are told larger for a while.")
        lsn = told.beat_lsn
        if told.reached_lsn is not None and (not told.is_standby or self.is_believed(told.beat_at)):
            lsn = told.reached_lsn
        now = time.monotonic()
        return self._noted(alias, Reading(told.beat_at, lsn, now, error, began, told.timeline, told.took_s))

    def is_believed(self, beat_at: float | None) -> bool:
        """Whether what a standby replayed behind this heartbeat is of its timeline, see Note [Timelines]."""
        lag_s = self.lag_s(beat_at)
        return lag_s is not None and lag_s < BELIEVED_S

    def _noted(self, name: str, reading: Reading) -> Reading:
        before = self._readings.get(name)
        if before is not None and bool(before.error) == bool(reading.error):
            reading = replace(reading, since=before.since)
        elif before is not None:
            log.warning("A store changed state.", extra={"store": name, "error": reading.error or "answers again"})
        self._readings[name] = reading
        self._publish()
        breaker, progress = self.breaker(name), self.progress(name)
        if reading.error:
            breaker.fail(now=reading.taken_at)
        else:
            breaker.succeed(now=reading.taken_at)
            breaker.lag_note(self.lag_s(reading.beat_at))
            progress.note(lsn=reading.lsn, beat_at=reading.beat_at, at=reading.taken_at)
        return reading

    # --- Sharing ------------------------------------------------------------------------------------------------------
    def _publish(self) -> None:
        with self._publishing:
            board = self._board
            if board is None or not board.is_leading:
                return
            board.write(
                {
                    "written_at": time.monotonic(),
                    "readings": {name: asdict(reading) for name, reading in list(self._readings.items())},
                    # Whole: whoever watches next must know of a step that this one saw.
                    "clock": asdict(self._clock),
                    "timelines": [[timeline, lsn] for timeline, lsn in self.timelines.items()],
                }
            )

    def _share(self, board: Board) -> None:
        """Follow the board, then ask: when this process is the one to write it, or where it can't be followed."""
        try:
            self._follow(board)
        except Exception:
            log.exception("What this machine's processes share can't be read; this one asks every store itself.")
        if not self._stopping.is_set():
            self._ask(self._names())

    def _follow(self, board: Board) -> None:
        """Take over what the board says, until this process is the one to write it."""
        began = heard_at = time.monotonic()
        while not (self._stopping.is_set() or board.lead()):
            now = time.monotonic()
            # What is left of a watcher that died long ago, before a restart of the machine perhaps, says nothing.
            if (state := board.read()) is not None and 0 <= now - state["written_at"] < STALE_S:
                heard_at = now
                for name, told in state["readings"].items():
                    if now - told["taken_at"] < STALE_S:
                        self._leave(name)
                self._take(state)
            if now - heard_at > STALE_S:
                self._ask(self._names())  # Whoever has the lock hangs.
            elif now - began > STALE_S:
                self._ask([name for name in self._names() if name not in self._readings])  # It knows nothing of these.
            self._stopping.wait(LOOK_S)

    def _take(self, state: dict[str, Any]) -> None:
        """Make the board's readings ours, of the stores that this process does not ask itself."""
        clock = PrimaryClock(**state["clock"])
        # One who never saw the primary knows less than we do.
        if PRIMARY not in self._asked and clock.distance_s is not None:
            self._clock = clock
        self.timelines = {**self.timelines, **dict(state["timelines"])}
        for name, told in state["readings"].items():
            known = self._readings.get(name)
            if name not in self._asked and (known is None or told["taken_at"] > known.taken_at):
                self._noted(name, Reading(**told))

    # --- Databases that hang ------------------------------------------------------------------------------------------
    def _guard(self) -> None:
        """Notice databases that hang, and let go of them, see `freshness.hangs`."""
        patience = Patience(now=time.monotonic())
        while not self._stopping.wait(GUARD_S):
            try:
                self._let_go(patience)
            except Exception:
                # Without this thread a database that hangs would hold every one that serves.
                log.exception("Databases that hang can't be looked for; tried again.")

    def _let_go(self, patience: Patience) -> None:
        now = time.monotonic()
        waiting = self._probes.waiting()
        for alias in patience.lost(waiting, now=now):
            self._noted(alias, Reading(None, None, now, HUNG, waiting.get(alias, now)))
            self._probes.cut(alias)
        for alias in self._urls:
            # What was learnt too long ago says nothing, whoever learnt it.
            if self.is_silent(alias):
                connections_cut(alias, silent_s=now - self._readings[alias].since)

    def _interval_s(self, name: str) -> float:
        source = sources_known().get(name)
        return INTERVAL_S if source is None else source.interval_s

    def _is_old(self, name: str, age_s: float) -> bool:
        reading = self._readings.get(name)
        return reading is None or time.monotonic() - reading.taken_at > age_s

    def _watch(self, name: str, ended: threading.Event) -> None:
        while not (self._stopping.is_set() or ended.is_set()):
            try:
                self.look(name)
            except Exception:
                # An owner's probe with a fault of its own: its reading grows old, which says enough to every reader.
                log.exception("A store can't be looked at.", extra={"store": name})
                self._stopping.wait(RETRY_S)
            self._stopping.wait(self._pause_s(name))
        with self._locks.setdefault(name, threading.Lock()):
            self._probes.drop(name)

    def _pause_s(self, name: str) -> float:
        """How long to wait before a store is asked again."""
        breaker, reading = self.breaker(name), self._readings.get(name)
        # One that hangs has kept us waiting already, and nobody else connects to it meanwhile.
        if breaker.is_closed or (reading is not None and reading.error in _SILENT):
            return self._interval_s(name)
        return breaker.pause(jitter=random.random())  # noqa: S311  # Spreads load, hides nothing.


def database_urls() -> dict[str, str]:
    """The address of each database by its alias."""
    return {
        PRIMARY: settings.DATABASE_URL,
        **dict(zip(settings.REPLICA_ALIASES, settings.REPLICA_URLS, strict=True)),
    }


_monitor: Monitor | None = None
_guard = threading.Lock()


def monitor_start() -> None:
    """Know of every store in this process from now on, together with the others of this machine."""
    # With an embedded stack it goes when the stack's own files go.
    folder = settings.RUN_DIR if settings.RUN_DIR_IS_OURS else None
    addresses = [*database_urls().values(), *(source.address for source in sources_known().values())]
    monitor().start(board=board_open(addresses, folder=folder))


def monitor() -> Monitor:
    """This process's monitor."""
    global _monitor  # noqa: PLW0603  # One a process, made when first wanted: settings may not be read earlier.
    with _guard:
        if _monitor is None:
            _monitor = Monitor(database_urls())
        return _monitor
