from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.core.management.base import CommandParser
from django.db import transaction

from atlasco.lib import clock
from tenants.binding import public_bind
from tenants.database.owner import owner_connection
from tenants.management.base import TenantsCommand
from tenants.schemas import SQL

BATCH: Final = 10_000


class Command(TenantsCommand):
    help = (
        "Removes entries of the audit log that are older than so many days, of the platform and of every tenant. "
        "Connects as the tables' owner: the application itself can't remove any. Without --apply it only shows them."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--keep-days", metavar="D", type=int, required=True, help="Days that are kept, at least 1.")
        parser.add_argument("--apply", action="store_true", help="Do it.")

    def run(self, **options: Any) -> None:
        before = clock.now() - timedelta(days=max(1, options["keep_days"]))
        removed = 0
        with owner_connection() as connection, public_bind():
            with connection.cursor() as cursor:
                cursor.execute(SQL["audit_prune_plan"], {"before": before})
                for month, entries in cursor.fetchall():
                    self.stdout.write(f"  {month:%Y-%m}  {entries:>12,}")
            while options["apply"]:
                with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
                    cursor.execute(SQL["audit_prune"], {"before": before, "batch": BATCH})
                    removed += cursor.rowcount
                    if cursor.rowcount < BATCH:
                        break
        day = before.strftime("%Y-%m-%d")
        self.stdout.write(
            f"Removed {removed:,} entries from before {day}."
            if options["apply"]
            else f"Nothing was removed. To remove what is from before {day}, add --apply."
        )
