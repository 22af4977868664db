"""`bench growth`: how search, ingest, planning and storage grow with a tenant.

The exponent of a figure is that of the power of the size it grows by: 0 does not grow, 1 grows as the tenant does.
Baseline of each figure: the same one of the smallest tenant, in the same run.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

import orjson
from django.db import connections

from atlasco.lib.clock import now
from entities.bench.data import lines
from entities.bench.fill import EPOCH, fleet_filled, tables_settle
from entities.bench.ingest import ndjson
from entities.bench.population import body
from entities.bench.report import Report, median, percentile
from entities.ingest.importer import import_run
from entities.search.query import Query, query_parse
from entities.search.run import search_run
from entities.search.sql import match_sql
from entities.search.statistics import statistics_forget
from tenants.binding import tenant_bind
from tenants.models import Tenant

# Of the size that was asked for.
SIZES: Final = (0.02, 0.2, 1.0)
_INGESTED: Final = 5_000
_INGESTS: Final = 3
_PLANNED: Final = 20


@dataclass(frozen=True, slots=True)
class _Grown:
    """One size's figures. Times in ms, storage in bytes."""

    entities: int
    search_p50: float
    search_p99: float
    ingest: float
    planning: float
    storage: float


def growth_bench(
    *, entities: int, queries: int, seed: int, statistics: Callable[[Tenant], None], progress: Callable[[int], None]
) -> Report:
    """Measure three sizes up to `entities`. statistics: recomputes a tenant's attribute statistics."""
    report = Report("growth", {"queries": queries, "seed": seed})
    tenants = {
        size: fleet_filled(entities=size, progress=progress) for size in (int(entities * share) for share in SIZES)
    }
    tables_settle()
    grown = [
        _measure(tenant, size=size, queries=queries, seed=seed, statistics=statistics)
        for size, tenant in tenants.items()
    ]
    report.facts["entities"] = [one.entities for one in grown]
    for name, unit, values in (
        ("search, p50", "ms", [one.search_p50 for one in grown]),
        ("search, p99", "ms", [one.search_p99 for one in grown]),
        (f"import of {_INGESTED:,} new entities", "ms", [one.ingest for one in grown]),
        ("planning of a search", "ms", [one.planning for one in grown]),
        ("storage", "B", [one.storage for one in grown]),
    ):
        first = report.add(f"{name}, {grown[0].entities:,} entities", values[0], unit)
        for one, value in zip(grown[1:], values[1:], strict=True):
            report.add(f"{name}, {one.entities:,} entities", value, unit, baseline=first)
        report.add(f"{name}, growth exponent", exponent([one.entities for one in grown], values), "")
    return report


def exponent(sizes: Sequence[int], values: Sequence[float]) -> float:
    """The slope of the line through the logarithms: values ~ sizes ** exponent. Needs two sizes and values above 0."""
    xs, ys = [math.log(size) for size in sizes], [math.log(value) for value in values]
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / sum((a - x) ** 2 for a in xs)


def _measure(tenant: Tenant, *, size: int, queries: int, seed: int, statistics: Callable[[Tenant], None]) -> _Grown:
    random = Random(seed)  # noqa: S311  # Reproducible, not secret.
    searches, planning = [], []
    with tenant_bind(tenant):
        storage = _storage(tenant)
        statistics(tenant)
        statistics_forget()
        for number in range(queries):
            query = query_parse(body(random, EPOCH))
            began = time.perf_counter()
            search_run(tenant_id=tenant.pk, query=query, using="default", position="0/0")
            searches.append((time.perf_counter() - began) * 1000)
            if number < _PLANNED:
                planning.append(_planning_ms(tenant, query))
        ingested = []
        for run in range(_INGESTS):
            # The same names each time, so that the tenant is as large at the next run.
            batch = list(lines(count=_INGESTED, seed=seed + run, now=now(), first=run * _INGESTED))
            began = time.perf_counter()
            import_run(tenant_id=tenant.pk, chunks=[ndjson(batch)], mode="merge", now=now(), line_max_bytes=1 << 20)
            ingested.append((time.perf_counter() - began) * 1000)
        _remove(tenant)
    return _Grown(size, median(searches), percentile(searches, 0.99), median(ingested), median(planning), storage)


def _planning_ms(tenant: Tenant, query: Query) -> float:
    matches = match_sql(tenant.pk, query.entity_type, query.where)
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "EXPLAIN (SUMMARY, FORMAT JSON) SELECT e.entity_id FROM entity_documents e"
            f" WHERE {matches.text} ORDER BY e.updated_at DESC, e.entity_id DESC LIMIT 100",
            matches.values,
        )
        found = cursor.fetchone()[0]
    return float((orjson.loads(found) if isinstance(found, str) else found)[0]["Planning Time"])


def _storage(tenant: Tenant) -> float:
    """Bytes of the tenant's rows in both tables; indexes are left out, since tenants share them."""
    total = 0
    with connections["default"].cursor() as cursor:
        for table in ("entities", "entity_attributes", "entity_keys"):
            cursor.execute(f"SELECT sum(pg_column_size(t.*)) FROM {table} t WHERE tenant_id = %s", (tenant.pk,))
            total += int(cursor.fetchone()[0] or 0)
    return float(total)


def _remove(tenant: Tenant) -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "WITH gone AS (DELETE FROM entity_keys WHERE tenant_id = %(t)s AND entity_type = 'sensor'"
            " AND external_id ~ '^sensor-[0-9]+$' RETURNING entity_id),"
            " values_gone AS (DELETE FROM entity_attributes WHERE tenant_id = %(t)s"
            " AND entity_id IN (SELECT entity_id FROM gone))"
            " DELETE FROM entities WHERE tenant_id = %(t)s AND entity_id IN (SELECT entity_id FROM gone)",
            {"t": tenant.pk},
        )
