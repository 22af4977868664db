"""/entities/: one entity, one attribute, a page."""

from __future__ import annotations

from functools import partial
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from atlasco.lib.clock import iso, now
from atlasco.lib.json_api import json_body
from atlasco.lib.parameters import flag_parameter, parameters
from entities import selectors, services
from entities.api import openapi
from entities.api.common import (
    attribute_name_parse,
    entity_json,
    etag,
    limit_parameter,
    none_match,
    versions_expected,
)
from entities.api.search import page_json, search_through
from entities.reads import EntityRead, ValueRead
from entities.search.query import AtLeast, Condition, Query, Report, entity_type_parse
from entities.selectors import entity_id_parse
from entities.values import EXTERNAL_ID_MAX_CHARS, key_error
from freshness.reads import read_through, write_finished
from tenants.binding import tenant_required


class EntityList(APIView):
    """A page of entities, and new ones."""

    @extend_schema(
        operation_id="entities_list",
        parameters=[OpenApiParameter("external_id"), OpenApiParameter("entity_type"), openapi.LIMIT, openapi.CURSOR],
        responses={200: openapi.ENTITY_PAGE},
    )
    def get(self, request: Request) -> Response:
        """A page of the tenant's entities, newest update first; narrowed by external_id and entity_type."""
        values = parameters(request, ("external_id", "entity_type", "limit", "cursor"))
        report = Report()
        entity_type = entity_type_parse(values.get("entity_type"), report)
        external_id = values.get("external_id")
        if external_id is not None and (error := key_error(external_id, "external_id", EXTERNAL_ID_MAX_CHARS)):
            report.errors.append(error)
        report.raise_any()
        where = () if external_id is None else (Condition("@external_id", "eq", external_id),)
        query = Query(
            entity_type=entity_type,
            where=AtLeast(len(where), where),
            limit=limit_parameter(values),
            cursor=values.get("cursor"),
        )
        return Response(page_json(search_through(query)))

    @extend_schema(
        operation_id="entities_create",
        parameters=[
            OpenApiParameter("upsert", bool, description="Merge into an entity that exists instead of 409."),
            openapi.IF_MATCH,
            openapi.ETAG,
            openapi.LOCATION,
        ],
        request={"application/json": openapi.ENTITY_NEW},
        responses={201: openapi.ENTITY, 200: openapi.ENTITY},
    )
    def post(self, request: Request) -> Response:
        """Create an entity: 201. One that exists is 409 `entity_exists`, or with ?upsert=true merged into: 200.

        With ?upsert=true and If-Match only into one that has this ETag: 412 also where there is none.
        """
        upsert = flag_parameter(parameters(request, ("upsert",)), "upsert")
        entity = services.entity_input_parse(json_body(request), is_new=True)
        tenant_id = tenant_required().pk
        if upsert and "If-Match" in request.headers:
            created = False
            row = services.entity_merge(
                tenant_id=tenant_id, entity=entity, expected_versions=partial(versions_expected, request), now=now()
            )
        else:
            row, created = services.entity_create(tenant_id=tenant_id, entity=entity, upsert=upsert, now=now())
        write_finished(tenant_id=tenant_id)
        headers = {"ETag": etag(row.entity_id, row.version), "Location": f"{request.path}{row.entity_id}/"}
        return Response(
            entity_json(row), status=status.HTTP_201_CREATED if created else status.HTTP_200_OK, headers=headers
        )


