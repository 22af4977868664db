"""The boot checks, and the cache of content types that knows schemas."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from tenants import checks
from tenants.binding import public_bind, tenant_bind
from tenants.database.owner import owner_connection
from tenants.members.models import ApiToken
from tenants.models import Tenant


def test_the_application_role_is_harmless() -> None:
    assert checks.roles_are_harmless(databases=["default"]) == []


def test_an_owner_is_told() -> None:
    with owner_connection():
        assert [error.id for error in checks.roles_are_harmless(databases=["default"])] == ["tenants.E004"]


def test_nothing_is_asked_unless_databases_are_checked() -> None:
    assert checks.roles_are_harmless(databases=None) == []


def test_the_order_of_apps_matters(settings: Any) -> None:
    assert checks.apps_in_order() == []
    settings.INSTALLED_APPS = ["django_tenants", "tenants"]
    assert [error.id for error in checks.apps_in_order()] == ["tenants.E001"]


def test_every_database_must_follow_the_tenant(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks.engines_bind_tenants() == []
    monkeypatch.setitem(settings.DATABASES["default"], "ENGINE", "django.db.backends.postgresql")
    assert [error.id for error in checks.engines_bind_tenants()] == ["tenants.E002"]


def test_a_made_up_secret_key_is_told(settings: Any) -> None:
    settings.SECRET_KEY_IS_GENERATED = True
    assert [warning.id for warning in checks.secret_key_is_set()] == ["tenants.W001"]
    settings.SECRET_KEY_IS_GENERATED = False
    assert checks.secret_key_is_set() == []


def test_content_types_are_cached_per_schema(acme: Tenant) -> None:
    ContentType.objects.clear_cache()
    with public_bind():
        public_id = ContentType.objects.get_for_model(ApiToken).pk
    with tenant_bind(acme), connection.cursor() as cursor:
        cursor.execute("delete from auth_permission")
        cursor.execute("update django_content_type set id = id + 1000")
        assert ContentType.objects.get_for_model(ApiToken).pk > 1000
        assert ContentType.objects.get_for_model(ApiToken, for_concrete_model=False).pk > 1000
    with public_bind():
        assert ContentType.objects.get_for_model(ApiToken).pk == public_id
        assert ContentType._default_manager.get_for_id(public_id).model == "apitoken"
