"""The engine's errors, with ClickHouse's own codes and names, and the HTTP status a clickhouse-server gives them."""

from __future__ import annotations

import re

_CODE = re.compile(r"Code: (\d+)")
_STATUS = {
    **dict.fromkeys((6, 26, 27, 33, 36, 38, 41, 53, 62, 69, 70, 72, 117, 130, 131, 386, 457), 400),
    **dict.fromkeys((46, 47, 50, 56, 60, 63, 73, 81, 115), 404),
    **dict.fromkeys((192, 193, 497, 516), 403),
    48: 501,
    159: 408,
    202: 503,
}


class EngineError(Exception):
    """An error as ClickHouse words it: `Code: N. DB::Exception: text. (NAME)`."""

    def __init__(self, text: str, *, code: int) -> None:
        super().__init__(text)
        self.error_code = code

    @property
    def status(self) -> int:
        return _STATUS.get(self.error_code, 500)


def engine_error(error: Exception) -> EngineError:
    """The engine's error in what chDB raised; an unknown exception becomes UNKNOWN_EXCEPTION (1002)."""
    if isinstance(error, EngineError):
        return error
    text = str(error).strip()
    if match := _CODE.search(text):
        # chDB puts words of its own before the engine's.
        return EngineError(text[match.start() :], code=int(match[1]))
    return EngineError(f"Code: 1002. DB::Exception: {text or repr(error)}. (UNKNOWN_EXCEPTION)", code=1002)


def _error(code: int, name: str, text: str) -> EngineError:
    return EngineError(f"Code: {code}. DB::Exception: {text}. ({name})", code=code)


def bad_arguments(text: str) -> EngineError:
    return _error(36, "BAD_ARGUMENTS", text)


def not_implemented(text: str) -> EngineError:
    return _error(48, "NOT_IMPLEMENTED", text)


def query_too_large(text: str) -> EngineError:
    return _error(62, "SYNTAX_ERROR", text)


def session_is_locked(session_id: str) -> EngineError:
    return _error(373, "SESSION_IS_LOCKED", f"Session {session_id} is locked by a concurrent client")


def too_many_queries() -> EngineError:
    return _error(202, "TOO_MANY_SIMULTANEOUS_QUERIES", "Too many simultaneous queries")


def authentication_failed(user: str) -> EngineError:
    text = f"{user}: Authentication failed: password is incorrect, or there is no user with such name"
    return _error(516, "AUTHENTICATION_FAILED", text)
