"""Authentication and scopes, seen from a view."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from django.http import HttpRequest
from django.test import RequestFactory
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tenants.binding import tenant_bind, tenant_required
from tenants.members.models import ApiToken
from tenants.middleware import TenantMiddleware
from tenants.models import Tenant
from tenants.services import token_create, token_revoke

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class EchoView(APIView):
    """Says who asks."""

    required_scope: ClassVar[str | Mapping[str, str] | None] = None

    def get(self, request: Request) -> Response:
        return Response({"tenant": tenant_required().slug, "user": str(request.user), "token": request.auth.pk})

    post = get
    delete = get


class SearchView(EchoView):
    required_scope = "read"


class MixedView(EchoView):
    required_scope: ClassVar[Mapping[str, str]] = {"POST": "read"}


def ask(method: str, token: str = "", view: type[APIView] = EchoView) -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request: HttpRequest = RequestFactory(headers=headers).generic(method, "/api/v1/echo/", HTTP_HOST="localhost")
    response: Any = TenantMiddleware(view.as_view())(request)
    if hasattr(response, "render"):
        response.render()
    return response


def body_of(response: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(response.content)
    return body


def test_a_token_opens_its_tenant(acme: Tenant, globex: Tenant) -> None:
    for tenant in (acme, globex):
        token, text = token_create(tenant=tenant, name="ci", now=NOW)
        response = ask("GET", text)
        assert body_of(response) == {"tenant": tenant.slug, "user": "token ci", "token": token.pk}
        with tenant_bind(tenant):
            assert ApiToken.objects.get(pk=token.pk).last_used_at is not None


def test_no_token_is_401() -> None:
    response = ask("GET")
    assert (response.status_code, body_of(response)["code"]) == (401, "not_authenticated")
    assert response["WWW-Authenticate"] == 'Bearer realm="atlasco"'


def test_expired_and_revoked_tokens_are_401(acme: Tenant) -> None:
    token, revoked = token_create(tenant=acme, name="revoked", now=NOW)
    token_revoke(tenant=acme, token_id=token.pk, now=NOW)
    _, expired = token_create(tenant=acme, name="old", expires_at=NOW + timedelta(seconds=1), now=NOW)
    for text in (revoked, expired, revoked[:-2] + "AA"):
        response = ask("GET", text)
        assert (response.status_code, body_of(response)["code"]) == (401, "invalid_token")
        assert 'error="invalid_token"' in response["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("view", "method", "scope"),
    [
        (EchoView, "GET", "read"),
        (EchoView, "POST", "write"),
        (EchoView, "DELETE", "write"),
        (SearchView, "POST", "read"),
        (MixedView, "POST", "read"),
        (MixedView, "DELETE", "write"),
    ],
)
def test_a_view_needs_its_scope(view: type[APIView], method: str, scope: str, acme: Tenant) -> None:
    other = {"read": "write", "write": "read"}[scope]
    _, fitting = token_create(tenant=acme, name="fits", scopes=[scope], now=NOW)
    _, wrong = token_create(tenant=acme, name="does not", scopes=[other], now=NOW)
    assert ask(method, fitting, view).status_code == 200
    response = ask(method, wrong, view)
    assert (response.status_code, body_of(response)["code"]) == (403, "insufficient_scope")
    assert body_of(response)["required_scope"] == scope
