"""`manage.py feed`: run the change feed, look at it, or have stores loaded anew."""

from __future__ import annotations

import signal
from argparse import ArgumentParser
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from analytics.clickhouse.client import clickhouse_client
from analytics.clickhouse.load import PARTS
from analytics.feed.metrics import metrics_read
from analytics.feed.repair import feed_resnapshot, tenant_resnapshot
from analytics.feed.run import Feed, garbage_collect_less
from analytics.feed.settings import appliers_configured, cache_client, replication_dsn
from analytics.feed.slots import slot_read
from atlasco.lib.errors import Problem
from freshness.heartbeat import HeartbeatWriter
from tenants.selectors import tenant_get


class Command(BaseCommand):
    help = "Bring every committed change into the hot cache and ClickHouse, until stopped."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--status", action="store_true", help="print slot and figures, and end")
        parser.add_argument(
            "--resnapshot",
            nargs="?",
            const="",
            metavar="STORE",
            help="have all stores, or one of redis-cache, clickhouse, alerts, loaded; makes a lost slot anew; ends",
        )
        parser.add_argument(
            "--tenant", metavar="SLUG", help="with --resnapshot: only this tenant, now, beside the feed"
        )
        parser.add_argument("--table", choices=PARTS, help="with --resnapshot and --tenant: only this part of it")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            dsn = replication_dsn()
            if options["status"]:
                self._status(dsn)
            elif options["resnapshot"] is not None and options["tenant"]:
                self.stdout.write(self._tenant(dsn, options))
            elif options["resnapshot"] is not None:
                self.stdout.write(feed_resnapshot(dsn=dsn, store=options["resnapshot"]))
            else:
                self._run(dsn)
        except Problem as problem:
            raise CommandError(problem.detail) from None

    def _tenant(self, dsn: str, options: dict[str, Any]) -> str:
        with cache_client() as cache:
            return tenant_resnapshot(
                dsn=dsn,
                store=options["resnapshot"],
                tenant_id=tenant_get(slug=options["tenant"]).pk,
                parts=(options["table"],) if options["table"] else PARTS,
                clickhouse=clickhouse_client(timeout_s=600),
                cache=cache,
            )

    def _run(self, dsn: str) -> None:
        feed = Feed(dsn=dsn, appliers=appliers_configured(), metrics_client=cache_client())
        heartbeat = HeartbeatWriter()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: feed.stop())
        garbage_collect_less()
        heartbeat.start()
        # Signals are handled between two bytecodes of the main thread, which must therefore not wait inside libpq.
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="feed") as pool:
            reading = pool.submit(feed.run)
            self.stdout.write("feed: started")
            while not reading.done():
                wait([reading], timeout=0.5)
        heartbeat.stop()
        # Whoever started it must learn that it did not end because it was told to.
        if (error := reading.exception()) is not None:
            raise CommandError(f"The feed ended by a fault: {type(error).__name__}: {error}") from error

    def _status(self, dsn: str) -> None:
        slot = slot_read(dsn)
        self.stdout.write(f"slot {slot.state}, {slot.retained_bytes:,} bytes of log retained {slot.detail}".rstrip())
        for name, value in sorted(metrics_read(cache_client()).items()):
            self.stdout.write(f"{name} {value:g}")
