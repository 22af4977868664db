"""Creating, renaming, suspending, exporting and deleting tenants; their members; the platform's admins."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.contrib.auth import authenticate
from django.test import RequestFactory

from tenants.binding import public_bind, tenant_bind, tenant_current
from tenants.directory import tenant_by_host, tenant_by_id
from tenants.members.models import Role, SavedSearch, User
from tenants.models import Domain, Tenant
from tenants.selectors import TenantUnknown, tenant_domain, tenant_get, tenant_list
from tenants.services import (
    ConfirmationMismatch,
    MemberExists,
    MemberInvalid,
    TenantBusy,
    TenantExists,
    TenantInvalid,
    TenantNotEmpty,
    member_create,
    platform_admin_ensure,
    tenant_contents,
    tenant_create,
    tenant_delete,
    tenant_export,
    tenant_host,
    tenant_rename,
    tenant_resume,
    tenant_suspend,
    token_create,
)
from tenants.stores import TenantStore, store_register, store_unregister

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PASSWORD = "horse battery staple"
Make = Callable[..., Tenant]
Owner = psycopg.Connection[tuple[Any, ...]]


def schema_exists(owner: Owner, tenant: Tenant) -> bool:
    row = owner.execute("select to_regnamespace(%s) is not null", [f'"{tenant.schema_name}"']).fetchone()
    assert row is not None
    return bool(row[0])


def test_a_new_tenant_is_usable_at_once(owner: Owner, acme: Tenant) -> None:
    assert acme.schema_name == f"tenant_{acme.pk}"
    assert tenant_get(slug=acme.slug) == acme
    assert acme in tenant_list()
    assert tenant_domain(tenant=acme) == f"{acme.slug}.{settings.BASE_DOMAIN}"
    assert tenant_by_host(tenant_host(slug=acme.slug)) == acme
    assert schema_exists(owner, acme)
    member_create(tenant=acme, username="ann", password=PASSWORD, role=Role.ADMIN, now=NOW)


def test_a_tenant_may_be_created_while_another_is_bound(globex: Tenant, tenant_make: Make) -> None:
    with tenant_bind(globex):
        acme = tenant_make("acme")
        assert tenant_current() == globex
    with tenant_bind(acme):
        assert User.objects.count() == 0


def test_a_slug_is_taken_once(owner: Owner, acme: Tenant) -> None:
    before = owner.execute("select count(*) from pg_namespace").fetchone()
    with pytest.raises(TenantExists):
        tenant_create(slug=acme.slug, now=NOW)
    assert owner.execute("select count(*) from pg_namespace").fetchone() == before


@pytest.mark.parametrize("slug", ["", "-a", "a-", "A", "a.b", "a_b", "a" * 41, "é", "a\n", "tenant 1"])
def test_a_slug_must_fit_into_a_host_name(slug: str) -> None:
    with pytest.raises(TenantInvalid) as refused:
        tenant_create(slug=slug, now=NOW)
    assert [(error.path, error.code) for error in refused.value.errors] == [("slug", "bad_slug")]


def test_a_host_of_the_platform_is_no_tenants(settings: Any) -> None:
    settings.PUBLIC_HOSTS = [*settings.PUBLIC_HOSTS, f"www.{settings.BASE_DOMAIN}"]
    with pytest.raises(TenantInvalid):
        tenant_create(slug="www", now=NOW)


def test_unknown_tenants_are_not_found() -> None:
    with pytest.raises(TenantUnknown):
        tenant_get(slug="nobody-of-that-name")
    assert tenant_by_host("nobody-of-that-name.example") is None
    assert tenant_by_id(2**31 - 1) is None


def test_a_rename_moves_the_host_and_nothing_else(acme: Tenant, globex: Tenant) -> None:
    old_host = tenant_host(slug=acme.slug)
    assert tenant_by_host(old_host) == acme  # Remembered, and to be forgotten.
    renamed = tenant_rename(tenant=acme, slug=f"{acme.slug}-x", name="Acme & Sons")
    assert (renamed.pk, renamed.schema_name, renamed.name) == (acme.pk, acme.schema_name, "Acme & Sons")
    assert tenant_by_host(old_host) is None
    assert tenant_by_host(tenant_host(slug=renamed.slug)) == acme
    with pytest.raises(TenantExists):
        tenant_rename(tenant=acme, slug=globex.slug)
    assert tenant_get(slug=renamed.slug) == acme
    assert tenant_domain(tenant=acme) == tenant_host(slug=renamed.slug)


def test_a_suspended_tenant_is_resumed(acme: Tenant, globex: Tenant) -> None:
    suspended = tenant_suspend(tenant=acme, now=NOW)
    assert (suspended.status, suspended.status_changed_at) == ("suspended", NOW)
    again = tenant_suspend(tenant=acme, now=NOW + timedelta(days=1))
    assert again.status_changed_at == NOW
    found = tenant_by_id(acme.pk)
    assert found is not None and not found.is_active
    assert tenant_resume(tenant=acme, now=NOW).is_active
    assert tenant_get(slug=globex.slug).is_active


def test_an_export_holds_the_tenant_and_no_secrets(acme: Tenant, globex: Tenant) -> None:
    member = member_create(tenant=acme, username="ann", password=PASSWORD, email="ann@acme.example", now=NOW)
    member_create(tenant=globex, username="bob", password=PASSWORD, now=NOW)
    token, text = token_create(tenant=acme, name="ci", now=NOW)
    with tenant_bind(acme):
        SavedSearch.objects.create(name="mine", query={"limit": 5}, owner=member, created_at=NOW, updated_at=NOW)
    lines = [json.loads(line) for line in tenant_export(tenant=acme, now=NOW)]
    by_record = {line["record"]: line["data"] for line in lines}
    assert lines[0]["record"] == "tenant" and lines[0]["data"]["slug"] == acme.slug
    assert by_record["member"]["email"] == "ann@acme.example"
    assert by_record["saved_search"] == {
        "name": "mine",
        "query": {"limit": 5},
        "owner__username": "ann",
        "owner_name": "",
        "is_shared": False,
        "is_default": False,
        "columns": [],
        "created_at": "2026-03-01T12:00:00+00:00",
        "updated_at": "2026-03-01T12:00:00+00:00",
    }
    whole = json.dumps(lines)
    for secret in (member.password, "pbkdf2", token.digest, text, "bob"):
        assert secret not in whole


class Shelf:
    """A store of the test's own: records per tenant id."""

    def __init__(self, name: str) -> None:
        self.records: dict[int, list[str]] = {}
        self.failures = 0
        self.late: list[str] = []
        self.store = TenantStore(name=name, count=self.count, erase=self.erase, export=self.export)

    def count(self, tenant: Tenant) -> int:
        return len(self.records.get(tenant.pk, []))

    def erase(self, tenant: Tenant) -> int:
        assert tenant_current() == tenant
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the store is away")
        erased = len(self.records.pop(tenant.pk, []))
        if self.late:
            self.records[tenant.pk], self.late = self.late, []
        return erased

    def export(self, tenant: Tenant) -> Iterator[dict[str, Any]]:
        for record in self.records.get(tenant.pk, []):
            assert tenant_current() == tenant
            yield {"title": record}


