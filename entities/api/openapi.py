"""The shapes of the data plane's bodies, for the OpenAPI document. The parsers in `entities` decide; this describes."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter

from entities.search.query import COUNT_KINDS, LIMIT_DEFAULT, LIMIT_MAX, OPERATORS, ORDER_FIELDS
from entities.values import ENTITY_TYPE_MAX_CHARS, EXTERNAL_ID_MAX_CHARS, NAME_MAX_CHARS, VALUE_TYPES

Schema = dict[str, Any]

VALUE: Final[Schema] = {
    "oneOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}],
    "description": "A string that is a full ISO 8601 date-time with zone is a timestamp; one with a lower-case `t` or "
    "`z` stays a string. It comes back as sent, and is compared by the microsecond: instants that differ by less are "
    "equal.",
}
VALUE_OR_NULL: Final[Schema] = {**VALUE, "nullable": True, "description": "null removes the attribute."}
_INSTANT: Final[Schema] = {"type": "string", "format": "date-time"}
ENTITY_TYPE: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": ENTITY_TYPE_MAX_CHARS}
EXTERNAL_ID: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": EXTERNAL_ID_MAX_CHARS}
_NAME: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": NAME_MAX_CHARS}


def object_of(properties: Schema, *, required: list[str] | None = None, closed: bool = True) -> Schema:
    """An object's schema; closed: an unknown member is an error."""
    schema: Schema = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required
    if closed:
        schema["additionalProperties"] = False
    return schema


