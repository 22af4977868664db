"""What OpenAPI says of rollups."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter

from analytics.rollups.reading import LIMIT_DEFAULT, LIMIT_MAX
from entities.api import openapi

NUMBER: Final = {"type": "number", "nullable": True}
INSTANT: Final = {"type": "string", "format": "date-time"}
NUMBERS: Final = openapi.object_of(
    {
        "count": {"type": "integer"},
        **dict.fromkeys(("average", "min", "p05", "p25", "median", "p75", "p95", "p99", "max"), NUMBER),
    }
)
RECENT: Final = openapi.object_of({"count": {"type": "integer"}, **dict.fromkeys(("average", "median", "max"), NUMBER)})
HISTOGRAM: Final = {
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
METADATA: Final = openapi.object_of(
    {
        "freshness": openapi.FRESHNESS,
        "refreshed_at": {**INSTANT, "nullable": True, "description": "null: answered by a database, not by a rollup."},
        "recent_from": {**INSTANT, "description": "Where the last seven days of `recent` begin."},
    }
)
ATTRIBUTE: Final = OpenApiParameter("attribute", OpenApiTypes.STR, description="The attribute's name.")
ATTRIBUTE_REQUIRED: Final = OpenApiParameter(
    "attribute", OpenApiTypes.STR, required=True, description="The attribute's name."
)
TYPE: Final = OpenApiParameter("entity_type", OpenApiTypes.STR, description="Only entities of this type.")
LIMIT: Final = OpenApiParameter("limit", OpenApiTypes.INT, description=f"1 to {LIMIT_MAX}; {LIMIT_DEFAULT} by default.")
FROM: Final = OpenApiParameter("from", OpenApiTypes.DATETIME, description="Not before this instant.")
TO: Final = OpenApiParameter("to", OpenApiTypes.DATETIME, description="Before this instant.")
NEWEST: Final = OpenApiParameter(
    "newest", OpenApiTypes.BOOL, description="The newest rather than the oldest of the range; in order of time anyhow."
)


def page(rows: dict[str, Any]) -> dict[str, Any]:
    return openapi.object_of(
        {
            "rows": {"type": "array", "items": openapi.object_of(rows)},
            "next_cursor": {"type": "string", "nullable": True},
            "metadata": METADATA,
        }
    )


def example(name: str, *rows: dict[str, Any]) -> OpenApiExample:
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
