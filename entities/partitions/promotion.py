"""A large tenant's way from its shared leaf to a sub-tree of its own, while it is read and written.

`open` attaches an empty sub-tree from an id on that nobody has yet, so that new entities go there and nobody waits.
Then slice by slice, newest first, the older rows follow: the tenant's writers pause for a slice, everybody else for the
milliseconds in which bounds change. `finish` removes what only the way needed.

Every step is safe to take twice and the row of `partition_promotions` says how far it is; so after a kill at any point
the next run goes on. Two session locks belong to a run: `tenant_promote` says that somebody is at work,
`tenant_move` pauses writers (they share it, see `tenant_hold`). Both end with the connection.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import InterfaceError, OperationalError, connections, transaction
from django.db.backends.utils import CursorWrapper

from atlasco.lib.errors import Conflict, Unavailable
from entities.models import PartitionPromotion
from entities.partitions.tree import id_at
from tenants.audit import audit_record
from tenants.binding import public_bind, tenant_bind
from tenants.directory import directory_forget
from tenants.models import Tenant

log = logging.getLogger(__name__)

SLICE_ROWS_FIRST: Final = 50_000
SLICE_ROWS_MIN: Final = 5_000
SLICE_ROWS_MAX: Final = 1_000_000
# How long the tenant's writers should wait at the most for one slice, where looking through the leaf leaves that.
PAUSE_S: Final = 3.0
LOCK_WAIT_S: Final = 3
# The future boundary must not be reached before the shared leaf has been looked through.
BOUNDARY_AHEAD_S: Final = 30.0
_SCAN_BYTES_PER_S: Final = 100 << 20
_TRIES: Final = 20
_TRY_AGAIN_S: Final = 1.0
_LOCK_NOT_AVAILABLE: Final = "55P03"


class PromotionRunning(Conflict):
    """Somebody is at work on this tenant's partitions already."""

    code = "promotion_running"


class TenantDedicated(Conflict):
    """The tenant has partitions of its own already."""

    code = "tenant_dedicated"


class PartitionsBusy(Unavailable):
    """Readers that do not end kept the partitions locked. Nothing was lost: run it again, and it goes on."""

    code = "partitions_busy"


class _LockTaken(Exception):
    """A lock was not to be had in time; nothing has happened."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a promotion would do. rows: entities and values, exactly; leaf_bytes: of both shared leaves."""

    rows: int
    leaf_bytes: int
    slices: int


Progress = Callable[[PartitionPromotion], None]
OnStep = Callable[[str], None]


