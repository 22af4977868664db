"""`bench ingest`: imports of new and of known entities, against raw COPY of the same rows into a bare table."""

from __future__ import annotations

import secrets
import time
from typing import Final

import orjson
from django.db import connections

from atlasco.lib.clock import now
from entities.bench.data import ATTRIBUTES, lines
from entities.bench.report import Report, median
from entities.ingest.importer import import_run
from entities.ingest.lines import Line
from tenants.binding import tenant_bind
from tenants.services import tenant_create, tenant_delete

RUNS: Final = 3
EXISTING_SHARE: Final = 0.8


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


def ingest_bench(*, entities: int, seed: int) -> Report:
    """Measure attribute rows a second: raw COPY, an import of new entities, an import of which 80 % exist."""
    report = Report("ingest", {"entities": entities, "attributes each": ATTRIBUTES, "seed": seed, "runs": RUNS})
    tenant = tenant_create(slug=f"bench-i{secrets.token_hex(4)}", name="Benchmark, ingest", now=now())
    raw, new, upsert = [], [], []
    rows = entities * ATTRIBUTES
    try:
        with tenant_bind(tenant):
            for run in range(RUNS):
                first = run * entities
                fresh = list(lines(count=entities, seed=seed + run, now=now(), first=first))
                raw.append(rows / _copy_raw(tenant.pk, fresh))
                new.append(rows / _import(tenant.pk, ndjson(fresh)))
                shift = first + int(entities * (1 - EXISTING_SHARE))
                mixed = list(lines(count=entities, seed=seed + 100 + run, now=now(), first=shift))
                upsert.append(rows / _import(tenant.pk, ndjson(mixed)))
    finally:
        tenant_delete(tenant=tenant, confirm=tenant.slug, now=now())
    baseline = report.add("raw COPY into a bare table", median(raw), "rows/s")
    report.add("import, new entities", median(new), "rows/s", baseline=baseline)
    report.add("import, 80 % existing", median(upsert), "rows/s", baseline=baseline)
    report.add("import, new entities", median(new) / ATTRIBUTES, "entities/s")
    return report


def _import(tenant_id: int, content: bytes) -> float:
    began = time.perf_counter()
    summary = import_run(tenant_id=tenant_id, chunks=[content], mode="merge", now=now(), line_max_bytes=1 << 20)
    if summary.rejected_count:
        raise RuntimeError(f"The benchmark's own lines were rejected: {summary.rejected[0]}")
    return time.perf_counter() - began


def _copy_raw(tenant_id: int, batch: list[Line]) -> float:
    """Seconds to COPY the same values as rows, made beforehand, into a table without index, key or partition."""
    rows = []
    for line in batch:
        for name, value in orjson.loads(line.attributes).items():
            number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
            rows.append(
                f"{tenant_id}\t{line.number}\t{name}\tx\t{value}\t{number if number is not None else chr(92) + 'N'}\n"
            )
    payload = "".join(rows).encode()
    with connections["default"].cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS bench_raw")
        cursor.execute(
            "CREATE TEMP TABLE bench_raw (tenant_id integer, entity_id bigint, attribute_name text, value_type text,"
            " attribute_value text, numeric_value numeric)"
        )
        began = time.perf_counter()
        with cursor.copy("COPY bench_raw FROM STDIN") as copy:
            copy.write(payload)
        return time.perf_counter() - began
