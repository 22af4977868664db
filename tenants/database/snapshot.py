"""Several reads of one state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections, transaction


@contextmanager
def read_snapshot(using: str) -> Iterator[None]:
    """Let all reads inside see one state of the store, however long they take; writes inside are refused.

    Inside a transaction that is already open, its own state is what they see.
    """
    connection = connections[using]
    if connection.in_atomic_block:
        yield
        return
    # Bound first: PostgreSQL takes the isolation level only before a transaction's first statement.
    connection.ensure_connection()
    connection.bind()  # type: ignore[attr-defined]
    with transaction.atomic(using=using):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield
