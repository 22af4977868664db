"""The session's real servers: PostgreSQL primary and two replicas, Valkey, ClickHouse; web and worker when asked for.

They are the product's own embedded stack, in a throw-away directory, on free ports. `DATABASE_URL`, `REPLICA_URLS`,
`REDIS_URL` and `CLICKHOUSE_URL` in the environment replace them one by one, as for `make up`, and
ATLASCO_TEST_STACK=testcontainers replaces all of them by the servers' official images.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, TextIO

import psycopg
import pytest

from atlasco.stack.control import control_ask
from atlasco.stack.errors import StackError, StackNotRunning
from atlasco.stack.plan import EXTERNAL_NAMES, Plan, external_servers
from atlasco.stack.processes import Command, log_tail, service_user
from atlasco.stack.rundir import RunDir
from atlasco.stack.services import LISTENING, STORES

START_TIMEOUT_S = 120
CATCH_UP_TIMEOUT_S = 30
MEMORY_DIR_MIN_BYTES = 4 << 30
PREFIX = "atlasco-test-"
SESSION_LOCK = "session.lock"
_DISTURBING = frozenset({"kill", "start", "promote"})
_NODES = frozenset({"primary", "replica1", "replica2"})


class Cluster:
    """One for the session: `CLUSTER`. Fixtures hand it out started."""

    def __init__(self) -> None:
        self._plan: Plan | None = None
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._containers: Any = None
        self._session_lock: TextIO | None = None
        self._environ = dict(os.environ)
        # How often a test has stopped or started a node of PostgreSQL: connections from before may be broken.
        self.disturbances = 0

    # --- Addresses ----------------------------------------------------------------------------------------------------
    def choose_addresses(self) -> None:
        """Reserve ports, make up passwords, and put the addresses into the environment. Starts nothing."""
        if self._plan is not None:
            return
        parent = throw_away_dir()
        _leftovers_remove(Path(parent or tempfile.gettempdir()))
        run_dir = RunDir(Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent)))
        run_dir.prepare(user=service_user())
        # Held as long as this process lives, see `_leftovers_remove`.
        self._session_lock = (run_dir.path / SESSION_LOCK).open("w")
        fcntl.flock(self._session_lock, fcntl.LOCK_EX)
        self._plan = Plan(
            run_dir=run_dir,
            secrets=run_dir.secrets(),
            ports=run_dir.reserve_ports(list(LISTENING), fixed={}),
            user=service_user(),
            external=external_servers(self._environ),
            environ=self._environ,
            durable=False,
        )
        # Never those of a stack that the developer runs beside the tests.
        os.environ["ATLASCO_RUN_DIR"] = str(run_dir.path)
        os.environ.update(self._plan.stack_env())
        os.environ["DATABASE_OWNER_URL"] = self._plan.database_owner_url
        # Commands that a test runs are the product's own, with its own settings over these addresses.
        os.environ["DJANGO_SETTINGS_MODULE"] = "atlasco.settings"
        # Whoever else reads these settings, such as a type checker, leaves nothing behind either.
        atexit.register(self.stop)

    def forget_addresses(self) -> None:
        """The environment as it was before `choose_addresses`, for a child that chooses for itself."""
        self.stop()
        os.environ.clear()
        os.environ.update(self._environ)

    @property
    def plan(self) -> Plan:
        assert self._plan is not None, "tests.settings chooses the addresses"
        return self._plan

    @property
    def run_dir(self) -> Path:
        return self.plan.run_dir.path

    @property
    def database_url(self) -> str:
        """The primary, as the application's role."""
        return self.plan.database_url

    @property
    def owner_url(self) -> str:
        """The primary, as the owner of the tables."""
        return self.plan.database_owner_url

    @property
    def replica_urls(self) -> tuple[str, ...]:
        return self.plan.replica_urls

    @property
    def redis_url(self) -> str:
        return self.plan.redis_url

    @property
    def clickhouse_url(self) -> str:
        return self.plan.clickhouse_url

    @property
    def web_url(self) -> str:
        """Where `live_stack` serves, without a slash at the end."""
        return self.plan.web_url.rstrip("/")

    def admin_url(self, node: str = "primary") -> str:
        """The superuser of one of our own nodes; skips the test where the server is somebody else's."""
        if self.plan.external.database_url:
            pytest.skip("needs the superuser of a PostgreSQL of its own")
        return self.plan.admin_url(node)

    def must_be_embedded(self) -> None:
        """Skip the test where the supervisor does not run the servers itself, and so can't kill or pause them."""
        if any(self.service(name)["state"] == "external" for name in ("primary", "valkey", "clickhouse")):
            pytest.skip("needs the embedded servers")

    @property
    def is_started(self) -> bool:
        return self._supervisor is not None

    # --- Life ---------------------------------------------------------------------------------------------------------
    def start(self) -> None:
        """Start and migrate, once. Raises RuntimeError with the end of the log where that fails."""
        if self._supervisor is not None:
            return
        plan = self.plan
        plan.ports.release_all()
        environ = dict(self._environ)
        if environ.get("ATLASCO_TEST_STACK") == "testcontainers":
            from tests.containers import Containers

            self._containers = Containers(plan)
            self._containers.start()
            environ |= {name: plan.stack_env()[name] for name in EXTERNAL_NAMES}
            environ["DATABASE_OWNER_URL"] = plan.database_owner_url
        environ |= {"ATLASCO_RUN_DIR": str(self.run_dir), "DJANGO_SETTINGS_MODULE": "atlasco.settings"}
        command = Command(
            argv=[
                *(sys.executable, "-m", "atlasco.stack", "up", "--any-port", "--not-durable", "--no-demo"),
                *("--run-dir", str(self.run_dir), "--steps", "migrate", "--only", ",".join(self._stores(environ))),
            ],
            env=environ | {"PYTHONPATH": str(Path(__file__).parent.parent)},
            # A session that is killed leaves no servers behind.
            death_signal=signal.SIGTERM,
        )
        log = plan.run_dir.log("tests")
        with log.open("ab") as file:
            self._supervisor = subprocess.Popen(command.argv, stdout=file, stderr=file, **command.popen_options())
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._is_ready():
            if self._supervisor.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"The stack of this session did not start:\n{log_tail(log, lines=40)}")
            time.sleep(0.03)

    @staticmethod
    def _stores(environ: dict[str, str]) -> list[str]:
        external = external_servers(environ)
        replicas_are_external = external.database_url or external.replica_urls
        return [name for name in STORES if not (name.startswith("replica") and replicas_are_external)]

    def _is_ready(self) -> bool:
        try:
            return bool(self.status()["ready"])
        except StackNotRunning:
            return False

    def stop(self) -> None:
        """Stop what was started and remove the directory."""
        if self._plan is None:
            return
        self._plan.ports.release_all()
        if self._supervisor is not None:
            try:
                control_ask(self.run_dir, "stop")
            except StackError:
                self._supervisor.terminate()
            self._supervisor.wait(60)
        if self._containers is not None:
            self._containers.stop()
        data = self.plan.run_dir.data
        shutil.rmtree(self.run_dir, ignore_errors=True)
        shutil.rmtree(data, ignore_errors=True)
        if self._session_lock is not None:
            self._session_lock.close()
        self._plan = None

    # --- Use ----------------------------------------------------------------------------------------------------------
    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Ask the supervisor, as `manage.py stack …` does. Raises StackError."""
        self.disturbances += do in _DISTURBING and arguments.get("name") in _NODES
        return control_ask(self.run_dir, do, **arguments)

    def status(self) -> dict[str, Any]:
        return self.ask("status")

    def service(self, name: str) -> dict[str, Any]:
        """The line of one service in `status`."""
        return next(dict(facts) for facts in self.status()["services"] if facts["name"] == name)

    def wait_for_replicas(self) -> str:
        """Wait until every replica has replayed what the primary has committed so far; returns that LSN."""
        with psycopg.connect(self.database_url, autocommit=True) as primary:
            row = primary.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
        assert row is not None
        for url in self.replica_urls:
            wait_for_lsn(url, str(row[0]))
        return str(row[0])


def throw_away_dir() -> str | None:
    """Memory, where there is plenty: three clusters are some 5,000 files, which a disk takes seconds to create.

    None is the system's folder for temporary files; so it is where TMPDIR says where to go.
    """
    memory = Path("/dev/shm")
    if "TMPDIR" in os.environ or not os.access(memory, os.W_OK):
        return None
    space = os.statvfs(memory)
    return str(memory) if space.f_bavail * space.f_frsize >= MEMORY_DIR_MIN_BYTES else None


def _leftovers_remove(parent: Path) -> None:
    """Remove the directories of sessions that were killed: in memory they would stay until the next boot."""
    for lock in parent.glob(f"{PREFIX}*/{SESSION_LOCK}"):
        with contextlib.suppress(OSError), lock.open("w") as file:
            # Whoever still lives holds it; so does nobody who has just made the folder and not the lock.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree((lock.parent / "data").resolve(), ignore_errors=True)
            shutil.rmtree(lock.parent, ignore_errors=True)


def wait_for_lsn(replica_url: str, lsn: str, *, timeout_s: float = CATCH_UP_TIMEOUT_S) -> None:
    """Wait until a replica has replayed the log up to that position. Raises TimeoutError where it does not."""
    with psycopg.connect(replica_url, autocommit=True) as replica:
        deadline = time.monotonic() + timeout_s
        while replica.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [lsn]).fetchone() != (True,):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{replica.info.host}:{replica.info.port} has not reached {lsn}")
            time.sleep(0.01)


CLUSTER = Cluster()
