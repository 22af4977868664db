"""What the commands about tenants share: an expected problem ends the command with one clear message."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from atlasco.lib.errors import Problem


class TenantsCommand(BaseCommand):
    """A command whose `run` may raise Problems."""

    def run(self, **options: Any) -> None:
        raise NotImplementedError

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self.run(**options)
        except Problem as problem:
            # Where single fields are at fault, their messages say all that the general one says.
            lines = [f"{error.path}: {error.detail}" for error in problem.errors] or [problem.detail]
            raise CommandError("\n".join(lines)) from problem