@pytest.fixture
def shelf(acme: Tenant, globex: Tenant) -> Iterator[Shelf]:
    shelf = Shelf("test shelf")
    shelf.records = {acme.pk: ["a", "b"], globex.pk: ["c"]}
    store_register(shelf.store)
    yield shelf
    store_unregister("test shelf")


def test_a_registered_store_is_exported_bound(acme: Tenant, shelf: Shelf) -> None:
    titles = []
    for line in tenant_export(tenant=acme, now=NOW):
        assert tenant_current() is None  # Whoever takes the lines is not bound by it.
        record = json.loads(line)
        if record["record"] == "test shelf":
            titles.append(record["data"]["title"])
    assert titles == ["a", "b"]


def test_a_deletion_reports_what_every_store_lost(owner: Owner, acme: Tenant, globex: Tenant, shelf: Shelf) -> None:
    member_create(tenant=acme, username="ann", password=PASSWORD, now=NOW)
    token_create(tenant=acme, name="ci", now=NOW)
    with pytest.raises(ConfirmationMismatch):
        tenant_delete(tenant=acme, confirm=globex.slug, now=NOW)
    assert tenant_contents(tenant=acme)["test shelf"] == 2
    report = tenant_delete(tenant=acme, confirm=acme.slug, now=NOW)
    expected = {"test shelf": 2, "members": 1, "tokens": 1, "saved_searches": 0, "domains": 1}
    assert {name: report[name] for name in expected} == expected
    assert not schema_exists(owner, acme)
    assert not Tenant.objects.filter(pk=acme.pk).exists()
    assert not Domain.objects.filter(tenant_id=acme.pk).exists()
    assert tenant_by_host(tenant_host(slug=acme.slug)) is None and tenant_by_id(acme.pk) is None
    assert shelf.records == {globex.pk: ["c"]}
    assert schema_exists(owner, globex)


