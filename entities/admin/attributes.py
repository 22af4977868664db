"""The attribute registry of a tenant: every name it ever used, and what is known of it."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from entities.admin.pages import DataPage, text_given, text_typed
from entities.models import AttributeMetadata
from entities.selectors import (
    REGISTRY_SORTS,
    RegistryFilter,
    registry_counts,
    registry_page,
    tenant_usage,
)
from entities.values import VALUE_TYPES

PAGE_SIZE: Final = 50
_STATUSES: Final = ("", *AttributeMetadata.Status.values, "all")
_STATUS_WORDS: Final = {
    "": "In use", "deprecated": "Deprecated", "hidden": "Hidden", "quarantined": "Quarantined",
}  # fmt: skip
_SORT_WORDS: Final = {
    "name": "Name", "entities": "Most entities", "distinct": "Most different values", "missing": "Missing most often",
    "hot": "Searched most", "newest": "Newest first",
}  # fmt: skip


class AttributeList(DataPage):
    """A page of the registry: searched, narrowed, in the order asked for."""

    nav = "attributes"
    route = "attributes"
    title = "Attributes"
    template_name = "atlasco/attributes/list.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        wanted, tenant_id = filter_read(request), self.scope.tenant.pk
        after = _after_read(request)
        with self.reading() as source:
            page = registry_page(tenant_id=tenant_id, wanted=wanted, after=after, limit=PAGE_SIZE, using=source.using)
            counts = registry_counts(tenant_id=tenant_id, using=source.using)
            usage = tenant_usage(tenant_id=tenant_id, using=source.using)
        kept = _query(wanted)
        in_use = counts.get("active", 0) + counts.get("deprecated", 0)
        return self.render(
            page=page,
            wanted=wanted,
            entities=usage.entities.number,
            statuses=[
                (status, words, counts.get(status, 0) if status else in_use) for status, words in _STATUS_WORDS.items()
            ],
            kinds=VALUE_TYPES,
            sorts=[(sort, _SORT_WORDS[sort]) for sort in REGISTRY_SORTS],
            is_narrowed=bool(wanted.part or wanted.kind or wanted.indexed),
            is_first=after is None,
            next_query=""
            if page.next_after is None
            else urlencode({**kept, "key": repr(page.next_after[0]), "after": page.next_after[1]}),
            first_query=urlencode(kept),
        )


def filter_read(request: HttpRequest) -> RegistryFilter:
    """What the parameters ask for; what makes no sense is as if it were not there."""
    status, kind = request.GET.get("status", ""), request.GET.get("type", "")
    sort = request.GET.get("sort", "name")
    return RegistryFilter(
        part=text_typed(request.GET, "q"),
        status=status if status in _STATUSES else "",
        kind=kind if kind in VALUE_TYPES else "",
        indexed=request.GET.get("indexed") == "yes",
        sort=sort if sort in REGISTRY_SORTS else "name",
    )


def _after_read(request: HttpRequest) -> tuple[float, str] | None:
    name = text_given(request.GET, "after")
    try:
        return (float(request.GET.get("key", "")), name) if name else None
    except ValueError:  # A link that somebody bent: the first page is better than an error.
        return None


def _query(wanted: RegistryFilter) -> dict[str, Any]:
    told = {"q": wanted.part, "status": wanted.status, "type": wanted.kind, "sort": wanted.sort}
    kept = {name: value for name, value in told.items() if value and value != "name"}
    return kept | ({"indexed": "yes"} if wanted.indexed else {})
