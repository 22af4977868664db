"""The id of the request that is being answered: in log lines, in `X-Request-Id`, and in the audit log."""

from __future__ import annotations

from contextvars import ContextVar

request_id_var: ContextVar[str] = ContextVar("request_id", default="-")
