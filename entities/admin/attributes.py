"""The attribute registry of a tenant: every name it ever used, and what is known of it."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from entities.admin.pages import DataPage
from entities.search.cursors import InvalidCursor
from entities.selectors import attributes_page, tenant_usage
from entities.values import NAME_MAX_CHARS

PAGE_SIZE: Final = 50


class AttributeList(DataPage):
    """A page of the registry in order of name, narrowed by a prefix."""

    nav = "attributes"
    route = "attributes"
    title = "Attributes"
    template_name = "atlasco/attributes/list.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        prefix = request.GET.get("prefix", "").replace("\x00", "")[:NAME_MAX_CHARS]
        cursor = request.GET.get("cursor") or None
        with self.reading() as source:
            try:
                page = attributes_page(
                    tenant_id=self.scope.tenant.pk, prefix=prefix, limit=PAGE_SIZE, cursor=cursor, using=source.using
                )
            except InvalidCursor:  # An old link: the first page is better than an error.
                cursor = None
                page = attributes_page(
                    tenant_id=self.scope.tenant.pk, prefix=prefix, limit=PAGE_SIZE, cursor=None, using=source.using
                )
            usage = tenant_usage(tenant_id=self.scope.tenant.pk, using=source.using)
        return self.render(
            page=page,
            prefix=prefix,
            entities=usage.entities.number,
            is_first=cursor is None,
            next_query=urlencode({"prefix": prefix, "cursor": page.next_cursor}) if page.next_cursor else "",
            first_query=urlencode({"prefix": prefix}),
        )
