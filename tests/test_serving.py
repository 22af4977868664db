"""Before anybody is served: harmless roles, a key that all processes share."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import Error
from django.db import OperationalError, connections

from atlasco import serving
from atlasco.serving import ServingRefused, serving_check
from tests.cluster import Cluster

BASE_DIR = Path(__file__).resolve().parent.parent


def test_the_applications_role_may_serve_and_leaves_no_connection_behind(live_db: None) -> None:
    for alias in connections:
        connections[alias].ensure_connection()
    serving_check()
    # The threads that serve open their own.
    assert [connections[alias].connection for alias in connections] == [None] * len(list(connections))


def web_start(**environ: str) -> subprocess.CompletedProcess[str]:
    """Load the web application in a process of its own, as a server does."""
    return subprocess.run(
        [sys.executable, "-c", "import atlasco.wsgi; print('serves')"],
        env={**os.environ, **environ},
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_owner_of_the_tables_is_refused(stack: Cluster) -> None:
    done = web_start(DATABASE_URL=stack.owner_url)
    assert (done.returncode, done.stdout) == (1, "")
    assert "does not serve" in done.stderr and "tenants.E004" in done.stderr and "DATABASE_OWNER_URL" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_superuser_on_a_replica_is_refused(stack: Cluster) -> None:
    done = web_start(REPLICA_URLS=stack.admin_url("replica1").rsplit("/", 1)[0] + "/atlasco")
    assert done.returncode == 1
    assert "database replica1 is a superuser" in done.stderr and "tenants.E003" in done.stderr


def test_without_the_primary_it_serves_and_says_so(stack: Cluster) -> None:
    # Port 1: nobody listens there.
    done = web_start(DATABASE_URL="postgresql://atlasco_app@127.0.0.1:1/atlasco")
    assert (done.returncode, done.stdout) == (0, "serves\n")
    assert "its role was not checked" in done.stderr


def test_a_database_that_is_away_does_not_hide_what_another_one_says(
    monkeypatch: pytest.MonkeyPatch, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def run(*, tags: list[str], databases: list[str]) -> list[Any]:
        if databases == ["default"]:
            raise OperationalError
        return [Error("bad", id="t.E1")]

    monkeypatch.setattr(serving, "run_checks", run)
    with caplog.at_level(logging.WARNING), pytest.raises(ServingRefused, match=r"t\.E1"):
        serving_check()
    assert "A database does not answer; its role was not checked." in caplog.messages


def test_a_made_up_secret_key_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serving, "run_checks", lambda **kwargs: [])
    settings.SECRET_KEY_IS_GENERATED = True
    with caplog.at_level(logging.WARNING):
        serving_check()
    assert any("tenants.W001" in message for message in caplog.messages)
