"""Boot checks about what fills the stores."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core import checks


@checks.register(checks.Tags.compatibility)
def kafka_is_not_read(**kwargs: Any) -> list[checks.CheckMessage]:
    """Who names brokers expects changes to come by them; here they come from the primary's log."""
    if not settings.KAFKA_BOOTSTRAP_SERVERS:
        return []
    return [
        checks.Warning(
            "KAFKA_BOOTSTRAP_SERVERS is set, but this version reads no Kafka.",
            hint="Unset it: `manage.py feed` brings every change from the primary's log to the stores.",
            id="analytics.W001",
        )
    ]
