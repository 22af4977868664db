"""Edits by people: one value at a time, against what they saw, noted in the audit log with the write itself.

A page says which value it showed (`value_digest`). An edit goes through as long as that value still stands, whatever
else of the entity has changed since; where it does not, both values are shown. See Note [Who changed it].

# Note [Who changed it]
A value knows when it was set and not by whom: most come from programs, by the million. The audit log and the bulk edits
know of people's edits; one of theirs is the last of a value where the value's instant is that of the edit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final, cast

import orjson
from django.db import connections, transaction

from atlasco.lib.clock import iso
from atlasco.lib.errors import Conflict, FieldError
from entities import selectors
from entities.services import EntityInput, InvalidEntity, entity_delete, value_write
from entities.values import Value, attributes_errors, name_error, value_as_text, value_error, value_type
from tenants.audit import audit_record
from tenants.members.models import Role
from tenants.models import AuditEntry
from tenants.roles import role_require

ACTION_CHANGE: Final = "entity.change"
ACTION_DELETE: Final = "entity.delete"
# The digest of a value that is not there.
MISSING: Final = "-"
_NUMBER: Final = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_DAY: Final = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(?::(\d{2}))?)?", re.ASCII)
_ENTRIES_MAX: Final = 500
_ATTRIBUTES_NOTED_MAX: Final = 200
# Between the instant that an edit gives its value and that of its entry in the log.
_EDIT_LASTS: Final = timedelta(seconds=30)
_COMPARED_CHARS: Final = 200


class ValueChanged(Conflict):
    """Somebody else has changed this value since you opened it. Nothing of yours was written."""

    code = "value_changed"

    def __init__(self, current: Value | None) -> None:
        super().__init__()
        self.current = current


@dataclass(frozen=True, slots=True)
class Edit:
    """One person's edit of a value. via: "bulk edit" where it was one of many."""

    actor: str
    at: datetime
    via: str


def value_digest(value: Value | None) -> str:
    """What tells two values apart, type and all; MISSING for none. 1 and 1.0 are the same number."""
    if value is None:
        return MISSING
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    # A number of more digits than orjson takes was read as a double; so it is one here, too.
    text = str(value).encode() if isinstance(value, int) and abs(value) >= 2**63 else orjson.dumps(value)
    return sha256(text).hexdigest()


def value_parse(*, kind: str, text: str) -> Value:
    """The value that somebody typed, of the type chosen. Raises InvalidEntity, in words.

    A time may be a day, or lack its zone: it is UTC then.
    """
    match kind:
        case "boolean":
            if text not in {"true", "false"}:
                raise _refusal("A boolean is true or false.")
            return text == "true"
        case "number":
            text = text.strip()
            if not _NUMBER.fullmatch(text):
                raise _refusal(f"“{text[:40]}” is not a number. Write it like 1250 or -0.5.")
            try:
                value: Value = orjson.loads(text)
            except orjson.JSONDecodeError:
                raise _refusal("The number is larger than a double can hold.") from None
        case "timestamp":
            text = text.strip()
            if (day := _DAY.fullmatch(text)) is not None:
                text = f"{day[1]}T{day[2] or '00:00'}:{day[3] or '00'}Z"
            if value_type(text) != "timestamp":
                raise _refusal(f"“{text[:40]}” is not a time. Write it like 2026-01-31 or 2026-01-31T12:00:00Z.")
            value = text
        case _:
            # A form sends CRLF for each line end.
            value = text.replace("\r\n", "\n")
    if (error := value_error(value, "value")) is not None:
        raise _refusal(error.detail)
    return value


