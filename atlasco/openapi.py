"""What every operation of the API has in common, put into the OpenAPI document once."""

from __future__ import annotations

from typing import Any, Final

from freshness.policy import ON_STALE, TIERS

_REQUEST_HEADERS: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "X-Freshness-Tier": (
        {"type": "string", "enum": list(TIERS)},
        "How fresh the answer must be; each operation has its own default.",
    ),
    "X-Max-Lag-Seconds": ({"type": "number", "minimum": 0}, "A tighter budget than the tier's, in seconds."),
    "X-Consistency-Token": ({"type": "string"}, "From an earlier write: the answer shows at least that write."),
    "X-On-Stale": (
        {"type": "string", "enum": list(ON_STALE)},
        "What to do when no store meets the budget: answer and say so, wait, or 503.",
    ),
    "X-Wait-Ms": (
        {"type": "integer", "minimum": 0, "maximum": 30_000},
        "How long `X-On-Stale: wait` waits; 1,000 by default.",
    ),
}
_RESPONSE_HEADERS: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "X-Data-Freshness": (
        {"type": "string", "enum": ["realtime", "near-realtime", "eventual"]},
        "How fresh the answer is, in a word.",
    ),
    "X-Data-Source": ({"type": "string"}, "The store that answered."),
    "X-Data-Store": ({"type": "string"}, "Which of the source's stores it was: `replica1`, say. Where data was read."),
    "X-Data-Position": (
        {"type": "string"},
        "The log position that the answer reflects at least. Where data was read or written.",
    ),
    "X-Data-Lag-Seconds": (
        {"type": "string"},
        "Upper bound: nothing committed longer ago than that is missing; or `unknown`.",
    ),
    "X-Replication-Lag": ({"type": "string"}, "The answering replica's lag in seconds."),
    "X-Cache-Hit": ({"type": "string", "enum": ["true", "false"]}, "Whether a cache answered."),
    "X-Freshness-Tier": ({"type": "string", "enum": list(TIERS)}, "The tier that was asked for."),
    "X-SLA-Met": (
        {"type": "string", "enum": ["true", "false", "unknown"]},
        "Whether the budget was kept; never a guess.",
    ),
    "X-Query-Timestamp": ({"type": "string", "format": "date-time"}, "When the request began."),
    "X-Request-Id": ({"type": "string"}, "Name it when you ask about this answer."),
    "X-Consistency-Token": ({"type": "string"}, "On a write: send it with a read that must see the write."),
}
_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "RFC 9457. Programs tell problems apart by `code`.",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"path": {"type": "string"}, "code": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
    "required": ["type", "title", "status", "detail", "code"],
}


_EXPLAIN: Final[dict[str, Any]] = {
    "name": "explain",
    "in": "query",
    "schema": {"type": "string", "enum": ["route"]},
    "description": "`route`: the answer gets a member `route` that tells why this store answered.",
}


# They tell of the stores themselves.
_UNROUTED: Final = frozenset({"freshness_retrieve", "freshness_decision"})


def _is_read(method: str, operation: dict[str, Any]) -> bool:
    """Whether an operation reads data and does not describe `explain` itself."""
    name = operation.get("operationId")
    is_read = (method == "get" and name not in _UNROUTED) or name == "analytics_aggregate"
    return is_read and not any(parameter.get("name") == "explain" for parameter in operation["parameters"])


def freshness_describe(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """drf-spectacular's hook: freshness headers, both ways, and the problem answer on every operation."""
    components = result.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = _PROBLEM
    components["headers"] = {
        name: {"schema": schema, "description": text} for name, (schema, text) in _RESPONSE_HEADERS.items()
    }
    components.setdefault("parameters", {}).update(
        {
            name: {"name": name, "in": "header", "schema": schema, "description": text}
            for name, (schema, text) in _REQUEST_HEADERS.items()
        }
    )
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in _RESPONSE_HEADERS}
    for path in result["paths"].values():
        for method, operation in path.items():
            if operation.get("operationId", "").startswith("schema"):
                continue
            operation.setdefault("parameters", []).extend(
                {"$ref": f"#/components/parameters/{name}"} for name in _REQUEST_HEADERS
            )
            if _is_read(method, operation):
                operation["parameters"].append(_EXPLAIN)
            operation["responses"]["default"] = {
                "description": "A problem.",
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            }
            for response in operation["responses"].values():
                response["headers"] = {**headers, **response.get("headers", {})}
    return result
