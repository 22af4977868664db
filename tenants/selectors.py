"""Reading tenants and what is theirs."""

from __future__ import annotations

from datetime import datetime

from django.db import DEFAULT_DB_ALIAS
from django.db.models import QuerySet

from atlasco.lib.errors import NotFound
from tenants.binding import public_bind, tenant_bind
from tenants.directory import read_anywhere
from tenants.errors import Unauthorized
from tenants.members.models import ApiToken
from tenants.models import Domain, Tenant
from tenants.tokens import TokenText


class TenantUnknown(NotFound):
    """There is no tenant of that name."""

    code = "tenant_unknown"


class TokenUnusable(Unauthorized):
    """The token is unknown, expired or revoked."""

    code = "invalid_token"
    challenge = 'Bearer realm="atlasco", error="invalid_token"'


def tenant_get(*, slug: str) -> Tenant:
    """Return the tenant of this slug, whatever its status. Raises TenantUnknown."""
    with public_bind():
        tenant: Tenant | None = Tenant.objects.using(DEFAULT_DB_ALIAS).filter(slug=slug).first()
    if tenant is None:
        raise TenantUnknown(f"There is no tenant {slug!r}.")
    return tenant


def tenant_list() -> list[Tenant]:
    """Every tenant, whatever its status, by slug."""
    with public_bind():
        return list(Tenant.objects.using(DEFAULT_DB_ALIAS).order_by("slug"))


def tenant_domain(*, tenant: Tenant) -> str:
    """The tenant's primary host name; empty where it has none."""
    with public_bind():
        domains = Domain.objects.using(DEFAULT_DB_ALIAS).filter(tenant=tenant, is_primary=True)
        return str(domains.values_list("domain", flat=True).first() or "")


def token_find(*, tenant: Tenant, token: TokenText, now: datetime) -> ApiToken:
    """Return the stored token that this text is, if it may be used now. Raises TokenUnusable, DirectoryUnavailable.

    Which of unknown, expired and revoked it is, is not told: whoever holds the wrong token learns nothing.
    """
    with tenant_bind(tenant):
        candidates = read_anywhere(lambda alias: list(ApiToken.objects.using(alias).filter(prefix=token.prefix)))
    for candidate in candidates:
        if token.matches(candidate.digest) and candidate.is_usable(now=now):
            return candidate
    raise TokenUnusable


def token_list(*, tenant: Tenant) -> QuerySet[ApiToken]:
    """The tenant's tokens, newest first. Evaluate it while the tenant is bound."""
    return ApiToken.objects.using(DEFAULT_DB_ALIAS).order_by("-created_at", "-id")
