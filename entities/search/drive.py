"""From which index the ids of a drive come, as SQL. See Note [Four plans]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from entities.search.containments import Document
from entities.search.estimate import RANGE
from entities.search.plan import Plan
from entities.search.query import OWN_FIELDS, Condition
from entities.search.reads import Driver, Reads
from entities.search.sql import Fragment
from entities.values import Value, value_type

# `= ANY`, because an `in` has many; `>= ANY` of one is that one.
_INDEX_TESTS: Final = {
    "number": "numeric_value IS NOT NULL AND v.numeric_key {} ANY(%s::double precision[])",
    "instant": "instant_value {} ANY(ARRAY(SELECT text_instant(t) FROM unnest(%s::text[]) t))",
    "text": "attribute_value {} ANY(%s::text[])",
}


def ids_sql(tenant_id: int, plan: Plan) -> Fragment:
    """The ids that a drive looks up, each once: of one union of reads, and of every one that it is within."""
    unions = [
        _union(tenant_id, reads, is_alone=plan.is_alone)
        for reads in (Reads(plan.drivers, documents=plan.documents, named=plan.named), *plan.within)
    ]
    if len(unions) == 1:
        return unions[0]
    return Fragment(
        " INTERSECT ".join(f"({union.text})" for union in unions),
        tuple(value for union in unions for value in union.values),
    )


def names_driving(plan: Plan) -> set[str]:
    """The attributes whose values the plan finds by an index of values."""
    found = {
        driver[0].attribute for drivers in (plan.drivers, *(one.drivers for one in plan.within)) for driver in drivers
    }
    return found - set(OWN_FIELDS)


def contains_sql(documents: Sequence[Document]) -> Fragment:
    """What the index of documents is asked: whether an entity contains one of them."""
    tests = " OR ".join("e.attributes @> %s::jsonb" for _ in documents)
    return Fragment(f"({tests})", tuple(orjson.dumps(document).decode() for document in documents))


def whose_sql(tenant_id: int, *, is_alone: bool) -> Fragment:
    """The predicate of the tenant beside one on documents.

    # Note [Whose documents]
    The index of documents knows the tenant, too, in one long list of all its entities, and to intersect with that list
    means to read most of it: 7 ms a million. Where a partition holds hardly anybody else's documents, that spares
    nothing. A bigint prunes partitions as an integer does, but is no operand of that index: so each document found is
    tested for its tenant instead.
    """
    return Fragment("e.tenant_id = %s::bigint" if is_alone else "e.tenant_id = %s", (tenant_id,))


def _union(tenant_id: int, reads: Reads, *, is_alone: bool) -> Fragment:
    each = [driver_sql(tenant_id, driver) for driver in reads.drivers]
    each += [named_sql(tenant_id, condition) for condition in reads.named]
    if reads.documents:
        contains, whose = contains_sql(reads.documents), whose_sql(tenant_id, is_alone=is_alone)
        each.append(
            Fragment(
                f"SELECT e.entity_id FROM entity_documents e WHERE {whose.text} AND {contains.text}",
                (*whose.values, *contains.values),
            )
        )
    if len(each) == 1:
        return each[0]
    # An entity that several of them find comes once.
    text = f"SELECT DISTINCT u.entity_id FROM ({' UNION ALL '.join(read.text for read in each)}) u"
    return Fragment(text, tuple(value for read in each for value in read.values))


def driver_sql(tenant_id: int, driver: Driver) -> Fragment:
    """The ids of the entities that may satisfy the driver: all that do, and few others; documents are tested after.

    A number is compared as a double, so both ends are taken in: 2^53 + 1 and 2^53 are the same key.
    """
    attribute = driver[0].attribute
    if attribute == "@external_id":
        wanted = [value for condition in driver for value in _values_of(condition)]
        return Fragment(
            "SELECT k.entity_id FROM entity_keys k WHERE k.tenant_id = %s AND k.external_id = ANY(%s::text[])",
            (tenant_id, [text for text in wanted if isinstance(text, str)]),
        )
    tests: list[str] = []
    operands: list[Any] = []
    for condition in driver:
        sign = {"gt": ">=", "ge": ">=", "lt": "<=", "le": "<="}.get(condition.operator, "=")
        # One column for each type of value. Texts and booleans have one: a text `true` is tested by its document.
        by_column: dict[str, list[Any]] = {}
        for value in _values_of(condition):
            column, operand = _index_key(value)
            by_column.setdefault(column, []).append(operand)
        tests.append(f"({' OR '.join(f'v.{_INDEX_TESTS[column].format(sign)}' for column in by_column)})")
        operands += by_column.values()
    return Fragment(
        f"SELECT v.entity_id FROM entity_values v WHERE v.tenant_id = %s AND v.attribute_name = %s"
        f" AND {' AND '.join(tests)}",
        (tenant_id, attribute, *operands),
    )


def named_sql(tenant_id: int, condition: Condition) -> Fragment:
    """The ids of the entities that have a value of the condition's name; of a range, those that may satisfy it."""
    test = Fragment("true")
    if condition.operator in RANGE:
        sign = ">=" if condition.operator in {"gt", "ge"} else "<="
        (value,) = _values_of(condition)
        kind, operand = _index_key(value)
        column, cast = ("numeric_key", "%s::float8") if kind == "number" else ("instant_value", "text_instant(%s)")
        test = Fragment(f"v.{column} {sign} {cast}", (operand,))
    return Fragment(
        f"SELECT v.entity_id FROM entity_named v WHERE v.tenant_id = %s AND v.attribute_name = %s AND {test.text}",
        (tenant_id, condition.attribute, *test.values),
    )


def _index_key(value: Value) -> tuple[str, Any]:
    match value_type(value):
        case "number":
            # One type for all: psycopg sends no list of integers and doubles.
            return "number", float(value)
        case "timestamp":
            return "instant", value
        case "boolean":
            return "text", "true" if value else "false"
        case _:
            return "text", value


def _values_of(condition: Condition) -> tuple[Value, ...]:
    if condition.value is None:
        raise TypeError("Only a condition with a value can drive.")
    return condition.value if isinstance(condition.value, tuple) else (condition.value,)
