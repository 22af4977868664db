"""`bench search`: random searches on a large tenant beside many small ones.

Baselines in the same run: PostgreSQL's own choice of plan for the same predicate, and the specification's own SQL on
its own example.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from django.db import OperationalError, connections

from atlasco.lib.clock import now
from entities.bench.data import body, lines
from entities.bench.report import Report, median, percentile
from entities.ingest.batch import batch_write
from entities.search.query import query_parse
from entities.search.run import match_sql, search_run
from entities.search.statistics import statistics_forget
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tenants.selectors import TenantUnknown, tenant_get
from tenants.services import tenant_create

BATCH: Final = 5_000
NEIGHBOURS: Final = 200
NEIGHBOUR_ENTITIES: Final = 500
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


def tenant_filled(*, slug: str, entities: int, seed: int, progress: Callable[[int], None]) -> Tenant:
    """The bench's tenant of that slug with so many entities; made and filled on first use, kept for the next run."""
    try:
        tenant = tenant_get(slug=slug)
    except TenantUnknown:
        tenant = tenant_create(slug=slug, name=f"Benchmark, {entities:,} entities", now=now())
    with tenant_bind(tenant):
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT count(*) FROM entities WHERE tenant_id = %s", (tenant.pk,))
            have = int(cursor.fetchone()[0])
        started = now()
        for first in range(have, entities, BATCH):
            chunk = list(lines(count=min(BATCH, entities - first), seed=seed + first, now=started, first=first))
            batch_write(tenant_id=tenant.pk, lines=chunk, mode="merge", now=started)
            progress(len(chunk))
    return tenant


def search_bench(
    *, entities: int, queries: int, seed: int, statistics: Callable[[Tenant], None], progress: Callable[[int], None]
) -> Report:
    """Measure. statistics: recomputes a tenant's attribute statistics; progress: called with entities written."""
    report = Report("search", {"entities": entities, "queries": queries, "seed": seed})
    for number in range(NEIGHBOURS):
        tenant_filled(slug=f"bench-n{number}", entities=NEIGHBOUR_ENTITIES, seed=seed + number, progress=progress)
    tenant = tenant_filled(slug=f"bench-{entities}", entities=entities, seed=1, progress=progress)
    with tenant_bind(tenant):
        statistics(tenant)
        statistics_forget()
        _measure(report, tenant, queries, random.Random(seed))  # noqa: S311  # Reproducible, not secret.
    return report


def _measure(report: Report, tenant: Tenant, queries: int, rnd: random.Random) -> None:
    chosen: list[float] = []
    own: list[float] = []
    plans: Counter[str] = Counter()
    mismatches = timeouts = 0
    worst: list[tuple[float, str]] = []
    for _ in range(queries):
        raw = body(rnd)
        query = query_parse(raw)
        began = time.perf_counter()
        page = search_run(tenant_id=tenant.pk, query=query, using="default", position="0/0")
        ms = (time.perf_counter() - began) * 1000
        chosen.append(ms)
        steps = ">".join(name for name, _ in page.trace.steps)
        plans[steps] += 1
        worst.append((ms, f"{steps} {raw['where']} {page.plan.costs}"))
        began = time.perf_counter()
        ids = _postgres_ids(tenant.pk, query)
        if ids is None:
            timeouts += 1
            own.append(30_000.0)
            continue
        own.append((time.perf_counter() - began) * 1000)
        mismatches += ids != [row.entity_id for row in page.entities]
    report.facts |= {"plans": dict(plans), "mismatches": mismatches, "baseline_timeouts": timeouts}
    report.facts["slowest"] = [f"{ms:.1f} ms {what}" for ms, what in sorted(worst, reverse=True)[:3]]
    own_p50 = report.add("PostgreSQL's own plan, p50", median(own), "ms")
    own_p99 = report.add("PostgreSQL's own plan, p99", percentile(own, 0.99), "ms")
    report.add("planner, p50", median(chosen), "ms", baseline=own_p50)
    report.add("planner, p99", percentile(chosen, 0.99), "ms", baseline=own_p99)
    specified, ours = [], []
    for _ in range(3):
        began = time.perf_counter()
        with connections["default"].cursor() as cursor:
            cursor.execute(SPECIFICATION_SQL, {"tenant": tenant.pk})
            cursor.fetchall()
        specified.append((time.perf_counter() - began) * 1000)
        began = time.perf_counter()
        query = query_parse(SPECIFICATION_BODY)
        search_run(tenant_id=tenant.pk, query=query, using="default", position="0/0")
        ours.append((time.perf_counter() - began) * 1000)
    baseline = report.add("the specification's SQL, its own example", median(specified), "ms")
    report.add("planner, the same example", median(ours), "ms", baseline=baseline)


def _postgres_ids(tenant_id: int, query: Any) -> list[int] | None:
    """The page by one statement, planned by PostgreSQL alone; None where it took longer than the statement timeout."""
    matches = match_sql(tenant_id, query.entity_type, query.where)
    try:
        with connections["default"].cursor() as cursor:
            cursor.execute(
                f"SELECT e.entity_id, e.attributes::text FROM entity_documents e WHERE {matches.text}"
                " ORDER BY e.updated_at DESC, e.entity_id DESC LIMIT %s",
                (*matches.values, query.limit),
            )
            return [entity_id for entity_id, _ in cursor.fetchall()]
    except OperationalError:
        return None
