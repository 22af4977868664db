from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from atlasco.lib import clock
from atlasco.lib.words import size_text
from entities.models import PartitionPromotion
from entities.partitions.archive import archive_restore, archive_run, archives_all, archives_of
from entities.partitions.plan import Action
from entities.partitions.promotion import promotion_estimate, promotion_run
from entities.partitions.services import partitions_apply, partitions_plan
from tenants.management.base import TenantsCommand
from tenants.selectors import tenant_get, tenants_kept


class Command(TenantsCommand):
    help = (
        "The partition tree of the data plane. `plan` shows what is to be done, `apply` does what needs nobody's "
        "decision (the worker does the same), `promote` moves a large tenant to partitions of its own while it is "
        "read and written, `archive` detaches a cold month to Parquet files or brings it back. Each is safe to "
        "interrupt and to run again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="plan|apply|promote|archive")
        actions.add_parser("plan", help="Show what is to be done, and do nothing.")
        actions.add_parser("apply", help="Make the months ahead; drop tables of tenants that are gone.")
        promote = actions.add_parser("promote", help="Give a tenant partitions of its own, online.")
        promote.add_argument("slug", metavar="SLUG")
        archive = actions.add_parser("archive", help="Detach a cold month to Parquet files, or bring it back.")
        archive.add_argument(
            "slug", metavar="SLUG", nargs="?", help="A tenant that has partitions of its own; without it, list all."
        )
        archive.add_argument("--leaf", metavar="MONTH", help="YYYYMM, YYYYMM_N or old; without it, list archives.")
        archive.add_argument("--restore", action="store_true", help="Bring the month back, exactly.")
        promote.add_argument("--dry-run", action="store_true", help="Say what would move, and do nothing.")

    def run(self, **options: Any) -> None:
        match options["action"]:
            case "plan":
                self._plan(partitions_plan(now=clock.now()))
            case "apply":
                done = partitions_apply(now=clock.now())
                for action in done:
                    self.stdout.write(f"done     {action.subject}: {action.detail}")
                if not done:
                    self.stdout.write("Nothing to do.")
            case "promote":
                self._promote(options["slug"], dry_run=options["dry_run"])
            case "archive":
                self._archive(options["slug"], options["leaf"], restore=options["restore"])

    def _plan(self, actions: list[Action]) -> None:
        for action in actions:
            how = "apply" if action.automatic else f"{action.kind} {action.subject}"
            self.stdout.write(f"{action.kind:8} {action.subject}: {action.detail}   → manage.py partitions {how}")
        if not actions:
            self.stdout.write("Nothing to do: months are ahead, and no tenant is too large for its shared leaf.")

    def _archives(self, slug: str | None) -> None:
        """Show what is archived and what is old enough for it, of one tenant or of all."""
        tenants = tenants_kept() if slug is None else [tenant_get(slug=slug)]
        named = {tenant.pk: tenant.slug for tenant in tenants}
        archives = archives_all() if slug is None else archives_of(tenant=tenants[0])
        due = [
            action
            for action in partitions_plan(now=clock.now())
            if action.kind == "archive" and action.tenant_id in named
        ]
        for archive in archives:
            owner = named.get(archive.tenant_id, f"(tenant {archive.tenant_id}, which is being deleted)")
            self.stdout.write(
                f"archived {owner} {archive.leaf}: {archive.entities:,} entities, "
                f"{archive.attribute_values:,} values, {size_text(archive.bytes)} in {archive.path}"
            )
        for action in due:
            self.stdout.write(
                f"due      {action.subject} {action.detail}"
                f"   → manage.py partitions archive {action.subject} --leaf {action.month}"
            )
        if not archives:
            self.stdout.write(f"Nothing{'' if slug is None else f' of {slug}'} is archived.")
        if not due:
            self.stdout.write("No month is old enough for it; `SLUG --leaf MONTH` archives one all the same.")

    def _archive(self, slug: str | None, leaf: str | None, *, restore: bool) -> None:
        if leaf is None and not restore:
            self._archives(slug)
            return
        if slug is None or leaf is None:
            raise CommandError(
                "Which month of which tenant? manage.py partitions archive SLUG --leaf MONTH [--restore]"
            )
        tenant = tenant_get(slug=slug)
        if restore:
            restored = archive_restore(tenant=tenant, leaf=leaf, now=clock.now())
            self.stdout.write(f"Restored {restored.archive.entities:,} entities of {leaf}.")
            if restored.moved:
                self.stdout.write(
                    f"Renamed or removed meanwhile, and soon done here, too: {', '.join(restored.moved)}."
                )
            return
        archive = archive_run(tenant=tenant, leaf=leaf, now=clock.now())
        self.stdout.write(
            f"Archived {archive.entities:,} entities and {archive.attribute_values:,} values of {leaf}, "
            f"{size_text(archive.bytes)}: {archive.path}. `--restore` brings them back."
        )

    def _promote(self, slug: str, *, dry_run: bool) -> None:
        tenant = tenant_get(slug=slug)
        if dry_run:
            estimate = promotion_estimate(tenant=tenant)
            self.stdout.write(
                f"{slug}: {estimate.rows:,} rows would leave shared leaves of {size_text(estimate.leaf_bytes)} "
                f"in about {max(1, estimate.slices)} slices; its writers would pause for each, nobody else."
            )
            return
        columns = (TextColumn("Promoting {task.fields[slug]}: {task.fields[step]}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
            task = bar.add_task("", total=None, slug=slug, step="prepare")

            def show(promotion: PartitionPromotion) -> None:
                bar.update(task, total=promotion.rows_total, completed=promotion.rows_moved, step=promotion.step)

            try:
                promotion = promotion_run(tenant=tenant, clock=clock.now, progress=show)
            except KeyboardInterrupt:
                raise CommandError("Interrupted. The tenant is whole; run it again, and it goes on.") from None
        self.stdout.write(
            f"{slug} has partitions of its own: {promotion.rows_moved:,} rows in {promotion.slices} slice(s); "
            f"its writers paused for {promotion.longest_pause_s:.2f} s at the most."
        )