ENTITY: Final = object_of(
    {
        "entity_id": {"type": "string", "pattern": "^[0-9]+$"},
        "entity_type": ENTITY_TYPE,
        "external_id": EXTERNAL_ID,
        "created_at": _INSTANT,
        "updated_at": _INSTANT,
        "attributes": {"type": "object", "additionalProperties": VALUE},
    },
    required=["entity_id", "entity_type", "external_id", "created_at", "updated_at", "attributes"],
)
_ATTRIBUTES_IN: Final[Schema] = {"type": "object", "additionalProperties": VALUE_OR_NULL}
_AT: Final[Schema] = {
    **_INSTANT,
    "description": "When the update happened; now by default. An older one never overwrites a newer value.",
}
ENTITY_NEW: Final = object_of(
    {
        "entity_type": ENTITY_TYPE,
        "external_id": {**EXTERNAL_ID, "description": "The entity_id where it is left out."},
        "created_at": _INSTANT,
        "at": _AT,
        "attributes": _ATTRIBUTES_IN,
    },
    required=["entity_type"],
)
ENTITY_PATCH: Final = object_of({"created_at": _INSTANT, "at": _AT, "attributes": _ATTRIBUTES_IN})
ATTRIBUTE_VALUE_IN: Final[Schema] = {"oneOf": [object_of({"value": VALUE}, required=["value"]), VALUE]}
ATTRIBUTE_VALUE: Final = object_of(
    {
        "entity_id": {"type": "string"},
        "name": _NAME,
        "value": VALUE,
        "value_type": {"type": "string", "enum": list(VALUE_TYPES)},
        "updated_at": _INSTANT,
    }
)
FRESHNESS: Final = object_of(
    {
        "tier": {"type": "string", "enum": ["REALTIME", "NEAR_REALTIME", "EVENTUAL"]},
        "lag_seconds": {"type": "number", "nullable": True, "description": "An upper bound; null where unknown."},
        "source": {"type": "string"},
        "sla_target": {"type": "number", "nullable": True},
        "sla_met": {"type": "boolean", "nullable": True},
        "position": {"type": "string", "description": "The log position that the answer reflects at least."},
    }
)
_COUNT: Final[Schema] = {"type": "integer", "nullable": True}
_PLANS: Final = ["walk", "gin", "drive", "scan"]
SEARCH_PLAN: Final = object_of(
    {
        "plan": {"type": "string", "enum": _PLANS},
        "expected_ms": {
            "type": "object",
            "additionalProperties": {"type": "number"},
            "description": "Of every plan that was possible; only their ratios matter.",
        },
        "steps": {
            "type": "array",
            "items": object_of({"plan": {"type": "string", "enum": _PLANS}, "entities_read": _COUNT}),
            "description": "What ran, in order: more than one where a plan proved wrong and another took over.",
        },
        "gave_up": {"type": "boolean"},
        "entities": {"type": "integer", "description": "About how many the tenant has."},
        "expected": {"type": "integer", "description": "How many were expected to satisfy the query."},
        "found": {**_COUNT, "description": "How many do; null where counting them took too long."},
        "conditions": {
            "type": "array",
            "items": object_of({"condition": {"type": "string"}, "expected": {"type": "integer"}, "found": _COUNT}),
        },
        "documents": {"type": "array", "items": {"type": "object"}, "description": "What was looked up in documents."},
        "drivers": {"type": "array", "items": {"type": "string"}, "description": "What value indexes were asked."},
        "within": {
            "type": "array",
            "items": {"type": "string"},
            "description": "What else they were asked: only ids that each of these found, too, were looked up.",
        },
        "statements": {
            "type": "array",
            "items": object_of(
                {
                    "planning_ms": {"type": "number"},
                    "execution_ms": {"type": "number"},
                    "rows": {"type": "integer"},
                    "tested": {"type": "integer", "description": "Entities read."},
                    "pages_cached": {"type": "integer"},
                    "pages_read": {"type": "integer"},
                }
            ),
        },
    }
)
ENTITY_PAGE: Final = object_of(
    {
        "entities": {"type": "array", "items": ENTITY},
        "next_cursor": {"type": "string", "nullable": True},
        "metadata": object_of(
            {
                "total_count": {"type": "integer", "nullable": True},
                "count_kind": {"type": "string", "enum": list(COUNT_KINDS)},
                "freshness": FRESHNESS,
                "plan": {**SEARCH_PLAN, "description": "Of a search with explain=plan."},
            }
        ),
    }
)
# A tree of conditions is recursive, which an inline schema can't say: the description does.
WHERE: Final[Schema] = {
    "description": (
        'A list of conditions `[attribute, operator, value]`, or a tree of `{"all": […]}`, `{"any": […]}`, '
        '`{"at_least": n, "of": […]}` and `{"not": node}`. Operators: ' + ", ".join(OPERATORS) + ". "
        "`@created_at`, `@updated_at`, `@entity_type` and `@external_id` are the entity's own fields. "
        "What could never hold is 400: an empty `in` or `any`, and `at_least` of more conditions than there are."
    ),
    "oneOf": [{"type": "array", "items": {}}, {"type": "object"}],
}
MATCH: Final[Schema] = {
    "description": "How a list of conditions combines.",
    "oneOf": [
        {"type": "string", "enum": ["all", "any"]},
        object_of({"at_least": {"type": "integer", "minimum": 0}}, required=["at_least"]),
    ],
}
SEARCH: Final = object_of(
    {
        "entity_type": ENTITY_TYPE,
        "where": WHERE,
        "match": MATCH,
        "order_by": {
            "type": "string",
            "enum": [sign + name for name in ORDER_FIELDS for sign in ("", "-")],
            "default": "-updated_at",
        },
        "limit": {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT},
        "cursor": {"type": "string", "nullable": True},
        "fields": {
            "type": "array",
            "items": _NAME,
            "nullable": True,
            "description": "Attributes to return; all by default.",
        },
        "count": {"type": "string", "enum": list(COUNT_KINDS), "default": "none"},
    }
)
SEARCH_EXAMPLE: Final = OpenApiExample(
    "Active in one region, or urgent",
    value={
        "entity_type": "aircraft",
        "where": {
            "any": [
                {"all": [["status", "eq", "active"], ["region", "in", ["us-west-2", "us-east-1"]]]},
                ["priority", "gt", 5],
            ]
        },
        "fields": ["status", "region"],
        "limit": 50,
    },
    request_only=True,
)
_LINE: Final = object_of(
    {
        "line": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": object_of({"path": {"type": "string"}, "code": {"type": "string"}, "detail": {"type": "string"}}),
            "description": "Each attribute that is wrong; absent where the line itself is.",
        },
    },
    required=["line", "code", "detail"],
)
IMPORT_SUMMARY: Final = object_of(
    {
        "received": {"type": "integer"},
        "created": {"type": "integer"},
        "updated": {"type": "integer"},
        "unchanged": {"type": "integer"},
        "rejected": {
            "type": "array",
            "items": _LINE,
        },
        "rejected_not_listed": {
            "type": "integer",
            "description": "Rejected lines beyond those listed; absent where there are none.",
        },
        "warnings": {
            **object_of(
                {
                    "rules": object_of({"count": {"type": "integer"}, "lines": {"type": "array", "items": _LINE}}),
                    "quarantined": object_of(
                        {"count": {"type": "integer"}, "names": {"type": "array", "items": _NAME}}
                    ),
                }
            ),
            "description": "Lines that were written although they break a rule that only warns, and new names that "
            "were quarantined; at most 100 of each are listed. Absent where there are none.",
        },
        "position": {"type": "string"},
    }
)
ATTRIBUTE: Final = object_of(
    {
        "name": _NAME,
        "value_type": {"type": "string", "nullable": True, "description": "The type most of its values have."},
        "types": {
            "type": "object",
            "additionalProperties": {"type": "integer"},
            "description": "Entities with a value of each type.",
        },
        "entity_count": {"type": "integer"},
        "cardinality_estimate": {"type": "integer", "nullable": True},
        "null_rate": {"type": "number", "nullable": True},
        "most_common": {"type": "array", "items": object_of({"value": VALUE, "share": {"type": "number"}})},
        "hot_score": {"type": "number"},
        "is_indexed": {"type": "boolean"},
        "last_analyzed": {**_INSTANT, "nullable": True},
        "first_seen_at": _INSTANT,
        "description": {"type": "string"},
        "unit": {"type": "string"},
        "owner": {"type": "string", "description": "Who knows what it means."},
        "status": {
            "type": "string",
            "enum": ["active", "deprecated", "hidden", "quarantined"],
            "description": "A new name that looks like an id, or comes beyond the quota, is quarantined: its values "
            "are stored and found, but it is not indexed and not listed unless asked for.",
        },
        "quarantine_reason": {
            "type": "string",
            "nullable": True,
            "description": "uuid, hex, digits, date: what it looks like; quota, flood: what it exceeded.",
        },
    }
)
ATTRIBUTE_PATCH: Final = object_of(
    {name: ATTRIBUTE["properties"][name] for name in ("description", "unit", "owner", "status")}
)
ATTRIBUTE_PAGE: Final = object_of(
    {
        "attributes": {"type": "array", "items": ATTRIBUTE},
        "next_cursor": {"type": "string", "nullable": True},
        "metadata": object_of({"freshness": FRESHNESS}),
    }
)

