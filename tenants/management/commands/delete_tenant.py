from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandParser

from atlasco.lib import clock
from tenants.management.base import TenantsCommand
from tenants.selectors import tenant_get
from tenants.services import tenant_contents, tenant_delete


class Command(TenantsCommand):
    help = (
        "Removes a tenant and everything of it, from every store, for good. Without --confirm it only shows what there "
        "is. After an interruption, run it again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", metavar="SLUG")
        parser.add_argument("--confirm", metavar="SLUG", help="The slug again: do it.")
        parser.add_argument("--json", action="store_true", help="Print the report as one JSON object.")

    def run(self, **options: Any) -> None:
        tenant = tenant_get(slug=options["slug"])
        if options["confirm"] is None:
            report, headline = tenant_contents(tenant=tenant), f"{tenant.slug} holds"
        else:
            report = tenant_delete(tenant=tenant, confirm=options["confirm"], now=clock.now())
            headline = f"Deleted {tenant.slug}. Removed"
        if options["json"]:
            self.stdout.write(json.dumps(report))
            return
        self.stdout.write(f"{headline}:")
        for store, count in report.items():
            self.stdout.write(f"  {count:>10,}  {store}")
        if options["confirm"] is None:
            self.stdout.write(f"Nothing was removed. To delete it: delete_tenant {tenant.slug} --confirm {tenant.slug}")
