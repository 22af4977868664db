"""What a worker does with a job about an attribute, slice after slice.

What a slice changes and the note of how far the job is are one transaction.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import orjson
from django.db import connections, transaction

from atlasco.lib.clock import iso
from atlasco.lib.errors import Unavailable
from atlasco.lib.sql import sql_blocks
from entities import selectors, services
from entities.governance.jobs import Kind
from entities.governance.rules import REQUIRED_FAULT, Conditions, Fault, conditions_parse
from entities.governance.similar import similar_pairs
from entities.ingest.batch import LockedEntity, batch_write
from entities.ingest.lines import Line
from entities.jobs import Clock, JobStopped, job_run, unfinished
from entities.models import AttributeJob, AttributeMetadata, JobStatus
from freshness.defaults import attribute_rename_undone
from freshness.reads import write_finished
from tenants.binding import tenant_required

SQL: Final = sql_blocks(Path(__file__).parent.parent / "sql" / "governance.sql")
ATTEMPTS_MAX: Final = 5
# Entities that one transaction looks at: it holds the locks of those that it changes, for some tenths of a second.
SLICE: Final = 1_000
# The same where nothing is changed.
SLICE_READ: Final = 5_000
SAMPLES_MAX: Final = 50
_SHOWN_CHARS: Final = 200
# Does the next slice of a job, at that instant; False where there is none.
_Step: TypeAlias = Callable[[AttributeJob, datetime], bool]
_TRIES: Final = 5


class WrittenTooFast(Unavailable):
    """The values of this attribute are written faster than they can be moved; the job goes on later."""

    code = "written_too_fast"


class _ChangedMeanwhile(Exception):
    """Somebody wrote one of the slice's values between the look at it and its lock."""


def attribute_job_run(*, tenant_id: int, job_id: uuid.UUID, clock: Clock) -> str:
    """Do a job of the bound tenant about an attribute, or what is left of it, see `entities.jobs.job_run`."""
    jobs = AttributeJob.objects.using("default").filter(tenant_id=tenant_id, job_id=job_id)

    def work(job: AttributeJob) -> None:
        steps: dict[str, _Step] = {
            Kind.RULE_CHECK.value: _check_step,
            Kind.RENAME.value: partial(_slice_do, _move_slice),
            Kind.DROP.value: partial(_slice_do, _move_slice),
            Kind.UNDO.value: partial(_slice_do, _undo_slice),
            Kind.SIMILAR.value: _similar_step,
        }
        step = steps[str(job.kind)]
        while step(job, clock()):
            pass
        _finish(job)
        if job.kind in {Kind.RENAME, Kind.DROP, Kind.UNDO}:
            write_finished(tenant_id=job.tenant_id)
        unfinished(jobs).update(status=JobStatus.DONE, finished_at=clock())

    def fail(job: AttributeJob, detail: str) -> None:
        unfinished(jobs).update(status=JobStatus.FAILED, finished_at=clock(), detail=detail)

    return job_run(jobs, attempts_max=ATTEMPTS_MAX, clock=clock, work=work, fail=fail)


def _note(job: AttributeJob) -> None:
    """Keep how far the job is. Raises JobStopped where it is no longer to be done."""
    running = AttributeJob.objects.using("default").filter(
        tenant_id=job.tenant_id, job_id=job.job_id, status=JobStatus.RUNNING
    )
    if not running.update(
        after_entity_id=job.after_entity_id,
        entities_done=job.entities_done,
        changed=job.changed,
        result=job.result,
        attempts=0,
    ):
        raise JobStopped


def _slice_do(slice_of: _Step, job: AttributeJob, now: datetime) -> bool:
    """Do a slice in a transaction, anew where somebody wrote what it has looked at. Raises WrittenTooFast."""
    for _ in range(_TRIES):
        try:
            with transaction.atomic(using="default"):
                return slice_of(job, now)
        except _ChangedMeanwhile:
            job.refresh_from_db(using="default")
    raise WrittenTooFast


