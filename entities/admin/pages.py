"""What the pages about data share: reading for the tenant they are about, and saying how fresh what they show is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from django.conf import settings
from django.http import Http404, HttpRequest, QueryDict
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse

from entities.values import NAME_MAX_CHARS
from freshness.reads import ReadSource, page_source
from freshness.state import Answer, FreshnessState, freshness_scope, freshness_state
from tenants.admin.pages import TenantPage
from tenants.selectors import tenants_page

CHOICES_MAX = 50


def text_given(values: QueryDict, name: str, most: int = NAME_MAX_CHARS) -> str:
    """What a page was sent under this name as it is, since names may begin with spaces; without what none can hold."""
    return values.get(name, "").replace("\x00", "")[:most]


def text_typed(values: QueryDict, name: str, most: int = NAME_MAX_CHARS) -> str:
    """What somebody typed to look for something: without spaces around it."""
    return values.get(name, "").replace("\x00", "").strip()[:most]


class DataPage(TenantPage):
    """A page that reads a tenant's data. On the public host one chooses the tenant first."""

    chooser = True
    # What the chooser leads to, by the name of its route; empty where a page has no chooser.
    route: ClassVar[str] = ""
    answer: Answer | None = None

    @contextmanager
    def reading(self) -> Iterator[ReadSource]:
        """Read inside, from the store that was chosen for it; the page then says what that was."""
        # An answer of its own; what this browser wrote before counts here too.
        page = freshness_state()
        own = FreshnessState(orm_class=page.orm_class, seen=page.seen, wrote=page.wrote)
        with self.scope.bind(), freshness_scope(own):
            # A page may show any attribute's values.
            yield page_source(query_class=settings.PAGE_CLASS, attributes=None)
            self.answer = freshness_state().answer

    def render(self, template_name: str = "", *, status: int = 200, **context: object) -> TemplateResponse:
        return super().render(template_name, status=status, answer=self.answer, **context)

    def choose(self, request: HttpRequest) -> HttpResponseBase:
        if not self.route:
            raise Http404  # A part of a page, which nobody asks for before a tenant is chosen.
        search = text_typed(request.GET, "q", 200)
        page = tenants_page(search=search, number=1, size=CHOICES_MAX)
        return self.render("atlasco/choose_tenant.html", route=f"admin:tenant_{self.route}", page=page, q=search)
