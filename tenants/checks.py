"""Boot checks about tenancy.

`atlasco.serving` runs those that matter before the first request; `manage.py check --database default` runs those that
ask the database on demand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as CheckWarning
from django.db import connections

from tenants.binding import public_bind
from tenants.schemas import SQL


@register(Tags.compatibility)
def apps_in_order(**kwargs: Any) -> list[CheckMessage]:
    """Of two commands with one name Django runs the earlier app's: ours must win."""
    order = list(settings.INSTALLED_APPS)
    if order.index("tenants") < order.index("django_tenants"):
        return []
    return [
        Error(
            "`tenants` must stand before `django_tenants` in INSTALLED_APPS.",
            hint="Otherwise django-tenants' own `migrate`, `create_tenant` and `delete_tenant` run instead of ours.",
            id="tenants.E001",
        )
    ]


@register(Tags.database)
def engines_bind_tenants(**kwargs: Any) -> list[CheckMessage]:
    """A connection that doesn't follow the bound tenant would show one tenant's schema to another."""
    return [
        Error(
            f"The database {alias} must use the engine tenants.database.",
            hint="Any other engine does not follow the bound tenant.",
            id="tenants.E002",
        )
        for alias, database in settings.DATABASES.items()
        if database["ENGINE"] != "tenants.database"
    ]


@register(Tags.database)
def roles_are_harmless(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """The role of a serving process must be subject to row-level security: no superuser, no bypass, no owner."""
    found: list[CheckMessage] = []
    for alias in databases or ():
        with public_bind(), connections[alias].cursor() as cursor:
            cursor.execute(SQL["role_facts"])
            role, is_superuser, bypasses, owns = cursor.fetchone()
        hint = "DATABASE_URL and REPLICA_URLS must name the role atlasco_app; the owner goes into DATABASE_OWNER_URL."
        if is_superuser or bypasses:
            what = "is a superuser" if is_superuser else "bypasses row-level security"
            found.append(Error(f"The role {role} of the database {alias} {what}.", hint=hint, id="tenants.E003"))
        elif owns:
            found.append(
                Error(f"The role {role} of the database {alias} owns tables in public.", hint=hint, id="tenants.E004")
            )
    return found


@register(Tags.security, deploy=True)
def secret_key_is_set(**kwargs: Any) -> list[CheckMessage]:
    """A key made up at start differs between processes: sessions, cursors and consistency tokens break."""
    if not settings.SECRET_KEY_IS_GENERATED:
        return []
    return [
        CheckWarning(
            "ATLASCO_SECRET_KEY is not set; this process made one up.",
            hint="Set the same random text of 50 or more characters for every process.",
            id="tenants.W001",
        )
    ]
