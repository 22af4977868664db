"""What `manage.py stack` says and does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import redis
from django.core.management import call_command

from atlasco.stack.errors import StackError
from atlasco.stack.plan import BASE_DIR
from tests.cluster import Cluster, wait_for_lsn

NAMES = ["primary", "replica1", "replica2", "valkey", "clickhouse", "web", "worker", "beat", "feed"]


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "atlasco.stack", "stack", *arguments],
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )


def test_status_tells_everything_to_a_program(stack: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("stack", "--run-dir", str(stack.run_dir), "status", "--json")
    status = json.loads(capsys.readouterr().out)
    assert status["ready"] is True
    assert [facts["name"] for facts in status["services"]] == NAMES
    for facts in status["services"][:5]:
        assert facts["state"] in {"running", "external"}
        assert facts["dsn"]
        if facts["state"] == "running":
            assert facts["pid"] > 0
            assert facts["port"] > 0
            assert facts["uptime_s"] >= 0
    assert status["services"][0]["dsn"] == stack.plan.app_url("primary")


def test_status_tells_a_line_a_service_to_people(stack: Cluster) -> None:
    shown = command("--run-dir", str(stack.run_dir), "status")
    assert shown.returncode == 0
    assert [line.split()[0] for line in shown.stdout.splitlines()] == NAMES


@pytest.mark.parametrize("arguments", [["status"], ["status", "--json"], ["stop"], ["kill", "web"], ["start", "web"]])
def test_without_a_stack_every_command_says_so(own_dir: Path, arguments: list[str]) -> None:
    refused = command("--run-dir", str(own_dir), *arguments)
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr == f"No stack runs on {own_dir}; `make up` starts one.\n"


def test_a_run_directory_that_is_not_there_says_the_same(own_dir: Path) -> None:
    refused = command("--run-dir", str(own_dir / "nowhere"), "status")
    assert (refused.returncode, refused.stderr[:17]) == (1, "No stack runs on ")


def test_a_killed_service_stays_down_until_it_is_started(stack: Cluster) -> None:
    stack.must_be_embedded()
    pid = stack.service("valkey")["pid"]
    assert command("--run-dir", str(stack.run_dir), "kill", "valkey").returncode == 0
    facts = stack.service("valkey")
    assert (facts["state"], facts["pid"]) == ("stopped", None)
    with pytest.raises(redis.ConnectionError):
        redis.Redis.from_url(stack.redis_url).ping()
    assert command("--run-dir", str(stack.run_dir), "start", "valkey").returncode == 0
    facts = stack.service("valkey")
    assert facts["state"] == "running"
    assert facts["pid"] != pid
    assert redis.Redis.from_url(stack.redis_url).ping()


def test_a_killed_primary_leaves_the_replicas_readable(stack: Cluster) -> None:
    stack.must_be_embedded()
    stack.ask("kill", name="primary")
    try:
        with psycopg.connect(stack.replica_urls[0]) as replica:
            assert replica.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(stack.database_url)
    finally:
        stack.ask("start", name="primary")
    stack.wait_for_replicas()


def test_a_paused_replica_falls_behind_and_catches_up(stack: Cluster) -> None:
    stack.must_be_embedded()
    admin_url, replica_url = stack.admin_url(), stack.admin_url("replica2")
    stack.ask("pause-replay", name="replica2")
    try:
        with psycopg.connect(admin_url, autocommit=True) as primary:
            primary.execute("CREATE TABLE late AS SELECT 1 AS number")
            row = primary.execute("SELECT pg_current_wal_lsn()::text").fetchone()
            assert row is not None
        with psycopg.connect(replica_url) as replica:
            assert replica.execute("SELECT to_regclass('late')").fetchone() == (None,)
        wait_for_lsn(stack.admin_url("replica1"), row[0])
    finally:
        stack.ask("resume-replay", name="replica2")
    wait_for_lsn(replica_url, row[0])
    with psycopg.connect(replica_url) as replica:
        assert replica.execute("SELECT number FROM late").fetchone() == (1,)
    with psycopg.connect(admin_url, autocommit=True) as primary:
        primary.execute("DROP TABLE late")


@pytest.mark.parametrize(
    ("do", "name", "reason"),
    [
        ("kill", "nothing", "There is no service 'nothing'; there are primary,"),
        ("pause-replay", "valkey", "valkey is not a replica."),
        ("dance", "valkey", "The stack knows no command 'dance'."),
    ],
)
def test_what_can_not_be_done_is_refused_with_a_reason(stack: Cluster, do: str, name: str, reason: str) -> None:
    with pytest.raises(StackError) as refused:
        stack.ask(do, name=name)
    assert str(refused.value).startswith(reason)


def test_the_socket_and_the_secrets_are_for_their_owner_only(stack: Cluster) -> None:
    # As root the servers' group may enter, and change nothing.
    assert stack.run_dir.stat().st_mode & 0o027 == 0
    for name in ("control.sock", "secrets.json", "stack.env", "owner.env"):
        assert (stack.run_dir / name).stat().st_mode & 0o077 == 0, name


def test_other_terminals_learn_everything_but_the_owner(stack: Cluster) -> None:
    text = (stack.run_dir / "stack.env").read_text(encoding="utf-8")
    assert [line.partition("=")[0] for line in text.splitlines()] == [
        "DATABASE_URL",
        "REPLICA_URLS",
        "REDIS_URL",
        "CLICKHOUSE_URL",
        "ATLASCO_SECRET_KEY",
        "ATLASCO_PORT",
    ]
    assert "atlasco_owner" not in text
