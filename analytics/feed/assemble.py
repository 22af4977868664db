"""From decoded messages to batches of events. Pure."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any, Final, cast

import orjson

from analytics.feed import events
from analytics.feed.events import (
    Batch,
    Change,
    Event,
    Heartbeat,
    ReloadRequested,
    RowsArchived,
    Table,
    TableTruncated,
    TenantErased,
)
from analytics.feed.pgoutput import Begin, Commit, Decoder, LogicalMessage, RowChange, Truncate

# What takes the key out of a row, in this order, whatever the order of the table's columns.
_KEY_OF: Final[dict[str, Callable[[dict[str, Any]], tuple[Any, ...]]]] = {
    "entities": itemgetter("tenant_id", "entity_id"),
    "entity_attributes": itemgetter("tenant_id", "entity_id", "attribute_name"),
    "attribute_metadata": itemgetter("tenant_id", "attribute_name"),
}
# As `samples_tell` of the ingest writes them, after entity and attribute.
_SAMPLE_COLUMNS: Final = ("value_type", "attribute_value", "numeric_value", "instant_value", "updated_at")


# A transaction of up to so much of the log comes as a whole; stores that can then show all of it at once.
WHOLE_MAX_BYTES: Final = 8 << 20


class Assembler:
    """One connection's transactions, in commit order. A new connection starts with a new one."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._commit_lsn = 0
        self._committed_us = 0
        self._is_move = False
        # Of the transaction that has not ended yet.
        self._open: list[Event] = []
        self._open_bytes = 0
        self._open_heartbeat: Heartbeat | None = None

    def batch(self, messages: list[tuple[int, bytes]]) -> Batch:
        """The events of the transactions that end in some messages, as (LSN, payload).

        Of one that has not ended nothing comes before it has, or until it has grown too large to be kept. A batch
        without events or end says nothing new.
        """
        found: list[Event] = []
        end_lsn, heartbeat, size = 0, None, 0
        for lsn, payload in messages:
            self._open_bytes += len(payload)
            match self._decoder.decode(payload):
                case RowChange() as change:
                    if change.relation.name == events.HEARTBEAT_TABLE:
                        if change.row is not None:
                            self._open_heartbeat = Heartbeat(change.row["seq"], change.row["ts"], change.row["lsn"])
                    elif not self._is_move and change.relation.name in _KEY_OF:
                        self._add(self._open, change, lsn)
                case Begin(commit_lsn=commit_lsn, committed_us=committed_us):
                    self._commit_lsn, self._committed_us, self._is_move = commit_lsn, committed_us, False
                case Commit(end_lsn=end):
                    end_lsn = end
                    heartbeat = self._open_heartbeat or heartbeat
                    self._open_heartbeat = None
                    size += self._release(found)
                case Truncate(relations=relations):
                    self._open.extend(
                        TableTruncated(cast(Table, relation.name), lsn, self._commit_lsn)
                        for relation in relations
                        if relation.name in _KEY_OF
                    )
                case LogicalMessage(is_transactional=True) as message:
                    self._hear(self._open, message, lsn)
        if self._open_bytes > WHOLE_MAX_BYTES:
            size += self._release(found)
        return Batch(found, end_lsn, heartbeat, size)

    def _release(self, found: list[Event]) -> int:
        found.extend(self._open)
        self._open.clear()
        size, self._open_bytes = self._open_bytes, 0
        return size

    def _add(self, found: list[Event], change: RowChange, lsn: int) -> None:
        row, old_key = change.row, change.old_key
        table = cast(Table, change.relation.name)
        key_of = _KEY_OF[table]
        key = None if row is None else key_of(row)
        if old_key is not None:
            gone = key_of(old_key)
            if gone != key:
                found.append(self._change(table, old_key, gone, None, lsn))
        if row is not None and key is not None:
            found.append(Change(table, row["tenant_id"], key, row, lsn, self._commit_lsn, self._committed_us))

    def _change(
        self, table: Table, known: dict[str, Any], key: tuple[Any, ...], row: dict[str, Any] | None, lsn: int
    ) -> Change:
        return Change(table, known["tenant_id"], key, row, lsn, self._commit_lsn, self._committed_us)

    def _hear(self, found: list[Event], message: LogicalMessage, lsn: int) -> None:
        match message.prefix:
            case events.PREFIX_ROWS_MOVED:
                self._is_move = True
            case events.PREFIX_TENANT_ERASED:
                found.append(TenantErased(int(orjson.loads(message.content)["tenant_id"]), self._commit_lsn))
            case events.PREFIX_ROWS_ARCHIVED:
                found.append(RowsArchived(int(orjson.loads(message.content)["tenant_id"]), self._commit_lsn))
            case events.PREFIX_SAMPLES:
                content = orjson.loads(message.content)
                tenant_id = int(content["tenant_id"])
                # A message is known by the end of its record, unlike a row. A sample takes more than one byte of it, so
                # each has an LSN of its own before the next record's.
                first_lsn = lsn - len(message.content)
                for place, (entity_id, name, *value) in enumerate(content["samples"]):
                    row = dict(zip(_SAMPLE_COLUMNS, value, strict=True))
                    row["created_at"] = row["updated_at"]
                    key = (tenant_id, entity_id, name)
                    found.append(
                        self._change("entity_attributes", {"tenant_id": tenant_id}, key, row, first_lsn + place)
                    )
            case events.PREFIX_RELOAD:
                found.append(ReloadRequested(str(orjson.loads(message.content)["store"]), self._commit_lsn))
