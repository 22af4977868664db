"""The processes that run our own code: web, worker, beat. Each is one entry in `services.py`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, ClassVar

from atlasco.stack.plan import BASE_DIR, Plan
from atlasco.stack.processes import Command, command_run
from atlasco.stack.service import Service, speak

# A process that neither said that it is ready nor died for so long is taken for ready: a log level above INFO
# silences the line we look for.
SILENT_READY_S = 15.0


class DjangoProcess(Service):
    """module: run as `python -m`. ready_text: what it writes into its log once it works."""

    uses_stores: ClassVar[bool] = True

    def __init__(self, plan: Plan, name: str, *, argv: Sequence[str], ready_text: str, after: tuple[str, ...]) -> None:
        super().__init__(plan, name, after=after)
        self.argv = argv
        self.ready_text = ready_text.encode()
        self._log_start = 0
        self._polls = 0

    async def prepare(self) -> None:
        self._log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        self._polls = 0

    def command(self) -> Command:
        return python_command(self.plan, *self.argv, env=self.plan.serving_env())

    async def is_ready(self) -> bool:
        self._polls += 1
        if self._polls * 0.03 > SILENT_READY_S:
            return True
        with self.log_path.open("rb") as file:
            file.seek(self._log_start)
            return self.ready_text in file.read()


class Feed(DjangoProcess):
    """The change feed, the only one of our processes that may replicate."""

    def __init__(self, plan: Plan, name: str = "feed", *, after: tuple[str, ...]) -> None:
        argv = (str(BASE_DIR / "manage.py"), "feed")
        super().__init__(plan, name, argv=argv, ready_text="feed: started", after=after)

    def command(self) -> Command:
        return python_command(self.plan, *self.argv, env=self.plan.feed_env())


class Web(DjangoProcess):
    """The only one with a port: it is ready as soon as it answers anything but a server's error."""

    def __init__(self, plan: Plan, name: str = "web", *, after: tuple[str, ...]) -> None:
        super().__init__(plan, name, argv=(), ready_text="", after=after)

    def command(self) -> Command:
        argv = ("-m", "atlasco.stack.web", "--port", str(self.plan.port(self.name)))
        return python_command(self.plan, *argv, env=self.plan.serving_env())

    async def is_ready(self) -> bool:
        request = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        answer = await speak(self.plan.port(self.name), request, until=b"\r\n", timeout_s=10)
        return answer.startswith(b"HTTP/1.") and answer[9:10] in b"234"

    def describe(self) -> dict[str, Any]:
        return {"dsn": self.plan.web_url}


def python_command(plan: Plan, *argv: str, env: dict[str, str]) -> Command:
    return Command(argv=[sys.executable, *argv], user=plan.python_user, env=env)


async def management_command(plan: Plan, *argv: str, env: dict[str, str], log_name: str) -> None:
    """Run one of `manage.py`'s commands to its end; its output goes to the log of that name. Raises ServiceFailed."""
    command = python_command(plan, str(BASE_DIR / "manage.py"), *argv, env=env)
    await command_run(command, log_path=plan.run_dir.log(log_name), what=f"manage.py {argv[0]}")
