"""/analytics/rollups/: what is computed before anybody asks. See Note [How a rollup stays right]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analytics.api.common import instant_parameter, signed_decode, signed_encode
from analytics.api.rollups import schema
from analytics.api.rollups.shapes import distribution_json, rows_response, value_json
from analytics.rollups import reading
from analytics.rollups.reading import (
    EARLIEST,
    GRAINS,
    LATEST,
    LIMIT_MAX,
    DistributionRead,
    EntitiesRead,
    TrendRead,
    ValuesRead,
)
from atlasco.lib.clock import iso
from atlasco.lib.parameters import flag_parameter, parameter_error, parameters, whole_parameter
from entities.api import openapi
from entities.api.common import limit_parameter
from entities.search.cursors import InvalidCursor
from entities.values import ENTITY_TYPE_MAX_CHARS, NAME_MAX_CHARS
from tenants.binding import tenant_required

_SALT: Final = "analytics.rollups.cursor"
_COUNT_MAX: Final = 2**53


class RollupDistribution(APIView):
    """Distributions of the present values, by attribute and entity type."""

    required_scope = "read"

    @extend_schema(
        operation_id="rollups_distribution",
        parameters=[
            schema.ATTRIBUTE,
            schema.TYPE,
            OpenApiParameter("min_count", OpenApiTypes.INT, description="Leave smaller groups out."),
            OpenApiParameter(
                "recent", OpenApiTypes.BOOL, description="Count only numbers first set in the last seven days."
            ),
            OpenApiParameter("top", OpenApiTypes.INT, description=f"So many of the largest, 1 to {LIMIT_MAX}."),
            schema.LIMIT,
            openapi.CURSOR,
        ],
        responses={
            200: schema.page(
                {
                    "attribute": {"type": "string"},
                    "entity_type": {"type": "string"},
                    "values": {"type": "integer"},
                    "distinct": {"type": "integer", "description": "About how many different values."},
                    "numbers": schema.NUMBERS,
                    "histogram": schema.HISTOGRAM,
                    "recent": schema.RECENT,
                }
            )
        },
        examples=[
            schema.example(
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
            limit=top or limit_parameter(values),
        )
        found = reading.distribution_read(read)
        cursor = None
        if not found.is_whole and top is None:
            last = found.rows[-1]
            cursor = _cursor_encode((last.attribute, last.entity_type), identity)
        return rows_response(map(distribution_json, found.rows), found, cursor)


class RollupValues(APIView):
    """How often each value occurs, of attributes with few different ones."""

    required_scope = "read"

    @extend_schema(
        operation_id="rollups_values",
        parameters=[schema.ATTRIBUTE_REQUIRED, schema.TYPE, schema.LIMIT],
        responses={
            200: schema.page(
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
            schema.example(
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
            limit=limit_parameter(values),
        )
        found = reading.values_read(read)
        return rows_response(map(value_json, found.rows), found, None)


class RollupTrend(APIView):
    """Numbers by the hour or the day at which they were set."""

    required_scope = "read"

    @extend_schema(
        operation_id="rollups_trend",
        parameters=[
            schema.ATTRIBUTE_REQUIRED,
            schema.TYPE,
            OpenApiParameter("grain", OpenApiTypes.STR, enum=list(GRAINS), description="`day` by default."),
            schema.FROM,
            schema.TO,
            schema.NEWEST,
            schema.LIMIT,
        ],
        responses={
            200: schema.page(
                {
                    "bucket": schema.INSTANT,
                    "entity_type": {"type": "string"},
                    "samples": {"type": "integer"},
                    **dict.fromkeys(("average", "min", "median", "p95", "max"), schema.NUMBER),
                }
            )
        },
        examples=[
            schema.example(
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
            start=instant_parameter(values, "from") or EARLIEST,
            end=instant_parameter(values, "to") or LATEST,
            newest=flag_parameter(values, "newest"),
            limit=limit_parameter(values),
        )
        found = reading.trend_read(read)
        rows = ({**point.row(), "bucket": iso(point.bucket)} for point in found.rows)
        return rows_response(rows, found, None)


class RollupEntities(APIView):
    """Entities by the day of their creation."""

    required_scope = "read"

    @extend_schema(
        operation_id="rollups_entities",
        parameters=[schema.TYPE, schema.FROM, schema.TO, schema.NEWEST, schema.LIMIT],
        responses={
            200: schema.page(
                {
                    "day": schema.INSTANT,
                    "entity_type": {"type": "string"},
                    "created": {"type": "integer"},
                    "total": {"type": "integer", "description": "Of those that exist now, at the end of that day."},
                }
            )
        },
        examples=[
            schema.example(
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
            start=instant_parameter(values, "from") or EARLIEST,
            end=instant_parameter(values, "to") or LATEST,
            newest=flag_parameter(values, "newest"),
            limit=limit_parameter(values),
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
        return rows_response(rows, found, None)


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