def promotion_estimate(*, tenant: Tenant) -> Estimate:
    """Count what lies in the shared leaf. Raises TenantDedicated."""
    with public_bind(), connections["default"].cursor() as cursor:
        _check_shared(cursor, tenant)
        rows = _rows_all(tenant)
        return Estimate(rows, _leaf_bytes(cursor, tenant.pk), -(-rows // SLICE_ROWS_FIRST))


def promotion_request(*, tenant: Tenant, by: str, now: datetime) -> PartitionPromotion:
    """Note that the tenant is to be promoted, for a worker to find. Raises TenantDedicated, PromotionRunning."""
    with public_bind(), transaction.atomic(using="default"), connections["default"].cursor() as cursor:
        _check_shared(cursor, tenant)
        promotions = PartitionPromotion.objects.using("default")
        promotion, is_new = promotions.get_or_create(
            tenant_id=tenant.pk, defaults={"requested_at": now, "requested_by": by[:200]}
        )
        if not is_new:
            if promotion.is_open:
                raise PromotionRunning
            promotions.filter(pk=tenant.pk).update(status="queued", requested_at=now, requested_by=by[:200], detail="")
            promotion.refresh_from_db(using="default")
        audit_record(action="tenant.promote", subject=f"tenant:{tenant.slug}")
        return promotion


def promotions_recent(*, limit: int) -> list[PartitionPromotion]:
    """The promotions that were asked for last, newest first."""
    with public_bind():
        return list(PartitionPromotion.objects.using("default").order_by("-requested_at")[:limit])


def promotions_waiting() -> list[int]:
    """The tenants whose promotion was requested or interrupted, and that nobody is at work on."""
    with public_bind(), connections["default"].cursor() as cursor:
        cursor.execute(
            "SELECT p.tenant_id FROM partition_promotions p WHERE p.status IN ('queued', 'running') AND NOT EXISTS"
            " (SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2"
            " AND l.objid = p.tenant_id AND l.classid = (hashtext('tenant_promote')::bigint & 4294967295)::oid"
            " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
        )
        return [row[0] for row in cursor.fetchall()]


def promotion_run(
    *,
    tenant: Tenant,
    clock: Callable[[], datetime],
    progress: Progress | None = None,
    on_step: OnStep | None = None,
) -> PartitionPromotion:
    """Promote the tenant, or go on where an earlier run was interrupted. Returns how it ended.

    progress: called after every slice; on_step: with the name of each step before it is taken, and at the end of the
    transactions that move (tests kill here).
    Raises TenantDedicated, PromotionRunning; PartitionsBusy after which the next run goes on.
    """
    step = on_step or (lambda _: None)
    with public_bind(), _at_work(tenant.pk) as cursor:
        _check_shared(cursor, tenant)
        promotion, _ = PartitionPromotion.objects.using("default").get_or_create(
            tenant_id=tenant.pk, defaults={"requested_at": clock()}
        )
        try:
            _run(cursor, tenant, promotion, clock, progress or (lambda _: None), step)
        except Exception as error:
            # What only the moment was against goes on by itself; anything else waits for people.
            passes = isinstance(error, PartitionsBusy | OperationalError | InterfaceError)
            with _tolerated():
                _save(promotion, status="queued" if passes else "failed", detail=str(error)[:1000])
            raise
    directory_forget()
    log.info("Tenant promoted.", extra={"slug": tenant.slug, "rows": promotion.rows_moved})
    return promotion


def _run(
    cursor: CursorWrapper,
    tenant: Tenant,
    promotion: PartitionPromotion,
    clock: Callable[[], datetime],
    progress: Progress,
    step: OnStep,
) -> None:
    started = promotion.started_at or clock()
    _save(promotion, status="running", started_at=started, beat_at=clock(), finished_at=None, detail="")
    step("begin")
    # What an interrupted run may have left.
    _retried(lambda: _execute(cursor, "SELECT promotion_disarm(%s)", tenant.pk))
    if promotion.moved_from is None:
        _save(promotion, step="open", rows_total=_rows_all(tenant))
        _open(cursor, promotion, step)
    slice_rows = SLICE_ROWS_FIRST
    taken: list[tuple[int, float]] = []
    while not _is_whole(cursor, tenant.pk):
        _save(promotion, step="slices", beat_at=clock())
        moved_before = promotion.rows_moved
        paused_s = _slice(cursor, promotion, slice_rows, step)
        taken.append((promotion.rows_moved - moved_before, paused_s))
        slice_rows = slice_rows_next(slice_rows, taken)
        progress(promotion)
    _save(promotion, step="finish", beat_at=clock())
    step("finish")
    _retried(lambda: _execute(cursor, "SELECT promotion_finish(%s)", tenant.pk))
    _execute(cursor, "SELECT promotion_analyze(%s)", tenant.pk)
    Tenant.objects.using("default").filter(pk=tenant.pk).update(placement=Tenant.Placement.DEDICATED.value)
    _save(promotion, status="done", step="", finished_at=clock())


def slice_rows_next(slice_rows: int, taken: Sequence[tuple[int, float]]) -> int:
    """How many rows the next slice should have. taken: rows and seconds of pause of the slices so far, one at least.

    A slice also costs a look through the whole leaf, whatever its size. Where that alone takes long, small slices would
    only add looks: so at least half of a pause is moving. Half or double of the last one at the most.
    """
    (few, few_s), (many, many_s) = min(taken), max(taken)
    look_s = 0.0
    # What slices of other sizes cost tells a look from the moving; of nearly the same size they tell nothing.
    if many > 1.2 * few:
        look_s = max(0.0, few_s - max(0.0, (many_s - few_s) / (many - few)) * few)
    factor = min(2.0, max(0.5, max(PAUSE_S, 2 * look_s) / max(taken[-1][1], 0.001)))
    return int(min(SLICE_ROWS_MAX, max(SLICE_ROWS_MIN, slice_rows * factor)))


def _open(cursor: CursorWrapper, promotion: PartitionPromotion, step: OnStep) -> None:
    """Attach the empty sub-tree for ids of the near future. Nobody pauses. Raises PartitionsBusy."""
    tenant_id = promotion.tenant_id
    ahead_s = BOUNDARY_AHEAD_S + 4 * _leaf_bytes(cursor, tenant_id) / _SCAN_BYTES_PER_S

    def attempt() -> None:
        nonlocal ahead_s
        at = _database_now(cursor) + timedelta(seconds=ahead_s)
        ahead_s = min(3600.0, ahead_s * 1.5)
        boundary = id_at(at)
        with _disarmed_unless_done(cursor, tenant_id):
            step("arm")
            _execute(cursor, "SELECT promotion_arm(%s, %s)", tenant_id, boundary)
            step("open")
            with _all_or_nothing(promotion):
                _execute(cursor, "SELECT promotion_open(%s, %s)", tenant_id, boundary)
                if _database_now(cursor) > at - timedelta(seconds=1):
                    raise _LockTaken  # The first writer is about to reach the boundary: again, further ahead.
                _save(promotion, boundary=boundary, moved_from=boundary)
                step("opened")

    _retried(attempt)


def _slice(cursor: CursorWrapper, promotion: PartitionPromotion, slice_rows: int, step: OnStep) -> float:
    """Move the newest rows that are still in the shared leaf. Returns how long the tenant's writers paused.

    Raises PartitionsBusy.
    """
    tenant_id, number = promotion.tenant_id, promotion.slices + 1
    paused: list[float] = []

    def attempt() -> None:
        cursor.execute("SELECT begins, is_last FROM promotion_slice(%s, %s)", (tenant_id, slice_rows))
        begins, is_last = cursor.fetchone()
        with _writers_paused(cursor, tenant_id, paused, step), _disarmed_unless_done(cursor, tenant_id):
            step("slice arm")
            _execute(cursor, "SELECT promotion_arm(%s, %s)", tenant_id, None if is_last else begins)
            step("slice move")
            with _all_or_nothing(promotion):
                _execute(cursor, "SELECT promotion_move(%s, %s, %s, %s)", tenant_id, begins, is_last, number)
                rows = int(cursor.fetchone()[0])
                _save(promotion, moved_from=begins, rows_moved=promotion.rows_moved + rows, slices=number)
                step("slice moved")

    _retried(attempt)
    _save(promotion, longest_pause_s=max(promotion.longest_pause_s, *paused))
    step("slice done")
    return paused[-1]


def _is_whole(cursor: CursorWrapper, tenant_id: int) -> bool:
    return bool(
        _value(
            cursor,
            "SELECT coalesce(bool_and(bounds LIKE %s), false) FROM partition_tree() WHERE name IN (%s, %s)",
            "FOR VALUES FROM (%, MINVALUE)%",
            f"entities_tenant_{tenant_id}",
            f"entity_attributes_tenant_{tenant_id}",
        )
    )


def _check_shared(cursor: CursorWrapper, tenant: Tenant) -> None:
    promotion = PartitionPromotion.objects.using("default").filter(pk=tenant.pk).first()
    # Whole, but its way not ended: the last step is still to be taken.
    if _is_whole(cursor, tenant.pk) and (promotion is None or promotion.status == PartitionPromotion.Status.DONE):
        raise TenantDedicated


def _rows_all(tenant: Tenant) -> int:
    with tenant_bind(tenant), connections["default"].cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT count(*) FROM entities WHERE tenant_id = %s)"
            " + (SELECT count(*) FROM entity_attributes WHERE tenant_id = %s)",
            (tenant.pk, tenant.pk),
        )
        return int(cursor.fetchone()[0])


