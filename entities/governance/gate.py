"""A tenant's rules and aliases as its writers ask them.

A writer learns with the lock of the tenant, which it takes anyway, whether the tenant has any and in which version.
What a process knows of a version it keeps: a batch of a governed tenant costs the judging of its lines, one of any
other tenant nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import orjson
from django.db import connections

from atlasco.lib.errors import FieldError
from entities.governance.rules import REQUIRED_FAULT, Conditions, conditions_parse, field_error
from entities.ingest.lines import RULE_BROKEN, Line, Rejection

_KEPT_MAX: Final = 500
_kept: dict[int, tuple[int, Gate]] = {}


@dataclass(frozen=True, slots=True)
class Judged:
    """What a gate made of a batch. lines: those to write; rejected: those that break a rule in force.

    warnings: of lines that are written although they break a rule that only warns.
    """

    lines: Sequence[Line]
    rejected: list[Rejection]
    warnings: list[Rejection]


@dataclass(frozen=True, slots=True)
class Gate:
    """aliases: {what is sent: what is stored}; enforced, warned: what is asked of each attribute, by name."""

    aliases: Mapping[str, str]
    enforced: Mapping[str, Conditions]
    warned: Mapping[str, Conditions]

    @property
    def requires(self) -> bool:
        return any(conditions.required_for for conditions in self.enforced.values())

    def judge(self, lines: Sequence[Line], *, mode: Literal["merge", "replace"]) -> Judged:
        """Put each line's names right, and hold its values against the rules."""
        kept: list[Line] = []
        rejected: list[Rejection] = []
        warnings: list[Rejection] = []
        for line in lines:
            attributes = orjson.loads(line.attributes)
            if self.aliases and not self.aliases.keys().isdisjoint(attributes):
                attributes = self._renamed(attributes)
                judged = replace(line, attributes=orjson.dumps(attributes))
            else:
                judged = line
            errors = self._errors(self.enforced, line.entity_type, attributes, mode)
            if errors:
                rejected.append(_refusal(line.number, errors))
                continue
            if self.warned and (errors := self._errors(self.warned, line.entity_type, attributes, mode)):
                warnings.append(_refusal(line.number, errors))
            kept.append(judged)
        return Judged(kept, rejected, warnings)

    def creation_refusals(self, lines: Sequence[Line], new_keys: Collection[tuple[str, str]]) -> list[Rejection]:
        """Lines that would create an entity without what is required of its type. new_keys: (entity_type, external_id).

        A later line of the same entity may be complete: that one then creates it.
        """
        waiting = set(new_keys)
        refused = []
        for line in lines:
            key = (line.entity_type, line.external_id)
            if key not in waiting:
                continue
            required = [name for name, rule in self.enforced.items() if rule.requires_of(line.entity_type)]
            attributes = orjson.loads(line.attributes) if required else {}
            missing = [name for name in required if attributes.get(name) is None]
            if missing:
                refused.append(_refusal(line.number, [field_error(name, REQUIRED_FAULT) for name in missing]))
            else:
                waiting.discard(key)
        return refused

    def _renamed(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """Under the stored names. Where a line has both, the stored name's own value stands."""
        names = {name: self.aliases.get(name, name) for name in attributes}
        return {
            stored: attributes[name] for name, stored in names.items() if stored == name or stored not in attributes
        }

    def _errors(
        self, rules: Mapping[str, Conditions], entity_type: str, attributes: dict[str, Any], mode: str
    ) -> list[FieldError]:
        errors = []
        for name, conditions in rules.items():
            if name not in attributes:
                # What a merge does not name stays; whether a new entity is complete is known under its lock.
                if mode == "replace" and conditions.requires_of(entity_type):
                    errors.append(field_error(name, REQUIRED_FAULT))
                continue
            value = attributes[name]
            if value is None:
                if conditions.requires_of(entity_type):
                    errors.append(field_error(name, REQUIRED_FAULT))
            elif (fault := conditions.fault(value)) is not None:
                errors.append(field_error(name, fault))
        return errors


def gate_read(*, tenant_id: int, version: int) -> Gate:
    """The bound tenant's gate of this version, remembered or read."""
    kept = _kept.get(tenant_id)
    if kept is not None and kept[0] == version:
        return kept[1]
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT alias, attribute_name FROM attribute_aliases WHERE tenant_id = %s", (tenant_id,))
        aliases = dict(cursor.fetchall())
        cursor.execute(
            "SELECT mode, attribute_name, conditions::text FROM attribute_rules WHERE tenant_id = %s AND mode <> 'off'"
            " ORDER BY attribute_name",
            (tenant_id,),
        )
        rules: dict[str, dict[str, Conditions]] = {"enforce": {}, "warn": {}}
        for rule_mode, name, conditions in cursor.fetchall():
            rules[rule_mode][name] = conditions_parse(orjson.loads(conditions))
    gate = Gate(aliases, rules["enforce"], rules["warn"])
    if len(_kept) >= _KEPT_MAX:
        _kept.clear()
    _kept[tenant_id] = (version, gate)
    return gate


def is_governed(*, tenant_id: int) -> bool:
    """Whether the tenant had rules or aliases when this process last looked."""
    return tenant_id in _kept


def gate_forget(*, tenant_id: int) -> None:
    """The tenant has neither any longer."""
    _kept.pop(tenant_id, None)


def _refusal(number: int, errors: list[FieldError]) -> Rejection:
    return Rejection(number, RULE_BROKEN, " ".join(error.detail for error in errors), tuple(errors))
