"""`bench search`: random searches on a large tenant beside many small ones.

Every answer is held against a reference that knows neither SQL nor plans. Baselines in the same run: PostgreSQL's own
choice of plan for the same predicate, and the specification's own SQL on its own example.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import OperationalError, connections, transaction

from atlasco.lib.clock import now
from entities.bench.cpu import CpuClock
from entities.bench.fill import EPOCH, fleet_filled, tables_settle, tenant_filled
from entities.bench.population import body
from entities.bench.reference import Reference
from entities.bench.report import Report, median, percentile
from entities.indexing.jobs import index_request, index_work
from entities.search.query import Query, names_of, query_parse
from entities.search.run import Page, search_run
from entities.search.sql import match_sql
from entities.search.statistics import statistics_forget
from tenants.binding import tenant_bind
from tenants.models import Tenant

NEIGHBOURS: Final = 200
NEIGHBOUR_ENTITIES: Final = 500
# What people would have indexed, or the autopilot for them: the ranges that they ask for most.
INDEXED: Final = ("cost", "last_seen", "load")
_OWN_TIMEOUT_MS: Final = 30_000
# The specification's own example, its three conditions as written there.
SPECIFICATION_SQL: Final = """
WITH filtered_entities AS (
    SELECT entity_id, COUNT(*) AS match_count
    FROM entity_attributes
    WHERE tenant_id = %(tenant)s
      AND ((attribute_name = 'status' AND attribute_value = 'active')
        OR (attribute_name = 'region' AND attribute_value = 'us-west-2')
        OR (attribute_name = 'priority' AND numeric_value > 5))
    GROUP BY entity_id
    HAVING COUNT(*) >= 2
)
SELECT e.entity_id, e.entity_type, ea.attribute_name, ea.attribute_value
FROM filtered_entities fe
JOIN entities e ON e.entity_id = fe.entity_id
JOIN entity_attributes ea ON ea.entity_id = fe.entity_id AND ea.tenant_id = %(tenant)s
ORDER BY e.updated_at DESC
LIMIT 100
"""
SPECIFICATION_BODY: Final[dict[str, Any]] = {
    "where": {"at_least": 2, "of": [["status", "eq", "active"], ["region", "eq", "us-west-2"], ["priority", "gt", 5]]},
    "limit": 100,
}


@dataclass(slots=True)
class _Measured:
    """What the searches of a run took, and how they ran."""

    ours: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    ours_cpu: list[float] = field(default_factory=list)
    own_cpu: list[float] = field(default_factory=list)
    plans: Counter[str] = field(default_factory=Counter)
    fits: dict[str, list[float]] = field(default_factory=dict)
    slowest: list[tuple[float, str]] = field(default_factory=list)
    mismatches: int = 0
    timeouts: int = 0


def search_bench(
    *,
    entities: int,
    queries: int,
    runs: int,
    seed: int,
    statistics: Callable[[Tenant], None],
    progress: Callable[[int], None],
) -> Report:
    """Measure. statistics: recomputes a tenant's attribute statistics; runs: each with queries of its own."""
    report = Report(
        "search", {"entities": entities, "neighbours": NEIGHBOURS, "queries": queries, "runs": runs, "seed": seed}
    )
    for number in range(NEIGHBOURS):
        tenant_filled(slug=f"bench-n{number}", name="", entities=NEIGHBOUR_ENTITIES, progress=progress)
    tenant = fleet_filled(entities=entities, progress=progress)
    with tenant_bind(tenant):
        index_request(tenant_id=tenant.pk, names=INDEXED, action="build", now=now(), requested_by="bench")
        while index_work(tenant_id=tenant.pk, clock=now, seconds_max=60.0):
            pass
    tables_settle()
    with tenant_bind(tenant):
        statistics(tenant)
        statistics_forget()
        bodies = [_bodies(queries, random.Random(seed + run)) for run in range(runs)]  # noqa: S311  # Reproducible.
        names = {name for run in bodies for raw in run for name in names_of(query_parse(raw).where)}
        reference = Reference(tenant_id=tenant.pk, names=names)
        measured, cpu = [], CpuClock(using="default")
        for run in bodies:
            measured.append(_Measured())
            for raw in run:
                _measure(measured[-1], tenant, raw, reference.page(raw), cpu)
        _report(report, measured)
        _specification(report, tenant)
    return report


def _bodies(queries: int, rnd: random.Random) -> list[dict[str, Any]]:
    return [body(rnd, EPOCH) for _ in range(queries)]


