"""/analytics/aggregate/: aggregates over the entities as they are."""

from __future__ import annotations

from typing import Any, Final

import orjson
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from atlasco.lib.json_api import json_body
from atlasco.lib.parameters import parameters
from entities.aggregates import FUNCTIONS, TOP_MAX, Group, aggregate_parse, aggregate_resolved, aggregate_run
from entities.api import openapi
from entities.reads import AggregateRead
from freshness.reads import read_through
from freshness.state import freshness_state
from tenants.binding import tenant_required

_AGGREGATE: Final = openapi.object_of(
    {
        "entity_type": openapi.ENTITY_TYPE,
        "where": openapi.WHERE,
        "match": openapi.MATCH,
        "fn": {"type": "string", "enum": list(FUNCTIONS)},
        "attribute": {"type": "string", "description": "What to aggregate; only `count` does without."},
        "group_by": {"type": "string", "description": "`entity_type`, `@created_at:day`, or an attribute."},
        "min_count": {"type": "integer", "minimum": 0},
        "top": {"type": "integer", "minimum": 1, "maximum": TOP_MAX},
    },
    required=["fn"],
)
_GROUPS: Final = openapi.object_of(
    {
        "groups": {"type": "array", "items": openapi.object_of({"key": {}, "value": {}, "count": {"type": "integer"}})},
        "metadata": openapi.object_of({"freshness": openapi.FRESHNESS}),
    }
)
_EXAMPLE: Final = OpenApiExample(
    "Median seats per manufacturer, the ten largest",
    value={"fn": "median", "attribute": "seats", "entity_type": "aircraft", "group_by": "manufacturer", "top": 10},
    request_only=True,
)


class AnalyticsAggregate(APIView):
    """Counts, averages, percentiles and mixes over the tenant's entities."""

    required_scope = "read"

    @extend_schema(
        operation_id="analytics_aggregate",
        request={"application/json": _AGGREGATE},
        responses={200: _GROUPS},
        examples=[_EXAMPLE],
    )
    def post(self, request: Request) -> Response:
        """Groups with their values; without `group_by`, one group whose key is null."""
        parameters(request, ())
        aggregate = aggregate_parse(json_body(request))
        tenant_id = tenant_required().pk
        # Databases follow aliases themselves; other stores know the stored names.
        wanted = AggregateRead(tenant_id, aggregate_resolved(aggregate, tenant_id=tenant_id, using=None))
        groups = read_through(
            lambda source: aggregate_run(tenant_id=tenant_id, aggregate=aggregate, using=source.using),
            operation="aggregate",
            request=wanted,
            attributes=wanted.attributes,
        )
        return Response(
            {"groups": [group_json(group) for group in groups], "metadata": {"freshness": freshness_state().metadata()}}
        )


def group_json(group: Group) -> dict[str, Any]:
    return {"key": orjson.Fragment(group.key), "value": orjson.Fragment(group.value), "count": group.count}
