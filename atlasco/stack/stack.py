"""One running stack: the services, and what may be asked of them while they run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atlasco.stack.control import ControlServer
from atlasco.stack.errors import StackError
from atlasco.stack.plan import External, Plan
from atlasco.stack.postgres import PostgresNode
from atlasco.stack.processes import service_user, tree_kill, wait_until
from atlasco.stack.rundir import OWNER_ENV, STACK_ENV, RunDir
from atlasco.stack.services import LISTENING, STEPS, services
from atlasco.stack.supervisor import Runner, State, Supervisor

LEFTOVERS_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Options:
    """What a start is asked for.

    web_port: None takes any free one. wanted: names of services to start, None means all of them.
    steps: names of what is done in between. environ: what children inherit.
    durable: False only in tests, the servers then don't wait for the disk.
    """

    run_dir: Path
    web_port: int | None = None
    wanted: Sequence[str] | None = None
    steps: Sequence[str] = tuple(STEPS)
    durable: bool = True
    external: External = field(default_factory=External)
    environ: Mapping[str, str] = field(default_factory=dict)


class Stack:
    """Open it, start it, close it; only in the main thread, see Note [Death signal]."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.run_dir = RunDir(options.run_dir)
        self.stop_requested = asyncio.Event()
        self.plan: Plan
        self.supervisor: Supervisor
        self._control = ControlServer(self.run_dir.path, self._answer)
        self._stopped = asyncio.Event()

    async def open(self, *, changed: Callable[[], None] = lambda: None) -> None:
        """Take the run directory and tell others where everything is going to be.

        changed: called whenever the state of a service changes.
        Raises StackError where the directory is taken or can't be used, or where the web's port is taken.
        """
        options, run_dir = self.options, self.run_dir
        user = service_user(data=run_dir.data)
        run_dir.prepare(user=user)
        run_dir.lock()
        await self._leftovers_end()
        self.plan = plan = Plan(
            run_dir=run_dir,
            secrets=run_dir.secrets(),
            ports=run_dir.reserve_ports(
                list(LISTENING), fixed={} if options.web_port is None else {"web": options.web_port}
            ),
            user=user,
            external=options.external,
            environ=options.environ,
            durable=options.durable,
        )
        run_dir.write_env(STACK_ENV, plan.stack_env())
        run_dir.write_env(
            OWNER_ENV,
            {
                "DATABASE_OWNER_URL": plan.database_owner_url,
                "DATABASE_REPLICATION_URL": plan.database_replication_url,
            },
        )
        self.supervisor = Supervisor(
            plan,
            services(plan),
            [STEPS[name](plan) for name in options.steps],
            wanted=options.wanted,
            changed=changed,
        )
        await self._control.open()

    async def start(self) -> None:
        """Bring up what is wanted. Raises StackError with the first thing that failed; `close` is due all the same."""
        await self.supervisor.start()

    async def close(self) -> None:
        """Stop everything and let go of the run directory."""
        await self.supervisor.stop()
        # In this order: the next supervisor must find neither our socket nor our lock.
        self._control.remove()
        self.run_dir.unlock()
        self._stopped.set()
        await self._control.close()

    def status(self) -> dict[str, Any]:
        """What `stack status --json` prints."""
        return {
            "run_dir": str(self.run_dir.path),
            "supervisor_pid": os.getpid(),
            "ready": self.supervisor.is_ready,
            "url": self.plan.web_url,
            "services": [runner.facts() for runner in self.supervisor.runners.values()],
        }

    async def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """Do what another command asks for. Raises StackError with the reason where it can't be done."""
        do, name = str(question.get("do")), str(question.get("name", ""))
        if do == "status":
            return self.status()
        if do == "stop":
            self.stop_requested.set()
            await self._stopped.wait()
            return {}
        runner = self.supervisor.runner(name)
        if runner.state == State.EXTERNAL:
            raise StackError(f"{name} is an external server; this stack does not control it.")
        if do == "kill":
            await runner.kill()
        elif do == "start":
            runner.start()
            await runner.wait_ready()
        elif do in {"pause-replay", "resume-replay"}:
            replica = self._running_replica(runner)
            await asyncio.to_thread(replica.replay_pause, do == "pause-replay")
        elif do == "promote":
            await self._promote(self._running_replica(runner))
        else:
            raise StackError(f"The stack knows no command {do!r}.")
        return runner.facts()

    def _running_replica(self, runner: Runner) -> PostgresNode:
        service = runner.service
        if not isinstance(service, PostgresNode) or service.is_primary:
            raise StackError(f"{service.name} is not a replica.")
        if runner.state != State.RUNNING:
            raise StackError(f"{service.name} is {runner.state}; only a running replica can do that.")
        return service

    async def _promote(self, replica: PostgresNode) -> None:
        """Make a replica the primary. The old primary is killed first, so that never two of them take writes.

        It stays down; `start` brings it back as a replica, with a new copy of the data.
        """
        runners = self.supervisor.runners
        old = runners[self.plan.primary_node]
        await old.kill()
        try:
            await asyncio.to_thread(replica.promote)
        except StackError:
            if self.plan.primary_node == old.service.name:
                old.start()  # Nothing has changed: better the old primary than none.
            raise
        for other in runners.values():
            service = other.service
            if not isinstance(service, PostgresNode) or service.is_primary or other.state != State.RUNNING:
                continue
            if not await asyncio.to_thread(service.follow):
                await other.stop()
                other.start()

    async def _leftovers_end(self) -> None:
        """Wait for the children of a supervisor that was killed: the kernel told them to end, they need a moment."""
        run_dir = self.run_dir
        if not await wait_until(lambda: not run_dir.leftover_processes(), timeout_s=LEFTOVERS_TIMEOUT_S):
            for pid in run_dir.leftover_processes():
                tree_kill(pid)
            await wait_until(lambda: not run_dir.leftover_processes(), timeout_s=LEFTOVERS_TIMEOUT_S)
        run_dir.forget_processes()
