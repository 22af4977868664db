"""What one start of the stack is about: where, whom as, which ports, what is external. Handed to every service."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from atlasco.lib.env import FROM_FILE
from atlasco.stack.processes import ServiceUser
from atlasco.stack.rundir import PortReservation, RunDir, Secrets, can_reach

BASE_DIR = Path(__file__).resolve().parent.parent.parent
DATABASE = "atlasco"
OWNER_ROLE = "atlasco_owner"
APP_ROLE = "atlasco_app"
REPLICATION_ROLE = "atlasco_replication"
SEARCH_ROLE = "atlasco_search"
EXTERNAL_NAMES = ("DATABASE_URL", "REPLICA_URLS", "REDIS_URL", "CLICKHOUSE_URL")
ADMIN_PASSWORD = "ATLASCO_ADMIN_PASSWORD"  # noqa: S105  # The variable's name.
DEFAULT_WEB_PORT = 8000
# Our own PostgreSQL nodes; the first is the primary until another is promoted, whose name then stands in the file.
POSTGRES_NODES = ("primary", "replica1", "replica2")
PRIMARY_FILE = "primary"


@dataclass(frozen=True, slots=True)
class External:
    """Servers that somebody else runs. Empty: we run our own."""

    database_url: str = ""
    database_owner_url: str = ""
    replica_urls: tuple[str, ...] = ()
    redis_url: str = ""
    clickhouse_url: str = ""


def environment_own(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without what a stack's own files put there.

    Django's settings fill the environment from `stack.env` before a command like `up` sees it; the addresses of the
    last start must not look like servers that somebody else runs. What somebody gave stays, even if it says the same.
    """
    from_file = {FROM_FILE, *environ.get(FROM_FILE, "").split()}
    return {name: value for name, value in environ.items() if name not in from_file}


def external_servers(environ: Mapping[str, str]) -> External:
    """The servers that the environment names."""
    replicas = environ.get("REPLICA_URLS", "").split(",")
    return External(
        database_url=environ.get("DATABASE_URL", ""),
        database_owner_url=environ.get("DATABASE_OWNER_URL", ""),
        replica_urls=tuple(url.strip() for url in replicas if url.strip()),
        redis_url=environ.get("REDIS_URL", ""),
        clickhouse_url=environ.get("CLICKHOUSE_URL", ""),
    )


