"""Rollups as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
from rest_framework.response import Response

from analytics.rollups import reading
from analytics.rollups.reading import Distribution, Numbers, Rows, ValueCount
from atlasco.lib.clock import iso
from freshness.state import freshness_state


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


def rows_response(rows: Iterable[dict[str, Any]], found: Rows[Any], cursor: str | None) -> Response:
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
