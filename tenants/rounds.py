"""The same work for one tenant after the other, so that one tenant's trouble stays its own."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.db import DEFAULT_DB_ALIAS, connections

from tenants.binding import tenant_bind
from tenants.models import Tenant
from tenants.selectors import tenants_kept

log = logging.getLogger(__name__)


class RoundIncomplete(RuntimeError):
    """The work failed for some tenants; it is done for all others. The log says why, tenant by tenant."""

    def __init__(self, slugs: list[str], *, of: int) -> None:
        super().__init__(f"Failed for {len(slugs)} of {of} tenants: {', '.join(slugs[:20])}.")
        self.slugs = slugs


def tenants_each(work: Callable[[Tenant], int]) -> int:
    """Do the work for each tenant that is not being deleted, with that tenant bound. Returns the sum of what it says.

    Suspended tenants too: their data is kept, and so is its order.
    A tenant whose work fails is logged and passed over. Raises RoundIncomplete at the end where that happened, and at
    once what the database says where it is away: that is no tenant's trouble.
    """
    total = 0
    failed: list[str] = []
    tenants = tenants_kept()
    for tenant in tenants:
        with tenant_bind(tenant):
            try:
                total += work(tenant)
            except Exception:
                log.exception("Periodic work failed for a tenant; the others go on.", extra={"slug": tenant.slug})
                failed.append(tenant.slug)
                _connection_renew()
    if failed:
        raise RoundIncomplete(failed, of=len(tenants))
    return total


def _connection_renew() -> None:
    """Replace a connection that broke, or the next tenant would fail with it. Raises OperationalError."""
    connection = connections[DEFAULT_DB_ALIAS]
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()
        connection.ensure_connection()
