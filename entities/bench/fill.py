"""Tenants of a benchmark, filled fast: COPY into a stage, then one INSERT … SELECT for each table.

Rows, indexes, policies and the registry are those of an import; what is left out is the merging with what is there, so
this is for entities that nobody has written before.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from django.db import connections, transaction

from atlasco.lib.clock import now
from atlasco.lib.sql import sql_blocks
from entities.bench.population import Made, population
from entities.services import attribute_changes_fold
from tenants.binding import tenant_bind
from tenants.database.owner import owner_connection
from tenants.models import Tenant
from tenants.selectors import TenantUnknown, tenant_get
from tenants.services import tenant_create

SQL: Final = sql_blocks(Path(__file__).parent / "fill.sql")
BATCH: Final = 20_000
_COPY_ROWS: Final = 5_000
# Every run sees the same entities; searches are what a seed changes.
EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)


def tenant_filled(*, slug: str, name: str, entities: int, progress: Callable[[int], None]) -> Tenant:
    """The bench's tenant of that slug with so many entities; made and filled on first use, kept for the next run."""
    try:
        tenant = tenant_get(slug=slug)
    except TenantUnknown:
        tenant = tenant_create(slug=slug, name=name, now=now())
    with tenant_bind(tenant):
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT count(*) FROM entities WHERE tenant_id = %s", (tenant.pk,))
            have = int(cursor.fetchone()[0])
        progress(min(have, entities))
        for first in range(have, entities, BATCH):
            count = min(BATCH, entities - first)
            entities_load(tenant_id=tenant.pk, made=list(population(count=count, seed=first, now=EPOCH, first=first)))
            progress(count)
        if have < entities:
            attribute_changes_fold(tenant_id=tenant.pk)
    return tenant


def fleet_filled(*, entities: int, progress: Callable[[int], None]) -> Tenant:
    """The tenant of so many entities that the benches share, since a large one takes long to fill."""
    return tenant_filled(
        slug=f"bench-{entities}", name=f"Benchmark, {entities:,} entities", entities=entities, progress=progress
    )


def tables_settle() -> None:
    """VACUUM (ANALYZE), as autovacuum would have done by tomorrow: lists of the GIN index are merged, pages marked."""
    with owner_connection() as owner, owner.cursor() as cursor:
        for table in ("entities", "entity_attributes", "entity_keys", "attribute_metadata"):
            cursor.execute(f"VACUUM (ANALYZE) {table}")


def entities_load(*, tenant_id: int, made: list[Made]) -> None:
    """Store new entities of the bound tenant, in one transaction."""
    with transaction.atomic(using="default"), connections["default"].cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0; SET LOCAL synchronous_commit = off")
        cursor.execute(SQL["stage_create"])
        for start in range(0, len(made), _COPY_ROWS):
            with cursor.copy("COPY bench_stage FROM STDIN") as copy:
                copy.write(
                    "".join(
                        f"{one.external_id}\t{one.entity_type}\t{one.created_at.isoformat()}\t"
                        f"{one.updated_at.isoformat()}\t{one.document.decode()}\n"
                        for one in made[start : start + _COPY_ROWS]
                    )
                )
        for block in ("stage_number", "keys_load", "entities_load", "values_load", "registry_load"):
            cursor.execute(SQL[block], {"tenant_id": tenant_id})
