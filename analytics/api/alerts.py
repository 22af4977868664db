"""/alerts/: rules and their firings."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analytics.alerts import services
from analytics.alerts.evaluate import OPERATORS
from analytics.alerts.services import FIRING_STATES, RULES_MAX, AlertRule, Firing, FiringState, rule_body, rule_parse
from analytics.api.common import signed_decode, signed_encode
from atlasco.lib.clock import iso, now
from atlasco.lib.json_api import json_body
from atlasco.lib.parameters import parameter_error, parameters, whole_parameter
from entities.api import openapi
from entities.api.common import limit_parameter
from entities.search.cursors import InvalidCursor
from freshness.reads import primary_source, write_finished
from freshness.state import freshness_state
from tenants.actors import actor_current
from tenants.binding import tenant_required

_ID_MAX: Final = 2**63 - 1
_SALT: Final = "analytics.alerts.cursor"
_INSTANT: Final = {"type": "string", "format": "date-time"}
_ID: Final = {"type": "string", "pattern": "^[0-9]+$"}
_FIELDS: Final[dict[str, Any]] = {
    "name": {"type": "string", "maxLength": services.NAME_MAX},
    "attribute": {"type": "string"},
    "entity_type": {"type": "string", "description": "Empty: entities of any type."},
    "external_id": {"type": "string", "description": "Empty: each entity, by itself."},
    "operator": {"type": "string", "enum": list(OPERATORS)},
    "threshold": {"type": "number", "nullable": True, "description": "null with `stale`, and needed with all others."},
    "clear_threshold": {
        "type": "number",
        "nullable": True,
        "description": "What fired goes on until a sample is no longer beyond this; the threshold by default.",
    },
    "for_samples": {"type": "integer", "minimum": 1, "maximum": services.FOR_SAMPLES_MAX},
    "for_seconds": {
        "type": "integer",
        "minimum": 0,
        "maximum": services.FOR_SECONDS_MAX,
        "description": "From the first sample's own instant to the last one's, and then by the clock while no other "
        "comes. With `stale`: for so long no value came, of any type; from the rule's making on at the earliest.",
    },
    "is_enabled": {"type": "boolean"},
    "webhook_url": {"type": "string", "description": "Empty: none. Each POST is signed in X-Atlasco-Signature."},
    "emails": {"type": "array", "items": {"type": "string", "format": "email"}, "maxItems": services.EMAILS_MAX},
}
_RULE_NEW: Final = openapi.object_of(_FIELDS, required=["name", "attribute", "operator"])
_RULE_PATCH: Final = openapi.object_of(_FIELDS)
_RULE: Final = openapi.object_of(
    {
        "rule_id": _ID,
        **_FIELDS,
        "created_at": _INSTANT,
        "updated_at": _INSTANT,
        "open_firings": {"type": "integer"},
        "webhook_secret": {
            "type": "string",
            "description": "Only in the answer that made the webhook: check X-Atlasco-Signature with it.",
        },
    }
)
_FRESHNESS: Final = openapi.object_of({"freshness": openapi.FRESHNESS})
_RULES: Final = openapi.object_of({"rules": {"type": "array", "items": _RULE}, "metadata": _FRESHNESS})
_FIRING: Final = openapi.object_of(
    {
        "firing_id": _ID,
        "rule_id": _ID,
        "rule_name": {"type": "string"},
        "attribute": {"type": "string"},
        "operator": {"type": "string"},
        "threshold": {"type": "number", "nullable": True},
        "entity_id": _ID,
        "entity_type": {"type": "string"},
        "external_id": {"type": "string"},
        "value": {"type": "number", "nullable": True, "description": "null: no number had come."},
        "fired_at": {**_INSTANT, "description": "Of the sample, or when its time was up."},
        "noticed_at": {**_INSTANT, "description": "When it was evaluated."},
        "cleared_at": {**_INSTANT, "nullable": True},
        "cleared_value": {"type": "number", "nullable": True},
        "acknowledged_at": {**_INSTANT, "nullable": True},
        "acknowledged_by": {"type": "string"},
    }
)
_FIRINGS: Final = openapi.object_of(
    {
        "firings": {"type": "array", "items": _FIRING},
        "next_cursor": {"type": "string", "nullable": True},
        "metadata": openapi.object_of(
            {
                "freshness": openapi.FRESHNESS,
                "evaluated_at": {
                    **_INSTANT,
                    "nullable": True,
                    "description": "Everything committed before has been tested.",
                },
            }
        ),
    }
)
_PREVIEW: Final = openapi.object_of(
    {
        "firings": {"type": "integer"},
        "samples": {"type": "integer"},
        "entities": {"type": "integer"},
        "is_whole": {"type": "boolean", "description": "false: there were more samples than a preview reads."},
    }
)
_RULE_ID: Final = OpenApiParameter("rule_id", OpenApiTypes.STR, OpenApiParameter.PATH, description="Digits.")
_FIRING_ID: Final = OpenApiParameter("firing_id", OpenApiTypes.STR, OpenApiParameter.PATH, description="Digits.")
_EXAMPLE: Final = OpenApiExample(
    "Hot for three samples, until it is below 28",
    value={
        "name": "Too hot",
        "attribute": "temperature",
        "entity_type": "sensor",
        "operator": "gt",
        "threshold": 30,
        "clear_threshold": 28,
        "for_samples": 3,
        "emails": ["ops@example.com"],
    },
    request_only=True,
)


class AlertRules(APIView):
    """Alert rules: tested with every value that is written from their making on."""

    @extend_schema(operation_id="alerts_rules_list", responses={200: _RULES})
    def get(self, request: Request) -> Response:
        """All rules, oldest first; a tenant has at most 500."""
        parameters(request, ())
        primary_source(query_class="critical")
        rules = services.rules_read(tenant_id=tenant_required().pk, limit=RULES_MAX)
        return Response(
            {"rules": [rule_json(rule) for rule in rules], "metadata": {"freshness": freshness_state().metadata()}}
        )

    @extend_schema(
        operation_id="alerts_rules_create",
        request={"application/json": _RULE_NEW},
        responses={201: _RULE},
        examples=[_EXAMPLE],
    )
    def post(self, request: Request) -> Response:
        """A new rule. The secret of its webhook is in this answer and never again."""
        parameters(request, ())
        tenant_id = tenant_required().pk
        rule, secret = services.rule_create(tenant_id=tenant_id, rule=rule_parse(json_body(request)), now=now())
        write_finished(tenant_id=tenant_id)
        return Response(rule_json(rule, secret), status=201)


class AlertRulePreview(APIView):
    """What a rule would have done."""

    required_scope = "read"

    @extend_schema(
        operation_id="alerts_rules_preview",
        request={"application/json": _RULE_NEW},
        responses={200: _PREVIEW},
        examples=[_EXAMPLE],
    )
    def post(self, request: Request) -> Response:
        """How often the rule would have fired in the last seven days. Nothing is kept."""
        parameters(request, ())
        primary_source(query_class="analytics")
        found = services.rule_preview(tenant_id=tenant_required().pk, rule=rule_parse(json_body(request)), now=now())
        return Response(
            {
                "firings": found.firings,
                "samples": found.samples,
                "entities": found.entities,
                "is_whole": found.is_whole,
            }
        )


class AlertRuleDetail(APIView):
    """One alert rule."""

    @extend_schema(operation_id="alerts_rules_retrieve", parameters=[_RULE_ID], responses={200: _RULE})
    def get(self, request: Request, rule_id: int) -> Response:
        """The rule."""
        parameters(request, ())
        primary_source(query_class="critical")
        return Response(rule_json(services.rule_get(tenant_id=tenant_required().pk, rule_id=rule_id)))

    @extend_schema(
        operation_id="alerts_rules_update",
        parameters=[_RULE_ID],
        request={"application/json": _RULE_PATCH},
        responses={200: _RULE},
    )
    def patch(self, request: Request, rule_id: int) -> Response:
        """Change some of it. If its condition changes, it starts afresh: open firings end."""
        parameters(request, ())
        tenant_id = tenant_required().pk
        rule, secret = services.rule_patch(tenant_id=tenant_id, rule_id=rule_id, body=json_body(request), now=now())
        write_finished(tenant_id=tenant_id)
        return Response(rule_json(rule, secret))

    @extend_schema(operation_id="alerts_rules_delete", parameters=[_RULE_ID], responses={204: None})
    def delete(self, request: Request, rule_id: int) -> Response:
        """Remove the rule with its firings."""
        parameters(request, ())
        tenant_id = tenant_required().pk
        services.rule_delete(tenant_id=tenant_id, rule_id=rule_id, now=now())
        write_finished(tenant_id=tenant_id)
        return Response(status=204)


class AlertFirings(APIView):
    """What fired."""

    @extend_schema(
        operation_id="alerts_firings_list",
        parameters=[
            OpenApiParameter("rule_id", OpenApiTypes.STR, description="Only of this rule."),
            OpenApiParameter("state", OpenApiTypes.STR, enum=list(FIRING_STATES), description="`all` by default."),
            openapi.LIMIT,
            openapi.CURSOR,
        ],
        responses={200: _FIRINGS},
    )
    def get(self, request: Request) -> Response:
        """A page of firings, newest first."""
        values = parameters(request, ("rule_id", "state", "limit", "cursor"))
        tenant_id = tenant_required().pk
        state: FiringState = _state(values.get("state", "all"))
        rule_id = whole_parameter(values, "rule_id", 0, _ID_MAX)
        limit = limit_parameter(values)
        identity = [tenant_id, state, rule_id]
        before = None
        if values.get("cursor"):
            before, made_for = signed_decode(values["cursor"], salt=_SALT, size=2)
            if made_for != identity:
                raise InvalidCursor
        primary_source(query_class="critical")
        found = services.firings_read(tenant_id=tenant_id, state=state, rule_id=rule_id, before=before, limit=limit + 1)
        page = found[:limit]
        cursor = signed_encode([page[-1].firing_id, identity], salt=_SALT) if len(found) > limit else None
        evaluated = services.evaluated_at()
        return Response(
            {
                "firings": [firing_json(firing) for firing in page],
                "next_cursor": cursor,
                "metadata": {
                    "freshness": freshness_state().metadata(),
                    "evaluated_at": None if evaluated is None else iso(evaluated),
                },
            }
        )


class AlertFiringAcknowledge(APIView):
    """Taking note of a firing."""

    @extend_schema(
        operation_id="alerts_firings_acknowledge",
        parameters=[_FIRING_ID],
        request={"application/json": openapi.object_of({})},
        responses={200: _FIRING},
    )
    def post(self, request: Request, firing_id: int) -> Response:
        """Note that somebody has seen it. Whoever was first stays noted."""
        parameters(request, ())
        tenant_id = tenant_required().pk
        firing = services.firing_acknowledge(
            tenant_id=tenant_id, firing_id=firing_id, who=actor_current().name, now=now()
        )
        write_finished(tenant_id=tenant_id)
        return Response(firing_json(firing))


# --- JSON and parameters ----------------------------------------------------------------------------------------------
def rule_json(rule: AlertRule, secret: str = "") -> dict[str, Any]:
    body = {
        "rule_id": str(rule.rule_id),
        **rule_body(rule.wanted),
        "created_at": iso(rule.created_at),
        "updated_at": iso(rule.updated_at),
        "open_firings": rule.open_firings,
    }
    return {**body, "webhook_secret": secret} if secret else body


def firing_json(firing: Firing) -> dict[str, Any]:
    return {
        "firing_id": str(firing.firing_id),
        "rule_id": str(firing.rule_id),
        "rule_name": firing.rule_name,
        "attribute": firing.attribute,
        "operator": firing.operator,
        "threshold": None if firing.operator == "stale" else firing.threshold,
        "entity_id": str(firing.entity_id),
        "entity_type": firing.entity_type,
        "external_id": firing.external_id,
        "value": firing.value,
        "fired_at": iso(firing.fired_at),
        "noticed_at": iso(firing.noticed_at),
        "cleared_at": None if firing.cleared_at is None else iso(firing.cleared_at),
        "cleared_value": firing.cleared_value,
        "acknowledged_at": None if firing.acknowledged_at is None else iso(firing.acknowledged_at),
        "acknowledged_by": firing.acknowledged_by,
    }


def _state(text: str) -> FiringState:
    for state in FIRING_STATES:
        if state == text:
            return state
    raise parameter_error("state", f"`state` is one of {', '.join(FIRING_STATES)}.")
