"""Starts services in parallel as soon as what they need is ready, restarts what crashes, stops everything in order."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from atlasco.stack.errors import ServiceFailed, StackError
from atlasco.stack.plan import Plan
from atlasco.stack.processes import command_start, log_tail, tree_kill
from atlasco.stack.service import Service

log = logging.getLogger(__name__)

BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 30.0
# A service that ran this long has recovered: its next crash is a first one again.
BACKOFF_RESET_S = 60.0
# A service that never came up is not going to: the start fails instead of trying for ever.
FIRST_START_ATTEMPTS = 3
READY_POLL_S = 0.03


class State(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    STOPPED = "stopped"
    RESTARTING = "restarting"
    EXTERNAL = "external"


@dataclass(frozen=True, slots=True)
class Step:
    """Something that is done once in a start, such as the migrations. after: services and steps that come first."""

    name: str
    after: tuple[str, ...]
    action: Callable[[], Awaitable[None]]


class Milestones:
    """Who waits for what: one future a service or step, done when it is ready, failed when it can't become so."""

    def __init__(self) -> None:
        self._reached: dict[str, asyncio.Future[None]] = {}

    def of(self, name: str) -> asyncio.Future[None]:
        if name not in self._reached:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            # Some failures nobody waits for: they are reported where they happen.
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._reached[name] = future
        return self._reached[name]

    def reach(self, name: str) -> None:
        if not self.of(name).done():
            self.of(name).set_result(None)

    def fail(self, name: str, error: StackError) -> None:
        if not self.of(name).done():
            self.of(name).set_exception(error)

    async def wait(self, names: Sequence[str]) -> None:
        """Until all are ready. Raises StackError where one of them failed."""
        for name in names:
            await asyncio.shield(self.of(name))


class Runner:
    """Keeps one service in the wanted state."""

    def __init__(self, service: Service, *, milestones: Milestones, changed: Callable[[], None]) -> None:
        self.service = service
        self.state = State.EXTERNAL if service.external_url else State.STOPPED
        self.restarts = 0
        self.trouble = ""
        self.process: asyncio.subprocess.Process | None = None
        self.ready_at: float | None = None
        self._milestones = milestones
        self._changed = changed
        self._task: asyncio.Task[None] | None = None
        self._up = asyncio.Event()

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process is not None and self.process.returncode is None else None

    def facts(self) -> dict[str, Any]:
        """What `stack status --json` says of this service."""
        service = self.service
        facts: dict[str, Any] = {
            "name": service.name,
            "state": str(self.state),
            "pid": self.pid,
            "port": service.port if self.state != State.EXTERNAL else None,
            "dsn": None,
            "uptime_s": round(time.monotonic() - self.ready_at, 1) if self.ready_at is not None else None,
            "restarts": self.restarts,
            "trouble": self.trouble or None,
            "log": str(service.log_path) if self.state != State.EXTERNAL else None,
        }
        return facts | ({"dsn": service.external_url} if self.state == State.EXTERNAL else service.describe())

    def start(self) -> None:
        """Want it up. Nothing happens where it is up or on its way already."""
        if self.state == State.EXTERNAL:
            self._milestones.reach(self.service.name)
        elif self._task is None or self._task.done():
            self._task = asyncio.create_task(self._keep(), name=self.service.name)

    async def wait_ready(self) -> None:
        """Until it is up. Raises ServiceFailed where it was given up, or stopped meanwhile."""
        if self._task is None:
            return
        up = asyncio.create_task(self._up.wait())
        await asyncio.wait({up, self._task}, return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        if not self._up.is_set():
            raise ServiceFailed(self.trouble or f"{self.service.name} was stopped while it was starting.")

    async def stop(self) -> None:
        """End it as it likes to be ended, then by force; it stays down."""
        await self._forget()
        process = self.process
        if process is not None and process.returncode is None:
            process.send_signal(self.service.stop_signal)
            try:
                await asyncio.wait_for(process.wait(), self.service.stop_timeout_s)
            except TimeoutError:
                log.warning("%s ignored its stop signal", self.service.name)
                tree_kill(process.pid)
                await process.wait()
        self._set(State.STOPPED)

    async def kill(self) -> None:
        """SIGKILL it and everything it started; it stays down until it is started again."""
        await self._forget()
        process = self.process
        if process is not None and process.returncode is None:
            tree_kill(process.pid)
            await process.wait()
        self._set(State.STOPPED)

    async def _forget(self) -> None:
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task})
        self._task = None

    async def _keep(self) -> None:
        """Start it, and start it again after each crash, more and more patiently."""
        service = self.service
        backoff_s, attempts, was_ready = BACKOFF_FIRST_S, 0, False
        try:
            await self._milestones.wait(service.after)
        except StackError as error:
            self._give_up(error)
            return
        while True:
            attempts += 1
            self._set(State.STARTING)
            log_start = service.log_path.stat().st_size if service.log_path.exists() else 0
            try:
                process = await self._start_once()
                was_ready = True
                self.trouble = ""
                self.ready_at = time.monotonic()
                self._set(State.RUNNING)
                self._milestones.reach(service.name)
                await process.wait()
                if time.monotonic() - self.ready_at > BACKOFF_RESET_S:
                    backoff_s = BACKOFF_FIRST_S
                self.trouble = f"ended with code {process.returncode}"
            except Exception as error:
                # Whatever it was: who waits for this service must learn that it does not come.
                if not isinstance(error, StackError | OSError):
                    log.exception("%s: an unexpected fault", service.name)
                self.trouble = str(error) or type(error).__name__
                if not was_ready and attempts >= FIRST_START_ATTEMPTS:
                    tail = log_tail(service.log_path, start=log_start)
                    self._give_up(ServiceFailed(f"{service.name} does not start: {self.trouble}\n{tail}"))
                    return
            self.restarts += 1
            self.ready_at = None
            self._set(State.RESTARTING)
            log.warning("%s restarts: %s", service.name, self.trouble)
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)

    async def _start_once(self) -> asyncio.subprocess.Process:
        """Start the process and wait until it answers. Raises ServiceFailed where it ends, or takes too long."""
        service = self.service
        await service.prepare()
        command = service.command()
        if service.port is not None:
            service.plan.ports.release(service.name)
        process = self.process = await command_start(command, log_path=service.log_path)
        service.plan.run_dir.remember_process(service.name, process.pid)
        self._changed()
        try:
            async with asyncio.timeout(service.ready_timeout_s):
                await self._ready(process)
                await service.on_ready()
        except TimeoutError:
            tree_kill(process.pid)
            await process.wait()
            raise ServiceFailed(f"it does not answer within {service.ready_timeout_s:.0f} s") from None
        except Exception:
            tree_kill(process.pid)
            await process.wait()
            raise
        return process

    async def _ready(self, process: asyncio.subprocess.Process) -> None:
        """Wait until the service answers. Raises ServiceFailed where the process has ended."""
        while not await self.service.is_ready():
            if process.returncode is not None:
                raise ServiceFailed(f"it ended with code {process.returncode}")
            await asyncio.sleep(READY_POLL_S)
        if process.returncode is not None:
            # Somebody else answered on its port.
            raise ServiceFailed(f"it ended with code {process.returncode}")

    def _give_up(self, error: StackError) -> None:
        self.trouble = str(error)
        self._set(State.STOPPED)
        self._milestones.fail(self.service.name, error)

    def _set(self, state: State) -> None:
        self.state = state
        log.info("%s is %s", self.service.name, state)
        if state == State.RUNNING:
            self._up.set()
        else:
            self._up.clear()
            if state == State.STOPPED:
                self.ready_at = None
        self._changed()


