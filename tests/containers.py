"""The servers' official images in place of the embedded ones: ATLASCO_TEST_STACK=testcontainers, needs a Docker engine.

They listen on the ports and take the passwords that the plan has chosen already, so that nothing else has to know.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import psycopg
import redis
from docker.errors import DockerException
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from atlasco.stack.plan import DATABASE, REPLICATION_ROLE, Plan
from atlasco.stack.provision import RolePasswords, database_provision

POSTGRES_IMAGE = "postgres:18"
VALKEY_IMAGE = "valkey/valkey:9"
CLICKHOUSE_IMAGE = "clickhouse/clickhouse-server:latest"
START_TIMEOUT_S = 120
REPLICAS = ("replica1", "replica2")
POSTGRES_SETTINGS = (
    "wal_level=logical",
    "max_connections=200",
    "max_locks_per_transaction=256",
    "hot_standby_feedback=on",
    "max_slot_wal_keep_size=2GB",
    "track_commit_timestamp=on",
    "fsync=off",
)


class Containers:
    """Start them once for the session; `stop` removes them with their data.

    Raises RuntimeError where there is no Docker engine.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        try:
            self._network = Network()
        except DockerException as error:
            raise RuntimeError(f"ATLASCO_TEST_STACK=testcontainers needs a Docker engine: {error}") from error
        self._started: list[Any] = []

    def start(self) -> None:
        """Start the images, set up roles and replication. Raises TimeoutError where a server does not answer."""
        self._network.create()
        plan, secrets = self.plan, self.plan.secrets
        self._run(
            "valkey",
            DockerContainer(VALKEY_IMAGE).with_command(["valkey-server", "--requirepass", secrets.redis_password]),
            port=6379,
        )
        self._run(
            "clickhouse",
            DockerContainer(CLICKHOUSE_IMAGE)
            .with_env("CLICKHOUSE_USER", "default")
            .with_env("CLICKHOUSE_PASSWORD", secrets.clickhouse_password)
            .with_env("CLICKHOUSE_DB", DATABASE)
            .with_env("CLICKHOUSE_DEFAULT_ACCESS_MANAGEMENT", "1"),
            port=8123,
        )
        primary = self._run(
            "primary",
            DockerContainer(POSTGRES_IMAGE)
            .with_env("POSTGRES_PASSWORD", secrets.superuser_password)
            .with_env("POSTGRES_INITDB_ARGS", "--locale-provider=builtin --builtin-locale=C.UTF-8 --data-checksums")
            .with_command(["postgres", *_settings()]),
            port=5432,
        )
        admin_url = plan.admin_url("primary", database="postgres")
        _wait_for("primary", lambda: psycopg.connect(admin_url, connect_timeout=2).close())
        # The image lets nobody replicate.
        line = f"host replication {REPLICATION_ROLE} all scram-sha-256"
        primary.exec(["sh", "-c", f'echo "{line}" >> "$PGDATA/pg_hba.conf"'])
        database_provision(
            admin_url=admin_url,
            passwords=RolePasswords(
                owner=secrets.owner_password, app=secrets.app_password, replication=secrets.replication_password
            ),
        )
        with psycopg.connect(admin_url, autocommit=True) as admin:
            admin.execute("SELECT pg_reload_conf()")
            for name in REPLICAS:
                admin.execute("SELECT pg_create_physical_replication_slot(%s, true)", [name])
        for name in REPLICAS:
            self._run(name, self._replica(name), port=5432)
        for name in REPLICAS:
            url = plan.admin_url(name, database="postgres")
            _wait_for(name, lambda url=url: psycopg.connect(url, connect_timeout=2).close())  # type: ignore[misc]  # A default keeps the url.
        _wait_for("valkey", lambda: redis.Redis.from_url(plan.redis_url).ping())
        ping = f"http://127.0.0.1:{plan.port('clickhouse')}/ping"
        _wait_for("clickhouse", lambda: urlopen(ping, timeout=2).close())

    def stop(self) -> None:
        for container in reversed(self._started):
            container.stop()
        self._network.remove()

    def _replica(self, name: str) -> DockerContainer:
        copy = (
            f'pg_basebackup --host=primary --username={REPLICATION_ROLE} --pgdata="$PGDATA" --write-recovery-conf '
            f"--wal-method=stream --checkpoint=fast --slot={name}"
        )
        return (
            DockerContainer(POSTGRES_IMAGE)
            .with_env("PGPASSWORD", self.plan.secrets.replication_password)
            .with_env("PGAPPNAME", name)
            .with_kwargs(user="postgres")
            .with_command(["sh", "-c", f"{copy} && exec postgres {' '.join(_settings())}"])
        )

    def _run(self, name: str, container: DockerContainer, *, port: int) -> DockerContainer:
        container.with_bind_ports(port, self.plan.port(name))
        container.with_network(self._network).with_network_aliases(name)
        container.start()
        self._started.append(container)
        return container


def _settings() -> list[str]:
    return [part for setting in POSTGRES_SETTINGS for part in ("-c", setting)]


def _wait_for(name: str, attempt: Callable[[], object]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            attempt()
        except (psycopg.OperationalError, redis.RedisError, URLError, OSError) as error:
            if time.monotonic() > deadline:
                raise TimeoutError(f"The container of {name} does not answer: {error}") from error
            time.sleep(0.2)
        else:
            return