# --- Moving and removing ----------------------------------------------------------------------------------------------


def _move_slice(job: AttributeJob, now: datetime) -> bool:
    """Do the next slice of a rename or a removal; False where there is none."""
    with connections["default"].cursor() as cursor:
        cursor.execute(
            SQL["values_slice"],
            {
                "tenant_id": job.tenant_id,
                "name": job.attribute_name,
                "target": job.target,
                "after": job.after_entity_id,
                "limit": SLICE,
            },
        )
        rows = cursor.fetchall()
    last_id, entities = rows[0][:2]
    if not entities:
        return False
    held = [row[2:] for row in rows if row[2] is not None]
    if held:
        _moved(job, held, now)
    job.after_entity_id, job.entities_done = last_id, job.entities_done + entities
    job.changed += len(held)
    _note(job)
    return True


def _moved(job: AttributeJob, held: Sequence[Sequence[Any]], now: datetime) -> None:
    """Write a slice's values under the new name, or nowhere, each at its own instant; and keep what was there."""
    name, target = orjson.dumps(job.attribute_name), orjson.dumps(job.target)
    lines, changes = [], []
    for number, (entity_id, entity_type, external_id, value, replaced, at, target_at) in enumerate(held, 1):
        members = [name + b":null"]
        # The newer value stays; of the same instant, the one that is moved.
        if job.target and (target_at is None or target_at <= at):
            members.append(target + b":" + value.encode())
        attributes = b"{" + b",".join(members) + b"}"
        lines.append(Line(number, entity_type, external_id, None, iso(at), attributes, entity_id))
        changes.append((job.tenant_id, job.job_id, entity_id, at, value, replaced))
    expected = {row[0]: orjson.loads(row[3]) for row in held}
    _write(job, lines, expected, now)
    with connections["default"].cursor() as cursor:
        cursor.executemany(
            "INSERT INTO attribute_job_changes (tenant_id, job_id, entity_id, at, old_value, replaced)"
            " VALUES (%s, %s, %s, %s, %s::jsonb, %s::jsonb)",
            changes,
        )


def _write(job: AttributeJob, lines: list[Line], expected: dict[int, Any], now: datetime) -> None:
    """Write by the one path. expected: what each entity has under the attribute's name; None for nothing.

    Raises _ChangedMeanwhile where that is no longer so under the locks, or an entity is gone.
    """

    def inspect(locked: list[LockedEntity]) -> None:
        for entity in locked:
            if entity.is_new or entity.attributes.get(job.attribute_name) != expected.get(entity.entity_id):
                raise _ChangedMeanwhile

    batch_write(tenant_id=job.tenant_id, lines=lines, mode="merge", now=now, inspect=inspect, governed=False)


# --- Undoing ----------------------------------------------------------------------------------------------------------


def _undo_slice(job: AttributeJob, now: datetime) -> bool:
    """Bring back what the next slice of changes took away; False where there is none."""
    with connections["default"].cursor() as cursor:
        cursor.execute(
            SQL["changes_slice"],
            {
                "tenant_id": job.tenant_id,
                "job_id": uuid.UUID(job.options["job_id"]),
                "name": job.attribute_name,
                "target": job.target,
                "after": job.after_entity_id,
                "limit": SLICE,
            },
        )
        rows = cursor.fetchall()
    if not rows:
        return False
    name, target = orjson.dumps(job.attribute_name), orjson.dumps(job.target)
    lines: list[Line] = []
    for entity_id, entity_type, external_id, at, old_value, replaced, value, target_value in rows:
        # Gone since, or somebody has written the old name anew: theirs stays.
        if entity_type is None or value is not None:
            continue
        members = [name + b":" + old_value.encode()]
        if job.target and target_value == old_value:
            members.append(target + b":" + (replaced or "null").encode())
        attributes = b"{" + b",".join(members) + b"}"
        lines.append(Line(len(lines) + 1, entity_type, external_id, None, iso(at), attributes, entity_id))
    if lines:
        _write(job, lines, {}, now)
    job.after_entity_id, job.entities_done = rows[-1][0], job.entities_done + len(rows)
    job.changed += len(lines)
    job.result = {**job.result, "left": job.result.get("left", 0) + len(rows) - len(lines)}
    _note(job)
    return True


