"""`manage.py bench [NAME]`: measures on the running stack, prints ratios against a named baseline of the same run."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandParser
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from analytics.bench.analytics import analytics_bench
from analytics.bench.faults import faults_bench
from analytics.bench.feed import LARGE_ROWS, feed_bench
from analytics.bench.layout import layout_bench
from analytics.statistics import statistics_refresh
from atlasco.bench.pages import pages_bench
from atlasco.lib.clock import now
from entities.bench.freshness import freshness_bench
from entities.bench.growth import growth_bench
from entities.bench.ingest import ingest_bench
from entities.bench.patch import patch_bench
from entities.bench.peers.run import peers_bench
from entities.bench.promote import promote_bench
from entities.bench.registry import registry_bench
from entities.bench.report import Report
from entities.bench.search import NEIGHBOUR_ENTITIES, NEIGHBOURS, search_bench
from tenants.models import Tenant


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What the command line asks of one bench. entities: its own default where nobody said."""

    entities: int
    queries: int
    runs: int
    seed: int
    minutes: float


@dataclass(frozen=True, slots=True)
class Bench:
    """One benchmark. entities: its size alone; entities_of_all: its size where all are run, a few minutes at most."""

    run: Callable[[BenchOptions], Report]
    help: str
    entities: int
    entities_of_all: int


def _search(options: BenchOptions) -> Report:
    columns = (TextColumn("Filling the tenants"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=options.entities + NEIGHBOURS * NEIGHBOUR_ENTITIES)
        return search_bench(
            entities=options.entities,
            queries=options.queries,
            runs=options.runs,
            seed=options.seed,
            statistics=_statistics,
            progress=lambda count: bar.advance(task, count),
        )


def _statistics(tenant: Tenant) -> None:
    statistics_refresh(tenant_id=tenant.pk, now=now(), force=True)


def _registry(options: BenchOptions) -> Report:
    return registry_bench(entities=options.entities, seed=options.seed, statistics=_statistics)


def _peers(options: BenchOptions) -> Report:
    return peers_bench(
        entities=options.entities, seed=options.seed, statistics=_statistics, progress=lambda count: None
    )


def _ingest(options: BenchOptions) -> Report:
    return ingest_bench(entities=options.entities, seed=options.seed, minutes=options.minutes)


def _patch(options: BenchOptions) -> Report:
    return patch_bench(entities=options.entities, seed=options.seed, seconds=options.minutes * 60 or 20)


def _promote(options: BenchOptions) -> Report:
    return promote_bench(entities=options.entities, seed=options.seed, progress=lambda _: None)


def _growth(options: BenchOptions) -> Report:
    return growth_bench(
        entities=options.entities,
        queries=options.queries,
        seed=options.seed,
        statistics=_statistics,
        progress=lambda _: None,
    )


def _analytics(options: BenchOptions) -> Report:
    columns = (TextColumn("Filling the tenant"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=options.entities)
        return analytics_bench(entities=options.entities, progress=lambda count: bar.advance(task, count))


def _feed(options: BenchOptions) -> Report:
    return feed_bench(entities=options.entities, large_rows=min(LARGE_ROWS, options.entities * 50))


def _faults(options: BenchOptions) -> Report:
    return faults_bench(minutes=options.minutes, seed=options.seed)


def _layout(options: BenchOptions) -> Report:
    return layout_bench(entities=options.entities)


def _freshness(options: BenchOptions) -> Report:
    return freshness_bench(entities=options.entities, seed=options.seed)


def _pages(options: BenchOptions) -> Report:
    columns = (TextColumn("Filling the tenant"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=options.entities)
        return pages_bench(
            entities=options.entities,
            requests=max(options.queries // 10, 5),
            statistics=_statistics,
            progress=lambda count: bar.advance(task, count),
        )


# The one list of benchmarks, in the order in which they run without a name.
BENCHES: Final[dict[str, Bench]] = {
    "search": Bench(_search, "random searches in one large tenant", 1_000_000, 100_000),
    "peers": Bench(_peers, "the same searches by django-eav2 and by a JSONField with GIN", 100_000, 20_000),
    "registry": Bench(_registry, "a tenant of 10,000 attribute names", 20_000, 20_000),
    "analytics": Bench(_analytics, "the analytical query, from PostgreSQL to the rollup", 1_000_000, 50_000),
    "ingest": Bench(_ingest, "imports of new and of known entities", 20_000, 20_000),
    "layout": Bench(_layout, "how values lie in ClickHouse, three ways", 400_000, 20_000),
    "faults": Bench(_faults, "servers killed beside writes for --minutes, then every store compared", 0, 0),
    "freshness": Bench(_freshness, "what routing costs, who answers, against all on the primary", 20_000, 2_000),
    "pages": Bench(_pages, "every page of the admin, of the demo and of a large tenant", 1_000_000, 20_000),
    "feed": Bench(_feed, "changes on their way to the hot cache and ClickHouse", 20_000, 2_000),
    "patch": Bench(_patch, "single PATCH requests over HTTP, 100 a second", 2_000, 2_000),
    "promote": Bench(_promote, "a tenant gets partitions of its own under load", 20_000, 5_000),
    "growth": Bench(_growth, "how search, ingest, planning and storage grow", 5_000_000, 50_000),
}


class Command(BaseCommand):
    help = (
        "Runs a benchmark on the running stack. Makes tenants whose slugs begin with `bench-`; `bench search` keeps "
        "them for the next run. Figures are ratios against a baseline of the same run. "
        + "; ".join(f"{name}: {bench.help}" for name, bench in BENCHES.items())
        + "."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", choices=list(BENCHES), help="Without it, all of them.")
        sizes = ", ".join(
            f"{name} {bench.entities:,} ({bench.entities_of_all:,} among all)" for name, bench in BENCHES.items()
        )
        parser.add_argument("--entities", type=int, help=f"Size; by default {sizes}.")
        parser.add_argument("--queries", type=int, default=500, help="How many random searches (500).")
        parser.add_argument("--runs", type=int, default=1, help="`search`: so often, and medians of the runs (1).")
        parser.add_argument("--seed", type=int, help="Of what is random; a fresh one by default, and printed.")
        parser.add_argument("--minutes", type=float, default=0, help="Keep the load up for so long, where a bench can.")
        parser.add_argument("--json", action="store_true", help="One JSON object a line instead of text.")

    def handle(self, *args: Any, **options: Any) -> None:
        seed = options["seed"] if options["seed"] is not None else secrets.randbelow(10**6)
        for name in [options["name"]] if options["name"] else BENCHES:
            bench = BENCHES[name]
            # Filling a million takes many minutes: worth it only for whoever asks for this one.
            default = bench.entities if options["name"] else bench.entities_of_all
            report = bench.run(
                BenchOptions(
                    options["entities"] or default, options["queries"], options["runs"], seed, options["minutes"]
                )
            )
            self._print(report, as_json=options["json"])

    def _print(self, report: Report, *, as_json: bool) -> None:
        """As soon as it is there: the next one may take minutes."""
        self.stdout.write(json.dumps(report.as_dict()) if as_json else "\n".join([report.name, *report.lines(), ""]))
        self.stdout.flush()
