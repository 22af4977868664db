"""Two tenants on the real servers, kept for the session and emptied before each test; units run without any server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tenants.models import Tenant
from tests.entities.kept import KeptTenants
from tests.tenants.conftest import tenant_make

__all__ = ["tenant_make"]


@pytest.fixture(autouse=True)
def _database_for_every_test(request: pytest.FixtureRequest) -> None:
    """A module that needs no server says `NEEDS_NO_SERVER = True`."""
    if not getattr(request.module, "NEEDS_NO_SERVER", False):
        request.getfixturevalue("live_db")


@pytest.fixture(scope="session")
def kept_tenants(stack: Any, django_db_blocker: Any) -> Iterator[KeptTenants]:
    kept = KeptTenants()
    yield kept
    with django_db_blocker.unblock():
        kept.delete()


@pytest.fixture
def acme(live_db: None, kept_tenants: KeptTenants) -> Tenant:
    return kept_tenants.emptied("acme")


@pytest.fixture
def globex(live_db: None, kept_tenants: KeptTenants) -> Tenant:
    return kept_tenants.emptied("globex")
