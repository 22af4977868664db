"""Whose password the platform admin gets at a start, and what `make up` says of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from atlasco.stack import admin
from atlasco.stack.admin import admin_ensure, login_words
from atlasco.stack.plan import ADMIN_PASSWORD, External, Plan
from atlasco.stack.rundir import PortReservation, RunDir
from atlasco.stack.services import LISTENING

GIVEN = {ADMIN_PASSWORD: "horse battery staple"}


@pytest.fixture
def plan(prepared: RunDir) -> Plan:
    ports = PortReservation(ports=dict.fromkeys(LISTENING, 1), sockets={})
    return Plan(run_dir=prepared, secrets=prepared.secrets(), ports=ports, user=None)


@pytest.fixture
def passwords(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What `manage.py ensure_admin` was handed, call by call."""
    handed: list[str] = []

    async def command(plan: Plan, *argv: str, env: dict[str, str], log_name: str) -> None:
        handed.append(env[ADMIN_PASSWORD])

    monkeypatch.setattr(admin, "management_command", command)
    return handed


def start(plan: Plan) -> str:
    asyncio.run(admin_ensure(plan))
    return login_words(plan)


def test_a_generated_password_is_set_once_and_told_with_its_age(plan: Plan, passwords: list[str]) -> None:
    said = f"log in as admin, password {plan.secrets.admin_password}, generated at the first start"
    assert [start(plan), start(plan)] == [said, said]
    assert passwords == [plan.secrets.admin_password]


def test_a_given_password_is_used_at_every_start_and_never_shown(plan: Plan, passwords: list[str]) -> None:
    start(plan)
    given = replace(plan, environ=GIVEN)
    assert start(given) == "log in as admin, password as in ATLASCO_ADMIN_PASSWORD"
    assert start(given) == "log in as admin, password as in ATLASCO_ADMIN_PASSWORD"
    assert passwords == [plan.secrets.admin_password, *GIVEN.values(), *GIVEN.values()]
    assert start(plan) == "log in as admin, password as you set it", "the generated one no longer holds"
    assert len(passwords) == 3, "nor is it brought back"


def test_serving_processes_do_not_get_it(plan: Plan) -> None:
    assert ADMIN_PASSWORD not in replace(plan, environ=GIVEN).serving_env()


def test_each_database_has_an_admin_of_its_own(plan: Plan, passwords: list[str]) -> None:
    start(plan)
    theirs = replace(plan, external=External(database_url="postgresql://theirs.example/atlasco"))
    start(theirs)
    start(theirs)
    assert len(passwords) == 2


def test_the_empty_marker_of_earlier_starts_counts(plan: Plan, passwords: list[str]) -> None:
    (plan.run_dir.data / "admin-created").touch()
    assert "generated at the first start" in start(plan)
    assert passwords == []
