"""/entities/search/."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from atlasco.lib.json_api import json_body
from atlasco.lib.parameters import parameter_error, parameters
from entities.api import openapi
from entities.api.common import entity_json
from entities.reads import SearchRead
from entities.search.aliases import query_resolved
from entities.search.cursors import cursor_position
from entities.search.explain import SearchExplanation, search_explain
from entities.search.query import Query, query_parse
from entities.search.run import Page, search_run
from freshness.reads import read_through
from freshness.state import freshness_state
from tenants.binding import tenant_required


class EntitySearch(APIView):
    """Search by any combination of attributes."""

    required_scope = "read"

    @extend_schema(
        operation_id="entities_search",
        request={"application/json": openapi.SEARCH},
        parameters=[openapi.EXPLAIN],
        responses={200: openapi.ENTITY_PAGE},
        examples=[openapi.SEARCH_EXAMPLE],
    )
    def post(self, request: Request) -> Response:
        """A page of the entities that satisfy the query, with a cursor for the next one."""
        wish = parameters(request, ("explain",)).get("explain")
        query = query_parse(json_body(request))
        if wish is None:
            return Response(page_json(search_through(query)))
        if wish != "plan":
            raise parameter_error("explain", "`explain` is plan or route.")
        page, explanation = explain_through(query)
        answer = page_json(page)
        answer["metadata"]["plan"] = explanation.as_dict()
        return Response(answer)


def search_through(query: Query) -> Page:
    """Run a search of the bound tenant on the store that meets the budget, never one behind an earlier page."""
    tenant_id = tenant_required().pk
    # Databases follow aliases themselves; cursors, budgets and other stores know the stored names.
    request = SearchRead(tenant_id, query_resolved(query, tenant_id=tenant_id, using=None))
    return read_through(
        lambda source: search_run(tenant_id=tenant_id, query=query, using=source.using, position=source.position),
        operation="search",
        request=request,
        attributes=request.attributes,
        at_least=cursor_position(tenant_id=tenant_id, query=request.query),
    )


def explain_through(query: Query) -> tuple[Page, SearchExplanation]:
    """The same, and how it ran. From a database, which alone has plans: never from another store."""
    tenant_id = tenant_required().pk
    request = SearchRead(tenant_id, query_resolved(query, tenant_id=tenant_id, using=None))
    return read_through(
        lambda source: search_explain(tenant_id=tenant_id, query=query, using=source.using, position=source.position),
        operation="search",
        attributes=request.attributes,
        at_least=cursor_position(tenant_id=tenant_id, query=request.query),
    )


def page_json(page: Page) -> dict[str, Any]:
    """The envelope of every list of entities."""
    return {
        "entities": [entity_json(row) for row in page.entities],
        "next_cursor": page.next_cursor,
        "metadata": {
            "total_count": page.total_count,
            "count_kind": page.count_kind,
            "freshness": freshness_state().metadata(),
        },
    }
