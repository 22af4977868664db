"""/freshness/: what is known of every store, and why a read would be answered by which."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any, Final

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from atlasco.lib import clock
from atlasco.lib.clock import iso
from atlasco.lib.errors import FieldError, Invalid
from atlasco.lib.json_api import json_body
from atlasco.lib.parameters import parameters
from freshness.choice import Verdict, candidates_judge
from freshness.defaults import budget_now, change_parse, defaults_change, defaults_json, defaults_read
from freshness.figures import decision_read
from freshness.middleware import wish_of
from freshness.monitor import monitor
from freshness.policy import OPERATION_CLASS, QUERY_CLASSES, TIER_SLA_S, TIERS, TREE, Budget, Wish, budget_settle
from freshness.reads import alias_of, candidates_now, position_needed, read_through, stores_now, write_finished
from freshness.recorder import candidate_json, origin_json
from freshness.state import FreshnessState, freshness_state
from freshness.tokens import token_decode
from tenants.binding import tenant_required

_HEADERS: Final = ("X-Freshness-Tier", "X-Max-Lag-Seconds", "X-Consistency-Token", "X-On-Stale", "X-Wait-Ms")
# Operations whose answers tell of no attribute's values.
_VALUELESS: Final = frozenset({"overview", "jobs", "defaults"})
_CANDIDATE: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "source": {"type": "string"},
        "lag_seconds": {"type": "number", "nullable": True},
        "position": {"type": "string", "nullable": True},
        "breaker": {"type": "string", "enum": ["closed", "open"]},
    },
}


_LIMIT: Final[dict[str, Any]] = {
    "type": "object",
    "nullable": True,
    "properties": {
        "tier": {"type": "string", "enum": list(TIERS)},
        "max_lag_seconds": {"type": "number", "minimum": 0, "description": "Alone: of the tier in whose range it is."},
    },
}
_DEFAULTS: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "classes": {
            "type": "object",
            "properties": dict.fromkeys(QUERY_CLASSES, _LIMIT),
            "description": "By query class: of requests whose headers say nothing.",
        },
        "attributes": {
            "type": "object",
            "additionalProperties": _LIMIT,
            "description": "By attribute: of every answer that tells of it. Headers can ask for more, never for less.",
        },
    },
}


class InvalidExplain(Invalid):
    """The operation to explain can't be understood; `errors` says where and why."""

    code = "invalid_explain"


class FreshnessSources(APIView):
    """Every store as this process knows it now."""

    tells_route = False

    @extend_schema(
        operation_id="freshness_retrieve",
        responses={
            200: {
                "type": "object",
                "properties": {
                    "sources": {"type": "array", "items": _CANDIDATE},
                    "matrix": {"type": "array", "items": {"type": "object"}},
                },
            }
        },
    )
    def get(self, request: Request) -> Response:
        """Lag, position, breaker and since when, for each store; then the budget matrix."""
        parameters(request)
        watch, now = monitor(), clock.now()
        sources = []
        freshness_state().budget = budget_settle(wish=Wish(), query_class="operational")
        for candidate in stores_now():
            reading = watch.reading(alias_of(candidate))
            since = None if reading is None else iso(now - timedelta(seconds=time.monotonic() - reading.since))
            sources.append({**candidate_json(candidate), "since": since})
        sources.sort(key=lambda source: source["name"])
        matrix = [
            {
                "class": row.name,
                "tier": row.tier,
                "sla_seconds": row.sla_s,
                "source": row.source,
                "max_lag_seconds": row.max_lag_s,
                "fallback": row.fallback,
            }
            for row in QUERY_CLASSES.values()
        ]
        return Response({"sources": sources, "matrix": matrix, "tree": TREE, "tiers_seconds": TIER_SLA_S})


