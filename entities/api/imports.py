"""/entities/import/: NDJSON in, a summary out; and imports that a worker does."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from atlasco.lib.clock import now
from atlasco.lib.errors import Problem
from atlasco.lib.json_api import UnsupportedEncoding
from atlasco.lib.parameters import flag_parameter, parameter_error, parameters
from entities import receipts
from entities.api import openapi
from entities.ingest.batch import Mode
from entities.ingest.importer import ImportSummary, import_run
from entities.ingest.lines import BrokenBody, gunzip
from freshness.reads import write_finished
from freshness.tokens import lsn_text
from tenants.binding import tenant_required

# The server's `read` comes back with all that was asked for, or at the end: of a slow stream little is asked at once.
_CHUNK_MAX: Final = 1 << 16
_CHUNK_MIN: Final = 1 << 5
_READ_S: Final = 0.1
_SPOOL_MEMORY_BYTES: Final = 8 << 20


class EntityImport(APIView):
    """Many entities at once."""

    @extend_schema(
        operation_id="entities_import",
        parameters=[
            openapi.MODE,
            OpenApiParameter("dry_run", bool, description="Do it all and undo it."),
            openapi.IDEMPOTENCY_KEY,
            openapi.IDEMPOTENCY_REPLAYED,
        ],
        request=openapi.NDJSON,
        responses={200: openapi.IMPORT_SUMMARY, 207: openapi.IMPORT_SUMMARY},
    )
    def post(self, request: Request) -> Response:
        """Write each good line and report each bad one: 200, or 207 where any line was rejected.

        The body streams; each batch of lines is committed by itself, so a cut connection keeps what came before.
        """
        values = parameters(request, ("mode", "dry_run"))
        mode = mode_parameter(values)
        dry_run = flag_parameter(values, "dry_run")
        tenant_id = tenant_required().pk
        return answer_once(
            tenant_id=tenant_id,
            key=None if dry_run else request.headers.get("Idempotency-Key"),
            body=body_chunks(request._request),
            may_be_cut=is_chunked(request._request),
            run=lambda body: self._run(tenant_id, body, request, mode, dry_run),
            operation=f"entities_import {mode}",
        )

    def _run(
        self, tenant_id: int, body: Iterator[bytes], request: Request, mode: Mode, dry_run: bool
    ) -> tuple[dict[str, Any], int]:
        summary = ImportSummary()
        chunks = decoded(body, request.headers.get("Content-Encoding", "identity"))
        try:
            import_run(
                tenant_id=tenant_id,
                chunks=chunks,
                mode=mode,
                now=now(),
                line_max_bytes=settings.IMPORT_LINE_MAX_BYTES,
                dry_run=dry_run,
                summary=summary,
            )
        except Problem as problem:
            # What came before stands; the client must know how much that is, and how to see it.
            problem.extra["written"] = {**summary.as_dict(), "rejected": summary.rejected_count}
            if not dry_run and summary.created + summary.updated:
                write_finished(tenant_id=tenant_id)
            raise
        written = write_finished(tenant_id=tenant_id)
        answer = {**summary.as_dict(), "position": lsn_text(written.lsn)}
        return answer, status.HTTP_207_MULTI_STATUS if summary.rejected_count else status.HTTP_200_OK


def answer_once(
    *,
    tenant_id: int,
    key: str | None,
    body: Iterator[bytes],
    may_be_cut: bool,
    run: Callable[[Iterator[bytes]], tuple[dict[str, Any], int]],
    operation: str,
) -> Response:
    """Run on the body and answer. With a key the answer is kept, and given again for the same key, body and operation.

    may_be_cut: the body has no announced length, so its early end could not be told from its end. Another body under
    the same key then is the rest of the story, and runs, where it would else be KeyReused.
    run: returns the answer and its status. Raises InvalidIdempotencyKey, KeyInUse, KeyReused, and what `run` raises.
    """
    if key is None:
        answer, code = run(body)
        return Response(answer, status=code)
    fingerprint = receipts.Fingerprint(operation)
    body = fingerprint.of(body)
    earlier = receipts.receipt_open(tenant_id=tenant_id, key=receipts.key_check(key), now=now())
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL_MEMORY_BYTES) as spool:
        if earlier is not None:
            for chunk in body:
                if may_be_cut:
                    spool.write(chunk)
            if fingerprint.digest() == earlier.fingerprint:
                write_finished(tenant_id=tenant_id)
                return Response(earlier.answer, status=earlier.status, headers={"Idempotency-Replayed": "true"})
            if not may_be_cut:
                raise receipts.KeyReused
            receipts.receipt_reopen(tenant_id=tenant_id, key=key, now=now())
            spool.seek(0)
            body = iter(lambda: spool.read(_CHUNK_MAX), b"")
        try:
            answer, code = run(body)
        except BaseException:
            receipts.receipt_drop(tenant_id=tenant_id, key=key)
            raise
    receipts.receipt_close(tenant_id=tenant_id, key=key, receipt=receipts.Receipt(fingerprint.digest(), code, answer))
    return Response(answer, status=code)


def is_chunked(request: HttpRequest) -> bool:
    """Whether the body comes without an announced length."""
    return "chunked" in request.headers.get("Transfer-Encoding", "").lower()


def mode_parameter(values: dict[str, str]) -> Mode:
    match values.get("mode", "merge"):
        case "merge":
            return "merge"
        case "replace":
            return "replace"
    raise parameter_error("mode", "`mode` is merge or replace.")


def body_chunks(request: HttpRequest) -> Iterator[bytes]:
    """The body as it comes, never whole in memory. Raises BrokenBody where it ends before its announced length."""
    chunked = is_chunked(request)
    # Django reads Content-Length bytes and knows no chunked bodies; the server below does.
    stream = request.META["wsgi.input"] if chunked else request
    expected = None if chunked else int(request.META.get("CONTENT_LENGTH") or 0)
    received = 0
    size = _CHUNK_MIN
    while True:
        began = time.monotonic()
        try:
            chunk = stream.read(size)
        except OSError as error:
            raise BrokenBody(f"The connection broke after {received} bytes.") from error
        if not chunk:
            break
        size = min(size * 2, _CHUNK_MAX) if time.monotonic() - began < _READ_S else max(size // 2, _CHUNK_MIN)
        received += len(chunk)
        yield chunk
    if expected is not None and received < expected:
        raise BrokenBody(f"The body ended after {received} of {expected} bytes.")


def decoded(body: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """The body without its Content-Encoding. Raises UnsupportedEncoding; while it is read, BrokenBody."""
    match encoding.strip().lower():
        case "identity" | "":
            return body
        case "gzip":
            return gunzip(body)
    raise UnsupportedEncoding(f"Content-Encoding {encoding[:40]!r} is not known here; send gzip or none.")
