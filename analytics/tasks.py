"""Celery's doors to analytics. Each task is safe to run twice."""

from __future__ import annotations

from typing import Any, Final

SCHEDULE: Final[dict[str, dict[str, Any]]] = {}
