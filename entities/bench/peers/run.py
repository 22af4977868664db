"""`bench peers`: the same searches by Atlasco and by what a Django project would take otherwise."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Final

from django.conf import settings

from entities.bench.cpu import CpuClock
from entities.bench.fill import fleet_filled, tables_settle
from entities.bench.population import OWNERS, REGIONS, STATUS_WEIGHTS, STATUSES, TYPES
from entities.bench.report import Report, percentile
from entities.search.query import query_parse
from entities.search.run import search_run
from entities.search.statistics import statistics_forget
from tenants.binding import tenant_bind
from tenants.database.owner import owner_url
from tenants.models import Tenant

SEARCHES: Final = 60
_TIMEOUT_S: Final = 1800


def peers_bench(
    *, entities: int, seed: int, statistics: Callable[[Tenant], None], progress: Callable[[int], None]
) -> Report:
    """Measure. Where django-eav2 is not installed, the report says so and holds no figure."""
    report = Report("peers", {"entities": entities, "searches": SEARCHES, "seed": seed})
    if find_spec("eav") is None:
        report.facts["skipped"] = "django-eav2 is a development dependency, and is not installed here."
        return report
    tenant = fleet_filled(entities=entities, progress=progress)
    tables_settle()
    rnd = random.Random(seed)  # noqa: S311  # Reproducible, not secret.
    searches = [_conditions(rnd) for _ in range(SEARCHES)]
    ours: list[float] = []
    ours_cpu: list[float] = []
    found: list[list[int]] = []
    with tenant_bind(tenant):
        statistics(tenant)
        statistics_forget()
        cpu = CpuClock(using="default")
        for conditions in searches:
            query = query_parse({"where": conditions, "limit": 100})
            cpu_began, began = cpu.ms(), time.perf_counter()
            page = search_run(tenant_id=tenant.pk, query=query, using="default", position="0/0", is_counted=False)
            ours.append((time.perf_counter() - began) * 1000)
            ours_cpu.append(cpu.ms() - cpu_began)
            found.append([row.entity_id for row in page.entities])
    theirs = _peers(tenant, searches)
    report.facts["pages that differ"] = sum(
        len({tuple(page), tuple(eav), tuple(document)}) > 1
        for page, eav, document in zip(found, theirs["eav_ids"], theirs["json_ids"], strict=True)
    )
    for share, word in ((0.5, "p50"), (0.95, "p95")):
        baseline = report.add(f"Atlasco, {word}", percentile(ours, share), "ms")
        report.add(f"JSONField with GIN, {word}", percentile(theirs["json"], share), "ms", baseline=baseline)
        report.add(f"django-eav2, {word}", percentile(theirs["eav"], share), "ms", baseline=baseline)
    baseline = report.add("Atlasco, CPU p50", percentile(ours_cpu, 0.5), "ms")
    report.add("JSONField with GIN, CPU p50", percentile(theirs["json_cpu"], 0.5), "ms", baseline=baseline)
    report.add("django-eav2, CPU p50", percentile(theirs["eav_cpu"], 0.5), "ms", baseline=baseline)
    return report


def _conditions(rnd: random.Random) -> list[list[Any]]:
    """Two or three conditions on attributes that every entity has, in operators that all three know."""
    pool: list[list[Any]] = [
        ["status", "eq", rnd.choices(STATUSES, weights=STATUS_WEIGHTS)[0]],
        ["region", "eq", rnd.choice(REGIONS)[0]],
        ["owner", "eq", f"user-{int(OWNERS * rnd.random() ** 3)}"],
        ["model", "eq", f"{rnd.choice(TYPES)[:3]}-{rnd.randint(0, 9)}"],
        ["priority", "gt", rnd.randint(1, 9)],
        ["cost", "gt", rnd.choice([20, 100, 500, 1500])],
    ]
    return rnd.sample(pool, rnd.choice([2, 2, 3]))


def _peers(tenant: Tenant, searches: list[list[list[Any]]]) -> dict[str, Any]:
    job = {"url": owner_url() or settings.DATABASE_URL, "tenant_id": tenant.pk, "searches": searches}
    done = subprocess.run(  # Our own module, and the job on its standard input.
        [sys.executable, "-m", "entities.bench.peers"],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        cwd=settings.BASE_DIR,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"The peers failed: {done.stderr[-2000:]}")
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured
