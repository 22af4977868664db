"""The entity browser: a filter, a table, and what the filter asks its server for meanwhile."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponseRedirect, JsonResponse
from django.http.response import HttpResponseBase

from atlasco.lib.words import TYPE_WORDS
from entities.admin.pages import DataPage, text_given, text_typed
from entities.admin.saved import keeper_of
from entities.browser.builder import builder_names, builder_tree, conditions_count
from entities.browser.code import search_curl, search_python
from entities.browser.saved import search_default, search_state, searches_list
from entities.browser.state import OWN_COLUMNS, SORTS, BrowserState, state_parse
from entities.browser.suggestions import names_known, names_suggest, values_suggest
from entities.browser.tables import TableRow, columns_choose, table_rows
from entities.search.cursors import InvalidCursor
from entities.search.explain import search_explain
from entities.search.query import Query
from entities.search.run import Page, search_run, search_total
from entities.selectors import Count, entities_lookup, entity_types_recent, tenant_usage
from entities.values import EXTERNAL_ID_MAX_CHARS, value_as_text, value_type
from freshness.reads import ReadSource
from tenants.members.models import SavedSearch
from tenants.services import tenant_host

FOUND_MAX: Final = 50
SEARCHES_SHOWN: Final = 12
_COLUMN_TITLES: Final = {
    "@entity_type": "Type",
    "@updated_at": "Changed",
    "@created_at": "Created",
    "@entity_id": "Entity id",
}
_PLAN_WORDS: Final = {
    "walk": "reads entities in the order asked for until the page is full",
    "gin": "looks up the documents that hold the values asked for",
    "drive": "goes by the indexes of attributes",
    "scan": "reads all entities of the tenant and sorts them",
}
# The column that an order is about, for the arrow in its head.
_SORT_COLUMNS: Final = {
    "@external_id": "external_id",
    "@updated_at": "updated_at",
    "@created_at": "created_at",
    "@entity_id": "entity_id",
}


class EntityBrowser(DataPage):
    """Entities by any condition, a page at a time; or looked up by their id or external id."""

    nav = "entities"
    route = "entities"
    title = "Entities"
    template_name = "atlasco/entities/list.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        text = text_typed(request.GET, "q", EXTERNAL_ID_MAX_CHARS)
        if text:
            return self._found(request, text)
        state = state_parse(request.GET)
        if list(request.GET) == ["type"] and (default := self._default(state.entity_type)) is not None:
            return HttpResponseRedirect(f"?{search_state(default).url_query()}")
        return self._searched(state)

    def _default(self, entity_type: str) -> SavedSearch | None:
        with self.scope.bind():
            return search_default(keeper=keeper_of(self), entity_type=entity_type)

    def _found(self, request: HttpRequest, text: str) -> HttpResponseBase:
        tenant_id, state = self.scope.tenant.pk, state_parse(request.GET)
        entity_type = state.entity_type or None
        with self.reading() as source:
            rows, is_exact = entities_lookup(
                tenant_id=tenant_id, text=text, entity_type=entity_type, limit=FOUND_MAX, using=source.using
            )
            if is_exact and len(rows) == 1:
                return HttpResponseRedirect(self.scope.url("entity", entity_id=rows[0].entity_id))
            columns = OWN_COLUMNS
            table = table_rows(tenant_id=tenant_id, rows=rows, columns=columns, using=source.using)
            types = entity_types_recent(tenant_id=tenant_id, using=source.using)
        return self.render(
            q=text,
            state=state,
            rows=rows,
            table=table,
            heads=_heads(state, columns, table, sortable=False),
            is_exact=is_exact,
            is_full=len(rows) == FOUND_MAX,
            types=types,
            **self._filter(state, {}),
        )

    def _searched(self, state: BrowserState) -> HttpResponseBase:
        tenant_id = self.scope.tenant.pk
        tree = builder_tree(state.where, state.errors)
        names = builder_names(tree)
        page, table, columns, is_first = None, [], state.columns, state.cursor is None
        with self.reading() as source:
            if state.query is not None:
                page, is_first = _page_or_first(tenant_id, state.query, source)
                columns = columns or columns_choose(
                    tenant_id=tenant_id,
                    rows=page.entities,
                    tested=sorted(names),
                    has_type=bool(state.entity_type),
                    using=source.using,
                )
                table = table_rows(tenant_id=tenant_id, rows=page.entities, columns=columns, using=source.using)
            known = names_known(tenant_id=tenant_id, names=names, using=source.using)
            types = entity_types_recent(tenant_id=tenant_id, using=source.using)
            searches = searches_list(keeper=keeper_of(self))
        next_cursor = page.next_cursor if page is not None else None
        return self.render(
            state=state,
            rows=page.entities if page is not None else [],
            table=table,
            heads=_heads(state, columns, table, sortable=True),
            columns=[(name, _COLUMN_TITLES.get(name, name)) for name in columns],
            types=types,
            is_first=is_first,
            is_all=is_first and page is not None and next_cursor is None,
            next_query=state.url_query(columns=columns, cursor=next_cursor) if next_cursor else "",
            first_query=state.url_query(),
            state_query=state.url_query(),
            shown_query=state.url_query(columns=columns, search=None),
            code=self._code(state, columns),
            **self._searches(state, searches),
            **self._filter(state, {name: hint.as_dict() for name, hint in known.items()}),
        )

    def _filter(self, state: BrowserState, known: dict[str, Any]) -> dict[str, Any]:
        """What the filter shows."""
        tree = builder_tree(state.where, state.errors)
        placed = _placed(tree)
        return {
            "builder": {
                "tree": tree,
                "known": known,
                "type_words": TYPE_WORDS,
                "names_url": self.scope.url("entity_names"),
                "values_url": self.scope.url("entity_values"),
            },
            "conditions": conditions_count(tree),
            # What the builder shows beside no condition stands above it.
            "loose_errors": [error.detail for error in state.errors if error.detail not in placed],
            "sorts": SORTS,
        }

    def _searches(self, state: BrowserState, searches: list[SavedSearch]) -> dict[str, Any]:
        """The saved searches to choose from, and the one that this page began as."""
        keeper = keeper_of(self)
        opened = next((search for search in searches if search.pk == state.search), None)
        changed = opened is not None and search_state(opened) != replace(state, cursor=None)
        return {
            "searches": [(search, search_state(search).url_query()) for search in searches[:SEARCHES_SHOWN]],
            "opened": opened,
            "may_update": changed and opened is not None and keeper.may_change(opened),
            "save_query": state.url_query(search=None),
        }

    def _code(self, state: BrowserState, columns: tuple[str, ...]) -> dict[str, str]:
        if state.query is None:
            return {}
        parts = urlsplit(f"//{self.request.get_host()}")
        port = f":{parts.port}" if parts.port else ""
        base_url = f"{self.request.scheme}://{tenant_host(slug=self.scope.tenant.slug)}{port}"
        body = state.body()
        return {
            "curl": search_curl(base_url=base_url, body=body),
            "python": search_python(base_url=base_url, body=body),
        }


class EntityCount(DataPage):
    """About how many entities answer a filter: asked for after the page, which need not wait for it."""

    nav = "entities"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        with self.reading() as source:
            total = state_count(tenant_id=self.scope.tenant.pk, state=state_parse(request.GET), source=source)
        return self.fragment("atlasco/entities/count.html", total=total)


class EntityExplain(DataPage):
    """How the search of this filter runs: the plan, what was expected of it, and, where wanted, what was true.

    The true counts read every entity of the tenant, so nobody gets them by just looking.
    """

    nav = "entities"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        state, explanation, is_counted = state_parse(request.GET), None, "counted" in request.GET
        if state.query is not None:
            query = replace(state.query, cursor=None)
            with self.reading() as source:
                _, explanation = search_explain(
                    tenant_id=self.scope.tenant.pk,
                    query=query,
                    using=source.using,
                    position=source.position,
                    is_counted=is_counted,
                )
        return self.fragment(
            "atlasco/entities/explain.html",
            scope=self.scope,
            explanation=explanation,
            plans=_PLAN_WORDS,
            is_counted=is_counted,
            state_query=state.url_query(),
        )


class EntityNames(DataPage):
    """Attribute names that hold a text, as JSON, for whoever types one."""

    def get(self, request: HttpRequest) -> HttpResponseBase:
        part = text_typed(request.GET, "part")
        with self.reading() as source:
            names = names_suggest(
                tenant_id=self.scope.tenant.pk,
                part=part,
                for_columns=request.GET.get("for") == "columns",
                using=source.using,
            )
        return JsonResponse({"names": [name.as_dict() for name in names]})


class EntityValues(DataPage):
    """Values of one attribute that hold a text, as JSON. Numbers travel as text, so that none loses a digit."""

    def get(self, request: HttpRequest) -> HttpResponseBase:
        name, part = text_given(request.GET, "name"), text_typed(request.GET, "part", EXTERNAL_ID_MAX_CHARS)
        with self.reading() as source:
            values = values_suggest(tenant_id=self.scope.tenant.pk, name=name, part=part, using=source.using)
        shown = [{"type": value_type(value), "text": value_as_text(value)} for value in values]
        return JsonResponse({"values": shown})


def _page_or_first(tenant_id: int, query: Query, source: ReadSource) -> tuple[Page, bool]:
    """The page that the cursor names, and whether it is the first. An old link's cursor is worth the first page."""
    try:
        page = search_run(tenant_id=tenant_id, query=query, using=source.using, position=source.position)
    except InvalidCursor:
        query = replace(query, cursor=None)
        page = search_run(tenant_id=tenant_id, query=query, using=source.using, position=source.position)
    return page, query.cursor is None


