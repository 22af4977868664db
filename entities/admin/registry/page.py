"""What the pages about one attribute share."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase

from entities.admin.pages import DataPage, text_given

# How many entities a page shows that have the attribute.
EXAMPLES: Final = 5


class AttributePage(DataPage):
    """A page about one attribute: its name is a parameter, for it may hold any character."""

    nav = "attributes"
    chooser = False

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not self.name:
            raise Http404
        return super().dispatch(request, *args, **kwargs)

    @property
    def name(self) -> str:
        return text_given(self.request.GET, "name")

    def url(self, route: str = "attribute") -> str:
        return f"{self.scope.url(route)}?{urlencode({'name': self.name})}"

    def crumbs(self, *, below: bool = True) -> tuple[tuple[str, str], ...]:
        crumbs = (("Attributes", self.scope.url("attributes")),)
        return (*crumbs, (self.name, self.url())) if below else crumbs

    def who(self) -> str:
        return str(self.request.user)
