"""One write of one entity, in one statement: the rules of a batch of one line. See `sql/0012_single_writes.sql`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, TypeAlias

import orjson
from django.conf import settings
from django.db import IntegrityError, OperationalError, connections, transaction

from entities.governance.gate import gate_forget, gate_read, is_governed
from entities.ingest.batch import (
    MOVE_WAIT_MAX_S,
    SQL,
    TRIES,
    TRIES_BESIDE_DELETES,
    WriteContention,
    tenant_hold,
    write_again,
)
from entities.ingest.lines import Line, Rejection
from entities.search.run import EntityRow
from entities.values import instant_text
from freshness import hangs
from tenants.services import TenantBusy

log = logging.getLogger(__name__)

Outcome: TypeAlias = Literal["written", "missing", "outdated", "exists", "archived", "refused"]
Inspect: TypeAlias = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What became of a write. row: the entity as it is then; as it was where the outcome is "exists" or "outdated".

    refusal: with "refused", the rules of the tenant that the line breaks.
    """

    outcome: Outcome
    row: EntityRow | None = None
    is_new: bool = False
    refusal: Rejection | None = None


@dataclass(frozen=True, slots=True)
class Write:
    """A write to be done. line: names its entity by its key, and makes one of a new key; or, with an empty entity_type,
    by entity_id, and never makes one. A new one without external_id gets its entity_id as that.

    versions: those that the entity may have; None for any. is_upsert: a key that is there already may be written to.
    inspect: called with the document of an entity that is named by its id, under its lock, before anything is changed;
    what it raises undoes the write.
    """

    line: Line
    versions: Collection[int] | None = None
    is_upsert: bool = True
    inspect: Inspect | None = None


class _Vanished(Exception):
    """The entity was deleted while we waited for its lock."""


class _Governed(Exception):
    """The tenant has rules or aliases: the line must be judged first."""


def entity_write(*, tenant_id: int, write: Write, now: datetime) -> WriteResult:
    """Write to one entity of the bound tenant, all or nothing. One statement, unless somebody has to judge it first.

    Raises WriteContention, EntityTooLarge, TenantBusy.
    """
    deadline = time.monotonic() + MOVE_WAIT_MAX_S
    is_judged = write.inspect is not None or is_governed(tenant_id=tenant_id)
    attempt = 1
    while attempt <= TRIES:
        is_beside_deletes = attempt > TRIES_BESIDE_DELETES
        try:
            with _transaction(is_needed=is_judged or is_beside_deletes):
                if is_beside_deletes:
                    with connections["default"].cursor() as cursor:
                        cursor.execute(SQL["deletes_await"], {"tenant_id": tenant_id})
                if is_judged:
                    return _judged_write(tenant_id, write, now)
                return _written(tenant_id, write, now, is_judged=False)
        except _Governed:
            is_judged = True
            continue
        except _Vanished:
            log.info("An entity was deleted under a write; the write starts again.", extra={"attempt": attempt})
        except (IntegrityError, OperationalError) as error:
            if write_again(error, tenant_id=tenant_id, deadline=deadline, attempt=attempt):
                continue
        attempt += 1
    raise WriteContention


def _transaction(*, is_needed: bool) -> AbstractContextManager[None]:
    """A statement alone is its own transaction; inside of another one it gets a savepoint, for what it may raise."""
    if is_needed or connections["default"].in_atomic_block:
        return transaction.atomic(using="default")
    return nullcontext()


def _judged_write(tenant_id: int, write: Write, now: datetime) -> WriteResult:
    """Lock, judge and write. Inside a transaction."""
    version = tenant_hold(tenant_id=tenant_id)
    line = write.line
    if not line.entity_type:
        with connections["default"].cursor() as cursor:
            cursor.execute(SQL["entity_hold"], {"tenant_id": tenant_id, "entity_id": line.entity_id})
            found = cursor.fetchone()
        if found is None:
            return WriteResult("missing")
        entity_type, external_id, entity_version, document = found
        if write.versions is not None and entity_version not in write.versions:
            return WriteResult("outdated")
        if write.inspect is not None:
            write.inspect(orjson.loads(document))
        line = replace(line, entity_type=entity_type, external_id=external_id)
    if version is None:
        gate_forget(tenant_id=tenant_id)
        return _written(tenant_id, write, now, is_judged=True)
    gate = gate_read(tenant_id=tenant_id, version=version)
    judged = gate.judge([line], mode="merge")
    if judged.rejected:
        return WriteResult("refused", refusal=judged.rejected[0])
    (line,) = judged.lines
    refusals = gate.creation_refusals([line], [(line.entity_type, line.external_id)]) if write.line.entity_type else []
    accepted = replace(write, line=replace(write.line, attributes=line.attributes))
    result = _written(tenant_id, accepted, now, is_judged=True, may_create=not refusals)
    return replace(result, refusal=refusals[0]) if result.outcome == "refused" else result


def _written(tenant_id: int, write: Write, now: datetime, *, is_judged: bool, may_create: bool = True) -> WriteResult:
    """Raises TenantBusy, _Governed, _Vanished."""
    line = write.line
    with hangs.writing(connections["default"]), connections["default"].cursor() as cursor:
        cursor.execute(
            SQL["entity_write"],
            {
                "tenant_id": tenant_id,
                "entity_id": line.entity_id,
                "entity_type": line.entity_type or None,
                "external_id": line.external_id or None,
                "attributes": line.attributes.decode(),
                "created_at": None if line.created_at is None else instant_text(line.created_at),
                "at": None if line.at is None else instant_text(line.at),
                "now": now,
                "versions": None if write.versions is None else list(write.versions),
                "is_upsert": write.is_upsert,
                "is_judged": is_judged,
                "may_create": may_create,
                "names_max": settings.ATTRIBUTE_NAMES_MAX,
                "new_names_max": settings.NEW_ATTRIBUTE_NAMES_PER_HOUR,
            },
        )
        outcome, is_new, *row = cursor.fetchone()
    match outcome:
        case "tenant_busy":
            raise TenantBusy
        case "governed":
            raise _Governed
        case "vanished":
            raise _Vanished
        case "incomplete":
            return WriteResult("refused")
    return WriteResult(outcome, None if row[0] is None else EntityRow(*row), is_new)
