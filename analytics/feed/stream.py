"""The replication protocol over psycopg's libpq: one connection that streams a logical slot.

Format of the messages: PostgreSQL documentation, "Streaming Replication Protocol".
"""

from __future__ import annotations

import select
import struct
import time
from typing import Final

import psycopg
from psycopg import pq, sql

from analytics.feed.pgoutput import POSTGRES_EPOCH_US
from atlasco.lib.databases import options_beside
from freshness.tokens import lsn_text

_FEEDBACK_S: Final = 2.0
_DATA: Final = struct.Struct(">xQQq")
_KEEPALIVE: Final = struct.Struct(">xQqB")
_FEEDBACK: Final = struct.Struct(">cQQQqB")
# Instants in UTC and ISO style, whatever the role's defaults; a walsender must not be ended by a statement timeout.
_OPTIONS: Final = "-c TimeZone=UTC -c DateStyle=ISO -c statement_timeout=0"


class StreamEnded(psycopg.OperationalError):
    """The server ended the stream, or the connection is gone. Connect again."""


def replication_connect(dsn: str, *, application_name: str) -> psycopg.Connection[tuple[object, ...]]:
    """A connection for replication commands on the DSN's database. Raises psycopg.OperationalError."""
    return psycopg.connect(
        dsn,
        autocommit=True,
        replication="database",
        connect_timeout=5,
        application_name=application_name,
        options=_OPTIONS,
        **options_beside(dsn),
    )


class ReplicationStream:
    """Streams one slot from a position on. `read` and `acknowledge` from one thread only.

    start_lsn: transactions that ended before it are not sent; the slot's own position wins where it is greater.
    Raises psycopg.Error: ObjectInUse where another process reads the slot, UndefinedObject where there is none,
    ObjectNotInPrerequisiteState where it was invalidated.
    """

    def __init__(self, dsn: str, *, slot: str, publication: str, start_lsn: int) -> None:
        self._connection = replication_connect(dsn, application_name=slot)
        self._libpq = self._connection.pgconn
        self._received = self._acknowledged = start_lsn
        self._told_at = time.monotonic()
        statement = sql.SQL(
            "START_REPLICATION SLOT {} LOGICAL {} (proto_version '1', publication_names {}, messages 'true')"
        ).format(sql.Identifier(slot), sql.SQL(lsn_text(start_lsn)), sql.Literal(publication))
        result = self._libpq.exec_(statement.as_string(self._connection).encode())
        if result.status != pq.ExecStatus.COPY_BOTH:
            # The same classes as an ordinary statement would raise.
            error = psycopg.errors.error_from_result(result)
            self.close()
            raise error
        self._libpq.nonblocking = 1

    def read(self, *, timeout_s: float, limit_bytes: int) -> list[tuple[int, bytes]]:
        """Messages as (LSN of their record, payload): as soon as some have arrived, at most limit_bytes and one more.

        Empty after timeout_s without any. Raises StreamEnded.
        """
        messages: list[tuple[int, bytes]] = []
        size = 0
        deadline = time.monotonic() + timeout_s
        while size < limit_bytes:
            try:
                length, view = self._libpq.get_copy_data(1)
            except psycopg.OperationalError as error:
                raise StreamEnded(str(error)) from error
            if length > 0:
                data = bytes(view)
                if data[0] == 0x77:  # w
                    lsn, end, _sent = _DATA.unpack_from(data)
                    self._received = max(self._received, lsn, end)
                    payload = data[_DATA.size :]
                    messages.append((lsn, payload))
                    size += len(payload)
                else:
                    _end, _sent, wants_answer = _KEEPALIVE.unpack_from(data)
                    self._tell(force=wants_answer == 1)
                continue
            if length < 0:
                raise StreamEnded(self._why())
            self._tell()
            left = deadline - time.monotonic()
            if messages or left <= 0:
                break
            # Woken now and then even on a silent connection, to tell the server that we live.
            if select.select([self._libpq.socket], [], [], min(left, _FEEDBACK_S))[0]:
                try:
                    self._libpq.consume_input()
                except psycopg.OperationalError as error:
                    raise StreamEnded(str(error)) from error
        self._tell()
        return messages

    def acknowledge(self, lsn: int) -> None:
        """Allow the server to forget the log before this position. Only what every store has committed."""
        if lsn > self._acknowledged:
            self._acknowledged = lsn
            self._tell(force=True)

    def keep_alive(self) -> None:
        """Tell the server that we live, while nothing is read: it hangs up after `wal_sender_timeout`."""
        self._tell()

    def _tell(self, *, force: bool = False) -> None:
        now = time.monotonic()
        if not force and now - self._told_at < _FEEDBACK_S:
            return
        self._told_at = now
        sent_us = int(time.time() * 1_000_000) - POSTGRES_EPOCH_US
        # Received, flushed, applied. What is flushed is what the slot may forget.
        received = max(self._received, self._acknowledged)
        message = _FEEDBACK.pack(b"r", received, self._acknowledged, self._acknowledged, sent_us, 0)
        try:
            self._libpq.put_copy_data(message)
            self._libpq.flush()
        except psycopg.OperationalError as error:
            raise StreamEnded(str(error)) from error

    def _why(self) -> str:
        result = self._libpq.get_result()
        reason = result.error_message.decode(errors="replace").strip() if result is not None else ""
        return reason or "the server ended the stream"

    def close(self) -> None:
        self._connection.close()
