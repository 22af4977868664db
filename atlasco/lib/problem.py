"""A Problem as an RFC 9457 answer. For code outside DRF (middleware) and for DRF's handler alike."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson
from django.http import HttpResponse

from atlasco.lib.errors import Problem

CONTENT_TYPE = "application/problem+json"


def problem_body(problem: Problem) -> dict[str, Any]:
    """The members of the answer: type, title, status, detail, code, `errors` where there are any, and the extras.

    The type stays about:blank, as there is no page to point to: `code` is what programs tell problems apart by.
    """
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
    }
    if problem.errors:
        body["errors"] = [error.as_dict() for error in problem.errors]
    # An extra never replaces a member that the standard defines.
    return {**problem.extra, **body}


def problem_headers(problem: Problem) -> dict[str, str]:
    """Headers the status demands: WWW-Authenticate from a `challenge`, Retry-After where trying again makes sense."""
    headers = {}
    if challenge := getattr(problem, "challenge", ""):
        headers["WWW-Authenticate"] = challenge
    # What is unavailable, and what came too often (429).
    if retry_after_s := getattr(problem, "retry_after_s", 0):
        headers["Retry-After"] = str(retry_after_s)
    return headers


def problem_http_response(problem: Problem) -> HttpResponse:
    """The whole answer, for places that DRF does not reach."""
    return HttpResponse(
        orjson.dumps(problem_body(problem)),
        status=problem.status,
        content_type=CONTENT_TYPE,
        headers=problem_headers(problem),
    )
