from __future__ import annotations

from django.apps import AppConfig


class TenantsConfig(AppConfig):
    name = "tenants"

    def ready(self) -> None:
        # Late, here as in every `ready`: these need the models.
        from tenants import checks, contenttypes  # noqa: F401  # `checks` registers itself.
        from tenants.accounts import receivers  # noqa: F401  # So do these.

        contenttypes.cache_per_schema()
