"""Handles on the one chDB engine of this process.

A handle costs less than a millisecond and is isolated: USE, SET and temporary tables are its own. A request without
a session gets a fresh one; a session keeps its handle until nobody has used it for a while.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atlasco.stack.clickhouse.errors import bad_arguments, session_is_locked, too_many_queries

SLOT_WAIT_S = 15.0
_SETTING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


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
        self._lock = threading.Lock()
        self._session_ttl_s = session_ttl_s

    @contextlib.contextmanager
    def handle(self, *, session_id: str, database: str, settings: Mapping[str, str], readonly: str) -> Iterator[Any]:
        """A handle set up for one statement: its database, settings and read-only mode.

        session_id: empty for a handle of its own. Raises EngineError where the session is in use, no slot becomes
        free, or the engine refuses a setting.
        """
        if not self._slots.acquire(timeout=SLOT_WAIT_S):
            raise too_many_queries()
        try:
            # Read-only mode can't be taken back on a handle: it must never reach a session's.
            session = self._session_take(session_id) if session_id and readonly in {"", "0"} else None
            handle = self._connect() if session is None else session.handle
            applied: list[str] = []
            try:
                if database:
                    handle.query(f"USE {quoted_name(database)}")
                for name, value in settings.items():
                    if not _SETTING_NAME.fullmatch(name):
                        raise bad_arguments(f"Bad setting name {name!r}")
                    handle.query(f"SET {name} = {quoted_text(value)}")
                    applied.append(name)
                if readonly:
                    handle.query(f"SET readonly = {quoted_text(readonly)}")
                yield handle
            finally:
                if session is None:
                    handle.close()
                else:
                    self._session_give_back(session, applied)
        finally:
            self._slots.release()

    def flush(self) -> None:
        """Write out what the engine still holds in memory."""
        for statement in ("SYSTEM FLUSH ASYNC INSERT QUEUE", "SYSTEM FLUSH LOGS"):
            with contextlib.suppress(Exception):  # A build without that queue or those logs has nothing to flush.
                self._keep.query(statement)

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


def quoted_name(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def quoted_text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
