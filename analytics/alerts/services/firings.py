"""What fired for the bound tenant: read and acknowledged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from django.db import DEFAULT_DB_ALIAS, connections, transaction

from analytics.alerts.evaluate import Operator
from atlasco.lib import clock
from atlasco.lib.errors import NotFound
from atlasco.lib.sql import sql_blocks
from tenants.audit import audit_record
from tenants.members.models import Role
from tenants.roles import role_require

SQL: Final = sql_blocks(Path(__file__).parent.parent / "sql" / "queries.sql")
FiringState: TypeAlias = Literal["open", "cleared", "unacknowledged", "all"]
FIRING_STATES: Final[tuple[FiringState, ...]] = ("open", "cleared", "unacknowledged", "all")
_ID_MAX: Final = 2**63 - 1
# Where `firings` has its two instants in microseconds.
_FIRED, _CLEARED = 9, 12


class FiringUnknown(NotFound):
    """There is no such firing."""

    code = "firing_unknown"


@dataclass(frozen=True, slots=True)
class Firing:
    """A rule that fired for an entity. fired_at, cleared_at: instants of the samples, or when the time was up.

    noticed_at: when it was seen; value: None where it was no number.
    """

    firing_id: int
    rule_id: int
    rule_name: str
    attribute: str
    operator: Operator
    threshold: float
    entity_id: int
    entity_type: str
    external_id: str
    fired_at: datetime
    value: float | None
    noticed_at: datetime
    cleared_at: datetime | None
    cleared_value: float | None
    acknowledged_at: datetime | None
    acknowledged_by: str
    fired_lsn: int


def firings_read(
    *,
    tenant_id: int,
    state: FiringState = "all",
    rule_id: int | None = None,
    before: int | None = None,
    limit: int,
) -> list[Firing]:
    """Firings, newest first. before: only those older than this one."""
    values = {
        "tenant_id": tenant_id,
        "state": state,
        "rule_id": rule_id,
        "before": _ID_MAX if before is None else before,
        "limit": limit,
    }
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(SQL["firings"], values)
        return [_firing(row) for row in cursor.fetchall()]


def _firing(row: tuple[Any, ...]) -> Firing:
    values = list(row)
    for place in (_FIRED, _CLEARED):
        values[place] = None if values[place] is None else clock.from_us(values[place])
    return Firing(*values)


def firings_unseen_count(*, tenant_id: int) -> int:
    """How many firings are neither cleared nor acknowledged; 100 stands for that many and more."""
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(SQL["firings_open_count"], {"tenant_id": tenant_id})
        return int(cursor.fetchone()[0])


def firing_acknowledge(*, tenant_id: int, firing_id: int, who: str, now: datetime) -> Firing:
    """Note that somebody has seen it; whoever was first stays noted. Raises FiringUnknown, RoleMissing."""
    role_require(Role.EDITOR)
    with transaction.atomic(using=DEFAULT_DB_ALIAS), connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(
            SQL["firing_acknowledge"],
            {"tenant_id": tenant_id, "firing_id": min(firing_id, _ID_MAX), "who": who, "now": now},
        )
        row = cursor.fetchone()
        if row is None:
            raise FiringUnknown
        firing = _firing(row)
        if firing.acknowledged_at == now:  # Else somebody had been first.
            facts = {"firing": str(firing_id), "entity_type": firing.entity_type, "external_id": firing.external_id}
            audit_record(action="alert.acknowledge", subject=f"alert_rule:{firing.rule_name}", after=facts)
    return firing


def evaluated_at() -> datetime | None:
    """Everything committed before this instant has been tested; None before the feed's first heartbeat."""
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(SQL["evaluated"])
        row = cursor.fetchone()
    return clock.from_us(row[0]) if row is not None and row[0] else None
