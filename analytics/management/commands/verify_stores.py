"""`manage.py verify_stores`: compare hot cache and ClickHouse with the primary, tenant by tenant; repair on request."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

import orjson
import psycopg
import redis
from clickhouse_connect.driver.exceptions import ClickHouseError
from django.core.management.base import BaseCommand, CommandError

from analytics.clickhouse.client import clickhouse_client
from analytics.feed.settings import cache_client, replication_dsn
from analytics.feed.slots import snapshot_export
from analytics.feed.verify import Verified, stores_verify
from atlasco.lib.errors import Problem
from tenants.selectors import tenant_get


class Command(BaseCommand):
    help = "Compare what the change feed filled with the primary. Exit code 1 where something differs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", metavar="SLUG", help="this tenant only")
        parser.add_argument("--repair", action="store_true", help="load what differs anew")
        parser.add_argument("--wait-s", type=float, default=60.0, help="how long stores may take to catch up")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["tenant"]:
                tenant_get(slug=options["tenant"])
            with snapshot_export(replication_dsn()) as snapshot, cache_client() as cache:
                verified = stores_verify(
                    snapshot=snapshot,
                    clickhouse=clickhouse_client(timeout_s=600),
                    cache=cache,
                    tenant=options["tenant"],
                    repair=options["repair"],
                    wait_s=options["wait_s"],
                )
        except Problem as problem:
            raise CommandError(f"{problem.detail} {problem.extra or ''}".strip()) from None
        except (psycopg.Error, redis.RedisError, ClickHouseError) as error:
            raise CommandError(f"A store does not answer: {str(error).strip()}") from error
        if options["json"]:
            self.stdout.write(orjson.dumps(asdict(verified)).decode())
        else:
            self._show(verified, repaired=options["repair"])
        if verified.differences and not options["repair"]:
            raise SystemExit(1)

    def _show(self, verified: Verified, *, repaired: bool) -> None:
        for found in verified.differences:
            keys = f" such as {', '.join(found.examples)}" if found.examples else ""
            self.stdout.write(f"{found.tenant}: {found.store}: {found.count} {found.kind}{keys}")
        outcome = "equal" if not verified.differences else "repaired" if repaired else "different"
        self.stdout.write(
            f"{verified.tenants} tenants, {verified.rows:,} rows and {verified.cached:,} cached entries compared,"
            f" {verified.moved:,} changed meanwhile: {outcome}"
        )
