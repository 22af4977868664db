"""What the supervisor makes of faults that nobody foresaw: whoever waits for a start learns that it failed."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from atlasco.stack import supervisor
from atlasco.stack.errors import ServiceFailed, StackError
from atlasco.stack.plan import Plan
from atlasco.stack.postgres import session
from atlasco.stack.rundir import PortReservation, RunDir
from atlasco.stack.service import Service
from atlasco.stack.services import LISTENING
from atlasco.stack.supervisor import Step, Supervisor
from tests.cluster import Cluster

# Long enough for every attempt; without an end of its own the start would last for ever.
TIMEOUT_S = 60


@pytest.fixture
def plan(prepared: RunDir) -> Plan:
    ports = PortReservation(ports=dict.fromkeys(LISTENING, 1), sockets={})
    return Plan(run_dir=prepared, secrets=prepared.secrets(), ports=ports, user=None)


class Unforeseen(Service):
    async def prepare(self) -> None:
        raise psycopg.errors.DuplicateObject("a slot of that name")


async def unforeseen() -> None:
    raise psycopg.errors.DuplicateObject("a slot of that name")


async def start(supervisor: Supervisor) -> None:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await supervisor.start()
    finally:
        await supervisor.stop()


def test_a_service_that_fails_by_a_fault_fails_the_start(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "BACKOFF_FIRST_S", 0.01)
    services = [Unforeseen(plan, "first"), Service(plan, "second", after=("first",))]
    with pytest.raises(ServiceFailed, match="first does not start: a slot of that name"):
        asyncio.run(start(Supervisor(plan, services)))


def test_a_step_that_fails_by_a_fault_fails_the_start(plan: Plan) -> None:
    steps = [Step("first", (), unforeseen), Step("second", ("first",), unforeseen)]
    with pytest.raises(StackError, match="first failed: DuplicateObject: a slot of that name"):
        asyncio.run(start(Supervisor(plan, [], steps)))


def test_what_a_node_refuses_is_told_in_a_sentence(stack: Cluster) -> None:
    stack.must_be_embedded()
    with (
        pytest.raises(ServiceFailed, match="It can't: division by zero"),
        session(stack.plan, "primary", trouble="It can't") as connection,
    ):
        connection.execute("SELECT 1/0")
