"""The same change to many entities: what to change, a preview, how far it is, what it did, and its taking back."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase

from atlasco.lib import clock
from atlasco.lib.errors import Problem
from entities import tasks
from entities.admin.pages import DataPage
from entities.browser.state import BrowserState, state_parse
from entities.browser.words import search_words
from entities.bulk.edits import (
    Changes,
    bulk_edit_cancel,
    bulk_edit_create,
    bulk_edit_get,
    bulk_edit_undo,
    bulk_edit_undone_by,
    bulk_edits_list,
    changes_check,
)
from entities.bulk.preview import bulk_edit_preview, value_shown
from entities.editing import value_parse
from entities.jobs import UNFINISHED
from entities.models import BulkEdit
from entities.selectors import entity_id_parse
from entities.values import VALUE_TYPES, Value
from tenants.admin.pages import request_user
from tenants.members.models import Role

ROWS_MAX: Final = 20
# What a page of the browser can have ticked, and more.
SELECTED_MAX: Final = 1_000


class BulkPage(DataPage):
    """What the pages about bulk edits share."""

    nav = "entities"
    chooser = False

    @property
    def crumbs(self) -> tuple[tuple[str, str], ...]:
        return (("Entities", self.scope.url("entities")), ("Bulk edits", self.scope.url("bulk_edits")))


class BulkEditList(BulkPage):
    """What was changed in bulk, newest first."""

    title = "Bulk edits"
    template_name = "atlasco/entities/bulk_edits.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        with self.scope.bind():
            edits = bulk_edits_list(tenant_id=self.scope.tenant.pk)
        return self.render(rows=[_shown(edit) for edit in edits], crumbs=self.crumbs[:1])


class BulkEditCreate(BulkPage):
    """Choose the changes, look at what they would do, then do them. The address says which entities."""

    title = "Edit many"
    role_required = Role.EDITOR
    template_name = "atlasco/entities/bulk_form.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return self.show([_row()])

    def post(self, request: HttpRequest) -> HttpResponseBase:
        rows, changes = _rows_parse(request)
        nobody_ticked = not self.ids and request.GET.get("of") == "selected"
        if nobody_ticked or any(row["errors"] for row in rows):
            return self.show(rows, status=400)
        tenant_id, state, ids = self.scope.tenant.pk, self.state, self.ids
        try:
            with self.reading() as source:
                changes = changes_check(tenant_id=tenant_id, changes=changes)
                preview = bulk_edit_preview(
                    tenant_id=tenant_id,
                    query=None if ids else state.query,
                    entity_ids=ids,
                    changes=changes,
                    using=source.using,
                )
            if request.POST.get("do") != "run" or preview.is_too_many or not preview.changing:
                return self.show(rows, preview=preview)
            body = state.body()
            body.pop("fields", None)
            with self.scope.bind():
                edit = bulk_edit_create(
                    tenant_id=tenant_id,
                    query=None if ids else body,
                    entity_ids=ids,
                    changes=changes,
                    entities_total=preview.matched,
                    created_by=request_user(request).get_username(),
                    now=clock.now(),
                    enqueue=tasks.bulk_edit_enqueue,
                )
        except Problem as problem:
            rows[0]["errors"] = problem.sentences
            return self.show(rows, status=problem.status)
        return HttpResponseRedirect(self.scope.url("bulk_edit", edit_id=edit.edit_id))

    @property
    def state(self) -> BrowserState:
        return state_parse(self.request.GET)

    @property
    def ids(self) -> list[int]:
        """The entities that were ticked; empty for all that match. Raises EntityNotFound for what is no id."""
        return sorted({entity_id_parse(text) for text in self.request.GET.getlist("id")[:SELECTED_MAX]})

    def show(self, rows: list[dict[str, Any]], *, preview: Any = None, status: int = 200) -> HttpResponseBase:
        state, ids = self.state, self.ids
        return self.render(
            status=status,
            rows=rows,
            blank=_row(),
            preview=preview,
            most=settings.BULK_EDIT_MAX,
            types=VALUE_TYPES,
            ids=ids,
            words=search_words(state.body()),
            is_broken=not ids and state.query is None,
            is_nothing=not ids and self.request.GET.get("of") == "selected",
            names_url=self.scope.url("entity_names"),
            back=f"{self.scope.url('entities')}?{state.url_query()}",
            crumbs=self.crumbs[:1],
        )


class BulkEditDetail(BulkPage):
    """One bulk edit: how far it is, what it did, and what it left out."""

    template_name = "atlasco/entities/bulk_edit.html"

    def get(self, request: HttpRequest, edit_id: uuid.UUID) -> HttpResponseBase:
        return self.show(edit_id)

    def show(self, edit_id: uuid.UUID) -> HttpResponseBase:
        with self.scope.bind():
            edit = bulk_edit_get(tenant_id=self.scope.tenant.pk, edit_id=edit_id)
            undone_by = bulk_edit_undone_by(tenant_id=self.scope.tenant.pk, edit_id=edit_id)
        shown = {**_shown(edit), "undone_by": undone_by}
        shown["may_undo"] = (
            not shown["is_unfinished"] and edit.undo_of is None and undone_by is None and bool(edit.entities_changed)
        )
        if "HX-Request" in self.request.headers:
            return self.fragment("atlasco/entities/bulk_edit_part.html", row=shown, scope=self.scope)
        title = "Undo of a bulk edit" if edit.undo_of else "Bulk edit"
        return self.render(title=title, row=shown, crumbs=self.crumbs)


class BulkEditCancel(BulkEditDetail):
    """Stop one that has not ended."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, edit_id: uuid.UUID) -> HttpResponseBase:
        with self.scope.bind():
            bulk_edit_cancel(tenant_id=self.scope.tenant.pk, edit_id=edit_id, now=clock.now())
        if "HX-Request" in request.headers:
            return self.show(edit_id)
        return self.leave(
            self.scope.url("bulk_edit", edit_id=edit_id), "The edit is cancelled; what it has changed so far stays."
        )


