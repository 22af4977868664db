"""What the commands about tenants share: an expected problem ends the command with one clear message."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, OperationalError, ProgrammingError
from psycopg.errors import UndefinedFunction, UndefinedTable

from atlasco.lib.errors import Problem
from tenants.actors import origin_bind, origin_of_command


class TenantsCommand(BaseCommand):
    """A command whose `run` may raise Problems."""

    def run(self, **options: Any) -> None:
        raise NotImplementedError

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with origin_bind(origin_of_command()):
                self.run(**options)
        except Problem as problem:
            # Where single fields are at fault, their messages say all that the general one says.
            lines = [f"{error.path}: {error.detail}" for error in problem.errors] or [problem.detail]
            raise CommandError("\n".join(lines)) from problem
        except (OperationalError, ProgrammingError) as error:
            raise database_error(error) from error


def database_error(error: DatabaseError) -> CommandError:
    """A database that is away or was never migrated, in words for whoever typed the command. Re-raises any other."""
    reason = str(error).strip().partition("\n")[0]
    if isinstance(error, ProgrammingError):
        if not isinstance(error.__cause__, UndefinedTable | UndefinedFunction):
            raise error
        return CommandError(f"The database is not migrated ({reason}). Run: manage.py migrate_schemas")
    return CommandError(f"The database does not answer: {reason}")
