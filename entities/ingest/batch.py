"""One batch of lines, one transaction: the statements of `sql/ingest.sql` in their order."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias
from weakref import WeakSet

import orjson
from django.conf import settings
from django.db import IntegrityError, OperationalError, connections, transaction
from django.db.backends.utils import CursorWrapper

from atlasco.lib.errors import Invalid, Unavailable
from atlasco.lib.sql import sql_blocks
from entities.governance.gate import Gate, gate_read
from entities.ingest.lines import Line, Rejection
from entities.values import instant_text
from tenants.services import TenantBusy

log = logging.getLogger(__name__)

Mode: TypeAlias = Literal["merge", "replace"]
SQL: Final = sql_blocks(Path(__file__).parent.parent / "sql" / "ingest.sql")
# Writers lock in one order: a deadlock needs a stranger (a DDL statement), a vanished entity a concurrent delete.
TRIES: Final = 5
# Where deletes of the same entities go on and on, a batch would wait for an entity, find it gone, and start again.
TRIES_BESIDE_DELETES: Final = 2
# The future boundary of a promotion came nearer than its step was fast: it notices and draws back.
_MOVE_WAIT_S: Final = 0.1
MOVE_WAIT_MAX_S: Final = 20.0
# The statements that write a batch. Where each of many entities stands once, no line depends on one before it: the new
# ones' values go straight to their table, and nothing is sorted by line.
_ANY: Final = ("values_resolve", "samples_tell", "values_write", "entities_insert", "entities_update")
_BULK: Final = ("bulk_values_insert", "bulk_entities_insert", "bulk_values_resolve", "values_write", "entities_update")
# From here on a batch is worth a statement that gives it memory.
_BULK_ENTITIES: Final = 100
_STAGE_COPY: Final = (
    "COPY ingest_stage (line, entity_id, entity_type, external_id, created_at, at, attributes) FROM STDIN"
)
ARCHIVED: Final = "entity_archived"
_ARCHIVED_DETAIL: Final = "The entity lies in an archived month; it can be written to when that is restored."
_PROGRAM_LIMIT_EXCEEDED: Final = "54000"
_LOCK_NOT_AVAILABLE: Final = "55P03"


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What the lines of a batch did, had they come one by one.

    rejected: lines that break a rule of the tenant, and were left out; warnings: lines that were written although they
    break one that only warns; quarantined: new names that nobody gets to see unasked. See Note [Quarantine].
    """

    created: int
    updated: int
    unchanged: int
    rejected: tuple[Rejection, ...] = ()
    warnings: tuple[Rejection, ...] = ()
    quarantined: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LockedEntity:
    """An entity of the batch as it is under the batch's lock. version: None for one that the batch creates."""

    entity_id: int
    is_new: bool
    version: int | None
    attributes: dict[str, Any]


Inspect: TypeAlias = Callable[[list[LockedEntity]], None]


class WriteContention(Unavailable):
    """The same entities are being written and deleted at the same time; nothing of this request was written."""

    code = "write_contention"


class EntityTooLarge(Invalid):
    """The entity would become larger than a document can be (256 MB)."""

    code = "entity_too_large"


class _EntityVanished(Exception):
    """A key of the batch points to an entity that was deleted while we waited for its lock."""


class _LinesRefused(Exception):
    """Lines that would create an incomplete entity, or change an archived one; without them the batch may go on."""

    def __init__(self, rejections: list[Rejection]) -> None:
        self.rejections = rejections


def tenant_hold(*, tenant_id: int) -> int | None:
    """Keep a deletion of the tenant from erasing before this transaction ends. Raises TenantBusy where one has begun.

    For whoever adds rows: a request is let in by what is remembered of its tenant, and may write long after that.
    Returns the version of the tenant's rules and aliases; None where it has none.
    """
    with connections["default"].cursor() as cursor:
        cursor.execute(SQL["tenant_hold"], {"tenant_id": tenant_id})
        row = cursor.fetchone()
    if row is None:
        raise TenantBusy
    version: int | None = row[0]
    return version


