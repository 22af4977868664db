"""Django's PostgreSQL backend, bound to the tenant of the context. ENGINE "tenants.database".

# Note [Binding a connection]
`search_path` and `atlasco.tenant_id` are set together, in one round trip, when the connection's state differs from what
the context wants. The state is forgotten wherever PostgreSQL may have reverted it: a rollback, a rollback to a
savepoint, a new connection. django-tenants differs in three ways that leak rows between tenants, so this backend
replaces its handling and keeps its interface:
- it binds only the alias `default`; a read on a replica then runs in the wrong schema;
- it binds when a cursor is made; a cursor kept across a rollback or across two tenants then runs in the wrong one;
- it swallows an error of the binding statement and runs the query with the previous tenant still bound.

The binding statement is sent beside Django's cursor, so query counts of a page do not depend on who came before it.
Transactions must be ended through Django: a ROLLBACK sent as text, or psycopg's own `connection.transaction()`, is
not seen here. A pooler in between must pool sessions, not transactions, because the binding is a session's.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import InterfaceError, OperationalError, ProgrammingError
from django.db.backends import utils
from django.db.backends.postgresql.base import CursorDebugWrapper as PostgresCursorDebugWrapper
from django_tenants.postgresql_backend import base
from psycopg.pq import TransactionStatus

from tenants.binding import Binding, binding_current, binding_replace

_BIND = "select set_config('search_path', %s, false), set_config('atlasco.tenant_id', %s, false)"


def _has_input(socket: int) -> bool:
    """Whether there is something to read on it now, its end among it."""
    # Not select(): a process with more than 1,024 open files would fail.
    look = select.poll()
    look.register(socket, select.POLLIN)
    return bool(look.poll(0))


_silence: Callable[[str], bool] | None = None


def silence_register(is_silent: Callable[[str], bool]) -> None:
    """Say who knows, by its alias, that a database takes connections and answers nothing."""
    global _silence  # noqa: PLW0603  # One hook, set once.
    _silence = is_silent


class DatabaseSilent(OperationalError):
    """This database takes connections and answers nothing; nobody shall wait for it until it does."""


class BindingChanged(ProgrammingError):
    """A server-side cursor opened for one tenant is read while another is bound: its next rows would be wrong."""


class _BoundCursor:
    """Binds the connection before each statement, and guards what a server-side cursor still has to fetch."""

    db: DatabaseWrapper
    cursor: Any
    _opened_for: Binding | None = None

    def _bind(self) -> None:
        self.db.bind()
        if isinstance(self.cursor, psycopg.ServerCursor):
            self._opened_for = binding_current()

    def _check_reader(self) -> None:
        # The policy's current_setting() is evaluated row by row while a server-side cursor is read.
        if self._opened_for is not None and self._opened_for != binding_current():
            raise BindingChanged(" ".join((BindingChanged.__doc__ or "").split()))

    def _execute(self, sql: Any, params: Any, *ignored: Any) -> Any:
        self._bind()
        return super()._execute(sql, params, *ignored)  # type: ignore[misc]  # A mixin's next class.

    def _executemany(self, sql: Any, param_list: Any, *ignored: Any) -> Any:
        self._bind()
        return super()._executemany(sql, param_list, *ignored)  # type: ignore[misc]  # A mixin's next class.

    def callproc(self, *args: Any, **kwargs: Any) -> Any:
        self._bind()
        return super().callproc(*args, **kwargs)  # type: ignore[misc]  # A mixin's next class.

    @contextmanager
    def copy(self, statement: Any, params: Any = None, **kwargs: Any) -> Iterator[Any]:
        self._bind()
        # Around the block too: most of a COPY's errors come while its rows are read or written.
        with self.db.wrap_database_errors, self.cursor.copy(statement, params, **kwargs) as copy:
            yield copy

    def stream(self, query: Any, params: Any = None, **kwargs: Any) -> Iterator[Any]:
        self._bind()
        with self.db.wrap_database_errors:
            yield from self.cursor.stream(query, params, **kwargs)

    def fetchone(self) -> Any:
        self._check_reader()
        with self.db.wrap_database_errors:
            return self.cursor.fetchone()

    def fetchmany(self, *args: Any, **kwargs: Any) -> Any:
        self._check_reader()
        with self.db.wrap_database_errors:
            return self.cursor.fetchmany(*args, **kwargs)

    def fetchall(self) -> Any:
        self._check_reader()
        with self.db.wrap_database_errors:
            return self.cursor.fetchall()

    def __iter__(self) -> Iterator[Any]:
        with self.db.wrap_database_errors:
            for row in self.cursor:
                self._check_reader()
                yield row


class BoundCursor(_BoundCursor, utils.CursorWrapper):
    """Every cursor of a serving process."""


class BoundDebugCursor(_BoundCursor, PostgresCursorDebugWrapper):
    """The same, remembering its statements."""

    @contextmanager
    def copy(self, statement: Any, params: Any = None, **kwargs: Any) -> Iterator[Any]:
        with self.debug_sql(statement), super().copy(statement, params, **kwargs) as copy:
            yield copy


class DatabaseWrapper(base.DatabaseWrapper):  # type: ignore[misc]  # django-tenants carries no types
    """One connection that follows the context's tenant. See Note [Binding a connection]."""

    _bound: Binding | None = None
    _constructed = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._constructed = True

    def bind(self) -> None:
        """Set the session to what the context wants, if it is not so already.

        Raises the database's error when that fails; the next statement then tries again.
        """
        wanted = binding_current()
        if wanted == self._bound:
            return
        self._bound = None
        if self.connection is None:
            raise InterfaceError("The connection of this cursor was closed.")
        if self.connection.pgconn.transaction_status == TransactionStatus.INERROR:
            return  # Only a rollback can succeed now, and it makes us bind again.
        with self.wrap_database_errors, self.connection.cursor() as cursor:
            cursor.execute(_BIND, (wanted.search_path, wanted.tenant_id))
        self._bound = wanted

    def is_usable(self) -> bool:
        """Whether the server has said nothing since the last answer: it would, before it ends a connection.

        Asked before a connection's first statement in each request, so it must not cost a round trip. A server that
        vanished without a word says nothing to a `SELECT 1` either.
        """
        if self.connection is None or self.connection.closed:
            return False
        if not _has_input(self.connection.pgconn.socket):
            return True
        return bool(super().is_usable())

    def make_cursor(self, cursor: Any) -> BoundCursor:
        return BoundCursor(cursor, self)

    def make_debug_cursor(self, cursor: Any) -> BoundDebugCursor:
        return BoundDebugCursor(cursor, self)

    def _handle_search_path(self, cursor: Any = None) -> None:
        self.bind()  # django-tenants calls this for each new cursor, named ones too.

    # Wherever PostgreSQL may have reverted what we set: forget it, after the fact and even when the call failed.

    def connect(self) -> None:
        self._bound = None
        # Every thread would wait for its own connection otherwise, those with reads for other databases among them.
        if _silence is not None and _silence(self.alias):
            raise DatabaseSilent(" ".join((DatabaseSilent.__doc__ or "").split()))
        super().connect()

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._bound = None

    def rollback(self) -> None:
        try:
            super().rollback()
        finally:
            self._bound = None

    def savepoint_rollback(self, sid: Any) -> None:
        try:
            super().savepoint_rollback(sid)
        finally:
            self._bound = None

    # django-tenants' interface, answered from the context, so that whichever door is used, one truth is changed.

    def set_tenant(self, tenant: Any, include_public: bool = True) -> None:
        if not self._constructed:
            return  # A thread's first look at a replica constructs a wrapper: that must not unbind the tenant.
        is_tenant = getattr(tenant, "pk", None) is not None
        binding_replace(tenant.schema_name, tenant=tenant if is_tenant else None, include_public=include_public)

    @property
    def tenant(self) -> Any:
        bound = binding_current()
        return bound.tenant or base.FakeTenant(schema_name=bound.schema_name)

    @tenant.setter
    def tenant(self, value: None) -> None:
        """Assigned once, by django-tenants' constructor."""

    @property
    def schema_name(self) -> str:
        return binding_current().schema_name

    @schema_name.setter
    def schema_name(self, value: None) -> None:
        """Assigned once, by django-tenants' constructor."""
