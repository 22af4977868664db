"""One batch of lines, one transaction: the statements of `sql/ingest.sql` in their order."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import orjson
from django.conf import settings
from django.db import IntegrityError, OperationalError, connections, transaction
from django.db.backends.utils import CursorWrapper

from atlasco.lib.errors import Invalid, Unavailable
from atlasco.lib.sql import sql_blocks
from entities.governance.gate import gate_read
from entities.ingest.lines import Line, Rejection
from entities.values import instant_text
from tenants.services import TenantBusy

log = logging.getLogger(__name__)

Mode: TypeAlias = Literal["merge", "replace"]
SQL: Final = sql_blocks(Path(__file__).parent.parent / "sql" / "ingest.sql")
# Writers lock in one order: a deadlock needs a stranger (a DDL statement), a vanished entity a concurrent delete.
_TRIES: Final = 5
# Where deletes of the same entities go on and on, a batch would wait for an entity, find it gone, and start again.
_TRIES_BESIDE_DELETES: Final = 2
# The future boundary of a promotion came nearer than its step was fast: it notices and draws back.
_MOVE_WAIT_S: Final = 0.1
_MOVE_WAIT_MAX_S: Final = 20.0
# The statements that write a batch. Where each of many entities stands once, no line depends on one before it: the new
# ones' values go straight to their table, and nothing is sorted by line.
_ANY: Final = ("values_resolve", "samples_tell", "values_write", "entities_insert", "entities_update")
_BULK: Final = ("bulk_values_insert", "bulk_entities_insert", "bulk_values_resolve", "values_write", "entities_update")
_BULK_ENTITIES: Final = 10
_PROGRAM_LIMIT_EXCEEDED: Final = "54000"


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
    """Lines that would create an incomplete entity; without them the batch may go on."""

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


def batch_write(
    *,
    tenant_id: int,
    lines: Sequence[Line],
    mode: Mode,
    now: datetime,
    inspect: Inspect | None = None,
    by_id: bool = False,
    dry_run: bool = False,
    governed: bool = True,
) -> BatchResult:
    """Write one batch of lines for the bound tenant, all or nothing.

    lines: in input order; an entity may stand in several lines with mode "merge", in one with "replace". Either all
    of an entity's lines carry `at` or none does.
    now: the instant of lines without `at`.
    inspect: called under the locks, before anything is changed; what it raises undoes the batch.
    by_id: the one line names its entity by entity_id and never creates it; no such entity → inspect sees an empty list.
    dry_run: everything is done, counted and undone.
    governed: the tenant's rules and aliases apply; not for what only moves what is there already.
    Raises WriteContention, EntityTooLarge, TenantBusy.
    """
    refused: list[Rejection] = []
    move_deadline = time.monotonic() + _MOVE_WAIT_MAX_S
    attempt = 1
    while attempt <= _TRIES:
        try:
            with transaction.atomic(using="default"), connections["default"].cursor() as cursor:
                if attempt > _TRIES_BESIDE_DELETES:
                    cursor.execute(SQL["deletes_await"], {"tenant_id": tenant_id})
                result = _batch_run(cursor, tenant_id, lines, mode, now, inspect, by_id, governed)
                if dry_run:
                    transaction.set_rollback(True, using="default")
                return replace(result, rejected=(*refused, *result.rejected)) if refused else result
        except _LinesRefused as error:
            refused += error.rejections
            left_out = {rejection.line for rejection in error.rejections}
            lines = [line for line in lines if line.number not in left_out]
            continue
        except _EntityVanished:
            log.info("An entity was deleted under a batch; the batch starts again.", extra={"attempt": attempt})
        except IntegrityError as error:
            if not tenant_is_moving(error, tenant_id=tenant_id) or time.monotonic() > move_deadline:
                raise
            log.info("A batch met a promotion of its tenant and starts again.", extra={"attempt": attempt})
            continue
        except OperationalError as error:
            state = getattr(error.__cause__, "sqlstate", None)
            if state == _PROGRAM_LIMIT_EXCEEDED:
                raise EntityTooLarge from error
            if state not in {"40P01", "40001"}:
                raise
            log.warning("A batch was the victim of a deadlock and starts again.", extra={"attempt": attempt})
        attempt += 1
    raise WriteContention


def tenant_is_moving(error: IntegrityError, *, tenant_id: int) -> bool:
    """Whether a promotion keeps the tenant's rows out of the shared leaf. If so, try again: what stands in the way of
    that, after a killed promotion, is removed here.
    """
    diagnostics = getattr(error.__cause__, "diag", None)
    if getattr(diagnostics, "constraint_name", None) != f"promote_{tenant_id}":
        return False
    with transaction.atomic(using="default"), connections["default"].cursor() as cursor:
        cursor.execute("SELECT promotion_disarm(%s)", (tenant_id,))
        disarmed = cursor.fetchone()[0]
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
    by_id: bool,
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
    cursor.execute(SQL["stage_create"])
    with cursor.copy(
        "COPY ingest_stage (line, entity_id, entity_type, external_id, created_at, at, attributes) FROM STDIN"
    ) as copy:
        for line in lines:
            copy.write_row(
                (
                    line.number,
                    line.entity_id,
                    line.entity_type,
                    line.external_id,
                    None if line.created_at is None else instant_text(line.created_at),
                    None if line.at is None else instant_text(line.at),
                    line.attributes.decode(),
                )
            )
    entities = len({(line.entity_type, line.external_id) for line in lines})
    is_bulk = len(lines) == entities >= _BULK_ENTITIES
    if is_bulk:
        cursor.execute(SQL["bulk_begin"])
    if by_id:
        cursor.execute(SQL["entities_lock_by_id"], values)
    else:
        cursor.execute(SQL["keys_claim"], values)
        found = cursor.rowcount
        cursor.execute(SQL["entities_lock_by_key"], values)
        found += cursor.rowcount
        if found < entities:
            raise _EntityVanished
        if gate is not None and gate.requires:
            cursor.execute("SELECT entity_type, external_id FROM ingest_entity WHERE is_new")
            if refusals := gate.creation_refusals(lines, cursor.fetchall()):
                raise _LinesRefused(refusals)
    if inspect is not None:
        cursor.execute("SELECT entity_id, is_new, version, attributes FROM ingest_entity")
        # Django hands jsonb over as text.
        inspect(
            [
                LockedEntity(entity_id, is_new, version, orjson.loads(attributes))
                for entity_id, is_new, version, attributes in cursor.fetchall()
            ]
        )
    for block in _BULK if is_bulk else _ANY:
        cursor.execute(SQL[block], values)
    cursor.execute(SQL["registry_write"], values)
    quarantined = tuple(name for (name,) in cursor.fetchall())
    cursor.execute(SQL["lines_count"], values)
    created, updated, unchanged = cursor.fetchone()
    if judged is None:
        return BatchResult(created, updated, unchanged, quarantined=quarantined)
    return BatchResult(created, updated, unchanged, tuple(judged.rejected), tuple(judged.warnings), quarantined)
