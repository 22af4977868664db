"""Searches and entities from ClickHouse: the same pages in the same order, with the same cursors, as PostgreSQL's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from analytics.clickhouse.changes import POSITION_ROWS, position_parse
from analytics.clickhouse.reading.conditions import Statement, instant_us, node_sql
from analytics.feed.events import Position
from atlasco.lib.clock import from_us
from entities.search.cursors import Cursor, cursor_decode, cursor_encode
from entities.search.plan import Plan
from entities.search.query import Query
from entities.search.run import EntityRow, Page, Trace
from entities.selectors import AttributeNotFound, EntityNotFound, ValueRow
from freshness.timelines import NOWHERE, position_text, seq_timeline
from freshness.timelines import Position as LogPosition

_KEY: Final = {"updated_at": "updated_us", "created_at": "instant_us", "external_id": "value", "entity_id": "entity_id"}
_POSITION: Final = f"SELECT 2, 0, '', value, 0, 0, 0, '' FROM attribute_values FINAL WHERE {POSITION_ROWS}"
_COLUMNS: Final = "entity_id, entity_type, value, instant_us, updated_us, version, document"


@dataclass(frozen=True, slots=True)
class Read:
    """An answer, and the position of the very state that it was read from; None where there is none yet."""

    value: Any
    position: Position | None


def search_read(client: Any, *, tenant_id: int, query: Query) -> Read:
    """Return one page of the tenant's entities that satisfy the query. An estimated count is exact.

    Raises InvalidCursor; ClickHouseError.
    """
    cursor = None
    if query.cursor is not None:
        cursor = cursor_decode(query.cursor, tenant_id=tenant_id, query=query)
    statement = Statement(tenant_id)
    text = search_sql(statement, query, cursor)
    rows, total, position = [], None, None
    for kind, *columns in client.query(text, parameters=statement.parameters).result_rows:
        match kind:
            case 0:
                rows.append(_entity_row(*columns))
            case 1:
                total = columns[0]
            case _:
                position = position_parse(columns[2])
    # UNION ALL promises no order.
    rows.sort(key=lambda row: (getattr(row, query.order_by), row.entity_id), reverse=query.descending)
    next_cursor = None
    if len(rows) > query.limit:
        rows.pop()
        key = getattr(rows[-1], query.order_by)
        key_text = key.isoformat() if isinstance(key, datetime) else str(key)
        # Nothing on the page is newer: the position belongs to the same state.
        after = Cursor(key_text, rows[-1].entity_id, _shown(position))
        next_cursor = cursor_encode(after, tenant_id=tenant_id, query=query)
    if query.fields is not None:
        rows = [_projected(row, query.fields) for row in rows]
    return Read(Page(rows, next_cursor, total, query.count, Plan("scan"), Trace()), position)


def search_sql(statement: Statement, query: Query, cursor: Cursor | None) -> str:
    """The statement: the page's ids first, then their documents; and the count, of the same state, where it is wanted.

    Its rows are entities, of kind 0, the count, of kind 1, and the position, of kind 2.
    """
    condition = node_sql(statement, query.where, "own")
    if query.entity_type is not None:
        condition = f"entity_type = {statement.text(query.entity_type)} AND {condition}"
    key = _KEY[query.order_by]
    direction, beyond = ("DESC", "<") if query.descending else ("ASC", ">")
    order = f"entity_id {direction}" if key == "entity_id" else f"{key} {direction}, entity_id {direction}"
    after = "1" if cursor is None else _beyond(statement, key, beyond, cursor)
    own = statement.rows("")
    text = (
        f"SELECT 0 AS kind, {_COLUMNS} FROM {own} AND entity_id IN"
        f" (SELECT entity_id FROM {own} AND {after} AND {condition} ORDER BY {order} LIMIT {query.limit + 1})"
    )
    if query.count != "none":
        text += f" UNION ALL SELECT 1, toInt64(count()), '', '', 0, 0, 0, '' FROM {own} AND {condition}"
    return f"{text} UNION ALL {_POSITION}"


def _shown(position: Position | None) -> str:
    """A position as cursors hold it."""
    if position is None or position.heartbeat is None:
        return position_text(NOWHERE)
    return position_text(LogPosition(seq_timeline(position.heartbeat.seq), position.lsn))


def _beyond(statement: Statement, key: str, beyond: str, cursor: Cursor) -> str:
    entity_id = statement.bind(cursor.entity_id, "Int64")
    if key == "entity_id":
        return f"entity_id {beyond} {entity_id}"
    place = statement.text(cursor.key) if key == "value" else statement.bind(instant_us(cursor.key), "Int64")
    return f"({key} {beyond} {place} OR ({key} = {place} AND entity_id {beyond} {entity_id}))"


def entity_read(client: Any, *, tenant_id: int, entity_id: int) -> Read:
    """Return one entity; None as the value where there is none, for another tenant's too. Raises ClickHouseError."""
    statement = Statement(tenant_id)
    text = (
        f"SELECT 0 AS kind, {_COLUMNS} FROM {statement.rows('')} AND entity_id = {statement.bind(entity_id, 'Int64')}"
        f" UNION ALL {_POSITION}"
    )
    row, position = None, None
    for kind, *columns in client.query(text, parameters=statement.parameters).result_rows:
        if kind == 0:
            row = _entity_row(*columns)
        else:
            position = position_parse(columns[2])
    return Read(row, position)


def value_read(client: Any, *, tenant_id: int, entity_id: int, name: str) -> Read:
    """Return one value, or EntityNotFound or AttributeNotFound in its place. Raises ClickHouseError."""
    statement = Statement(tenant_id)
    key = statement.bind(entity_id, "Int64")
    text = (
        f"SELECT 0 AS kind, version, '', '', 0 FROM {statement.rows('')} AND entity_id = {key}"
        " UNION ALL SELECT 1, 0, toString(value_type), value, updated_us"
        f" FROM {statement.rows(name)} AND entity_id = {key}"
        f" UNION ALL SELECT 2, 0, '', value, 0 FROM attribute_values FINAL WHERE {POSITION_ROWS}"
    )
    found = {kind: columns for kind, *columns in client.query(text, parameters=statement.parameters).result_rows}
    position = position_parse(found[2][2]) if 2 in found else None
    if 0 not in found:
        return Read(EntityNotFound(), position)
    if 1 not in found:
        return Read(AttributeNotFound(), position)
    _, value_type, value, updated_us = found[1]
    shown = orjson.Fragment(value_json(value_type, value))
    return Read(ValueRow(name, shown, value_type, from_us(updated_us), found[0][0]), position)


def value_json(kind: str, value: str) -> str:
    """A value row's JSON text: numbers and booleans are their own."""
    return value if kind in {"number", "boolean"} else orjson.dumps(value).decode()


def _entity_row(
    entity_id: int,
    entity_type: str,
    external_id: str,
    created_us: int,
    updated_us: int,
    version: int,
    document: str,
) -> EntityRow:
    return EntityRow(entity_id, entity_type, external_id, from_us(created_us), from_us(updated_us), version, document)


def _projected(row: EntityRow, fields: Sequence[str]) -> EntityRow:
    # Numbers pass through as they are written: a double would lose digits.
    document = json.loads(row.attributes, parse_float=orjson.Fragment, parse_int=orjson.Fragment)
    kept = orjson.dumps({name: document[name] for name in fields if name in document}).decode()
    return EntityRow(row.entity_id, row.entity_type, row.external_id, row.created_at, row.updated_at, row.version, kept)
