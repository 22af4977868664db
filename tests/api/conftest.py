"""Two tenants' clients of the live web server. The tenants are kept for the session and emptied before each test."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from atlasco.lib import clock
from tenants.models import Tenant
from tenants.services import token_create
from tests.api.client import Client
from tests.cluster import Cluster
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

    def of(self, name: str) -> Client:
        tenant = self.kept.emptied(name)
        if tenant.pk not in self._tokens:
            self._tokens[tenant.pk] = self.token(tenant)
        return Client(self.url, tenant, self._tokens[tenant.pk])

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
        made.kept.delete()


@pytest.fixture
def acme(live_db: None, clients: Clients) -> Client:
    return clients.of("acme")


@pytest.fixture
def globex(live_db: None, clients: Clients) -> Client:
    return clients.of("globex")


@pytest.fixture(autouse=True)
def _replicas_have_seen_it(acme: Client, globex: Client, stack: Cluster) -> None:
    """What was emptied is empty everywhere: a search may be answered by a replica."""
    stack.wait_for_replicas()
