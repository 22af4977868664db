"""/entities/ID/history/ and /analytics/state/: changes of values, and what held at an instant."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final

import orjson
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analytics.api.common import instant_parameter
from atlasco.lib.clock import iso
from atlasco.lib.parameters import parameter_error, parameters
from entities.api import openapi
from entities.api.common import attribute_name_parse, limit_parameter
from entities.history import StateValue, ValueChange, entity_history, state_at
from entities.selectors import entity_id_parse
from freshness.state import freshness_state
from tenants.binding import tenant_required

_SECONDS: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?")
_AT: Final = OpenApiParameter("at", OpenApiTypes.DATETIME, description="What held at this instant, ISO 8601 with zone.")
_ATTRIBUTE: Final = OpenApiParameter("attribute", OpenApiTypes.STR, description="Only this attribute.")
_INSTANT: Final = {"type": "string", "format": "date-time"}
_VALUE: Final[dict[str, Any]] = {"name": {"type": "string"}, "value_type": {"type": "string"}, "at": _INSTANT}
_FRESHNESS: Final = openapi.object_of({"freshness": openapi.FRESHNESS})
_NEXT: Final[dict[str, Any]] = {"type": "string", "nullable": True}
_HISTORY: Final = openapi.object_of(
    {
        "changes": {
            "type": "array",
            "items": openapi.object_of({**_VALUE, "value": openapi.VALUE_OR_NULL, "committed_at": _INSTANT}),
        },
        "next_cursor": _NEXT,
        "metadata": _FRESHNESS,
    }
)
_STATE: Final = openapi.object_of(
    {
        "at": _INSTANT,
        "values": {
            "type": "array",
            "items": openapi.object_of(
                {
                    "entity_id": {"type": "string"},
                    "entity_type": {"type": "string", "nullable": True},
                    "external_id": {"type": "string", "nullable": True},
                    **_VALUE,
                    "value": openapi.VALUE,
                    "age_seconds": {"type": "number"},
                }
            ),
        },
        "next_cursor": _NEXT,
        "metadata": _FRESHNESS,
    }
)


class EntityHistory(APIView):
    """What became of an entity's values."""

    @extend_schema(
        operation_id="entities_history",
        parameters=[openapi.ENTITY_ID, _ATTRIBUTE, _AT, openapi.LIMIT, openapi.CURSOR],
        responses={200: {"oneOf": [_HISTORY, _STATE]}},
    )
    def get(self, request: Request, entity_id: str) -> Response:
        """Its changes, newest `at` first, a removal with a null value; with `at`, the values that held then.

        History is kept in ClickHouse, whatever freshness is asked for; the headers say how late it is. An entity that
        is gone keeps its history, one that never was has none.
        """
        values = parameters(request, ("attribute", "at", "limit", "cursor"))
        tenant_id, number, limit = tenant_required().pk, entity_id_parse(entity_id), limit_parameter(values)
        name, cursor = _name(values), values.get("cursor") or None
        if (at := instant_parameter(values, "at")) is not None:
            state = state_at(tenant_id=tenant_id, at=at, entity_id=number, name=name, limit=limit, cursor=cursor)
            return _state_response(at, state.values, state.next_cursor)
        page = entity_history(tenant_id=tenant_id, entity_id=number, name=name, limit=limit, cursor=cursor)
        return Response(
            {
                "changes": [_change_json(change) for change in page.changes],
                "next_cursor": page.next_cursor,
                "metadata": {"freshness": freshness_state().metadata()},
            }
        )


class AnalyticsState(APIView):
    """What held at an instant, over all entities."""

    @extend_schema(
        operation_id="analytics_state",
        parameters=[
            OpenApiParameter("at", OpenApiTypes.DATETIME, required=True, description="ISO 8601 with zone."),
            _ATTRIBUTE,
            OpenApiParameter(
                "stale_for_s",
                OpenApiTypes.NUMBER,
                description="Only entities of which nothing had changed for longer than so many seconds by then.",
            ),
            openapi.LIMIT,
            openapi.CURSOR,
        ],
        responses={200: _STATE},
    )
    def get(self, request: Request) -> Response:
        """The last value of each attribute of each entity whose `at` is not behind the instant."""
        values = parameters(request, ("at", "attribute", "stale_for_s", "limit", "cursor"))
        at, stale = instant_parameter(values, "at"), values.get("stale_for_s")
        if at is None:
            raise parameter_error("at", "`at` is required: the instant to look at.")
        if stale is not None and not _SECONDS.fullmatch(stale):
            raise parameter_error("stale_for_s", "`stale_for_s` is a number of seconds, 0 or more.")
        page = state_at(
            tenant_id=tenant_required().pk,
            at=at,
            name=_name(values),
            stale_for_s=None if stale is None else float(stale),
            limit=limit_parameter(values),
            cursor=values.get("cursor") or None,
        )
        return _state_response(at, page.values, page.next_cursor)


def _name(values: dict[str, str]) -> str | None:
    return attribute_name_parse(values["attribute"]) if "attribute" in values else None


def _change_json(change: ValueChange) -> dict[str, Any]:
    return {
        "name": change.name,
        "value_type": change.value_type,
        "value": None if change.value is None else orjson.Fragment(change.value),
        "at": iso(change.at),
        "committed_at": iso(change.committed_at),
    }


def _state_response(at: datetime, values: list[StateValue], next_cursor: str | None) -> Response:
    return Response(
        {
            "at": iso(at),
            "values": [
                {
                    "entity_id": str(value.entity_id),
                    "entity_type": value.entity_type or None,
                    "external_id": value.external_id or None,
                    "name": value.name,
                    "value_type": value.value_type,
                    "value": orjson.Fragment(value.value),
                    "at": iso(value.at),
                    "age_seconds": (at - value.at).total_seconds(),
                }
                for value in values
            ],
            "next_cursor": next_cursor,
            "metadata": {"freshness": freshness_state().metadata()},
        }
    )