def _measure(measured: _Measured, tenant: Tenant, raw: dict[str, Any], expected: list[int], cpu: CpuClock) -> None:
    query = query_parse(raw)
    cpu_began, began = cpu.ms(), time.perf_counter()
    page = search_run(tenant_id=tenant.pk, query=query, using="default", position="0/0", is_counted=False)
    ms = (time.perf_counter() - began) * 1000
    measured.ours_cpu.append(cpu.ms() - cpu_began)
    steps = ">".join(name for name, _ in page.trace.steps)
    measured.ours.append(ms)
    measured.plans[steps] += 1
    measured.mismatches += [row.entity_id for row in page.entities] != expected
    measured.slowest.append((ms, _described(raw, steps, page)))
    if ">" not in steps:
        # What others use of the machine is no fault of the plan's.
        took = measured.ours_cpu[-1] or ms
        measured.fits.setdefault(steps, []).append(took / max(page.plan.cost_ms, 0.01))
    cpu_began, began = cpu.ms(), time.perf_counter()
    ids = _postgres_ids(tenant.pk, query)
    measured.timeouts += ids is None
    measured.own.append((time.perf_counter() - began) * 1000)
    measured.own_cpu.append(cpu.ms() - cpu_began)
    if ids is not None:
        measured.mismatches += ids != expected


def _described(raw: dict[str, Any], steps: str, page: Page) -> str:
    costs = " ".join(f"{name}={cost}" for name, cost in page.plan.costs.items())
    seen = " ".join(f"{name}:{rows}" for name, rows in page.trace.steps)
    return f"{steps} {raw} expected {page.plan.matches:.0f} matches, {costs} ms; saw {seen}; {len(page.entities)} found"


def _report(report: Report, runs: list[_Measured]) -> None:
    """Percentiles are medians of those of the runs."""
    plans: Counter[str] = sum((run.plans for run in runs), Counter())
    fits: dict[str, list[float]] = {}
    for run in runs:
        for name, ratios in run.fits.items():
            fits.setdefault(name, []).extend(ratios)
    with connections["default"].cursor() as cursor:
        cursor.execute("SHOW shared_buffers")
        report.facts["shared_buffers"] = cursor.fetchone()[0]
    report.facts |= {
        "plans": dict(plans),
        "mismatches": sum(run.mismatches for run in runs),
        "baseline cut off at 30 s": sum(run.timeouts for run in runs),
        "measured / expected ms by plan": {name: round(median(ratios), 2) for name, ratios in fits.items()},
        "slowest": [f"{ms:.1f} ms {what}" for ms, what in sorted(one for run in runs for one in run.slowest)[:-6:-1]],
    }
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        theirs = median([percentile(run.own, share) for run in runs])
        own = report.add(f"PostgreSQL's own plan, {name}", theirs, "ms")
        report.add(f"planner, {name}", median([percentile(run.ours, share) for run in runs]), "ms", baseline=own)
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        theirs = median([percentile(run.own_cpu, share) for run in runs])
        if theirs:
            own = report.add(f"PostgreSQL's own plan, CPU {name}", theirs, "ms")
            ours = median([percentile(run.ours_cpu, share) for run in runs])
            report.add(f"planner, CPU {name}", ours, "ms", baseline=own)


def _specification(report: Report, tenant: Tenant) -> None:
    specified, ours = [], []
    for _ in range(3):
        began = time.perf_counter()
        with transaction.atomic(), connections["default"].cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
            cursor.execute(SPECIFICATION_SQL, {"tenant": tenant.pk})
            cursor.fetchall()
        specified.append((time.perf_counter() - began) * 1000)
        began = time.perf_counter()
        query = query_parse(SPECIFICATION_BODY)
        search_run(tenant_id=tenant.pk, query=query, using="default", position="0/0", is_counted=False)
        ours.append((time.perf_counter() - began) * 1000)
    baseline = report.add("the specification's SQL, its own example", median(specified), "ms")
    report.add("planner, the same example", median(ours), "ms", baseline=baseline)


def _postgres_ids(tenant_id: int, query: Query) -> list[int] | None:
    """The page by one statement, planned by PostgreSQL alone; None where it took longer than the statement timeout."""
    matches = match_sql(tenant_id, query.entity_type, query.where)
    try:
        with transaction.atomic(), connections["default"].cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {_OWN_TIMEOUT_MS}")
            cursor.execute(
                f"SELECT e.entity_id, e.attributes::text FROM entity_documents e WHERE {matches.text}"
                " ORDER BY e.updated_at DESC, e.entity_id DESC LIMIT %s",
                (*matches.values, query.limit),
            )
            return [entity_id for entity_id, _ in cursor.fetchall()]
    except OperationalError:
        return None
