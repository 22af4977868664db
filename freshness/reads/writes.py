"""After a write: how far the log is, and the token that says so."""

from __future__ import annotations

from django.db import connections

from freshness import hangs
from freshness.monitor import PRIMARY
from freshness.own_writes import own_writes
from freshness.policy import budget_settle
from freshness.providers import provider
from freshness.state import Answer, freshness_state
from freshness.timelines import Position
from freshness.tokens import ConsistencyToken, lsn_parse


def primary_position() -> Position:
    """Where the primary's log ends: everything that has been committed lies before it."""
    asked = provider()
    with connections[PRIMARY].cursor() as cursor:
        cursor.execute(f"SELECT ({asked.written})::text, {asked.timeline}")
        text, timeline = cursor.fetchone()
    return Position(timeline, lsn_parse(text))


def write_finished(*, tenant_id: int) -> ConsistencyToken:
    """Note a write that has been committed; its token goes into the answer. Call after COMMIT, never inside.

    The log ends at or after the end of the COMMIT record by then, so whoever has applied it has applied the write.
    """
    if connections[PRIMARY].in_atomic_block:
        raise RuntimeError("A token taken before COMMIT would promise too much.")
    # What was written is to be told of, whatever becomes of the primary in this moment.
    with hangs.writing(connections[PRIMARY]):
        timeline, lsn = primary_position()
    state = freshness_state()
    state.budget = budget_settle(wish=state.wish, query_class="critical")
    state.answer = Answer(source="primary", lag_s=0.0, position=lsn, store="primary")
    state.written = ConsistencyToken(timeline=timeline, tenant_id=tenant_id, lsn=lsn)
    own_writes.note((tenant_id, state.asker), Position(timeline, lsn))
    return state.written
