"""Rules and aliases, kept. Every change gives the tenant another version: writers then read them anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from django.db import connections, transaction

from atlasco.lib.errors import Conflict, FieldError, Invalid, NotFound
from entities.governance.rules import MODES, Conditions, InvalidRule, conditions_parse, conditions_write
from entities.ingest.batch import tenant_hold
from entities.search.aliases import aliases_forget
from entities.values import name_error
from tenants.audit import audit_record
from tenants.members.models import Role
from tenants.roles import role_require


class RuleUnknown(NotFound):
    """There is no rule for this attribute."""

    code = "rule_unknown"


class AliasUnknown(NotFound):
    """There is no alias of this name."""

    code = "alias_unknown"


class InvalidAlias(Invalid):
    """This name can't be an alias."""

    code = "invalid_alias"


class AliasTaken(Conflict):
    """This name is an alias already, or others are aliases of it. Remove those first."""

    code = "alias_taken"


@dataclass(frozen=True, slots=True)
class Rule:
    """What is asked of an attribute. mode: off, warn or enforce."""

    name: str
    mode: str
    conditions: Conditions
    updated_at: datetime
    updated_by: str

    def as_dict(self) -> dict[str, Any]:
        return {"mode": self.mode, **conditions_write(self.conditions)}


@dataclass(frozen=True, slots=True)
class Alias:
    """A name that writers may still send, and the one that is stored instead."""

    alias: str
    name: str
    created_at: datetime
    created_by: str


# --- Rules ------------------------------------------------------------------------------------------------------------


def rules_read(*, tenant_id: int, using: str, name: str | None = None) -> list[Rule]:
    """The tenant's rules in order of name, or that of one attribute."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT attribute_name, mode, conditions::text, updated_at, updated_by FROM attribute_rules"
            " WHERE tenant_id = %s AND (%s::text IS NULL OR attribute_name = %s) ORDER BY attribute_name",
            (tenant_id, name, name),
        )
        return [
            Rule(name, mode, conditions_parse(orjson.loads(conditions)), *rest)
            for name, mode, conditions, *rest in cursor.fetchall()
        ]


def rule_get(*, tenant_id: int, name: str, using: str) -> Rule:
    """Return the rule of an attribute. Raises RuleUnknown."""
    for rule in rules_read(tenant_id=tenant_id, using=using, name=name):
        return rule
    raise RuleUnknown


def rule_set(
    *, tenant_id: int, name: str, mode: str, conditions: Mapping[str, Any], updated_by: str, now: datetime
) -> Rule:
    """Keep a rule; from the next batch on it holds for new writes. Existing values stay as they are.

    The attribute need not exist yet. Raises InvalidRule, RoleMissing, TenantBusy.
    """
    role_require(Role.EDITOR)
    if mode not in MODES:
        raise InvalidRule(errors=[FieldError("mode", "invalid_value", f"`mode` is one of {', '.join(MODES)}.")])
    if (error := name_error(name, "name")) is not None:
        raise InvalidRule(error.detail, errors=[error])
    checked = conditions_parse(dict(conditions))
    with transaction.atomic(using="default"), connections["default"].cursor() as cursor:
        tenant_hold(tenant_id=tenant_id)
        before = next(iter(rules_read(tenant_id=tenant_id, using="default", name=name)), None)
        cursor.execute(
            "INSERT INTO attribute_rules (tenant_id, attribute_name, mode, conditions, updated_at, updated_by)"
            " VALUES (%s, %s, %s, %s::jsonb, %s, %s) ON CONFLICT (tenant_id, attribute_name) DO UPDATE"
            " SET mode = excluded.mode, conditions = excluded.conditions, updated_at = excluded.updated_at,"
            " updated_by = excluded.updated_by",
            (tenant_id, name, mode, orjson.dumps(conditions_write(checked)).decode(), now, updated_by),
        )
        _version_renew(cursor, tenant_id)
        rule = Rule(name, mode, checked, now, updated_by)
        audit_record(
            action="rule.set",
            subject=f"attribute:{name}",
            before=None if before is None else before.as_dict(),
            after=rule.as_dict(),
        )
    return rule


def rule_remove(*, tenant_id: int, name: str) -> None:
    """Ask nothing of the attribute any more. Raises RuleUnknown, RoleMissing, TenantBusy."""
    role_require(Role.EDITOR)
    with transaction.atomic(using="default"), connections["default"].cursor() as cursor:
        tenant_hold(tenant_id=tenant_id)
        before = rule_get(tenant_id=tenant_id, name=name, using="default")
        cursor.execute("DELETE FROM attribute_rules WHERE tenant_id = %s AND attribute_name = %s", (tenant_id, name))
        _version_renew(cursor, tenant_id)
        audit_record(action="rule.remove", subject=f"attribute:{name}", before=before.as_dict())


# --- Aliases ----------------------------------------------------------------------------------------------------------


def aliases_read(*, tenant_id: int, using: str, name: str | None = None) -> list[Alias]:
    """The tenant's aliases in order, or those of one attribute."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT alias, attribute_name, created_at, created_by FROM attribute_aliases"
            " WHERE tenant_id = %s AND (%s::text IS NULL OR attribute_name = %s OR alias = %s) ORDER BY alias",
            (tenant_id, name, name, name),
        )
        return [Alias(*row) for row in cursor.fetchall()]


