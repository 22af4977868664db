"""Jobs about one attribute, as those see them who want something done, and those who look after what is left.

See Note [Import twice] of `entities.imports`: the same lock, the same way to be taken up again. Here a slice of
entities and the note of how far the job is are one transaction, so no slice is ever done twice.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any, Final

from django.db import connections, transaction
from django.db.models import Min, Q, QuerySet

from atlasco.lib.errors import Conflict, FieldError, Invalid, NotFound
from entities.governance.rules import conditions_parse, conditions_write
from entities.governance.store import alias_remove, alias_set, aliases_read
from entities.ingest.batch import tenant_hold
from entities.jobs import KEPT_FOR, UNFINISHED, QueueUnavailable, unfinished
from entities.models import AttributeJob, JobStatus, PartitionArchive
from entities.selectors import attribute_get, tenant_usage
from entities.values import name_error
from freshness.defaults import attribute_renamed
from tenants.audit import audit_record
from tenants.binding import tenant_required
from tenants.members.models import Role
from tenants.roles import role_require

log = logging.getLogger(__name__)

Kind = AttributeJob.Kind
Enqueue = Callable[[AttributeJob], None]
_CHANGING: Final = (Kind.RENAME, Kind.DROP, Kind.UNDO)


class JobUnknown(NotFound):
    """There is no job of this id."""

    code = "job_unknown"


class JobFinished(Conflict):
    """This job has ended."""

    code = "job_finished"


class JobUnderWay(Conflict):
    """Another job is at this attribute. Wait until it has ended, or cancel it."""

    code = "job_under_way"


class NothingToUndo(Conflict):
    """Only a rename or a removal can be undone, once, and only after it has ended."""

    code = "nothing_to_undo"


class InvalidRename(Invalid):
    """The attribute can't be called that."""

    code = "invalid_rename"


def rule_check_start(
    *, tenant_id: int, name: str, conditions: Mapping[str, Any], created_by: str, now: datetime, enqueue: Enqueue
) -> AttributeJob:
    """Hold every value that is there against the conditions; nothing is changed. Raises InvalidRule, JobUnderWay."""
    role_require(Role.EDITOR)
    checked = conditions_write(conditions_parse(dict(conditions)))
    return _start(
        AttributeJob(kind=Kind.RULE_CHECK, attribute_name=name, options={"conditions": checked}),
        tenant_id=tenant_id, created_by=created_by, now=now, enqueue=enqueue,
    )  # fmt: skip


def rename_start(
    *, tenant_id: int, name: str, target: str, keep_alias: bool, created_by: str, now: datetime, enqueue: Enqueue
) -> AttributeJob:
    """Move every value of one attribute under another name, whether that exists or not. Each keeps its instant.

    Where an entity has both, the newer value stays. keep_alias: from now on, what is written to the old name is stored
    under the new one. Raises AttributeUnknown, InvalidRename, AliasTaken, JobUnderWay.
    """
    role_require(Role.EDITOR)
    if (error := name_error(target, "target")) is not None:
        raise InvalidRename(error.detail, errors=[error])
    if target == name:
        raise InvalidRename(errors=[FieldError("target", "invalid_name", "That is its name already.")])
    attribute_get(tenant_id=tenant_id, name=name, using="default")
    job = AttributeJob(kind=Kind.RENAME, attribute_name=name, target=target, options={"keep_alias": keep_alias})

    def first() -> None:
        if keep_alias:
            # First of all, so that nothing new arrives under the old name while the job goes round.
            alias_set(tenant_id=tenant_id, alias=name, name=target, created_by=created_by, now=now)
        job.options["floor"] = attribute_renamed(tenant=tenant_required(), name=name, target=target)
        audit_record(
            action="attribute.rename", subject=f"attribute:{name}", before={"name": name}, after={"name": target}
        )

    return _start(job, tenant_id=tenant_id, created_by=created_by, now=now, enqueue=enqueue, first=first)


def drop_start(*, tenant_id: int, name: str, created_by: str, now: datetime, enqueue: Enqueue) -> AttributeJob:
    """Remove every value of an attribute. Raises AttributeUnknown, JobUnderWay."""
    role_require(Role.ADMIN)
    attribute_get(tenant_id=tenant_id, name=name, using="default")
    return _start(
        AttributeJob(kind=Kind.DROP, attribute_name=name),
        tenant_id=tenant_id, created_by=created_by, now=now, enqueue=enqueue,
        first=lambda: audit_record(action="attribute.drop", subject=f"attribute:{name}", before={"name": name}),
    )  # fmt: skip


