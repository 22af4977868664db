"""Where Django's ORM reads and writes."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import Model


class FreshnessRouter:
    """Reads and writes go to the primary; a replica is read only where the freshness of the answer was settled."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        return None

    def db_for_write(self, model: type[Model], **hints: Any) -> str | None:
        return None

    def allow_relation(self, first: Model, second: Model, **hints: Any) -> bool | None:
        return True  # The same rows, whichever copy they were read from.

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        # None for the primary: django-tenants' router decides there which schema a table belongs to.
        return False if db in settings.REPLICA_ALIASES else None
