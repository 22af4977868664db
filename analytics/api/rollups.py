"""/analytics/rollups/: what is computed before anybody asks. See Note [How a rollup stays right]."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import orjson
from django.core import signing
from django.utils.dateparse import parse_datetime
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analytics.rollups import reading
from analytics.rollups.reading import (
    EARLIEST,
    GRAINS,
    LATEST,
    LIMIT_DEFAULT,
    LIMIT_MAX,
    Distribution,
    DistributionRead,
    EntitiesRead,
    Numbers,
    Rows,
    TrendRead,
    ValueCount,
    ValuesRead,
)
from atlasco.lib.clock import iso
from entities.api import openapi
from entities.api.common import flag_parameter, parameter_error, parameters
from entities.search.cursors import InvalidCursor
from entities.values import ENTITY_TYPE_MAX_CHARS, NAME_MAX_CHARS
from freshness.state import freshness_state
from tenants.binding import tenant_required

_SALT: Final = "analytics.rollups.cursor"
_COUNT_MAX: Final = 2**53

_NUMBER: Final = {"type": "number", "nullable": True}
_INSTANT: Final = {"type": "string", "format": "date-time"}
_NUMBERS: Final = openapi.object_of(
    {
        "count": {"type": "integer"},
        **dict.fromkeys(("average", "min", "p05", "p25", "median", "p75", "p95", "p99", "max"), _NUMBER),
    }
)
_RECENT: Final = openapi.object_of(
    {"count": {"type": "integer"}, **dict.fromkeys(("average", "median", "max"), _NUMBER)}
)
_HISTOGRAM: Final = {
    **openapi.object_of(
        {
            "start": {"type": "number"},
            "width": {"type": "number"},
            "counts": {"type": "array", "items": {"type": "integer"}},
        }
    ),
    "nullable": True,
    "description": "Stretches of equal width; the first and the last one hold what lies beyond them, too.",
}
_METADATA: Final = openapi.object_of(
    {
        "freshness": openapi.FRESHNESS,
        "refreshed_at": {**_INSTANT, "nullable": True, "description": "null: answered by a database, not by a rollup."},
        "recent_from": {**_INSTANT, "description": "Where the last seven days of `recent` begin."},
    }
)
_ATTRIBUTE: Final = OpenApiParameter("attribute", OpenApiTypes.STR, description="The attribute's name.")
_ATTRIBUTE_REQUIRED: Final = OpenApiParameter(
    "attribute", OpenApiTypes.STR, required=True, description="The attribute's name."
)
_TYPE: Final = OpenApiParameter("entity_type", OpenApiTypes.STR, description="Only entities of this type.")
_LIMIT: Final = OpenApiParameter(
    "limit", OpenApiTypes.INT, description=f"1 to {LIMIT_MAX}; {LIMIT_DEFAULT} by default."
)
_FROM: Final = OpenApiParameter("from", OpenApiTypes.DATETIME, description="Not before this instant.")
_TO: Final = OpenApiParameter("to", OpenApiTypes.DATETIME, description="Before this instant.")
_NEWEST: Final = OpenApiParameter(
    "newest", OpenApiTypes.BOOL, description="The newest rather than the oldest of the range; in order of time anyhow."
)


def _page(rows: dict[str, Any]) -> dict[str, Any]:
    return openapi.object_of(
        {
            "rows": {"type": "array", "items": openapi.object_of(rows)},
            "next_cursor": {"type": "string", "nullable": True},
            "metadata": _METADATA,
        }
    )


def _example(name: str, *rows: dict[str, Any]) -> OpenApiExample:
    freshness = {
        "tier": "EVENTUAL",
        "lag_seconds": 21.4,
        "source": "clickhouse",
        "sla_target": 1800,
        "sla_met": True,
        "position": "0/1A2B3C4D",
    }
    metadata = {
        "freshness": freshness,
        "refreshed_at": "2026-03-01T12:00:10Z",
        "recent_from": "2026-02-22T12:00:10Z",
    }
    return OpenApiExample(
        name, value={"rows": list(rows), "next_cursor": None, "metadata": metadata}, response_only=True
    )


class RollupDistribution(APIView):
    """Distributions of the present values, by attribute and entity type."""

    required_scope = "read"

    @extend_schema(
        operation_id="rollups_distribution",
        parameters=[
            _ATTRIBUTE,
            _TYPE,
            OpenApiParameter("min_count", OpenApiTypes.INT, description="Leave smaller groups out."),
            OpenApiParameter(
                "recent", OpenApiTypes.BOOL, description="Count only numbers first set in the last seven days."
            ),
            OpenApiParameter("top", OpenApiTypes.INT, description=f"So many of the largest, 1 to {LIMIT_MAX}."),
            _LIMIT,
            openapi.CURSOR,
        ],
        responses={
            200: _page(
                {
                    "attribute": {"type": "string"},
                    "entity_type": {"type": "string"},
                    "values": {"type": "integer"},
                    "distinct": {"type": "integer", "description": "About how many different values."},
                    "numbers": _NUMBERS,
                    "histogram": _HISTOGRAM,
                    "recent": _RECENT,
                }
            )
        },
        examples=[
            _example(
                "Seats of aircraft",
                {
                    "attribute": "seats",
                    "entity_type": "aircraft",
                    "values": 3,
                    "distinct": 2,
                    "numbers": {
                        "count": 3, "average": 81.67, "min": 55.0, "p05": 55.0, "p25": 55.0, "median": 55.0,
                        "p75": 95.0, "p95": 127.0, "p99": 133.4, "max": 135.0,
                    },
                    "histogram": {"start": 55.0, "width": 4.0, "counts": [2, 0, 1]},
                    "recent": {"count": 1, "average": 135.0, "median": 135.0, "max": 135.0},
                },
            )
        ],
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Counts, averages, quantiles and a histogram, in order of name, or the largest with `top`."""
        names = ("attribute", "entity_type", "min_count", "recent", "top", "limit", "cursor")
        values = parameters(request, names)
        tenant_id = tenant_required().pk
        top = whole_parameter(values, "top", 1, LIMIT_MAX)
        if top is not None and ("cursor" in values or "limit" in values):
            raise parameter_error("top", "`top` stands without `limit` and `cursor`.")
        identity = [tenant_id, *(values.get(name, "") for name in names[:4])]
        read = DistributionRead(
            tenant_id,
            attribute=_name(values, "attribute"),
            entity_type=_entity_type(values),
            min_count=whole_parameter(values, "min_count", 0, _COUNT_MAX) or 1,
            recent=flag_parameter(values, "recent"),
            largest=top is not None,
            after=_cursor_decode(values.get("cursor", ""), identity),
            limit=top or whole_parameter(values, "limit", 1, LIMIT_MAX) or LIMIT_DEFAULT,
        )
        found = reading.distribution_read(read)
        cursor = None
        if not found.is_whole and top is None:
            last = found.rows[-1]
            cursor = _cursor_encode((last.attribute, last.entity_type), identity)
        return _response(map(distribution_json, found.rows), found, cursor)