class BulkEditUndo(BulkPage):
    """Take one back, once asked."""

    role_required = Role.EDITOR
    template_name = "atlasco/confirm.html"

    def get(self, request: HttpRequest, edit_id: uuid.UUID) -> HttpResponseBase:
        with self.scope.bind():
            edit = bulk_edit_get(tenant_id=self.scope.tenant.pk, edit_id=edit_id)
        back = self.scope.url("bulk_edit", edit_id=edit_id)
        return self.render(
            title="Undo a bulk edit",
            question=f"Take back what was changed in {edit.entities_changed:,} entities?",
            effects=[
                "Each gets back the values it had before, or loses what it did not have.",
                "A value that somebody has changed since stays as it is, and is listed.",
            ],
            button="Undo the edit",
            back=back,
            crumbs=(*self.crumbs, ("Bulk edit", back)),
        )

    def post(self, request: HttpRequest, edit_id: uuid.UUID) -> HttpResponseBase:
        with self.scope.bind():
            undo = bulk_edit_undo(
                tenant_id=self.scope.tenant.pk,
                edit_id=edit_id,
                created_by=request_user(request).get_username(),
                now=clock.now(),
                enqueue=tasks.bulk_edit_enqueue,
            )
        return HttpResponseRedirect(self.scope.url("bulk_edit", edit_id=undo.edit_id))


def _row(name: str = "", do: str = "set", kind: str = "string", text: str = "") -> dict[str, Any]:
    """One change in the form."""
    return {"name": name, "do": do, "type": kind, "text": text, "errors": []}


def _rows_parse(request: HttpRequest) -> tuple[list[dict[str, Any]], Changes]:
    """The rows of the form with what is wrong in each, and the changes that the good ones make."""
    names = [name.replace("\x00", "").strip() for name in request.POST.getlist("name")][:ROWS_MAX]
    kinds, does = request.POST.getlist("type"), request.POST.getlist("action")
    rows: list[dict[str, Any]] = []
    changes: dict[str, Value | None] = {}
    for index, name in enumerate(names):
        kind = kinds[index] if index < len(kinds) and kinds[index] in VALUE_TYPES else "string"
        texts = request.POST.getlist(f"value_{kind}")
        do = "remove" if index < len(does) and does[index] == "remove" else "set"
        row = _row(name, do, kind, texts[index] if index < len(texts) else "")
        if not name and not row["text"] and len(names) > 1:
            continue
        rows.append(row)
        if not name:
            row["errors"] = ["Choose an attribute."]
        elif name in changes:
            row["errors"] = ["This attribute is changed above already."]
        elif do == "remove":
            changes[name] = None
        else:
            try:
                changes[name] = value_parse(kind=kind, text=row["text"])
            except Problem as problem:
                row["errors"] = [problem.detail]
    return rows or [{**_row(), "errors": ["Choose an attribute."]}], changes


def _shown(edit: BulkEdit) -> dict[str, Any]:
    """One edit as a list and its page show it."""
    return {
        "edit": edit,
        "words": search_words(edit.query) if edit.query is not None else "",
        "changes": [(name, value_shown(value)) for name, value in edit.changes.items()],
        "is_unfinished": edit.status in UNFINISHED,
        "expected": max(edit.entities_total, edit.entities_done, 1),
    }
