"""`bench analytics`: the specification's analytical query, from PostgreSQL as it stands there to the rollup.

The same seven days for all of them, so that the answers can be compared: each row's count exactly, its figures to
twelve digits. The change feed must be running, as in `make up`.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeAlias

import orjson
from django.db import connections

from analytics.clickhouse.changes import position_read
from analytics.clickhouse.client import clickhouse_client
from analytics.rollups.reading import Distribution, DistributionRead, distribution_rollup
from analytics.rollups.refresh import MARKS_MARGIN_S, rollups_refresh
from analytics.rollups.state import states_read
from atlasco.lib.clock import from_us, now, to_us
from atlasco.lib.sql import sql_blocks
from entities.bench.data import document
from entities.bench.report import Report, median
from entities.ingest.batch import batch_write
from entities.ingest.lines import Line
from freshness.tokens import lsn_parse
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tenants.selectors import TenantUnknown, tenant_get
from tenants.services import tenant_create

SQL: Final = sql_blocks(Path(__file__).parent / "queries.sql")
TYPES: Final = ("sensor", "switch", "server", "vehicle", "license")
MIN_COUNT: Final = 1_000
RUNS: Final = 3
ROLLUP_RUNS: Final = 50
# All of a million within the seven days.
_APART: Final = timedelta(seconds=0.5)
_BATCH: Final = 5_000
_DIGITS: Final = 1e-12
_CATCH_UP_S: Final = 1_800

# Entity type, attribute, count, average, median, maximum.
Row: TypeAlias = tuple[str, str, int, float, float, float]


def analytics_bench(*, entities: int, progress: Callable[[int], None]) -> Report:
    """Measure. progress: called with entities written. Raises RuntimeError where the feed does not catch up."""
    report = Report("analytics", {"entities": entities})
    tenant = _tenant_filled(entities, progress)
    with tenant_bind(tenant), closing(clickhouse_client(timeout_s=1_800)) as clickhouse:
        _catch_up(clickhouse)
        done = rollups_refresh(clickhouse, tenant_id=tenant.pk, now=now(), everything=True)
        since = from_us(states_read(clickhouse, tenant_id=tenant.pk)[tenant.pk].recent_us)
        specified, rows = _measured(lambda: _postgres("specified", tenant, since), RUNS)
        best, best_rows = _measured(lambda: _postgres("best", tenant, since), RUNS)
        raw, raw_rows = _measured(lambda: _clickhouse(clickhouse, tenant, since), RUNS)
        rollup, rollup_rows = _measured(lambda: _rollup(tenant), ROLLUP_RUNS)
        report.facts |= {"rows of the answer": len(rows), "values": done.values}
        others = (("PostgreSQL, best", best_rows), ("ClickHouse, raw", raw_rows), ("rollup", rollup_rows))
        report.facts["different answers"] = {name: _differences(rows, other) for name, other in others}
        baseline = report.add("PostgreSQL, as specified", specified, "ms")
        report.add("PostgreSQL, best", best, "ms", baseline=baseline)
        report.add("ClickHouse, raw", raw, "ms", baseline=baseline)
        report.add("rollup", rollup, "ms", baseline=baseline)
        report.add("rollup: everything computed anew", done.spent_s * 1000, "ms")
        # Marks of the last seconds are worked in twice: so that they are of one entity, not of the load before.
        for pause_s in (MARKS_MARGIN_S, 0):
            _touch(tenant)
            _catch_up(clickhouse)
            rollups_refresh(clickhouse, tenant_id=tenant.pk, now=now())
            time.sleep(pause_s)
        _touch(tenant)
        _catch_up(clickhouse)
        again = rollups_refresh(clickhouse, tenant_id=tenant.pk, now=now())
        report.facts["attributes of one changed entity"] = again.attributes
        report.add("rollup: refreshed after one entity changed", again.spent_s * 1000, "ms")
    return report


def _measured(run: Callable[[], list[Row]], times: int) -> tuple[float, list[Row]]:
    """The median of some runs in milliseconds, and the rows of the last one."""
    spent, rows = [], []
    for _ in range(times):
        began = time.perf_counter()
        rows = run()
        spent.append((time.perf_counter() - began) * 1000)
    return median(spent), rows


def _postgres(block: str, tenant: Tenant, since: datetime) -> list[Row]:
    with connections["default"].cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        if block == "best":
            cursor.execute("SET work_mem = '512MB'")
        cursor.execute(SQL[block], {"tenant_id": tenant.pk, "since": since, "min_count": MIN_COUNT})
        rows = [(kind, name, count, *map(float, figures)) for kind, name, count, *figures in cursor.fetchall()]
        cursor.execute("RESET statement_timeout; RESET work_mem")
    return rows


def _clickhouse(client: Any, tenant: Tenant, since: datetime) -> list[Row]:
    parameters = {"tenant": tenant.pk, "since": to_us(since), "min_count": MIN_COUNT}
    return [tuple(row) for row in client.query(SQL["clickhouse"], parameters=parameters).result_rows]


def _rollup(tenant: Tenant) -> list[Row]:
    request = DistributionRead(tenant.pk, min_count=MIN_COUNT + 1, recent=True, largest=True, limit=1_000)
    found = distribution_rollup(request)
    return [] if found is None else [_row(row) for row in found.value.rows]


def _row(row: Distribution) -> Row:
    recent = row.recent
    figures = (recent.average, recent.quantiles["median"], recent.greatest)
    average, middle, greatest = (math.nan if figure is None else figure for figure in figures)
    return row.entity_type, row.attribute, recent.count, average, middle, greatest


def _differences(rows: list[Row], others: list[Row]) -> int:
    """How many rows one answer has that the other has not, or not so."""
    theirs = {row[:2]: row for row in others}
    wrong = len(theirs.keys() - {row[:2] for row in rows})
    for row in rows:
        other = theirs.get(row[:2])
        is_equal = (
            other is not None
            and row[2] == other[2]
            and all(
                math.isclose(figure, found, rel_tol=_DIGITS) for figure, found in zip(row[3:], other[3:], strict=True)
            )
        )
        wrong += not is_equal
    return wrong


def _tenant_filled(entities: int, progress: Callable[[int], None]) -> Tenant:
    """The bench's tenant with so many entities of five types; made and filled on first use, kept for the next run."""
    slug = f"bench-a{entities}"
    try:
        tenant = tenant_get(slug=slug)
    except TenantUnknown:
        tenant = tenant_create(slug=slug, name=f"Benchmark, analytics of {entities:,} entities", now=now())
    with tenant_bind(tenant):
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT count(*) FROM entities WHERE tenant_id = %s", (tenant.pk,))
            have = int(cursor.fetchone()[0])
        started = now()
        for first in range(have, entities, _BATCH):
            rnd = random.Random(first)  # noqa: S311  # Reproducible, not secret.
            numbers = range(first, min(first + _BATCH, entities))
            lines = [_line(rnd, number, started - _APART * (entities - number)) for number in numbers]
            batch_write(tenant_id=tenant.pk, lines=lines, mode="merge", now=started)
            progress(len(lines))
    return tenant


def _line(rnd: random.Random, number: int, at: datetime) -> Line:
    return Line(
        number=number + 1,
        entity_type=TYPES[number % len(TYPES)],
        external_id=f"unit-{number}",
        created_at=None,
        at=at.isoformat(),
        attributes=orjson.dumps(document(rnd, number, at)),
    )


def _touch(tenant: Tenant) -> None:
    at = now()
    line = _line(random.Random(at.timestamp()), 0, at)  # noqa: S311  # As above.
    batch_write(tenant_id=tenant.pk, lines=[line], mode="merge", now=at)


def _catch_up(client: Any) -> None:
    """Wait until ClickHouse has all that was committed."""
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT pg_current_wal_lsn()::text")
        lsn = lsn_parse(cursor.fetchone()[0])
    deadline = time.monotonic() + _CATCH_UP_S
    while True:
        position = position_read(client)
        # By the heartbeat: a position moves only with what the feed gets to see.
        if position is not None and position.heartbeat is not None and position.heartbeat.lsn >= lsn:
            return
        if time.monotonic() > deadline:
            raise RuntimeError("The change feed does not catch up: is it running?")
        time.sleep(0.2)
