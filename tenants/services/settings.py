"""What is set for a tenant: how much it may have, by the platform; whether it wants second factors, by its admins."""

from __future__ import annotations

from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS, transaction

from atlasco.lib.errors import FieldError, Invalid
from tenants.audit import audit_record
from tenants.binding import public_bind, tenant_bind
from tenants.directory import directory_forget
from tenants.members.models import Role
from tenants.models import Tenant
from tenants.quotas import usage_forget
from tenants.roles import platform_require, role_require

QUOTAS: Final = ("quota_entities", "quota_values", "quota_attributes", "quota_requests_per_s")
_MOST: Final = {
    "quota_entities": 2**62,
    "quota_values": 2**62,
    "quota_attributes": 2**31 - 1,
    "quota_requests_per_s": 10**6,
}


class QuotaInvalid(Invalid):
    """A quota can't be that."""

    code = "quota_invalid"


def tenant_quotas_set(*, tenant: Tenant, **quotas: int | None) -> Tenant:
    """Set how much the tenant may have, by the names in QUOTAS; None means no limit. Takes effect within 30 seconds.

    A tenant that has more already keeps it, and gets nothing new. Raises QuotaInvalid, RoleMissing.
    """
    platform_require()
    for name, limit in quotas.items():
        least = 1 if name == "quota_requests_per_s" else 0
        if limit is not None and not least <= limit <= _MOST[name]:
            detail = f"A whole number from {least} to {_MOST[name]:,}, or empty for no limit."
            raise QuotaInvalid(errors=[FieldError(name, "out_of_range", detail)])
    return _set(tenant, "tenant.quotas", quotas)


def tenant_mfa_require(*, tenant: Tenant, required: bool) -> Tenant:
    """Want a second factor of each member, or no longer. Raises RoleMissing."""
    role_require(Role.ADMIN)
    return _set(tenant, "tenant.settings", {"mfa_required": required})


def _set(tenant: Tenant, action: str, changes: dict[str, Any]) -> Tenant:
    with transaction.atomic(using=DEFAULT_DB_ALIAS):
        with public_bind():
            rows = Tenant.objects.using(DEFAULT_DB_ALIAS).filter(pk=tenant.pk)
            # Every write of the tenant holds the row's key: FOR UPDATE would wait for all of them.
            fresh: Tenant = rows.select_for_update(no_key=True).get()
            before = {name: getattr(fresh, name) for name in changes}
            rows.update(**changes)
            fresh.refresh_from_db()
        if before != changes:
            bindings = [tenant_bind(tenant), public_bind()] if action == "tenant.quotas" else [tenant_bind(tenant)]
            for binding in bindings:
                with binding:
                    audit_record(action=action, subject=f"tenant:{tenant.slug}", before=before, after=changes)
    transaction.on_commit(directory_forget, using=DEFAULT_DB_ALIAS)
    usage_forget()
    return fresh
