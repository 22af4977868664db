"""Saved searches: the list, and a form to keep, rename, share and delete one."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from atlasco.lib import clock
from atlasco.lib.errors import Problem
from entities.admin.pages import DataPage
from entities.browser.saved import (
    Keeper,
    SearchExists,
    search_delete,
    search_get,
    search_save,
    search_state,
    searches_list,
)
from entities.browser.state import BrowserState, state_parse
from entities.browser.words import search_words, state_words
from tenants.admin.forms import TextInput
from tenants.admin.pages import problem_show, request_member, request_role, request_user
from tenants.members.models import Role, SavedSearch


class SearchForm(forms.Form):
    """What a search is called, and who sees it."""

    name = forms.CharField(max_length=100, widget=TextInput(autofocus=True, placeholder="Aircraft to be stored"))
    shared = forms.BooleanField(
        label="Shared with the tenant", required=False, help_text="Every member finds it in their list, too."
    )
    default = forms.BooleanField(label="Default of its type", required=False)

    def __init__(self, *args: Any, entity_type: str, keeper: Keeper, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # One of a platform admin, who is not a member here, is always shared: nobody else would ever see it.
        if keeper.user_id is None or not keeper.may_share:
            del self.fields["shared"]
        if entity_type:
            self.fields[
                "default"
            ].help_text = f"Opens with these columns where somebody chooses the type {entity_type}."
        else:
            del self.fields["default"]


class SearchPage(DataPage):
    """What the pages about saved searches share."""

    nav = "entities"
    chooser = False
    # Viewers keep searches of their own; what is shared is guarded by `search_save`.
    role_to_change = Role.VIEWER

    @property
    def keeper(self) -> Keeper:
        return keeper_of(self)

    def form(self, data: Any, state: BrowserState, **initial: Any) -> SearchForm:
        return SearchForm(data, initial=initial, entity_type=state.entity_type, keeper=self.keeper)

    def save(self, form: SearchForm, search: SavedSearch | None, state: BrowserState | None) -> SavedSearch | None:
        """Keep what the form says; None, and the reason in the form, where that is refused."""
        if not form.is_valid():
            return None
        values = form.cleaned_data
        try:
            return search_save(
                keeper=self.keeper,
                search=search,
                name=values["name"],
                state=state,
                is_shared=bool(values.get("shared")),
                is_default=bool(values.get("default")),
                now=clock.now(),
            )
        except Problem as problem:
            problem_show(form, problem, {SearchExists: "name"})
            return None

    @property
    def crumbs(self) -> tuple[tuple[str, str], ...]:
        return (("Entities", self.scope.url("entities")), ("Saved searches", self.scope.url("searches")))


class SearchList(SearchPage):
    """The searches one may see."""

    title = "Saved searches"
    template_name = "atlasco/entities/searches.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        with self.scope.bind():
            found = searches_list(keeper=self.keeper)
        rows = [
            {
                "search": search,
                "words": search_words(search.query),
                "query": search_state(search).url_query(),
                "is_own": self.keeper.owns(search),
                "may_change": self.keeper.may_change(search),
            }
            for search in found
        ]
        return self.render(rows=rows, crumbs=self.crumbs[:1])


class SearchCreate(SearchPage):
    """Keep the search that the address holds."""

    title = "Save this search"
    template_name = "atlasco/entities/search_form.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        state = state_parse(request.GET)
        return self.show(self.form(None, state), state)

    def post(self, request: HttpRequest) -> HttpResponseBase:
        state = state_parse(request.GET)
        form = self.form(request.POST, state)
        with self.scope.bind():
            search = self.save(form, None, state)
        if search is None:
            return self.show(form, state)
        query = search_state(search).url_query()
        return self.leave(f"{self.scope.url('entities')}?{query}", f"The search “{search.name}” is saved.")

    def show(self, form: SearchForm, state: BrowserState) -> HttpResponseBase:
        back = f"{self.scope.url('entities')}?{state.url_query()}"
        return self.render(form=form, words=state_words(state), button="Save search", back=back, crumbs=self.crumbs)


class SearchChange(SearchPage):
    """Rename, share; and where the address holds a question, ask that from now on."""

    template_name = "atlasco/entities/search_form.html"

    def get(self, request: HttpRequest, search_id: int) -> HttpResponseBase:
        with self.scope.bind():
            search = search_get(keeper=self.keeper, search_id=search_id)
        state = self.state(request, search)
        form = self.form(None, state, name=search.name, shared=search.is_shared, default=search.is_default)
        return self.show(form, search, state)

    def post(self, request: HttpRequest, search_id: int) -> HttpResponseBase:
        with self.scope.bind():
            search = search_get(keeper=self.keeper, search_id=search_id)
            state = self.state(request, search)
            form = self.form(request.POST, state)
            saved = self.save(form, search, state)
        if saved is None:
            return self.show(form, search, state)
        return self.leave(
            f"{self.scope.url('entities')}?{search_state(saved).url_query()}", f"The search “{saved.name}” is changed."
        )

    def state(self, request: HttpRequest, search: SavedSearch) -> BrowserState:
        return state_parse(request.GET) if request.GET else search_state(search)

    def show(self, form: SearchForm, search: SavedSearch, state: BrowserState) -> HttpResponseBase:
        kept, asked = search_words(search.query), state_words(state)
        return self.render(
            title=search.name,
            form=form,
            words=asked,
            words_before=kept if kept != asked else "",
            button="Save changes",
            back=self.scope.url("searches"),
            crumbs=self.crumbs,
        )


class SearchDelete(SearchPage):
    """Forget a search, once asked."""

    template_name = "atlasco/confirm.html"

    def get(self, request: HttpRequest, search_id: int) -> HttpResponseBase:
        with self.scope.bind():
            search = search_get(keeper=self.keeper, search_id=search_id)
        effects = ["No entity is touched."]
        if search.is_shared:
            effects.append("It disappears for every member of the tenant.")
        return self.render(
            title=search.name,
            question=f"Delete the search “{search.name}”?",
            effects=effects,
            button="Delete search",
            danger=True,
            back=self.scope.url("searches"),
            crumbs=self.crumbs,
        )

    def post(self, request: HttpRequest, search_id: int) -> HttpResponseBase:
        with self.scope.bind():
            search = search_get(keeper=self.keeper, search_id=search_id)
            search_delete(keeper=self.keeper, search=search)
        return self.leave(self.scope.url("searches"), f"The search “{search.name}” is deleted.")


def keeper_of(page: DataPage) -> Keeper:
    """Whose searches a page is about: the member's, or those that admins of the platform keep here."""
    member = request_member(page.request)
    return Keeper(
        user_id=None if member is None else member.pk,
        name=request_user(page.request).get_username(),
        role=request_role(page.request),
    )
