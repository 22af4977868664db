"""Readings that the processes of one machine share: who writes them, who takes over, and what is believed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from freshness.board import Board
from freshness.monitor import Monitor
from freshness.primary_clock import PrimaryClock
from freshness.sources import Applied, Source, forget, source_register, sources_known
from tests.waiting import wait_until

# Holds the lock and writes one look at `stream`; then nothing more.
HOLDER = """
import sys, time
from pathlib import Path
from freshness.board import Board
board = Board(Path(sys.argv[1]))
assert board.lead()
now = time.monotonic()
reading = {"beat_at": 5.0, "lsn": 7, "taken_at": now, "error": "", "since": 0.0, "timeline": 1, "took_s": None}
board.write({"written_at": now, "readings": {"stream": reading}, "clock": {"distance_s": 100.0}, "timelines": [[1, 0]]})
print("written", flush=True)
time.sleep(600)
"""


@pytest.fixture
def stream() -> Iterator[list[float]]:
    """A source whose probes are counted."""
    asked: list[float] = []

    def probe() -> Applied:
        asked.append(time.monotonic())
        return Applied(1000.0, 900)

    source_register(Source("stream", probe, (ConnectionError,), interval_s=0.05))
    yield asked
    forget("stream")


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that leads on `tmp_path/board`."""
    argv = [sys.executable, "-c", HOLDER, str(tmp_path / "board")]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stdout is not None and process.stdout.readline() == "written\n"
        yield process
        process.kill()


@pytest.fixture
def watch(stream: list[float]) -> Iterator[Monitor]:
    """Knows of no database; ends before its source is forgotten."""
    monitor = Monitor({})
    yield monitor
    monitor.close()


def test_one_writes_and_the_other_reads_what_is_new(tmp_path: Path) -> None:
    first, second = Board(tmp_path / "board"), Board(tmp_path / "board")
    assert first.lead() and not second.lead() and first.lead()
    assert second.read() is None
    first.write({"a": 1})
    assert second.read() == {"a": 1}
    assert second.read() is None
    first.write({"a": 2})
    assert second.read() == {"a": 2}
    first.close()
    assert second.lead()


def test_what_does_not_fit_or_was_half_written_is_not_read(tmp_path: Path) -> None:
    first, second = Board(tmp_path / "board"), Board(tmp_path / "board")
    assert first.lead()
    first.write({"a": "x" * 100_000})
    assert second.read() is None
    first.write({"a": 1})
    first._map[16:17] = b"!"
    assert second.read() is None


def test_a_file_that_others_may_write_is_no_board(tmp_path: Path) -> None:
    path = tmp_path / "board"
    path.touch(mode=0o600)
    path.chmod(0o666)
    with pytest.raises(PermissionError):
        Board(path)


def test_a_process_believes_the_board_and_asks_nobody_itself(
    tmp_path: Path, stream: list[float], watch: Monitor, holder: subprocess.Popen[str]
) -> None:
    watch.start(board=Board(tmp_path / "board"))
    wait_until(lambda: watch.reading("stream") is not None)
    reading = watch.reading("stream")
    assert reading is not None and (reading.beat_at, reading.lsn) == (5.0, 7)
    assert watch.timelines == {1: 0} and (watch.primary_now() or 0) > 100
    assert not stream


def test_when_the_watcher_dies_another_process_asks(
    tmp_path: Path, stream: list[float], watch: Monitor, holder: subprocess.Popen[str]
) -> None:
    board = Board(tmp_path / "board")
    watch.start(board=board)
    wait_until(lambda: watch.reading("stream") is not None)
    holder.kill()
    wait_until(lambda: bool(stream))
    assert board.is_leading
    wait_until(lambda: (reading := watch.reading("stream")) is not None and reading.lsn == 900)
    third = Board(tmp_path / "board")
    wait_until(lambda: (state := third.read()) is not None and state["readings"]["stream"]["lsn"] == 900)


def test_when_the_watcher_only_hangs_its_readings_grow_old_and_each_process_asks_itself(
    tmp_path: Path, stream: list[float], watch: Monitor, holder: subprocess.Popen[str]
) -> None:
    board = Board(tmp_path / "board")
    watch.start(board=board)
    wait_until(lambda: watch.reading("stream") is not None)
    holder.send_signal(signal.SIGSTOP)
    wait_until(lambda: (reading := watch.reading("stream")) is not None and reading.lsn == 900)
    assert stream and not board.is_leading


