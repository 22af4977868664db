"""How much a tenant has, and the whole platform. `using`: the database alias that answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from django.db import DEFAULT_DB_ALIAS, connections

from atlasco.lib.sql import sql_blocks
from tenants.models import Tenant

PAGES: Final = sql_blocks(Path(__file__).parent.parent / "sql" / "pages.sql")
# Entities are counted up to here; more are estimated. Counting 10,000 takes some milliseconds.
COUNT_BOUND: Final = 10_000


@dataclass(frozen=True, slots=True)
class Count:
    """A number to show. kind: exact; about (an estimate); over (at least so many, perhaps far more)."""

    number: int
    kind: Literal["exact", "about", "over"] = "exact"


@dataclass(frozen=True, slots=True)
class Usage:
    """How much a tenant has, or the whole platform; attributes: None where nobody counts them."""

    entities: Count
    values: Count
    attributes: Count | None


def tenant_usage(*, tenant_id: int, using: str) -> Usage:
    """How much the bound tenant has. Its cost has a bound, whatever the size of the tenant."""
    with connections[using].cursor() as cursor:
        cursor.execute(PAGES["tenant_usage"], {"tenant_id": tenant_id, "bound": COUNT_BOUND + 1})
        counted, floor, values, names = cursor.fetchone()
    if counted <= COUNT_BOUND:
        entities = Count(counted)
    else:
        entities = Count(floor, "about") if floor > COUNT_BOUND else Count(COUNT_BOUND, "over")
    return Usage(entities, Count(values), Count(names))


def tenant_amounts(tenant: Tenant) -> dict[str, int]:
    """How many entities, values and attribute names the bound tenant has; of many entities about how many."""
    usage = tenant_usage(tenant_id=tenant.pk, using=DEFAULT_DB_ALIAS)
    names = usage.attributes.number if usage.attributes is not None else 0
    return {"entities": usage.entities.number, "values": usage.values.number, "attributes": names}


@dataclass(frozen=True, slots=True)
class Storage:
    """What a tenant takes on disk, with indexes. is_exact: it has partitions of its own; else it is its share."""

    bytes: int
    is_exact: bool


def tenant_storage(tenant: Tenant, *, amounts: dict[str, int]) -> Storage:
    """About how many bytes the tenant's entities and values take. amounts: as `tenant_amounts` says."""
    arguments = {"tenant_id": tenant.pk, "entities": amounts["entities"], "values": amounts["values"]}
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(PAGES["tenant_storage"], arguments)
        own, share = cursor.fetchone()
    return Storage(int(own or 0) + int(share or 0), is_exact=bool(own) and not share)


def platform_usage(*, using: str) -> Usage:
    """About how much all tenants have together, by PostgreSQL's own statistics."""
    with connections[using].cursor() as cursor:
        cursor.execute(PAGES["platform_usage"])
        entities, values = cursor.fetchone()
    return Usage(Count(entities, "about"), Count(values, "about"), None)
