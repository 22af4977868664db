"""One entity: its values, edited in place, and its end."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

import orjson
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from atlasco.lib import clock
from atlasco.lib.errors import Problem, Unavailable
from entities.admin.pages import DataPage, text_given, text_typed
from entities.bulk.preview import value_shown
from entities.editing import (
    MISSING,
    Edit,
    ValueChanged,
    attribute_edit,
    edits_known,
    entity_remove,
    value_digest,
    value_parse,
)
from entities.history import HistoryPage, ValueChange, entity_history
from entities.search.cursors import InvalidCursor
from entities.selectors import (
    VALUE_SHOWN_CHARS,
    AttributeNotFound,
    EntityNotFound,
    ValueRow,
    ValueShown,
    entity_head,
    value_get,
    value_text,
    values_page,
)
from entities.values import VALUE_TYPES, Value, value_as_text, value_type
from freshness.state import FreshnessState, freshness_scope, freshness_state

VALUES_SIZE: Final = 200
HISTORY_SIZE: Final = 50


class EntityDetail(DataPage):
    """One entity: what it is, and its values in order of name."""

    nav = "entities"
    chooser = False
    template_name = "atlasco/entities/detail.html"

    def get(self, request: HttpRequest, entity_id: int) -> HttpResponseBase:
        part = text_typed(request.GET, "name")
        after = text_given(request.GET, "after")
        tenant_id = self.scope.tenant.pk
        with self.reading() as source:
            entity = entity_head(tenant_id=tenant_id, entity_id=entity_id, using=source.using)
            page = values_page(
                tenant_id=tenant_id, entity_id=entity_id, part=part, after=after, limit=VALUES_SIZE, using=source.using
            )
            sets: dict[tuple[str, datetime], str | None] = {
                (value.name, value.updated_at): value.text for value in page.values
            }
            edits = edits_known(tenant_id=tenant_id, entity_id=entity_id, sets=sets)
        return self.render(
            title=entity.external_id,
            crumbs=(("Entities", self.scope.url("entities")),),
            entity=entity,
            page=page,
            rows=[(value, edits.get((value.name, value.updated_at))) for value in page.values],
            part=part,
            is_first=not after,
            next_query=urlencode({"name": part, "after": page.next_after}) if page.next_after else "",
            first_query=urlencode({"name": part}),
        )


class EntityHistory(DataPage):
    """What an entity's values were, newest change first; also of one that is gone."""

    nav = "entities"
    chooser = False
    template_name = "atlasco/entities/history.html"

    def get(self, request: HttpRequest, entity_id: int) -> HttpResponseBase:
        name = text_given(request.GET, "name")
        tenant_id, cursor = self.scope.tenant.pk, request.GET.get("cursor") or None
        entity, page, edits = None, None, {}
        missing = EntityNotFound()
        with self.scope.bind():
            try:
                entity = entity_head(tenant_id=tenant_id, entity_id=entity_id, using="default")
            except EntityNotFound as error:
                missing = error
            with freshness_scope(FreshnessState()):
                try:
                    page = self.page(tenant_id, entity_id, name or None, cursor)
                except Unavailable:
                    page = None
                else:
                    self.answer = freshness_state().answer
            if page is not None:
                sets = {(change.name, change.at): _change_text(change) for change in page.changes}
                edits = edits_known(tenant_id=tenant_id, entity_id=entity_id, sets=sets)
        if entity is None and (page is None or not page.changes):
            raise missing
        url = self.scope.url("entity", entity_id=entity_id)
        title = str(entity_id) if entity is None else entity.external_id
        return self.render(
            title=title,
            crumbs=(("Entities", self.scope.url("entities")),),
            entity=entity,
            entity_id=entity_id,
            entity_url=url,
            name=name,
            is_down=page is None,
            rows=[] if page is None else _changes_shown(page.changes, edits),
            is_first=cursor is None,
            next_query=urlencode({"name": name, "cursor": page.next_cursor}) if page and page.next_cursor else "",
            first_query=urlencode({"name": name}),
        )

    def page(self, tenant_id: int, entity_id: int, name: str | None, cursor: str | None) -> HistoryPage:
        try:
            return entity_history(
                tenant_id=tenant_id, entity_id=entity_id, name=name, limit=HISTORY_SIZE, cursor=cursor
            )
        except InvalidCursor:  # An old link: the newest are better than an error.
            return entity_history(tenant_id=tenant_id, entity_id=entity_id, name=name, limit=HISTORY_SIZE)


