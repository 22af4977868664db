"""API tokens: made, revoked, noted when used."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import DEFAULT_DB_ALIAS, Error, transaction
from django.db.models import Q

from atlasco.lib.errors import FieldError, Invalid
from tenants.audit import audit_record
from tenants.binding import tenant_bind
from tenants.directory import primary_rests
from tenants.members.models import ApiToken, Role
from tenants.models import Tenant
from tenants.roles import role_require
from tenants.selectors import TokenUnknown
from tenants.tokens import token_make, token_parse

log = logging.getLogger(__name__)

LAST_USED_STEP = timedelta(minutes=1)


class TokenInvalid(Invalid):
    """A token can't be made like that."""

    code = "token_invalid"


def token_create(
    *,
    tenant: Tenant,
    name: str,
    scopes: Sequence[str] = (ApiToken.Scope.READ, ApiToken.Scope.WRITE),
    expires_at: datetime | None = None,
    now: datetime,
) -> tuple[ApiToken, str]:
    """Create a token; returns its row and its text. The text is nowhere stored: show it once.

    Raises TokenInvalid, RoleMissing.
    """
    role_require(Role.ADMIN)
    wanted = sorted({str(scope) for scope in scopes})
    if not wanted or not set(wanted) <= set(ApiToken.Scope.values):
        detail = "Scopes are `read` and `write`; at least one."
        raise TokenInvalid(errors=[FieldError("scopes", "bad_scopes", detail)], detail=detail)
    if not name.strip() or len(name) > 100 or "\x00" in name:
        detail = "A token's name has 1 to 100 characters."
        raise TokenInvalid(errors=[FieldError("name", "bad_name", detail)], detail=detail)
    if expires_at is not None and expires_at <= now:
        detail = "A token must expire in the future."
        raise TokenInvalid(errors=[FieldError("expires_at", "in_the_past", detail)], detail=detail)
    secret = token_make(tenant_id=tenant.pk)
    parsed = token_parse(secret)
    if parsed is None:
        raise RuntimeError("A token that was just made must be one that can be taken apart.")
    with tenant_bind(tenant), transaction.atomic(using=DEFAULT_DB_ALIAS):
        token = ApiToken.objects.using(DEFAULT_DB_ALIAS).create(
            name=name.strip(),
            prefix=parsed.prefix,
            digest=parsed.digest,
            scopes=wanted,
            created_at=now,
            expires_at=expires_at,
        )
        after = {"prefix": token.prefix, "scopes": wanted, "expires_at": expires_at}
        audit_record(action="token.create", subject=f"token:{token.name}", after=after)
    return token, secret


def token_revoke(*, tenant: Tenant, token_id: int, now: datetime) -> ApiToken:
    """End a token, for good. Revoking it twice keeps the first instant. Raises TokenUnknown, RoleMissing."""
    role_require(Role.ADMIN)
    with tenant_bind(tenant), transaction.atomic(using=DEFAULT_DB_ALIAS):
        tokens = ApiToken.objects.using(DEFAULT_DB_ALIAS).filter(pk=token_id)
        changed = tokens.filter(revoked_at=None).update(revoked_at=now)
        token = tokens.first()
        if token is None:
            raise TokenUnknown
        if changed:
            audit_record(action="token.revoke", subject=f"token:{token.name}", before={"prefix": token.prefix})
    return token


def token_touch(*, tenant: Tenant, token: ApiToken, now: datetime) -> None:
    """Note that the token was used, at most once a minute. Never fails: a read must not depend on this write."""
    used_lately = token.last_used_at is not None and now - token.last_used_at < LAST_USED_STEP
    if used_lately or primary_rests():
        return
    stale = Q(last_used_at=None) | Q(last_used_at__lte=now - LAST_USED_STEP)
    try:
        # A transaction of its own, so that an error does not break the caller's.
        with tenant_bind(tenant), transaction.atomic(using=DEFAULT_DB_ALIAS):
            ApiToken.objects.using(DEFAULT_DB_ALIAS).filter(stale, pk=token.pk).update(last_used_at=now)
    except Error:
        log.warning("The use of a token could not be noted.", exc_info=True)
