"""`bench layout`: how values lie in ClickHouse, measured: rows by attribute against documents as maps in buckets.

The same entities in three tables: `attribute_values` as it is; documents as maps, a map in each of eight buckets of
names; documents as one map. The same questions to each, and to the first also with argMax over the versions for FINAL.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings

from analytics.clickhouse.client import clickhouse_client
from analytics.clickhouse.migrate import migrations_apply
from entities.bench.report import Figure, Report

_DATABASE: Final = "bench_layout"
_RUNS: Final = 5
_TENANT: Final = 1
_BUCKETS: Final = 8
_VALUE: Final = "Tuple(Int8, String, Float64, Float64, Int64)"


def layout_bench(*, entities: int, attributes: int = 20) -> Report:
    """Time questions on the layouts. Half of the attributes are numbers, half are texts; an eighth came again later."""
    report = Report("layout", {"entities": entities, "attributes each": attributes, "runs": _RUNS})
    clickhouse_client().command(f"DROP DATABASE IF EXISTS {_DATABASE}")
    clickhouse_client().command(f"CREATE DATABASE {_DATABASE} ENGINE = Atomic")
    try:
        url = urlunsplit(urlsplit(settings.CLICKHOUSE_URL)._replace(path=f"/{_DATABASE}"))
        client = clickhouse_client(url, timeout_s=600)
        migrations_apply(client)
        for table, buckets in (("bucketed", _BUCKETS), ("one_map", 1)):
            maps = ", ".join(f"m{n} Map(LowCardinality(String), {_VALUE})" for n in range(buckets))
            client.command(
                f"CREATE TABLE {table} (tenant_id UInt32, entity_id Int64, entity_type LowCardinality(String),"
                f" updated_us Int64, lsn UInt64, is_deleted UInt8, {maps}) ENGINE = ReplacingMergeTree(lsn, is_deleted)"
                " ORDER BY (tenant_id, entity_id)"
            )
        _fill(client, 0, entities, attributes, lsn=1)
        for part in range(4):
            first = part * entities // 4
            _fill(client, first, first + entities // 32, attributes, lsn=2 + part)
        _sizes(report, client)
        _questions(report, client, attributes)
    finally:
        clickhouse_client().command(f"DROP DATABASE IF EXISTS {_DATABASE}")
    return report


def _fill(client: Any, first: int, end: int, attributes: int, *, lsn: int) -> None:
    numbers = f"(SELECT {first} + number AS n FROM numbers({end - first}))"
    half = attributes // 2
    client.command(
        "INSERT INTO attribute_values"
        " (tenant_id, attribute_name, entity_id, value_type, value, number, updated_us, lsn)"
        f" SELECT {_TENANT}, concat('a', toString(k)), n, if(k < {half}, 'number', 'string'),"
        f" if(k < {half}, toString((n * 7919 + k) % 1000), concat('v', toString((n * 31 + k) % (10 + k)))),"
        f" if(k < {half}, (n * 7919 + k) % 1000, 0), 1000000 + n, {lsn}"
        f" FROM {numbers} ARRAY JOIN range({attributes}) AS k"
    )
    client.command(
        "INSERT INTO attribute_values (tenant_id, entity_id, value_type, value, updated_us, lsn, entity_type)"
        f" SELECT {_TENANT}, n, 'entity', toString(n), 1000000 + n, {lsn}, concat('t', toString(n % 5)) FROM {numbers}"
    )
    for table, buckets in (("bucketed", _BUCKETS), ("one_map", 1)):
        maps = []
        for bucket in range(buckets):
            members = ", ".join(
                f"'a{k}', (2, toString((n * 7919 + {k}) % 1000), toFloat64((n * 7919 + {k}) % 1000), 0., 0)"
                if k < half
                else f"'a{k}', (1, concat('v', toString((n * 31 + {k}) % {10 + k})), 0., 0., 0)"
                for k in range(attributes)
                if k % buckets == bucket
            )
            maps.append(f"map({members})")
        client.command(
            f"INSERT INTO {table} SELECT {_TENANT}, n, concat('t', toString(n % 5)), 1000000 + n, {lsn}, 0,"
            f" {', '.join(maps)} FROM {numbers}"
        )


def _sizes(report: Report, client: Any) -> None:
    baseline: Figure | None = None
    for table in ("attribute_values", "bucketed", "one_map"):
        (size,) = client.query(
            "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = {database:String}"
            " AND table = {table:String}",
            parameters={"database": _DATABASE, "table": table},
        ).result_rows[0]
        figure = report.add(f"{table}, on disk", size / 1e6, "MB", baseline=baseline)
        baseline = baseline or figure


def _questions(report: Report, client: Any, attributes: int) -> None:
    number, text = 0, attributes - 1
    values = f"FROM attribute_values FINAL WHERE tenant_id = {_TENANT} AND attribute_name"

    def one(name: Callable[[int], str]) -> str:
        return f"{name(number)}.3 > 500"

    def three(name: Callable[[int], str]) -> str:
        return f"{one(name)} AND {name(text)}.2 = 'v3' AND NOT {name(1)}.3 < 100"

    rows_three = (
        f"SELECT count() {values} = '' AND entity_id IN (SELECT entity_id {values} = 'a{number}' AND number > 500)"
        f" AND entity_id IN (SELECT entity_id {values} = 'a{text}' AND value = 'v3')"
        f" AND NOT entity_id IN (SELECT entity_id {values} = 'a1' AND number < 100)"
    )
    questions = {
        "one condition": (f"SELECT count() {values} = 'a{number}' AND number > 500", one),
        "three conditions": (rows_three, three),
    }
    for title, (rows, condition) in questions.items():
        baseline = report.add(f"{title}: rows by attribute", _milliseconds(client, rows), "ms")
        for table, buckets in (("bucketed", _BUCKETS), ("one_map", 1)):
            where = condition(partial(_in_map, buckets))
            spent = _milliseconds(client, f"SELECT count() FROM {table} FINAL WHERE tenant_id = {_TENANT} AND {where}")
            report.add(f"{title}: {table}", spent, "ms", baseline=baseline)
    latest = (
        "SELECT countIf(x.1 > 500 AND x.2 = 0) FROM (SELECT entity_id, argMax((number, is_deleted), lsn) AS x"
        f" FROM attribute_values WHERE tenant_id = {_TENANT} AND attribute_name = 'a{number}' GROUP BY entity_id)"
    )
    final = next(figure for figure in report.figures if figure.name == "one condition: rows by attribute")
    report.add("one condition: argMax for FINAL", _milliseconds(client, latest), "ms", baseline=final)


def _in_map(buckets: int, number: int) -> str:
    return f"m{number % buckets}['a{number}']"


def _milliseconds(client: Any, statement: str) -> float:
    """Of the fastest run."""
    spent = []
    for _ in range(_RUNS):
        began = time.perf_counter()
        client.query(statement)
        spent.append(time.perf_counter() - began)
    return min(spent) * 1000