class EntityDetail(APIView):
    """One entity by its id."""

    @extend_schema(
        operation_id="entities_retrieve",
        parameters=[openapi.ENTITY_ID, openapi.IF_NONE_MATCH, openapi.ETAG],
        responses={200: openapi.ENTITY, 304: None},
    )
    def get(self, request: Request, entity_id: str) -> Response:
        """The entity with all its attributes; 304 where If-None-Match names the version it has."""
        parameters(request, ())
        tenant_id, number = tenant_required().pk, entity_id_parse(entity_id)
        row = read_through(
            lambda source: selectors.entity_get(tenant_id=tenant_id, entity_id=number, using=source.using),
            operation="entity",
            request=EntityRead(tenant_id, number),
            attributes=None,
        )
        tag = etag(row.entity_id, row.version)
        if none_match(request, tag):
            return Response(status=status.HTTP_304_NOT_MODIFIED, headers={"ETag": tag})
        return Response(entity_json(row), headers={"ETag": tag})

    @extend_schema(
        operation_id="entities_update",
        parameters=[openapi.ENTITY_ID, openapi.IF_MATCH, openapi.ETAG],
        request={"application/json": openapi.ENTITY_PATCH},
        responses={200: openapi.ENTITY},
    )
    def patch(self, request: Request, entity_id: str) -> Response:
        """Merge attributes: a value sets, null removes, what is not named stays."""
        parameters(request, ())
        entity = services.entity_input_parse(json_body(request), is_new=False)
        tenant_id, number = tenant_required().pk, entity_id_parse(entity_id)
        row = services.entity_patch(
            tenant_id=tenant_id,
            entity_id=number,
            entity=entity,
            expected_versions=versions_expected(request, number),
            now=now(),
        )
        write_finished(tenant_id=tenant_id)
        return Response(entity_json(row), headers={"ETag": etag(row.entity_id, row.version)})

    @extend_schema(
        operation_id="entities_delete", parameters=[openapi.ENTITY_ID, openapi.IF_MATCH], responses={204: None}
    )
    def delete(self, request: Request, entity_id: str) -> Response:
        """Remove the entity and all its values."""
        parameters(request, ())
        tenant_id, number = tenant_required().pk, entity_id_parse(entity_id)
        services.entity_delete(
            tenant_id=tenant_id, entity_id=number, expected_versions=versions_expected(request, number)
        )
        write_finished(tenant_id=tenant_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


class EntityAttributeDetail(APIView):
    """One attribute of one entity. A `/` in its name is written %2F."""

    @extend_schema(
        operation_id="entity_attributes_retrieve",
        parameters=[openapi.ENTITY_ID, openapi.NAME_IN_PATH, openapi.IF_NONE_MATCH, openapi.ETAG],
        responses={200: openapi.ATTRIBUTE_VALUE, 304: None},
    )
    def get(self, request: Request, entity_id: str, name: str) -> Response:
        """The value, its type, and the instant at which it was set; 304 where If-None-Match has the entity's ETag."""
        parameters(request, ())
        tenant_id, number = tenant_required().pk, entity_id_parse(entity_id)
        attribute = attribute_name_parse(name)
        row = read_through(
            lambda source: selectors.value_get(
                tenant_id=tenant_id, entity_id=number, name=attribute, using=source.using
            ),
            operation="value",
            request=ValueRead(tenant_id, number, attribute),
            attributes=(attribute,),
        )
        tag = etag(number, row.version)
        if none_match(request, tag):
            return Response(status=status.HTTP_304_NOT_MODIFIED, headers={"ETag": tag})
        return _value_response(number, row)

    @extend_schema(
        operation_id="entity_attributes_set",
        parameters=[openapi.ENTITY_ID, openapi.NAME_IN_PATH, openapi.IF_MATCH, openapi.ETAG],
        request={"application/json": openapi.ATTRIBUTE_VALUE_IN},
        responses={200: openapi.ATTRIBUTE_VALUE},
    )
    def put(self, request: Request, entity_id: str, name: str) -> Response:
        """Set the attribute. The body is {"value": …}, or the bare value."""
        parameters(request, ())
        tenant_id, number = tenant_required().pk, entity_id_parse(entity_id)
        row = services.attribute_put(
            tenant_id=tenant_id,
            entity_id=number,
            name=attribute_name_parse(name),
            value=services.value_input_parse(json_body(request)),
            expected_versions=versions_expected(request, number),
            now=now(),
        )
        write_finished(tenant_id=tenant_id)
        return _value_response(number, row)

    @extend_schema(
        operation_id="entity_attributes_delete",
        parameters=[openapi.ENTITY_ID, openapi.NAME_IN_PATH, openapi.IF_MATCH],
        responses={204: None},
    )
    def delete(self, request: Request, entity_id: str, name: str) -> Response:
        """Remove the attribute."""
        parameters(request, ())
        tenant_id, number = tenant_required().pk, entity_id_parse(entity_id)
        services.attribute_delete(
            tenant_id=tenant_id,
            entity_id=number,
            name=attribute_name_parse(name),
            expected_versions=versions_expected(request, number),
            now=now(),
        )
        write_finished(tenant_id=tenant_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


def _value_response(entity_id: int, row: selectors.ValueRow) -> Response:
    body: dict[str, Any] = {
        "entity_id": str(entity_id),
        "name": row.name,
        "value": row.value,
        "value_type": row.value_type,
        "updated_at": iso(row.updated_at),
    }
    return Response(body, headers={"ETag": etag(entity_id, row.version)})
