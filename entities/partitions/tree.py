"""The partition tree as it is, with sizes and temperature. Platform-wide: it shows tables, never a tenant's rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, TypeAlias

from django.db import connections

from tenants.models import Tenant

Temperature: TypeAlias = Literal["hot", "warm", "cold"]
# Milliseconds since 2024-01-01 in the upper bits of an id, as `entity_id_at` in SQL.
EPOCH: Final = datetime(2024, 1, 1, tzinfo=UTC)
_ID_SHIFT: Final = 22
_NAME: Final = re.compile(r"(entities|entity_attributes)_(?:p(\d\d)_shared|tenant_(\d+)_(old|future|\d{6}(?:_\d+)?))")
HOT_DAYS: Final = 45
WARM_DAYS: Final = 180


@dataclass(frozen=True, slots=True)
class Leaf:
    """Both tables' leaf of one place in the tree.

    tenant_id: None for a shared one; month: old, future, YYYYMM, or YYYYMM_N for a part of a month.

    last_read: as PostgreSQL's statistics know it; rows are estimates.
    """

    bucket: int
    tenant_id: int | None
    month: str
    bytes: int
    entities: int
    attribute_values: int
    writes: int
    last_read: datetime | None

    @property
    def name(self) -> str:
        return f"p{self.bucket:02}_shared" if self.tenant_id is None else f"tenant_{self.tenant_id}_{self.month}"

    def temperature(self, *, now: datetime) -> Temperature:
        """By the age of what lies in it; a shared leaf holds the new and the old."""
        if self.month in {"", "future"}:
            return "hot"
        if self.month == "old":
            return "cold"
        age = now - month_end(self.month)
        return "hot" if age < timedelta(days=HOT_DAYS) else "warm" if age < timedelta(days=WARM_DAYS) else "cold"


@dataclass(frozen=True, slots=True)
class SharedTenant:
    """A tenant that takes a large part of its shared leaf, by the newest ANALYZE."""

    tenant_id: int
    leaf: str
    entities: int
    bytes: int


def id_at(instant: datetime) -> int:
    """The first entity_id of an instant."""
    return (instant - EPOCH) // timedelta(milliseconds=1) << _ID_SHIFT


def month_start(month: str) -> datetime:
    """YYYYMM → its first instant."""
    return datetime(int(month[:4]), int(month[4:6]), 1, tzinfo=UTC)


def month_end(month: str) -> datetime:
    year, number = int(month[:4]), int(month[4:6])
    return datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)


def month_of(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y%m")


def tree_read() -> list[Leaf]:
    """Every leaf of the tree, by bucket, shared one first, then tenants by month."""
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT name, parent, is_leaf, bytes, rows_estimate, writes, last_read FROM partition_tree()")
        # Once: sizes are asked of the file system, one table and index after the other.
        found = cursor.fetchall()
    branches = {name: parent for name, parent, is_leaf, *_ in found if not is_leaf and "_tenant_" in name}
    parts: dict[tuple[int, int | None, str], dict[str, tuple[int, int, int, datetime | None]]] = {}
    for name, parent, is_leaf, size, rows, writes, last_read in found:
        match = _NAME.fullmatch(name)
        if match is None or not is_leaf:
            continue
        table, bucket, tenant, month = match.groups()
        branch = bucket if bucket is not None else branches.get(parent, "")[-2:]
        if not branch.isdigit():
            continue  # Prepared and not yet attached.
        place = (int(branch), None if tenant is None else int(tenant), month or "")
        parts.setdefault(place, {})[table] = (size, rows, writes, last_read)
    leaves = []
    for (bucket_number, tenant_id, month), tables in parts.items():
        read = [part[3] for part in tables.values() if part[3] is not None]
        leaves.append(
            Leaf(
                bucket=bucket_number,
                tenant_id=tenant_id,
                month=month,
                bytes=sum(part[0] for part in tables.values()),
                entities=tables.get("entities", (0, 0, 0, None))[1],
                attribute_values=tables.get("entity_attributes", (0, 0, 0, None))[1],
                writes=sum(part[2] for part in tables.values()),
                last_read=max(read, default=None),
            )
        )
    return sorted(leaves, key=lambda leaf: (leaf.bucket, leaf.tenant_id or 0, _month_order(leaf.month)))


def _month_order(month: str) -> str:
    return {"old": "0", "future": "9"}.get(month, month)


def shared_tenants() -> list[SharedTenant]:
    """The tenants that stand out in their shared leaves, largest first. Empty before the first ANALYZE."""
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT tenant_id, leaf, entities, bytes FROM partition_tenants()")
        return [SharedTenant(*row) for row in cursor.fetchall()]


def orphans() -> list[str]:
    """Tables of ours that belong to nothing any more."""
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT partition_orphans()")
        return [row[0] for row in cursor.fetchall()]


def dedicated_tenants(leaves: Sequence[Leaf]) -> set[int]:
    """The tenants that have a sub-tree attached."""
    return {leaf.tenant_id for leaf in leaves if leaf.tenant_id is not None}


def tenants_by_id(ids: set[int]) -> dict[int, Tenant]:
    return {tenant.pk: tenant for tenant in Tenant.objects.using("default").filter(pk__in=ids)}
