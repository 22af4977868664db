"""Fixtures of every test: one real stack a session, started by the first test that wants it.

    stack        the started cluster: its addresses, `wait_for_replicas()`, `ask("kill", name="valkey")`
    live_db      this test may use Django's connections; what it commits it must remove
    live_stack   the same cluster with web and worker running
    web_url      where it serves, without a slash at the end

Units that need none of it are run without any server. With `-n 2` there are two sessions side by side, each with
a stack of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import connections
from pytest_django.plugin import blocking_manager_key

from tests.cluster import CLUSTER, Cluster


def pytest_configure(config: pytest.Config) -> None:
    """Start the servers as soon as any fixture or mark opens the database, whichever way it does so."""
    blocker = config.stash[blocking_manager_key]
    unblock = blocker.unblock

    def start_and_unblock() -> Any:
        CLUSTER.start()
        return unblock()

    blocker.unblock = start_and_unblock  # type: ignore[method-assign]  # pytest-django's own guard.


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Give back the addresses that were chosen here: each worker, a child of this process, chooses its own."""
    CLUSTER.forget_addresses()


def pytest_unconfigure() -> None:
    from freshness.monitor import monitor

    if CLUSTER.is_started:
        monitor().close()
    CLUSTER.stop()


@pytest.fixture(scope="session")
def stack() -> Cluster:
    CLUSTER.start()
    return CLUSTER


@pytest.fixture(scope="session")
def django_db_setup(stack: Cluster) -> None:
    """Nothing to create: the session's database is provisioned and migrated, and goes away with the session."""


@pytest.fixture(autouse=True)
def _undisturbed() -> Iterator[None]:
    """A test begins without the broken connections, and without the open breaker, of one that stopped the primary."""
    from freshness.breakers import GOOD_PROBES
    from freshness.monitor import PRIMARY, monitor

    before = CLUSTER.disturbances
    yield
    if CLUSTER.disturbances == before:
        return
    connections.close_all()
    for _ in range(2 * GOOD_PROBES):
        monitor().look(PRIMARY)


@pytest.fixture
def live_db(stack: Cluster, django_db_blocker: Any) -> Iterator[None]:
    """Real connections and real commits, on the primary and the replicas."""
    with django_db_blocker.unblock():
        yield
        connections.close_all()


@pytest.fixture
def owner_db(stack: Cluster) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A plain autocommit connection of the tables' owner, to arrange and to clean up what the application may not."""
    with psycopg.connect(stack.owner_url, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def web_url(stack: Cluster) -> str:
    """The web process of this session, started now if need be."""
    stack.ask("start", name="web")
    return stack.web_url


@pytest.fixture(scope="session")
def live_stack(stack: Cluster, web_url: str) -> Cluster:
    """Web and worker are running."""
    stack.ask("start", name="worker")
    return stack
