"""Aggregates from ClickHouse, equal to `entities.aggregates`.

# Note [Exact averages]
A sum of doubles depends on their order and loses digits. So numbers are added as decimals of 76 digits, 38 behind the
point; the few that have more of either come back as text and are added here. The division then rounds as PostgreSQL's
numeric does, so that the average is the same double.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any, Final

import orjson

from analytics.clickhouse.reading.conditions import Statement, node_sql
from analytics.clickhouse.reading.search import value_json
from entities import aggregates
from entities.aggregates import EMPTY, Aggregate, Function, Group, TooManyGroups

_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_DAY_US: Final = 86_400_000_000
# More numbers of a group than these, of magnitudes that no decimal holds: another store shall answer.
WILD_MAX: Final = 10_000
_TAME: Final = "(abs(number) < 1e28 AND decimals <= 38)"
_NUMERIC: Final = frozenset({"avg", "min", "max", "median", "p95"})
# What the groups' columns are called in every statement.
_GROUP: Final = "g_type, g_number, g_rest, g_instant, g_text"
_IDENTITY: Final = "value_type, number, number_rest, instant_us, if(value_type IN ('string', 'boolean'), value, '')"
_FOLD: Final[dict[Function, str]] = {
    "count": "count()",
    "min": "argMin(value, (number, number_rest))",
    "max": "argMax(value, (number, number_rest))",
    "median": "quantileExactInclusive(0.5)(number)",
    "p95": "quantileExactInclusive(0.95)(number)",
    "distinct": f"uniqExact({_IDENTITY})",
    "type_mix": "tuple({})".format(
        ", ".join(f"countIf(value_type = '{kind}')" for kind in ("string", "number", "boolean", "timestamp"))
    ),
    "avg": f"tuple(toString(sumIf(toDecimal256OrZero(value, 38), {_TAME})), max(decimals), countIf(NOT {_TAME}),"
    f" groupArrayIf({WILD_MAX})(value, NOT {_TAME}))",
}
# By what `top` orders; averages are ordered here.
_SIZE: Final[dict[Function, str]] = {
    "count": "n DESC",
    "min": "min((number, number_rest)) DESC",
    "max": "max((number, number_rest)) DESC",
    "median": "folded DESC",
    "p95": "folded DESC",
    "distinct": "folded DESC",
    "type_mix": "n DESC",
}
_KEY_ORDER: Final = (
    "multiIf(g_type = 'number', 1, g_type = 'boolean', 2, 0), any(g_number), any(g_rest), any(g_instant_order), g_key"
)


@dataclass(frozen=True, slots=True)
class _Row:
    """One group as it comes back. key: JSON text; sort: by what `top` orders averages."""

    key: str
    value: str
    sort: Decimal
    count: int


def aggregate_read(client: Any, *, tenant_id: int, aggregate: Aggregate) -> list[Group] | None:
    """Return the groups in the order of `aggregate_run`; None for one that only exact arithmetic elsewhere can answer.

    Raises TooManyGroups; ClickHouseError.
    """
    statement = Statement(tenant_id)
    text = aggregate_sql(statement, aggregate)
    rows = []
    for kind, key, folded, count in client.query(text, parameters=statement.parameters).result_rows:
        if count == 0:
            continue  # Without group_by ClickHouse makes a group of nothing.
        row = _row(aggregate, str(kind), key, folded, count)
        if row is None:
            return None
        rows.append(row)
    if len(rows) > aggregates.GROUPS_MAX:
        if aggregate.top is None:
            raise TooManyGroups
        return None
    if aggregate.fn == "avg" and aggregate.top is not None:
        rows.sort(key=lambda row: row.sort, reverse=True)  # Stable: ties stay in order of key.
        rows = rows[: aggregate.top]
    if aggregate.group_by is None and not rows and aggregate.min_count == 0:
        return [Group("null", EMPTY.get(aggregate.fn, "null"), 0)]
    return [Group(row.key, row.value, row.count) for row in rows]


def aggregate_sql(statement: Statement, aggregate: Aggregate) -> str:
    """The statement; its rows are type of key, key, folded value, count."""
    source = _source(statement, aggregate)
    least = max(aggregate.min_count, 1) if aggregate.group_by is not None else aggregate.min_count
    key_order = _KEY_ORDER
    order, limit = key_order, aggregates.GROUPS_MAX + 1
    if aggregate.top is not None and aggregate.fn != "avg":
        order, limit = f"{_SIZE[aggregate.fn]}, {key_order}", aggregate.top
    return (
        f"SELECT g_type, min(g_value) AS g_key, {_FOLD[aggregate.fn]} AS folded, count() AS n FROM ({source})"
        f" GROUP BY {_GROUP} HAVING n >= {statement.bind(least, 'UInt64')} ORDER BY {order} LIMIT {limit}"
    )


def _source(statement: Statement, aggregate: Aggregate) -> str:
    """A row for each value that counts, with its group."""
    attribute, group_by = aggregate.attribute, aggregate.group_by
    of_values = attribute is not None
    condition = node_sql(statement, aggregate.where, "values" if of_values else "own")
    if aggregate.entity_type is not None:
        test = f"entity_type = {statement.text(aggregate.entity_type)}"
        own = f"entity_id IN (SELECT entity_id FROM {statement.rows('')} AND {test})"
        condition = f"{own if of_values else test} AND {condition}"
    if aggregate.fn in _NUMERIC:
        condition += " AND value_type = 'number'"
    taken = "value_type, value, number, number_rest, instant_us"
    if aggregate.fn == "avg":
        taken += ", if(position(value, '.') = 0, 0, length(value) - position(value, '.')) AS decimals"
    rows = f"{statement.rows(attribute or '')} AND {condition}"
    nothing = _group("'string'", value="''")
    match group_by:
        case None:
            return f"SELECT {taken}, {nothing} FROM {rows}"
        case "entity_type" | "@entity_type":
            group, of_group = _group("'string'", value="toString(entity_type)"), ""
        case "@created_at:day":
            # A day by its number: ClickHouse's dates end in 2299.
            day = f"intDiv(instant_us - positiveModulo(instant_us, {_DAY_US}), {_DAY_US})"
            group, of_group = _group("'string'", value=f"toString({day})", instant=day), ""
        case name:
            group = _group(
                "toString(value_type)",
                value="value",
                number="number",
                rest="number_rest",
                instant="instant_us",
                text="if(value_type IN ('string', 'boolean'), value, '')",
            )
            of_group = name
    if of_group == (attribute or ""):
        return f"SELECT {taken}, {group} FROM {rows}"
    return (
        f"SELECT {taken}, {_GROUP}, g_value, g_instant_order"
        f" FROM (SELECT entity_id, value_type, value, number, number_rest, instant_us FROM {rows}) AS taken"
        f" INNER JOIN (SELECT entity_id, {group} FROM {statement.rows(of_group)}) AS grouped USING (entity_id)"
    )


def _group(
    kind: str, *, value: str, number: str = "0.", rest: str = "0.", instant: str = "0", text: str | None = None
) -> str:
    """The group's columns of one row. Instants order only days: other keys of one instant order by their text."""
    is_day = text is None and instant != "0"
    return (
        f"{kind} AS g_type, {value} AS g_value, {number} AS g_number, {rest} AS g_rest,"
        f" toInt64({instant}) AS g_instant, {value if text is None else text} AS g_text,"
        f" toInt64({instant if is_day else '0'}) AS g_instant_order"
    )


