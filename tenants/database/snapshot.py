"""Several reads of one state."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import psycopg
from django.db import DatabaseError, OperationalError, connections, transaction
from psycopg.pq import TransactionStatus

T = TypeVar("T")
# A move holds its locks for some 20 ms; half a second of them means that something else is wrong.
_REPEATS: Final = 50
_REPEAT_S: Final = 0.01
_checks: list[str] = []


class SnapshotOutdated(OperationalError):
    """What was read may lack rows that moved between partitions meanwhile. Read again, in a new snapshot."""


def snapshot_check_register(statement: str) -> None:
    """Have this statement asked at the end of every snapshot; false means that what was read can't be trusted."""
    if statement not in _checks:
        _checks.append(statement)


def snapshot_repeat(read: Callable[[], T]) -> T:
    """Return what the read returns, once it was not disturbed. Raises SnapshotOutdated where it always is."""
    for _ in range(_REPEATS):
        try:
            return read()
        except SnapshotOutdated:
            time.sleep(_REPEAT_S)
    return read()


@contextmanager
def read_snapshot(using: str) -> Iterator[None]:
    """Let all reads inside see one state of the store, however long they take; writes inside are refused.

    Inside a transaction that is already open, its own state is what they see.
    Raises SnapshotOutdated at the end.
    """
    connection = connections[using]
    if connection.in_atomic_block:
        yield
        return
    # Bound first: a binding inside would be reverted with the transaction. And a connection that died since the last
    # request is replaced now, or `atomic` would do it, and the new one be bound inside.
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    connection.bind()  # type: ignore[attr-defined]  # Ours, by the settings.
    with _repeatable(connection.connection), transaction.atomic(using=using):
        try:
            yield
        except DatabaseError:
            raise
        except Exception:
            _check(using)  # "There is no such entity" is an answer, too.
            raise
        _check(using)


@contextmanager
def _repeatable(session: psycopg.Connection[Any]) -> Iterator[None]:
    """Let transactions of this session begin as snapshots: by their BEGIN, as a SET would be one more journey."""
    isolation_level, read_only = session.isolation_level, session.read_only
    session.isolation_level, session.read_only = psycopg.IsolationLevel.REPEATABLE_READ, True
    try:
        yield
    finally:
        # A session that broke meanwhile takes no more settings, and needs none.
        if session.pgconn.transaction_status == TransactionStatus.IDLE:
            session.isolation_level, session.read_only = isolation_level, read_only


def _check(using: str) -> None:
    """Ask what is to be asked at the end, and end the transaction on the same journey."""
    if not _checks:
        return
    with connections[using].cursor() as cursor:
        # Together: of several statements, psycopg shows the first one's rows first.
        cursor.execute(f"SELECT ({') AND ('.join(_checks)}); COMMIT")
        if not cursor.fetchone()[0]:
            raise SnapshotOutdated(" ".join((SnapshotOutdated.__doc__ or "").split()))
