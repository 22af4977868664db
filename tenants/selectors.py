"""Reading tenants and what is theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Count, Q, QuerySet

from atlasco.lib.errors import NotFound
from tenants.binding import public_bind, tenant_bind
from tenants.directory import read_anywhere
from tenants.errors import Unauthorized
from tenants.members.models import ApiToken, User
from tenants.models import Domain, Tenant
from tenants.tokens import TokenText


class TenantUnknown(NotFound):
    """There is no tenant of that name."""

    code = "tenant_unknown"


class TokenUnknown(NotFound):
    """The tenant has no such token."""

    code = "token_unknown"


class MemberUnknown(NotFound):
    """The tenant has no such member."""

    code = "member_unknown"


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


def tenant_kept(*, tenant_id: int) -> Tenant | None:
    """The tenant of this id; None where there is none, or it is being deleted."""
    with public_bind():
        tenants = Tenant.objects.using(DEFAULT_DB_ALIAS).filter(pk=tenant_id)
        tenant: Tenant | None = tenants.exclude(status=Tenant.Status.DELETING).first()
        return tenant


def tenants_kept() -> list[Tenant]:
    """Every tenant that is not being deleted, by slug."""
    with public_bind():
        tenants = Tenant.objects.using(DEFAULT_DB_ALIAS).exclude(status=Tenant.Status.DELETING)
        return list(tenants.order_by("slug"))


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
        candidates = read_anywhere(lambda alias: _tokens_of_prefix(alias, token.prefix))
    for candidate in candidates:
        if token.matches(candidate.digest) and candidate.is_usable(now=now):
            return candidate
    raise TokenUnusable


def _tokens_of_prefix(alias: str, prefix: str) -> list[ApiToken]:
    # Written out: every request of the API asks this, and the ORM takes longer to put it together than all else here.
    fields = [field.attname for field in ApiToken._meta.concrete_fields]
    with connections[alias].cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(fields)} FROM {ApiToken._meta.db_table} WHERE prefix = %s", (prefix,))
        return [ApiToken.from_db(alias, fields, row) for row in cursor.fetchall()]


def token_list(*, tenant: Tenant) -> QuerySet[ApiToken]:
    """The tenant's tokens, newest first. Evaluate it while the tenant is bound."""
    return ApiToken.objects.using(DEFAULT_DB_ALIAS).order_by("-created_at", "-id")


# --- For pages --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TenantsPage:
    """Some tenants of a list. number: of this page, from 1; total: tenants in the whole list."""

    tenants: list[Tenant]
    number: int
    pages: int
    total: int


# Each order has an index; ties are settled, so that no tenant stands on two pages.
_ORDERS: Final[dict[str, tuple[str, ...]]] = {
    "": ("slug",),
    "name": ("name", "id"),
    "newest": ("-created_at", "-id"),
    "oldest": ("created_at", "id"),
}


def tenants_page(
    *, search: str = "", status: str = "", placement: str = "", sort: str = "", number: int, size: int
) -> TenantsPage:
    """Return one page of the tenants that match. A number past the end is the last page.

    search: a part of slug or name, whatever its case; status, placement: empty for any; sort: empty for by slug, or
    `name`, `newest`, `oldest`.
    """
    wanted = Q()
    if search:
        wanted &= Q(slug__icontains=search) | Q(name__icontains=search)
    if status:
        wanted &= Q(status=status)
    if placement:
        wanted &= Q(placement=placement)
    with public_bind():
        tenants = Tenant.objects.using(DEFAULT_DB_ALIAS).filter(wanted)
        total = tenants.count()
        pages = max(1, -(-total // size))
        number = min(number, pages)
        start = (number - 1) * size
        return TenantsPage(list(tenants.order_by(*_ORDERS[sort])[start : start + size]), number, pages, total)


def tenants_newest(*, limit: int) -> list[Tenant]:
    """The tenants that were created last, newest first."""
    with public_bind():
        return list(Tenant.objects.using(DEFAULT_DB_ALIAS).order_by("-created_at", "-id")[:limit])


def tenants_named(*, slugs: Sequence[str]) -> list[Tenant]:
    """The tenants of these slugs, by slug. A slug that nobody has is left out."""
    with public_bind():
        wanted = [slug for slug in slugs if "\x00" not in slug]
        return list(Tenant.objects.using(DEFAULT_DB_ALIAS).filter(slug__in=wanted).order_by("slug"))


def tenants_by_status() -> dict[str, int]:
    """How many tenants have each status; a status that none has is 0."""
    with public_bind():
        rows = Tenant.objects.using(DEFAULT_DB_ALIAS).values_list("status").order_by("status").annotate(n=Count("id"))
        return {**dict.fromkeys(Tenant.Status.values, 0), **dict(rows)}


def tokens_read(*, tenant: Tenant, limit: int) -> list[ApiToken]:
    """The tenant's tokens, newest first, ended ones too."""
    with tenant_bind(tenant):
        return list(token_list(tenant=tenant)[:limit])


def tokens_usable(*, tenant: Tenant, limit: int, now: datetime) -> list[ApiToken]:
    """The tenant's tokens that may be used now, newest first; ended ones take no place among them."""
    with tenant_bind(tenant):
        return list(token_list(tenant=tenant).filter(ApiToken.usable_at(now))[:limit])


def tokens_usable_count(*, tenant: Tenant, now: datetime) -> int:
    """How many of the tenant's tokens may be used now."""
    with tenant_bind(tenant):
        return token_list(tenant=tenant).filter(ApiToken.usable_at(now)).count()


def token_get(*, tenant: Tenant, token_id: int) -> ApiToken:
    """Return one of the tenant's tokens. Raises TokenUnknown."""
    with tenant_bind(tenant):
        token = ApiToken.objects.using(DEFAULT_DB_ALIAS).filter(pk=token_id).first()
    if token is None:
        raise TokenUnknown
    return token


def members_read(*, tenant: Tenant, limit: int) -> list[User]:
    """The tenant's members, by user name."""
    with tenant_bind(tenant):
        return list(User.objects.using(DEFAULT_DB_ALIAS).order_by("username")[:limit])


def member_get(*, tenant: Tenant, member_id: int) -> User:
    """Return one of the tenant's members. Raises MemberUnknown."""
    with tenant_bind(tenant):
        user = User.objects.using(DEFAULT_DB_ALIAS).filter(pk=member_id).first()
    if user is None:
        raise MemberUnknown
    return user


def member_has_factor(*, tenant: Tenant, member: User) -> bool:
    """Whether a log-in of this member asks for a second factor."""
    from allauth.mfa.models import Authenticator  # Late: this module is read before the apps are ready.

    with tenant_bind(tenant):
        factors = Authenticator.objects.using(DEFAULT_DB_ALIAS).filter(user=member, type=Authenticator.Type.TOTP)
        return bool(factors.exists())


def members_count(*, tenant: Tenant) -> int:
    """How many members the tenant has."""
    with tenant_bind(tenant):
        return User.objects.using(DEFAULT_DB_ALIAS).count()
