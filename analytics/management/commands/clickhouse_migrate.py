"""`manage.py clickhouse_migrate`: bring ClickHouse's schema up to date."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from clickhouse_connect.driver.exceptions import ClickHouseError
from django.core.management.base import BaseCommand, CommandError

from analytics.clickhouse.client import clickhouse_client
from analytics.clickhouse.migrate import migrations_apply, migrations_pending


class Command(BaseCommand):
    help = "Apply the SQL files that ClickHouse has not seen yet. The change feed does the same when it connects."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="only list them; exit code 1 where there are any")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            client = clickhouse_client(timeout_s=300)
            names = migrations_pending(client) if options["check"] else migrations_apply(client)
        except ClickHouseError as error:
            raise CommandError(f"ClickHouse refuses: {error}") from error
        for name in names:
            self.stdout.write(name)
        if options["check"] and names:
            raise SystemExit(1)
        if not names:
            self.stdout.write("Nothing to do.")
