"""Letting go of a database that hangs: its machine takes what is sent, and no answer comes.

Neither TCP nor `statement_timeout` ends such a wait, since the one sees its bytes acknowledged and the other is kept by
the server that has stopped. So whoever watches (`freshness.monitor`) shuts this process's connections to it down; each
thread that waits for it then gets the error of a broken connection, and goes on as if the server had been killed.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from django.db.backends.signals import connection_created

log = logging.getLogger(__name__)

# A database that answered nothing for so long hangs: a moment earlier it would have cancelled the statement itself.
HUNG_S: Final = 1.25
# How often somebody looks whether one does.
GUARD_S: Final = 0.1
# A write that is under way gets more time: nobody else can do it, and whether it was done is not known afterwards.
WRITES_S: Final = 5.0
_lock = threading.Lock()
_wrappers: weakref.WeakSet[Any] = weakref.WeakSet()
# Wrappers whose transaction is a snapshot that only reads, and those on which one statement alone is a write.
_reading: set[int] = set()
_writing: set[int] = set()


class Patience:
    """How long each database has kept its look waiting, as far as this process was let run meanwhile."""

    def __init__(self, *, now: float) -> None:
        self._at = now
        self._waited: dict[str, tuple[float, float]] = {}

    def lost(self, looking: Mapping[str, float], *, now: float) -> list[str]:
        """Databases that have kept waiting for longer than HUNG_S. looking: since when each is being waited for.

        Call it every GUARD_S. After a pause of our own, what is there may be an answer that nobody has taken yet.
        """
        passed_s, self._at = min(now - self._at, 2 * GUARD_S), now
        waited = {}
        for name, began in looking.items():
            known_began, waited_s = self._waited.get(name, (began, 0.0))
            waited[name] = (began, waited_s + passed_s if known_began == began else 0.0)
        self._waited = waited
        return [name for name, (_, waited_s) in waited.items() if waited_s > HUNG_S]


def connections_remember() -> None:
    """Know every connection that this process opens from now on. Called by each `ready`, and once is enough."""
    connection_created.connect(_remember, dispatch_uid="freshness.hangs")


def _remember(connection: Any, **_: object) -> None:
    with _lock:
        _wrappers.add(connection)


@contextmanager
def reading(wrapper: Any) -> Iterator[None]:
    """What is inside only reads on this connection, so another database can do it as well."""
    _reading.add(id(wrapper))
    try:
        yield
    finally:
        _reading.discard(id(wrapper))


@contextmanager
def writing(wrapper: Any) -> Iterator[None]:
    """What is inside writes on this connection, though without a transaction, which would tell so itself."""
    _writing.add(id(wrapper))
    try:
        yield
    finally:
        _writing.discard(id(wrapper))


def connections_cut(alias: str, *, silent_s: float) -> int:
    """Shut down this process's connections to a database that has been silent for so long. Return how many.

    Those that may be writing are left alone until WRITES_S.
    """
    with _lock:
        wrappers = [wrapper for wrapper in _wrappers if wrapper.alias == alias]
    cut = 0
    for wrapper in wrappers:
        may_write = id(wrapper) in _writing or (wrapper.in_atomic_block and id(wrapper) not in _reading)
        raw = wrapper.connection
        if raw is not None and not (may_write and silent_s < WRITES_S):
            cut += connection_cut(raw)
    if cut:
        log.warning("A database hangs; connections to it were shut down.", extra={"store": alias, "connections": cut})
    return cut


def connection_cut(connection: psycopg.Connection[Any]) -> bool:
    """Shut one connection's socket down, from any thread. False where it was broken already."""
    try:
        number = connection.pgconn.socket
        copy = os.dup(number)
    except (psycopg.Error, OSError):
        return False
    try:
        held = socket.socket(fileno=copy)
    except OSError:
        # Its owner has closed it, and the number is a file's by now.
        os.close(copy)
        return False
    with held:
        try:
            # Or somebody else's socket.
            if connection.closed or connection.pgconn.socket != number:
                return False
            held.shutdown(socket.SHUT_RDWR)
        except (psycopg.Error, OSError):
            return False
    return True
