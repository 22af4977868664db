"""What every view of the API shares: JSON in and out, problems, and the body of an error."""

from __future__ import annotations

import logging
from typing import IO, Any, Final

import orjson
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.views import defaults
from rest_framework import exceptions, parsers, renderers
from rest_framework.request import Request
from rest_framework.response import Response

from atlasco.lib.errors import Invalid, NotFound, Problem
from atlasco.lib.problem import CONTENT_TYPE, problem_body, problem_headers, problem_http_response
from freshness.reads import PrimaryUnavailable, is_store_failure
from tenants.errors import Forbidden

log = logging.getLogger(__name__)

# Of a body that is too large, so much is read and dropped: who is still sending would see a broken connection instead
# of the answer.
_DRAINED_MAX_BYTES: Final = 64 << 20


class JSONRenderer(renderers.BaseRenderer):
    """JSON by orjson. A document that PostgreSQL has already written as JSON passes through as `orjson.Fragment`."""

    media_type = "application/json"
    format = "json"
    charset = None
    render_style = "binary"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        return b"" if data is None else orjson.dumps(data)


class InvalidJSON(Invalid):
    """The body is not JSON."""

    code = "invalid_json"


class BodyTooLarge(Invalid):
    """The body is larger than this endpoint takes; send many entities with POST /api/v1/entities/import/."""

    status = 413
    code = "body_too_large"


class BodyCut(Invalid):
    """The body ended before its announced length: the connection was cut. Nothing was done."""

    code = "broken_body"


class LengthRequired(Problem):
    """A JSON body needs a Content-Length; only imports may come in chunks."""

    status = 411
    code = "length_required"


class MalformedRequest(Invalid):
    """The request can't be understood."""

    code = "malformed_request"


class JSONParser(parsers.BaseParser):
    """JSON by orjson, which refuses NaN, infinite numbers and broken UTF-8."""

    media_type = "application/json"

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None) -> Any:
        request: HttpRequest = parser_context["request"]._request
        try:
            body = request.body
        except RequestDataTooBig:
            _drain(request)
            raise BodyTooLarge from None
        except UnreadablePostError:
            raise BodyCut from None
        # What is left of a cut body may be JSON, too: `12` of `1234`.
        if len(body) < int(request.META.get("CONTENT_LENGTH") or 0):
            raise BodyCut
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise InvalidJSON(f"The body is not JSON: {error}.") from None


def _drain(request: HttpRequest) -> None:
    try:
        for _ in range(_DRAINED_MAX_BYTES >> 18):
            if not request.read(1 << 18):
                return
    except OSError:
        log.info("A client left while it was told that its body is too large.")


def json_body(request: Request) -> Any:
    """The parsed JSON body; an empty object where there is none.

    Raises InvalidJSON, BodyCut, BodyTooLarge, LengthRequired, and what the framework raises for other media types.
    """
    # The framework takes a body without a length for none: a search would find everything, whatever it asked for.
    if "Transfer-Encoding" in request.headers and not request.META.get("CONTENT_LENGTH"):
        raise LengthRequired
    return request.data


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
    return defaults.server_error(request)


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
    if isinstance(error, OperationalError | InterfaceError) and is_store_failure(error):
        log.warning("The primary failed a request.", exc_info=error)
        problem = PrimaryUnavailable()
    for known, kind in _KINDS:
        if problem is None and isinstance(error, known):
            problem = kind()
    if problem is None:
        return None
    headers = problem_headers(problem)
    if isinstance(error, exceptions.MethodNotAllowed):
        headers["Allow"] = ", ".join(context["view"].allowed_methods)
    return Response(problem_body(problem), status=problem.status, headers=headers, content_type=CONTENT_TYPE)
