"""Who may call the API: authentication by bearer token, permission by scope."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from atlasco.lib import clock
from tenants.binding import tenant_required
from tenants.errors import Forbidden, Unauthorized
from tenants.members.models import ApiToken
from tenants.scopes import scope_required
from tenants.services import token_touch

if TYPE_CHECKING:
    from rest_framework.views import APIView  # DRF's settings name this module: importing views here would be a circle.


class TokenMissing(Unauthorized):
    """Send `Authorization: Bearer TOKEN`."""

    code = "not_authenticated"


class ScopeMissing(Forbidden):
    """The token lacks a scope."""

    code = "insufficient_scope"


class TokenBearer:
    """Who a token speaks for: no member, just its holder. `request.user` of the API."""

    is_active: Final = True
    is_anonymous: Final = False
    is_authenticated: Final = True
    is_staff: Final = False
    is_superuser: Final = False

    def __init__(self, token: ApiToken) -> None:
        self.pk = f"token-{token.pk}"
        self.username = f"token {token.name}"

    def __str__(self) -> str:
        return self.username


class TokenAuthentication(BaseAuthentication):
    """`request.auth` is the ApiToken, `request.user` its bearer: of the token that TenantMiddleware has accepted."""

    def authenticate(self, request: Request) -> tuple[TokenBearer, ApiToken] | None:
        """None without an Authorization header. See Note [Tokens at the door]."""
        token: ApiToken | None = getattr(request._request, "api_token", None)
        if token is None:
            return None
        token_touch(tenant=tenant_required(), token=token, now=clock.now())
        return TokenBearer(token), token

    def authenticate_header(self, request: Request) -> str:
        return Unauthorized.challenge


class HasScope(BasePermission):
    """Lets a token in that has the scope which the view asks for.

    Safe methods need `read`, others `write`. A view whose POST only reads says `required_scope = "read"`; one with
    several methods may give a mapping, `{"POST": "read"}`, and what it leaves out keeps the default.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        """True, or raises TokenMissing or ScopeMissing."""
        token = request.auth
        if not isinstance(token, ApiToken):
            raise TokenMissing
        scope = scope_required(view, request.method or "GET")
        if scope not in token.scopes:
            raise ScopeMissing(f"This needs a token with the scope `{scope}`.", required_scope=scope)
        return True


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # drf-spectacular registers it untyped
    """How the OpenAPI document describes the token."""

    target_class = TokenAuthentication
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "A token as `manage.py create_token` prints it."}
