"""The page on which a tenant's admins settle how fresh answers are, and what a rename makes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.db import connections

from entities.governance.jobs import rename_start
from entities.ingest.importer import import_run
from freshness.defaults import attribute_renamed, defaults_change, defaults_of, defaults_read
from freshness.policy import Defaults, Limit
from tenants.binding import tenant_bind
from tenants.members.models import Role
from tenants.models import Tenant
from tests.admin_client import Browser, platform_browser, tenant_browser
from tests.entities.test_governance import NOW
from tests.tenants.conftest import tenant_make

__all__ = ["tenant_make"]

PAGE = "freshness/defaults/"


@pytest.fixture
def acme(live_db: None, tenant_make: Callable[..., Tenant]) -> Tenant:
    return tenant_make("acme")


@pytest.fixture
def globex(live_db: None, tenant_make: Callable[..., Tenant]) -> Tenant:
    return tenant_make("globex")


def settled(tenant: Tenant) -> Defaults:
    return defaults_read(tenant_id=tenant.pk, using="default")


def send(browser: Browser, path: str = PAGE, **data: str) -> Any:
    return browser.post(path, data)


def test_an_admin_settles_a_class_and_an_attribute_of_its_own_tenant(acme: Tenant, globex: Tenant) -> None:
    admin = tenant_browser(acme)
    sent = {"action": "classes", "operational-tier": "REALTIME", "reporting-max_lag_s": "2.5"}
    assert send(admin, **sent).status_code == 302
    assert send(admin, action="add", name="price", tier="", max_lag_s="3").status_code == 302
    assert settled(acme) == Defaults(
        {"operational": Limit("REALTIME"), "reporting": Limit(None, 2.5)}, {"price": Limit(None, 3.0)}
    )
    assert settled(globex) == Defaults()
    html = admin.text(PAGE)
    assert '<option value="REALTIME" selected>' in html and 'value="2.5"' in html and "price" in html
    assert send(admin, remove="price").status_code == 302
    assert send(admin, action="classes").status_code == 302
    assert settled(acme) == Defaults()


def test_a_platform_admin_does_the_same_from_the_public_host(acme: Tenant, globex: Tenant) -> None:
    platform = platform_browser()
    path = f"tenants/{acme.slug}/{PAGE}"
    assert path in platform.text(f"tenants/{acme.slug}/")
    assert send(platform, path, action="add", name="price", tier="REALTIME").status_code == 302
    assert (settled(acme).attributes, settled(globex).attributes) == ({"price": Limit("REALTIME")}, {})


def test_what_can_not_be_settled_is_told_beside_its_field(acme: Tenant) -> None:
    admin = tenant_browser(acme)
    for data, words in (
        ({"action": "classes", "critical-max_lag_s": "soon"}, "Enter a number"),
        ({"action": "add", "name": "price"}, "Say a tier, seconds, or both"),
        ({"action": "add", "name": "", "tier": "REALTIME"}, "This field is required"),
    ):
        answer = send(admin, **data)
        assert answer.status_code == 400 and words in answer.content.decode()
    assert settled(acme) == Defaults()


@pytest.mark.parametrize("role", [Role.EDITOR, Role.VIEWER])
def test_whoever_is_no_admin_neither_sees_nor_settles_anything(acme: Tenant, role: Role) -> None:
    member = tenant_browser(acme, role=role)
    assert member.get(PAGE).status_code == 403
    assert send(member, action="add", name="price", tier="REALTIME").status_code == 403
    assert settled(acme) == Defaults()


def test_a_renamed_attribute_keeps_the_stricter_of_both_floors(acme: Tenant, globex: Tenant) -> None:
    for tenant in (acme, globex):
        defaults_change(
            tenant=tenant, attributes={"cost": Limit("NEAR_REALTIME", 2.0), "price": Limit("NEAR_REALTIME")}
        )
    with tenant_bind(Tenant.objects.get(pk=acme.pk)):
        line = b'{"entity_type": "lamp", "external_id": "1", "attributes": {"cost": 5}}'
        import_run(tenant_id=acme.pk, chunks=[line], mode="merge", now=NOW, line_max_bytes=1000)
        rename_start(
            tenant_id=acme.pk,
            name="cost",
            target="price",
            keep_alias=False,
            created_by="test",
            now=NOW,
            enqueue=lambda job: None,
        )
    assert settled(acme).attributes["price"] == Limit("NEAR_REALTIME", 2.0)
    assert settled(globex).attributes["price"] == Limit("NEAR_REALTIME")


def test_settling_and_renaming_wait_for_no_write_that_is_under_way(
    acme: Tenant, owner_db: psycopg.Connection[Any]
) -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute("SET lock_timeout = '3s'")
    row = "SELECT FROM tenants_tenant WHERE id = %s FOR {}"
    with owner_db.transaction():
        owner_db.execute(row.format("KEY SHARE"), [acme.pk])  # As every write does.
        defaults_change(tenant=acme, attributes={"cost": Limit("REALTIME")})
        attribute_renamed(tenant=acme, name="cost", target="price")
    assert settled(acme).attributes == {"cost": Limit("REALTIME"), "price": Limit("REALTIME", 1.0)}
    with owner_db.transaction():
        owner_db.execute(row.format("UPDATE"), [acme.pk])
        attribute_renamed(tenant=acme, name="colour", target="paint")


def test_what_a_row_said_is_read_anew_only_with_the_row(acme: Tenant) -> None:
    defaults_change(tenant=acme, classes={"critical": Limit("EVENTUAL")})
    before, after = acme, Tenant.objects.get(pk=acme.pk)
    assert defaults_of(before) == Defaults() and defaults_of(None) == Defaults()
    assert defaults_of(after).classes == {"critical": Limit("EVENTUAL")}
    assert defaults_of(after) is defaults_of(after)
