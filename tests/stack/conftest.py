"""Stacks of a test's own, with as few services as it needs; what it starts ends with it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from atlasco.lib.env import FROM_FILE, file_values
from atlasco.stack.control import control_ask
from atlasco.stack.errors import StackError
from atlasco.stack.plan import BASE_DIR
from atlasco.stack.processes import Command, descendants, process_start_time, service_user, tree_kill
from atlasco.stack.rundir import RunDir
from tests.cluster import CLUSTER

TIMEOUT_S = 60


def until(condition: Callable[[], Any], *, what: str) -> Any:
    """Wait for a condition; returns its first true value."""
    deadline = time.monotonic() + TIMEOUT_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not come true"
        time.sleep(0.02)
    return value


@dataclass
class OwnStack:
    """A supervisor as `make up` runs it, but for its size. only: names of the services to start."""

    run_dir: Path
    only: str
    environ: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None

    def launch(self, *more: str) -> OwnStack:
        """Start the supervisor; does not wait."""
        # Nothing of this session's own stack.
        inherited = {name: value for name, value in os.environ.items() if not name.endswith(("_URL", "_URLS"))}
        inherited.pop(FROM_FILE, None)
        command = Command(
            argv=[
                *(sys.executable, "-m", "atlasco.stack", "up", "--run-dir", str(self.run_dir), "--only", self.only),
                *("--steps", "", "--not-durable", "--no-demo", *(more or ("--any-port",))),
            ],
            env=inherited | self.environ | {"PYTHONPATH": str(BASE_DIR)},
            death_signal=signal.SIGTERM,
        )
        self.process = subprocess.Popen(
            command.argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **command.popen_options()
        )
        return self

    def start(self) -> OwnStack:
        """Start it and wait until it is ready."""
        process = self.launch().process

        def is_ready() -> bool:
            assert process is not None
            assert process.poll() is None, process.communicate()
            try:
                return bool(self.status()["ready"])
            except StackError:
                return False

        until(is_ready, what="readiness")
        return self

    def status(self) -> dict[str, Any]:
        return control_ask(self.run_dir, "status")

    def service(self, name: str) -> dict[str, Any]:
        return next(dict(facts) for facts in self.status()["services"] if facts["name"] == name)

    def processes(self) -> dict[int, int | None]:
        """Every process below the supervisor, with the start time that tells it from a later one of the same pid."""
        assert self.process is not None
        return {pid: process_start_time(pid) for pid in descendants(self.process.pid)}

    def finish(self) -> tuple[int, str, str]:
        """Wait for the supervisor's end: exit code, output, errors."""
        assert self.process is not None
        out, err = self.process.communicate(timeout=TIMEOUT_S)
        return self.process.returncode, out, err

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.finish()[0]


def living(processes: dict[int, int | None]) -> list[int]:
    """Which of these processes are still there; the ended ones that nobody has waited for are not."""
    return [pid for pid, start_time in processes.items() if process_start_time(pid) == start_time is not None]


@pytest.fixture
def own_dir() -> Iterator[Path]:
    """A folder that the servers' user can reach, unlike pytest's own when we are root."""
    folder = Path(tempfile.mkdtemp(prefix="own-", dir=CLUSTER.run_dir))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def own_stack(own_dir: Path) -> Iterator[Callable[..., OwnStack]]:
    """Makes stacks; each must be launched or started by the test."""
    made: list[OwnStack] = []

    def make(only: str, *, run_dir: Path | None = None, **environ: str) -> OwnStack:
        made.append(OwnStack(run_dir=run_dir or own_dir / "run", only=only, environ=environ))
        return made[-1]

    yield make
    for stack in made:
        if stack.process is not None and stack.process.poll() is None:
            tree_kill(stack.process.pid)
        if stack.process is not None:
            stack.process.communicate()


@pytest.fixture
def prepared(own_dir: Path) -> RunDir:
    """A run directory nobody runs a stack on."""
    run_dir = RunDir(own_dir / "prepared")
    run_dir.prepare(user=service_user())
    return run_dir


def stack_env(run_dir: Path) -> dict[str, str]:
    return file_values(run_dir / "stack.env")
