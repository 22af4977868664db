"""`bench registry`: a tenant of 10,000 attribute names: listing them, finding them by prefix, searching for each.

The baseline is a search on a tenant that knows five names: what 10,000 cost is what lies above it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, Final

import orjson
from django.db import connections

from atlasco.lib.clock import now
from entities.bench.fill import EPOCH, entities_load, tables_settle
from entities.bench.population import Made
from entities.bench.report import Report, percentile
from entities.search.query import query_parse
from entities.search.run import search_run
from entities.search.statistics import statistics_forget
from entities.selectors import attributes_page
from entities.services import attribute_changes_fold
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tenants.selectors import TenantUnknown, tenant_get
from tenants.services import tenant_create

NAMES: Final = 10_000
NAMES_EACH: Final = 20
PAGE: Final = 100
# Families of names, as people make them: a prefix finds some dozens.
_FAMILIES: Final = ("battery", "cabin", "door", "engine", "fuel", "gear", "hydraulic", "radio", "tank", "wing")


def attribute_name(number: int) -> str:
    return f"{_FAMILIES[number % len(_FAMILIES)]}_{number // 100:03d}_{number % 100:02d}"


def registry_bench(*, entities: int, seed: int, statistics: Callable[[Tenant], None]) -> Report:
    """Measure the registry and one search for each name, each with what the process knows forgotten before."""
    rnd = random.Random(seed)  # noqa: S311  # Reproducible, not secret.
    report = Report("registry", {"names": NAMES, "entities": entities, "names each": NAMES_EACH, "seed": seed})
    few = _tenant(entities=entities, names=5)
    many = _tenant(entities=entities, names=NAMES)
    tables_settle()
    for tenant in (few, many):
        with tenant_bind(tenant):
            statistics(tenant)
    with tenant_bind(few):
        baseline = _searches(few, [attribute_name(number % 5) for number in range(500)])
    names = [attribute_name(number) for number in range(NAMES)]
    rnd.shuffle(names)
    with tenant_bind(many):
        listing = _listed(many, "", pages_max=NAMES)
        prefixes = [
            ms for name in names[:200] for ms in _listed(many, name[: rnd.randint(1, len(name) - 1)], pages_max=1)
        ]
        searches = _searches(many, names)
    for share, word in ((0.5, "p50"), (0.95, "p95")):
        base = report.add(f"a search on a tenant of five names, {word}", percentile(baseline, share), "ms")
        report.add(f"one search for each of {NAMES:,} names, {word}", percentile(searches, share), "ms", baseline=base)
        report.add(f"a page of {PAGE} of all names, {word}", percentile(listing, share), "ms", baseline=base)
        report.add(f"a page of names by prefix, {word}", percentile(prefixes, share), "ms", baseline=base)
    return report


def _tenant(*, entities: int, names: int) -> Tenant:
    """The bench's tenant of so many names; made on first use, kept for the next run."""
    slug = f"bench-r{names}-{entities}"
    try:
        tenant = tenant_get(slug=slug)
    except TenantUnknown:
        tenant = tenant_create(slug=slug, name=f"Benchmark, {names:,} names", now=now())
    with tenant_bind(tenant):
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT EXISTS (SELECT FROM entities WHERE tenant_id = %s)", (tenant.pk,))
            if cursor.fetchone()[0]:
                return tenant
        entities_load(tenant_id=tenant.pk, made=list(_made(entities, names)))
        attribute_changes_fold(tenant_id=tenant.pk)
    return tenant


def _made(entities: int, names: int) -> Any:
    rnd = random.Random(names)  # noqa: S311  # Reproducible, not secret.
    for number in range(entities):
        chosen = {attribute_name((number * NAMES_EACH + place) % names) for place in range(min(NAMES_EACH, names))}
        document = {name: rnd.randint(0, 99) for name in sorted(chosen)}
        yield Made(f"unit-{number}", "sensor", EPOCH, EPOCH, orjson.dumps(document))


def _listed(tenant: Tenant, prefix: str, *, pages_max: int) -> list[float]:
    """Milliseconds of each page, from the first on."""
    times, cursor = [], None
    while True:
        began = time.perf_counter()
        page = attributes_page(tenant_id=tenant.pk, prefix=prefix, limit=PAGE, cursor=cursor, using="default")
        times.append((time.perf_counter() - began) * 1000)
        cursor = page.next_cursor
        if cursor is None or len(times) == pages_max:
            return times


def _searches(tenant: Tenant, names: list[str]) -> list[float]:
    times = []
    for name in names:
        statistics_forget()  # As the first search of a process, which knows no name yet.
        query = query_parse({"where": [[name, "ge", 0]], "limit": 10})
        began = time.perf_counter()
        search_run(tenant_id=tenant.pk, query=query, using="default", position="0/0", is_counted=False)
        times.append((time.perf_counter() - began) * 1000)
    return times
