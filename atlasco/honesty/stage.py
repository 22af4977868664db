"""A throw-away stack to break things on: started as a user would, steered by the commands that users have."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg

from atlasco.stack.control import control_ask
from atlasco.stack.errors import StackError
from atlasco.stack.plan import ADMIN_PASSWORD, BASE_DIR, EXTERNAL_NAMES, environment_own
from atlasco.stack.processes import Command, descendants

_SERVICES: Final = "primary,replica1,replica2,valkey,clickhouse,web,feed"
_START_TIMEOUT_S: Final = 180
_MEMORY: Final = Path("/dev/shm")  # noqa: S108  # A folder of our own in it.
# What escalates must not be turned down here: the check is of what answers claim, not of how the primary is protected.
_PLENTY: Final = "1000000"
# Python runs this first in each process that finds it: whoever asks for the wall clock's seconds gets wrong ones.
_SKEW: Final = """
import time
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + {skew_s}
time.time_ns = lambda: _time_ns() + {skew_s} * 10**9
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """The running stack. web_url: without a slash at the end; tokens: of its one tenant, a writer's and a reader's.

    Who only reads with its own token gets no courtesy to what it has written itself.
    """

    run_dir: Path
    environ: dict[str, str]
    web_url: str
    tokens: tuple[str, str]

    def ask(self, do: str, name: str) -> dict[str, Any]:
        """As `manage.py stack DO NAME`. Raises StackError."""
        return control_ask(self.run_dir, do, name=name)

    @contextmanager
    def stopped(self, name: str) -> Iterator[None]:
        """Nothing of a service runs inside, and it does not die: its machine takes what is sent."""
        facts = control_ask(self.run_dir, "status")["services"]
        parent = next(service["pid"] for service in facts if service["name"] == name)
        pids = [parent, *descendants(parent)]
        _signal(pids, signal.SIGSTOP)
        try:
            yield
        finally:
            _signal(pids, signal.SIGCONT)

    def admin(self, node: str, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement on one node as its superuser."""
        facts = control_ask(self.run_dir, "status")["services"]
        dsn = next(service["admin_dsn"] for service in facts if service["name"] == node)
        with psycopg.connect(dsn, autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def skewed_web(self, *, skew_s: int, port: int) -> Iterator[str]:
        """A second web process whose clock is wrong. Yields its address."""
        folder = self.run_dir / "skewed"
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(_SKEW.format(skew_s=skew_s), encoding="utf-8")
        environ = {**self.environ, "PYTHONPATH": f"{folder}{os.pathsep}{BASE_DIR}"}
        command = Command(argv=[sys.executable, "-m", "atlasco.stack.web", "--port", str(port)], env=environ)
        with (self.run_dir / "skewed.log").open("ab") as log:
            process = subprocess.Popen(command.argv, stdout=log, stderr=log, **command.popen_options())
        try:
            deadline = time.monotonic() + _START_TIMEOUT_S
            while not _answers(port) and time.monotonic() < deadline:
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def stage_open() -> Iterator[Stage]:
    """Start a stack of its own on free ports, with one tenant; remove it afterwards. Raises StackError."""
    parent = str(_MEMORY) if os.access(_MEMORY, os.W_OK) else None
    run_dir = Path(tempfile.mkdtemp(prefix="atlasco-honesty-", dir=parent))
    own = environment_own(os.environ)
    # Never the stack that somebody works with, nor the tests'.
    for name in (*EXTERNAL_NAMES, "DATABASE_OWNER_URL", "DATABASE_REPLICATION_URL", ADMIN_PASSWORD, "ATLASCO_PORT"):
        own.pop(name, None)
    environ = own | {
        "ATLASCO_RUN_DIR": str(run_dir),
        "ATLASCO_ESCALATIONS_PER_S": _PLENTY,
        "ATLASCO_ESCALATIONS_PER_S_TENANT": _PLENTY,
        "DJANGO_SETTINGS_MODULE": "atlasco.settings",
        "PYTHONPATH": str(BASE_DIR),
    }
    argv = ["-m", "atlasco.stack", "up", "--any-port", "--not-durable", "--no-demo", "--run-dir", str(run_dir)]
    command = Command(
        argv=[sys.executable, *argv, "--steps", "migrate", "--only", _SERVICES],
        env=environ,
        death_signal=signal.SIGTERM,
    )
    log = run_dir.with_suffix(".log")
    try:
        with log.open("ab") as file:
            supervisor = subprocess.Popen(command.argv, stdout=file, stderr=file, **command.popen_options())
        try:
            status = _ready(run_dir, supervisor, log)
            _manage(environ, "create_tenant", "honesty")
            writer, reader = (
                _manage(environ, "create_token", "--tenant", "honesty", "--name", name).split()[-1]
                for name in ("writer", "reader")
            )
            yield Stage(run_dir, environ, str(status["url"]).rstrip("/"), (writer, reader))
        finally:
            supervisor.terminate()
            supervisor.wait(120)
    finally:
        shutil.rmtree((run_dir / "data").resolve(), ignore_errors=True)
        shutil.rmtree(run_dir, ignore_errors=True)
        log.unlink(missing_ok=True)


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _answers(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def _ready(run_dir: Path, supervisor: subprocess.Popen[bytes], log: Path) -> dict[str, Any]:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and supervisor.poll() is None:
        try:
            status = control_ask(run_dir, "status")
        except StackError:
            status = {}
        if status.get("ready"):
            return status
        time.sleep(0.1)
    raise StackError(f"The stack of the check did not start:\n{log.read_text(encoding='utf-8')[-4000:]}")


def _manage(environ: dict[str, str], *arguments: str) -> str:
    argv = [sys.executable, str(BASE_DIR / "manage.py"), *arguments]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(f"manage.py {arguments[0]} failed: {done.stderr[-2000:]}")
    return done.stdout
