"""What a worker does with a bulk edit. See Note [Bulk edit]."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

import orjson
from django.db import connections, transaction
from django.db.models import F, QuerySet

from atlasco.lib.errors import Unavailable
from entities.bulk.edits import Changes
from entities.bulk.preview import NAMED_ATTRIBUTES, value_shown
from entities.editing import value_digest
from entities.ingest.batch import LockedEntity, batch_write
from entities.ingest.lines import Line
from entities.jobs import Clock, JobStopped, job_run, unfinished
from entities.models import BulkEdit, BulkEditChange, JobStatus
from entities.search.cursors import Cursor, cursor_encode
from entities.search.query import query_parse
from entities.search.run import search_run

BATCH: Final = 200
# Starts of an edit that never gets through a batch, before it is given up.
ATTEMPTS_MAX: Final = 5
CONFLICTS_LISTED: Final = 100
# Entities of a batch that keep changing under it.
_TRIES: Final = 5
_BEFORE_ALL: Final = -(2**63)


class _Moved(Exception):
    """An entity of the batch was deleted or changed between our look and our lock: look again."""


@dataclass(frozen=True, slots=True)
class _Target:
    """One entity of a batch. attributes: of the names that the edit is about, as we saw them."""

    entity_id: int
    entity_type: str
    external_id: str
    attributes: dict[str, Any]


@dataclass(slots=True)
class _Batch:
    """One step. last: the greatest id it settles; size: how many entities it settles; conflicts: what it leaves out."""

    last: int
    size: int
    changes_by_id: dict[int, Changes] = field(default_factory=dict)
    targets: dict[int, _Target] = field(default_factory=dict)
    conflicts: list[dict[str, str]] = field(default_factory=list)


def bulk_edit_run(*, tenant_id: int, job_id: uuid.UUID, clock: Clock) -> str:
    """Do an edit of the bound tenant, or what is left of it, see `entities.jobs.job_run`."""

    def work(edit: BulkEdit) -> None:
        while _step(edit, now=clock()):
            try:
                edit.refresh_from_db(using="default", fields=["after_entity_id", "conflicts"])
            except BulkEdit.DoesNotExist:
                raise JobStopped from None
        _edit_end(edit, JobStatus.DONE, now=clock())

    def fail(edit: BulkEdit, detail: str) -> None:
        _edit_end(edit, JobStatus.FAILED, now=clock(), detail=detail)

    edits = BulkEdit.objects.using("default").filter(tenant_id=tenant_id, edit_id=job_id)
    return job_run(edits, attempts_max=ATTEMPTS_MAX, clock=clock, work=work, fail=fail)


def _step(edit: BulkEdit, *, now: datetime) -> bool:
    """Do the next batch. Returns whether there was one."""
    for _ in range(_TRIES):
        batch = _edit_batch(edit) if edit.undo_of is None else _undo_batch(edit, edit.undo_of)
        if batch is None:
            return False
        with suppress(_Moved):
            _batch_do(edit, batch, now=now)
            return True
    raise Unavailable("The entities of this edit keep changing.")


def _batch_do(edit: BulkEdit, batch: _Batch, *, now: datetime) -> None:
    """Write a batch, what it changed, and how far the edit is: all or nothing."""
    id_by_line = dict(enumerate(batch.changes_by_id, start=1))
    lines = [
        Line(
            number,
            batch.targets[entity_id].entity_type,
            batch.targets[entity_id].external_id,
            None,
            None,
            orjson.dumps(batch.changes_by_id[entity_id]),
        )
        for number, entity_id in id_by_line.items()
    ]
    noted: list[BulkEditChange] = []

    def inspect(locked: list[LockedEntity]) -> None:
        noted.clear()
        for entity in locked:
            # A key whose entity was deleted meanwhile would make a new one.
            if entity.is_new or entity.entity_id not in batch.changes_by_id:
                raise _Moved
            changes = batch.changes_by_id[entity.entity_id]
            if edit.undo_of is not None and _differing(
                entity.attributes, batch.targets[entity.entity_id].attributes, changes
            ):
                raise _Moved
            before = {name: entity.attributes.get(name) for name in _differing(entity.attributes, changes, changes)}
            if before:
                noted.append(
                    BulkEditChange(
                        tenant_id=edit.tenant_id,
                        edit_id=edit.edit_id,
                        entity_id=entity.entity_id,
                        at=now,
                        before=before,
                    )
                )

    with transaction.atomic(using="default"):
        if lines:
            # What an edit takes back was there before: no rule forbids it.
            result = batch_write(
                tenant_id=edit.tenant_id, lines=lines, mode="merge", now=now, inspect=inspect,
                governed=edit.undo_of is None,
            )  # fmt: skip
            for rejection in result.rejected:
                target = batch.targets[id_by_line[rejection.line]]
                batch.conflicts.append(_conflict(target.entity_id, target.external_id, "", rejection.detail))
            BulkEditChange.objects.using("default").bulk_create(noted)
        listed = [*edit.conflicts, *batch.conflicts][:CONFLICTS_LISTED]
        running = BulkEdit.objects.using("default").filter(
            tenant_id=edit.tenant_id, edit_id=edit.edit_id, status=JobStatus.RUNNING
        )
        is_running = running.update(
            after_entity_id=batch.last,
            entities_done=F("entities_done") + batch.size,
            entities_changed=F("entities_changed") + len(noted),
            conflicts=listed,
            conflicts_count=F("conflicts_count") + len(batch.conflicts),
            attempts=0,
        )
        if not is_running:
            raise JobStopped


def _edit_batch(edit: BulkEdit) -> _Batch | None:
    """The next entities of an edit, each with the same changes; None where there are no more."""
    names = tuple(edit.changes)
    if edit.query is None:
        ids = [entity_id for entity_id in edit.entity_ids if entity_id > edit.after_entity_id][:BATCH]
        targets = _targets_read(edit.tenant_id, ids, names)
    else:
        query = replace(
            query_parse(edit.query), order_by="entity_id", descending=False, limit=BATCH, fields=names, cursor=None
        )
        if edit.after_entity_id != _BEFORE_ALL:
            after = Cursor(str(edit.after_entity_id), edit.after_entity_id, "0/0")
            query = replace(query, cursor=cursor_encode(after, tenant_id=edit.tenant_id, query=query))
        page = search_run(tenant_id=edit.tenant_id, query=query, using="default", position="0/0")
        targets = {
            row.entity_id: _Target(row.entity_id, row.entity_type, row.external_id, orjson.loads(row.attributes))
            for row in page.entities
        }
        ids = list(targets)
    if not ids:
        return None
    batch = _Batch(last=ids[-1], size=len(ids), targets=targets)
    batch.changes_by_id = {entity_id: dict(edit.changes) for entity_id in targets}
    batch.conflicts = [
        _conflict(entity_id, "", "", "The entity was deleted before the edit came to it.")
        for entity_id in ids
        if entity_id not in targets
    ]
    return batch


def _undo_batch(edit: BulkEdit, undo_of: uuid.UUID) -> _Batch | None:
    """The next entities of an undo, each with its former values, but for those that changed since."""
    rows = list(
        BulkEditChange.objects.using("default")
        .filter(tenant_id=edit.tenant_id, edit_id=undo_of, entity_id__gt=edit.after_entity_id)
        .order_by("entity_id")[:BATCH]
    )
    if not rows:
        return None
    targets = _targets_read(edit.tenant_id, [row.entity_id for row in rows], tuple(edit.changes))
    batch = _Batch(last=rows[-1].entity_id, size=len(rows), targets=targets)
    for row in rows:
        target = targets.get(row.entity_id)
        if target is None:
            batch.conflicts.append(_conflict(row.entity_id, "", "", "The entity is gone."))
            continue
        moved = _differing(target.attributes, edit.changes, row.before)
        for name in moved:
            now_shown = value_shown(target.attributes.get(name)) or "not there"
            batch.conflicts.append(
                _conflict(row.entity_id, target.external_id, name, f"It was changed since: it is {now_shown} now.")
            )
        if restored := {name: value for name, value in row.before.items() if name not in moved}:
            batch.changes_by_id[row.entity_id] = restored
    return batch


def _targets_read(tenant_id: int, ids: list[int], names: tuple[str, ...]) -> dict[int, _Target]:
    with connections["default"].cursor() as cursor:
        cursor.execute(
            f"SELECT e.entity_id, e.entity_type, e.external_id, {NAMED_ATTRIBUTES}"
            " FROM entity_documents e WHERE e.tenant_id = %s AND e.entity_id = ANY(%s) ORDER BY e.entity_id",
            (list(names), tenant_id, ids),
        )
        return {
            entity_id: _Target(entity_id, entity_type, external_id, orjson.loads(attributes))
            for entity_id, entity_type, external_id, attributes in cursor.fetchall()
        }


def _differing(one: Mapping[str, Any], other: Mapping[str, Any], names: Mapping[str, Any]) -> list[str]:
    """Of these names those that have another value, or none, in the one and the other."""
    return [name for name in names if value_digest(one.get(name)) != value_digest(other.get(name))]


def _conflict(entity_id: int, external_id: str, name: str, detail: str) -> dict[str, str]:
    return {"entity_id": str(entity_id), "external_id": external_id, "name": name, "detail": detail}


def _edit_end(edit: BulkEdit, status: JobStatus, *, now: datetime, detail: str = "") -> None:
    _unfinished(edit).update(status=status, finished_at=now, detail=detail)


def _unfinished(edit: BulkEdit) -> QuerySet[BulkEdit]:
    return unfinished(BulkEdit.objects.using("default").filter(tenant_id=edit.tenant_id, edit_id=edit.edit_id))
