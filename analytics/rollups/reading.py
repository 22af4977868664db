"""Reading rollups: from ClickHouse, and where they are not fresh enough for a request, the same from a database.

A trend is of the past, which no database keeps: where its rollup is too old for a request, that is said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

from django.conf import settings
from django.db import connections

from analytics.clickhouse.client import clickhouse_client
from analytics.rollups.refresh import RECENT
from analytics.rollups.state import RollupState, states_read
from atlasco.lib import clock
from atlasco.lib.clock import to_us
from atlasco.lib.errors import Unavailable
from atlasco.lib.sql import sql_blocks
from freshness.reads import ReadSource, read_through
from freshness.sources import Applied, Found, reader_register

Grain: TypeAlias = Literal["hour", "day"]
GRAINS: Final[tuple[Grain, ...]] = ("hour", "day")
LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 1_000
QUANTILES: Final = ("p05", "p25", "median", "p75", "p95", "p99")
EARLIEST: Final = datetime(1, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(9999, 12, 31, tzinfo=UTC)

_READ: Final = sql_blocks(Path(__file__).parent / "sql" / "read.sql")
_PRIMARY: Final = sql_blocks(Path(__file__).parent / "sql" / "primary.sql")
R = TypeVar("R")


class TrendNotFresh(Unavailable):
    """A trend comes from ClickHouse alone, which is not as fresh as this request wants it, or does not answer."""

    code = "trend_not_fresh"


@dataclass(frozen=True, slots=True)
class DistributionRead:
    """attribute, entity_type: empty for all; recent: of the last seven days only; largest: by count, else by name.

    after: the (attribute, entity type) that the page before ended with.
    """

    tenant_id: int
    attribute: str = ""
    entity_type: str = ""
    min_count: int = 1
    recent: bool = False
    largest: bool = False
    after: tuple[str, str] | None = None
    limit: int = LIMIT_DEFAULT


@dataclass(frozen=True, slots=True)
class ValuesRead:
    tenant_id: int
    attribute: str
    entity_type: str = ""
    limit: int = LIMIT_DEFAULT


@dataclass(frozen=True, slots=True)
class TrendRead:
    """newest: the newest buckets rather than the oldest; the answer is in order of time all the same."""

    tenant_id: int
    attribute: str
    entity_type: str = ""
    grain: Grain = "day"
    start: datetime = EARLIEST
    end: datetime = LATEST
    newest: bool = False
    limit: int = LIMIT_DEFAULT


@dataclass(frozen=True, slots=True)
class EntitiesRead:
    """The entities that exist, by the day of their creation; as TrendRead."""

    tenant_id: int
    entity_type: str = ""
    start: datetime = EARLIEST
    end: datetime = LATEST
    newest: bool = False
    limit: int = LIMIT_DEFAULT


@dataclass(frozen=True, slots=True)
class Histogram:
    """counts of stretches of equal width; the first and the last one have what lies beyond them, too."""

    start: float
    width: float
    counts: list[int]


@dataclass(frozen=True, slots=True)
class Numbers:
    """Some numbers in short. None where there are none, or where a figure is beyond a double."""

    count: int
    average: float | None
    least: float | None = None
    greatest: float | None = None
    quantiles: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Distribution:
    """The values of one attribute among the entities of one type. recent: numbers first set in the last seven days."""

    attribute: str
    entity_type: str
    values: int
    distinct: int
    numbers: Numbers
    histogram: Histogram | None
    recent: Numbers


@dataclass(frozen=True, slots=True)
class ValueCount:
    attribute: str
    entity_type: str
    value_type: str
    value: str
    count: int


@dataclass(frozen=True, slots=True)
class TrendPoint:
    bucket: datetime
    entity_type: str
    samples: int
    average: float | None
    least: float | None
    median: float | None
    p95: float | None
    greatest: float | None


@dataclass(frozen=True, slots=True)
class EntitiesPoint:
    day: datetime
    entity_type: str
    created: int
    total: int


@dataclass(frozen=True, slots=True)
class Rows(Generic[R]):
    """What was found. refreshed_at: when something of the tenant was computed last, None for what came from a database.

    recent_from: where the last seven days of `recent` begin; is_whole: False where there are more rows.
    """

    rows: Sequence[R]
    refreshed_at: datetime | None
    recent_from: datetime
    is_whole: bool = True


# --- The doors --------------------------------------------------------------------------------------------------------
def distribution_read(request: DistributionRead) -> Rows[Distribution]:
    """Distributions by attribute and entity type. Raises what `read_through` raises."""
    return _read("rollup_distribution", "analytics", request, _distribution_primary)


def values_read(request: ValuesRead) -> Rows[ValueCount]:
    """How often each value occurs, most frequent first. From the rollup, only of attributes with few different ones."""
    return _read("rollup_values", "analytics", request, _values_primary)


def trend_read(request: TrendRead) -> Rows[TrendPoint]:
    """Numbers by the hour or day at which they were set, in order of time. Raises TrendNotFresh."""
    return _read("rollup_trend", "historical", request, _trend_primary)


def entities_read(request: EntitiesRead) -> Rows[EntitiesPoint]:
    """Entities by the day of their creation, in order of time."""
    return _read("rollup_entities", "analytics", request, _entities_primary)


def _read(operation: str, query_class: str, request: Any, primary: Callable[[Any, ReadSource], Rows[R]]) -> Rows[R]:
    return read_through(
        lambda source: primary(request, source), operation=operation, request=request, query_class=query_class
    )


def readers_register() -> None:
    """Let ClickHouse answer. It is registered as a source before."""
    for operation, reader in (
        ("rollup_distribution", distribution_rollup),
        ("rollup_values", _values_rollup),
        ("rollup_trend", _trend_rollup),
        ("rollup_entities", _entities_rollup),
    ):
        reader_register(operation, "clickhouse", reader)


@cache
def _client(url: str) -> Any:
    return clickhouse_client(url)


# --- From ClickHouse --------------------------------------------------------------------------------------------------
def _rollup(tenant_id: int, read: Callable[[Any], list[R]], *, limit: int) -> Found | None:
    """What a tenant's rollup says; None where it has none yet. Its state is read first: it must not claim too much."""
    client = _client(settings.CLICKHOUSE_URL)
    state = states_read(client, tenant_id=tenant_id).get(tenant_id)
    if state is None:
        return None
    rows = read(client)
    found = Rows(
        rows[:limit], clock.from_us(state.refreshed_us), clock.from_us(state.recent_us), is_whole=len(rows) <= limit
    )
    return Found(found, _applied(state))