def move_await(*, tenant_id: int) -> None:
    """Wait for a promotion's slice, and let the next one wait for this transaction. Before it has touched any entity.

    For whoever changes rows without `tenant_hold`: a row that moves meanwhile would be passed over.
    """
    with connections["default"].cursor() as cursor:
        cursor.execute(SQL["move_await"], {"tenant_id": tenant_id})


def batch_write(
    *,
    tenant_id: int,
    lines: Sequence[Line],
    mode: Mode,
    now: datetime,
    inspect: Inspect | None = None,
    dry_run: bool = False,
    governed: bool = True,
) -> BatchResult:
    """Write one batch of lines for the bound tenant, all or nothing.

    lines: in input order; an entity may stand in several lines with mode "merge", in one with "replace". Either all
    of an entity's lines carry `at` or none does.
    now: the instant of lines without `at`.
    inspect: called under the locks, before anything is changed; what it raises undoes the batch.
    dry_run: everything is done, counted and undone.
    governed: the tenant's rules and aliases apply; not for what only moves what is there already.
    Raises WriteContention, EntityTooLarge, TenantBusy.
    """
    refused: list[Rejection] = []
    move_deadline = time.monotonic() + MOVE_WAIT_MAX_S
    attempt = 1
    while attempt <= TRIES:
        try:
            with transaction.atomic(using="default"), connections["default"].cursor() as cursor:
                if attempt > TRIES_BESIDE_DELETES:
                    cursor.execute(SQL["deletes_await"], {"tenant_id": tenant_id})
                result = _batch_run(cursor, tenant_id, lines, mode, now, inspect, governed)
                if dry_run:
                    transaction.set_rollback(True, using="default")
                return replace(result, rejected=(*refused, *result.rejected)) if refused else result
        except _LinesRefused as error:
            refused += error.rejections
            left_out = {rejection.line for rejection in error.rejections}
            lines = [line for line in lines if line.number not in left_out]
            if not lines:
                return BatchResult(0, 0, 0, tuple(refused))
            continue
        except _EntityVanished:
            log.info("An entity was deleted under a batch; the batch starts again.", extra={"attempt": attempt})
        except (IntegrityError, OperationalError) as error:
            if write_again(error, tenant_id=tenant_id, deadline=move_deadline, attempt=attempt):
                continue
        attempt += 1
    raise WriteContention


def write_again(error: IntegrityError | OperationalError, *, tenant_id: int, deadline: float, attempt: int) -> bool:
    """Return where a write that failed so may start again; true where that is not an attempt of its own.

    deadline: monotonic; until then a promotion of the tenant is waited for. Raises EntityTooLarge, WriteContention, and
    the error.
    """
    if isinstance(error, IntegrityError):
        if not tenant_is_moving(error, tenant_id=tenant_id):
            raise error
        if time.monotonic() > deadline:
            raise WriteContention from error
        log.info("A write met a promotion of its tenant and starts again.", extra={"attempt": attempt})
        return True
    state = getattr(error.__cause__, "sqlstate", None)
    if state == _PROGRAM_LIMIT_EXCEEDED:
        raise EntityTooLarge from error
    if state not in {"40P01", "40001"}:
        raise error
    log.warning("A write was the victim of a deadlock and starts again.", extra={"attempt": attempt})
    return False


def _claim_and_lock(
    cursor: CursorWrapper, lines: Sequence[Line], values: dict[str, Any], *, entities: int, gate: Gate | None
) -> None:
    """Stage the lines, claim the keys that are new, lock the entities that are there.

    Raises _EntityVanished; _LinesRefused where a rule of the tenant forbids to create an entity.
    """
    with cursor.copy(_STAGE_COPY) as copy:
        for line in lines:
            copy.write_row(_stage_row(line))
    cursor.execute(SQL["keys_claim"], values)
    claimed = cursor.rowcount
    cursor.execute(SQL["entities_lock_by_key"], values)
    if claimed + cursor.rowcount < entities:
        cursor.execute(SQL["lines_archived"], values)
        if archived := cursor.fetchall():
            raise _LinesRefused([Rejection(line, ARCHIVED, _ARCHIVED_DETAIL) for (line,) in archived])
        raise _EntityVanished
    if gate is not None and gate.requires:
        cursor.execute("SELECT entity_type, external_id FROM ingest_entity WHERE is_new")
        if refusals := gate.creation_refusals(lines, cursor.fetchall()):
            raise _LinesRefused(refusals)


