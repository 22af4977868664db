"""Log lines: a constant sentence, then the facts of `extra` as `name=value`; tenant and request come by themselves."""

from __future__ import annotations

import logging
from typing import Final

from atlasco.lib.request_id import request_id_var

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "tenant",
    "request_id",
    "taskName",
}


class ContextFilter(logging.Filter):
    """Adds the bound tenant and the request's id to every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        # Late: logging is set up with the settings, before anything else.
        from tenants.binding import tenant_current

        tenant = tenant_current()
        record.tenant = tenant.slug if tenant is not None else "-"
        record.request_id = request_id_var.get()
        return True


class LineFormatter(logging.Formatter):
    """One line a record, facts last; a traceback follows on its own lines."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s [%(tenant)s %(request_id)s] %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        line = super().formatMessage(record)
        facts = " ".join(f"{name}={value!r}" for name, value in vars(record).items() if name not in _STANDARD)
        return f"{line} {facts}" if facts else line
