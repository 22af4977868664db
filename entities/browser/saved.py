"""Searches that members keep, in the bound tenant's schema: their own, and those shared with the tenant."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from django.db import transaction
from django.db.models import F, Q, QuerySet

from atlasco.lib.errors import Conflict, Invalid, NotFound
from entities.browser.state import BrowserState, state_of_body
from tenants.errors import Forbidden, constraint_problems
from tenants.members.models import Role, SavedSearch
from tenants.roles import role_covers

SEARCHES_MAX: Final = 500


class SearchUnknown(NotFound):
    """There is no saved search of this number here that you may see."""

    code = "search_unknown"


class SearchNotYours(Forbidden):
    """This search is shared with you; only its owner or an admin may change it."""

    code = "search_not_yours"


class SearchExists(Conflict):
    """You already have a saved search of this name."""

    code = "search_exists"


class SearchBroken(Invalid):
    """This filter can't be kept: it is not understood yet. Mend it first."""

    code = "search_broken"


class TooManySearches(Conflict):
    """You keep 500 searches already. Delete some first."""

    code = "too_many_searches"


@dataclass(frozen=True, slots=True)
class Keeper:
    """Who looks at saved searches. user_id: None for an admin of the platform, who is not a member of the tenant."""

    user_id: int | None
    name: str
    role: Role

    @property
    def may_share(self) -> bool:
        return role_covers(self.role, Role.EDITOR)

    def owns(self, search: SavedSearch) -> bool:
        return search.owner_id == self.user_id

    def may_change(self, search: SavedSearch) -> bool:
        if search.is_shared and not self.may_share:
            return False
        return self.owns(search) or (search.is_shared and role_covers(self.role, Role.ADMIN))


def searches_list(*, keeper: Keeper) -> list[SavedSearch]:
    """The searches this one may see, in order of name: own and shared."""
    return list(_visible(keeper).order_by("name", "id")[:SEARCHES_MAX])


def search_get(*, keeper: Keeper, search_id: int) -> SavedSearch:
    """Return one search. Raises SearchUnknown, for somebody else's private one too."""
    search = _visible(keeper).filter(pk=search_id).first()
    if search is None:
        raise SearchUnknown
    return search


def search_default(*, keeper: Keeper, entity_type: str) -> SavedSearch | None:
    """The search that opens where this one chooses a type: the own default, else a shared one."""
    found = _visible(keeper).filter(is_default=True, query__entity_type=entity_type)
    return min(found, key=lambda search: (not keeper.owns(search), search.updated_at), default=None)


def search_state(search: SavedSearch) -> BrowserState:
    """What a search asks, as the browser has it."""
    return replace(state_of_body(search.query, search.columns), search=search.pk)


def search_save(
    *,
    keeper: Keeper,
    search: SavedSearch | None,
    name: str,
    state: BrowserState | None,
    is_shared: bool,
    is_default: bool,
    now: datetime,
) -> SavedSearch:
    """Keep a new search, or change one: its name, its sharing, and where a state is given what it asks.

    Only editors share; those of a viewer stay private.

    Raises SearchExists, SearchBroken, SearchNotYours, TooManySearches.
    """
    if state is not None and state.query is None:
        raise SearchBroken
    if search is None:
        if SavedSearch.objects.using("default").filter(owner_id=keeper.user_id).count() >= SEARCHES_MAX:
            raise TooManySearches
        search = SavedSearch(owner_id=keeper.user_id, owner_name=keeper.name, created_at=now)
    elif not keeper.may_change(search):
        raise SearchNotYours
    search.name, search.updated_at = name, now
    search.is_shared = (is_shared and keeper.may_share) or search.owner_id is None
    if state is not None:
        body = state.body()
        body.pop("fields", None)
        search.query, search.columns = body, list(state.columns)
    search.is_default = is_default and bool(search.query.get("entity_type"))
    with constraint_problems({"savedsearch_name_unique": SearchExists}), transaction.atomic(using="default"):
        if search.is_default:
            others = SavedSearch.objects.using("default").filter(
                owner_id=search.owner_id, is_default=True, query__entity_type=search.query["entity_type"]
            )
            others.exclude(pk=search.pk).update(is_default=False)
        search.save(using="default")
    return search


def search_delete(*, keeper: Keeper, search: SavedSearch) -> None:
    """Forget a search. Raises SearchNotYours."""
    if not keeper.may_change(search):
        raise SearchNotYours
    search.delete(using="default")


def _visible(keeper: Keeper) -> QuerySet[SavedSearch]:
    searches = SavedSearch.objects.using("default").annotate(owner_username=F("owner__username"))
    if keeper.user_id is None:
        return searches.filter(is_shared=True)
    return searches.filter(Q(is_shared=True) | Q(owner_id=keeper.user_id))
