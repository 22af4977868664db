from __future__ import annotations

from django.apps import AppConfig


class TenantsConfig(AppConfig):
    name = "tenants"

    def ready(self) -> None:
        from tenants import checks, contenttypes  # noqa: F401  # `checks` registers itself.

        contenttypes.cache_per_schema()
