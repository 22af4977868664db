"""Which store answers, and what it can prove.

Every read of data passes `read_source`: it settles the budget, picks the store, and notes position and lag for the
answer's headers. There is one store for now, the primary, which has applied everything that was ever committed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.db import connections

from freshness.policy import budget_settle
from freshness.state import Answer, freshness_state
from freshness.tokens import ConsistencyToken, lsn_parse, lsn_text

PRIMARY: Final = "default"


@dataclass(frozen=True, slots=True)
class ReadSource:
    """using: the database alias to read from; position: what the store had applied before the read began, as text."""

    using: str
    position: str


def read_source(*, query_class: str) -> ReadSource:
    """Settle who answers a read of this class. Call before the read: the position then is a lower bound.

    Lag 0 on the primary is exact: nothing that was committed before the read began is missing.
    """
    state = freshness_state()
    state.budget = budget_settle(wish=state.wish, query_class=query_class)
    position = primary_position()
    state.answer = Answer(source="primary", lag_s=0.0, position=position)
    return ReadSource(using=PRIMARY, position=lsn_text(position))


def primary_position() -> int:
    """Where the primary's log ends now."""
    with connections[PRIMARY].cursor() as cursor:
        cursor.execute("SELECT pg_current_wal_lsn()")
        return lsn_parse(cursor.fetchone()[0])


def write_finished(*, tenant_id: int) -> ConsistencyToken:
    """Note a write that has been committed; its token goes into the answer. Call after COMMIT, never inside.

    The log ends at or after the end of the COMMIT record by then, so whoever has applied it has applied the write.
    """
    with connections[PRIMARY].cursor() as cursor:
        if connections[PRIMARY].in_atomic_block:
            raise RuntimeError("A token taken before COMMIT would promise too much.")
        # The name of a log file starts with the timeline, in eight hexadecimal digits.
        cursor.execute("SELECT l, left(pg_walfile_name(l), 8) FROM pg_current_wal_lsn() l")
        text, timeline = cursor.fetchone()
    lsn = lsn_parse(text)
    state = freshness_state()
    state.budget = budget_settle(wish=state.wish, query_class="critical")
    state.answer = Answer(source="primary", lag_s=0.0, position=lsn)
    state.written = ConsistencyToken(timeline=int(timeline, 16), tenant_id=tenant_id, lsn=lsn)
    return state.written
