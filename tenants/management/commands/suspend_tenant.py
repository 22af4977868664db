from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from atlasco.lib import clock
from tenants.management.base import TenantsCommand
from tenants.selectors import tenant_get
from tenants.services import tenant_suspend


class Command(TenantsCommand):
    help = "Refuses a tenant's requests from now on (API 403). Its data is kept; resume_tenant lets it in again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", metavar="SLUG")

    def run(self, **options: Any) -> None:
        tenant = tenant_suspend(tenant=tenant_get(slug=options["slug"]), now=clock.now())
        self.stdout.write(f"Tenant {tenant.slug} is {tenant.status}.")
