from django.apps import AppConfig


class AnalyticsConfig(AppConfig):
    name = "analytics"
    verbose_name = "Analytics"

    def ready(self) -> None:
        # Late, here as in every `ready`: these need the models.
        from analytics import checks, stores  # noqa: F401  # `checks` registers itself.
        from analytics.alerts import services as alerts
        from analytics.clickhouse.reading import sources
        from analytics.rollups import reading

        stores.stores_register()
        alerts.stores_register()
        sources.clickhouse_register()
        reading.readers_register()
