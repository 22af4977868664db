"""What can be asked of rollups, and what is answered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

from atlasco.lib.clock import to_us

Grain: TypeAlias = Literal["hour", "day"]
GRAINS: Final[tuple[Grain, ...]] = ("hour", "day")
LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 1_000
QUANTILES: Final = ("p05", "p25", "median", "p75", "p95", "p99")
EARLIEST: Final = datetime(1, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(9999, 12, 31, tzinfo=UTC)
R = TypeVar("R")


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
class TypesRead:
    """How many entities there are of each type."""

    tenant_id: int
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

    def row(self) -> dict[str, Any]:
        """By the names that the API and files have for it."""
        return {
            "bucket": self.bucket,
            "entity_type": self.entity_type,
            "samples": self.samples,
            "average": self.average,
            "min": self.least,
            "median": self.median,
            "p95": self.p95,
            "max": self.greatest,
        }


@dataclass(frozen=True, slots=True)
class EntitiesPoint:
    day: datetime
    entity_type: str
    created: int
    total: int


@dataclass(frozen=True, slots=True)
class TypeCount:
    entity_type: str
    entities: int


@dataclass(frozen=True, slots=True)
class Rows(Generic[R]):
    """What was found. refreshed_at: when something of the tenant was computed last, None for what came from a database.

    recent_from: where the last seven days of `recent` begin; is_whole: False where there are more rows.
    """

    rows: Sequence[R]
    refreshed_at: datetime | None
    recent_from: datetime
    is_whole: bool = True


def time_parameters(request: TrendRead | EntitiesRead) -> dict[str, Any]:
    return {
        "tenant": request.tenant_id,
        "entity_type": request.entity_type,
        "from_us": to_us(request.start),
        "to_us": to_us(request.end),
        "limit": request.limit + 1,
    }


def distribution_of(
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
        finite(average),
        finite(least),
        finite(greatest),
        dict(zip(QUANTILES, map(finite, quantiles), strict=True))
        if number_count and quantiles
        else dict.fromkeys(QUANTILES),
    )
    histogram = None
    if bins and bin_from is not None and bin_width is not None and math.isfinite(bin_from + bin_width):
        histogram = Histogram(bin_from, bin_width, list(bins))
    recent = Numbers(
        recent_count,
        finite(recent_average) if recent_count else None,
        greatest=finite(recent_greatest) if recent_count else None,
        quantiles={"median": finite(recent_median) if recent_count else None},
    )
    return Distribution(attribute, entity_type, values, distinct, numbers, histogram, recent)


def finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None
