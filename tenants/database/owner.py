"""Connecting as the tables' owner. Only migrations do; a serving process never has these credentials."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections

from atlasco.lib import env
from atlasco.lib.databases import database_parse
from tenants.database.base import DatabaseWrapper


def owner_url() -> str:
    """DATABASE_OWNER_URL from the environment, else from `owner.env` in the run directory; empty where neither has it.

    The file is read here and not into the environment: child processes must not inherit the owner's password.
    """
    if settings.DATABASE_OWNER_URL:
        return str(settings.DATABASE_OWNER_URL)
    if not settings.RUN_DIR_IS_OURS:
        return ""  # DATABASE_URL names another primary than the stack that left the file.
    return env.file_values(settings.RUN_DIR / "owner.env").get("DATABASE_OWNER_URL", "")


@contextmanager
def owner_connection() -> Iterator[DatabaseWrapper]:
    """Make `default` a connection of the owner, in this thread, for what is inside.

    Without an owner's URL the connection stays what it is: fine where DATABASE_URL itself may migrate.
    No statement timeout: building an index on a large table takes as long as it takes.
    """
    url = owner_url()
    before = connections[DEFAULT_DB_ALIAS]
    if not url:
        yield before  # type: ignore[misc]  # The settings say that it is ours.
        return
    parsed = database_parse(url, engine="tenants.database")
    database = {
        **before.settings_dict,
        **{key: parsed.get(key, "") for key in ("NAME", "USER", "PASSWORD", "HOST", "PORT")},
        "OPTIONS": {
            **parsed.get("OPTIONS", {}),
            "connect_timeout": 5,
            "options": "-c statement_timeout=0",
            "application_name": "atlasco-migrate",
        },
    }
    owner = DatabaseWrapper(database, alias=DEFAULT_DB_ALIAS)
    connections[DEFAULT_DB_ALIAS] = owner
    try:
        yield owner
    finally:
        connections[DEFAULT_DB_ALIAS] = before
        owner.close()
