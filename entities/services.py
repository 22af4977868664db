"""Writes of the data plane, for the bound tenant. A door tells the position then (`freshness.reads.write_finished`)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, cast

import orjson
from django.db import connections, transaction

from atlasco.lib.errors import Conflict, FieldError, Invalid, Problem
from atlasco.lib.sql import sql_blocks
from entities import selectors
from entities.ingest.batch import ARCHIVED, SQL
from entities.ingest.lines import Line
from entities.ingest.single import Inspect, Write, WriteResult, entity_write
from entities.search.run import EntityRow
from entities.selectors import AttributeNotFound, EntityNotFound
from entities.values import (
    ENTITY_TYPE_MAX_CHARS,
    EXTERNAL_ID_MAX_CHARS,
    Value,
    attributes_errors,
    instant_error,
    key_error,
    value_error,
)
from tenants.audit import audit_record
from tenants.members.models import Role
from tenants.roles import role_require

QUERIES: Final = sql_blocks(Path(__file__).parent / "sql" / "queries.sql")


class InvalidEntity(Invalid):
    """The entity can't be stored as it is; `errors` says where and why."""

    code = "invalid_entity"


class RuleBroken(Invalid):
    """A rule of this tenant does not allow that; `errors` says what each attribute must be."""

    code = "rule_broken"


class EntityExists(Conflict):
    """There is an entity of this entity_type and external_id. Send ?upsert=true to update it."""

    code = "entity_exists"


class EntityInArchive(Conflict):
    """The entity of this entity_type and external_id lies in an archived month; it can be restored."""

    code = ARCHIVED


class PreconditionFailed(Problem):
    """The entity has changed since the version that If-Match names. Read it again and decide anew."""

    status = 412
    code = "precondition_failed"


@dataclass(frozen=True, slots=True)
class EntityInput:
    """A checked body of POST or PATCH. attributes: a value, or None to remove; instants as sent."""

    entity_type: str
    external_id: str | None
    created_at: str | None
    at: str | None
    attributes: dict[str, Value | None]


_CREATE_MEMBERS: Final = frozenset({"entity_type", "external_id", "created_at", "at", "attributes"})
_PATCH_MEMBERS: Final = frozenset({"created_at", "at", "attributes"})


def entity_input_parse(body: object, *, is_new: bool) -> EntityInput:
    """Return the checked input of a create or a patch. Raises InvalidEntity with every fault found."""
    if not isinstance(body, dict):
        raise InvalidEntity("The body is a JSON object.")
    known = _CREATE_MEMBERS if is_new else _PATCH_MEMBERS
    errors = [
        FieldError(
            name[:100],
            "unknown_field",
            f"There is no member {name[:100]!r} here; known are {', '.join(sorted(known))}.",
        )
        for name in body
        if name not in known
    ]
    found: list[FieldError | None] = []
    if is_new:
        found.append(key_error(body.get("entity_type"), "entity_type", ENTITY_TYPE_MAX_CHARS))
        if body.get("external_id") is not None:
            found.append(key_error(body["external_id"], "external_id", EXTERNAL_ID_MAX_CHARS))
    instants = [name for name in ("created_at", "at") if body.get(name) is not None]
    found.extend(instant_error(body[name], name) for name in instants)
    attributes = body.get("attributes", {})
    errors.extend(error for error in found if error is not None)
    errors.extend(attributes_errors(attributes, "attributes", null_allowed=True))
    if errors:
        raise InvalidEntity(errors[0].detail if len(errors) == 1 else "", errors=errors)
    return EntityInput(
        body.get("entity_type", ""), body.get("external_id"), body.get("created_at"), body.get("at"), attributes
    )


def value_input_parse(body: object) -> Value:
    """Return the value of a PUT: {"value": …} or the bare value. Raises InvalidEntity."""
    if isinstance(body, dict):
        if list(body) != ["value"]:
            raise InvalidEntity('The body is {"value": …} or the bare value.')
        body = body["value"]
    if (error := value_error(body, "value")) is not None:
        raise InvalidEntity(error.detail, errors=[error])
    return cast(Value, body)


