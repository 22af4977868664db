from django.apps import AppConfig


class NoticesConfig(AppConfig):
    name = "tenants.notices"
    verbose_name = "Notices"

    def ready(self) -> None:
        # Late, here as in every `ready`: these need the models.
        from tenants.notices import services

        services.stores_register()
