"""/attribute-rules/ and /attribute-aliases/: what values must be like, and what else an attribute is called."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from atlasco.lib.clock import iso, now
from atlasco.lib.errors import FieldError
from atlasco.lib.json_api import json_body
from atlasco.lib.parameters import flag_parameter, parameters
from entities import tasks
from entities.api import openapi
from entities.api.common import attribute_name_parse
from entities.governance import jobs, store
from entities.governance.rules import MODES, InvalidRule
from entities.models import AttributeJob, JobStatus
from entities.values import VALUE_TYPES
from freshness.reads import read_through, write_finished
from freshness.state import freshness_state
from tenants.binding import tenant_required

_NAME: Final[openapi.Schema] = {"type": "string", "minLength": 1, "maxLength": 255}
_CONDITIONS: Final[openapi.Schema] = {
    "mode": {"type": "string", "enum": list(MODES), "description": "enforce rejects; warn writes and tells."},
    "types": {"type": "array", "items": {"type": "string", "enum": list(VALUE_TYPES)}},
    "minimum": {"type": "number", "nullable": True, "description": "Of numbers."},
    "maximum": {"type": "number", "nullable": True},
    "min_length": {"type": "integer", "nullable": True, "description": "Of strings, in characters."},
    "max_length": {"type": "integer", "nullable": True},
    "pattern": {
        "type": "string",
        "nullable": True,
        "description": "A regular expression for the whole string: literals, classes, groups and repetitions, without "
        "back-references or looking around. It is matched in time linear in the string.",
    },
    "choices": {"type": "array", "items": openapi.VALUE},
    "required_for": {
        "type": "array",
        "items": {"type": "string"},
        "description": 'Entity types that must have the attribute, or ["*"]. New entities need it from the beginning; '
        "what is there already may lack it, and can be updated.",
    },
}
RULE_IN: Final = openapi.object_of(_CONDITIONS, required=["mode"])
RULE: Final = openapi.object_of(
    {
        "name": _NAME,
        **_CONDITIONS,
        "updated_at": {"type": "string", "format": "date-time"},
        "updated_by": {"type": "string"},
    }
)
ALIAS: Final = openapi.object_of(
    {
        "alias": {**_NAME, "description": "What writers may still send."},
        "name": {**_NAME, "description": "What is stored instead."},
        "created_at": {"type": "string", "format": "date-time"},
        "created_by": {"type": "string"},
    }
)
CHECK: Final = openapi.object_of(
    {
        "job_id": {"type": "string", "format": "uuid"},
        "name": _NAME,
        "status": {"type": "string", "enum": list(JobStatus.values)},
        "entities_total": {"type": "integer", "description": "About how many there are to look at."},
        "entities_done": {"type": "integer"},
        "with_value": {"type": "integer", "description": "Of those, how many have the attribute."},
        "violations": {"type": "integer", "description": "How many would be refused, were they written now."},
        "samples": {
            "type": "array",
            "description": "Some of them.",
            "items": openapi.object_of(
                {
                    "entity_id": {"type": "string"},
                    "entity_type": {"type": "string"},
                    "external_id": {"type": "string"},
                    "value": {"type": "string", "nullable": True},
                    "detail": {"type": "string"},
                }
            ),
        },
        "detail": {"type": "string", "description": "Why it failed."},
    }
)
_METADATA: Final = openapi.object_of({"freshness": openapi.FRESHNESS})
_ALIAS_IN_PATH: Final = OpenApiParameter(
    "alias", OpenApiTypes.STR, OpenApiParameter.PATH, description="The alias, percent-encoded; a / is %2F."
)


class RuleList(APIView):
    """What is asked of values."""

    @extend_schema(
        operation_id="attribute_rules_list",
        responses={200: openapi.object_of({"rules": {"type": "array", "items": RULE}, "metadata": _METADATA})},
    )
    def get(self, request: Request) -> Response:
        """Every rule of the tenant in order of name."""
        parameters(request, ())
        tenant_id = tenant_required().pk
        rules = read_through(
            lambda source: store.rules_read(tenant_id=tenant_id, using=source.using),
            operation="attributes",
            attributes=(),
        )
        body = [rule_json(rule) for rule in rules]
        return Response({"rules": body, "metadata": {"freshness": freshness_state().metadata()}})


class RuleDetail(APIView):
    """What is asked of the values of one attribute."""

    @extend_schema(operation_id="attribute_rules_retrieve", parameters=[openapi.NAME_IN_PATH], responses={200: RULE})
    def get(self, request: Request, name: str) -> Response:
        """The rule of the attribute; 404 where nothing is asked."""
        parameters(request, ())
        tenant_id, known = tenant_required().pk, attribute_name_parse(name)
        rule = read_through(
            lambda source: store.rule_get(tenant_id=tenant_id, name=known, using=source.using),
            operation="attributes",
            attributes=(),
        )
        return Response(rule_json(rule))

    @extend_schema(
        operation_id="attribute_rules_set",
        parameters=[
            openapi.NAME_IN_PATH,
            OpenApiParameter(
                "dry_run",
                bool,
                description="Set nothing: a worker holds every value that is there against the rule. 202, and the "
                "check to poll at attribute-rules/checks/JOB_ID/.",
            ),
        ],
        request={"application/json": RULE_IN},
        responses={200: RULE, 202: CHECK},
    )
    def put(self, request: Request, name: str) -> Response:
        """Set the rule; it holds for new writes at once, and changes nothing that is there."""
        dry_run = flag_parameter(parameters(request, ("dry_run",)), "dry_run")
        tenant_id, body = tenant_required().pk, json_body(request)
        if not isinstance(body, dict) or "mode" not in body:
            raise InvalidRule(errors=[FieldError("mode", "required", f"`mode` is one of {', '.join(MODES)}.")])
        conditions = {member: value for member, value in body.items() if member != "mode"}
        if body["mode"] not in MODES:
            raise InvalidRule(errors=[FieldError("mode", "invalid_value", f"`mode` is one of {', '.join(MODES)}.")])
        if dry_run:
            job = jobs.rule_check_start(
                tenant_id=tenant_id,
                name=attribute_name_parse(name),
                conditions=conditions,
                created_by=str(request.user),
                now=now(),
                enqueue=tasks.attribute_job_enqueue,
            )
            write_finished(tenant_id=tenant_id)
            headers = {"Location": reverse("attribute-rule-check", kwargs={"job_id": job.job_id})}
            return Response(check_json(job), status=status.HTTP_202_ACCEPTED, headers=headers)
        rule = store.rule_set(
            tenant_id=tenant_id,
            name=attribute_name_parse(name),
            mode=body["mode"],
            conditions=conditions,
            updated_by=str(request.user),
            now=now(),
        )
        write_finished(tenant_id=tenant_id)
        return Response(rule_json(rule))

    @extend_schema(operation_id="attribute_rules_remove", parameters=[openapi.NAME_IN_PATH], responses={204: None})
    def delete(self, request: Request, name: str) -> Response:
        """Ask nothing of the attribute any more."""
        parameters(request, ())
        tenant_id = tenant_required().pk
        store.rule_remove(tenant_id=tenant_id, name=attribute_name_parse(name))
        write_finished(tenant_id=tenant_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


class RuleCheck(APIView):
    """A rule that was held against what is there."""

    @extend_schema(operation_id="attribute_rules_check", responses={200: CHECK})
    def get(self, request: Request, job_id: uuid.UUID) -> Response:
        """How far the check of a rule is, and what it found."""
        parameters(request, ())
        tenant_id = tenant_required().pk
        job = read_through(
            lambda source: jobs.job_get(tenant_id=tenant_id, job_id=job_id, using=source.using),
            operation="jobs",
            attributes=(),
        )
        if job.kind != jobs.Kind.RULE_CHECK:
            raise jobs.JobUnknown
        return Response(check_json(job))


class AliasList(APIView):
    """What attributes are also called."""

    @extend_schema(
        operation_id="attribute_aliases_list",
        responses={200: openapi.object_of({"aliases": {"type": "array", "items": ALIAS}, "metadata": _METADATA})},
    )
    def get(self, request: Request) -> Response:
        """Every alias of the tenant in order."""
        parameters(request, ())
        tenant_id = tenant_required().pk
        aliases = read_through(
            lambda source: store.aliases_read(tenant_id=tenant_id, using=source.using),
            operation="attributes",
            attributes=(),
        )
        body = [alias_json(alias) for alias in aliases]
        return Response({"aliases": body, "metadata": {"freshness": freshness_state().metadata()}})


class AliasDetail(APIView):
    """One name that is stored under another."""

    @extend_schema(
        operation_id="attribute_aliases_set",
        parameters=[_ALIAS_IN_PATH],
        request={"application/json": openapi.object_of({"name": _NAME}, required=["name"])},
        responses={200: ALIAS},
    )
    def put(self, request: Request, alias: str) -> Response:
        """Store what is written to the alias under the name from now on. Values that are there are not moved."""
        parameters(request, ())
        tenant_id, body = tenant_required().pk, json_body(request)
        if not isinstance(body, dict) or body.keys() != {"name"} or not isinstance(body["name"], str):
            raise store.InvalidAlias('The body is {"name": …}.')
        known = attribute_name_parse(alias)
        row = store.alias_set(
            tenant_id=tenant_id, alias=known, name=body["name"], created_by=str(request.user), now=now()
        )
        write_finished(tenant_id=tenant_id)
        return Response(alias_json(row))

    @extend_schema(operation_id="attribute_aliases_remove", parameters=[_ALIAS_IN_PATH], responses={204: None})
    def delete(self, request: Request, alias: str) -> Response:
        """Let the name stand for itself again."""
        parameters(request, ())
        tenant_id = tenant_required().pk
        store.alias_remove(tenant_id=tenant_id, alias=attribute_name_parse(alias))
        write_finished(tenant_id=tenant_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


def rule_json(rule: store.Rule) -> dict[str, Any]:
    return {
        "name": rule.name,
        **rule.as_dict(),
        "updated_at": iso(rule.updated_at),
        "updated_by": rule.updated_by,
    }


def check_json(job: AttributeJob) -> dict[str, Any]:
    samples = [{**sample, "entity_id": str(sample["entity_id"])} for sample in job.result.get("samples", [])]
    return {
        "job_id": str(job.job_id),
        "name": job.attribute_name,
        "status": job.status,
        "entities_total": job.entities_total,
        "entities_done": job.entities_done,
        "with_value": job.result.get("with_value", 0),
        "violations": job.result.get("violations", 0),
        "samples": samples,
        "detail": job.detail,
    }


def alias_json(alias: store.Alias) -> dict[str, Any]:
    return {
        "alias": alias.alias,
        "name": alias.name,
        "created_at": iso(alias.created_at),
        "created_by": alias.created_by,
    }
