from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from tenants.management.base import TenantsCommand
from tenants.selectors import tenant_domain, tenant_get
from tenants.services import tenant_rename


class Command(TenantsCommand):
    help = "Changes a tenant's slug, its name, or both. Its host follows the slug; tokens and data stay as they are."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", metavar="SLUG", help="The slug it has now.")
        parser.add_argument("--slug", metavar="NEW", dest="new_slug", help="The slug it gets.")
        parser.add_argument("--name", help="The name it gets.")

    def run(self, **options: Any) -> None:
        if options["new_slug"] is None and options["name"] is None:
            raise CommandError("Say what changes: --slug NEW, --name N, or both.")
        tenant = tenant_rename(tenant=tenant_get(slug=options["slug"]), slug=options["new_slug"], name=options["name"])
        self.stdout.write(f"Tenant {tenant.slug} ({tenant.name}) answers on {tenant_domain(tenant=tenant)}.")