def tell(board: Board, *, lsn: int, **clock: float) -> None:
    """Publish a look at `stream` that was taken now."""
    now = time.monotonic()
    reading = {"beat_at": 5.0, "lsn": lsn, "taken_at": now, "error": "", "since": 0.0, "timeline": 1, "took_s": None}
    board.write({"written_at": now, "readings": {"stream": reading}, "clock": clock, "timelines": []})


def told(watch: Monitor) -> int | None:
    return None if (reading := watch.reading("stream")) is None else reading.lsn


def test_when_a_watcher_that_hung_is_heard_again_nobody_else_asks(
    tmp_path: Path, stream: list[float], watch: Monitor
) -> None:
    leader = Board(tmp_path / "board")
    assert leader.lead()
    tell(leader, lsn=7)
    watch.start(board=Board(tmp_path / "board"))
    wait_until(lambda: bool(stream))  # It was silent for too long.

    def is_asking() -> bool:
        tell(leader, lsn=8)
        return any(thread.name == "monitor stream" and thread.is_alive() for thread in watch._threads)

    wait_until(lambda: not is_asking())
    asked = len(stream)

    def is_believed() -> bool:
        tell(leader, lsn=9)
        return told(watch) == 9

    wait_until(is_believed)
    assert len(stream) == asked


def test_whoever_watches_next_knows_that_the_primarys_clock_was_set_back(
    tmp_path: Path, stream: list[float], watch: Monitor
) -> None:
    leader, now = Board(tmp_path / "board"), time.monotonic()
    assert leader.lead()
    clock = PrimaryClock(distance_s=100.0, least_s=99.9, least_at=now, held_s=160.0, held_until=now + 300)
    tell(leader, lsn=7, **{name: value for name, value in asdict(clock).items() if value is not None})
    watch.start(board=Board(tmp_path / "board"))
    wait_until(lambda: told(watch) == 7)
    # One who has not seen the primary yet knows nothing better.
    tell(leader, lsn=8)
    wait_until(lambda: told(watch) == 8)
    leader.close()
    wait_until(lambda: told(watch) == 900)
    assert watch._clock == clock
    assert (watch.primary_now() or 0) >= now + 160


def test_a_monitor_that_is_closed_leaves_the_board_to_others(
    tmp_path: Path, stream: list[float], watch: Monitor
) -> None:
    watch.start(board=Board(tmp_path / "board"))
    wait_until(lambda: told(watch) == 900)
    other = Board(tmp_path / "board")
    assert not other.lead()
    watch.close()
    assert other.lead()


def test_a_board_has_all_its_room_from_the_beginning(tmp_path: Path) -> None:
    board = Board(tmp_path / "board")
    facts = (tmp_path / "board").stat()
    assert facts.st_blocks * 512 >= facts.st_size > 0
    board.close()


def test_every_store_says_where_it_is_so_that_boards_are_shared_by_those_who_mean_the_same() -> None:
    assert {"redis-cache", "clickhouse"} <= sources_known().keys()
    assert all(source.address for source in sources_known().values())


def test_a_board_that_can_not_be_understood_is_left_alone(tmp_path: Path, stream: list[float], watch: Monitor) -> None:
    board = Board(tmp_path / "board")
    assert board.lead()
    board.write({"written_at": time.monotonic(), "readings": {"stream": {"of": "another version"}}})
    watch.start(board=Board(tmp_path / "board"))
    wait_until(lambda: (reading := watch.reading("stream")) is not None and reading.lsn == 900)


def test_a_reading_from_another_life_of_the_machine_says_nothing(
    tmp_path: Path, stream: list[float], watch: Monitor
) -> None:
    board = Board(tmp_path / "board")
    assert board.lead()
    ahead = time.monotonic() + 10_000
    told = {"beat_at": 5.0, "lsn": 7, "taken_at": ahead, "error": "", "since": ahead, "timeline": 1, "took_s": None}
    board.write({"written_at": ahead, "readings": {"stream": told}, "clock": {"distance_s": 1.0}, "timelines": []})
    watch.start(board=Board(tmp_path / "board"))
    wait_until(lambda: watch.reading("stream") is not None)
    reading = watch.reading("stream")
    assert reading is not None and (reading.beat_at, reading.lsn) == (1000.0, 900)
