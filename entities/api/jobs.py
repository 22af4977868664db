"""/imports/: imports that a worker does in the background."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any, Final, cast

import orjson
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from atlasco.lib.clock import iso, now
from atlasco.lib.errors import Invalid
from atlasco.lib.json_api import json_body
from atlasco.lib.parameters import flag_parameter, parameter_error, parameters
from entities import tasks
from entities.api import openapi
from entities.api.common import limit_parameter
from entities.api.imports import answer_once, body_chunks, decoded, is_chunked, mode_parameter
from entities.imports import jobs, report
from entities.imports.cells import DATE_EXAMPLES, DATES, KINDS
from entities.imports.formats import DELIMITERS, ENCODINGS, Format
from entities.imports.mapping import EMPTIES, USES, mapping_parse
from entities.imports.prepare import job_check, job_describe
from entities.models import ImportJob
from freshness.reads import read_through, write_finished
from freshness.state import freshness_state
from tenants.binding import tenant_required

MAPPING: Final = openapi.object_of(
    {
        "entity_type": {"type": "string"},
        "empty": {"type": "string", "enum": list(EMPTIES)},
        "decimal": {"type": "string", "enum": [".", ","]},
        "dates": {"type": "string", "enum": list(DATES), "description": f"Like {', '.join(DATE_EXAMPLES.values())}."},
        "columns": {
            "type": "object",
            "additionalProperties": openapi.object_of(
                {
                    "use": {"type": "string", "enum": list(USES)},
                    "name": {"type": "string"},
                    "type": {"type": "string", "enum": list(KINDS)},
                }
            ),
        },
    }
)
_INSTANT_OR_NULL: Final = {"type": "string", "format": "date-time", "nullable": True}
JOB: Final = openapi.object_of(
    {
        "job_id": {"type": "string", "format": "uuid"},
        "status": {"type": "string", "enum": list(ImportJob.Status.values)},
        "mode": {"type": "string", "enum": ["merge", "replace"]},
        "format": {"type": "string", "enum": list(ImportJob.Format.values)},
        "mapping": {**MAPPING, "nullable": True, "description": "How its columns are understood; null for NDJSON."},
        "dry_run": {"type": "boolean", "description": "Nothing is written; it ends as checked, and can be started."},
        "file_name": {"type": "string"},
        "created_by": {"type": "string"},
        "created_at": {"type": "string", "format": "date-time"},
        "started_at": _INSTANT_OR_NULL,
        "finished_at": _INSTANT_OR_NULL,
        "bytes_total": {"type": "integer"},
        "bytes_done": {"type": "integer"},
        "lines_done": {"type": "integer"},
        "summary": {
            **openapi.IMPORT_SUMMARY,
            "nullable": True,
            "description": "What was done so far; null before the first batch. At most 1,000 rejections are listed.",
        },
        "detail": {"type": "string", "description": "Why it failed."},
    }
)
JOB_PAGE: Final = openapi.object_of(
    {
        "imports": {"type": "array", "items": JOB},
        "next_cursor": {"type": "string", "nullable": True},
        "metadata": openapi.object_of({"freshness": openapi.FRESHNESS}),
    }
)


START: Final = openapi.object_of({"dry_run": {"type": "boolean", "default": False}})
BODY: Final = {
    **openapi.NDJSON,
    "text/csv": {"type": "string", "format": "binary"},
    "application/vnd.apache.parquet": {"type": "string", "format": "binary"},
}


class InvalidStart(Invalid):
    """The body is {} or {"dry_run": true}."""

    code = "invalid_start"


class ImportJobList(APIView):
    """Imports in the background."""

    @extend_schema(operation_id="imports_list", parameters=[openapi.LIMIT, openapi.CURSOR], responses={200: JOB_PAGE})
    def get(self, request: Request) -> Response:
        """A page of the tenant's imports, newest first. They are kept for 30 days."""
        values = parameters(request, ("limit", "cursor"))
        tenant_id, limit = tenant_required().pk, limit_parameter(values)
        page = read_through(
            lambda source: jobs.import_jobs_page(
                tenant_id=tenant_id, limit=limit, cursor=values.get("cursor") or None, using=source.using
            ),
            operation="jobs",
            attributes=(),
        )
        return Response(
            {
                "imports": [job_json(job) for job in page.jobs],
                "next_cursor": page.next_cursor,
                "metadata": {"freshness": freshness_state().metadata()},
            }
        )

    @extend_schema(
        operation_id="imports_create",
        parameters=[
            openapi.MODE,
            OpenApiParameter("file_name", description="What to call it in lists."),
            OpenApiParameter(
                "format",
                enum=["auto", *ImportJob.Format.values],
                description="What the body is; ndjson by default, auto to find out.",
            ),
            OpenApiParameter(
                "mapping",
                description="How the columns of CSV or Parquet become entities, as JSON: "
                '`{"entity_type": "aircraft", "empty": "missing", "decimal": ".", "columns": {"Tail": {"use": '
                '"external_id"}, "Seats": {"name": "seats", "type": "number"}, "Junk": {"use": "skip"}}}`. `use`: '
                f"{', '.join(USES)}; `type`: {', '.join(KINDS)}; `empty`: {', '.join(EMPTIES)}. Columns that it does "
                "not name are attributes of their own name. Without it, the last one for a file with the same columns "
                "is taken, or a guess.",
            ),
            OpenApiParameter("delimiter", description="Of CSV; found out by default."),
            OpenApiParameter("encoding", enum=list(ENCODINGS), description="Of CSV; found out by default."),
            OpenApiParameter("header", bool, description="Whether the first row of CSV names the columns."),
            OpenApiParameter("dry_run", bool, description="Write nothing; the job ends as `checked`."),
            openapi.IDEMPOTENCY_KEY,
            openapi.IDEMPOTENCY_REPLAYED,
        ],
        request=BODY,
        responses={202: JOB},
    )
    def post(self, request: Request) -> Response:
        """Keep the file and import it in the background: 202, and the job to poll.

        NDJSON as POST /entities/import/ takes it, CSV or Parquet. Gzip is known by its content, with or without
        Content-Encoding.
        """
        values = parameters(
            request, ("mode", "file_name", "format", "mapping", "delimiter", "encoding", "header", "dry_run")
        )
        mode, file_name = mode_parameter(values), file_name_parameter(values)
        dry_run, prepare = flag_parameter(values, "dry_run"), _preparation(values)
        # An unknown encoding is refused now; whether it is gzip the worker sees for itself.
        decoded(iter(()), request.headers.get("Content-Encoding", "identity"))
        tenant_id = tenant_required().pk

        def create(body: Iterator[bytes]) -> tuple[dict[str, Any], int]:
            job = jobs.import_job_create(
                tenant_id=tenant_id,
                chunks=body,
                file_name=file_name,
                mode=mode,
                created_by=str(request.user),
                now=now(),
                enqueue=tasks.import_job_enqueue,
                prepare=prepare,
                dry_run=dry_run,
            )
            write_finished(tenant_id=tenant_id)
            return job_json(job), status.HTTP_202_ACCEPTED

        response = answer_once(
            tenant_id=tenant_id,
            key=request.headers.get("Idempotency-Key"),
            body=body_chunks(request._request),
            may_be_cut=is_chunked(request._request),
            run=create,
            # Another reading of the same file is another import.
            operation=" ".join(["imports_create", *(f"{name}={values[name]}" for name in sorted(values))]),
        )
        response["Location"] = f"{request.path}{response.data['job_id']}/"
        return response


