"""The commands people type."""

from __future__ import annotations

import gzip
import io
import json
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.core.management import CommandError, call_command, get_commands
from django.db import connections

from atlasco.lib import clock
from tenants.binding import public_bind, tenant_bind
from tenants.members.models import ApiToken, User
from tenants.models import AuditEntry, Tenant
from tenants.selectors import tenant_get
from tenants.services import tenant_delete
from tenants.tokens import token_parse

OURS = ["create_tenant", "create_token", "delete_tenant", "ensure_admin", "migrate", "migrate_schemas",
        "rename_tenant", "reset_second_factor", "resume_tenant", "suspend_tenant"]  # fmt: skip


def run(*arguments: str, **options: Any) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out, **options)
    return out.getvalue()


@pytest.mark.parametrize("name", OURS)
def test_the_command_is_ours_and_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert get_commands()[name] == "tenants"
    with pytest.raises(SystemExit) as left:
        call_command(name, "--help")
    assert left.value.code == 0
    assert "usage:" in capsys.readouterr().out


@pytest.fixture
def slug() -> Iterator[str]:
    slug = f"acme-{secrets.token_hex(4)}"
    yield slug
    for tenant in Tenant.objects.filter(slug__startswith=slug):
        tenant_delete(tenant=tenant, confirm=tenant.slug, now=clock.now())


def test_a_tenants_life(slug: str, tmp_path: Path) -> None:
    assert f"{slug}.localhost" in run("create_tenant", slug, "--name", "Acme Ltd")
    assert tenant_get(slug=slug).name == "Acme Ltd"
    assert "suspended" in run("suspend_tenant", slug)
    assert "active" in run("resume_tenant", slug)
    assert "Acme Inc" in run("rename_tenant", slug, "--slug", f"{slug}-2", "--name", "Acme Inc")

    plain, packed = tmp_path / "acme.ndjson", tmp_path / "acme.ndjson.gz"
    for path in (plain, packed):
        run("export_tenant", f"{slug}-2", str(path))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first = json.loads(gzip.decompress(packed.read_bytes()).splitlines()[0])
    assert first["data"]["slug"] == json.loads(plain.read_text().splitlines()[0])["data"]["slug"] == f"{slug}-2"
    with pytest.raises(CommandError, match="exists"):
        run("export_tenant", f"{slug}-2", str(plain))

    assert "Nothing was removed" in run("delete_tenant", f"{slug}-2")
    with pytest.raises(CommandError, match="confirm"):
        run("delete_tenant", f"{slug}-2", "--confirm", slug)
    report = json.loads(run("delete_tenant", f"{slug}-2", "--confirm", f"{slug}-2", "--json"))
    assert report["domains"] == 1
    with pytest.raises(CommandError, match="no tenant"):
        run("delete_tenant", f"{slug}-2")


def test_a_token_is_printed_once_alone_on_a_line(acme: Tenant) -> None:
    printed = run("create_token", "--tenant", acme.slug, "--name", "ci")
    token = token_parse(printed.removesuffix("\n"))
    assert token is not None and token.tenant_id == acme.pk
    run("create_token", "--tenant", acme.slug, "--name", "reader", "--scope", "read", "--expires-days", "7")
    with tenant_bind(acme):
        assert set(ApiToken.objects.get(name="ci").scopes) == {"read", "write"}
        reader = ApiToken.objects.get(name="reader")
        assert reader.scopes == ["read"]
        assert reader.expires_at is not None and (reader.expires_at - reader.created_at).days == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["create_tenant", "No Slug"], "slug"),
        (["create_token", "--tenant", "nobody-there", "--name", "x"], "no tenant 'nobody-there'"),
        (["create_token", "--tenant", "nobody-there", "--name", "x", "--expires-days", "0"], "expires-days"),
        (["rename_tenant", "nobody-there"], "--slug NEW"),
        (["suspend_tenant", "nobody-there"], "no tenant"),
        (["export_tenant", "nobody-there", "/nowhere/x"], "no tenant"),
    ],
)
def test_a_mistake_is_told_in_one_message(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        run(*arguments)


def test_a_database_that_is_away_is_told() -> None:
    connection = connections["default"]
    connection.close()
    before = connection.settings_dict["PORT"]
    connection.settings_dict["PORT"] = "1"
    try:
        with pytest.raises(CommandError, match="does not answer"):
            run("suspend_tenant", "acme")
    finally:
        connection.settings_dict["PORT"] = before
        connection.close()


def test_migrate_schemas_can_check_only(acme: Tenant) -> None:
    run("migrate_schemas", "--check")
    Tenant.objects.filter(pk=acme.pk).update(schema_version="0123456789abcdef")
    with pytest.raises(CommandError, match="not migrated"):
        run("migrate", "--check")
    assert "Nothing to migrate" not in run("migrate_schemas")
    assert "Nothing to migrate" in run("migrate_schemas")


def test_an_export_that_can_not_be_written_is_told(acme: Tenant, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="can't be written"):
        run("export_tenant", acme.slug, str(tmp_path / "missing" / "acme.ndjson"))


def test_the_admins_password_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATLASCO_ADMIN_PASSWORD", raising=False)
    with pytest.raises(CommandError, match="ATLASCO_ADMIN_PASSWORD"):
        run("ensure_admin", "--username", "test-root")
    monkeypatch.setenv("ATLASCO_ADMIN_PASSWORD", "horse battery staple")
    try:
        assert "created" in run("ensure_admin", "--username", "test-root")
        assert "is there" in run("ensure_admin", "--username", "test-root")
    finally:
        with public_bind():
            User.objects.filter(username="test-root").delete()


def test_a_platform_admin_who_lost_the_second_factor_gets_in_by_password_again() -> None:
    with pytest.raises(CommandError, match="no platform admin"):
        run("reset_second_factor", "--username", "nobody")
    with public_bind():
        admin = User.objects.create_user("test-root", is_staff=True)
        Authenticator.objects.create(user=admin, type=Authenticator.Type.TOTP, data={})
    try:
        assert "is removed" in run("reset_second_factor", "--username", "test-root")
        assert "has no" in run("reset_second_factor", "--username", "test-root")
        with public_bind():
            assert not Authenticator.objects.filter(user=admin).exists()
            assert AuditEntry.objects.filter(action="second_factor.reset", subject="admin:test-root").count() == 1
    finally:
        with public_bind():
            admin.delete()
