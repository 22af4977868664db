"""Bulk edits as those see them who want one, and those who look after what is left. See Note [Bulk edit]."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import QuerySet

from atlasco.lib.errors import Conflict, FieldError, Invalid, NotFound
from entities import selectors
from entities.ingest.batch import tenant_hold
from entities.jobs import KEPT_FOR, UNFINISHED, unfinished
from entities.models import BulkEdit, BulkEditChange, JobStatus
from entities.search.query import query_parse
from entities.services import InvalidEntity
from entities.values import Value, attributes_errors
from tenants.audit import audit_record
from tenants.errors import constraint_problems
from tenants.members.models import Role
from tenants.roles import role_require

UNFINISHED_MAX: Final = 5
SHOWN_MAX: Final = 100
CHANGES_MAX: Final = 50

Changes = dict[str, Value | None]


class BulkEditUnknown(NotFound):
    """There is no bulk edit of this id."""

    code = "bulk_edit_unknown"


class BulkEditFinished(Conflict):
    """This bulk edit has ended; what it changed stands, and can be taken back."""

    code = "bulk_edit_finished"


class BulkEditStands(Conflict):
    """This bulk edit can't be taken back: it is under way, changed nothing, or has been taken back already."""

    code = "bulk_edit_stands"


class TooManyBulkEdits(Conflict):
    """Five bulk edits of this tenant wait already. Let one end, or cancel one."""

    code = "too_many_bulk_edits"


class TooManyEntities(Invalid):
    """That is more than one bulk edit may change. Narrow the filter."""

    code = "too_many_entities"


class NoChanges(Invalid):
    """Say what to change: at least one attribute to set or to remove."""

    code = "no_changes"


class TooManyChanges(Invalid):
    """One bulk edit changes at most 50 attributes."""

    code = "too_many_changes"


def changes_check(*, tenant_id: int, changes: Changes) -> Changes:
    """The changes as they will be stored: a name that is an alias stands for its attribute.

    Raises NoChanges, TooManyChanges, InvalidEntity; this too where two names stand for one attribute.
    """
    if not changes:
        raise NoChanges
    if len(changes) > CHANGES_MAX:
        raise TooManyChanges
    if errors := attributes_errors(changes, "attributes", null_allowed=True):
        raise InvalidEntity(errors[0].detail, errors=errors)
    attribute_of = selectors.alias_targets(tenant_id=tenant_id, aliases=changes, using="default")
    checked: Changes = {}
    for name, value in changes.items():
        stored = attribute_of.get(name, name)
        if stored in checked:
            detail = f"`{stored}` is changed twice: another name here is its alias."
            raise InvalidEntity(detail, errors=[FieldError(f"attributes.{name}", "repeated", detail)])
        checked[stored] = value
    return checked


def bulk_edit_create(
    *,
    tenant_id: int,
    query: dict[str, Any] | None,
    entity_ids: Sequence[int],
    changes: Changes,
    entities_total: int,
    created_by: str,
    now: datetime,
    enqueue: Callable[[BulkEdit], None],
) -> BulkEdit:
    """Ask a worker to change all that match the query, or without one the entities named.

    changes: a value to set, None to remove. entities_total: how many a preview found.
    enqueue: tells a worker; where it raises, nothing is left of the edit.
    Raises InvalidQuery, NoChanges, TooManyChanges, InvalidEntity, TooManyEntities, TooManyBulkEdits, QueueUnavailable,
    RoleMissing.
    """
    role_require(Role.EDITOR)
    changes = changes_check(tenant_id=tenant_id, changes=changes)
    if query is not None:
        query_parse(query)
    if max(entities_total, len(entity_ids)) > settings.BULK_EDIT_MAX:
        raise TooManyEntities
    edit = BulkEdit(
        edit_id=uuid.uuid4(),
        tenant_id=tenant_id,
        created_at=now,
        query=query,
        entity_ids=sorted(set(entity_ids)) if query is None else [],
        changes=changes,
        entities_total=entities_total,
        created_by=created_by,
    )
    _start(edit, action="bulk_edit.create", enqueue=enqueue)
    return edit


