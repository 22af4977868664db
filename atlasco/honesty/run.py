"""One run: in which order everything is broken while counters are raised and read, and what came of it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Final

from atlasco.honesty.ledger import Verdict, judge
from atlasco.honesty.stage import Stage
from atlasco.honesty.workload import WRITERS, Run

READERS: Final = 8
SKEW_S: Final = 3600


@dataclass(frozen=True, slots=True)
class Report:
    """A run in figures. phases: reads in each, and how many of them failed.

    moves: how often one NEAR_REALTIME reader changed its store while the replicas were paused, for longer than they may
    be late, and right after, of each pause: 2 where it moves away and back and nothing flaps.
    """

    verdict: Verdict
    seconds: float
    writes: int
    writes_failed: int
    lost: int
    phases: dict[str, tuple[int, int]]
    latest_replica_s: float | None
    moves: list[int]


def honesty_run(
    stage: Stage, *, values: int, seconds: float, is_short: bool, progress: Callable[[int, str], None]
) -> Report:
    """Break everything in turn until enough values were read, or the time is over. progress: values so far, phase."""
    run = Run(stage)
    run.setup()
    faults: list[Exception] = []
    works = [
        *((f"writer {number}", partial(run.write, number)) for number in range(WRITERS)),
        *((f"reader {seed}", partial(run.read, seed)) for seed in range(READERS)),
    ]
    threads = [threading.Thread(target=_guarded, args=(work, faults), name=name) for name, work in works]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    watch = threading.Thread(target=_watch, args=(run, progress), name="progress")
    watch.start()
    try:
        with closing(_acts(run, is_short=is_short)) as acts:
            for number, act in enumerate(acts):
                if number and (len(run.reads) >= values or time.monotonic() - began >= seconds):
                    break
                act()
    finally:
        run.stopping.set()
        for thread in [*threads, watch]:
            thread.join(60)
    if faults:
        raise faults[0]  # A check that some stopped taking part in proves nothing.
    return _report(run, time.monotonic() - began)


def _guarded(work: Callable[[], None], faults: list[Exception]) -> None:
    try:
        work()
    except Exception as error:
        faults.append(error)
        raise


def _acts(run: Run, *, is_short: bool) -> Generator[Callable[[], None], None, None]:
    """What is done, one after the other; the long form goes round until somebody stops it."""
    if is_short:
        yield lambda: _short(run)
        return
    yield lambda: run.rest(5)
    yield from _round(run)
    yield lambda: run.promote("replica1")
    # Afterwards the node called `primary` streams from replica1.
    port = _free_port()
    with run.stage.skewed_web(skew_s=SKEW_S, port=port) as url:
        run.urls.append(url)
        try:
            while True:
                with run.during("a clock an hour ahead"):
                    yield lambda: run.rest(20)
                run.urls.remove(url)
                yield lambda: run.rest(5)
                yield lambda: run.pause_replicas(8)
                yield lambda: run.kill("replica2", 3)
                yield lambda: run.kill("valkey", 4)
                yield lambda: run.kill("clickhouse", 4)
                yield lambda: run.kill("feed", 6)
                yield lambda: run.hang("replica2", 4)
                yield lambda: run.rest(3)
                yield lambda: run.kill("replica1", 5)
                yield lambda: run.rest(3)
                yield lambda: run.hang("replica1", 5)
                yield lambda: run.rest(3)
                run.urls.append(url)
        finally:
            # Its readers must be gone before it is: what it fails then is our doing.
            run.urls[:] = [run.stage.web_url]
            time.sleep(1)


def _short(run: Run) -> None:
    run.rest(2)
    run.pause_replicas(2)
    run.kill("valkey", 1)
    run.kill("primary", 2)
    run.rest(1)
    run.promote("replica2")
    run.rest(2)


def _round(run: Run) -> Iterator[Callable[[], None]]:
    yield lambda: run.pause_replicas(12)
    yield lambda: run.rest(4)
    yield lambda: run.delay_replica(8)
    yield lambda: run.kill("replica1", 4)
    yield lambda: run.kill("replica2", 4)
    yield lambda: run.hang("replica1", 5)
    yield lambda: run.rest(3)
    yield lambda: run.kill("valkey", 5)
    yield lambda: run.kill("clickhouse", 5)
    yield lambda: run.kill("feed", 8)
    yield lambda: run.kill("primary", 6)
    yield lambda: run.rest(5)
    yield lambda: run.hang("primary", 6)
    yield lambda: run.rest(5)


def _watch(run: Run, progress: Callable[[int, str], None]) -> None:
    while not run.stopping.wait(0.5):
        progress(len(run.reads), run.phase)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _report(run: Run, seconds: float) -> Report:
    reads = list(run.reads)
    phases: dict[str, tuple[int, int]] = {}
    for phase in dict.fromkeys(read.phase for read in reads):
        part = judge(run.ledger, (read for read in reads if read.phase == phase))
        phases[phase] = (part.reads, part.failed)
    near = [
        read.lag_s
        for read in reads
        if read.phase == "replicas paused" and read.tier == "NEAR_REALTIME" and read.source == "read-replica"
        if read.lag_s is not None
    ]
    return Report(
        verdict=judge(run.ledger, reads),
        seconds=seconds,
        writes=run.writes,
        writes_failed=run.writes_failed,
        lost=run.lost,
        phases=phases,
        latest_replica_s=max(near, default=None),
        moves=run.moves,
    )
