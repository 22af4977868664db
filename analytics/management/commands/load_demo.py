from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from analytics.demo.load import DemoReport, demo_load, demo_rate_set
from analytics.demo.source import source_find
from atlasco.lib import clock
from tenants.management.base import TenantsCommand

RATE_MAX = 5_000


class Command(TenantsCommand):
    help = (
        "Loads the demo: sixteen airlines as tenants, their aircraft, airports and routes, and the flights of a year, "
        "which the worker then replays as live traffic. What is there already is left as it is; interrupted, run it "
        "again."
    )

    # `make up` runs this at every start, mostly to find that nothing is to do; loading every view takes a second.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--rate",
            metavar="FLIGHTS_PER_S",
            type=float,
            help="Replay so many flights a second, from now on; 0 stops it. Without it: ATLASCO_DEMO_RATE.",
        )

    def run(self, **options: Any) -> None:
        rate: float | None = options["rate"]
        if rate is not None and not (math.isfinite(rate) and 0 <= rate <= RATE_MAX):
            raise CommandError(f"--rate must be from 0 to {RATE_MAX} flights per second.")
        with _quiet():
            report = self._load()
        for reason in report.skipped:
            self.stderr.write(reason)
        if rate is not None:
            demo_rate_set(rate=rate)
        if report.airlines_loaded_before == report.airlines:
            self.stdout.write(f"The demo is there: {report.airlines} airlines, {report.flights:,} flights to replay.")
        else:
            self.stdout.write(
                f"The demo is loaded: {report.airlines} airlines, {report.entities_created:,} new entities, "
                f"{report.flights:,} flights to replay."
            )
        if settings.DEMO_RATE <= 0 or rate == 0:
            self.stdout.write("The replay is off.")

    def _load(self) -> DemoReport:
        """Load with a bar on a terminal, and with a line for each step elsewhere."""
        if not self.stdout.isatty():
            return demo_load(
                source=source_find(),
                now=clock.now(),
                progress=lambda step: self.stdout.write(f"[{step.done}/{step.total}] {step.text}"),
            )
        columns = (
            TextColumn("Demo"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
        )
        with Progress(*columns, console=Console(), transient=True) as bar:
            task = bar.add_task("preparing the flights of a year", total=None)
            return demo_load(
                source=source_find(),
                now=clock.now(),
                progress=lambda step: bar.update(task, completed=step.done, total=step.total, description=step.text),
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """The bar says what happens; log lines between would break it."""
    logger = logging.getLogger("tenants")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