# --- Looking ----------------------------------------------------------------------------------------------------------


def _check_step(job: AttributeJob, now: datetime) -> bool:
    """Hold the next slice of values against the rule; nothing is changed."""
    conditions = conditions_parse(job.options["conditions"])
    with connections["default"].cursor() as cursor:
        cursor.execute(
            SQL["values_checked"],
            {
                "tenant_id": job.tenant_id,
                "name": job.attribute_name,
                "after": job.after_entity_id,
                "limit": SLICE_READ,
            },
        )
        rows = cursor.fetchall()
    if not rows:
        return False
    result = {"with_value": 0, "violations": 0, "by_code": {}, "samples": [], **job.result}
    by_code = Counter(result["by_code"])
    for entity_id, entity_type, external_id, text in rows:
        value = None if text is None else orjson.loads(text)
        result["with_value"] += value is not None
        fault = _fault(conditions, entity_type, value)
        if fault is None:
            continue
        by_code[fault.code] += 1
        result["violations"] += 1
        if len(result["samples"]) < SAMPLES_MAX:
            result["samples"].append(
                {
                    "entity_id": str(entity_id),
                    "entity_type": entity_type,
                    "external_id": external_id[:_SHOWN_CHARS],
                    "value": None if text is None else text[:_SHOWN_CHARS],
                    "detail": fault.detail,
                }
            )
    job.after_entity_id, job.entities_done = rows[-1][0], job.entities_done + len(rows)
    job.changed = result["violations"]
    job.result = {**result, "by_code": dict(by_code)}
    _note(job)
    return True


def _fault(conditions: Conditions, entity_type: str, value: Any) -> Fault | None:
    if value is None:
        return REQUIRED_FAULT if conditions.requires_of(entity_type) else None
    return conditions.fault(value)


def _similar_step(job: AttributeJob, now: datetime) -> bool:
    """All names at once: there are thousands, not millions."""
    if job.entities_done:
        return False
    names = selectors.attribute_names(tenant_id=job.tenant_id, using="default")
    pairs = similar_pairs(names)
    job.entities_done = job.entities_total = max(len(names), 1)
    job.changed = len(pairs)
    job.result = {
        "names": len(names),
        "pairs": [
            {"name": pair.name, "other": pair.other, "likeness": pair.likeness, "why": pair.why} for pair in pairs
        ],
    }
    _note(job)
    return True


def _finish(job: AttributeJob) -> None:
    """What is left to do in the registry."""
    values: dict[str, int | str | None] = {"tenant_id": job.tenant_id, "name": job.attribute_name, "target": job.target}
    if job.kind == Kind.RENAME:
        with connections["default"].cursor() as cursor:
            cursor.execute(SQL["name_retire"], values)
    elif job.kind == Kind.DROP:
        services.attribute_changes_fold(tenant_id=job.tenant_id)
        with connections["default"].cursor() as cursor:
            cursor.execute(SQL["name_forget"], values)
    elif job.kind == Kind.UNDO:
        AttributeMetadata.objects.using("default").filter(
            tenant_id=job.tenant_id, attribute_name=job.attribute_name, status=AttributeMetadata.Status.HIDDEN
        ).update(status=AttributeMetadata.Status.ACTIVE)
        undone = AttributeJob.objects.using("default").filter(
            tenant_id=job.tenant_id, job_id=uuid.UUID(job.options["job_id"])
        )
        for done in undone:
            if floor := done.options.get("floor"):
                attribute_rename_undone(tenant=tenant_required(), target=job.target, floor=floor)
            undone.update(result={**done.result, "undone": True})
