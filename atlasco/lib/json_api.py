"""JSON in and out, for every view of the API."""

from __future__ import annotations

import logging
from typing import IO, Any, Final

import orjson
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, UnreadablePostError
from rest_framework import parsers, renderers
from rest_framework.request import Request

from atlasco.lib.errors import Invalid, Problem

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

    code = "body_cut"


class LengthRequired(Problem):
    """A JSON body needs a Content-Length; only imports may come in chunks."""

    status = 411
    code = "length_required"


class UnsupportedEncoding(Invalid):
    """A JSON body is sent without a Content-Encoding; only imports may be gzip."""

    status = 415
    code = "unsupported_content_encoding"


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

    Raises InvalidJSON, BodyCut, BodyTooLarge, LengthRequired, UnsupportedEncoding, and what the framework raises for
    other media types.
    """
    if request.headers.get("Content-Encoding", "").strip().lower() not in {"", "identity"}:
        raise UnsupportedEncoding
    # The framework takes a body without a length for none: a search would find everything, whatever it asked for.
    if "Transfer-Encoding" in request.headers and not request.META.get("CONTENT_LENGTH"):
        raise LengthRequired
    return request.data
