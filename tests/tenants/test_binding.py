"""The binding itself: a ContextVar, no database."""

from __future__ import annotations

import threading

import pytest

from tenants.binding import (
    TenantNotBound,
    binding_current,
    public_bind,
    tenant_bind,
    tenant_current,
    tenant_required,
)
from tenants.models import Tenant

ACME = Tenant(id=1, schema_name="tenant_1", slug="acme")
GLOBEX = Tenant(id=2, schema_name="tenant_2", slug="globex")


@pytest.fixture(autouse=True)
def _database_for_every_test() -> None:
    """These tests need none."""


def test_nothing_is_bound_at_first() -> None:
    assert tenant_current() is None
    assert binding_current().tenant_id == ""
    with pytest.raises(TenantNotBound):
        tenant_required()


def test_bindings_nest_and_are_restored() -> None:
    with tenant_bind(ACME):
        assert tenant_required() is ACME
        with tenant_bind(GLOBEX):
            assert tenant_required() is GLOBEX
            with public_bind():
                assert tenant_current() is None
        assert tenant_required() is ACME
    assert tenant_current() is None


def test_an_error_restores_the_binding() -> None:
    with pytest.raises(ZeroDivisionError), tenant_bind(ACME):
        _ = 1 / 0
    assert tenant_current() is None


def test_a_new_thread_starts_unbound() -> None:
    seen: list[Tenant | None] = []
    with tenant_bind(ACME):
        thread = threading.Thread(target=lambda: seen.append(tenant_current()))
        thread.start()
        thread.join()
    assert seen == [None]


def test_a_tenant_read_twice_is_one_binding() -> None:
    with tenant_bind(ACME):
        first = binding_current()
    with tenant_bind(Tenant(id=1, schema_name="tenant_1", slug="renamed")):
        assert binding_current() == first
    with tenant_bind(GLOBEX):
        assert binding_current() != first


def test_temporary_tables_come_last() -> None:
    with tenant_bind(ACME):
        assert binding_current().search_path == '"tenant_1", "public", pg_temp'
