"""A supervisor's life: starting, being killed, starting again on the same data, being told to stop."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import clickhouse_connect
import psycopg
import pytest
import redis
import requests

from atlasco.stack.plan import BASE_DIR
from atlasco.stack.rundir import STAGING_DIR
from tests.cluster import Cluster, wait_for_lsn
from tests.stack.conftest import OwnStack, living, stack_env, until

Make = Callable[..., OwnStack]


def test_nothing_survives_a_killed_supervisor_but_the_data(own_stack: Make, own_dir: Path) -> None:
    # A deep folder with spaces and quotes: longer than a socket's address, and awkward in every configuration file.
    run_dir = own_dir / ('it\'s a "deep" folder ' + "x" * 60) / ("y" * 60) / "run"
    stack = own_stack("primary,replica1,valkey,clickhouse", run_dir=run_dir).start()
    urls = stack_env(run_dir)
    admin_url = stack.service("primary")["admin_dsn"]
    replica_admin_url = stack.service("replica1")["admin_dsn"]
    with psycopg.connect(admin_url, autocommit=True) as primary:
        primary.execute("CREATE TABLE kept AS SELECT 1 AS number")
    redis.Redis.from_url(urls["REDIS_URL"]).set("kept", "1")
    clickhouse = clickhouse_connect.get_client(dsn=urls["CLICKHOUSE_URL"])
    clickhouse.command("CREATE TABLE kept (number UInt8) ENGINE = MergeTree ORDER BY number")
    clickhouse.command("INSERT INTO kept VALUES (1)")
    before = stack.processes()
    assert len(before) > 10

    assert stack.process is not None
    stack.process.kill()
    stack.process.communicate()
    until(lambda: not living(before), what="the end of every child")

    again = own_stack("primary,replica1,valkey,clickhouse", run_dir=run_dir).start()
    assert stack_env(run_dir) == urls, "addresses and secrets are kept"
    with psycopg.connect(admin_url, autocommit=True) as primary:
        row = primary.execute("SELECT number, pg_current_wal_lsn()::text FROM kept").fetchone()
        assert row is not None
        assert row[0] == 1
    wait_for_lsn(replica_admin_url, row[1])
    with psycopg.connect(replica_admin_url) as replica:
        assert replica.execute("SELECT number FROM kept").fetchall() == [(1,)]
    assert redis.Redis.from_url(urls["REDIS_URL"]).get("kept") == b"1"
    assert clickhouse_connect.get_client(dsn=urls["CLICKHOUSE_URL"]).command("SELECT number FROM kept") == 1

    running = again.processes()
    assert again.stop() == 0
    assert not living(running)
    assert not (run_dir / "control.sock").exists()


def test_our_own_processes_die_with_the_supervisor_too(own_stack: Make, stack: Cluster) -> None:
    # Over the session's stores: granian's and Celery's children are what this is about.
    addresses = {name: value for name, value in stack.plan.stack_env().items() if name.endswith(("_URL", "_URLS"))}
    own = own_stack("primary,valkey,clickhouse,web,worker,beat", **addresses).start()
    answer = requests.get(f"{own.status()['url']}healthz", timeout=30)
    assert answer.status_code == 200
    before = own.processes()
    assert len(before) >= 6, "web, its worker, Celery, its two children, beat"
    assert own.process is not None
    own.process.kill()
    own.process.communicate()
    until(lambda: not living(before), what="the end of every child")


def test_a_crashed_service_is_started_again(own_stack: Make) -> None:
    stack = own_stack("valkey").start()
    pid = stack.service("valkey")["pid"]
    os.kill(pid, signal.SIGKILL)
    facts = until(
        lambda: (facts := stack.service("valkey"))["restarts"] and facts["state"] == "running" and facts,
        what="the restart",
    )
    assert facts["restarts"] == 1
    assert facts["pid"] != pid


def test_a_second_supervisor_is_refused(own_stack: Make) -> None:
    first = own_stack("valkey").start()
    code, _, errors = own_stack("valkey").launch().finish()
    assert code == 1
    assert errors == (
        f"A stack already runs on {first.run_dir} (pid {first.status()['supervisor_pid']}); "
        "`manage.py stack stop` ends it.\n"
    )
    assert first.service("valkey")["state"] == "running"


def test_ctrl_c_ends_everything_once_however_often_it_is_typed(own_stack: Make) -> None:
    stack = own_stack("primary,valkey").start()
    running = stack.processes()
    assert stack.process is not None
    for _ in range(3):
        stack.process.send_signal(signal.SIGINT)
    code, out, errors = stack.finish()
    assert (code, errors) == (0, "")
    assert out.count("Stopping …") == out.count("Everything is stopped.") == 1
    assert not living(running)


def test_a_taken_port_is_said_at_once(own_stack: Make) -> None:
    first = own_stack("valkey").start()
    second = own_stack("valkey", run_dir=first.run_dir.with_name("other"))
    code, _, errors = second.launch("--port", str(first.service("valkey")["port"])).finish()
    assert code == 1
    assert errors.startswith("Port ") and "is taken" in errors and "--port" in errors


def test_a_service_that_can_not_start_ends_the_start(own_stack: Make) -> None:
    stack = own_stack("valkey").start()
    assert stack.stop() == 0
    for manifest in (stack.run_dir / "data" / "valkey").rglob("*.manifest"):
        manifest.write_text("this is not a manifest\n", encoding="utf-8")
    code, _, errors = own_stack("valkey").launch().finish()
    assert code == 1
    assert "valkey does not start" in errors
    assert "manifest" in errors, "the end of the log says why"


def test_an_external_server_takes_the_place_of_ours(own_stack: Make) -> None:
    stack = own_stack("valkey", REDIS_URL="redis://elsewhere.example:6379").start()
    facts = stack.service("valkey")
    assert (facts["state"], facts["dsn"], facts["pid"]) == ("external", "redis://elsewhere.example:6379", None)
    assert stack_env(stack.run_dir)["REDIS_URL"] == "redis://elsewhere.example:6379"
    assert stack.stop() == 0
    # Its own file is not an environment: the next start has its own server again.
    assert own_stack("valkey").start().service("valkey")["state"] == "running"


def test_children_run_unprivileged(own_stack: Make) -> None:
    stack = own_stack("primary,valkey,clickhouse").start()
    for name in ("primary", "valkey", "clickhouse"):
        assert Path(f"/proc/{stack.service(name)['pid']}").stat().st_uid != 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has folders that its servers can't reach")
def test_root_may_keep_its_stack_in_a_closed_folder(own_stack: Make, own_dir: Path) -> None:
    closed = own_dir / "closed"
    closed.mkdir(mode=0o700)
    stack = own_stack("primary,valkey,clickhouse", run_dir=closed / "run").start()
    with psycopg.connect(stack.service("primary")["admin_dsn"]) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    data = (stack.run_dir / "data").resolve()
    assert not data.is_relative_to(closed)
    assert stack.stop() == 0
    assert data.parent == STAGING_DIR
    shutil.rmtree(data)


def test_the_supervisor_never_loads_django() -> None:
    code = "import sys, atlasco.stack.cli, atlasco.stack.up; print([m for m in sys.modules if m.startswith('django.')])"
    done = subprocess.run([sys.executable, "-c", code], cwd=BASE_DIR, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
