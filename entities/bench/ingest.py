"""`bench ingest`: imports of new and of known entities, against raw COPY of the same rows into a bare, logged table."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import orjson
from django.db import connections

from atlasco.lib.clock import now
from entities.bench.data import ATTRIBUTES, lines
from entities.bench.report import Figure, Report, median
from entities.ingest.importer import import_run
from entities.ingest.lines import Line
from tenants.binding import tenant_bind
from tenants.database.owner import owner_connection
from tenants.models import Tenant
from tenants.services import TenantNotEmpty, tenant_create, tenant_delete

RUNS: Final = 3
EXISTING_SHARE: Final = 0.8
RawCopy = Callable[[list[Line]], float]


def ndjson(batch: list[Line]) -> bytes:
    """The lines as an import file holds them."""
    return b"".join(
        orjson.dumps(
            {
                "entity_type": line.entity_type,
                "external_id": line.external_id,
                "at": line.at,
                "attributes": orjson.Fragment(line.attributes),
            }
        )
        + b"\n"
        for line in batch
    )


def ingest_bench(*, entities: int, seed: int, minutes: float = 0) -> Report:
    """Measure attribute rows a second: raw COPY, an import of new entities, an import of which 80 % exist.

    minutes: keep on importing for so long afterwards, and compare the last third with the first. Each is taken as its
    ratio to raw COPY beside it, so that what else the machine does falls out.
    """
    report = Report("ingest", {"entities": entities, "attributes each": ATTRIBUTES, "seed": seed, "runs": RUNS})
    report.facts["beside the primary"] = _followers()
    with _bench_tenant() as tenant, _raw_copy() as copy_raw:
        raw, new, upsert = [], [], []
        rows = entities * ATTRIBUTES
        for run in range(RUNS):
            first = run * entities
            fresh = list(lines(count=entities, seed=seed + run, now=now(), first=first))
            raw.append(rows / copy_raw(fresh))
            new.append(rows / _import(tenant, ndjson(fresh)))
            shift = first + int(entities * (1 - EXISTING_SHARE))
            # Later than what is there: an update that comes late would change nothing.
            later = now() + timedelta(seconds=entities)
            mixed = list(lines(count=entities, seed=seed + 100 + run, now=later, first=shift))
            upsert.append(rows / _import(tenant, ndjson(mixed)))
        baseline = report.add("raw COPY into a bare table", median(raw), "rows/s")
        report.add("import, new entities", median(new), "rows/s", baseline=baseline)
        _share(report, "import, new entities: raw COPY is faster by", raw, new)
        report.add("import, 80 % existing", median(upsert), "rows/s", baseline=baseline)
        _share(report, "import, 80 % existing: raw COPY is faster by", raw, upsert)
        report.add("import, new entities", median(new) / ATTRIBUTES, "entities/s")
        if minutes:
            _steadily(report, tenant, copy_raw, entities=entities, seed=seed, minutes=minutes)
    return report


def _followers() -> str:
    """What takes in all that is written, and a share of the machine; without any, figures are the primary's alone."""
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FILTER (WHERE slot_type = 'physical'), count(*) FILTER (WHERE slot_type = 'logical')"
            " FROM pg_replication_slots WHERE active"
        )
        replicas, feeds = cursor.fetchone()
    return f"{replicas} replicas, {'the change feed' if feeds else 'no change feed'}"


def _share(report: Report, name: str, raw: list[float], ours: list[float]) -> Figure:
    """The median of the ratios, each taken within one run."""
    return report.add(name, median([one / other for one, other in zip(raw, ours, strict=True)]), "times")


def _steadily(report: Report, tenant: Tenant, copy_raw: RawCopy, *, entities: int, seed: int, minutes: float) -> None:
    ratios: list[float] = []
    rates: list[float] = []
    until = time.monotonic() + minutes * 60
    first, run = RUNS * entities * 2, 0
    while time.monotonic() < until:
        run += 1
        batch = list(lines(count=entities, seed=seed + 1000 + run, now=now(), first=first))
        first += entities
        raw_s, ours_s = copy_raw(batch), _import(tenant, ndjson(batch))
        ratios.append(raw_s / ours_s)
        rates.append(entities * ATTRIBUTES / ours_s)
    third = max(1, len(ratios) // 3)
    report.facts["minutes"] = minutes
    report.facts["entities at the end"] = first
    report.add("steady import", median(rates), "rows/s")
    beginning = report.add("steady import, first third, of raw COPY", median(ratios[:third]), "")
    report.add("steady import, last third, of raw COPY", median(ratios[-third:]), "", baseline=beginning)


@contextmanager
def _bench_tenant() -> Iterator[Tenant]:
    """A tenant for one run, bound; gone afterwards."""
    tenant = tenant_create(slug=f"bench-i{secrets.token_hex(4)}", name="Benchmark, ingest", now=now())
    try:
        yield tenant
    finally:
        tenant_remove(tenant)


def tenant_remove(tenant: Tenant) -> None:
    """Delete it; the change feed may still be writing what the bench wrote, so patiently."""
    for _ in range(30):
        try:
            tenant_delete(tenant=tenant, confirm=tenant.slug, now=now())
        except TenantNotEmpty:
            time.sleep(2)
        else:
            return


def _import(tenant: Tenant, content: bytes) -> float:
    began = time.perf_counter()
    with tenant_bind(tenant):
        summary = import_run(tenant_id=tenant.pk, chunks=[content], mode="merge", now=now(), line_max_bytes=1 << 20)
    if summary.rejected_count:
        raise RuntimeError(f"The benchmark's own lines were rejected: {summary.rejected[0]}")
    return time.perf_counter() - began


@contextmanager
def _raw_copy() -> Iterator[RawCopy]:
    """Seconds to COPY the same values as rows, made beforehand, into a logged table without index, key or partition."""
    table = f"bench_raw_{secrets.token_hex(4)}"
    with owner_connection() as owner, owner.cursor() as cursor:
        cursor.execute(
            f"CREATE TABLE {table} (tenant_id integer, entity_id bigint, attribute_name text, value_type text,"
            " attribute_value text, numeric_value numeric)"
        )

    def copy_raw(batch: list[Line]) -> float:
        payload = _rows(batch)
        with owner_connection() as owner, owner.cursor() as cursor:
            cursor.execute(f"TRUNCATE {table}")
            began = time.perf_counter()
            with cursor.copy(f"COPY {table} FROM STDIN") as copy:
                copy.write(payload)
            return time.perf_counter() - began

    try:
        yield copy_raw
    finally:
        with owner_connection() as owner, owner.cursor() as cursor:
            cursor.execute(f"DROP TABLE {table}")


def _rows(batch: list[Line]) -> bytes:
    rows = []
    for line in batch:
        for name, value in orjson.loads(line.attributes).items():
            number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
            rows.append(f"1\t{line.number}\t{name}\tx\t{value}\t{number if number is not None else chr(92) + 'N'}\n")
    return "".join(rows).encode()
