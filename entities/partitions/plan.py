"""What is to be done about the tree. Pure: `plan_make` looks at what was read and says it; services do it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

from atlasco.lib.words import size_text
from entities.partitions.tree import Leaf, SharedTenant, dedicated_tenants, month_of, month_start
from tenants.models import Tenant

MONTHS_AHEAD: Final = 3
Kind: TypeAlias = Literal["month", "drop", "promote", "archive"]


@dataclass(frozen=True, slots=True)
class Action:
    """One line of a plan. automatic: `apply` and the worker do it; the others are proposals for people.

    subject: the tenant's slug, or the table's name.
    """

    kind: Kind
    subject: str
    detail: str
    automatic: bool
    tenant_id: int | None = None
    month: str = ""


def plan_make(
    *,
    leaves: Sequence[Leaf],
    shared: Sequence[SharedTenant],
    orphans: Sequence[str],
    tenants: Mapping[int, Tenant],
    promote_entities: int,
    archive_months: int,
    now: datetime,
) -> list[Action]:
    """Every action that the tree asks for, the automatic ones first; an empty list where it is as it should be.

    tenants: by id, every one that is named in the tree. promote_entities: from here on a tenant is proposed for a
    sub-tree of its own. archive_months: months older than this are proposed for the archive; 0 proposes none.
    """
    actions: list[Action] = []
    wanted = months_wanted(now=now)
    for tenant_id in sorted(dedicated_tenants(leaves)):
        tenant = tenants.get(tenant_id)
        if tenant is None or tenant.status == Tenant.Status.DELETING:
            continue
        months = {leaf.month for leaf in leaves if leaf.tenant_id == tenant_id}
        newest = max((month[:6] for month in months if month[:1].isdigit()), default="")
        actions += [
            Action("month", tenant.slug, f"make the month {month[:4]}-{month[4:]}", True, tenant_id, month)
            for month in wanted
            if month > newest
        ]
    actions += [Action("drop", name, "drop the table; its tenant is gone", True) for name in orphans]
    for large in shared:
        tenant = tenants.get(large.tenant_id)
        if tenant is None or large.entities < promote_entities or tenant.status == Tenant.Status.DELETING:
            continue
        detail = f"about {large.entities:,} entities, {size_text(large.bytes)} of {large.leaf}"
        actions.append(Action("promote", tenant.slug, detail, False, large.tenant_id))
    if archive_months:
        oldest_kept = month_of(_months_back(now, archive_months))
        for leaf in leaves:
            tenant = tenants.get(leaf.tenant_id) if leaf.tenant_id is not None else None
            if tenant is not None and leaf.month[:1].isdigit() and leaf.month[:6] < oldest_kept and leaf.entities:
                detail = f"{leaf.month}: about {leaf.entities:,} entities, {size_text(leaf.bytes)}"
                actions.append(Action("archive", tenant.slug, detail, False, leaf.tenant_id, leaf.month))
    return actions


def months_wanted(*, now: datetime) -> list[str]:
    """The present month and those ahead, as YYYYMM."""
    months = [month_of(now)]
    while len(months) <= MONTHS_AHEAD:
        months.append(month_of(month_start(months[-1]) + timedelta(days=32)))
    return months


def _months_back(now: datetime, months: int) -> datetime:
    for _ in range(months):
        now = now.replace(day=1) - timedelta(days=1)
    return now
