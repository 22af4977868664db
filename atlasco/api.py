"""What becomes of errors: problems of ours, the framework's own, and the unexpected, each as an RFC 9457 answer."""

from __future__ import annotations

import logging
import sys
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response

from atlasco.lib.errors import Invalid, NotFound, Problem
from atlasco.lib.json_api import BodyTooLarge
from atlasco.lib.problem import CONTENT_TYPE, problem_body, problem_headers, problem_http_response
from freshness.middleware import degraded_page
from freshness.reads import store_problem
from tenants.errors import Forbidden

log = logging.getLogger(__name__)


class MalformedRequest(Invalid):
    """The request can't be understood."""

    code = "malformed_request"


class MethodNotAllowed(Problem):
    """This path does not take this method."""

    status = 405
    code = "method_not_allowed"


class UnsupportedMediaType(Problem):
    """This path does not take a body of this media type."""

    status = 415
    code = "unsupported_media_type"


class NotAcceptable(Problem):
    """This path can't answer with a media type that the request accepts."""

    status = 406
    code = "not_acceptable"


class PageNotFound(NotFound):
    """There is nothing at this path."""

    code = "no_such_path"


class ServerError(Problem):
    """Something went wrong on our side. It has been logged; name X-Request-Id when you ask about it."""

    status = 500
    code = "server_error"


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler for the unexpected, which it has logged with its traceback by now."""
    if request.path_info.startswith("/api/"):
        return problem_http_response(ServerError())
    error = sys.exc_info()[1]
    problem = store_problem(error) if isinstance(error, OperationalError | InterfaceError) else None
    return defaults.server_error(request) if problem is None else degraded_page(request, problem)


_KINDS: list[tuple[type[Exception], type[Problem]]] = [
    (exceptions.MethodNotAllowed, MethodNotAllowed),
    (exceptions.UnsupportedMediaType, UnsupportedMediaType),
    (exceptions.NotAcceptable, NotAcceptable),
    (exceptions.PermissionDenied, Forbidden),
    (PermissionDenied, Forbidden),
    (Http404, PageNotFound),
    (RequestDataTooBig, BodyTooLarge),
    (SuspiciousOperation, MalformedRequest),  # Too many parameters, say.
]


def problem_response(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler: a Problem of ours or an error of the framework as an RFC 9457 answer.

    None for the unexpected, which the framework logs and answers with `server_error`.
    """
    problem = error if isinstance(error, Problem) else None
    if isinstance(error, OperationalError | InterfaceError):
        problem = store_problem(error)
    if problem is not None and problem is not error:
        log.warning("The primary failed a request.", exc_info=error)
    for known, kind in _KINDS:
        if problem is None and isinstance(error, known):
            problem = kind()
    if problem is None:
        return None
    headers = problem_headers(problem)
    if isinstance(error, exceptions.MethodNotAllowed):
        headers["Allow"] = ", ".join(context["view"].allowed_methods)
    return Response(problem_body(problem), status=problem.status, headers=headers, content_type=CONTENT_TYPE)
