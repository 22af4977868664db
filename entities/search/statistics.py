"""What the planner knows of a tenant: statistics of its attributes and a sample of its entities, kept in the process.

Statistics only choose between plans; no answer depends on them.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import orjson
from django.db import connections

from entities.search.sample import Column, Sample
from entities.values import Value

TTL_S: Final = 30.0
_CACHE_MAX: Final = 20_000
# A column of the sample takes up to 300 kB, one of few values a tenth of that.
_COLUMNS_MAX: Final = 500
# A tenant of fewer entities is walked from end to end in less time than a sample of it takes to read.
SAMPLED_FROM: Final = 50_000
# An attribute that so few entities have counts as rare: 2,000 entities of a sample hold ten of it.
RARE: Final = 0.005
# A tenant that has this share of its shared partition has it nearly to itself.
_ALONE: Final = 0.8
# A longer value of an entity of the sample counts as one that equals nothing.
_VALUE_MAX_CHARS: Final = 1_000
_OWN: Final = ("@entity_type", "@external_id", "@created_at", "@updated_at")


@dataclass(frozen=True, slots=True)
class AttributeStatistics:
    """One attribute. present: share of the entities that have it; most_common: shares of its values, not of entities.

    cardinality: estimated number of distinct values; histogram: bounds of equally filled buckets of its numbers;
    numbers: share of its values that are numbers.
    """

    present: float
    cardinality: int | None = None
    most_common: tuple[tuple[Value, float], ...] = ()
    histogram: tuple[float, ...] = ()
    numbers: float = 1.0
    is_indexed: bool = False


@dataclass(frozen=True, slots=True)
class TenantStatistics:
    """entities: about how many the tenant has; attributes: those asked for that are known; sample: None without one.

    is_alone: whether its partitions hold hardly anybody else's.
    """

    entities: int
    attributes: Mapping[str, AttributeStatistics] = field(default_factory=dict)
    sample: Sample | None = None
    is_alone: bool = False


@dataclass(slots=True)
class _Tenant:
    """What is remembered of a tenant. columns: of the sample that was drawn at analyzed_at, as far as asked for."""

    read_at: float
    entities: int
    analyzed_at: datetime | None
    is_alone: bool
    columns: dict[str, Column] = field(default_factory=dict)


_cache: dict[tuple[int, str], tuple[float, AttributeStatistics | None]] = {}
_tenants: dict[int, _Tenant] = {}


def statistics_read(*, tenant_id: int, names: Collection[str], using: str) -> TenantStatistics:
    """Return what is known of these attributes of the bound tenant; asks the database again after TTL_S seconds."""
    fresh_from = time.monotonic() - TTL_S
    tenant = _tenants.get(tenant_id)
    if tenant is None or tenant.read_at < fresh_from:
        tenant = _tenant_load(tenant_id, tenant, using)
    missing = [name for name in names if _cache.get((tenant_id, name), (0.0, None))[0] < fresh_from]
    # Kept locally: another thread may empty the cache at any moment.
    entries = {name: entry[1] for name in names if (entry := _cache.get((tenant_id, name))) is not None}
    if missing:
        entries |= _attributes_load(tenant_id, tenant.entities, missing, using)
    known = {name: entry for name, entry in entries.items() if entry is not None}
    sample = _sample(tenant_id, tenant, known, names, using)
    return TenantStatistics(tenant.entities, known, sample, tenant.is_alone)


def statistics_forget() -> None:
    """Drop what this process remembers. For tests, and after statistics were recomputed by hand."""
    _cache.clear()
    _tenants.clear()


def _tenant_load(tenant_id: int, before: _Tenant | None, using: str) -> _Tenant:
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT s.entities, s.analyzed_at, to_regclass('public.entities_tenant_' || s.tenant_id) IS NOT NULL"
            " OR s.entities > %s * (SELECT c.reltuples FROM pg_class c WHERE c.reltuples > 0"
            " AND c.oid = to_regclass('public.entities_p' || tenant_bucket(s.tenant_id) || '_shared'))"
            " FROM tenant_statistics s WHERE s.tenant_id = %s",
            (_ALONE, tenant_id),
        )
        row = cursor.fetchone()
        if row is None:
            # Never analysed, so it is small or a minute old. The attribute that most entities have says how many.
            cursor.execute(
                "SELECT coalesce(max((SELECT sum(v::bigint) FROM jsonb_each_text(m.value_types) t(k, v))), 0),"
                " NULL, false FROM (SELECT value_types FROM attribute_metadata WHERE tenant_id = %s LIMIT 1000) m",
                (tenant_id,),
            )
            row = cursor.fetchone()
    if len(_tenants) > _CACHE_MAX:
        _tenants.clear()
    entities, analyzed_at, is_alone = int(row[0]), row[1], bool(row[2])
    kept = before.columns if before is not None and before.analyzed_at == analyzed_at else {}
    tenant = _tenants[tenant_id] = _Tenant(time.monotonic(), entities, analyzed_at, is_alone, kept)
    return tenant


def _attributes_load(
    tenant_id: int, entities: int, names: list[str], using: str
) -> dict[str, AttributeStatistics | None]:
    """Read and remember; None for names that nobody ever used."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT attribute_name, value_types, cardinality_estimate, most_common, histogram, is_indexed"
            " FROM attribute_metadata WHERE tenant_id = %s AND attribute_name = ANY(%s::text[])",
            (tenant_id, names),
        )
        rows = cursor.fetchall()
    if len(_cache) > _CACHE_MAX:
        _cache.clear()
    now = time.monotonic()
    loaded: dict[str, AttributeStatistics | None] = dict.fromkeys(names)
    loaded |= {name: _statistics(entities, *known) for name, *known in rows}
    _cache.update(((tenant_id, name), (now, entry)) for name, entry in loaded.items())
    return loaded


