"""Django's content type cache, kept apart per schema.

The same model has different content type ids in `public` and in tenant schemas, and the cache is one per process.
django-tenants clears it at each switch, which two threads that serve two schemas undo for each other.
"""

from __future__ import annotations

from typing import Any

from django.contrib.contenttypes.models import ContentType

from tenants.binding import binding_current

SCHEMAS_MAX = 256  # About 60 entries each; beyond that, starting over is cheaper than the memory.


class _CachePerSchema(dict[Any, Any]):
    """Looks like the dict {alias: {key: ContentType}} that ContentTypeManager works with."""

    def __getitem__(self, alias: Any) -> Any:
        return super().__getitem__((binding_current().schema_name, alias))

    def setdefault(self, alias: Any, default: Any = None) -> Any:
        if len(self) >= SCHEMAS_MAX:
            self.clear()
        return super().setdefault((binding_current().schema_name, alias), default)


def cache_per_schema() -> None:
    """Give the manager, and the copies Django makes of it, the cache that knows schemas."""
    cache = _CachePerSchema()
    for manager in (*ContentType._meta.local_managers, *ContentType._meta.managers):
        manager._cache = cache  # type: ignore[attr-defined]  # noqa: SLF001  # Django offers no other door to it.
