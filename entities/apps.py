from django.apps import AppConfig


class EntitiesConfig(AppConfig):
    name = "entities"
    verbose_name = "Entities"

    def ready(self) -> None:
        from entities import cache, checks, overview, stores  # noqa: F401  # `checks` registers itself.
        from entities.selectors import tenant_amounts
        from tenants.database.snapshot import snapshot_check_register
        from tenants.quotas import usage_register

        stores.stores_register()
        cache.cache_register()
        overview.overview_register()
        usage_register(tenant_amounts)
        # Note [A move and its readers] in sql/0008_partitions.sql.
        snapshot_check_register("SELECT public.snapshot_is_whole()")
