"""`manage.py rollups plan|refresh`: what the rollups would compute anew, or doing it now."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from clickhouse_connect.driver.exceptions import ClickHouseError
from django.core.management.base import CommandError, CommandParser

from analytics.clickhouse.client import clickhouse_client
from analytics.rollups.refresh import Plan, RollupsUnavailable, rollups_plan, rollups_refresh_alone
from atlasco.lib import clock
from atlasco.lib.clock import iso
from tenants.binding import tenant_bind
from tenants.management.base import TenantsCommand
from tenants.models import Tenant
from tenants.selectors import tenant_get, tenants_kept


class Command(TenantsCommand):
    help = (
        "Shows which rollups have changes that they do not reflect yet, or computes those anew. The worker does so "
        "by itself; this shows it, or does it now."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["plan", "refresh"])
        parser.add_argument("--tenant", metavar="SLUG", help="Only this tenant; all where it is left out.")
        parser.add_argument("--everything", action="store_true", help="Refresh what has not changed, too.")

    def run(self, **options: Any) -> None:
        tenants = tenants_kept() if options["tenant"] is None else [tenant_get(slug=options["tenant"])]
        try:
            with closing(clickhouse_client(timeout_s=600)) as client:
                if options["action"] == "plan":
                    self._plan(client, tenants)
                else:
                    self._refresh(client, tenants, everything=options["everything"])
        except ClickHouseError as error:
            raise CommandError(f"ClickHouse refuses: {error}") from error

    def _plan(self, client: Any, tenants: list[Tenant]) -> None:
        plans = {
            plan.tenant_id: plan
            for plan in rollups_plan(client, tenant_ids=[tenant.pk for tenant in tenants], now=clock.now())
        }
        if tenants and not plans:
            raise CommandError(RollupsUnavailable().detail)
        for tenant in tenants:
            self.stdout.write(f"{tenant.slug}: {_text(plans[tenant.pk])}")

    def _refresh(self, client: Any, tenants: list[Tenant], *, everything: bool) -> None:
        for tenant in tenants:
            with tenant_bind(tenant):
                done = rollups_refresh_alone(client, tenant=tenant, now=clock.now(), everything=everything)
            if done is None:
                self.stdout.write(f"{tenant.slug}: somebody else is at it")
            else:
                self.stdout.write(
                    f"{tenant.slug}: {done.attributes:,} attributes with {done.values:,} values, {done.hours:,} hours"
                    f" of them, in {done.spent_s:.2f} s"
                )


def _text(plan: Plan) -> str:
    beat = None if plan.state is None else plan.state.position.heartbeat
    reflects = f"; they reflect {iso(clock.from_us(beat.ts_us))}" if beat is not None else ""
    if plan.is_first:
        return f"everything, for the first time{reflects}"
    if plan.is_empty:
        return f"nothing{reflects}"
    hours = sum(plan.attributes.values())
    entities = ", and the counts of entities" if plan.entities_changed else ""
    return f"{len(plan.attributes):,} attributes, in {hours:,} hours of them{entities}{reflects}"
