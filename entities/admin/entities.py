"""Looking entities up, and one entity with all its values."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase

from entities.admin.pages import DataPage
from entities.search.cursors import InvalidCursor
from entities.search.query import Query
from entities.search.run import search_run
from entities.selectors import entities_lookup, entity_head, entity_types_recent, value_text, values_page
from entities.values import ENTITY_TYPE_MAX_CHARS, EXTERNAL_ID_MAX_CHARS, NAME_MAX_CHARS

PAGE_SIZE: Final = 25
FOUND_MAX: Final = 50
VALUES_SIZE: Final = 200


class EntityLookup(DataPage):
    """By its id or external id; without either, the ones that changed last."""

    nav = "entities"
    route = "entities"
    title = "Entities"
    template_name = "atlasco/entities/list.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        text = _parameter(request, "q", EXTERNAL_ID_MAX_CHARS)
        entity_type = _parameter(request, "type", ENTITY_TYPE_MAX_CHARS) or None
        return self._found(text, entity_type) if text else self._recent(request, entity_type)

    def _found(self, text: str, entity_type: str | None) -> HttpResponseBase:
        tenant_id = self.scope.tenant.pk
        with self.reading() as source:
            rows, is_exact = entities_lookup(
                tenant_id=tenant_id, text=text, entity_type=entity_type, limit=FOUND_MAX, using=source.using
            )
            if is_exact and len(rows) == 1:
                return HttpResponseRedirect(self.scope.url("entity", entity_id=rows[0].entity_id))
            types = entity_types_recent(tenant_id=tenant_id, using=source.using)
        return self.render(
            q=text, entity_type=entity_type, rows=rows, is_exact=is_exact, is_full=len(rows) == FOUND_MAX, types=types
        )

    def _recent(self, request: HttpRequest, entity_type: str | None) -> HttpResponseBase:
        tenant_id, cursor = self.scope.tenant.pk, request.GET.get("cursor") or None
        query = Query(entity_type=entity_type, limit=PAGE_SIZE, cursor=cursor, fields=())
        with self.reading() as source:
            try:
                page = search_run(tenant_id=tenant_id, query=query, using=source.using, position=source.position)
            except InvalidCursor:  # An old link: the newest are better than an error.
                cursor = None
                query = Query(entity_type=entity_type, limit=PAGE_SIZE, fields=())
                page = search_run(tenant_id=tenant_id, query=query, using=source.using, position=source.position)
            types = entity_types_recent(tenant_id=tenant_id, using=source.using)
        kept = {"type": entity_type or ""}
        return self.render(
            entity_type=entity_type,
            rows=page.entities,
            types=types,
            is_first=cursor is None,
            next_query=urlencode({**kept, "cursor": page.next_cursor}) if page.next_cursor else "",
            first_query=urlencode(kept),
        )


class EntityDetail(DataPage):
    """One entity: what it is, and its values in order of name."""

    nav = "entities"
    chooser = False
    template_name = "atlasco/entities/detail.html"

    def get(self, request: HttpRequest, entity_id: int) -> HttpResponseBase:
        part = _parameter(request, "name", NAME_MAX_CHARS)
        after = request.GET.get("after", "").replace("\x00", "")
        tenant_id = self.scope.tenant.pk
        with self.reading() as source:
            entity = entity_head(tenant_id=tenant_id, entity_id=entity_id, using=source.using)
            page = values_page(
                tenant_id=tenant_id, entity_id=entity_id, part=part, after=after, limit=VALUES_SIZE, using=source.using
            )
        return self.render(
            title=entity.external_id,
            crumbs=(("Entities", self.scope.url("entities")),),
            entity=entity,
            page=page,
            part=part,
            is_first=not after,
            next_query=urlencode({"name": part, "after": page.next_after}) if page.next_after else "",
            first_query=urlencode({"name": part}),
        )


class EntityValue(DataPage):
    """The whole of a long value, where its page shows only the beginning."""

    nav = "entities"
    chooser = False

    def get(self, request: HttpRequest, entity_id: int) -> HttpResponseBase:
        name = request.GET.get("name", "").replace("\x00", "")
        with self.reading() as source:
            text = value_text(tenant_id=self.scope.tenant.pk, entity_id=entity_id, name=name, using=source.using)
        return self.fragment("atlasco/entities/value.html", text=text)


def _parameter(request: HttpRequest, name: str, max_chars: int) -> str:
    """A search parameter, without what no key or name can hold."""
    return request.GET.get(name, "").replace("\x00", "").strip()[:max_chars]