@dataclass(frozen=True)
class Plan:
    """One start.

    environ: the environment that children inherit, before the stack's own names are added.
    durable: False only in tests; the servers then don't wait for the disk.
    """

    run_dir: RunDir
    secrets: Secrets
    ports: PortReservation
    user: ServiceUser | None
    external: External = field(default_factory=External)
    environ: Mapping[str, str] = field(default_factory=dict)
    durable: bool = True

    def port(self, name: str) -> int:
        return self.ports.ports[name]

    @property
    def primary_node(self) -> str:
        """Which of our own PostgreSQL nodes is the primary: the one of that name, until another was promoted."""
        return self.run_dir.read(PRIMARY_FILE).strip() or POSTGRES_NODES[0]

    # --- Addresses ----------------------------------------------------------------------------------------------------
    def postgres_url(self, node: str, *, role: str, password: str, database: str = DATABASE) -> str:
        return f"postgresql://{role}:{quote(password, safe='')}@127.0.0.1:{self.port(node)}/{database}"

    def admin_url(self, node: str, *, database: str = DATABASE) -> str:
        """The cluster's superuser, for the supervisor alone."""
        return self.postgres_url(node, role="postgres", password=self.secrets.superuser_password, database=database)

    def app_url(self, node: str) -> str:
        return self.postgres_url(node, role=APP_ROLE, password=self.secrets.app_password)

    def primary_url(self, *, role: str, password: str) -> str:
        """Whichever of our own nodes is the primary at the moment of connecting.

        With replicas of somebody else only one of them can be.
        """
        if self.external.replica_urls:
            return self.postgres_url(POSTGRES_NODES[0], role=role, password=password)
        hosts = ",".join(f"127.0.0.1:{self.port(node)}" for node in POSTGRES_NODES)
        credentials = f"{role}:{quote(password, safe='')}"
        return f"postgresql://{credentials}@{hosts}/{DATABASE}?target_session_attrs=read-write"

    @property
    def database_url(self) -> str:
        return self.external.database_url or self.primary_url(role=APP_ROLE, password=self.secrets.app_password)

    @property
    def database_owner_url(self) -> str:
        if self.external.database_url:
            return self.external.database_owner_url or self.external.database_url
        return self.primary_url(role=OWNER_ROLE, password=self.secrets.owner_password)

    @property
    def database_replication_url(self) -> str:
        """The change feed's role; empty where somebody else's primary has not been given one."""
        if self.external.database_url:
            return self.environ.get("DATABASE_REPLICATION_URL", "")
        return self.primary_url(role=REPLICATION_ROLE, password=self.secrets.replication_password)

    @property
    def replica_urls(self) -> tuple[str, ...]:
        if self.external.replica_urls or self.external.database_url:
            return self.external.replica_urls
        return tuple(self.app_url(name) for name in ("replica1", "replica2"))

    @property
    def redis_url(self) -> str:
        return self.external.redis_url or f"redis://:{self.secrets.redis_password}@127.0.0.1:{self.port('valkey')}"

    @property
    def clickhouse_url(self) -> str:
        if self.external.clickhouse_url:
            return self.external.clickhouse_url
        return f"http://default:{self.secrets.clickhouse_password}@127.0.0.1:{self.port('clickhouse')}/{DATABASE}"

    @property
    def web_url(self) -> str:
        return f"http://localhost:{self.port('web')}/"

    # --- Environments -------------------------------------------------------------------------------------------------
    def stack_env(self) -> dict[str, str]:
        """What serving processes and other terminals need to know."""
        return {
            "DATABASE_URL": self.database_url,
            "REPLICA_URLS": ",".join(self.replica_urls),
            "REDIS_URL": self.redis_url,
            "CLICKHOUSE_URL": self.clickhouse_url,
            "ATLASCO_SECRET_KEY": self.environ.get("ATLASCO_SECRET_KEY") or self.secrets.secret_key,
            "ATLASCO_PORT": str(self.port("web")),
        }

    def serving_env(self) -> dict[str, str]:
        """The environment of web, worker and beat: never the owner's address, nor a person's password."""
        inherited = {
            name: value
            for name, value in self.environ.items()
            if name not in {"DATABASE_OWNER_URL", "DATABASE_REPLICATION_URL", ADMIN_PASSWORD}
        }
        return {
            **inherited,
            **self.stack_env(),
            "ATLASCO_RUN_DIR": str(self.run_dir.path),
            "DJANGO_SETTINGS_MODULE": self.environ.get("DJANGO_SETTINGS_MODULE", "atlasco.settings"),
            # The servers start in `/`; nothing may depend on the working directory, nor be imported from it.
            "PYTHONPATH": os.pathsep.join(filter(None, [str(BASE_DIR), self.environ.get("PYTHONPATH")])),
            "PYTHONSAFEPATH": "1",
            "PYTHONUNBUFFERED": "1",
        }

    def owner_env(self) -> dict[str, str]:
        """The environment of commands that change the schema: they are the owner on every connection to the primary."""
        url = self.database_owner_url
        return {**self.serving_env(), "DATABASE_URL": url, "DATABASE_OWNER_URL": url}

    def feed_env(self) -> dict[str, str]:
        """The environment of the change feed: the only one of our processes that is the replication role."""
        return {**self.serving_env(), "DATABASE_REPLICATION_URL": self.database_replication_url}

    @cached_property
    def python_user(self) -> ServiceUser | None:
        """Whom web, worker and beat run as.

        As root: the servers' user, provided that it can reach interpreter, packages, code and run directory. Where it
        can't (a checkout below /root), they have to run as root, as everything they import is closed to others.
        """
        # Late: only its folder is wanted, and only as root.
        import django

        needed = (Path(sys.executable), Path(django.__file__).parent, BASE_DIR, BASE_DIR / "atlasco", self.run_dir.path)
        return self.user if self.user is not None and can_reach(self.user, *needed) else None
