"""The doors: the best store for each question."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeVar

from analytics.rollups.reading.database import (
    distribution_primary,
    entities_primary,
    trend_primary,
    types_primary,
    values_primary,
)
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
)
from freshness.reads import ReadSource, read_through

R = TypeVar("R")


def distribution_read(request: DistributionRead) -> Rows[Distribution]:
    """Distributions by attribute and entity type. Raises what `read_through` raises."""
    names = (request.attribute,) if request.attribute else None
    return _read("rollup_distribution", "analytics", request, distribution_primary, attributes=names)


def values_read(request: ValuesRead) -> Rows[ValueCount]:
    """How often each value occurs, most frequent first. From the rollup, only of attributes with few different ones."""
    return _read("rollup_values", "analytics", request, values_primary, attributes=(request.attribute,))


def trend_read(request: TrendRead) -> Rows[TrendPoint]:
    """Numbers by the hour or day at which they were set, in order of time. Raises TrendNotFresh."""
    return _read("rollup_trend", "historical", request, trend_primary, attributes=(request.attribute,))


def entities_read(request: EntitiesRead) -> Rows[EntitiesPoint]:
    """Entities by the day of their creation, in order of time."""
    return _read("rollup_entities", "analytics", request, entities_primary, attributes=())


def types_read(request: TypesRead) -> Rows[TypeCount]:
    """Entity types with how many entities there are, most first."""
    return _read("rollup_types", "analytics", request, types_primary, attributes=())


def _read(
    operation: str,
    query_class: str,
    request: Any,
    primary: Callable[[Any, ReadSource], Rows[R]],
    *,
    attributes: Collection[str] | None,
) -> Rows[R]:
    return read_through(
        lambda source: primary(request, source),
        operation=operation,
        attributes=attributes,
        request=request,
        query_class=query_class,
    )
