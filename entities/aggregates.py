"""Aggregates over a tenant's entities, computed in PostgreSQL: the reference that every other store must equal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias, cast

import orjson
from django.db import DEFAULT_DB_ALIAS, connections

from atlasco.lib.errors import Invalid
from entities.search.aliases import aliases_of, node_resolved
from entities.search.query import (
    EVERYTHING,
    Node,
    Report,
    entity_type_parse,
    members_check,
    where_parse,
)
from entities.search.sql import match_sql
from entities.values import name_error

Function: TypeAlias = Literal["count", "avg", "min", "max", "median", "p95", "distinct", "type_mix"]
FUNCTIONS: Final[tuple[Function, ...]] = ("count", "avg", "min", "max", "median", "p95", "distinct", "type_mix")
TOP_MAX: Final = 10_000
# An answer of more groups is an export.
GROUPS_MAX: Final = 100_000
# What is grouped by without being an attribute.
OWN_GROUPS: Final = frozenset({"entity_type", "@entity_type", "@created_at:day"})
_MEMBERS: Final = ("entity_type", "where", "match", "fn", "attribute", "group_by", "min_count", "top")


class TooManyGroups(Invalid):
    """The aggregate has more groups than one answer holds. Narrow it, raise `min_count`, or ask for the `top`."""

    code = "too_many_groups"


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A checked aggregate. group_by: None, "entity_type", "@created_at:day" or an attribute name."""

    fn: Function
    attribute: str | None = None
    entity_type: str | None = None
    where: Node = EVERYTHING
    group_by: str | None = None
    min_count: int = 0
    top: int | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """key, value: JSON text; count: how many entities or values went into the value."""

    key: str
    value: str
    count: int


def aggregate_parse(body: object) -> Aggregate:
    """Return the aggregate of a request body. Raises InvalidQuery with every fault found."""
    report = Report()
    members = members_check(body, _MEMBERS, report)
    fn = members.get("fn")
    if fn not in FUNCTIONS:
        report.add("fn", "invalid_fn", f"`fn` is one of {', '.join(FUNCTIONS)}.")
    attribute, group_by = members.get("attribute"), members.get("group_by")
    if attribute is not None and (error := name_error(attribute, "attribute")) is not None:
        report.errors.append(error)
    elif attribute is None and fn in FUNCTIONS and fn != "count":
        report.add("attribute", "required", f"`{fn}` needs an `attribute`.")
    if group_by is not None and (error := name_error(group_by, "group_by")) is not None:
        report.errors.append(error)
    aggregate = Aggregate(
        fn=cast(Function, fn),
        attribute=attribute,
        entity_type=entity_type_parse(members.get("entity_type"), report),
        where=where_parse(members.get("where"), members.get("match"), report),
        group_by=group_by,
        min_count=_whole(members.get("min_count"), "min_count", 0, 2**31, report) or 0,
        top=_whole(members.get("top"), "top", 1, TOP_MAX, report),
    )
    report.raise_any()
    return aggregate


def _whole(raw: object, name: str, least: int, most: int, report: Report) -> int | None:
    if raw is None:
        return None
    if isinstance(raw, int) and not isinstance(raw, bool) and least <= raw <= most:
        return raw
    report.add(name, f"invalid_{name}", f"`{name}` is a whole number from {least} to {most}.")
    return None


# For each function: what is taken of the attribute's value, which values count, and how they become one.
# PERCENTILE_CONT over float8 interpolates linearly. A value is JSON: exact for min and max, a double for the others.
_NUMBER: Final = "CASE WHEN jsonb_typeof(a.value) = 'number' THEN (a.value)::numeric END"
_TAKE: Final[dict[Function, str]] = {
    "avg": _NUMBER,
    "min": _NUMBER,
    "max": _NUMBER,
    "median": _NUMBER,
    "p95": _NUMBER,
    # Equal instants are one value, however they are written.
    "distinct": "coalesce(to_jsonb(value_instant(a.value)), a.value)",
    "type_mix": "value_kind(a.value)",
}
_FOLD: Final[dict[Function, str]] = {
    "count": "to_jsonb(count(*))",
    "avg": "to_jsonb(avg(taken)::float8)",
    "min": "to_jsonb(min(taken))",
    "max": "to_jsonb(max(taken))",
    "median": "to_jsonb(percentile_cont(0.5) WITHIN GROUP (ORDER BY taken::float8))",
    "p95": "to_jsonb(percentile_cont(0.95) WITHIN GROUP (ORDER BY taken::float8))",
    "distinct": "to_jsonb(count(DISTINCT taken))",
}