def _applied(state: RollupState) -> Applied:
    beat = state.position.heartbeat
    return Applied(None if beat is None else beat.ts_us / 1e6, state.position.lsn)


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
        lambda client: [_distribution(*row) for row in client.query(statement, parameters=parameters).result_rows],
        limit=request.limit,
    )


def _values_rollup(request: ValuesRead) -> Found | None:
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


def _trend_rollup(request: TrendRead) -> Found | None:
    parameters = _time_parameters(request) | {"attribute": request.attribute, "grain": request.grain}
    statement = (
        _READ["trend"]
        .replace("{condition}", _type_condition(request.entity_type))
        .replace("{direction}", "DESC" if request.newest else "ASC")
    )
    found = _rollup(
        request.tenant_id,
        lambda client: [
            TrendPoint(clock.from_us(bucket_us), entity_type, samples, *map(_finite, figures))
            for bucket_us, entity_type, samples, *figures in client.query(statement, parameters=parameters).result_rows
        ],
        limit=request.limit,
    )
    return _in_time(found) if request.newest else found


def _entities_rollup(request: EntitiesRead) -> Found | None:
    parameters = _time_parameters(request)
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


def _in_time(found: Found | None) -> Found | None:
    if found is not None:
        found = replace(found, value=replace(found.value, rows=found.value.rows[::-1]))
    return found


def _time_parameters(request: TrendRead | EntitiesRead) -> dict[str, Any]:
    return {
        "tenant": request.tenant_id,
        "entity_type": request.entity_type,
        "from_us": to_us(request.start),
        "to_us": to_us(request.end),
        "limit": request.limit + 1,
    }


def _type_condition(entity_type: str) -> str:
    return "AND entity_type = {entity_type:String}" if entity_type else ""


