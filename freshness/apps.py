from django.apps import AppConfig


class FreshnessConfig(AppConfig):
    name = "freshness"
    verbose_name = "Freshness"

    def ready(self) -> None:
        # Late, here as in every `ready`: these need the models.
        from freshness import checks  # noqa: F401  # It registers itself.
        from freshness.hangs import connections_remember
        from freshness.monitor import monitor
        from tenants.database.base import silence_register

        connections_remember()
        silence_register(lambda alias: monitor().is_silent(alias))
