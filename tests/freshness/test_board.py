"""Readings that the processes of one machine share: who writes them, who takes over, and what is believed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from freshness.board import Board
from freshness.monitor import Monitor, Reading
from freshness.sources import Applied, Source, forget, source_register

PATIENCE_S = 30
# Holds the lock and writes one look at `stream`; then nothing more.
HOLDER = """
import sys, time
from pathlib import Path
from freshness.board import Board
board = Board(Path(sys.argv[1]))
assert board.lead()
now = time.monotonic()
reading = {"beat_at": 5.0, "lsn": 7, "taken_at": now, "error": "", "since": 0.0, "timeline": 1, "took_s": None}
board.write({"written_at": now, "readings": {"stream": reading}, "distance_s": 100.0, "timelines": [[1, 0]]})
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


def until(wanted: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if wanted():
            return True
        time.sleep(0.01)
    return False


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
    assert until(lambda: watch.reading("stream") is not None)
    reading = watch.reading("stream")
    assert reading is not None and (reading.beat_at, reading.lsn) == (5.0, 7)
    assert watch.timelines == {1: 0} and (watch.primary_now() or 0) > 100
    assert not stream


def test_when_the_watcher_dies_another_process_asks(
    tmp_path: Path, stream: list[float], watch: Monitor, holder: subprocess.Popen[str]
) -> None:
    board = Board(tmp_path / "board")
    watch.start(board=board)
    assert until(lambda: watch.reading("stream") is not None)
    holder.kill()
    assert until(lambda: bool(stream)) and board.is_leading
    assert until(lambda: (reading := watch.reading("stream")) is not None and reading.lsn == 900)
    third = Board(tmp_path / "board")
    assert until(lambda: (state := third.read()) is not None and state["readings"]["stream"]["lsn"] == 900)


def test_when_the_watcher_only_hangs_its_readings_grow_old_and_each_process_asks_itself(
    tmp_path: Path, stream: list[float], watch: Monitor, holder: subprocess.Popen[str]
) -> None:
    board = Board(tmp_path / "board")
    watch.start(board=board)
    assert until(lambda: watch.reading("stream") is not None)
    holder.send_signal(signal.SIGSTOP)
    assert until(lambda: (reading := watch.reading("stream")) is not None and reading.lsn == 900)
    assert stream and not board.is_leading


def test_a_board_that_can_not_be_understood_is_left_alone(tmp_path: Path, stream: list[float], watch: Monitor) -> None:
    board = Board(tmp_path / "board")
    assert board.lead()
    board.write({"written_at": time.monotonic(), "readings": {"stream": {"of": "another version"}}})
    watch.start(board=Board(tmp_path / "board"))
    assert until(lambda: (reading := watch.reading("stream")) is not None and reading.lsn == 900)


def test_a_reading_from_another_life_of_the_machine_says_nothing(
    tmp_path: Path, stream: list[float], watch: Monitor
) -> None:
    board = Board(tmp_path / "board")
    assert board.lead()
    ahead = time.monotonic() + 10_000
    reading = {"beat_at": 5.0, "lsn": 7, "taken_at": ahead, "error": "", "since": ahead, "timeline": 1, "took_s": None}
    board.write({"written_at": ahead, "readings": {"stream": reading}, "distance_s": 1.0, "timelines": []})
    watch.start(board=Board(tmp_path / "board"))
    assert until(lambda: bool(stream))
    assert watch.reading("stream") == watch._readings["stream"] and watch._readings["stream"].lsn == 900
    assert isinstance(watch._readings["stream"], Reading)
