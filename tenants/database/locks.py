"""Locks that processes hold against each other while they do something that takes many transactions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connections


@contextmanager
def advisory_lock(name: str, *, wait: bool = False) -> Iterator[bool]:
    """Hold the lock of this name in the primary's session; False where somebody else has it. Not inside a transaction.

    wait: until it is free; then always True. A process that dies, or loses its connection, has let go of it.
    """
    function = "pg_advisory_lock" if wait else "pg_try_advisory_lock"
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(f"SELECT {function}(hashtextextended(%s, 0))", [name])
        is_ours = wait or bool(cursor.fetchone()[0])
        try:
            yield is_ours
        finally:
            if is_ours:
                # With the connection the lock has gone, too; and what ended the block is what must be told.
                with suppress(OperationalError, InterfaceError):
                    cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [name])
