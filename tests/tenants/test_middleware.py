"""Which tenant a request is bound to, and who is turned away at the door."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.test import RequestFactory

from tenants import directory
from tenants.binding import tenant_current
from tenants.directory import directory_forget
from tenants.members.models import User
from tenants.middleware import TenantMiddleware
from tenants.models import Tenant
from tenants.services import tenant_host, tenant_rename, tenant_suspend, token_create
from tenants.tokens import token_make

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def show_tenant(request: HttpRequest) -> HttpResponse:
    current = tenant_current()
    assert request.tenant == current  # type: ignore[attr-defined]  # Set by the middleware.
    return HttpResponse(current.slug if current else "public")


def ask(
    path: str = "/",
    *,
    host: str = "localhost",
    token: str = "",
    view: Callable[[HttpRequest], HttpResponseBase] = show_tenant,
) -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    response = TenantMiddleware(view)(RequestFactory(headers=headers).get(path, HTTP_HOST=host))
    assert tenant_current() is None
    return response


def token_of(tenant: Tenant) -> str:
    return token_create(tenant=tenant, name="test", now=NOW)[1]


def code_of(response: Any) -> str:
    assert response["Content-Type"] == "application/problem+json"
    body = json.loads(response.content)
    assert body["status"] == response.status_code
    return str(body["code"])


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST"])
def test_public_hosts_are_nobodys(host: str) -> None:
    assert ask(host=host).content == b"public"


def test_a_host_names_its_tenant(acme: Tenant, globex: Tenant) -> None:
    for tenant in (acme, globex):
        for host in (
            tenant_host(slug=tenant.slug),
            f"{tenant_host(slug=tenant.slug)}:8000",
            tenant_host(slug=tenant.slug).upper(),
        ):
            assert ask(host=host).content.decode() == tenant.slug


def test_an_unknown_host_gets_a_helpful_page() -> None:
    response = ask(host="nobody.localhost")
    assert response.status_code == 404
    assert b"nobody.localhost" in response.content and b"Traceback" not in response.content
    api = ask("/api/v1/entities/", host="nobody.localhost")
    assert (api.status_code, code_of(api)) == (404, "host_unknown")


def test_a_host_that_is_not_ours_is_refused() -> None:
    assert code_of(ask("/api/v1/entities/", host="evil.example")) == "host_refused"
    assert ask(host="<script>.localhost").status_code == 400


def test_a_token_names_its_tenant_on_the_public_host(acme: Tenant, globex: Tenant) -> None:
    for tenant in (acme, globex):
        assert ask("/api/v1/entities/", token=token_of(tenant)).content.decode() == tenant.slug


def test_a_token_on_its_own_host_works(acme: Tenant) -> None:
    response = ask("/api/v1/entities/", host=tenant_host(slug=acme.slug), token=token_of(acme))
    assert response.content.decode() == acme.slug


def test_a_token_on_another_tenants_host_is_refused(acme: Tenant, globex: Tenant) -> None:
    response = ask("/api/v1/entities/", host=tenant_host(slug=globex.slug), token=token_of(acme))
    assert (response.status_code, code_of(response)) == (403, "wrong_host")


def test_a_token_counts_only_under_the_api(acme: Tenant) -> None:
    assert ask("/admin/", token=token_of(acme)).content == b"public"


def test_a_suspended_tenant_is_turned_away(acme: Tenant, globex: Tenant) -> None:
    token = token_of(acme)
    assert ask("/api/v1/entities/", token=token).status_code == 200
    tenant_suspend(tenant=acme, now=NOW)
    response = ask("/api/v1/entities/", token=token)
    assert (response.status_code, code_of(response)) == (403, "tenant_suspended")
    page = ask("/admin/", host=tenant_host(slug=acme.slug))
    assert page.status_code == 403 and b"suspended" in page.content
    assert ask("/api/v1/entities/", token=token_of(globex)).status_code == 200


def test_a_made_up_token_explores_nothing(acme: Tenant, globex: Tenant) -> None:
    tenant_suspend(tenant=acme, now=NOW)
    made_up = token_make(tenant_id=acme.pk)
    for host in ("localhost", tenant_host(slug=globex.slug)):
        response = ask("/api/v1/entities/", host=host, token=made_up)
        assert (response.status_code, code_of(response)) == (401, "invalid_token")
    # Also where no token is needed: whether a tenant is there, suspended or not, is the same 401.
    for tenant_id in (acme.pk, globex.pk, 2**31 - 1):
        for path in ("/api/v1/entities/", "/api/v1/schema/", "/api/v1/nope/"):
            response = ask(path, token=token_make(tenant_id=tenant_id))
            assert (response.status_code, code_of(response)) == (401, "invalid_token")


@pytest.mark.parametrize("header", ["Bearer", "Bearer x", "Basic YTpi", "atl_1_x", "Bearer atl_1_" + "x" * 5000])
def test_a_malformed_authorization_is_401(header: str) -> None:
    request = RequestFactory(headers={"Authorization": header}).get("/api/v1/entities/", HTTP_HOST="localhost")
    response = TenantMiddleware(show_tenant)(request)
    assert (response.status_code, code_of(response)) == (401, "malformed_token")
    assert response["WWW-Authenticate"].startswith("Bearer ")


def test_a_renamed_tenant_moves_at_once(acme: Tenant) -> None:
    old = tenant_host(slug=acme.slug)
    assert ask(host=old).status_code == 200
    renamed = tenant_rename(tenant=acme, slug=f"{acme.slug}-x")
    assert ask(host=old).status_code == 404
    assert ask(host=tenant_host(slug=renamed.slug)).status_code == 200


def test_a_streamed_body_is_made_for_the_same_tenant(acme: Tenant, globex: Tenant) -> None:
    def stream(request: HttpRequest) -> StreamingHttpResponse:
        def chunks() -> Iterator[str]:
            for _ in range(2):
                current = tenant_current()
                yield f"{current.slug if current else 'public'} {User.objects.count()};"

        return StreamingHttpResponse(chunks())

    one, other = (ask(host=tenant_host(slug=tenant.slug), view=stream) for tenant in (acme, globex))
    for tenant, response in ((acme, one), (globex, other)):
        chunks = iter(response)
        assert next(chunks) == f"{tenant.slug} 0;".encode()
        assert tenant_current() is None
        response.close()


def test_a_view_that_fails_leaves_nothing_bound(acme: Tenant) -> None:
    def fail(request: HttpRequest) -> HttpResponse:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ask(host=tenant_host(slug=acme.slug), view=fail)
    assert tenant_current() is None


@pytest.fixture
def primary_down(acme: Tenant, globex: Tenant, replica: str) -> Iterator[None]:
    """`default` points at a port where nothing listens, as after a crash."""
    connection = connections["default"]
    connection.close()
    before = connection.settings_dict["PORT"]
    connection.settings_dict["PORT"] = "1"
    directory_forget()
    yield
    connection.settings_dict["PORT"] = before
    connection.close()
    directory._primary.end()
    directory_forget()


@pytest.fixture
def acme_token(acme: Tenant, replicate: Callable[[], object]) -> str:
    text = token_of(acme)
    replicate()
    return text


def test_without_the_primary_a_replica_knows_the_tenant(acme: Tenant, acme_token: str, primary_down: None) -> None:
    assert ask(host=tenant_host(slug=acme.slug)).content.decode() == acme.slug
    assert ask("/api/v1/entities/", token=acme_token).content.decode() == acme.slug


def test_without_any_database_the_public_host_answers(
    settings: Any, acme: Tenant, acme_token: str, primary_down: None
) -> None:
    settings.REPLICA_ALIASES = []
    assert ask().content == b"public"
    response = ask("/api/v1/entities/", token=acme_token)
    assert (response.status_code, code_of(response)) == (503, "directory_unavailable")
    assert response["Retry-After"]
    assert ask(host=tenant_host(slug=acme.slug)).status_code == 503
