"""Building and dropping the index of an attribute, in small batches beside readers and writers.

# Note [When an index is whole]
`is_indexed` means that the index holds all short values of the attribute, so it is set last, with the last batch:
1. `is_indexing` is set and committed. From then on, writers mark the values they write.
2. Writers that began before are waited for: they may not have seen it. Nobody is locked out meanwhile.
3. The tenant's entities are gone through in order of id, a few thousand at a time; each batch is a transaction and
   notes how far it came. A worker that is killed loses one batch.
4. With the last batch `is_indexed` is set.
Dropping is the other way round: `is_indexed` goes first, then the marks. A search asks in its own snapshot whether the
attribute is indexed, so it never relies on half an index, on a replica either.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from django.db import OperationalError, connections, transaction

from atlasco.lib.sql import sql_blocks
from entities.ingest.batch import move_await
from tenants.audit import audit_record
from tenants.members.models import Role
from tenants.roles import role_require

log = logging.getLogger(__name__)

SQL: Final = sql_blocks(Path(__file__).parent.parent / "sql" / "indexing.sql")
BATCH_ENTITIES: Final = 5_000
# Of few names, each is looked up in each document; of many, each document's names are.
_FEW_NAMES: Final = 4
# Between batches, so that others get their turn.
_PAUSE_SHARE: Final = 0.25
_WAIT_S: Final = 0.1

Action: TypeAlias = Literal["build", "drop"]
_Step: TypeAlias = Literal["idle", "busy", "waits", "went on"]


@dataclass(frozen=True, slots=True)
class IndexJob:
    """What is being done about an attribute's index, or was done last. requested_by: empty for the autopilot."""

    name: str
    action: Action
    status: Literal["queued", "running", "done", "cancelled", "failed"]
    entities_done: int
    values_done: int
    entities_total: int
    work_ms: float
    benefit_ms: float | None
    reason: str
    requested_by: str
    detail: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def is_open(self) -> bool:
        return self.status in {"queued", "running"}

    @property
    def percent(self) -> int:
        if self.status == "done":
            return 100
        return min(99, 100 * self.entities_done // max(self.entities_total, 1))


def index_request(
    *,
    tenant_id: int,
    names: Collection[str],
    action: Action,
    now: datetime,
    requested_by: str = "",
    reason: str = "",
    benefit_ms: float | None = None,
) -> list[str]:
    """Ask for the indexes of these attributes to be built or dropped. Return the names for which that is news.

    Unknown names, and those that are already so, are left out. A build under way that is to be dropped turns round.
    Raises RoleMissing.
    """
    role_require(Role.ADMIN)
    with transaction.atomic(using="default"), connections["default"].cursor() as cursor:
        cursor.execute(
            SQL["job_request"],
            {
                "tenant_id": tenant_id,
                "names": list(names),
                "action": action,
                "now": now,
                "requested_by": requested_by,
                "reason": reason,
                "benefit_ms": benefit_ms,
            },
        )
        names = [name for (name,) in cursor.fetchall()]
        if names:
            audit_record(
                action=f"attribute_index.{action}", subject=f"attributes:{', '.join(names)}", after={"reason": reason}
            )
        return names


def index_jobs(*, tenant_id: int, limit: int, using: str = "default") -> list[IndexJob]:
    """The tenant's jobs, open ones first, then the newest."""
    with connections[using].cursor() as cursor:
        cursor.execute(SQL["jobs_list"], {"tenant_id": tenant_id, "limit": limit})
        return [IndexJob(*row) for row in cursor.fetchall()]


def index_work(
    *,
    tenant_id: int,
    clock: Callable[[], datetime],
    seconds_max: float,
    batch: int = BATCH_ENTITIES,
    on_built: Callable[[list[str]], str] | None = None,
) -> bool:
    """Go on with the bound tenant's jobs for some time. Return whether any is left.

    on_built: called with the names of indexes that have become whole; what it says is noted with their jobs.

    Safe to run twice and beside itself: who comes second leaves at once.
    """
    began = time.monotonic()
    while True:
        step_began = time.monotonic()
        try:
            step, built = _step(tenant_id, clock(), batch)
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", None) not in {"40P01", "40001", "55P03"}:
                raise
            step, built = "waits", []  # A stranger's lock; the batch was undone and comes again.
        if built and on_built is not None and (detail := on_built(built)):
            _note(tenant_id, built, detail)
        if step in {"idle", "busy"}:
            return step == "busy"
        if time.monotonic() - began > seconds_max:
            return True
        time.sleep(_WAIT_S if step == "waits" else _PAUSE_SHARE * (time.monotonic() - step_began))


def _note(tenant_id: int, names: list[str], detail: str) -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "UPDATE attribute_index_jobs SET detail = %s"
            " WHERE tenant_id = %s AND attribute_name = ANY(%s::text[]) AND status = 'done'",
            (detail, tenant_id, names),
        )


def _step(tenant_id: int, now: datetime, batch: int) -> tuple[_Step, list[str]]:
    """One transaction of the jobs that are least far, and the names whose index it made whole."""
    with transaction.atomic(using="default"), connections["default"].cursor() as cursor:
        arguments: dict[str, Any] = {"tenant_id": tenant_id, "now": now}
        cursor.execute(SQL["jobs_open"], arguments)
        if not cursor.fetchone()[0]:
            return "idle", []
        cursor.execute(SQL["jobs_lock"], arguments)
        if not cursor.fetchone()[0]:
            return "busy", []
        # Bars only what an earlier transaction has started: see Note [When an index is whole].
        cursor.execute(SQL["jobs_bar"], arguments)
        cursor.execute(SQL["jobs_start"], arguments)
        if cursor.rowcount:
            return "went on", []
        cursor.execute(SQL["jobs_next"], arguments)
        row = cursor.fetchone()
        if row is None:
            return "idle", []
        action, after_id, names, is_clear = row
        if not is_clear:
            return "waits", []
        move_await(tenant_id=tenant_id)
        began = time.perf_counter()
        arguments |= {
            "names": names,
            "after_id": after_id,
            "limit": batch,
            "marked": action == "build",
            "few": len(names) <= _FEW_NAMES,
        }
        # Each value by its key: PostgreSQL takes a slice for large, and would read the whole table beside it.
        cursor.execute("SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off")
        cursor.execute(SQL["values_mark"], arguments)
        entities, last_id, values = cursor.fetchone()
        arguments |= {
            "after_id": after_id if last_id is None else last_id,
            "entities": entities,
            "values": values,
            "work_ms": (time.perf_counter() - began) * 1000,
        }
        cursor.execute(SQL["jobs_advance"], arguments)
        if entities < batch:
            cursor.execute(SQL["jobs_finish"], arguments)
            log.info("Indexes of attributes finished.", extra={"action": action, "attributes": len(names)})
            return "went on", names if action == "build" else []
        return "went on", []
