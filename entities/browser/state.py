"""What an address of the browser asks for, and the address of what somebody asks for. Pure, no database.

The address is readable and whole: `?type=aircraft&where=[["seats","gt",100]]&sort=-created_at&column=seats`. `where` is
what `POST entities/search/` takes, list or tree; it is judged by the same parser.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import quote, urlencode

import orjson
from django.http import QueryDict

from atlasco.lib.errors import FieldError
from entities.search.query import OWN_FIELDS, InvalidQuery, Query, query_parse
from entities.values import ENTITY_TYPE_MAX_CHARS, key_error, name_error

PAGE_SIZE: Final = 25
COLUMNS_MAX: Final = 40
WHERE_MAX_CHARS: Final = 32_768
SORT_DEFAULT: Final = "-updated_at"
SORTS: Final[tuple[tuple[str, str], ...]] = (
    ("-updated_at", "Changed, newest first"),
    ("updated_at", "Changed, oldest first"),
    ("-created_at", "Created, newest first"),
    ("created_at", "Created, oldest first"),
    ("external_id", "External id, A to Z"),
    ("-external_id", "External id, Z to A"),
    ("-entity_id", "Entity id, newest first"),
    ("entity_id", "Entity id, oldest first"),
)
# Fields of the entity itself that can be columns; @external_id always is one, as the link.
OWN_COLUMNS: Final = ("@entity_type", "@updated_at", "@created_at", "@entity_id")


@dataclass(frozen=True, slots=True)
class BrowserState:
    """One question to the browser.

    where: JSON as sent, None for everything; where_text: its text, for the raw editor, also where it is not JSON.
    columns: as chosen, in order; empty where the page may choose. query: None where errors says why there is none.
    search: the saved search this began as.
    """

    entity_type: str = ""
    where: Any = None
    where_text: str = ""
    sort: str = SORT_DEFAULT
    columns: tuple[str, ...] = ()
    cursor: str | None = None
    search: int | None = None
    query: Query | None = None
    errors: tuple[FieldError, ...] = field(default=())

    @property
    def is_everything(self) -> bool:
        """Whether every entity answers it."""
        return not self.entity_type and not self.where and not self.errors

    def body(self) -> dict[str, Any]:
        """What `POST entities/search/` takes for it; defaults are left out."""
        body: dict[str, Any] = {}
        if self.entity_type:
            body["entity_type"] = self.entity_type
        if self.where:
            body["where"] = self.where
        if self.sort != SORT_DEFAULT:
            body["order_by"] = self.sort
        if fields := [name for name in self.columns if not name.startswith("@")]:
            body["fields"] = fields
        return body

    def url_query(self, **changes: Any) -> str:
        """The query of its address, with some members changed; a cursor only where it is named here."""
        changed = replace(self, **{"cursor": None, **changes})
        pairs: list[tuple[str, str]] = []
        if changed.search is not None:
            pairs.append(("search", str(changed.search)))
        if changed.entity_type:
            pairs.append(("type", changed.entity_type))
        if changed.where_text:
            pairs.append(("where", changed.where_text))
        if changed.sort != SORT_DEFAULT:
            pairs.append(("sort", changed.sort))
        pairs.extend(("column", name) for name in changed.columns)
        if changed.cursor:
            pairs.append(("cursor", changed.cursor))
        # Brackets, quotes and commas as they are: browsers show and send them so, and a reader can read them.
        return urlencode(pairs, quote_via=lambda text, safe, *_: quote(text, safe='[]{}",:@()*!' + safe))


def state_parse(parameters: QueryDict) -> BrowserState:
    """The question that an address asks. Never raises: what is wrong stands in `errors`, and `query` is None then."""
    entity_type = _clean(parameters.get("type", "")).strip()[: ENTITY_TYPE_MAX_CHARS + 1]
    where_text = _clean(parameters.get("where", "")).strip()
    search = parameters.get("search", "")
    state = BrowserState(
        entity_type=entity_type,
        where_text=where_text[:WHERE_MAX_CHARS],
        sort=parameters.get("sort") or SORT_DEFAULT,
        columns=_columns(parameters.getlist("column")),
        cursor=parameters.get("cursor") or None,
        search=int(search) if search.isascii() and search.isdigit() and len(search) < 18 else None,
    )
    errors: list[FieldError] = []
    if len(where_text) > WHERE_MAX_CHARS:
        errors.append(FieldError("where", "too_long", f"Conditions have at most {WHERE_MAX_CHARS:,} characters."))
    elif where_text:
        try:
            state = replace(state, where=orjson.loads(where_text))
        except orjson.JSONDecodeError as error:
            errors.append(FieldError("where", "invalid_json", f"The conditions are not JSON: {error}."))
    return _judged(state, errors)


def state_of_body(body: dict[str, Any], columns: Iterable[str] = ()) -> BrowserState:
    """The question that a kept search asks. Never raises, as `state_parse`."""
    where = body.get("where")
    return _judged(
        BrowserState(
            entity_type=str(body.get("entity_type") or ""),
            where=where,
            where_text=orjson.dumps(where).decode() if where else "",
            sort=str(body.get("order_by") or SORT_DEFAULT),
            columns=_columns(columns),
        ),
        [],
    )


def _judged(state: BrowserState, errors: list[FieldError]) -> BrowserState:
    """The state with its query, or with what is wrong with it. An unknown order is the default one: an old link."""
    if state.sort not in dict(SORTS):
        state = replace(state, sort=SORT_DEFAULT)
    if state.entity_type and (error := key_error(state.entity_type, "entity_type", ENTITY_TYPE_MAX_CHARS)):
        errors.append(error)
    if errors:
        return replace(state, errors=tuple(errors))
    body = {**state.body(), "limit": PAGE_SIZE}
    body.pop("fields", None)
    try:
        query = query_parse(body)
    except InvalidQuery as problem:
        return replace(state, errors=tuple(problem.errors))
    return replace(state, query=replace(query, cursor=state.cursor, fields=()))


def _columns(names: Iterable[str]) -> tuple[str, ...]:
    """Columns in order, each once; what can't be one is passed over: an old or a mistyped link still shows the rest."""
    known = dict.fromkeys(_clean(name) for name in names)
    usable = [name for name in known if name in OWN_COLUMNS or (name_error(name, "column") is None)]
    return tuple(name for name in usable if name not in _HIDDEN_COLUMNS)[:COLUMNS_MAX]


def _clean(text: str) -> str:
    return text.replace("\x00", "")


_HIDDEN_COLUMNS: Final = frozenset(OWN_FIELDS) - frozenset(OWN_COLUMNS)