class ImportJobDetail(APIView):
    """One import in the background."""

    @extend_schema(operation_id="imports_retrieve", responses={200: JOB})
    def get(self, request: Request, job_id: uuid.UUID) -> Response:
        """How far it is, and what it did."""
        parameters(request, ())
        tenant_id = tenant_required().pk
        job = read_through(
            lambda source: jobs.import_job_get(tenant_id=tenant_id, job_id=job_id, using=source.using),
            operation="jobs",
            attributes=(),
        )
        return Response(job_json(job))

    @extend_schema(operation_id="imports_cancel", responses={200: JOB})
    def delete(self, request: Request, job_id: uuid.UUID) -> Response:
        """Cancel it; 409 where it has ended. What was written stands, the batch that is just being written too."""
        parameters(request, ())
        tenant_id = tenant_required().pk
        job = jobs.import_job_cancel(tenant_id=tenant_id, job_id=job_id, now=now())
        write_finished(tenant_id=tenant_id)
        return Response(job_json(job))


class ImportJobStart(APIView):
    """An import that waits after its dry run."""

    @extend_schema(operation_id="imports_start", request={"application/json": START}, responses={202: JOB})
    def post(self, request: Request, job_id: uuid.UUID) -> Response:
        """Import what a dry run has checked, or check it again: 202; 409 where it is under way or has ended."""
        parameters(request, ())
        body = json_body(request)
        if not isinstance(body, dict) or not body.keys() <= {"dry_run"}:
            raise InvalidStart
        dry_run = body.get("dry_run")
        if not isinstance(dry_run, bool | None):
            raise InvalidStart
        tenant_id = tenant_required().pk
        job = jobs.import_job_start(
            tenant_id=tenant_id,
            job_id=job_id,
            dry_run=bool(dry_run),
            now=now(),
            enqueue=tasks.import_job_enqueue,
        )
        write_finished(tenant_id=tenant_id)
        return Response(job_json(job), status=status.HTTP_202_ACCEPTED)