class FreshnessExplain(APIView):
    """Why a read would be answered by which store."""

    required_scope = "read"
    tells_route = False

    @extend_schema(
        operation_id="freshness_explain",
        request={
            "application/json": {
                "type": "object",
                "properties": {
                    "operation": {"type": "string", "enum": list(OPERATION_CLASS)},
                    "attributes": {
                        "type": "array",
                        "items": {"type": "string"},
                        "description": "That the answer tells of; without it, all that there are.",
                    },
                    **{name: {"type": "string"} for name in _HEADERS},
                },
                "required": ["operation"],
            }
        },
        responses={
            200: {
                "type": "object",
                "properties": {
                    "operation": {"type": "string"},
                    "tier": {"type": "string"},
                    "sla_target": {"type": "number", "nullable": True},
                    "budget_from": {
                        "type": "object",
                        "properties": {
                            "origin": {"type": "string", "enum": ["class", "tenant", "header", "attribute"]},
                            "attribute": {"type": "string"},
                        },
                    },
                    "chosen": {"type": "string", "nullable": True},
                    "candidates": {"type": "array", "items": _CANDIDATE},
                },
            }
        },
        examples=[
            OpenApiExample(
                "A search that may be 2.5 s old",
                value={"operation": "search", "X-Max-Lag-Seconds": "2.5"},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """The candidates in the order in which they would be tried, each with the reason it is taken or rejected."""
        parameters(request)
        body = json_body(request)
        operation = body.get("operation") if isinstance(body, dict) else None
        if not isinstance(operation, str) or operation not in OPERATION_CLASS:
            raise _invalid("operation", f"`operation` is one of {', '.join(OPERATION_CLASS)}.")
        attributes = _attributes(body, operation)
        headers = {}
        for name, value in body.items():
            if name in {"operation", "attributes"}:
                continue
            known = next((header for header in _HEADERS if header.lower() == str(name).lower()), None)
            if known is None:
                raise _invalid(str(name)[:100], f"There is no member {str(name)[:100]!r} here.")
            headers[known] = str(value)
        # Headers of the request itself count where the body does not repeat them.
        sent = {name: request.headers[name] for name in _HEADERS if name in request.headers}
        budget, verdicts = _judged({**sent, **headers}, operation, attributes)
        return Response(
            {
                "operation": body["operation"],
                "tier": budget.tier,
                "sla_target": budget.sla_s,
                "budget_from": origin_json(budget),
                "on_stale": budget.on_stale,
                "chosen": next((verdict.candidate.name for verdict in verdicts if verdict.qualifies), None),
                "candidates": [
                    {
                        **candidate_json(verdict.candidate),
                        "taken": index == 0 and verdict.qualifies,
                        "reason": _reason(verdict, index),
                    }
                    for index, verdict in enumerate(verdicts)
                ],
            }
        )


class FreshnessDefaults(APIView):
    """How fresh this tenant wants its answers where nobody says so."""

    @extend_schema(operation_id="freshness_defaults_retrieve", responses={200: _DEFAULTS})
    def get(self, request: Request) -> Response:
        """The tenant's defaults by query class, and the floors of its attributes."""
        parameters(request)
        tenant_id = tenant_required().pk
        defaults = read_through(
            lambda source: defaults_read(tenant_id=tenant_id, using=source.using), operation="defaults", attributes=()
        )
        return Response({**defaults_json(defaults), "metadata": {"freshness": freshness_state().metadata()}})

    @extend_schema(
        operation_id="freshness_defaults_update",
        request={"application/json": _DEFAULTS},
        responses={200: _DEFAULTS},
        examples=[
            OpenApiExample(
                "Searches from the primary, and a price that is never older than 2.5 s",
                value={
                    "classes": {"operational": {"tier": "REALTIME"}},
                    "attributes": {"price": {"max_lag_seconds": 2.5}},
                },
                request_only=True,
            )
        ],
    )
    def patch(self, request: Request) -> Response:
        """Settle some anew: a limit sets, null takes back, what is not named stays. Known everywhere within 2 s."""
        parameters(request)
        tenant = tenant_required()
        defaults = defaults_change(tenant=tenant, **change_parse(json_body(request)))
        write_finished(tenant_id=tenant.pk)
        return Response(defaults_json(defaults))


class FreshnessDecision(APIView):
    """Why an answer of the last 24 hours came from the store that it came from."""

    tells_route = False

    @extend_schema(operation_id="freshness_decision", responses={200: {"type": "object"}})
    def get(self, request: Request, request_id: str) -> Response:
        """By the X-Request-Id of the answer; of several with one id, the first. Under load only a sample is kept."""
        parameters(request)
        return Response(decision_read(tenant_id=tenant_required().pk, request_id=request_id))


def _attributes(body: dict[str, Any], operation: str) -> list[str] | None:
    """Of which attributes the read would tell; None for any."""
    told = body.get("attributes")
    if told is None:
        return [] if operation in _VALUELESS else None
    if not isinstance(told, list) or not all(isinstance(name, str) for name in told):
        raise _invalid("attributes", "`attributes` is a list of names.")
    return told


def _judged(headers: dict[str, str], operation: str, attributes: list[str] | None) -> tuple[Budget, list[Verdict]]:
    budget = budget_now(wish=wish_of(headers), query_class=OPERATION_CLASS[operation], attributes=attributes)
    text = headers.get("X-Consistency-Token")
    token = token_decode(text, tenant_id=tenant_required().pk) if text else None
    freshness_state().budget = budget
    needed = position_needed(FreshnessState(token=token))
    return budget, candidates_judge(
        budget=budget,
        needed_lsn=needed.lsn,
        needed_timeline=needed.timeline,
        candidates=candidates_now(operation=operation),
    )


def _reason(verdict: Verdict, index: int) -> str:
    if not verdict.qualifies:
        return verdict.reason
    return "meets the budget first in the order of its tier" if index == 0 else "meets the budget; comes later"


def _invalid(path: str, detail: str) -> InvalidExplain:
    return InvalidExplain(detail, errors=[FieldError(path, "invalid_explain", detail)])