def _statistics(
    entities: int, types: str, cardinality: int | None, most_common: str, histogram: Any, is_indexed: bool
) -> AttributeStatistics:
    counts = {kind: count for kind, count in orjson.loads(types).items() if count > 0}
    with_value = sum(counts.values())
    return AttributeStatistics(
        present=min(1.0, with_value / entities) if entities else 0.0,
        cardinality=cardinality,
        most_common=tuple((value, share) for value, share in orjson.loads(most_common)),
        histogram=tuple(histogram or ()),
        numbers=counts.get("number", 0) / with_value if with_value else 0.0,
        is_indexed=is_indexed,
    )


def _is_rare(known: AttributeStatistics | None) -> bool:
    """Whether the sample can hold no more than a few values of the attribute, so that it is no use to read them."""
    return known is None or known.present < RARE


def _sample(
    tenant_id: int, tenant: _Tenant, known: Mapping[str, AttributeStatistics], names: Collection[str], using: str
) -> Sample | None:
    """The tenant's sample with the columns of these attributes; None where it has none or needs none.

    Without those of rare ones: there, an attribute's own statistics say more.
    """
    if tenant.analyzed_at is None or tenant.entities < SAMPLED_FROM:
        return None
    names = [name for name in names if not _is_rare(known.get(name))]
    if not all(name in tenant.columns for name in (*names, *_OWN)):
        wanted = [name for name in names if name not in tenant.columns]
        if sum(len(other.columns) for other in list(_tenants.values())) + len(wanted) > _COLUMNS_MAX:
            for other in list(_tenants.values()):
                other.columns = {}
            wanted = list(names)
        # Replaced, not changed: another thread may be reading it.
        is_first = "@entity_type" not in tenant.columns
        tenant.columns = {**tenant.columns, **_columns_load(tenant_id, wanted, using, with_own=is_first)}
    columns = tenant.columns
    own = columns.get("@entity_type")
    if own is None or own.size == 0:
        return None
    # Columns of two samples, where a new one was drawn this very moment, don't go together.
    found = {name: column for name in (*names, *_OWN) if (column := columns.get(name)) and column.size == own.size}
    return Sample(own.size, found)


def _columns_load(tenant_id: int, names: list[str], using: str, *, with_own: bool) -> dict[str, Column]:
    own = [f"e.{name.removeprefix('@')}" for name in _OWN] if with_own else []
    values = [
        "CASE WHEN pg_column_size(e.attributes -> %s) <= %s THEN (e.attributes -> %s)::text"
        " WHEN e.attributes ? %s THEN '\"\"' END"
        for _ in names
    ]
    arguments = [argument for name in names for argument in (name, _VALUE_MAX_CHARS, name, name)]
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join([*own, *values])}"
            " FROM tenant_statistics t CROSS JOIN LATERAL unnest(t.sample) WITH ORDINALITY s(id, place)"
            " LEFT JOIN entity_documents e ON e.tenant_id = %s AND e.entity_id = s.id"
            " WHERE t.tenant_id = %s ORDER BY s.place",
            (*arguments, tenant_id, tenant_id),
        )
        rows = cursor.fetchall()
    columns = {name: Column.of([row[place] for row in rows]) for place, name in enumerate(_OWN if with_own else ())}
    for place, name in enumerate(names, len(own)):
        columns[name] = Column.of([None if row[place] is None else orjson.loads(row[place]) for row in rows])
    return columns
