"""Two tenants on the real servers. Tests here commit, as the application does; what they make, they remove.

Slugs get a random end, so that a session's database can hold other tests' acme and globex at the same time.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connections

from atlasco.lib import clock
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tenants.services import tenant_create, tenant_delete
from tests.cluster import Cluster

ROWS_SQL = """
drop schema if exists tenants_test cascade;
create schema tenants_test;
create table tenants_test.rows (tenant_id integer not null, note text not null);
alter table tenants_test.rows enable row level security;
alter table tenants_test.rows force row level security;
create policy tenant on tenants_test.rows
    using (tenant_id = nullif(current_setting('atlasco.tenant_id', true), '')::int);
grant usage on schema tenants_test to atlasco_app;
grant select, insert, update, delete on tenants_test.rows to atlasco_app;
"""


@pytest.fixture(autouse=True)
def _database_for_every_test(live_db: None) -> None:
    """Modules that need no server override this."""


@pytest.fixture
def owner(owner_db: psycopg.Connection[tuple[Any, ...]]) -> psycopg.Connection[tuple[Any, ...]]:
    """A plain connection of the tables' owner, to arrange what the application may not."""
    return owner_db


@pytest.fixture
def tenant_make() -> Iterator[Callable[..., Tenant]]:
    """Creates tenants, and deletes those that the test left."""
    made: list[Tenant] = []

    def make(name: str, **options: Any) -> Tenant:
        tenant = tenant_create(slug=f"{name}-{secrets.token_hex(4)}", name=name, now=clock.now(), **options)
        made.append(tenant)
        return tenant

    yield make
    for tenant in made:
        fresh = Tenant.objects.filter(pk=tenant.pk).first()
        if fresh is not None:
            tenant_delete(tenant=fresh, confirm=fresh.slug, now=clock.now())


@pytest.fixture
def acme(tenant_make: Callable[..., Tenant]) -> Tenant:
    return tenant_make("acme")


@pytest.fixture
def globex(tenant_make: Callable[..., Tenant]) -> Tenant:
    return tenant_make("globex")


@pytest.fixture
def rows(owner: psycopg.Connection[tuple[Any, ...]], acme: Tenant, globex: Tenant) -> Iterator[str]:
    """A shared table under row-level security, with one row of each tenant. The table's qualified name."""
    owner.execute(ROWS_SQL)
    for tenant, note in ((acme, "of acme"), (globex, "of globex")):
        with tenant_bind(tenant), connections["default"].cursor() as cursor:
            cursor.execute("insert into tenants_test.rows values (%s, %s)", [tenant.pk, note])
    yield "tenants_test.rows"
    for connection in connections.all(initialized_only=True):
        connection.close()  # An open transaction would hold the table.
    owner.execute("drop schema tenants_test cascade")


@pytest.fixture
def notes(rows: str) -> Callable[..., list[str]]:
    """What a connection sees of the shared table, without any predicate of ours."""

    def read(alias: str = "default") -> list[str]:
        with connections[alias].cursor() as cursor:
            cursor.execute(f"select note from {rows} order by note")
            return [note for (note,) in cursor.fetchall()]

    return read


@pytest.fixture
def replica() -> str:
    """The alias of a read replica. Skips where none is configured."""
    if not settings.REPLICA_ALIASES:
        pytest.skip("REPLICA_URLS names no replica")
    return str(settings.REPLICA_ALIASES[0])


@pytest.fixture
def replicate(stack: Cluster) -> Callable[[], object]:
    """Waits until the replicas have replayed everything committed so far."""
    return stack.wait_for_replicas
