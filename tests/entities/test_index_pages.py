"""The page about indexes: what an admin builds and undoes there, and who may not."""

from __future__ import annotations

from typing import Any

import pytest

from entities.models import AttributeMetadata
from tenants.binding import tenant_bind
from tenants.members.models import Role
from tenants.models import Tenant
from tests.admin_client import platform_browser, tenant_browser
from tests.entities import plane
from tests.entities.test_attribute_indexes import job_of, large, work


@pytest.fixture(autouse=True)
def _quick_passwords(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def test_an_admin_builds_what_is_proposed_and_undoes_it(acme: Tenant, globex: Tenant) -> None:
    large(acme)
    browser = tenant_browser(acme)
    assert "10 recent searches took 500 ms on average" in browser.text("attributes/indexes/")
    response = browser.post("attributes/indexes/", {"name": "cost", "action": "build"})
    assert response.status_code == 302
    assert "waiting for a worker" in browser.text("attributes/indexes/")
    work(acme)
    assert "Undo" in browser.text("attributes/indexes/")
    browser.post("attributes/indexes/", {"name": "cost", "action": "drop"})
    work(acme)
    with tenant_bind(acme):
        assert not AttributeMetadata.objects.get(attribute_name="cost").is_indexed
    assert job_of(acme, "cost").action == "drop"


def test_who_only_looks_sees_no_button_and_is_refused(acme: Tenant) -> None:
    large(acme)
    viewer = tenant_browser(acme, role=Role.VIEWER)
    html = viewer.text("attributes/indexes/")
    assert "cost" in html and 'value="build"' not in html
    assert viewer.post("attributes/indexes/", {"name": "cost", "action": "build"}).status_code == 403


def test_a_platform_admin_sees_the_indexes_of_a_tenant_without_any(acme: Tenant) -> None:
    plane.write(acme, [plane.entity("1", cost=1)])
    html = platform_browser().text(f"tenants/{acme.slug}/attributes/indexes/")
    assert "Nothing is worth an index now" in html
