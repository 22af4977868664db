"""`manage.py bench NAME`: measures on the running stack and prints ratios against a named baseline of the same run."""

from __future__ import annotations

import json
import secrets
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from analytics.statistics import statistics_refresh
from atlasco.lib.clock import now
from entities.bench.ingest import ingest_bench
from entities.bench.report import Report
from entities.bench.search import NEIGHBOUR_ENTITIES, NEIGHBOURS, search_bench
from tenants.models import Tenant


class Command(BaseCommand):
    help = (
        "Runs a benchmark on the running stack. Makes tenants whose slugs begin with `bench-`; `bench search` keeps "
        "them for the next run. Figures are ratios against a baseline of the same run."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", choices=["search", "ingest"])
        parser.add_argument("--entities", type=int, help="Size: 1,000,000 for search, 20,000 for ingest.")
        parser.add_argument("--queries", type=int, default=500, help="How many random searches (500).")
        parser.add_argument("--seed", type=int, help="Of the random searches; a fresh one by default, and printed.")
        parser.add_argument("--json", action="store_true", help="One JSON object instead of text.")

    def handle(self, *args: Any, **options: Any) -> None:
        seed = options["seed"] if options["seed"] is not None else secrets.randbelow(10**6)
        report = (
            self._search(options["entities"] or 1_000_000, options["queries"], seed)
            if options["name"] == "search"
            else ingest_bench(entities=options["entities"] or 20_000, seed=seed)
        )
        self.stdout.write(json.dumps(report.as_dict()) if options["json"] else "\n".join(report.lines()))

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
