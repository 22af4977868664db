"""A tenant's life: created, suspended, renamed, exported, deleted."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import orjson
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.http.request import validate_host

from atlasco.lib.clock import iso
from atlasco.lib.errors import Conflict, FieldError, Invalid
from tenants.audit import audit_record
from tenants.binding import public_bind, tenant_bind
from tenants.directory import directory_forget
from tenants.errors import constraint_problems
from tenants.members.models import ApiToken, SavedSearch, User
from tenants.models import HOST_PATTERN, SLUG_PATTERN, Domain, Tenant
from tenants.roles import platform_require
from tenants.schemas import SQL
from tenants.stores import stores_registered

log = logging.getLogger(__name__)

ERASE_ROUNDS = 3


class TenantExists(Conflict):
    """A tenant of that slug exists."""

    code = "tenant_exists"


class HostTaken(Conflict):
    """Another tenant answers on that host name."""

    code = "host_taken"


class TenantInvalid(Invalid):
    """A tenant can't be called that."""

    code = "tenant_invalid"


class TenantBusy(Conflict):
    """The tenant is being deleted."""

    code = "tenant_deleting"


class TenantNotEmpty(Conflict):
    """Something goes on writing for the tenant. It stays marked: delete it again when that has ended."""

    code = "tenant_not_empty"


class ConfirmationMismatch(Conflict):
    """To delete a tenant, repeat its slug exactly."""

    code = "confirmation_mismatch"


def tenant_create(*, slug: str, name: str = "", domain: str = "", dedicated: bool = False, now: datetime) -> Tenant:
    """Create a usable tenant: its row, its host name, its schema, and where `dedicated` its own partitions.

    One transaction: after an error nothing of it exists. The name defaults to the slug.
    domain: a further host name of its own, which ATLASCO_ALLOWED_HOSTS must let in.
    Raises TenantInvalid, TenantExists, HostTaken.
    """
    platform_require()
    _slug_check(slug)
    with public_bind(), _tenant_problems(), transaction.atomic(using=DEFAULT_DB_ALIAS):
        with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
            cursor.execute(SQL["tenant_id_next"])
            tenant_id = cursor.fetchone()[0]
        tenant = Tenant(
            id=tenant_id,
            schema_name=f"tenant_{tenant_id}",
            slug=slug,
            name=_name_check(name or slug),
            placement=(Tenant.Placement.DEDICATED if dedicated else Tenant.Placement.SHARED).value,
            created_at=now,
            status_changed_at=now,
        )
        # bulk_create: django-tenants' save() asks questions of its own, on whatever connection the router picks.
        Tenant.objects.using(DEFAULT_DB_ALIAS).bulk_create([tenant])
        Domain.objects.using(DEFAULT_DB_ALIAS).bulk_create([Domain(tenant=tenant, domain=tenant_host(slug=slug))])
        if domain:
            _domain_check(domain)
            further = Domain(tenant=tenant, domain=domain, is_primary=False)
            Domain.objects.using(DEFAULT_DB_ALIAS).bulk_create([further])
        tenant.schema_version = str(_call("tenant_schema_create", tenant))
        Tenant.objects.using(DEFAULT_DB_ALIAS).filter(pk=tenant_id).update(schema_version=tenant.schema_version)
        if dedicated:
            _call("tenant_dedicate", tenant)
        audit_record(action="tenant.create", subject=f"tenant:{slug}", after=_audited(tenant))
    _forget_after_commit()
    log.info("Tenant created.", extra={"slug": slug, "placement": tenant.placement})
    return tenant


def tenant_host(*, slug: str) -> str:
    """The host name of a tenant of this slug."""
    return f"{slug}.{settings.BASE_DOMAIN}"


def tenant_suspend(*, tenant: Tenant, now: datetime) -> Tenant:
    """Refuse the tenant's requests from now on; keep its data. Raises TenantBusy."""
    return _status_set(tenant, Tenant.Status.SUSPENDED, now=now)


def tenant_resume(*, tenant: Tenant, now: datetime) -> Tenant:
    """Serve a suspended tenant again. Raises TenantBusy."""
    return _status_set(tenant, Tenant.Status.ACTIVE, now=now)


def tenant_rename(*, tenant: Tenant, slug: str | None = None, name: str | None = None) -> Tenant:
    """Change the slug, the name, or both. The primary host follows the slug, and the old host answers no more.

    Tokens keep working, since they carry the id. Raises TenantInvalid, TenantExists, HostTaken.
    """
    platform_require()
    changes: dict[str, Any] = {}
    if slug is not None:
        _slug_check(slug)
        changes["slug"] = slug
    if name is not None:
        changes["name"] = _name_check(name)
    with public_bind(), _tenant_problems(), transaction.atomic(using=DEFAULT_DB_ALIAS):
        before = _audited(Tenant.objects.using(DEFAULT_DB_ALIAS).select_for_update().get(pk=tenant.pk))
        if changes:
            Tenant.objects.using(DEFAULT_DB_ALIAS).filter(pk=tenant.pk).update(**changes)
            _audit(tenant, "tenant.rename", before=before, after={**before, **changes})
        if slug is not None:
            domains = Domain.objects.using(DEFAULT_DB_ALIAS).filter(tenant=tenant, is_primary=True)
            domains.update(domain=tenant_host(slug=slug))
    _forget_after_commit()
    return _reload(tenant)