class EntityValue(DataPage):
    """The whole of a long value, where its page shows only the beginning."""

    nav = "entities"
    chooser = False

    def get(self, request: HttpRequest, entity_id: int) -> HttpResponseBase:
        name = text_given(request.GET, "name")
        with self.reading() as source:
            text = value_text(tenant_id=self.scope.tenant.pk, entity_id=entity_id, name=name, using=source.using)
        return self.fragment("atlasco/entities/value.html", text=text)


class ValueEdit(DataPage):
    """One value in a form: set to another one, of its type or a new one, or taken away. Without a name: a new one.

    htmx gets a row of the table; a browser without script gets a page, and is sent back to the entity.
    """

    nav = "entities"
    chooser = False

    def get(self, request: HttpRequest, entity_id: int) -> HttpResponseBase:
        name = text_given(request.GET, "name")
        with self.reading() as source:
            entity_head(tenant_id=self.scope.tenant.pk, entity_id=entity_id, using=source.using)
            current = self.current(entity_id, name, source.using) if name else None
        if request.GET.get("show") and current is not None:
            return self.row(entity_id, current)
        if current is not None:
            form = _form(current.name, current.value_type, _text_of(current), value_digest(_value_of(current)))
        else:
            form = _form(name, "string", "", MISSING)
        return self.show(entity_id, form, is_new=current is None)

    def post(self, request: HttpRequest, entity_id: int) -> HttpResponseBase:
        seen, is_removal = request.POST.get("seen", MISSING), request.POST.get("do") == "remove"
        is_new = seen == MISSING
        # A name that is there stands as it is; a new one that is too long is refused, not cut.
        name = request.POST.get("name", "").replace("\x00", "")
        name = name.strip() if is_new else name
        kind = request.POST.get("type", "")
        text = request.POST.get(f"value_{kind}", "")
        form = _form(name, kind if kind in VALUE_TYPES else "string", text, seen)
        try:
            value = None if is_removal else value_parse(kind=kind, text=text)
            with self.scope.bind():
                stored = attribute_edit(
                    tenant_id=self.scope.tenant.pk, entity_id=entity_id, name=name, value=value, seen=seen,
                    now=clock.now(),
                )  # fmt: skip
        except ValueChanged as problem:
            form["conflict"] = _conflict(problem.current, kind, text, is_removal=is_removal)
            form["seen"] = value_digest(problem.current)
            return self.show(entity_id, form, is_new=is_new and problem.current is None, status=409)
        except Problem as problem:
            if problem.status in {403, 404} or problem.status >= 500:
                raise
            form["errors"] = problem.sentences
            return self.show(entity_id, form, is_new=is_new, status=problem.status)
        if "HX-Request" not in request.headers or is_new:
            word = "removed" if stored is None else "added" if is_new else "changed"
            return self.gone_on(self.scope.url("entity", entity_id=entity_id), f"“{name}” is {word}.")
        if stored is None:
            return self.fragment("atlasco/entities/value_gone.html", scope=self.scope, entity_id=entity_id, name=name)
        return self.row(entity_id, stored, is_saved=True)

    def gone_on(self, url: str, message: str) -> HttpResponseBase:
        """To another page; htmx is told by a header, since it would follow a redirect for itself."""
        response: HttpResponseBase = self.leave(url, message)
        if "HX-Request" in self.request.headers:
            response = self.fragment("atlasco/entities/value.html", text="")
            response.headers["HX-Redirect"] = url
        return response

    def row(self, entity_id: int, current: ValueRow, *, is_saved: bool = False) -> HttpResponseBase:
        text = _text_of(current)
        value = ValueShown(current.name, current.value_type, text[:VALUE_SHOWN_CHARS], len(text), current.updated_at)
        with self.scope.bind():
            key = (value.name, value.updated_at)
            edits = edits_known(tenant_id=self.scope.tenant.pk, entity_id=entity_id, sets={key: value.text})
        return self.fragment(
            "atlasco/entities/value_row.html",
            scope=self.scope,
            entity_id=entity_id,
            value=value,
            edit=edits.get(key),
            is_saved=is_saved,
        )

    def current(self, entity_id: int, name: str, using: str) -> ValueRow | None:
        try:
            return value_get(tenant_id=self.scope.tenant.pk, entity_id=entity_id, name=name, using=using)
        except AttributeNotFound:
            return None

    def show(self, entity_id: int, form: dict[str, Any], *, is_new: bool, status: int = 200) -> HttpResponseBase:
        context = {"entity_id": entity_id, "form": form, "is_new": is_new, "types": VALUE_TYPES}
        if "HX-Request" in self.request.headers:
            # htmx shows what comes with 200 only; the fragment says in words what is wrong.
            return self.fragment("atlasco/entities/value_form_row.html", scope=self.scope, **context)
        with self.scope.bind():
            entity = entity_head(tenant_id=self.scope.tenant.pk, entity_id=entity_id, using="default")
        back = self.scope.url("entity", entity_id=entity_id)
        return self.render(
            "atlasco/entities/value_form.html",
            status=status,
            title="Add an attribute" if is_new else form["name"],
            crumbs=(("Entities", self.scope.url("entities")), (entity.external_id, back)),
            back=back,
            **context,
        )


