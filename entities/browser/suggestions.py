"""Names and values to choose from, while somebody types. Each costs a few milliseconds, whatever the tenant's size."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import orjson
from django.db import connections

from atlasco.lib.sql import sql_blocks
from atlasco.lib.words import TYPE_WORDS
from entities.browser.state import OWN_COLUMNS
from entities.search.query import OWN_FIELDS
from entities.selectors import entity_types_recent
from entities.values import Value, ValueType, value_as_text, value_type

PAGES: Final = sql_blocks(Path(__file__).parent.parent / "sql" / "pages.sql")
SUGGESTIONS_MAX: Final = 12
# Values longer than this are no help in a list.
VALUE_MAX_CHARS: Final = 120
_SAMPLE: Final = 1_000
_OWN: Final[dict[str, tuple[ValueType, str]]] = {
    "@entity_type": ("string", "The entity's type"),
    "@external_id": ("string", "The entity's own name outside"),
    "@created_at": ("timestamp", "When the entity was created"),
    "@updated_at": ("timestamp", "When the entity changed last"),
    "@entity_id": ("number", "The entity's number here"),
}


@dataclass(frozen=True, slots=True)
class NameSuggestion:
    """An attribute, or with an @ a field of the entity itself. types: {type: entities with such a value}."""

    name: str
    types: dict[str, int]
    description: str = ""
    unit: str = ""
    status: str = "active"

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "types": self.types,
            "description": self.description,
            "unit": self.unit,
            "status": self.status,
            "hint": self.hint,
        }

    @property
    def hint(self) -> str:
        """What stands below the name where it is suggested: types, unit, description, and whether it is still used."""
        types = ", ".join(TYPE_WORDS.get(kind, kind) for kind in self.types)
        status = "" if self.status == "active" else self.status
        return " · ".join(filter(None, (types, self.unit, self.description, status)))


def names_suggest(*, tenant_id: int, part: str, for_columns: bool, using: str) -> list[NameSuggestion]:
    """Attribute names that hold the text, best first; own fields after the @ they begin with, or where they fit, too.

    for_columns: own fields that can be a column, instead of those that can be tested.
    """
    own = OWN_COLUMNS if for_columns else OWN_FIELDS
    wanted = part.lower().removeprefix("@")
    fields = [_own(name) for name in own if wanted in name and (part or for_columns)]
    if part.startswith("@"):
        return fields
    arguments: dict[str, Any] = {
        "tenant_id": tenant_id,
        "part": part,
        "pattern": re.sub(r"([^A-Za-z0-9_])", r"\\\1", part.lower()),
        "limit": SUGGESTIONS_MAX,
    }
    with connections[using].cursor() as cursor:
        cursor.execute(PAGES["names_suggest"], arguments)
        return [*(_suggestion(*row) for row in cursor.fetchall()), *fields]


def names_known(*, tenant_id: int, names: Collection[str], using: str) -> dict[str, NameSuggestion]:
    """What is known of these attributes and own fields; a name that nobody ever used is not in it."""
    found = {name: _own(name) for name in names if name in _OWN}
    asked = [name for name in names if name not in _OWN]
    if asked:
        with connections[using].cursor() as cursor:
            cursor.execute(PAGES["names_known"], {"tenant_id": tenant_id, "names": asked})
            found |= {row[0]: _suggestion(*row) for row in cursor.fetchall()}
    return found


def values_suggest(*, tenant_id: int, name: str, part: str, using: str) -> list[Value]:
    """Values of an attribute or own field that hold the text: those that begin with it first, then the commonest."""
    if name == "@entity_type":
        types = entity_types_recent(tenant_id=tenant_id, using=using)
        return _ranked(cast(list[Value], types), part)
    arguments: dict[str, Any] = {
        "tenant_id": tenant_id, "name": name, "part": part, "sample": _SAMPLE, "chars": VALUE_MAX_CHARS,
        "limit": SUGGESTIONS_MAX,
    }  # fmt: skip
    with connections[using].cursor() as cursor:
        if name == "@external_id":
            cursor.execute(PAGES["external_ids_prefix"], arguments)
            return [external_id for (external_id,) in cursor.fetchall()]
        if name in OWN_FIELDS:
            return []
        cursor.execute(PAGES["values_most_common"], arguments)
        row = cursor.fetchone()
        if row is None:
            return []
        known: list[Value] = [value for value, _ in orjson.loads(row[0])]
        cursor.execute(PAGES["values_sample"], arguments)
        known += [orjson.loads(text) for text, _ in cursor.fetchall()]
    return _ranked(known, part)


def _ranked(values: list[Value], part: str) -> list[Value]:
    wanted = part.lower()
    # By type too: to Python, 1 and true are equal.
    fitting = {(value_type(value), str(value)): value for value in values if wanted in value_as_text(value).lower()}
    found = sorted(fitting.values(), key=lambda value: not value_as_text(value).lower().startswith(wanted))
    return found[:SUGGESTIONS_MAX]


def _own(name: str) -> NameSuggestion:
    kind, description = _OWN[name]
    return NameSuggestion(name, {kind: 0}, description)


def _suggestion(name: str, types: str, *rest: Any) -> NameSuggestion:
    counts = {kind: count for kind, count in orjson.loads(types).items() if count > 0}
    return NameSuggestion(name, counts, *rest)
