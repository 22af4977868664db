"""Names that stand for other names, as readers follow them: an alias is asked like the attribute that it stands for.

What is sent under an alias is stored under its attribute, but values from before may still lie under the alias. So a
condition asks the attribute and, where an entity has none, the aliases that still hold values. Aggregates, which go
over one column, ask the attribute alone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, connections

from entities.search.query import OWN_FIELDS, AtLeast, Condition, Node, Not, Query
from freshness.reads import alias_of, databases_now

# So long may a process search by an alias as it was before.
TTL_S: Final = 2.0
_KEPT_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class Aliases:
    """stored: {alias: attribute}; holding: {attribute: its aliases that still hold values, in order}."""

    stored: Mapping[str, str] = field(default_factory=dict)
    holding: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def name(self, name: str) -> str:
        return self.stored.get(name, name)


_NONE: Final = Aliases()
_kept: dict[int, tuple[float, Aliases]] = {}


def aliases_of(*, tenant_id: int, using: str | None = None) -> Aliases:
    """The bound tenant's aliases, up to TTL_S seconds old.

    using: None for whichever database answers; where none does, what was known last.
    """
    kept = _kept.get(tenant_id)
    if kept is not None and kept[0] > time.monotonic() - TTL_S:
        return kept[1]
    read_at = time.monotonic()
    if using is not None:
        found = _read(tenant_id, using)
    else:
        found = _NONE if kept is None else kept[1]
        databases = databases_now()
        for database in [one for one in databases if one.up] or databases:
            try:
                found = _read(tenant_id, alias_of(database))
                break
            except (DatabaseError, InterfaceError):
                connections[alias_of(database)].close()
    if len(_kept) >= _KEPT_MAX:
        _kept.clear()
    _kept[tenant_id] = (read_at, found)
    return found


def aliases_forget(*, tenant_id: int) -> None:
    """Have this process read the tenant's aliases again, which were changed just now."""
    _kept.pop(tenant_id, None)


def query_resolved(query: Query, *, tenant_id: int, using: str | None = DEFAULT_DB_ALIAS) -> Query:
    """The query with the names that values are stored under. A resolved one must not be resolved again."""
    aliases = aliases_of(tenant_id=tenant_id, using=using)
    if not aliases.stored:
        return query
    fields = query.fields
    if fields is not None:
        names = (aliases.name(name) for name in fields)
        fields = tuple(dict.fromkeys(one for name in names for one in (name, *aliases.holding.get(name, ()))))
    return replace(query, where=node_resolved(query.where, aliases), fields=fields)


def node_resolved(node: Node, aliases: Aliases) -> Node:
    """The node with the names that values are stored under."""
    match node:
        case Condition(attribute=name):
            return node if name in OWN_FIELDS else _condition(node, aliases)
        case Not(node=inner):
            return Not(node_resolved(inner, aliases))
        case AtLeast(n=n, nodes=nodes):
            return AtLeast(n, tuple(node_resolved(child, aliases) for child in nodes))


def _condition(condition: Condition, aliases: Aliases) -> Node:
    stored = aliases.name(condition.attribute)
    names = (stored, *aliases.holding.get(stored, ()))
    each = tuple(replace(condition, attribute=name) for name in names)
    if len(each) == 1:
        return each[0]
    if condition.operator == "missing":
        return AtLeast(len(each), each)
    # The attribute's own value counts, then that of its first alias.
    missing = [Condition(name, "missing") for name in names]
    ways = [AtLeast(place + 1, (*missing[:place], one)) if place else one for place, one in enumerate(each)]
    return AtLeast(1, tuple(ways))


def _read(tenant_id: int, using: str) -> Aliases:
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT a.alias, a.attribute_name,"
            " EXISTS (SELECT FROM attribute_metadata m, jsonb_each_text(m.value_types) t(kind, n)"
            "         WHERE m.tenant_id = a.tenant_id AND m.attribute_name = a.alias AND n::bigint > 0)"
            " OR EXISTS (SELECT FROM attribute_changes c WHERE c.tenant_id = a.tenant_id"
            "            AND c.attribute_name = a.alias AND c.entity_delta > 0)"
            " FROM attribute_aliases a WHERE a.tenant_id = %s ORDER BY a.alias",
            (tenant_id,),
        )
        rows = cursor.fetchall()
    if not rows:
        return _NONE
    holding: dict[str, tuple[str, ...]] = {}
    for alias, name, is_holding in rows:
        if is_holding:
            holding[name] = (*holding.get(name, ()), alias)
    return Aliases({alias: name for alias, name, _ in rows}, holding)