def tenant_export(*, tenant: Tenant, now: datetime) -> Iterator[bytes]:
    """Everything of the tenant as NDJSON lines, `{"record": kind, "data": {…}}`; a header line first.

    Passwords, their hashes and token digests are left out: an export is often mailed around.
    Each store is read by itself, so an export of a tenant that is being written to is not one snapshot.
    """
    tenant = _reload(tenant)
    yield _line("tenant", _tenant_data(tenant), exported_at=iso(now))
    for record, rows in _member_data(tenant):
        for row in rows:
            yield _line(record, row)
    for store in stores_registered():
        if store.export is None:
            continue
        # The store's generator must run bound, and whoever takes our lines must not.
        with tenant_bind(tenant):
            rows_left = iter(store.export(tenant))
        while True:
            with tenant_bind(tenant):
                data = next(rows_left, None)
            if data is None:
                break
            yield _line(store.name, data)


def tenant_contents(*, tenant: Tenant) -> dict[str, int]:
    """How many records of this tenant each store holds: what `tenant_delete` would remove."""
    with tenant_bind(tenant):
        counts = {store.name: store.count(tenant) for store in stores_registered()}
        return {**counts, **_schema_counts()}


def tenant_delete(*, tenant: Tenant, confirm: str, now: datetime) -> dict[str, int]:
    """Remove the tenant and everything of it, from every store. Returns how many records each store lost.

    confirm: the tenant's slug, typed again.
    Interrupted, it leaves a tenant that is marked and answers nobody: call it again, and it goes on.
    Raises ConfirmationMismatch; TenantNotEmpty where a store fills up as fast as it is erased.
    """
    platform_require()
    if confirm != tenant.slug:
        raise ConfirmationMismatch(f"To delete this tenant, confirm with its slug, {tenant.slug!r}.")
    # Committed before anything is removed: from here on no request is let in.
    with public_bind():
        rows = Tenant.objects.using(DEFAULT_DB_ALIAS).filter(pk=tenant.pk)
        with transaction.atomic(using=DEFAULT_DB_ALIAS):
            alive = rows.exclude(status=Tenant.Status.DELETING)
            if alive.update(status=Tenant.Status.DELETING, status_changed_at=now):
                audit_record(action="tenant.delete", subject=f"tenant:{tenant.slug}", before=_audited(tenant))
        # Requests that were let in write in transactions which share a lock of the row (`tenant_hold` of `entities`).
        # After the mark none begins; these we wait for, so that the erasers see what they wrote.
        with transaction.atomic(using=DEFAULT_DB_ALIAS):
            rows.select_for_update().first()
    _forget_after_commit()
    report = _stores_erase(tenant)
    with tenant_bind(tenant):
        report.update(_schema_counts())
    with public_bind(), transaction.atomic(using=DEFAULT_DB_ALIAS):
        _call("tenant_schema_drop", tenant)
        report["audit_entries"] = int(_call("audit_erase", tenant))
        report["domains"] = Domain.objects.using(DEFAULT_DB_ALIAS).filter(tenant=tenant).delete()[0]
        Tenant.objects.using(DEFAULT_DB_ALIAS).filter(pk=tenant.pk).delete()
        audit_record(action="tenant.deleted", subject=f"tenant:{tenant.slug}", before=report)
    _forget_after_commit()
    log.info("Tenant deleted.", extra={"slug": tenant.slug, **{f"removed_{key}": n for key, n in report.items()}})
    return report


def _stores_erase(tenant: Tenant) -> dict[str, int]:
    """Erase every store, and again what a request that had already been let in wrote meanwhile."""
    report: dict[str, int] = {}
    stores = stores_registered()
    for _ in range(ERASE_ROUNDS):
        for store in stores:
            with tenant_bind(tenant):
                report[store.name] = report.get(store.name, 0) + store.erase(tenant)
            log.info("Tenant erased from a store.", extra={"store": store.name, "removed": report[store.name]})
        with tenant_bind(tenant):
            stores = tuple(store for store in stores_registered() if store.count(tenant))
        if not stores:
            return report
    left = ", ".join(store.name for store in stores)
    advice = " ".join((TenantNotEmpty.__doc__ or "").split())
    raise TenantNotEmpty(f"After {ERASE_ROUNDS} rounds there is still something in {left}. {advice}")


def _status_set(tenant: Tenant, status: Tenant.Status, *, now: datetime) -> Tenant:
    platform_require()
    with public_bind(), transaction.atomic(using=DEFAULT_DB_ALIAS):
        rows = Tenant.objects.using(DEFAULT_DB_ALIAS).filter(pk=tenant.pk)
        changed = rows.exclude(status__in=[status, Tenant.Status.DELETING]).update(status=status, status_changed_at=now)
        if changed:
            action = "tenant.suspend" if status == Tenant.Status.SUSPENDED else "tenant.resume"
            _audit(tenant, action, before={"status": tenant.status}, after={"status": status.value})
    _forget_after_commit()
    fresh = _reload(tenant)
    if fresh.status == Tenant.Status.DELETING:
        raise TenantBusy
    if changed:
        log.info("Tenant status changed.", extra={"slug": fresh.slug, "status": status.value})
    return fresh


