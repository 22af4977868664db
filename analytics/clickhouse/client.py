"""Connections to ClickHouse, and values as its TabSeparated format wants them."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import clickhouse_connect
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError
from django.conf import settings

_UNKNOWN_TABLE: Final = 60
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def clickhouse_client(url: str = "", *, timeout_s: int = 30, reads_for_ms: int | None = None) -> Any:
    """A client of CLICKHOUSE_URL, or of another address. Raises ClickHouseError where nobody answers.

    reads_for_ms: for a client that answers requests, how long a statement of it may take; 0 for ever.
    """
    # Or doubles in text lose their last digit.
    settings_of_client: dict[str, Any] = {"precise_float_parsing": 1}
    if reads_for_ms is not None:
        settings_of_client |= {
            "max_execution_time": reads_for_ms / 1000,
            # All that a statement names of a table is one state of it, see Note [One state a statement].
            "enable_shared_storage_snapshot_in_query": 1,
        }
    return clickhouse_connect.get_client(
        dsn=url or settings.CLICKHOUSE_URL,
        connect_timeout=2,
        send_receive_timeout=timeout_s,
        # Sessions forbid two statements at a time, and we need none.
        autogenerate_session_id=False,
        # A query of a thousand values does not fit into an address.
        form_encode_query_params=True,
        settings=settings_of_client,
    )


def reading_client(*, timeout_s: int | None = None) -> Any:
    """The client of all that answers requests in this process: its statements are limited as the database's are.

    timeout_s: of one that gives up sooner. Raises ClickHouseError where nobody answers.
    """
    limit_ms: int = settings.STATEMENT_TIMEOUT_MS
    return _shared(settings.CLICKHOUSE_URL, limit_ms // 1000 + 5 if timeout_s is None else timeout_s, limit_ms)


def work_client() -> Any:
    """The client of what takes its time, in a worker or a command. Raises ClickHouseError where nobody answers."""
    return _shared(settings.CLICKHOUSE_URL, 600, None)


@cache
def _shared(url: str, timeout_s: int, reads_for_ms: int | None) -> Any:
    # Making one costs several requests; one serves all threads.
    return clickhouse_client(url, timeout_s=timeout_s, reads_for_ms=reads_for_ms)


def is_unknown_table(error: ClickHouseError) -> bool:
    """Whether the schema has not been made yet."""
    return isinstance(error, DatabaseError) and f"Code: {_UNKNOWN_TABLE}." in str(error)


def text_escape(text: str) -> str:
    """A string as a field of TabSeparated."""
    # Nearly no value has anything to escape.
    if "\\" in text or "\t" in text or "\n" in text or "\r" in text:
        return text.translate(_ESCAPES)
    return text