class RollupValues(APIView):
    """How often each value occurs, of attributes with few different ones."""

    required_scope = "read"

    @extend_schema(
        operation_id="rollups_values",
        parameters=[_ATTRIBUTE_REQUIRED, _TYPE, _LIMIT],
        responses={
            200: _page(
                {
                    "attribute": {"type": "string"},
                    "entity_type": {"type": "string"},
                    "value": openapi.VALUE,
                    "value_type": {"type": "string"},
                    "count": {"type": "integer"},
                }
            )
        },
        examples=[
            _example(
                "Engines of aircraft",
                {"attribute": "engines", "entity_type": "aircraft", "value": 2, "value_type": "number", "count": 203},
            )
        ],
    )
    def get(self, request: Request) -> Response:
        """Values with their counts, most frequent first; none of an attribute with more than 200 different values."""
        values = parameters(request, ("attribute", "entity_type", "limit"))
        read = ValuesRead(
            tenant_required().pk,
            attribute=_required(values, "attribute"),
            entity_type=_entity_type(values),
            limit=whole_parameter(values, "limit", 1, LIMIT_MAX) or LIMIT_DEFAULT,
        )
        found = reading.values_read(read)
        return _response(map(value_json, found.rows), found, None)


class RollupTrend(APIView):
    """Numbers by the hour or the day at which they were set."""

    required_scope = "read"

    @extend_schema(
        operation_id="rollups_trend",
        parameters=[
            _ATTRIBUTE_REQUIRED,
            _TYPE,
            OpenApiParameter("grain", OpenApiTypes.STR, enum=list(GRAINS), description="`day` by default."),
            _FROM,
            _TO,
            _NEWEST,
            _LIMIT,
        ],
        responses={
            200: _page(
                {
                    "bucket": _INSTANT,
                    "entity_type": {"type": "string"},
                    "samples": {"type": "integer"},
                    **dict.fromkeys(("average", "min", "median", "p95", "max"), _NUMBER),
                }
            )
        },
        examples=[
            _example(
                "A day of a sensor",
                {
                    "bucket": "2026-03-01T00:00:00Z", "entity_type": "sensor", "samples": 288, "average": 21.2,
                    "min": 17.5, "median": 21.0, "p95": 25.1, "max": 26.0,
                },
            )
        ],
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Buckets in order of time. Where more follow, go on with `from` at the end of the last bucket."""
        values = parameters(request, ("attribute", "entity_type", "grain", "from", "to", "newest", "limit"))
        grain = values.get("grain", "day")
        if grain not in GRAINS:
            raise parameter_error("grain", f"`grain` is one of {', '.join(GRAINS)}.")
        read = TrendRead(
            tenant_required().pk,
            attribute=_required(values, "attribute"),
            entity_type=_entity_type(values),
            grain="hour" if grain == "hour" else "day",
            start=_instant(values, "from", EARLIEST),
            end=_instant(values, "to", LATEST),
            newest=flag_parameter(values, "newest"),
            limit=whole_parameter(values, "limit", 1, LIMIT_MAX) or LIMIT_DEFAULT,
        )
        found = reading.trend_read(read)
        rows = (
            {
                "bucket": iso(point.bucket),
                "entity_type": point.entity_type,
                "samples": point.samples,
                "average": point.average,
                "min": point.least,
                "median": point.median,
                "p95": point.p95,
                "max": point.greatest,
            }
            for point in found.rows
        )
        return _response(rows, found, None)


class RollupEntities(APIView):
    """Entities by the day of their creation."""

    required_scope = "read"

    @extend_schema(
        operation_id="rollups_entities",
        parameters=[_TYPE, _FROM, _TO, _NEWEST, _LIMIT],
        responses={
            200: _page(
                {
                    "day": _INSTANT,
                    "entity_type": {"type": "string"},
                    "created": {"type": "integer"},
                    "total": {"type": "integer", "description": "Of those that exist now, at the end of that day."},
                }
            )
        },
        examples=[
            _example(
                "Aircraft",
                {"day": "2026-03-01T00:00:00Z", "entity_type": "aircraft", "created": 12, "total": 203},
            )
        ],
    )
    def get(self, request: Request) -> Response:
        """Days in order of time; a day on which nothing was created is left out."""
        values = parameters(request, ("entity_type", "from", "to", "newest", "limit"))
        read = EntitiesRead(
            tenant_required().pk,
            entity_type=_entity_type(values),
            start=_instant(values, "from", EARLIEST),
            end=_instant(values, "to", LATEST),
            newest=flag_parameter(values, "newest"),
            limit=whole_parameter(values, "limit", 1, LIMIT_MAX) or LIMIT_DEFAULT,
        )
        found = reading.entities_read(read)
        rows = (
            {
                "day": iso(point.day),
                "entity_type": point.entity_type,
                "created": point.created,
                "total": point.total,
            }
            for point in found.rows
        )
        return _response(rows, found, None)


# --- JSON -------------------------------------------------------------------------------------------------------------
def distribution_json(row: Distribution) -> dict[str, Any]:
    histogram = row.histogram
    return {
        "attribute": row.attribute,
        "entity_type": row.entity_type,
        "values": row.values,
        "distinct": row.distinct,
        "numbers": numbers_json(row.numbers),
        "histogram": None
        if histogram is None
        else {"start": histogram.start, "width": histogram.width, "counts": histogram.counts},
        "recent": {
            "count": row.recent.count,
            "average": row.recent.average,
            "median": row.recent.quantiles.get("median"),
            "max": row.recent.greatest,
        },
    }


def numbers_json(numbers: Numbers) -> dict[str, Any]:
    quantiles = {name: numbers.quantiles.get(name) for name in reading.QUANTILES}
    return {
        "count": numbers.count,
        "average": numbers.average,
        "min": numbers.least,
        **quantiles,
        "max": numbers.greatest,
    }


def value_json(row: ValueCount) -> dict[str, Any]:
    # A number and a boolean are as PostgreSQL writes them in JSON.
    is_text = row.value_type in {"string", "timestamp"}
    return {
        "attribute": row.attribute,
        "entity_type": row.entity_type,
        "value": row.value if is_text else orjson.Fragment(row.value),
        "value_type": row.value_type,
        "count": row.count,
    }


def _response(rows: Iterable[dict[str, Any]], found: Rows[Any], cursor: str | None) -> Response:
    return Response(
        {
            "rows": list(rows),
            "next_cursor": cursor,
            "metadata": {
                "freshness": freshness_state().metadata(),
                "refreshed_at": None if found.refreshed_at is None else iso(found.refreshed_at),
                "recent_from": iso(found.recent_from),
            },
        }
    )


# --- Parameters -------------------------------------------------------------------------------------------------------
def whole_parameter(values: dict[str, str], name: str, least: int, most: int) -> int | None:
    text = values.get(name)
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) <= 19 and least <= int(text) <= most:
        return int(text)
    raise parameter_error(name, f"`{name}` is a whole number from {least} to {most}.")


def _name(values: dict[str, str], name: str, most: int = NAME_MAX_CHARS) -> str:
    text = values.get(name, "")
    if len(text) > most:
        raise parameter_error(name, f"`{name}` has at most {most} characters.")
    return text


def _entity_type(values: dict[str, str]) -> str:
    return _name(values, "entity_type", ENTITY_TYPE_MAX_CHARS)


def _required(values: dict[str, str], name: str) -> str:
    if not values.get(name):
        raise parameter_error(name, f"`{name}` is needed.")
    return _name(values, name)


def _instant(values: dict[str, str], name: str, default: datetime) -> datetime:
    text = values.get(name)
    if text is None:
        return default
    try:
        found = parse_datetime(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise parameter_error(name, f"`{name}` is an ISO 8601 date-time with zone.")
    return found


def _cursor_encode(after: tuple[str, str], identity: Sequence[object]) -> str:
    return signed_encode([*after, list(identity)], salt=_SALT)


def _cursor_decode(text: str, identity: Sequence[object]) -> tuple[str, str] | None:
    """Where the page before ended. Raises InvalidCursor for another tenant's or another query's, too."""
    if not text:
        return None
    attribute, entity_type, made_for = signed_decode(text, salt=_SALT, size=3)
    if made_for != list(identity):
        raise InvalidCursor
    return attribute, entity_type


def signed_encode(body: list[Any], *, salt: str) -> str:
    """A list as a cursor."""
    return signing.Signer(salt=salt).sign(signing.b64_encode(orjson.dumps(body)).decode())


def signed_decode(text: str, *, salt: str, size: int) -> list[Any]:
    """The list that a cursor is. Raises InvalidCursor for one that is none of ours."""
    try:
        body = orjson.loads(signing.b64_decode(signing.Signer(salt=salt).unsign(text).encode()))
    except (signing.BadSignature, ValueError):
        raise InvalidCursor from None
    if not isinstance(body, list) or len(body) != size:
        raise InvalidCursor
    return body