@contextmanager
def _pipeline() -> Iterator[None]:
    """Send what is inside without waiting for each answer: a single write is mostly round trips.

    Errors come at the end. Not for COPY, nor for a statement whose row count the next one depends on.
    """
    connection = connections["default"]
    with connection.wrap_database_errors, connection.connection.pipeline():
        yield


# Connections that have the stage's tables.
_staged: WeakSet[Any] = WeakSet()


def _stage_ensure(cursor: CursorWrapper) -> None:
    connection = connections["default"].connection
    if connection not in _staged:
        cursor.execute(SQL["stage_create"])
        # A rollback takes the tables away again.
        transaction.on_commit(lambda: _staged.add(connection), using="default")


def _stage_row(line: Line) -> tuple[Any, ...]:
    return (
        line.number,
        line.entity_id,
        line.entity_type,
        line.external_id,
        None if line.created_at is None else instant_text(line.created_at),
        None if line.at is None else instant_text(line.at),
        line.attributes.decode(),
    )


def tenant_is_moving(error: IntegrityError, *, tenant_id: int) -> bool:
    """Whether a promotion keeps the tenant's rows out of the shared leaf. If so, try again: what stands in the way of
    that, after a killed promotion, is removed here.
    """
    diagnostics = getattr(error.__cause__, "diag", None)
    if getattr(diagnostics, "constraint_name", None) != f"promote_{tenant_id}":
        return False
    try:
        with transaction.atomic(using="default"), connections["default"].cursor() as cursor:
            cursor.execute("SELECT promotion_disarm(%s)", (tenant_id,))
            disarmed = cursor.fetchone()[0]
    except OperationalError as other:
        if getattr(other.__cause__, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        disarmed = False  # Somebody reads the shared leaf for long.
    if not disarmed:
        time.sleep(_MOVE_WAIT_S)
    return True


def _batch_run(
    cursor: CursorWrapper,
    tenant_id: int,
    lines: Sequence[Line],
    mode: Mode,
    now: datetime,
    inspect: Inspect | None,
    governed: bool,
) -> BatchResult:
    values = {
        "tenant_id": tenant_id,
        "mode": mode,
        "now": now,
        "names_max": settings.ATTRIBUTE_NAMES_MAX,
        "new_names_max": settings.NEW_ATTRIBUTE_NAMES_PER_HOUR,
    }
    version = tenant_hold(tenant_id=tenant_id)
    gate = gate_read(tenant_id=tenant_id, version=version) if governed and version is not None else None
    judged = None if gate is None else gate.judge(lines, mode=mode)
    if judged is not None:
        lines = judged.lines
        if not lines:
            return BatchResult(0, 0, 0, tuple(judged.rejected), tuple(judged.warnings))
    entities = len({(line.entity_type, line.external_id) for line in lines})
    is_bulk = len(lines) == entities
    _stage_ensure(cursor)
    if is_bulk and entities >= _BULK_ENTITIES:
        cursor.execute(SQL["bulk_begin"])
    _claim_and_lock(cursor, lines, values, entities=entities, gate=gate)
    if inspect is not None:
        cursor.execute("SELECT entity_id, is_new, version, attributes FROM ingest_entity")
        # Django hands jsonb over as text.
        inspect(
            [
                LockedEntity(entity_id, is_new, version, orjson.loads(attributes))
                for entity_id, is_new, version, attributes in cursor.fetchall()
            ]
        )
    with connections["default"].cursor() as registry, connections["default"].cursor() as counts:
        with _pipeline():
            for block in _BULK if is_bulk else _ANY:
                cursor.execute(SQL[block], values)
            registry.execute(SQL["registry_write"], values)
            counts.execute(SQL["bulk_lines_count" if is_bulk else "lines_count"], values)
        quarantined = tuple(name for (name,) in registry.fetchall())
        created, updated, unchanged = counts.fetchone()
    if judged is None:
        return BatchResult(created, updated, unchanged, quarantined=quarantined)
    return BatchResult(created, updated, unchanged, tuple(judged.rejected), tuple(judged.warnings), quarantined)