def undo_start(*, tenant_id: int, job_id: uuid.UUID, created_by: str, now: datetime, enqueue: Enqueue) -> AttributeJob:
    """Bring back what a rename or a removal changed, where nobody has changed it since.

    The alias that a rename has made goes at once, so that what is written to the old name stays there; the freshness
    that it has asked of the new name goes when nothing is left to bring back.

    Raises JobUnknown, NothingToUndo, JobUnderWay.
    """
    role_require(Role.EDITOR)
    done = job_get(tenant_id=tenant_id, job_id=job_id, using="default")
    if not may_undo(done):
        raise NothingToUndo
    name = done.attribute_name

    def first() -> None:
        for alias in aliases_read(tenant_id=tenant_id, using="default", name=name):
            # Of the same instant: the rename's own, not one that was there before or was made since.
            if (alias.alias, alias.name, alias.created_at) == (name, done.target, done.created_at):
                alias_remove(tenant_id=tenant_id, alias=name)
        audit_record(action="attribute.undo", subject=f"attribute:{name}", before={"job": str(job_id)})

    return _start(
        AttributeJob(kind=Kind.UNDO, attribute_name=name, target=done.target, options={"job_id": str(job_id)}),
        tenant_id=tenant_id, created_by=created_by, now=now, enqueue=enqueue, total=done.changed, first=first,
    )  # fmt: skip


def similar_start(*, tenant_id: int, created_by: str, now: datetime, enqueue: Enqueue) -> AttributeJob:
    """Look for names that are probably one. Raises JobUnderWay."""
    role_require(Role.EDITOR)
    return _start(AttributeJob(kind=Kind.SIMILAR), tenant_id=tenant_id, created_by=created_by, now=now, enqueue=enqueue)


def may_undo(job: AttributeJob) -> bool:
    ended = job.status not in UNFINISHED and job.kind in {Kind.RENAME, Kind.DROP}
    return ended and job.changed > 0 and not job.result.get("undone")


def job_get(*, tenant_id: int, job_id: uuid.UUID, using: str) -> AttributeJob:
    """Return one job. Raises JobUnknown, for another tenant's too."""
    job = AttributeJob.objects.using(using).filter(tenant_id=tenant_id, job_id=job_id).first()
    if job is None:
        raise JobUnknown
    return job


def jobs_read(
    *, tenant_id: int, using: str, limit: int, name: str | None = None, kind: str | None = None
) -> list[AttributeJob]:
    """The tenant's newest jobs; only those about an attribute, or of a kind."""
    jobs = AttributeJob.objects.using(using).filter(tenant_id=tenant_id)
    if name is not None:
        jobs = jobs.filter(attribute_name=name) | jobs.filter(target=name)
    if kind is not None:
        jobs = jobs.filter(kind=kind)
    return list(jobs.order_by("-created_at", "-job_id")[:limit])


def job_cancel(*, tenant_id: int, job_id: uuid.UUID, now: datetime) -> AttributeJob:
    """Stop a job; what it has changed stays, and can be undone. Raises JobUnknown, JobFinished."""
    role_require(Role.EDITOR)
    jobs = AttributeJob.objects.using("default").filter(tenant_id=tenant_id, job_id=job_id)
    with transaction.atomic(using="default"):
        was = unfinished(jobs).update(status=JobStatus.CANCELLED, finished_at=now)
        job = job_get(tenant_id=tenant_id, job_id=job_id, using="default")
        if was:
            audit_record(
                action="attribute_job.cancel",
                subject=f"attribute:{job.attribute_name}",
                after={"job": str(job_id), "kind": job.kind, "changed": job.changed},
            )
    if job.status != JobStatus.CANCELLED:
        raise JobFinished
    return job


def moves_since(*, tenant_id: int, since: datetime) -> dict[str, str]:
    """Where the values of an attribute belong that were out of reach since then: {name: name now, "" for nowhere}.

    Of all renames and removals that have ended since and were not undone, one after the other.
    """
    moved: dict[str, str] = {}
    for job in _moves(tenant_id).filter(finished_at__gte=since).order_by("finished_at", "job_id"):
        if job.result.get("undone"):
            continue
        moved = {name: job.target if target == job.attribute_name else target for name, target in moved.items()}
        moved[job.attribute_name] = job.target
    return {name: target for name, target in moved.items() if name != target}


def moves_repeat(
    *, tenant_id: int, names: Collection[str], since: datetime, created_by: str, now: datetime
) -> list[AttributeJob]:
    """Rename and remove anew, of these attributes, what was renamed and removed since. Call it where they came back.

    Inside the transaction that brings them back, with the tenant's writers paused: what begins later finds them. A
    worker's next round takes the jobs up; several may lead to one name, so they don't bar each other.
    Raises JobUnderWay where one is under way, which may have passed them by.
    """
    _beginnings_lock(tenant_id)
    if _changing(tenant_id).exists():
        raise JobUnderWay("Attributes of this tenant are being renamed or removed. Wait until that has ended.")
    return [
        _create(
            AttributeJob(
                kind=Kind.RENAME if target else Kind.DROP,
                attribute_name=name,
                target=target,
                options={"keep_alias": False},
            ),
            tenant_id=tenant_id,
            created_by=created_by,
            now=now,
        )
        for name, target in moves_since(tenant_id=tenant_id, since=since).items()
        if name in names
    ]