def _audited(tenant: Tenant) -> dict[str, Any]:
    return {"slug": tenant.slug, "name": tenant.name, "placement": tenant.placement}


def _audit(tenant: Tenant, action: str, **change: Any) -> None:
    """In the platform's log, and in the tenant's own: its people shall see what was done to it."""
    for binding in (public_bind(), tenant_bind(tenant)):
        with binding:
            audit_record(action=action, subject=f"tenant:{tenant.slug}", **change)


def _forget_after_commit() -> None:
    transaction.on_commit(directory_forget, using=DEFAULT_DB_ALIAS)


def _reload(tenant: Tenant) -> Tenant:
    with public_bind():
        fresh: Tenant = Tenant.objects.using(DEFAULT_DB_ALIAS).get(pk=tenant.pk)
    return fresh


def _tenant_problems() -> Any:
    return constraint_problems({"tenant_slug_unique": TenantExists, "tenants_domain_domain_key": HostTaken})


def _slug_check(slug: str) -> None:
    if not re.match(SLUG_PATTERN, slug):
        detail = "A slug has 1 to 40 lower-case letters, digits and hyphens, with no hyphen at either end."
        raise TenantInvalid(errors=[FieldError("slug", "bad_slug", detail)], detail=detail)
    if tenant_host(slug=slug) in settings.PUBLIC_HOSTS:
        detail = f"{tenant_host(slug=slug)} is a host of the platform itself."
        raise TenantInvalid(errors=[FieldError("slug", "reserved", detail)], detail=detail)


def _domain_check(domain: str) -> None:
    detail = ""
    if domain in settings.PUBLIC_HOSTS or domain.endswith(f".{settings.BASE_DOMAIN}"):
        detail = f"{domain} is a host of the platform itself."
    elif not re.match(HOST_PATTERN, domain):
        detail = "A host name, like assets.acme.example, in lower case."
    elif not validate_host(domain, settings.ALLOWED_HOSTS):
        detail = f"Requests to {domain} would be refused: add it to ATLASCO_ALLOWED_HOSTS first."
    if detail:
        raise TenantInvalid(errors=[FieldError("domain", "bad_domain", detail)], detail=detail)


def _name_check(name: str) -> str:
    name = name.strip()
    if not name or len(name) > 200 or "\x00" in name:
        detail = "A name has 1 to 200 characters."
        raise TenantInvalid(errors=[FieldError("name", "bad_name", detail)], detail=detail)
    return name


def _call(block: str, tenant: Tenant) -> Any:
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(SQL[block], {"tenant_id": tenant.pk})
        row = cursor.fetchone()
    return row[0] if row else None


def _schema_counts() -> dict[str, int]:
    """What the bound tenant's schema holds."""
    return {
        "members": User.objects.using(DEFAULT_DB_ALIAS).count(),
        "tokens": ApiToken.objects.using(DEFAULT_DB_ALIAS).count(),
        "saved_searches": SavedSearch.objects.using(DEFAULT_DB_ALIAS).count(),
    }


def _line(record: str, data: Mapping[str, Any], **header: Any) -> bytes:
    return orjson.dumps({"record": record, **header, "data": data}, option=orjson.OPT_APPEND_NEWLINE, default=str)


def _tenant_data(tenant: Tenant) -> dict[str, Any]:
    with public_bind():
        domains = Domain.objects.using(DEFAULT_DB_ALIAS).filter(tenant=tenant).values_list("domain", flat=True)
        return {
            "tenant_id": tenant.pk,
            "slug": tenant.slug,
            "name": tenant.name,
            "status": tenant.status,
            "placement": tenant.placement,
            "created_at": iso(tenant.created_at),
            "domains": list(domains),
        }


def _member_data(tenant: Tenant) -> list[tuple[str, list[dict[str, Any]]]]:
    """Members, tokens and saved searches. Small by design, so read at once."""
    user_fields = ("username", "email", "first_name", "last_name", "is_active", "is_staff", "is_superuser",
                   "date_joined", "last_login")  # fmt: skip
    token_fields = ("name", "prefix", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at")
    with tenant_bind(tenant):
        users = list(User.objects.using(DEFAULT_DB_ALIAS).order_by("id").values(*user_fields))
        tokens = list(ApiToken.objects.using(DEFAULT_DB_ALIAS).order_by("id").values(*token_fields))
        searches = list(
            SavedSearch.objects.using(DEFAULT_DB_ALIAS)
            .order_by("id")
            .values(
                "name",
                "query",
                "columns",
                "owner__username",
                "owner_name",
                "is_shared",
                "is_default",
                "created_at",
                "updated_at",
            )
        )
    return [("member", users), ("token", tokens), ("saved_search", searches)]
