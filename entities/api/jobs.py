"""/imports/: imports that a worker does in the background."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any, Final

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from atlasco.lib.clock import iso, now
from entities import tasks
from entities.api import openapi
from entities.api.common import limit_parameter, parameter_error, parameters
from entities.api.imports import answer_once, body_chunks, decoded, is_chunked, mode_parameter
from entities.imports import jobs
from entities.models import ImportJob
from freshness.reads import read_through, write_finished
from freshness.state import freshness_state
from tenants.binding import tenant_required

_INSTANT_OR_NULL: Final = {"type": "string", "format": "date-time", "nullable": True}
JOB: Final = openapi.object_of(
    {
        "job_id": {"type": "string", "format": "uuid"},
        "status": {"type": "string", "enum": list(ImportJob.Status.values)},
        "mode": {"type": "string", "enum": ["merge", "replace"]},
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
            openapi.IDEMPOTENCY_KEY,
        ],
        request=openapi.NDJSON,
        responses={202: JOB},
    )
    def post(self, request: Request) -> Response:
        """Keep the file and import it in the background: 202, and the job to ask after.

        The same body as POST /entities/import/. Gzip is known by its content, with or without Content-Encoding.
        """
        values = parameters(request, ("mode", "file_name"))
        mode, file_name = mode_parameter(values), file_name_parameter(values)
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
            )
            write_finished(tenant_id=tenant_id)
            return job_json(job), status.HTTP_202_ACCEPTED

        response = answer_once(
            tenant_id=tenant_id,
            key=request.headers.get("Idempotency-Key"),
            body=body_chunks(request._request),
            may_be_cut=is_chunked(request._request),
            run=create,
            operation="imports_create",
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
