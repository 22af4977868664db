"""The audit log: who did what, when, from where, what was there before and after.

`audit_record` may be called from any layer above this one. Who and from where it knows by itself (`tenants.actors`);
which tenant's log it is, is the bound tenant's, and the platform's own where none is bound. Call it in the transaction
of the change: both are there, or neither.

Actions are `noun.verb` and subjects `noun:name`, so that both can be searched by their beginning:
`audit_record(action="attribute.rename", subject="attribute:tail_no", before={…}, after={…})`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Q
from psycopg.types.json import Jsonb

from atlasco.lib.clock import iso
from tenants.actors import Actor, origin_current
from tenants.binding import tenant_current
from tenants.models import AuditEntry
from tenants.schemas import SQL

TEXT_MAX_CHARS: Final = 2_000
SUBJECT_MAX_CHARS: Final = 1_000
EXPORT_STEP: Final = 1_000
PLATFORM_LOG: Final = 0


def audit_record(
    *,
    action: str,
    subject: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    actor: Actor | None = None,
) -> None:
    """Add an entry to the log of the bound tenant, or of the platform where none is bound.

    before, after: the state of what was changed, as JSON or what becomes it; where both are given, members that are
    the same in both are left out, so whole states may be passed. Never pass passwords or secrets.
    actor: who it was, only where the request does not know, as at a log-in.
    """
    origin = origin_current()
    who = actor or origin.who()
    before, after = _changes(before, after)
    entry: dict[str, Any] = {
        "actor_kind": who.kind.value,
        "actor": _text(who.name)[:200],
        "action": action,
        "subject": _text(subject)[:SUBJECT_MAX_CHARS],
        "before": None if before is None else Jsonb(before),
        "after": None if after is None else Jsonb(after),
        "via": origin.via.value,
        "ip": origin.ip,
        "request_id": origin.request_id.removeprefix("-"),
    }
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(SQL["audit_append"], entry)


def _changes(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    old = None if before is None else {key: _json(value) for key, value in before.items()}
    new = None if after is None else {key: _json(value) for key, value in after.items()}
    if old is None or new is None:
        return old, new
    same = {key for key in old.keys() & new.keys() if old[key] == new[key] and type(old[key]) is type(new[key])}
    return (
        {key: value for key, value in old.items() if key not in same},
        {key: value for key, value in new.items() if key not in same},
    )


def _json(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return {_text(str(key)): _json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_json(inner) for inner in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, date | Decimal):
        return str(value)
    return _text(str(value))


def _text(text: str) -> str:
    # PostgreSQL keeps no NUL, and a value may have a mebibyte.
    text = text.replace("\x00", "")
    return text if len(text) <= TEXT_MAX_CHARS else f"{text[:TEXT_MAX_CHARS]}… ({len(text)} characters)"


# --- Reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What a reader looks for; empty members narrow nothing. action, subject: how they begin."""

    actor: str = ""
    action: str = ""
    subject: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def condition(self) -> Q:
        wanted = Q()
        if self.actor:
            wanted &= Q(actor=self.actor)
        if self.action:
            wanted &= Q(action__startswith=self.action)
        if self.subject:
            wanted &= Q(subject__startswith=self.subject)
        if self.since is not None:
            wanted &= Q(at__gte=self.since)
        if self.until is not None:
            wanted &= Q(at__lt=self.until)
        return wanted


def audit_page(
    *, wanted: AuditFilter, before: tuple[datetime, int] | None, limit: int
) -> tuple[list[AuditEntry], tuple[datetime, int] | None]:
    """Return entries of the bound tenant's log (the platform's where none is bound), newest first.

    before: where the page before this one ended, as returned with it; the second part of the result is where this one
    ends, None at the end of the log.
    """
    rows = AuditEntry.objects.using(DEFAULT_DB_ALIAS).filter(wanted.condition(), tenant_id=_log_of())
    if before is not None:
        at, audit_id = before
        rows = rows.filter(Q(at__lt=at) | Q(at=at, audit_id__lt=audit_id))
    found = list(rows.order_by("-at", "-audit_id")[: limit + 1])
    page = found[:limit]
    return page, (page[-1].at, page[-1].audit_id) if len(found) > limit else None


def audit_actions() -> list[str]:
    """The actions that occur in the bound tenant's log, by name. Costs one look at an index for each."""
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(SQL["audit_actions"], {"tenant_id": _log_of()})
        return [action for (action,) in cursor.fetchall()]


def _log_of() -> int:
    tenant = tenant_current()
    return PLATFORM_LOG if tenant is None else tenant.pk
