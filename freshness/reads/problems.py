"""What a read or a write is refused with, and which errors of a database are the store's fault."""

from __future__ import annotations

from typing import Final

from django.db import InterfaceError, OperationalError

from atlasco.lib.errors import Conflict, Problem, Unavailable

CONNECTION_ERRORS: Final = (OperationalError, InterfaceError)
# Classes of SQLSTATE that are about the connection or the server, not about the statement; 40: a replica cancels a read
# that stands in the way of what it must apply.
_STORE_STATES: Final = ("08", "57", "58", "53", "40")
QUERY_CANCELED: Final = "57014"


class StaleBeyondBudget(Unavailable):
    """No store can answer as fresh as X-Freshness-Tier or X-Max-Lag-Seconds ask for."""

    code = "stale_beyond_budget"


class QueryTimeout(Unavailable):
    """The query took too long and was cancelled. Narrow it, or ask for fewer entities."""

    code = "query_timeout"


class NoStoreAnswers(Unavailable):
    """No database answers. Nothing is lost that was acknowledged; try again."""

    code = "no_store_answers"


class PositionNotReached(Unavailable):
    """No store that answers now has reached what the consistency token or the cursor names. Try again."""

    code = "position_not_reached"


class WriteLost(Conflict):
    """What the consistency token or the cursor names was lost when a replica was promoted. Read, and decide anew."""

    code = "write_lost"


class PrimaryUnavailable(Unavailable):
    """The primary does not answer. What was acknowledged is not lost; this request may or may not have been written."""

    code = "primary_unavailable"


class Demoted(OperationalError):
    """What was reached under the primary's address is a primary no longer: what it shows may be any age."""


def store_problem(error: OperationalError | InterfaceError) -> Problem | None:
    """What a write's database error is to its client; None for one that is about the statement."""
    if sqlstate(error) == QUERY_CANCELED:
        return QueryTimeout()
    return PrimaryUnavailable() if is_store_failure(error) else None


def is_store_failure(error: Exception) -> bool:
    """Whether an error is about the store or the way to it, not about the statement."""
    state = sqlstate(error)
    return state is None or state.startswith(_STORE_STATES)


def sqlstate(error: Exception) -> str | None:
    return getattr(error.__cause__, "sqlstate", None)