def state_count(*, tenant_id: int, state: BrowserState, source: ReadSource) -> Count | None:
    """How many entities answer, about or exactly; None where the question is not understood."""
    if state.query is None:
        return None
    if state.is_everything:
        return tenant_usage(tenant_id=tenant_id, using=source.using).entities
    total, is_whole = search_total(tenant_id=tenant_id, query=state.query, using=source.using)
    return Count(total, "exact" if is_whole else "about")


def _heads(
    state: BrowserState, columns: tuple[str, ...], table: list[TableRow], *, sortable: bool
) -> list[dict[str, Any]]:
    """The heads of the table: `{name, title, query, sorted, is_right}`; query: the address that sorts by it."""
    heads = []
    for place, name in enumerate(("@external_id", *columns)):
        title = "External id" if name == "@external_id" else _COLUMN_TITLES.get(name, name)
        is_right = place > 0 and bool(table) and table[0].cells[place - 1].is_right
        head: dict[str, Any] = {"name": name, "title": title, "query": "", "sorted": "", "is_right": is_right}
        if sortable and (field := _SORT_COLUMNS.get(name)):
            is_up, is_down = state.sort == field, state.sort == f"-{field}"
            first = field if name == "@external_id" else f"-{field}"
            other = f"-{field}" if is_up else field
            head["query"] = state.url_query(sort=other if is_up or is_down else first)
            head["sorted"] = "ascending" if is_up else "descending" if is_down else ""
        heads.append(head)
    return heads


def _placed(tree: dict[str, Any] | None) -> set[str]:
    if tree is None:
        return set()
    found = set(tree["errors"])
    for node in tree.get("nodes", ()):
        found |= _placed(node)
    return found
