"""/analytics/: aggregates."""

from __future__ import annotations

from typing import Any

import orjson
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from entities.aggregates import Group, aggregate_parse, aggregate_run
from entities.api.common import parameters
from freshness.sources import read_source
from freshness.state import freshness_state
from tenants.binding import tenant_required


class AnalyticsAggregate(APIView):
    """Counts, averages, percentiles and mixes over the tenant's entities."""

    required_scope = "read"

    def post(self, request: Request) -> Response:
        """Groups with their values; without `group_by`, one group whose key is null."""
        parameters(request, ())
        aggregate = aggregate_parse(request.data)
        source = read_source(query_class="reporting")
        groups = aggregate_run(tenant_id=tenant_required().pk, aggregate=aggregate, using=source.using)
        return Response(
            {"groups": [group_json(group) for group in groups], "metadata": {"freshness": freshness_state().metadata()}}
        )


def group_json(group: Group) -> dict[str, Any]:
    return {"key": orjson.Fragment(group.key), "value": orjson.Fragment(group.value), "count": group.count}
