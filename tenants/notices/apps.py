from django.apps import AppConfig


class NoticesConfig(AppConfig):
    name = "tenants.notices"
    verbose_name = "Notices"

    def ready(self) -> None:
        from tenants.notices import services

        services.stores_register()
