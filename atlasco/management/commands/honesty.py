"""`manage.py honesty`: holds what answers claim of their freshness against what had been acknowledged."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from atlasco.honesty.ledger import VIOLATIONS
from atlasco.honesty.run import Report, honesty_run
from atlasco.honesty.stage import stage_open
from atlasco.stack.errors import StackError


class Command(BaseCommand):
    help = (
        "Starts a throw-away stack; writers raise counters while readers of every tier read them, replicas are paused, "
        "delayed and killed, Valkey, ClickHouse, the feed and the primary are killed, a replica is promoted, a clock "
        "is wrong. Prints how many answers claimed more than was true; ends with 1 where there was any."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--reads", type=int, default=100_000, help="Stop after so many values were read and compared (100,000)."
        )
        parser.add_argument("--seconds", type=float, default=1_800, help="Or after so long (1,800).")
        parser.add_argument("--short", action="store_true", help="Once through the main faults, in some 20 seconds.")
        parser.add_argument("--json", action="store_true", help="One JSON object instead of text.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with stage_open() as stage:
                report = honesty_run(
                    stage,
                    values=options["reads"],
                    seconds=options["seconds"],
                    is_short=options["short"],
                    progress=self._progress,
                )
        except StackError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(json.dumps(as_json(report)) if options["json"] else "\n".join(as_lines(report)))
        if not report.verdict.is_honest:
            raise CommandError("Answers claimed more than was true.")

    def _progress(self, reads: int, phase: str) -> None:
        if sys.stderr.isatty():
            print(f"\r{reads:>9,} values · {phase:<28}", end="", file=sys.stderr, flush=True)


def as_json(report: Report) -> dict[str, Any]:
    """The whole report for a program."""
    verdict = report.verdict
    return {
        "answers": verdict.reads,
        "values_compared": verdict.values,
        "seconds": round(report.seconds, 1),
        "writes_acknowledged": report.writes,
        "writes_failed": report.writes_failed,
        "writes_lost_by_promotion": report.lost,
        "violations": {name: verdict.violations[name] for name in VIOLATIONS},
        "token_reads": verdict.token_reads,
        "sla_met_claims": verdict.sla_claims,
        "refused": dict(verdict.refused),
        "failed": dict(verdict.failures),
        "failed_share": round(verdict.failed_share, 6),
        "latest_near_realtime_replica_s": report.latest_replica_s,
        "moves_of_each_pause": report.moves,
        "served": [{"tier": t, "source": s, "reads": n} for (t, s), n in sorted(verdict.served.items())],
        "phases": {
            name: {
                "reads": reads,
                "failed": failed,
                "longest_silence_s": round(verdict.longest_silence_s.get(name, 0.0), 2),
            }
            for name, (reads, failed) in report.phases.items()
        },
        "examples": {name: asdict(read) for name, read in verdict.examples.items()},
    }


def as_lines(report: Report) -> list[str]:
    """The same for people."""
    verdict = report.verdict
    lines = [
        f"{verdict.reads:,} answers, {verdict.values:,} values, {report.seconds:.0f} s; {report.writes:,} writes",
        "",
        "claims that were not true",
        *(f"  {name:<12} {verdict.violations[name]:>8,}" for name in VIOLATIONS),
        f"  of {verdict.token_reads:,} reads with a token, {verdict.sla_claims:,} claims that the SLA was met",
        "",
        f"refused honestly: {dict(verdict.refused) or 'none'}",
        f"failed or refused otherwise: {verdict.failed:,} ({verdict.failed_share:.3%}) {dict(verdict.failures) or ''}",
        f"writes that failed clearly: {report.writes_failed:,}; acknowledged ones lost by promotion: {report.lost:,}",
    ]
    if report.latest_replica_s is not None:
        lines.append(f"oldest NEAR_REALTIME answer of a paused replica: {report.latest_replica_s:.2f} s (limit 5 s)")
    if report.moves:
        lines.append(
            f"changes of store in each pause that was longer: {', '.join(map(str, report.moves))} (away and back)"
        )
    lines += ["", "served by"]
    lines += [f"  {tier:<14} {source:<13} {count:>8,}" for (tier, source), count in sorted(verdict.served.items())]
    lines += ["", f"{'while':<24} {'answers':>8} {'failed':>7} {'longest without one':>20}"]
    lines += [
        f"  {name:<22} {reads:>8,} {failed:>7,} {verdict.longest_silence_s.get(name, 0.0):>18.2f} s"
        for name, (reads, failed) in report.phases.items()
    ]
    lines += [f"\nfirst {name!r}: {read}" for name, read in verdict.examples.items()]
    return lines
