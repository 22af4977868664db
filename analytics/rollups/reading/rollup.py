"""From ClickHouse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

from clickhouse_connect.driver.exceptions import DatabaseError

from analytics.clickhouse.client import reading_client
from analytics.clickhouse.reading.sources import applied, is_of_the_statement
from analytics.rollups.reading.shapes import (
    DistributionRead,
    EntitiesPoint,
    EntitiesRead,
    Rows,
    TrendPoint,
    TrendRead,
    TypeCount,
    TypesRead,
    ValueCount,
    ValuesRead,
    distribution_of,
    finite,
    time_parameters,
)
from analytics.rollups.state import states_read
from atlasco.lib import clock
from atlasco.lib.sql import sql_blocks
from freshness.sources import Found, reader_register

_READ: Final = sql_blocks(Path(__file__).parent.parent / "sql" / "read.sql")
R = TypeVar("R")


def readers_register() -> None:
    """Let ClickHouse answer. It is registered as a source before."""
    for operation, reader in (
        ("rollup_distribution", distribution_rollup),
        ("rollup_values", values_rollup),
        ("rollup_trend", trend_rollup),
        ("rollup_entities", entities_rollup),
        ("rollup_types", types_rollup),
    ):
        reader_register(operation, "clickhouse", reader)


def _rollup(tenant_id: int, read: Callable[[Any], list[R]], *, limit: int) -> Found | None:
    """What a tenant's rollup says; None where it has none yet, or takes too long to say it.

    Its state is read first: it must not claim too much.
    """
    client = reading_client()
    try:
        state = states_read(client, tenant_id=tenant_id).get(tenant_id)
        if state is None:
            return None
        rows = read(client)
    except DatabaseError as error:
        if not is_of_the_statement(error):
            raise
        return None
    found = Rows(
        rows[:limit], clock.from_us(state.refreshed_us), clock.from_us(state.recent_us), is_whole=len(rows) <= limit
    )
    return Found(found, applied(state.position))


def distribution_rollup(request: DistributionRead) -> Found | None:
    conditions = ""
    parameters: dict[str, Any] = {"tenant": request.tenant_id, "limit": request.limit + 1}
    parameters["min_count"] = request.min_count
    if request.attribute:
        conditions += " AND attribute_name = {attribute:String}"
        parameters["attribute"] = request.attribute
    if request.entity_type:
        conditions += " AND entity_type = {entity_type:String}"
        parameters["entity_type"] = request.entity_type
    if request.after is not None:
        conditions += " AND (attribute_name, entity_type) > ({after_attribute:String}, {after_type:String})"
        parameters["after_attribute"], parameters["after_type"] = request.after
    column = "recent_count" if request.recent else "value_count"
    statement = (
        _READ["distribution"]
        .replace("{condition}", conditions)
        .replace("{count_column}", column)
        .replace("{order}", f"{column} DESC," if request.largest else "")
    )
    return _rollup(
        request.tenant_id,
        lambda client: [distribution_of(*row) for row in client.query(statement, parameters=parameters).result_rows],
        limit=request.limit,
    )


def values_rollup(request: ValuesRead) -> Found | None:
    parameters: dict[str, Any] = {
        "tenant": request.tenant_id,
        "attribute": request.attribute,
        "entity_type": request.entity_type,
        "limit": request.limit + 1,
    }
    statement = _READ["values"].replace("{condition}", _type_condition(request.entity_type))
    return _rollup(
        request.tenant_id,
        lambda client: [ValueCount(*row) for row in client.query(statement, parameters=parameters).result_rows],
        limit=request.limit,
    )


def trend_rollup(request: TrendRead) -> Found | None:
    parameters = time_parameters(request) | {"attribute": request.attribute, "grain": request.grain}
    statement = (
        _READ["trend"]
        .replace("{condition}", _type_condition(request.entity_type))
        .replace("{direction}", "DESC" if request.newest else "ASC")
    )
    found = _rollup(
        request.tenant_id,
        lambda client: [
            TrendPoint(clock.from_us(bucket_us), entity_type, samples, *map(finite, figures))
            for bucket_us, entity_type, samples, *figures in client.query(statement, parameters=parameters).result_rows
        ],
        limit=request.limit,
    )
    return _in_time(found) if request.newest else found


def entities_rollup(request: EntitiesRead) -> Found | None:
    parameters = time_parameters(request)
    statement = (
        _READ["entities"]
        .replace("{condition}", _type_condition(request.entity_type))
        .replace("{direction}", "DESC" if request.newest else "ASC")
    )
    found = _rollup(
        request.tenant_id,
        lambda client: [
            EntitiesPoint(clock.from_us(day_us), *rest)
            for day_us, *rest in client.query(statement, parameters=parameters).result_rows
        ],
        limit=request.limit,
    )
    return _in_time(found) if request.newest else found


def types_rollup(request: TypesRead) -> Found | None:
    parameters = {"tenant": request.tenant_id, "limit": request.limit + 1}
    return _rollup(
        request.tenant_id,
        lambda client: [TypeCount(*row) for row in client.query(_READ["types"], parameters=parameters).result_rows],
        limit=request.limit,
    )


def _in_time(found: Found | None) -> Found | None:
    if found is not None:
        found = replace(found, value=replace(found.value, rows=found.value.rows[::-1]))
    return found


def _type_condition(entity_type: str) -> str:
    return "AND entity_type = {entity_type:String}" if entity_type else ""
