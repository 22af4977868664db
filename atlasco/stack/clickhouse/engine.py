"""Handles on the one chDB engine of this process.

A handle is isolated: USE, SET and temporary tables are its own. Each USE and SET is a statement of its own to the
engine, so setting one up costs several times what a small query does. Hence a request without a session gets a handle
that is set up as it wishes already, where there is one, and leaves it to the next unless its statement could have
changed it. A session keeps its handle until nobody has used it for a while.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from atlasco.stack.clickhouse.errors import bad_arguments, session_is_locked, too_many_queries

SLOT_WAIT_S = 15.0
SPARE_HANDLES = 24
_SETTING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


# What a handle without a session is set up with: database, read-only mode, settings.
Setup: TypeAlias = tuple[str, str, tuple[tuple[str, str], ...]]


@dataclass(slots=True)
class Session:
    handle: Any
    is_busy: bool = False
    used_at: float = field(default_factory=time.monotonic)


class Engine:
    """path: the data directory; only one process may open it at a time.

    concurrency: how many statements run at once; further ones wait, then fail as a clickhouse-server's do.
    """

    def __init__(self, path: Path, *, database: str, concurrency: int, session_ttl_s: float = 120.0) -> None:
        # Not at the top: the process imports this module while it is still root.
        import chdb

        open_handle: Any = chdb.connect
        self._connect: Callable[[], Any] = lambda: open_handle(str(path.resolve()))
        self._keep = self._connect()  # The engine lives as long as one handle is open.
        # Refreshable views need Atomic, and chDB's own `default` is none.
        self._keep.query(f"CREATE DATABASE IF NOT EXISTS {quoted_name(database)} ENGINE = Atomic")
        row = self._keep.query("SELECT timezone(), version()", "TabSeparated").bytes().decode()
        self.timezone, self.version = row.rstrip("\n").split("\t")
        self._slots = threading.BoundedSemaphore(concurrency)
        self._sessions: dict[str, Session] = {}
        # The setup that was used longest ago first.
        self._spare: OrderedDict[Setup, list[Any]] = OrderedDict()
        self._lock = threading.Lock()
        self._session_ttl_s = session_ttl_s

    @contextlib.contextmanager
    def handle(
        self, *, session_id: str, database: str, settings: Mapping[str, str], readonly: str, leaves_it: bool = False
    ) -> Iterator[Any]:
        """A handle set up for one statement: its database, settings and read-only mode.

        session_id: empty for a handle without one. leaves_it: the statement changes nothing of the handle itself.
        Raises EngineError where the session is in use, no slot becomes free, or the engine refuses a setting.
        """
        if not self._slots.acquire(timeout=SLOT_WAIT_S):
            raise too_many_queries()
        try:
            # Read-only mode can't be taken back on a handle: it must never reach a session's.
            if session_id and readonly in {"", "0"}:
                with self._session(session_id, database=database, settings=settings) as handle:
                    yield handle
                return
            setup: Setup = (database, readonly, tuple(sorted(settings.items())))
            spare = self._spare_take(setup)
            handle = self._connect() if spare is None else spare
            is_kept = False
            try:
                if spare is None:
                    _set_up(handle, database=database, settings=settings)
                    if readonly:
                        handle.query(f"SET readonly = {quoted_text(readonly)}")
                yield handle
                is_kept = leaves_it
            finally:
                if is_kept:
                    self._spare_keep(setup, handle)
                else:
                    handle.close()
        finally:
            self._slots.release()

    def flush(self) -> None:
        """Write out what the engine still holds in memory."""
        for statement in ("SYSTEM FLUSH ASYNC INSERT QUEUE", "SYSTEM FLUSH LOGS"):
            with contextlib.suppress(Exception):  # A build without that queue or those logs has nothing to flush.
                self._keep.query(statement)

    def _spare_take(self, setup: Setup) -> Any:
        with self._lock:
            handles = self._spare.get(setup)
            if not handles:
                return None
            handle = handles.pop()
            if not handles:
                del self._spare[setup]
            return handle

    def _spare_keep(self, setup: Setup, handle: Any) -> None:
        dropped: list[Any] = []
        with self._lock:
            self._spare.setdefault(setup, []).append(handle)
            self._spare.move_to_end(setup)
            while sum(map(len, self._spare.values())) > SPARE_HANDLES:
                oldest, handles = next(iter(self._spare.items()))
                dropped += handles[:1]
                del handles[:1]
                if not handles:
                    del self._spare[oldest]
        for spare in dropped:
            spare.close()

    @contextlib.contextmanager
    def _session(self, session_id: str, *, database: str, settings: Mapping[str, str]) -> Iterator[Any]:
        session = self._session_take(session_id)
        applied: list[str] = []
        try:
            _set_up(session.handle, database=database, settings=settings, applied=applied)
            yield session.handle
        finally:
            self._session_give_back(session, applied)

    def _session_take(self, session_id: str) -> Session:
        with self._lock:
            now = time.monotonic()
            for name, session in list(self._sessions.items()):
                if not session.is_busy and now - session.used_at > self._session_ttl_s:
                    self._sessions.pop(name).handle.close()
            if session_id not in self._sessions:
                self._sessions[session_id] = Session(handle=self._connect())
            session = self._sessions[session_id]
            if session.is_busy:
                raise session_is_locked(session_id)
            session.is_busy = True
            return session

    def _session_give_back(self, session: Session, applied: list[str]) -> None:
        # The settings of a request are its own; those that the session SET itself stay.
        for name in applied:
            with contextlib.suppress(Exception):
                session.handle.query(f"SET {name} = DEFAULT")
        session.is_busy, session.used_at = False, time.monotonic()


def _set_up(handle: Any, *, database: str, settings: Mapping[str, str], applied: list[str] | None = None) -> None:
    """applied: gets the names of settings as they are made."""
    if database:
        handle.query(f"USE {quoted_name(database)}")
    for name, value in settings.items():
        if not _SETTING_NAME.fullmatch(name):
            raise bad_arguments(f"Bad setting name {name!r}")
        handle.query(f"SET {name} = {quoted_text(value)}")
        if applied is not None:
            applied.append(name)


def quoted_name(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def quoted_text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