class ImportJobErrors(APIView):
    """What an import left out."""

    @extend_schema(
        operation_id="imports_errors",
        responses={(200, "application/x-ndjson"): {"type": "string", "format": "binary"}},
    )
    def get(self, request: Request, job_id: uuid.UUID) -> HttpResponseBase:
        """Every rejected line as NDJSON, `{line, code, detail, errors, raw}`; at most 100,000 are kept."""
        parameters(request, ())
        tenant_id = tenant_required().pk
        job = read_through(
            lambda source: jobs.import_job_get(tenant_id=tenant_id, job_id=job_id, using=source.using),
            operation="jobs",
            attributes=(),
        )
        return StreamingHttpResponse(report.errors_ndjson(job=job), content_type="application/x-ndjson")


def _preparation(values: dict[str, str]) -> Callable[[ImportJob], None] | None:
    """What the parameters say of the file. Raises InvalidParameter, InvalidMapping."""
    told = values.get("format", "ndjson")
    if told not in {"auto", *ImportJob.Format.values}:
        raise parameter_error("format", f"`format` is auto or one of {', '.join(ImportJob.Format.values)}.")
    if told == "ndjson":
        for name in ("mapping", "delimiter", "encoding", "header"):
            if name in values:
                raise parameter_error(name, f"`{name}` is for CSV or Parquet: say so in `format`.")
        return None
    dialect: dict[str, Any] = {}
    for name, known in (("delimiter", DELIMITERS), ("encoding", ENCODINGS)):
        if name in values:
            if values[name] not in known:
                raise parameter_error(name, f"`{name}` is one of {', '.join(map(repr, known))}.")
            dialect[name] = values[name]
    if "header" in values:
        dialect["header"] = flag_parameter(values, "header")
    mapping: dict[str, Any] | None = None
    if "mapping" in values:
        try:
            mapping = mapping_parse(orjson.loads(values["mapping"])).as_dict()
        except orjson.JSONDecodeError as error:
            raise parameter_error("mapping", f"`mapping` is not JSON: {error}.") from None

    def prepare(job: ImportJob) -> None:
        file_format = None if told == "auto" else cast(Format, told)
        job_describe(job, file_format=file_format, dialect=dialect, mapping=mapping)
        job_check(job)

    return prepare


def file_name_parameter(values: dict[str, str]) -> str:
    name = values.get("file_name", "")
    if len(name) > jobs.FILE_NAME_MAX_CHARS:
        raise parameter_error("file_name", f"`file_name` has at most {jobs.FILE_NAME_MAX_CHARS} characters.")
    return name


def job_json(job: ImportJob) -> dict[str, Any]:
    return {
        "job_id": str(job.job_id),
        "status": job.status,
        "mode": job.mode,
        "format": job.format,
        "mapping": job.options.get("mapping"),
        "dry_run": job.is_dry_run,
        "file_name": job.file_name,
        "created_by": job.created_by,
        "created_at": iso(job.created_at),
        "started_at": iso(job.started_at) if job.started_at else None,
        "finished_at": iso(job.finished_at) if job.finished_at else None,
        "bytes_total": job.bytes_total,
        "bytes_done": job.bytes_done,
        "lines_done": job.lines_done,
        "summary": job.summary or None,
        "detail": job.detail,
    }