def _distribution(
    attribute: str,
    entity_type: str,
    values: int,
    distinct: int,
    number_count: int,
    average: float | None,
    least: float | None,
    greatest: float | None,
    quantiles: Sequence[float] | None,
    bin_from: float | None,
    bin_width: float | None,
    bins: Sequence[int] | None,
    recent_count: int,
    recent_average: float | None,
    recent_median: float | None,
    recent_greatest: float | None,
) -> Distribution:
    if number_count == 0:
        least = greatest = average = None
    numbers = Numbers(
        number_count,
        _finite(average),
        _finite(least),
        _finite(greatest),
        dict(zip(QUANTILES, map(_finite, quantiles), strict=True))
        if number_count and quantiles
        else dict.fromkeys(QUANTILES),
    )
    histogram = None
    if bins and bin_from is not None and bin_width is not None and math.isfinite(bin_from + bin_width):
        histogram = Histogram(bin_from, bin_width, list(bins))
    recent = Numbers(
        recent_count,
        _finite(recent_average) if recent_count else None,
        greatest=_finite(recent_greatest) if recent_count else None,
        quantiles={"median": _finite(recent_median) if recent_count else None},
    )
    return Distribution(attribute, entity_type, values, distinct, numbers, histogram, recent)


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None


# --- From a database --------------------------------------------------------------------------------------------------
def _distribution_primary(request: DistributionRead, source: ReadSource) -> Rows[Distribution]:
    recent_from = clock.now() - RECENT
    column = "count(a.numeric_key) FILTER (WHERE recent)" if request.recent else "count(*)"
    after = " AND (a.attribute_name, e.entity_type) > (%(after_attribute)s, %(after_type)s)" if request.after else ""
    statement = (
        _PRIMARY["distribution"]
        .replace("{attribute_condition}", "AND attribute_name = %(attribute)s" if request.attribute else "")
        .replace("{type_condition}", "AND e.entity_type = %(entity_type)s" if request.entity_type else "")
        .replace("{after_condition}", after)
        .replace("{count_column}", column)
        .replace("{order}", f"{column} DESC," if request.largest else "")
    )
    after_attribute, after_type = request.after or ("", "")
    parameters = {
        "tenant_id": request.tenant_id,
        "recent_from": recent_from,
        "attribute": request.attribute,
        "entity_type": request.entity_type,
        "min_count": request.min_count,
        "limit": request.limit + 1,
        "after_attribute": after_attribute,
        "after_type": after_type,
    }
    rows = [_distribution(*row) for row in _fetch(source, statement, parameters)]
    return Rows(rows[: request.limit], None, recent_from, is_whole=len(rows) <= request.limit)


def _values_primary(request: ValuesRead, source: ReadSource) -> Rows[ValueCount]:
    statement = _PRIMARY["values"].replace(
        "{type_condition}", "AND e.entity_type = %(entity_type)s" if request.entity_type else ""
    )
    parameters = {
        "tenant_id": request.tenant_id,
        "attribute": request.attribute,
        "entity_type": request.entity_type,
        "limit": request.limit + 1,
    }
    rows = [ValueCount(*row) for row in _fetch(source, statement, parameters)]
    return Rows(rows[: request.limit], None, clock.now() - RECENT, is_whole=len(rows) <= request.limit)


def _trend_primary(request: TrendRead, source: ReadSource) -> Rows[TrendPoint]:
    raise TrendNotFresh


def _entities_primary(request: EntitiesRead, source: ReadSource) -> Rows[EntitiesPoint]:
    statement = (
        _PRIMARY["entities"]
        .replace("{type_condition}", "AND e.entity_type = %(entity_type)s" if request.entity_type else "")
        .replace("{direction}", "DESC" if request.newest else "ASC")
    )
    parameters = _time_parameters(request) | {"tenant_id": request.tenant_id}
    rows = [EntitiesPoint(clock.from_us(day_us), *rest) for day_us, *rest in _fetch(source, statement, parameters)]
    kept = rows[: request.limit]
    return Rows(kept[::-1] if request.newest else kept, None, clock.now() - RECENT, is_whole=len(rows) <= request.limit)


def _fetch(source: ReadSource, statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connections[source.using].cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())
