from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from analytics.statistics import Refreshed, statistics_refresh
from atlasco.lib import clock
from tenants.binding import tenant_bind
from tenants.management.base import TenantsCommand
from tenants.selectors import tenant_get, tenant_list


class Command(TenantsCommand):
    help = (
        "Analyses the attributes that have changed: distinct values, share of entities without one, most common "
        "values. The worker does so every minute; this does it now."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", metavar="SLUG", help="Only this tenant; all where it is left out.")
        parser.add_argument("--force", action="store_true", help="All attributes, changed or not.")

    def run(self, **options: Any) -> None:
        tenants = tenant_list() if options["tenant"] is None else [tenant_get(slug=options["tenant"])]
        for tenant in tenants:
            with tenant_bind(tenant):
                refreshed = statistics_refresh(tenant_id=tenant.pk, now=clock.now(), force=options["force"])
            self.stdout.write(f"{tenant.slug}: {_text(refreshed)}")


def _text(refreshed: Refreshed) -> str:
    if not refreshed.attributes:
        return "nothing to do"
    basis = (
        f"all {refreshed.entities:,} entities"
        if refreshed.is_exact
        else f"a sample of {refreshed.documents:,} of about {refreshed.entities:,} entities"
    )
    return f"{refreshed.attributes:,} attributes analysed from {basis}"