def _leaf_bytes(cursor: CursorWrapper, tenant_id: int) -> int:
    return int(
        _value(
            cursor,
            "SELECT coalesce(sum(bytes), 0) FROM partition_tree() WHERE name LIKE %s AND right(name, 9) ="
            " tenant_bucket(%s) || '_shared'",
            "%_shared",
            tenant_id,
        )
    )


def _database_now(cursor: CursorWrapper) -> datetime:
    # Ids come from the database's clock.
    now: datetime = _value(cursor, "SELECT clock_timestamp()")
    return now


@contextmanager
def _at_work(tenant_id: int) -> Iterator[CursorWrapper]:
    """The connection of this run: no statement timeout, and the lock that says that somebody is at work.

    Raises PromotionRunning. Briefly waited for: a writer that found a killed promotion may just be tidying up.
    """
    connection = connections["default"]
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        try:
            try:
                _lock(cursor, "tenant_promote", tenant_id)
            except _LockTaken as error:
                raise PromotionRunning from error
            try:
                yield cursor
            finally:
                with _tolerated():
                    cursor.execute("SELECT pg_advisory_unlock(hashtext('tenant_promote'), %s)", (tenant_id,))
        finally:
            with _tolerated():
                cursor.execute("RESET statement_timeout")


@contextmanager
def _writers_paused(cursor: CursorWrapper, tenant_id: int, paused: list[float], step: OnStep) -> Iterator[None]:
    """Inside, no writer of the tenant is at work. Adds to `paused` for how many seconds. Raises _LockTaken."""
    step("slice pause")
    began = time.monotonic()
    try:
        # While we stand in the queue, new writers stand behind us: not for long, where one before us does not end.
        _lock(cursor, "tenant_move", tenant_id)
        try:
            yield
        finally:
            with _tolerated():
                cursor.execute("SELECT pg_advisory_unlock(hashtext('tenant_move'), %s)", (tenant_id,))
    finally:
        paused.append(time.monotonic() - began)
        step("slice resumed")


