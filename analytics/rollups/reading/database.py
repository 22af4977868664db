"""The same from a database, for who needs it fresher. A trend is of the past, which no database keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from django.db import connections

from analytics.rollups.reading.shapes import (
    Distribution,
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
    time_parameters,
)
from analytics.rollups.refresh import RECENT
from atlasco.lib import clock
from atlasco.lib.errors import Unavailable
from atlasco.lib.sql import sql_blocks
from freshness.reads import ReadSource

_PRIMARY: Final = sql_blocks(Path(__file__).parent.parent / "sql" / "primary.sql")


class TrendNotFresh(Unavailable):
    """A trend comes from ClickHouse alone, which is not as fresh as this request wants it, or does not answer."""

    code = "trend_not_fresh"


def distribution_primary(request: DistributionRead, source: ReadSource) -> Rows[Distribution]:
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
    rows = [distribution_of(*row) for row in _fetch(source, statement, parameters)]
    return Rows(rows[: request.limit], None, recent_from, is_whole=len(rows) <= request.limit)


def values_primary(request: ValuesRead, source: ReadSource) -> Rows[ValueCount]:
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


def trend_primary(request: TrendRead, source: ReadSource) -> Rows[TrendPoint]:
    raise TrendNotFresh


def entities_primary(request: EntitiesRead, source: ReadSource) -> Rows[EntitiesPoint]:
    statement = (
        _PRIMARY["entities"]
        .replace("{type_condition}", "AND e.entity_type = %(entity_type)s" if request.entity_type else "")
        .replace("{direction}", "DESC" if request.newest else "ASC")
    )
    parameters = time_parameters(request) | {"tenant_id": request.tenant_id}
    rows = [EntitiesPoint(clock.from_us(day_us), *rest) for day_us, *rest in _fetch(source, statement, parameters)]
    kept = rows[: request.limit]
    return Rows(kept[::-1] if request.newest else kept, None, clock.now() - RECENT, is_whole=len(rows) <= request.limit)


def types_primary(request: TypesRead, source: ReadSource) -> Rows[TypeCount]:
    parameters = {"tenant_id": request.tenant_id, "limit": request.limit + 1}
    rows = [TypeCount(*row) for row in _fetch(source, _PRIMARY["types"], parameters)]
    return Rows(rows[: request.limit], None, clock.now() - RECENT, is_whole=len(rows) <= request.limit)


def _fetch(source: ReadSource, statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connections[source.using].cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())
