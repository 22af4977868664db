"""/attributes/: the registry."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from atlasco.lib.clock import iso
from atlasco.lib.errors import FieldError
from atlasco.lib.json_api import json_body
from atlasco.lib.parameters import parameter_error, parameters
from entities import selectors, services
from entities.api import openapi
from entities.api.common import attribute_name_parse, limit_parameter
from entities.models import AttributeMetadata
from freshness.reads import read_through, write_finished
from freshness.state import freshness_state
from tenants.binding import tenant_required


class AttributeList(APIView):
    """Every attribute name the tenant ever used."""

    @extend_schema(
        operation_id="attributes_list",
        parameters=[
            OpenApiParameter("prefix"),
            OpenApiParameter(
                "status",
                enum=AttributeMetadata.Status.values,
                description="Only names of this status.",
            ),
            openapi.LIMIT,
            openapi.CURSOR,
        ],
        responses={200: openapi.ATTRIBUTE_PAGE},
    )
    def get(self, request: Request) -> Response:
        """A page of the registry in order of name, narrowed by prefix."""
        values = parameters(request, ("prefix", "status", "limit", "cursor"))
        status = values.get("status", "")
        if status and status not in AttributeMetadata.Status.values:
            raise parameter_error("status", f"`status` is one of {', '.join(AttributeMetadata.Status.values)}.")
        tenant_id, limit = tenant_required().pk, limit_parameter(values)
        page = read_through(
            lambda source: selectors.attributes_page(
                tenant_id=tenant_id,
                prefix=values.get("prefix", ""),
                limit=limit,
                cursor=values.get("cursor") or None,
                using=source.using,
                status=status,
            ),
            operation="attributes",
            # Its most common values are told of each.
            attributes=None,
        )
        return Response(
            {
                "attributes": [attribute_json(row) for row in page.attributes],
                "next_cursor": page.next_cursor,
                "metadata": {"freshness": freshness_state().metadata()},
            }
        )


class AttributeDetail(APIView):
    """One attribute of the registry."""

    @extend_schema(
        operation_id="attributes_retrieve", parameters=[openapi.NAME_IN_PATH], responses={200: openapi.ATTRIBUTE}
    )
    def get(self, request: Request, name: str) -> Response:
        """What is known of the attribute."""
        parameters(request, ())
        tenant_id, known = tenant_required().pk, attribute_name_parse(name)
        row = read_through(
            lambda source: selectors.attribute_get(tenant_id=tenant_id, name=known, using=source.using),
            operation="attributes",
            attributes=(known,),
        )
        return Response(attribute_json(row))

    @extend_schema(
        operation_id="attributes_update",
        parameters=[openapi.NAME_IN_PATH],
        request={"application/json": openapi.ATTRIBUTE_PATCH},
        responses={200: openapi.ATTRIBUTE},
    )
    def patch(self, request: Request, name: str) -> Response:
        """Change its description, unit, owner or status. A quarantined name is promoted by any other status."""
        parameters(request, ())
        changes = description_parse(json_body(request))
        tenant_id = tenant_required().pk
        row = services.attribute_describe(tenant_id=tenant_id, name=attribute_name_parse(name), changes=changes)
        write_finished(tenant_id=tenant_id)
        return Response(attribute_json(row))


_LIMITS: Final = {"description": 10_000, "unit": 50, "owner": 150, "status": 20}


def description_parse(body: object) -> dict[str, str]:
    """Return the checked changes of a PATCH. Raises InvalidEntity with every fault found."""
    if not isinstance(body, dict):
        raise services.InvalidEntity("The body is a JSON object.")
    errors = []
    for name, value in body.items():
        if name not in _LIMITS:
            errors.append(FieldError(name[:100], "unknown_field", f"Only {', '.join(_LIMITS)} can be changed here."))
        elif not isinstance(value, str) or len(value) > _LIMITS[name] or "\x00" in value:
            errors.append(
                FieldError(name, "invalid_value", f"`{name}` is a string of at most {_LIMITS[name]} characters.")
            )
        elif name == "status" and value not in AttributeMetadata.Status.values:
            errors.append(
                FieldError(name, "invalid_value", f"`status` is one of {', '.join(AttributeMetadata.Status.values)}.")
            )
    if errors:
        raise services.InvalidEntity(errors[0].detail if len(errors) == 1 else "", errors=errors)
    return body


def attribute_json(row: selectors.AttributeRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "value_type": row.value_type,
        "types": row.types,
        "entity_count": sum(row.types.values()),
        "cardinality_estimate": row.cardinality_estimate,
        "null_rate": row.null_rate,
        "most_common": [{"value": value, "share": share} for value, share in row.most_common],
        "hot_score": row.hot_score,
        "is_indexed": row.is_indexed,
        "last_analyzed": iso(row.last_analyzed) if row.last_analyzed else None,
        "first_seen_at": iso(row.first_seen_at),
        "description": row.description,
        "unit": row.unit,
        "owner": row.owner,
        "status": row.status,
        "quarantine_reason": row.quarantine_reason or None,
    }
