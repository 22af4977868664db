"""Changes and past states from `attribute_history`, see Note [What history knows] in `entities.history`."""

from __future__ import annotations

from typing import Any

from analytics.clickhouse.reading.conditions import Statement
from analytics.clickhouse.reading.search import value_json
from atlasco.lib.clock import from_us, to_us
from entities.history import HistoryRead, StateRead, StateValue, ValueChange


def history_read(client: Any, request: HistoryRead) -> list[ValueChange]:
    """Return an entity's changes, newest `at` first, at most limit + 1 of them. Raises ClickHouseError."""
    statement = Statement(request.tenant_id)
    conditions = [f"entity_id = {statement.bind(request.entity_id, 'Int64')}"]
    if request.name is not None:
        conditions.append(f"attribute_name = {statement.text(request.name)}")
    if request.after is not None:
        at_us, lsn, name = request.after
        place = f"({statement.bind(at_us, 'Int64')}, {statement.bind(lsn, 'UInt64')}, {statement.text(name)})"
        conditions.append(f"(updated_us, lsn, toString(attribute_name)) < {place}")
    text = (
        "SELECT attribute_name, toString(value_type), value, updated_us, committed_us, lsn"
        f" FROM {statement.past()} AND {' AND '.join(conditions)}"
        f" ORDER BY updated_us DESC, lsn DESC, toString(attribute_name) DESC LIMIT {request.limit + 1}"
    )
    return [
        ValueChange(
            name,
            kind,
            None if kind == "removed" else value_json(kind, value),
            from_us(updated_us),
            from_us(committed_us),
            lsn,
        )
        for name, kind, value, updated_us, committed_us, lsn in client.query(
            text, parameters=statement.parameters
        ).result_rows
    ]


def state_read(client: Any, request: StateRead) -> list[StateValue]:
    """Return the values that held at the instant, at most limit + 1 of them. Raises ClickHouseError."""
    statement = Statement(request.tenant_id)
    at_us = to_us(request.at)
    conditions = [f"updated_us <= {statement.bind(at_us, 'Int64')}"]
    if request.entity_id is not None:
        conditions.append(f"entity_id = {statement.bind(request.entity_id, 'Int64')}")
    if request.name is not None:
        conditions.append(f"attribute_name = {statement.text(request.name)}")
    # Of several at one instant the one that was written last.
    last = (
        "SELECT entity_id, attribute_name, argMax(value_type, (updated_us, lsn)) AS kind,"
        " argMax(value, (updated_us, lsn)) AS content, max(updated_us) AS at_us"
        f" FROM {statement.past()} AND {' AND '.join(conditions)} GROUP BY entity_id, attribute_name"
    )
    shown = ["kind != 'removed'"]
    if request.stale_for_s is not None:
        last = f"SELECT *, max(at_us) OVER (PARTITION BY entity_id) AS entity_at_us FROM ({last})"
        shown.append(f"entity_at_us < {statement.bind(at_us - round(request.stale_for_s * 1_000_000), 'Int64')}")
    if request.after is not None:
        entity_id, name = request.after
        place = f"({statement.bind(entity_id, 'Int64')}, {statement.text(name)})"
        shown.append(f"(entity_id, toString(attribute_name)) > {place}")
    text = (
        "SELECT l.entity_id, e.entity_type, e.external_id, l.attribute_name, toString(l.kind), l.content, l.at_us"
        f" FROM (SELECT * FROM ({last}) WHERE {' AND '.join(shown)}"
        f" ORDER BY entity_id, toString(attribute_name) LIMIT {request.limit + 1}) AS l"
        f" LEFT JOIN (SELECT entity_id, entity_type, value AS external_id FROM {statement.rows('')}) AS e"
        " USING (entity_id)"
        " ORDER BY l.entity_id, toString(l.attribute_name)"
    )
    return [
        StateValue(entity_id, entity_type, external_id, name, kind, value_json(kind, value), from_us(updated_us))
        for entity_id, entity_type, external_id, name, kind, value, updated_us in client.query(
            text, parameters=statement.parameters
        ).result_rows
    ]
