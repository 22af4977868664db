"""Two tenants' clients of the live web server. The tenants are kept for the session and emptied before each test."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import connections

from atlasco.lib import clock
from tenants.models import Tenant
from tenants.services import token_create
from tests.api.client import Client
from tests.cluster import CATCH_UP_TIMEOUT_S, Cluster
from tests.entities.kept import KeptTenants
from tests.tenants.conftest import tenant_make

__all__ = ["tenant_make"]

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


class Clients:
    """Makes clients, and remembers the token of each kept tenant."""

    def __init__(self, url: str, stack: Cluster) -> None:
        self.url, self.stack = url, stack
        self.kept = KeptTenants()
        self._tokens: dict[int, str] = {}
        self._nodes: list[psycopg.Connection[Any]] = []
        self._disturbances = -1

    def of(self, name: str) -> Client:
        tenant = self.kept.emptied(name)
        if tenant.pk not in self._tokens:
            self._tokens[tenant.pk] = self.token(tenant)
        return Client(self.url, tenant, self._tokens[tenant.pk])

    def settle(self) -> None:
        """What was emptied is empty everywhere: a search may be answered by a replica.

        On connections of our own, that stay open: hundreds of tests begin with this.
        """
        if self.kept.settled:
            return
        if self._disturbances != self.stack.disturbances:
            self._disturbances = self.stack.disturbances
            self.close_nodes()
            addresses = (self.stack.database_url, *self.stack.replica_urls)
            self._nodes = [psycopg.connect(address, autocommit=True) for address in addresses]
        primary, *replicas = self._nodes
        position = primary.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
        deadline = time.monotonic() + CATCH_UP_TIMEOUT_S
        for replica in replicas:
            while replica.execute("SELECT pg_last_wal_replay_lsn() >= %s", position).fetchone() != (True,):
                assert time.monotonic() < deadline, "a replica did not catch up"
                time.sleep(0.002)
        self.kept.settled = True

    def close(self) -> None:
        self.kept.delete()
        self.close_nodes()

    def close_nodes(self) -> None:
        for node in self._nodes:
            node.close()

    def token(self, tenant: Tenant, *, scopes: tuple[str, ...] = ("read", "write"), expired: bool = False) -> str:
        """A new token's text. expired: since long ago."""
        now = LONG_AGO if expired else clock.now()
        expires_at = now + timedelta(days=1) if expired else None
        return token_create(tenant=tenant, name="test", scopes=scopes, expires_at=expires_at, now=now)[1]


@pytest.fixture(scope="session")
def clients(stack: Cluster, web_url: str, django_db_blocker: Any) -> Iterator[Clients]:
    made = Clients(web_url, stack)
    yield made
    with django_db_blocker.unblock():
        made.close()
        connections.close_all()


@pytest.fixture(autouse=True)
def _database_for_every_test(clients: Clients, django_db_blocker: Any) -> Iterator[None]:
    """As `live_db`, but the connections stay open for the next test."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture
def acme(_database_for_every_test: None, clients: Clients) -> Client:
    return clients.of("acme")


@pytest.fixture
def globex(_database_for_every_test: None, clients: Clients) -> Client:
    return clients.of("globex")


@pytest.fixture(autouse=True)
def _two_empty_tenants(acme: Client, globex: Client, clients: Clients) -> None:
    clients.settle()