def alias_set(*, tenant_id: int, alias: str, name: str, created_by: str, now: datetime) -> Alias:
    """From now on, what is written to the alias is stored under the name. Values that are there are not moved.

    Result: the alias; as it was before, where it stands for that name already.
    Raises InvalidAlias, AliasTaken, RoleMissing, TenantBusy.
    """
    role_require(Role.EDITOR)
    for told, path in ((alias, "alias"), (name, "name")):
        if (error := name_error(told, path)) is not None:
            raise InvalidAlias(error.detail, errors=[error])
    if alias == name:
        raise InvalidAlias("A name is not an alias of itself.")
    with transaction.atomic(using="default"), connections["default"].cursor() as cursor:
        tenant_hold(tenant_id=tenant_id)
        # One step only: no alias of an alias, so that writers look once.
        cursor.execute(
            "SELECT FROM attribute_aliases WHERE tenant_id = %s"
            " AND (attribute_name = %s OR alias = %s OR (alias = %s AND attribute_name <> %s))",
            (tenant_id, alias, name, alias, name),
        )
        if cursor.rowcount:
            raise AliasTaken
        cursor.execute(
            "INSERT INTO attribute_aliases (tenant_id, alias, attribute_name, created_at, created_by)"
            " VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (tenant_id, alias, name, now, created_by),
        )
        if cursor.rowcount:
            _version_renew(cursor, tenant_id)
            audit_record(action="alias.set", subject=f"attribute:{name}", after={"alias": alias})
            transaction.on_commit(lambda: aliases_forget(tenant_id=tenant_id))
        found = aliases_read(tenant_id=tenant_id, using="default", name=alias)
        return next(row for row in found if row.alias == alias)


def alias_remove(*, tenant_id: int, alias: str) -> None:
    """From now on the name stands for itself again. Raises AliasUnknown, RoleMissing, TenantBusy."""
    role_require(Role.EDITOR)
    with transaction.atomic(using="default"), connections["default"].cursor() as cursor:
        tenant_hold(tenant_id=tenant_id)
        cursor.execute(
            "DELETE FROM attribute_aliases WHERE tenant_id = %s AND alias = %s RETURNING attribute_name",
            (tenant_id, alias),
        )
        row = cursor.fetchone()
        if row is None:
            raise AliasUnknown
        _version_renew(cursor, tenant_id)
        audit_record(action="alias.remove", subject=f"attribute:{row[0]}", before={"alias": alias})
        transaction.on_commit(lambda: aliases_forget(tenant_id=tenant_id))


def _version_renew(cursor: Any, tenant_id: int) -> None:
    """Another version, or none where there is nothing left that writers would have to ask."""
    cursor.execute(
        "SELECT EXISTS (SELECT FROM attribute_rules WHERE tenant_id = %s AND mode <> 'off')"
        " OR EXISTS (SELECT FROM attribute_aliases WHERE tenant_id = %s)",
        (tenant_id, tenant_id),
    )
    if not cursor.fetchone()[0]:
        cursor.execute("DELETE FROM attribute_governance WHERE tenant_id = %s", (tenant_id,))
        return
    # From the clock: a tenant that had none for a while must not meet a version again that somebody remembers.
    cursor.execute(
        "INSERT INTO attribute_governance AS g (tenant_id, version)"
        " VALUES (%s, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) ON CONFLICT (tenant_id) DO UPDATE"
        " SET version = greatest(excluded.version, g.version + 1)",
        (tenant_id,),
    )
