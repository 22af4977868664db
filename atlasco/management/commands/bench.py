"""`manage.py bench [NAME]`: measures on the running stack, prints ratios against a named baseline of the same run."""

from __future__ import annotations

import json
import secrets
import sys
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandParser
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from analytics.statistics import statistics_refresh
from atlasco.lib.clock import now
from entities.bench.ingest import ingest_bench
from entities.bench.report import Report
from entities.bench.search import NEIGHBOUR_ENTITIES, NEIGHBOURS, search_bench
from tenants.models import Tenant

SEARCH_ENTITIES: Final = 1_000_000
SEARCH_ENTITIES_OF_ALL: Final = 100_000
INGEST_ENTITIES: Final = 20_000


class Command(BaseCommand):
    help = (
        "Runs a benchmark on the running stack. Makes tenants whose slugs begin with `bench-`; `bench search` keeps "
        "them for the next run. Figures are ratios against a baseline of the same run."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", choices=["search", "ingest"], help="Without it, all of them.")
        parser.add_argument(
            "--entities",
            type=int,
            help=f"Size: {SEARCH_ENTITIES:,} for search ({SEARCH_ENTITIES_OF_ALL:,} among all), "
            f"{INGEST_ENTITIES:,} for ingest.",
        )
        parser.add_argument("--queries", type=int, default=500, help="How many random searches (500).")
        parser.add_argument("--seed", type=int, help="Of the random searches; a fresh one by default, and printed.")
        parser.add_argument("--json", action="store_true", help="One JSON object a line instead of text.")

    def handle(self, *args: Any, **options: Any) -> None:
        seed = options["seed"] if options["seed"] is not None else secrets.randbelow(10**6)
        name, entities = options["name"], options["entities"]
        if name != "ingest":
            # Filling a million takes many minutes: worth it only for whoever asks for this one.
            default = SEARCH_ENTITIES if name == "search" else SEARCH_ENTITIES_OF_ALL
            self._print(self._search(entities or default, options["queries"], seed), as_json=options["json"])
        if name != "search":
            self._print(ingest_bench(entities=entities or INGEST_ENTITIES, seed=seed), as_json=options["json"])

    def _print(self, report: Report, *, as_json: bool) -> None:
        """As soon as it is there: the next one may take minutes."""
        self.stdout.write(json.dumps(report.as_dict()) if as_json else "\n".join([report.name, *report.lines(), ""]))
        self.stdout.flush()

    def _search(self, entities: int, queries: int, seed: int) -> Report:
        columns = (TextColumn("Filling the tenants"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
            task = bar.add_task("", total=entities + NEIGHBOURS * NEIGHBOUR_ENTITIES)
            return search_bench(
                entities=entities,
                queries=queries,
                seed=seed,
                statistics=_statistics,
                progress=lambda count: bar.advance(task, count),
            )


def _statistics(tenant: Tenant) -> None:
    statistics_refresh(tenant_id=tenant.pk, now=now(), force=True)