def _moves(tenant_id: int) -> QuerySet[AttributeJob]:
    return AttributeJob.objects.using("default").filter(
        tenant_id=tenant_id, kind__in=(Kind.RENAME, Kind.DROP), status=JobStatus.DONE
    )


def jobs_expire(*, tenant_id: int, now: datetime) -> int:
    """Forget the bound tenant's old jobs, and with them what could be undone. Returns how many jobs.

    While months are archived, what was renamed and removed since is kept in mind: their values come back some day.
    """
    old = AttributeJob.objects.using("default").filter(tenant_id=tenant_id, finished_at__lt=now - KEPT_FOR)
    archives = PartitionArchive.objects.using("default").filter(tenant_id=tenant_id)
    since = archives.aggregate(first=Min("archived_at"))["first"]
    if since is not None:
        needed = _moves(tenant_id).filter(finished_at__gte=since, finished_at__lt=now - KEPT_FOR)
        old = old.exclude(job_id__in=list(needed.values_list("job_id", flat=True)))
        for job in needed.filter(changed__gt=0):
            # Nothing of it can be undone any longer.
            job.changed = 0
            job.save(using="default", update_fields=["changed"])
            _changes_forget(tenant_id, [job.job_id])
    forgotten = list(old.exclude(status__in=UNFINISHED).values_list("job_id", flat=True))
    _changes_forget(tenant_id, forgotten)
    AttributeJob.objects.using("default").filter(tenant_id=tenant_id, job_id__in=forgotten).delete()
    return len(forgotten)


def _changes_forget(tenant_id: int, job_ids: list[uuid.UUID]) -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "DELETE FROM attribute_job_changes WHERE tenant_id = %s AND job_id = ANY (%s)", (tenant_id, job_ids)
        )


def _changing(tenant_id: int) -> QuerySet[AttributeJob]:
    """The unfinished jobs that change values."""
    return unfinished(AttributeJob.objects.using("default").filter(tenant_id=tenant_id, kind__in=_CHANGING))


def _free_require(tenant_id: int, job: AttributeJob) -> None:
    """Raise JobUnderWay where another job is at the attribute. A check changes nothing, so it may go on beside any.

    A rename is at both its names: what another one moves to where it has passed already would stay there for good.
    """
    if job.kind in _CHANGING:
        names = [name for name in (job.attribute_name, job.target) if name]
        others = _changing(tenant_id).filter(Q(attribute_name__in=names) | Q(target__in=names))
    else:
        others = unfinished(
            AttributeJob.objects.using("default").filter(
                tenant_id=tenant_id, kind=job.kind, attribute_name=job.attribute_name
            )
        )
    if others.exists():
        raise JobUnderWay


def _beginnings_lock(tenant_id: int) -> None:
    """One beginning after the other, until this transaction ends: each sees the jobs that were begun before it."""
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('attribute_jobs'), %s)", (tenant_id,))


def _start(
    job: AttributeJob,
    *,
    tenant_id: int,
    created_by: str,
    now: datetime,
    enqueue: Enqueue,
    total: int | None = None,
    first: Callable[[], None] | None = None,
) -> AttributeJob:
    """first: what must be so before the job goes round, and is not so where there is no job. Raises JobUnderWay."""
    with transaction.atomic(using="default"):
        tenant_hold(tenant_id=tenant_id)
        _beginnings_lock(tenant_id)
        _free_require(tenant_id, job)
        if first is not None:
            first()
        _create(job, tenant_id=tenant_id, created_by=created_by, now=now, total=total)
    try:
        enqueue(job)
    except QueueUnavailable:
        log.warning("A job about an attribute waits for the broker.", extra={"job": str(job.job_id)})
    return job


def _create(
    job: AttributeJob, *, tenant_id: int, created_by: str, now: datetime, total: int | None = None
) -> AttributeJob:
    """total: the entities that it looks at; None for all of the tenant's."""
    job.job_id, job.tenant_id, job.created_at, job.created_by = uuid.uuid4(), tenant_id, now, created_by
    if total is None:
        total = tenant_usage(tenant_id=tenant_id, using="default").entities.number
    job.entities_total = total
    AttributeJob.objects.using("default").bulk_create([job])
    return job