def test_a_deletion_catches_what_was_written_meanwhile(acme: Tenant, shelf: Shelf) -> None:
    shelf.late = ["by a request that was under way"]
    assert tenant_delete(tenant=acme, confirm=acme.slug, now=NOW)["test shelf"] == 3
    assert acme.pk not in shelf.records


def test_a_deletion_that_never_gets_to_the_end_says_so(owner: Owner, acme: Tenant, shelf: Shelf) -> None:
    def refill(tenant: Tenant) -> int:
        return 1

    store_register(TenantStore(name="test shelf", count=refill, erase=refill))
    with pytest.raises(TenantNotEmpty, match="test shelf"):
        tenant_delete(tenant=acme, confirm=acme.slug, now=NOW)
    marked = tenant_get(slug=acme.slug)
    assert marked.status == "deleting" and schema_exists(owner, acme)
    store_register(shelf.store)
    tenant_delete(tenant=marked, confirm=marked.slug, now=NOW)
    assert not schema_exists(owner, acme)


def test_an_interrupted_deletion_goes_on(owner: Owner, acme: Tenant, shelf: Shelf) -> None:
    shelf.failures = 1
    with pytest.raises(ConnectionError):
        tenant_delete(tenant=acme, confirm=acme.slug, now=NOW)
    marked = tenant_get(slug=acme.slug)
    assert marked.status == "deleting" and schema_exists(owner, acme)
    with pytest.raises(TenantBusy):
        tenant_resume(tenant=marked, now=NOW)
    assert tenant_delete(tenant=marked, confirm=marked.slug, now=NOW)["test shelf"] == 2
    assert not schema_exists(owner, acme)


def test_an_id_is_never_used_again(tenant_make: Make) -> None:
    acme = tenant_make("acme")
    tenant_delete(tenant=acme, confirm=acme.slug, now=NOW)
    assert tenant_make("acme").pk > acme.pk


def test_members_of_two_tenants_may_share_a_name(acme: Tenant, globex: Tenant) -> None:
    for tenant in (acme, globex):
        member_create(tenant=tenant, username="ann", password=f"{PASSWORD} {tenant.name}", now=NOW)
    with pytest.raises(MemberExists):
        member_create(tenant=acme, username="ann", password=PASSWORD, now=NOW)
    request = RequestFactory().post("/")  # Who fails is locked out by name and address.
    with tenant_bind(acme):
        assert authenticate(request, username="ann", password=f"{PASSWORD} acme") is not None
        assert authenticate(request, username="ann", password=f"{PASSWORD} globex") is None
    with public_bind():
        assert authenticate(request, username="ann", password=f"{PASSWORD} acme") is None


@pytest.mark.parametrize(("username", "password", "path"), [("ann", "1234", "password"), ("a b", PASSWORD, "username")])
def test_a_member_that_makes_no_sense_is_refused(username: str, password: str, path: str, acme: Tenant) -> None:
    with pytest.raises(MemberInvalid) as refused:
        member_create(tenant=acme, username=username, password=password, now=NOW)
    assert {error.path for error in refused.value.errors} == {path}


def test_a_platform_admin_is_ensured(acme: Tenant) -> None:
    with tenant_bind(acme):  # Wherever it is called from, it is about the platform.
        assert platform_admin_ensure(username="test-root", password=PASSWORD, now=NOW)
        assert not platform_admin_ensure(username="test-root", password=PASSWORD, now=NOW)
        assert not User.objects.filter(username="test-root").exists()
    with public_bind():
        admin = User.objects.get(username="test-root")
        try:
            before = admin.password
            platform_admin_ensure(username="test-root", password=PASSWORD, now=NOW)
            admin.refresh_from_db()
            assert admin.password == before  # Not hashed anew: that would end its sessions.
            assert not platform_admin_ensure(username="test-root", password=f"{PASSWORD} 2", now=NOW)
            admin.refresh_from_db()
            assert admin.check_password(f"{PASSWORD} 2") and admin.is_superuser
        finally:
            admin.delete()