class Supervisor:
    """All services of one run directory.

    services: in the order in which they are shown. steps: what is done once in between.
    wanted: names of those that `start` brings up; None means all. The others wait for `stack start NAME`.
    """

    def __init__(
        self,
        plan: Plan,
        services: Sequence[Service],
        steps: Sequence[Step] = (),
        *,
        wanted: Sequence[str] | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.plan = plan
        self.steps = steps
        self.milestones = Milestones()
        self.runners = {
            service.name: Runner(service, milestones=self.milestones, changed=changed) for service in services
        }
        self.wanted = list(self.runners) if wanted is None else list(wanted)
        for name in {name for service in services for name in service.after} - set(self.runners):
            if name not in {step.name for step in steps}:
                self.milestones.reach(name)  # A step that this start leaves out holds nobody up.
        self.is_ready = False
        self._step_tasks: list[asyncio.Task[None]] = []
        self._steps_under_way: list[str] = []

    def steps_under_way(self) -> list[str]:
        return list(self._steps_under_way)

    def runner(self, name: str) -> Runner:
        """Raises StackError where no service has that name."""
        if name not in self.runners:
            raise StackError(f"There is no service {name!r}; there are {', '.join(self.runners)}.")
        return self.runners[name]

    async def start(self) -> None:
        """Bring up what is wanted and do the steps. Raises StackError with the first thing that failed."""
        wanted = [self.runners[name] for name in self.wanted]
        for runner in wanted:
            runner.start()
        self._step_tasks = [asyncio.create_task(self._do(step), name=step.name) for step in self.steps]
        await asyncio.gather(
            *(asyncio.shield(self.milestones.of(name)) for name in [*self.wanted, *(step.name for step in self.steps)])
        )
        self.is_ready = True

    async def stop(self) -> None:
        """Stop everything: first those that use the stores, then the stores. Safe to call at any time, and twice."""
        self.is_ready = False
        for task in self._step_tasks:
            task.cancel()
        if self._step_tasks:
            await asyncio.wait(self._step_tasks)
        runners = list(self.runners.values())
        for group in (
            [runner for runner in runners if runner.service.uses_stores],
            [runner for runner in runners if not runner.service.uses_stores],
        ):
            ours = [runner.stop() for runner in group if runner.state != State.EXTERNAL]
            await asyncio.gather(*ours)
        self.plan.run_dir.forget_processes()

    async def _do(self, step: Step) -> None:
        try:
            await self.milestones.wait(step.after)
            self._steps_under_way.append(step.name)
            await step.action()
        except StackError as error:
            self.milestones.fail(step.name, error)
        except Exception as error:
            log.exception("%s: an unexpected fault", step.name)
            self.milestones.fail(step.name, StackError(f"{step.name} failed: {type(error).__name__}: {error}"))
        else:
            self.milestones.reach(step.name)
            log.info("%s is done", step.name)
        finally:
            if step.name in self._steps_under_way:
                self._steps_under_way.remove(step.name)