class EntityDelete(DataPage):
    """The end of an entity, once asked."""

    nav = "entities"
    chooser = False
    template_name = "atlasco/confirm.html"

    def get(self, request: HttpRequest, entity_id: int) -> HttpResponseBase:
        tenant_id = self.scope.tenant.pk
        with self.reading() as source:
            entity = entity_head(tenant_id=tenant_id, entity_id=entity_id, using=source.using)
            page = values_page(tenant_id=tenant_id, entity_id=entity_id, part="", after="", limit=1, using=source.using)
        back = self.scope.url("entity", entity_id=entity_id)
        return self.render(
            title=entity.external_id,
            question=f"Delete {entity.entity_type} “{entity.external_id}”?",
            effects=[
                f"Its {page.total} value{'' if page.total == 1 else 's'} go with it.",
                "This can’t be undone. The audit log keeps what it was.",
                "A program that sends it again makes a new entity of this external id.",
            ],
            button="Delete entity",
            danger=True,
            back=back,
            crumbs=(("Entities", self.scope.url("entities")), (entity.external_id, back)),
        )

    def post(self, request: HttpRequest, entity_id: int) -> HttpResponseBase:
        tenant_id = self.scope.tenant.pk
        with self.scope.bind():
            entity = entity_head(tenant_id=tenant_id, entity_id=entity_id, using="default")
            entity_remove(tenant_id=tenant_id, entity_id=entity_id)
        return self.leave(self.scope.url("entities"), f"{entity.entity_type} “{entity.external_id}” is deleted.")


def _changes_shown(changes: list[ValueChange], edits: dict[tuple[str, datetime], Edit]) -> list[dict[str, Any]]:
    """The rows of a history: each change with what was there before, as far as this page reaches, and who made it."""
    rows: list[dict[str, Any]] = []
    before: dict[str, str | None] = {}
    for change in reversed(changes):
        text = value_shown(None if change.value is None else orjson.loads(change.value))
        rows.append(
            {
                "change": change,
                "text": text,
                "has_before": change.name in before,
                "before": before.get(change.name),
                "edit": edits.get((change.name, change.at)),
            }
        )
        before[change.name] = text
    return rows[::-1]


def _change_text(change: ValueChange) -> str | None:
    """The value as the audit log's words are compared with: a string as it is, anything else as JSON."""
    if change.value is None:
        return None
    return value_as_text(orjson.loads(change.value))


def _form(name: str, kind: str, text: str, seen: str) -> dict[str, Any]:
    """What the form of a value shows. seen: the digest of the value that stood there when it was opened."""
    return {"name": name, "type": kind, "text": text, "seen": seen, "errors": [], "conflict": None}


def _conflict(current: Value | None, kind: str, text: str, *, is_removal: bool) -> dict[str, Any]:
    """Both values, for whoever has to choose."""
    return {
        "is_gone": current is None,
        "type": "" if current is None else value_type(current),
        "text": "" if current is None else value_as_text(current),
        "is_removal": is_removal,
        "mine_type": kind,
        "mine": text,
    }


def _value_of(row: ValueRow) -> Value:
    value: Value = orjson.loads(orjson.dumps(row.value))
    return value


def _text_of(row: ValueRow) -> str:
    """The value as a field shows it: a string as it is, anything else as JSON writes it."""
    value = _value_of(row)
    return value if isinstance(value, str) else orjson.dumps(row.value).decode()
