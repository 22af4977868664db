"""API tokens: what is stored, what is accepted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.db import Error, InterfaceError, OperationalError, connections

from tenants.binding import tenant_bind
from tenants.members.models import ApiToken
from tenants.models import Tenant
from tenants.selectors import (
    TokenUnknown,
    TokenUnusable,
    token_find,
    token_get,
    token_list,
    tokens_usable,
    tokens_usable_count,
)
from tenants.services import TokenInvalid, token_create, token_revoke, token_touch
from tenants.tokens import TokenText, token_parse

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def parsed(text: str) -> TokenText:
    token = token_parse(text)
    assert token is not None
    return token


def test_tokens_are_hashed_at_rest(owner: psycopg.Connection[tuple[object, ...]], acme: Tenant) -> None:
    token, text = token_create(tenant=acme, name="ci", now=NOW)
    stored = str(owner.execute(f"select * from {acme.schema_name}.members_apitoken").fetchall())
    assert text not in stored and text.split("_", 2)[2] not in stored
    assert parsed(text).digest in stored
    assert text.split("_", 2)[2].startswith(token.prefix)


def test_a_token_is_found_in_its_tenant_only(acme: Tenant, globex: Tenant) -> None:
    token, text = token_create(tenant=acme, name="ci", now=NOW)
    assert token_find(tenant=acme, token=parsed(text), now=NOW) == token
    with pytest.raises(TokenUnusable):
        token_find(tenant=globex, token=parsed(text), now=NOW)


def test_a_wrong_secret_with_the_right_start_is_refused(acme: Tenant) -> None:
    _, text = token_create(tenant=acme, name="ci", now=NOW)
    wrong = text[:-1] + ("A" if text[-1] != "A" else "B")
    with pytest.raises(TokenUnusable):
        token_find(tenant=acme, token=parsed(wrong), now=NOW)


def test_a_token_expires(acme: Tenant) -> None:
    _, text = token_create(tenant=acme, name="ci", expires_at=NOW + timedelta(days=1), now=NOW)
    just_before = NOW + timedelta(days=1) - timedelta(microseconds=1)
    assert token_find(tenant=acme, token=parsed(text), now=just_before)
    with pytest.raises(TokenUnusable):
        token_find(tenant=acme, token=parsed(text), now=NOW + timedelta(days=1))


def test_a_revoked_token_stays_revoked(acme: Tenant, globex: Tenant) -> None:
    token, text = token_create(tenant=acme, name="ci", now=NOW)
    with pytest.raises(TokenUnknown):
        token_revoke(tenant=globex, token_id=token.pk, now=NOW)
    with pytest.raises(TokenUnknown):
        token_get(tenant=globex, token_id=token.pk)
    token_revoke(tenant=acme, token_id=token.pk, now=NOW)
    again = token_revoke(tenant=acme, token_id=token.pk, now=NOW + timedelta(days=1))
    assert again.revoked_at == NOW
    with pytest.raises(TokenUnusable):
        token_find(tenant=acme, token=parsed(text), now=NOW)


def test_use_is_noted_once_a_minute(acme: Tenant) -> None:
    token, _ = token_create(tenant=acme, name="ci", now=NOW)

    def used(at: datetime) -> datetime | None:
        with tenant_bind(acme):
            token_touch(tenant=acme, token=ApiToken.objects.get(pk=token.pk), now=at)
            return ApiToken.objects.get(pk=token.pk).last_used_at

    assert used(NOW) == NOW
    assert used(NOW + timedelta(seconds=59)) == NOW
    assert used(NOW + timedelta(seconds=60)) == NOW + timedelta(seconds=60)


def test_noting_the_use_never_fails(acme: Tenant) -> None:
    token, _ = token_create(tenant=acme, name="ci", now=NOW)
    connection = connections["default"]
    with connection.cursor() as cursor:
        cursor.execute("set default_transaction_read_only = on")  # As if the primary had become a replica.
    try:
        token_touch(tenant=acme, token=token, now=NOW)
    finally:
        connection.close()
    with tenant_bind(acme):
        assert ApiToken.objects.get(pk=token.pk).last_used_at is None


@pytest.mark.parametrize("error", [InterfaceError, OperationalError])
def test_noting_the_use_never_fails_whatever_is_wrong_with_the_connection(
    error: type[Error], acme: Tenant, globex: Tenant
) -> None:
    def fails(*_: object) -> None:
        raise error("the connection is closed")

    for tenant in (acme, globex):
        token, _ = token_create(tenant=tenant, name="ci", now=NOW)
        with connections["default"].execute_wrapper(fails):
            token_touch(tenant=tenant, token=token, now=NOW)


def test_a_tenants_tokens_are_listed_newest_first(acme: Tenant, globex: Tenant) -> None:
    for number, tenant in enumerate((acme, acme, globex)):
        token_create(tenant=tenant, name=f"t{number}", now=NOW + timedelta(seconds=number))
    with tenant_bind(acme):
        assert [token.name for token in token_list(tenant=acme)] == ["t1", "t0"]


def test_ended_tokens_hide_no_usable_one(acme: Tenant, globex: Tenant) -> None:
    token_create(tenant=acme, name="lasting", now=NOW)
    token_create(tenant=acme, name="for a week", expires_at=NOW + timedelta(days=7), now=NOW)
    token_create(tenant=globex, name="another's", now=NOW)
    for number in range(3):
        newer = NOW + timedelta(minutes=1 + number)
        token, _ = token_create(tenant=acme, name=f"revoked {number}", now=newer)
        token_revoke(tenant=acme, token_id=token.pk, now=newer)
    for now, names in (
        (NOW + timedelta(days=6), ["for a week", "lasting"]),
        (NOW + timedelta(days=7), ["lasting"]),
    ):
        usable = tokens_usable(tenant=acme, limit=2, now=now)
        assert [token.name for token in usable] == names
        assert all(token.is_usable(now=now) for token in usable)
        assert tokens_usable_count(tenant=acme, now=now) == len(names)


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"scopes": []}, "scopes"),
        ({"scopes": ["read", "admin"]}, "scopes"),
        ({"name": "  "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"expires_at": NOW}, "expires_at"),
    ],
)
def test_a_token_that_makes_no_sense_is_refused(options: dict[str, object], path: str, acme: Tenant) -> None:
    with pytest.raises(TokenInvalid) as refused:
        token_create(**{"tenant": acme, "name": "ci", "now": NOW, **options})  # type: ignore[arg-type]  # Arguments by name.
    assert [error.path for error in refused.value.errors] == [path]
