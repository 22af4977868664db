"""What the supervisor needs to know of a service, whatever it is."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any, ClassVar

from atlasco.stack.plan import Plan
from atlasco.stack.processes import Command


class Service:
    """One process that the supervisor keeps running.

    name: as in `manage.py stack status`. after: names of services and steps that must be ready before the first start.
    """

    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    stop_timeout_s: ClassVar[float] = 15.0
    ready_timeout_s: ClassVar[float] = 60.0
    uses_stores: ClassVar[bool] = False  # Stopped before the stores.

    def __init__(self, plan: Plan, name: str, *, after: tuple[str, ...] = ()) -> None:
        self.plan = plan
        self.name = name
        self.after = after

    @property
    def log_path(self) -> Path:
        return self.plan.run_dir.log(self.name)

    @property
    def port(self) -> int | None:
        """The port that it listens on, or None where it has none."""
        return self.plan.ports.ports.get(self.name)

    @property
    def external_url(self) -> str:
        """The address of somebody else's server in its place; empty where we run our own."""
        return ""

    async def prepare(self) -> None:
        """Bring files and data into the state in which the process can start. Called before every start."""

    def command(self) -> Command:
        """What to execute."""
        raise NotImplementedError

    async def is_ready(self) -> bool:
        """Whether it answers as its users need it to. Called every few milliseconds until it does; must not raise."""
        return True

    async def on_ready(self) -> None:
        """What has to be done each time it has become ready, before anybody is told so."""

    def describe(self) -> dict[str, Any]:
        """Further facts for `stack status --json`, such as its DSN."""
        return {}


async def speak(port: int, request: bytes, *, until: bytes, timeout_s: float = 2.0) -> bytes:
    """Send a few bytes to a local port and return the answer up to the first `until`; shorter where it ended before.

    Empty where nobody answers.
    """
    answer = b""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(request)
                await writer.drain()
                while until not in answer and (received := await reader.read(4096)):
                    answer += received
            finally:
                writer.close()
    except (OSError, TimeoutError):
        pass
    return answer
