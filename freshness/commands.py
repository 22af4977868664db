"""Management commands that read data as fresh as their user says, by the same rules as a request's headers.

class Command(FreshnessCommand):
    def run(self, **options):            # everything in here is one scope
        read_through(…)                  # obeys --tier and --max-lag-seconds
        Entity.objects.filter(…)         # the ORM does, too
        connections[scope_database()]    # and so does SQL of one's own
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.management.base import CommandError, CommandParser

from atlasco.lib.errors import Problem
from freshness.middleware import wish_of
from freshness.policy import TIERS, lag_shown
from freshness.state import Answer, FreshnessState, freshness_scope
from tenants.management.base import TenantsCommand


class FreshnessCommand(TenantsCommand):
    """A command with --tier and --max-lag-seconds.

    Without them the ORM and SQL of one's own read the primary, and `read_through` goes by its operation's class.
    """

    # Of which class a read is that names no operation; the options say how fresh.
    freshness_class: ClassVar[str] = "operational"

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        # Here, so that a command with arguments of its own can't forget these.
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.add_argument("--tier", choices=TIERS, help="How fresh what is read must be, as X-Freshness-Tier.")
        parser.add_argument("--max-lag-seconds", metavar="S", help="At most so old, as X-Max-Lag-Seconds.")
        return parser

    def handle(self, *args: Any, **options: Any) -> None:
        told = {"X-Freshness-Tier": options["tier"], "X-Max-Lag-Seconds": options["max_lag_seconds"]}
        headers = {name: value for name, value in told.items() if value is not None}
        try:
            wish = wish_of(headers)
        except Problem as problem:
            raise CommandError(problem.detail) from problem
        with freshness_scope(FreshnessState(wish=wish, orm_class=self.freshness_class if headers else None)) as state:
            super().handle(*args, **options)
        if headers and state.answer is not None:
            self.stdout.write(answer_words(state.answer))


def answer_words(answer: Answer) -> str:
    """Where something was read, and how old it was at most."""
    age = "of unknown age" if answer.lag_s is None else f"at most {lag_shown(answer.lag_s):.3f} s old"
    return f"Read from {answer.store}, {age} when the reading began."