def aggregate_resolved(aggregate: Aggregate, *, tenant_id: int, using: str | None = DEFAULT_DB_ALIAS) -> Aggregate:
    """The aggregate with the names that values are stored under. A resolved one must not be resolved again."""
    aliases = aliases_of(tenant_id=tenant_id, using=using)
    if not aliases.stored:
        return aggregate
    attribute, group_by = aggregate.attribute, aggregate.group_by
    return replace(
        aggregate,
        where=node_resolved(aggregate.where, aliases),
        attribute=None if attribute is None else aliases.name(attribute),
        group_by=group_by if group_by is None or group_by in OWN_GROUPS else aliases.name(group_by),
    )


def aggregate_run(*, tenant_id: int, aggregate: Aggregate, using: str) -> list[Group]:
    """Return the groups, ordered by key, or with `top` by value, largest first.

    Without group_by: one group whose key is null, also where nothing matched (its value is then null or 0).
    With it: only groups of at least max(1, min_count) values; a key keeps its JSON type.
    Raises TooManyGroups.
    """
    resolved = aggregate_resolved(aggregate, tenant_id=tenant_id, using=using)
    statement, values = aggregate_sql(tenant_id, resolved)
    with connections[using].cursor() as database:
        database.execute(statement, values)
        groups = [Group(key or "null", value or "null", count) for key, value, count in database.fetchall()]
    if len(groups) > GROUPS_MAX:
        raise TooManyGroups
    if aggregate.group_by is None and not groups and aggregate.min_count == 0:
        groups = [Group("null", EMPTY.get(aggregate.fn, "null"), 0)]
    return groups


EMPTY: Final[dict[Function, str]] = {"count": "0", "distinct": "0", "type_mix": orjson.dumps({}).decode()}


def aggregate_sql(tenant_id: int, aggregate: Aggregate) -> tuple[str, list[Any]]:
    """The statement and what is bound to it. Only the two attributes asked for are taken out of a document."""
    matches = match_sql(tenant_id, aggregate.entity_type, aggregate.where)
    values: list[Any] = []
    key, group = "NULL::jsonb", "NULL::jsonb"
    match aggregate.group_by:
        case None:
            pass
        case "entity_type" | "@entity_type":
            key = group = "to_jsonb(e.entity_type)"
        case "@created_at:day":
            key = group = "to_jsonb(to_char(e.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD'))"
        case name:
            key, group = "g.value", "coalesce(to_jsonb(value_instant(g.value)), g.value)"
            values.append(name)
    grouped_by_attribute = key == "g.value"
    source = "FROM entity_documents e"
    if grouped_by_attribute:
        source += " CROSS JOIN LATERAL (SELECT e.attributes -> %s) g(value)"
    if aggregate.attribute is not None:
        source += " CROSS JOIN LATERAL (SELECT e.attributes -> %s) a(value)"
        values.append(aggregate.attribute)
    present = matches.text
    if grouped_by_attribute:
        present += " AND g.value IS NOT NULL"
    if aggregate.attribute is not None:
        present += " AND a.value IS NOT NULL"
    values.extend(matches.values)
    taken = _TAKE.get(aggregate.fn, "true")
    least = max(aggregate.min_count, 1) if aggregate.group_by is not None else aggregate.min_count
    taking = f"SELECT {key} AS key, {group} AS grouped, {taken} AS taken {source} WHERE {present}"
    if aggregate.fn == "type_mix":
        folded = (
            "SELECT min(key::text)::jsonb AS key, jsonb_object_agg(taken, n) AS value, sum(n)::bigint AS count,"
            " sum(n) AS size FROM (SELECT min(key::text)::jsonb AS key, grouped, taken, count(*) AS n"
            f" FROM ({taking}) t GROUP BY grouped, taken) k GROUP BY grouped"
        )
    else:
        folded = (
            f"SELECT min(key::text)::jsonb AS key, {_FOLD[aggregate.fn]} AS value, count(*) AS count,"
            f" {_FOLD[aggregate.fn]} AS size FROM ({taking}) t WHERE taken IS NOT NULL GROUP BY grouped"
        )
    # `f.key`, the value: a bare `key` would be the text in the answer, by which 10 comes before 9.
    statement = f"SELECT key::text, value::text, count FROM ({folded}) f WHERE count >= %s ORDER BY"
    values.append(least)
    if aggregate.top is not None:
        statement += " size DESC, f.key LIMIT %s"
        values.append(aggregate.top)
    else:
        statement += " f.key LIMIT %s"
        values.append(GROUPS_MAX + 1)
    return statement, values
