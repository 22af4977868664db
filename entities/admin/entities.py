"""One entity with all its values."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from entities.admin.pages import DataPage
from entities.selectors import entity_head, value_text, values_page
from entities.values import NAME_MAX_CHARS

VALUES_SIZE: Final = 200


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