@contextmanager
def _disarmed_unless_done(cursor: CursorWrapper, tenant_id: int) -> Iterator[None]:
    """Take the constraint of `promotion_arm` back where what is inside fails: writers would meet it."""
    try:
        yield
    except BaseException:
        with _tolerated():
            # Once: writers may be waiting. Who meets the constraint removes it, and the next `arm` does.
            _execute(cursor, "SELECT promotion_disarm(%s)", tenant_id)
        raise


@contextmanager
def _all_or_nothing(promotion: PartitionPromotion) -> Iterator[None]:
    """One transaction: rows, bounds and how far we are change together."""
    try:
        with transaction.atomic(using="default"):
            yield
    except _LockTaken:
        promotion.refresh_from_db(using="default")
        raise


@contextmanager
def _tolerated() -> Iterator[None]:
    """A connection that is gone has given up its locks; tidying up must not hide why."""
    try:
        yield
    except Exception:
        log.warning("A promotion could not tidy up; the next run does.", exc_info=True)


def _execute(cursor: CursorWrapper, statement: str, *values: Any) -> None:
    """Raises _LockTaken."""
    try:
        cursor.execute(statement, values)
    except OperationalError as error:
        if _sqlstate(error) != _LOCK_NOT_AVAILABLE:
            raise
        raise _LockTaken from error


def _lock(cursor: CursorWrapper, name: str, tenant_id: int) -> None:
    """Take an advisory lock of the session. Raises _LockTaken where it is not to be had within LOCK_WAIT_S."""
    cursor.execute("SELECT set_config('lock_timeout', %s, false)", (f"{LOCK_WAIT_S}s",))
    try:
        _execute(cursor, "SELECT pg_advisory_lock(hashtext(%s), %s)", name, tenant_id)
    finally:
        with _tolerated():
            cursor.execute("RESET lock_timeout")


def _retried(attempt: Callable[[], None]) -> None:
    """Take a step until its locks are to be had. Raises PartitionsBusy."""
    for _ in range(_TRIES):
        try:
            attempt()
        except _LockTaken:
            log.info("A promotion waits for readers that do not end.")
            time.sleep(_TRY_AGAIN_S)
        else:
            return
    raise PartitionsBusy


def _value(cursor: CursorWrapper, statement: str, *values: Any) -> Any:
    cursor.execute(statement, values)
    return cursor.fetchone()[0]


def _save(promotion: PartitionPromotion, **changes: Any) -> None:
    for name, value in changes.items():
        setattr(promotion, name, value)
    promotion.save(using="default", update_fields=list(changes))


def _sqlstate(error: OperationalError) -> str | None:
    state: str | None = getattr(error.__cause__, "sqlstate", None)
    return state