def attribute_edit(
    *, tenant_id: int, entity_id: int, name: str, value: Value | None, seen: str, now: datetime
) -> selectors.ValueRow | None:
    """Set an attribute to a value, or with None remove it, as long as it still is what was seen.

    seen: the digest of the value shown. Returns the value as stored; None where it was removed.
    Raises InvalidEntity, RuleBroken, EntityNotFound, ValueChanged, RoleMissing.
    """
    role_require(Role.EDITOR)
    if (fault := name_error(name, "name")) is not None:
        raise InvalidEntity(fault.detail, errors=[fault])
    if value is not None and (errors := attributes_errors({name: value}, "attributes", null_allowed=False)):
        raise InvalidEntity(errors[0].detail, errors=errors)
    # What is written under an alias is stored under its name: that is the value to compare with.
    name = selectors.alias_target(tenant_id=tenant_id, alias=name, using="default") or name

    def inspect(document: dict[str, Any]) -> None:
        before = cast("Value | None", document.get(name))
        if value_digest(before) != seen:
            raise ValueChanged(before)
        audit_record(
            action=ACTION_CHANGE,
            subject=f"entity:{entity_id}",
            before={name: before} if before is not None else {},
            after={name: value} if value is not None else {},
        )

    with transaction.atomic(using="default"):
        entity = EntityInput("", None, None, None, {name: value})
        value_write(tenant_id=tenant_id, entity_id=entity_id, entity=entity, inspect=inspect, now=now)
        if value is None:
            return None
        return selectors.value_get(tenant_id=tenant_id, entity_id=entity_id, name=name, using="default")


def entity_remove(*, tenant_id: int, entity_id: int) -> None:
    """Delete an entity with all its values, and note what it was. Raises EntityNotFound, RoleMissing."""
    role_require(Role.EDITOR)
    with transaction.atomic(using="default"):
        row = selectors.entity_get(tenant_id=tenant_id, entity_id=entity_id, using="default")
        attributes = orjson.loads(row.attributes)
        noted = dict(list(attributes.items())[:_ATTRIBUTES_NOTED_MAX])
        audit_record(
            action=ACTION_DELETE,
            subject=f"entity:{entity_id}",
            before={
                "entity_type": row.entity_type,
                "external_id": row.external_id,
                "created_at": iso(row.created_at),
                "attributes": noted,
                "attributes_count": len(attributes),
            },
        )
        entity_delete(tenant_id=tenant_id, entity_id=entity_id, expected_versions=None)


def edits_known(
    *, tenant_id: int, entity_id: int, sets: Mapping[tuple[str, datetime], str | None]
) -> dict[tuple[str, datetime], Edit]:
    """Who set, or removed, an attribute at an instant, where that was a person. See Note [Who changed it]. Two queries.

    sets: by name and instant the text of the value, a string as it is, anything else as JSON; None for a removal.
    What is not in the result came from a program, or is too long ago.
    """
    found: dict[tuple[str, datetime], Edit] = {}
    entries = AuditEntry.objects.using("default").filter(
        tenant_id=tenant_id, subject=f"entity:{entity_id}", action=ACTION_CHANGE
    )
    # Oldest first: of two edits within moments, the value belongs to the first that came after its instant.
    for entry in reversed(entries.order_by("-at")[:_ENTRIES_MAX]):
        before, after = entry.before or {}, entry.after or {}
        for (name, at), text in sets.items():
            is_about_it = name in before or name in after
            if is_about_it and timedelta(0) <= entry.at - at <= _EDIT_LASTS and _is_text(after.get(name), text):
                found.setdefault((name, at), Edit(entry.actor, at, "edit"))
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "SELECT b.created_by, b.undo_of IS NOT NULL, c.at, ARRAY(SELECT jsonb_object_keys(c.before))"
            " FROM bulk_edit_changes c JOIN bulk_edits b ON b.tenant_id = c.tenant_id AND b.edit_id = c.edit_id"
            " WHERE c.tenant_id = %s AND c.entity_id = %s ORDER BY c.at DESC LIMIT %s",
            (tenant_id, entity_id, _ENTRIES_MAX),
        )
        for actor, is_undo, at, names in cursor.fetchall():
            for name in names:
                if (name, at) in sets:
                    found.setdefault((name, at), Edit(actor, at, "undo of a bulk edit" if is_undo else "bulk edit"))
    return found


def _is_text(noted: Any, text: str | None) -> bool:
    """Whether the log speaks of this value; of a long one it keeps the beginning."""
    if noted is None or text is None:
        return noted is None and text is None
    return value_as_text(noted)[:_COMPARED_CHARS] == text[:_COMPARED_CHARS]


def _refusal(detail: str) -> InvalidEntity:
    return InvalidEntity(detail, errors=[FieldError("value", "invalid_value", detail)])