EXPLAIN: Final = OpenApiParameter(
    "explain",
    OpenApiTypes.STR,
    enum=["plan", "route"],
    description="plan: how the search ran, what was expected and what was true, in `metadata.plan`; takes far longer. "
    "route: why this store answered, in `route`.",
)
LIMIT: Final = OpenApiParameter("limit", OpenApiTypes.INT, description=f"1 to {LIMIT_MAX}; {LIMIT_DEFAULT} by default.")
CURSOR: Final = OpenApiParameter("cursor", OpenApiTypes.STR, description="The `next_cursor` of the page before.")
IF_MATCH: Final = OpenApiParameter(
    "If-Match",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="Only if the entity still has this ETag; 412 otherwise.",
)
IF_NONE_MATCH: Final = OpenApiParameter(
    "If-None-Match",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="304 where the entity still has this ETag.",
)
ENTITY_ID: Final = OpenApiParameter("entity_id", OpenApiTypes.STR, OpenApiParameter.PATH, description="Digits.")
ETAG: Final = OpenApiParameter(
    "ETag",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    response=[200, 201, 304],
    description="The entity's version, for If-Match and If-None-Match.",
)
LOCATION: Final = OpenApiParameter(
    "Location", OpenApiTypes.STR, OpenApiParameter.HEADER, response=[200, 201], description="Where the entity is."
)
IDEMPOTENCY_REPLAYED: Final = OpenApiParameter(
    "Idempotency-Replayed",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    response=[200, 202, 207],
    enum=["true"],
    description="This is the first answer again; nothing was done. Absent from the first.",
)
NAME_IN_PATH: Final = OpenApiParameter(
    "name", OpenApiTypes.STR, OpenApiParameter.PATH, description="The attribute's name, percent-encoded; a / is %2F."
)
MODE: Final = OpenApiParameter(
    "mode",
    OpenApiTypes.STR,
    enum=["merge", "replace"],
    description="replace removes the attributes that a line does not have.",
)
IDEMPOTENCY_KEY: Final = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="The first answer is given again for 24 hours. The same key with another body is 409.",
)
NDJSON: Final[dict[str, Schema]] = {"application/x-ndjson": {"type": "string", "format": "binary"}}