def _row(aggregate: Aggregate, kind: str, key: str, folded: Any, count: int) -> _Row | None:
    if aggregate.group_by is None:
        key_json = "null"
    elif aggregate.group_by == "@created_at:day":
        key_json = f'"{date.fromordinal(_EPOCH_DAY + int(key)).isoformat()}"'
    else:
        key_json = value_json(kind, key)
    match aggregate.fn:
        case "avg":
            average = _average(*folded, count=count)
            if average is None:
                return None
            return _Row(key_json, _double_json(float(average)), Decimal(float(average)), count)
        case "type_mix":
            kinds = ("string", "number", "boolean", "timestamp")
            mix = {name: n for name, n in zip(kinds, folded, strict=True) if n}
            return _Row(key_json, orjson.dumps(mix).decode(), Decimal(0), count)
        case "min" | "max":
            return _Row(key_json, str(folded), Decimal(0), count)
        case _:
            if isinstance(folded, float) and not math.isfinite(folded):
                return None  # Between two numbers farther apart than a double holds.
            text = _double_json(folded) if isinstance(folded, float) else orjson.dumps(folded).decode()
            return _Row(key_json, text, Decimal(0), count)


def _double_json(number: float) -> str:
    """A double as PostgreSQL's jsonb writes it: its shortest digits, without an exponent."""
    return f"{Decimal(repr(number)):f}"


def _average(tame_sum: str, decimals: int, wild_count: int, wild: Sequence[str], *, count: int) -> Decimal | None:
    if wild_count > WILD_MAX:
        return None
    exact = Context(prec=2000)
    total = Decimal(tame_sum)
    for text in wild:
        total = exact.add(total, Decimal(text))
    return numeric_divide(total, count, scale=decimals)


def numeric_divide(total: Decimal, count: int, *, scale: int) -> Decimal:
    """The quotient as PostgreSQL's numeric gives it: to at least 16 significant digits and `scale` decimals.

    Its digits are of base 10,000, and so is its estimate of how large the quotient is (`select_div_scale`).
    """
    total_weight, total_digit = _leading(abs(total))
    count_weight, count_digit = _leading(Decimal(count))
    weight = total_weight - count_weight
    if total_digit <= count_digit:
        weight -= 1
    places = min(max(16 - weight * 4, scale, 0), 1000)
    context = Context(prec=2000, rounding=ROUND_HALF_UP)
    return context.quantize(context.divide(total, Decimal(count)), Decimal(1).scaleb(-places))


def _leading(number: Decimal) -> tuple[int, int]:
    """Weight and value of the first digit in base 10,000; (0, 0) of zero."""
    if not number:
        return 0, 0
    weight = number.adjusted() // 4
    return weight, int(number.scaleb(-4 * weight, Context(prec=2000)))
