"""What the planner knows of a tenant: from `attribute_metadata`, kept in the process for half a minute.

Statistics only choose between plans; no answer depends on them.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from django.db import connections

from entities.values import Value

TTL_S: Final = 30.0
_CACHE_MAX: Final = 20_000


@dataclass(frozen=True, slots=True)
class AttributeStatistics:
    """One attribute. present: share of the entities that have it; most_common: shares of its values, not of entities.

    cardinality: estimated number of distinct values; histogram: bounds of equally filled buckets of its numbers.
    """

    present: float
    cardinality: int | None = None
    most_common: tuple[tuple[Value, float], ...] = ()
    histogram: tuple[float, ...] = ()
    is_indexed: bool = False


@dataclass(frozen=True, slots=True)
class TenantStatistics:
    """entities: about how many the tenant has; attributes: those asked for that are known."""

    entities: int
    attributes: Mapping[str, AttributeStatistics]


_cache: dict[tuple[int, str], tuple[float, AttributeStatistics | None]] = {}
_sizes: dict[int, tuple[float, int]] = {}


def statistics_read(*, tenant_id: int, names: Collection[str], using: str) -> TenantStatistics:
    """Return what is known of these attributes of the bound tenant; asks the database again after TTL_S seconds."""
    fresh_from = time.monotonic() - TTL_S
    size = _sizes.get(tenant_id)
    missing = [name for name in names if _cache.get((tenant_id, name), (0.0, None))[0] < fresh_from]
    # Kept locally: another thread may empty the cache at any moment.
    entries = {name: entry[1] for name in names if (entry := _cache.get((tenant_id, name))) is not None}
    if size is None or size[0] < fresh_from or missing:
        entities, loaded = _load(tenant_id, missing, using)
        entries |= loaded
    else:
        entities = size[1]
    return TenantStatistics(entities, {name: entry for name, entry in entries.items() if entry is not None})


def statistics_forget() -> None:
    """Drop what this process remembers. For tests, and after statistics were recomputed by hand."""
    _cache.clear()
    _sizes.clear()


def _load(tenant_id: int, names: list[str], using: str) -> tuple[int, dict[str, AttributeStatistics | None]]:
    """Read and remember; returns the tenant's size and the entries read, None for names that nobody ever used."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT attribute_name, value_types, cardinality_estimate, most_common, histogram, is_indexed"
            " FROM attribute_metadata WHERE tenant_id = %s AND attribute_name = ANY(%s::text[])",
            (tenant_id, names),
        )
        rows = cursor.fetchall()
        # The attribute that most entities have: about how many entities there are.
        cursor.execute(
            "SELECT coalesce(max((SELECT sum(v::bigint) FROM jsonb_each_text(m.value_types) t(k, v))), 0)"
            " FROM attribute_metadata m WHERE m.tenant_id = %s",
            (tenant_id,),
        )
        entities = int(cursor.fetchone()[0])
    if len(_cache) > _CACHE_MAX:
        statistics_forget()
    now = time.monotonic()
    loaded: dict[str, AttributeStatistics | None] = dict.fromkeys(names)
    loaded |= {name: _statistics(entities, *known) for name, *known in rows}
    _sizes[tenant_id] = (now, entities)
    _cache.update(((tenant_id, name), (now, entry)) for name, entry in loaded.items())
    return entities, loaded


def _statistics(
    entities: int, types: str, cardinality: int | None, most_common: str, histogram: Any, is_indexed: bool
) -> AttributeStatistics:
    with_value = sum(count for count in orjson.loads(types).values() if count > 0)
    return AttributeStatistics(
        present=min(1.0, with_value / entities) if entities else 0.0,
        cardinality=cardinality,
        most_common=tuple((value, share) for value, share in orjson.loads(most_common)),
        histogram=tuple(histogram or ()),
        is_indexed=is_indexed,
    )
