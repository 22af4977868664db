"""The ClickHouse process as the supervisor sees it."""

from __future__ import annotations

import sys
from typing import Any

from atlasco.stack.plan import BASE_DIR, DATABASE, Plan
from atlasco.stack.processes import Command
from atlasco.stack.rundir import can_reach, package_dir
from atlasco.stack.service import Service, speak


class ClickHouse(Service):
    def __init__(self, plan: Plan, name: str = "clickhouse") -> None:
        super().__init__(plan, name)

    @property
    def external_url(self) -> str:
        return self.plan.external.clickhouse_url

    async def prepare(self) -> None:
        self.plan.run_dir.folder(self.name)

    def command(self) -> Command:
        argv = [
            *(sys.executable, "-m", "atlasco.stack.clickhouse"),
            *("--path", str(self.plan.run_dir.data / self.name)),
            *("--port", str(self.plan.port(self.name))),
            *("--database", DATABASE),
        ]
        user = self.plan.user
        env = {
            "CLICKHOUSE_PASSWORD": self.plan.secrets.clickhouse_password,
            "PYTHONPATH": str(BASE_DIR),
            "PYTHONSAFEPATH": "1",
            "TZ": "UTC",
        }
        needed = (sys.executable, package_dir("chdb"), BASE_DIR / "atlasco" / "stack")
        if user is not None and not can_reach(user, *needed):
            # The interpreter is closed to that user (a Python below /root): the process switches once it has loaded.
            return Command(argv=[*argv, "--user", user.name], env=env)
        return Command(argv=argv, user=user, env=env)

    async def is_ready(self) -> bool:
        request = b"GET /ping HTTP/1.0\r\n\r\n"
        return b"200 OK" in await speak(self.plan.port(self.name), request, until=b"Ok.")

    def describe(self) -> dict[str, Any]:
        return {"dsn": self.plan.clickhouse_url}
