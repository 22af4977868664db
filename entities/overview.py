"""A tenant's overview: how much there is, and what changed last. Operation "overview", class `dashboard`.

# Note [An overview keeps its age]
The hot cache holds what a replica answered, with the heartbeat of the snapshot that it was read in. So its age is that
of the data, not of the entry, and grows while it lies there: an overview that has become older than the class allows is
passed over like a store that lags, a replica answers, and its answer takes the place. One that does not have what the
asker wrote is passed over as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import orjson
from django.db import connections
from django_redis import get_redis_connection

from atlasco.lib.clock import from_us, to_us
from entities.cache import SOURCE
from entities.search.query import Query
from entities.search.run import EntityRow, search_run
from entities.selectors import Count, Usage, tenant_usage
from freshness.reads import ReadSource, read_through
from freshness.sources import Applied, Found, reader_register
from freshness.state import freshness_state

NEWEST: Final = 8
# Twice as long as the class takes it.
_TTL_S: Final = 10
_HEARTBEAT: Final = "SELECT extract(epoch FROM ts)::float8, (lsn - '0/0'::pg_lsn)::bigint, seq FROM heartbeat"


@dataclass(frozen=True, slots=True)
class OverviewRead:
    tenant_id: int


@dataclass(frozen=True, slots=True)
class Overview:
    """usage: how much there is; newest: at most 8 entities, changed last first, without attributes.

    applied: the heartbeat of the state that both show.
    """

    usage: Usage
    newest: list[EntityRow]
    applied: Applied


def overview_read(*, tenant_id: int) -> Overview:
    """Return the bound tenant's overview, at most five seconds old, with all that the asker wrote.

    Raises what `read_through` raises. Source: the hot cache, else a replica, else the primary.
    """
    return read_through(
        lambda source: _of_database(tenant_id, source),
        operation="overview",
        attributes=(),
        request=OverviewRead(tenant_id),
        at_least=freshness_state().seen,
    )


def overview_register() -> None:
    """Let the hot cache answer. It is registered as a source before."""
    reader_register("overview", SOURCE, _of_cache, fill=_keep)


def _of_database(tenant_id: int, source: ReadSource) -> Overview:
    with connections[source.using].cursor() as cursor:
        cursor.execute(_HEARTBEAT)
        applied = Applied(*(cursor.fetchone() or (None, None, None)))
    newest = search_run(
        tenant_id=tenant_id, query=Query(limit=NEWEST, fields=()), using=source.using, position=source.position
    )
    return Overview(tenant_usage(tenant_id=tenant_id, using=source.using), newest.entities, applied)


def overview_key(tenant_id: int) -> str:
    """Where the cache keeps a tenant's overview."""
    return f"atlasco:overview:{tenant_id}"


def _of_cache(request: OverviewRead) -> Found | None:
    text = get_redis_connection("default").get(overview_key(request.tenant_id))
    if text is None:
        return None
    overview = _unpacked(orjson.loads(text))
    return Found(overview, overview.applied)


def _keep(request: OverviewRead, overview: Overview, lsn: int) -> None:
    get_redis_connection("default").set(overview_key(request.tenant_id), orjson.dumps(_packed(overview)), ex=_TTL_S)


def _packed(overview: Overview) -> list[Any]:
    usage, applied = overview.usage, overview.applied
    counts = [
        None if count is None else (count.number, count.kind)
        for count in (usage.entities, usage.values, usage.attributes)
    ]
    rows = [
        (row.entity_id, row.entity_type, row.external_id, to_us(row.created_at), to_us(row.updated_at), row.version)
        for row in overview.newest
    ]
    return [(applied.beat_at, applied.lsn, applied.seq), counts, rows]


def _unpacked(packed: list[Any]) -> Overview:
    applied, counts, rows = packed
    entities, values, attributes = (None if count is None else Count(*count) for count in counts)
    return Overview(
        Usage(entities or Count(0), values or Count(0), attributes),
        [
            EntityRow(entity_id, entity_type, external_id, from_us(created_us), from_us(updated_us), version, "{}")
            for entity_id, entity_type, external_id, created_us, updated_us, version in rows
        ],
        Applied(*applied),
    )