def entity_create(*, tenant_id: int, entity: EntityInput, upsert: bool, now: datetime) -> tuple[EntityRow, bool]:
    """Store a new entity, or with upsert merge into the one that has its key. Return it, and whether it is new.

    Without external_id the entity gets its entity_id as one. Raises EntityExists, WriteContention.
    """
    line = Line(
        1, entity.entity_type, entity.external_id or "", entity.created_at, entity.at, orjson.dumps(entity.attributes)
    )
    result = entity_write(tenant_id=tenant_id, write=Write(line, is_upsert=upsert), now=now)
    if result.outcome == "exists":
        raise EntityExists(entity_id=str(_row(result).entity_id))
    return _row(_accepted(result)), result.is_new


def entity_merge(
    *,
    tenant_id: int,
    entity: EntityInput,
    expected_versions: Callable[[int], Collection[int] | None],
    now: datetime,
) -> EntityRow:
    """Merge into the entity that has this key, which must be there, and return it as it is then.

    expected_versions: which versions it may have, by its id; None for any. Raises PreconditionFailed.
    """
    entity_id = selectors.entity_id_of_key(
        tenant_id=tenant_id, entity_type=entity.entity_type, external_id=entity.external_id or "", using="default"
    )
    if entity_id is None:
        raise PreconditionFailed
    try:
        return _write_by_id(tenant_id, entity_id, entity, now, versions=expected_versions(entity_id))
    except selectors.EntityArchived:
        raise EntityInArchive from None
    except EntityNotFound:  # Deleted meanwhile.
        raise PreconditionFailed from None


def entity_patch(
    *, tenant_id: int, entity_id: int, entity: EntityInput, expected_versions: Collection[int] | None, now: datetime
) -> EntityRow:
    """Merge attributes into an entity: a value sets, null removes. Return the entity as it is then.

    expected_versions: None for any. Raises EntityNotFound, PreconditionFailed.
    """

    return _write_by_id(tenant_id, entity_id, entity, now, versions=expected_versions)


def attribute_put(
    *, tenant_id: int, entity_id: int, name: str, value: Value, expected_versions: Collection[int] | None, now: datetime
) -> selectors.ValueRow:
    """Set one attribute. Raises InvalidEntity, EntityNotFound, PreconditionFailed."""
    errors = attributes_errors({name: value}, "attributes", null_allowed=False)
    if errors:
        raise InvalidEntity(errors[0].detail, errors=errors)
    entity = EntityInput("", None, None, None, {name: value})
    with transaction.atomic(using="default"):
        _write_by_id(tenant_id, entity_id, entity, now, versions=expected_versions)
        try:
            return selectors.value_get(tenant_id=tenant_id, entity_id=entity_id, name=name, using="default")
        except AttributeNotFound:  # It was written under the name that this one is an alias of.
            stored = selectors.alias_target(tenant_id=tenant_id, alias=name, using="default")
            if stored is None:
                raise
            return selectors.value_get(tenant_id=tenant_id, entity_id=entity_id, name=stored, using="default")


def attribute_delete(
    *, tenant_id: int, entity_id: int, name: str, expected_versions: Collection[int] | None, now: datetime
) -> None:
    """Remove one attribute. Raises EntityNotFound, AttributeNotFound, PreconditionFailed."""

    def inspect(document: dict[str, Any]) -> None:
        if name not in document:
            raise AttributeNotFound

    entity = EntityInput("", None, None, None, {name: None})
    _write_by_id(tenant_id, entity_id, entity, now, versions=expected_versions, inspect=inspect)


