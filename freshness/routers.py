"""Where Django's ORM reads and writes.

# Note [Reads of the ORM]
Inside a scope whose `orm_class` is set (pages, and tasks or commands that enter one with it) the ORM reads from the
database that meets that class's budget, the same one for the whole scope. Whatever was settled is noted as the scope's
answer: the heartbeat is read first, on the connection that the ORM then uses, and a database never goes back, so
everything that was committed before that heartbeat is in what is read.
To the primary go: everything outside of such a scope; all reads of a request that may write or has written, and of a
transaction on the primary; who somebody is and what they may do (`IDENTITY`), as long as the primary answers.
"""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.db import connections
from django.db.models import Model

from freshness.defaults import budget_now
from freshness.monitor import PRIMARY
from freshness.policy import Budget
from freshness.reads import database_settle, primary_is_up
from freshness.state import FreshnessState, freshness_state_entered

# A session that has just been ended, or a right that has just been taken away, must not be found on a late replica.
IDENTITY: Final = frozenset(
    {
        "sessions",
        "auth",
        "members",
        "account",
        "mfa",
        "axes",
        "usersessions",
        "contenttypes",
        "tenants",
        "django_tenants",
    }
)


class FreshnessRouter:
    """Reads by the budget of the scope, writes to the primary. See Note [Reads of the ORM]."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        state = freshness_state_entered()
        if state is None or state.orm_class is None or connections[PRIMARY].in_atomic_block:
            return PRIMARY
        if state.wrote or model._meta.app_label in IDENTITY:
            is_primary = state.wrote or primary_is_up()
            return PRIMARY if is_primary else database_settle(state, budget=_budget(state, "critical"))
        return database_settle(state, budget=_budget(state, state.orm_class))

    def db_for_write(self, model: type[Model], **hints: Any) -> str | None:
        state = freshness_state_entered()
        if state is not None:
            state.wrote = True
        # Never None: Django would write an object where it was read from.
        return PRIMARY

    def allow_relation(self, first: Model, second: Model, **hints: Any) -> bool | None:
        return True  # The same rows, whichever copy they were read from.

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        # None for the primary: django-tenants' router decides there which schema a table belongs to.
        return False if db in settings.REPLICA_ALIASES else None


def _budget(state: FreshnessState, query_class: str) -> Budget:
    return budget_now(wish=state.wish, query_class=query_class)
