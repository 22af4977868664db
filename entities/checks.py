"""Boot checks about the data plane."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register


@register(Tags.compatibility)
def index_autopilot_is_known(**kwargs: Any) -> list[CheckMessage]:
    """A word that nobody knows would quietly mean no autopilot."""
    if settings.INDEX_AUTOPILOT in {"propose", "auto"}:
        return []
    return [
        Error(
            f"ATLASCO_INDEX_AUTOPILOT is {settings.INDEX_AUTOPILOT!r}, which means nothing.",
            hint="Set it to propose or auto.",
            id="entities.E001",
        )
    ]