def bulk_edit_undo(
    *, tenant_id: int, edit_id: uuid.UUID, created_by: str, now: datetime, enqueue: Callable[[BulkEdit], None]
) -> BulkEdit:
    """Ask a worker to take an edit back. Raises BulkEditUnknown, BulkEditStands, QueueUnavailable, RoleMissing."""
    role_require(Role.EDITOR)
    done = bulk_edit_get(tenant_id=tenant_id, edit_id=edit_id)
    if done.status in UNFINISHED or done.undo_of is not None or not done.entities_changed:
        raise BulkEditStands
    undo = BulkEdit(
        edit_id=uuid.uuid4(),
        tenant_id=tenant_id,
        created_at=now,
        undo_of=done.edit_id,
        changes=done.changes,
        entities_total=done.entities_changed,
        created_by=created_by,
    )
    with constraint_problems({"bulk_edits_undo": BulkEditStands}):
        _start(undo, action="bulk_edit.undo", enqueue=enqueue)
    return undo


def _start(edit: BulkEdit, *, action: str, enqueue: Callable[[BulkEdit], None]) -> None:
    with transaction.atomic(using="default"):
        tenant_hold(tenant_id=edit.tenant_id)
        if unfinished(_edits(edit.tenant_id)).count() >= UNFINISHED_MAX:
            raise TooManyBulkEdits
        _edits(edit.tenant_id).bulk_create([edit])
        audit_record(
            action=action,
            subject=f"bulk_edit:{edit.undo_of or edit.edit_id}",
            after={
                "changes": edit.changes,
                "query": edit.query,
                "entities": edit.entities_total,
                "entity_ids": [str(entity_id) for entity_id in edit.entity_ids[:100]],
            },
        )
    try:
        enqueue(edit)
    except BaseException:
        with suppress(OperationalError, InterfaceError):
            _edits(edit.tenant_id).filter(edit_id=edit.edit_id).delete()
        raise


def bulk_edit_get(*, tenant_id: int, edit_id: uuid.UUID) -> BulkEdit:
    """Return one edit. Raises BulkEditUnknown, for another tenant's too."""
    edit = _edits(tenant_id).filter(edit_id=edit_id).first()
    if edit is None:
        raise BulkEditUnknown
    return edit


def bulk_edit_undone_by(*, tenant_id: int, edit_id: uuid.UUID) -> BulkEdit | None:
    """The edit that takes this one back, if there is one."""
    return _edits(tenant_id).filter(undo_of=edit_id).exclude(status=JobStatus.CANCELLED).first()


def bulk_edits_list(*, tenant_id: int) -> list[BulkEdit]:
    """The newest edits, newest first."""
    return list(_edits(tenant_id).defer("entity_ids").order_by("-created_at", "-edit_id")[:SHOWN_MAX])


def bulk_edit_cancel(*, tenant_id: int, edit_id: uuid.UUID, now: datetime) -> BulkEdit:
    """Stop an edit after the batch that is being written. Cancelling twice is once.

    Raises BulkEditUnknown, BulkEditFinished, RoleMissing.
    """
    role_require(Role.EDITOR)
    with transaction.atomic(using="default"):
        if unfinished(_edits(tenant_id).filter(edit_id=edit_id)).update(status=JobStatus.CANCELLED, finished_at=now):
            audit_record(action="bulk_edit.cancel", subject=f"bulk_edit:{edit_id}")
    edit = bulk_edit_get(tenant_id=tenant_id, edit_id=edit_id)
    if edit.status != JobStatus.CANCELLED:
        raise BulkEditFinished
    return edit


def bulk_edits_expire(*, tenant_id: int, now: datetime) -> int:
    """Forget the bound tenant's old edits and what they changed. Returns how many edits."""
    old = _edits(tenant_id).exclude(status__in=UNFINISHED).filter(finished_at__lt=now - KEPT_FOR)
    ids = list(old.values_list("edit_id", flat=True))
    BulkEditChange.objects.using("default").filter(tenant_id=tenant_id, edit_id__in=ids).delete()
    forgotten, _ = old.filter(edit_id__in=ids).delete()
    return forgotten


def _edits(tenant_id: int) -> QuerySet[BulkEdit]:
    return BulkEdit.objects.using("default").filter(tenant_id=tenant_id)