def entity_delete(*, tenant_id: int, entity_id: int, expected_versions: Collection[int] | None) -> None:
    """Remove an entity, its key and its values. Raises EntityNotFound, PreconditionFailed."""
    values = {"tenant_id": tenant_id, "entity_id": entity_id}
    with transaction.atomic(using="default"), connections["default"].cursor() as cursor:
        cursor.execute(SQL["delete_begin"], values)
        cursor.execute(SQL["entity_lock"], values)
        locked = cursor.fetchone()
        if locked is None:
            raise selectors.entity_missing(tenant_id=tenant_id, entity_id=entity_id, using="default")
        if expected_versions is not None and locked[0] not in expected_versions:
            raise PreconditionFailed
        cursor.execute(SQL["key_delete"], values)
        cursor.execute(SQL["entity_delete"], values)


def attribute_describe(*, tenant_id: int, name: str, changes: dict[str, str]) -> selectors.AttributeRow:
    """Change what people say of an attribute: description, unit, owner, status. Raises AttributeUnknown."""
    from entities.models import AttributeMetadata

    role_require(Role.EDITOR)
    with transaction.atomic(using="default"):
        before = selectors.attribute_get(tenant_id=tenant_id, name=name, using="default")
        if changes:
            AttributeMetadata.objects.using("default").filter(tenant_id=tenant_id, attribute_name=name).update(
                **changes
            )
            told = {member: getattr(before, member) for member in changes}
            audit_record(action="attribute.describe", subject=f"attribute:{name}", before=told, after=changes)
        return selectors.attribute_get(tenant_id=tenant_id, name=name, using="default")


def attribute_changes_fold(*, tenant_id: int) -> int:
    """Move what writers reported of attributes into the registry. Return how many names were touched.

    Safe to run twice and beside itself: who comes second finds nothing, or waits for nothing and leaves.
    """
    with transaction.atomic(using="default"), connections["default"].cursor() as cursor:
        if not registry_lock(tenant_id=tenant_id):
            return 0
        # Names of a first import have no statistics yet: a nested loop then compares each with each, 10,000 of each.
        cursor.execute("SET LOCAL enable_nestloop = off")
        cursor.execute(QUERIES["attribute_changes_fold"], {"tenant_id": tenant_id})
        cursor.execute("SET LOCAL enable_nestloop = on")
        return int(cursor.rowcount)


def registry_lock(*, tenant_id: int) -> bool:
    """Keep everybody else from folding this tenant's changes until the transaction ends; False where somebody is at it.

    Meanwhile `attribute_metadata.value_types` plus what is in `attribute_changes` is what the documents hold.
    """
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext('attribute_changes_fold'), %s)", (tenant_id,))
        return bool(cursor.fetchone()[0])


def value_write(*, tenant_id: int, entity_id: int, entity: EntityInput, inspect: Inspect, now: datetime) -> None:
    """Merge into one entity, unless `inspect` objects to its document. Raises EntityNotFound, RuleBroken."""
    _write_by_id(tenant_id, entity_id, entity, now, inspect=inspect)


def _write_by_id(
    tenant_id: int,
    entity_id: int,
    entity: EntityInput,
    now: datetime,
    *,
    versions: Collection[int] | None = None,
    inspect: Inspect | None = None,
) -> EntityRow:
    line = Line(1, "", "", entity.created_at, entity.at, orjson.dumps(entity.attributes), entity_id)
    write = Write(line, versions=versions, inspect=inspect)
    result = entity_write(tenant_id=tenant_id, write=write, now=now)
    if result.outcome == "missing":
        raise selectors.entity_missing(tenant_id=tenant_id, entity_id=entity_id, using="default")
    return _row(_accepted(result))


def _accepted(result: WriteResult) -> WriteResult:
    """Raises RuleBroken, PreconditionFailed, EntityInArchive where nothing was written."""
    match result.outcome:
        case "refused" if result.refusal is not None:
            raise RuleBroken(result.refusal.detail, errors=list(result.refusal.errors))
        case "outdated":
            raise PreconditionFailed
        case "archived":
            raise EntityInArchive
    return result


def _row(result: WriteResult) -> EntityRow:
    if result.row is None:
        raise RuntimeError(f"A write that is {result.outcome} has no row.")
    return result.row
