from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from atlasco.lib import clock
from tenants.management.base import TenantsCommand
from tenants.services import tenant_create, tenant_host


class Command(TenantsCommand):
    help = "Creates a tenant: its host name, its schema and its placement. It is usable at once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "slug", metavar="SLUG", help="Short name: a-z, 0-9 and hyphens; first part of its host name."
        )
        parser.add_argument("--name", default="", help="Name for people; the slug where it is left out.")
        parser.add_argument(
            "--dedicated", action="store_true", help="Give it partitions of its own, for a large tenant."
        )

    def run(self, **options: Any) -> None:
        tenant = tenant_create(
            slug=options["slug"], name=options["name"], dedicated=options["dedicated"], now=clock.now()
        )
        host = tenant_host(slug=tenant.slug)
        self.stdout.write(f"Created tenant {tenant.slug} (id {tenant.pk}, {tenant.placement}) on {host}.")
