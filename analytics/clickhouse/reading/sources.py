"""ClickHouse as a source of answers: what `freshness` knows of it, and who answers which operation from it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError
from django.conf import settings

from analytics.clickhouse.changes import position_read
from analytics.clickhouse.client import reading_client
from analytics.clickhouse.reading.aggregate import aggregate_read
from analytics.clickhouse.reading.conditions import SETS_MAX, sets_count
from analytics.clickhouse.reading.history import history_read, state_read
from analytics.clickhouse.reading.search import Read, entity_read, search_read, value_read
from analytics.feed.events import Position
from atlasco.lib.errors import Problem
from entities.history import HistoryRead, StateRead
from entities.reads import AggregateRead, EntityRead, SearchRead, ValueRead
from entities.selectors import EntityNotFound
from freshness.sources import Applied, Found, Source, reader_register, source_register

log = logging.getLogger(__name__)

SOURCE: Final = "clickhouse"
_PROBE_INTERVAL_S: Final = 0.5
# Too slow, too much memory, too many rows or bytes, too deep, too long, too large.
_STATEMENT_CODES: Final = (159, 160, 241, 307, 396, 62, 168, 223)


def clickhouse_register() -> None:
    """Let `freshness` know ClickHouse and what it can answer."""
    failures = (ClickHouseError, OSError)
    source_register(Source(SOURCE, probe, failures, interval_s=_PROBE_INTERVAL_S, address=settings.CLICKHOUSE_URL))
    reader_register("entity", SOURCE, entity_found)
    reader_register("value", SOURCE, value_found)
    reader_register("search", SOURCE, search_found)
    reader_register("aggregate", SOURCE, aggregate_found)
    reader_register("history", SOURCE, history_found)
    reader_register("state", SOURCE, state_found)


def probe() -> Applied:
    """How far ClickHouse is. Raises ClickHouseError, OSError."""
    return applied(position_read(reading_client()))


def applied(position: Position | None) -> Applied:
    """A position as `freshness` wants it."""
    if position is None or position.heartbeat is None:
        return Applied(None, None)
    return Applied(position.heartbeat.ts_us / 1e6, position.lsn, position.heartbeat.seq)


def entity_found(request: EntityRead) -> Found | None:
    return _found(entity_read(reading_client(), tenant_id=request.tenant_id, entity_id=request.entity_id))


def value_found(request: ValueRead) -> Found | None:
    return _found(
        value_read(reading_client(), tenant_id=request.tenant_id, entity_id=request.entity_id, name=request.name)
    )


def search_found(request: SearchRead) -> Found | None:
    if sets_count(request.query.where) > SETS_MAX:
        return None
    try:
        return _found(search_read(reading_client(), tenant_id=request.tenant_id, query=request.query))
    except DatabaseError as error:
        if not is_of_the_statement(error):
            raise
        return None


def aggregate_found(request: AggregateRead) -> Found | None:
    if sets_count(request.aggregate.where) > SETS_MAX:
        return None
    return _found_after(lambda client: aggregate_read(client, tenant_id=request.tenant_id, aggregate=request.aggregate))


def history_found(request: HistoryRead) -> Found | None:
    # The past is inserted before the position that speaks for it.
    return _found_after(lambda client: history_read(client, request))


def state_found(request: StateRead) -> Found | None:
    return _found_after(lambda client: state_read(client, request))


def _found_after(read: Callable[[Any], Any]) -> Found | None:
    """What is read after the position, which therefore never says too much."""
    client = reading_client()
    position = position_read(client)
    try:
        value = read(client)
    except DatabaseError as error:
        if not is_of_the_statement(error):
            raise
        return None
    return None if value is None else Found(value, applied(position))


def _found(read: Read) -> Found:
    value = EntityNotFound() if read.value is None else read.value
    if isinstance(value, Problem):
        return Found(None, applied(read.position), problem=value)
    return Found(value, applied(read.position))


def is_of_the_statement(error: DatabaseError) -> bool:
    """Whether the statement was at fault, not the store; then it is told, and another store shall answer."""
    is_ours = any(f"Code: {code}." in str(error) for code in _STATEMENT_CODES)
    if is_ours:
        log.warning("ClickHouse does not answer this one; another store shall.", extra={"error": str(error)[:500]})
    return is_ours
