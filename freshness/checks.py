"""Boot checks about freshness."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

from freshness.policy import QUERY_CLASSES
from freshness.providers import PROVIDERS


@register(Tags.compatibility)
def flavour_is_known(**kwargs: Any) -> list[CheckMessage]:
    """Positions that are asked for in the wrong words would fail every read."""
    if settings.POSTGRES_FLAVOUR in PROVIDERS:
        return []
    return [
        Error(
            f"ATLASCO_POSTGRES={settings.POSTGRES_FLAVOUR!r} is not a flavour of PostgreSQL that is known.",
            hint=f"One of {', '.join(PROVIDERS)}.",
            id="freshness.E001",
        )
    ]


@register(Tags.compatibility)
def page_class_is_known(**kwargs: Any) -> list[CheckMessage]:
    """A class that is none would fail every page."""
    if settings.PAGE_CLASS in QUERY_CLASSES:
        return []
    return [
        Error(
            f"ATLASCO_PAGE_CLASS={settings.PAGE_CLASS!r} is not a query class.",
            hint=f"One of {', '.join(QUERY_CLASSES)}.",
            id="freshness.E002",
        )
    ]
