from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, OperationalError
from django.db.migrations.autodetector import MigrationAutodetector

from tenants.database.owner import owner_connection
from tenants.management.base import database_error
from tenants.schemas import MigrationRefused, Target, schemas_are_current, schemas_migrate


class Command(BaseCommand):
    help = (
        "Migrates public, the tenant template, and the tenants whose schema is older than the template. "
        "Connects as the tables' owner (DATABASE_OWNER_URL). Costs one query when there is nothing to do."
    )
    # Checks about the serving role make no sense while connected as the owner.
    requires_system_checks = ()
    autodetector = MigrationAutodetector  # A check of Django's compares it with that of `makemigrations`.

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("app_label", nargs="?", help="Only this app, in every schema that holds it.")
        parser.add_argument("migration_name", nargs="?", help="Stop at this migration; `zero` undoes all of the app's.")
        parser.add_argument("--check", action="store_true", help="Change nothing; exit with 1 if something is to do.")
        parser.add_argument(
            "--database",
            default=DEFAULT_DB_ALIAS,
            help="Only `default` can be migrated: replicas follow by themselves.",
        )
        # Taken so that tools which call `migrate` need not know that it is ours.
        parser.add_argument(
            "--noinput", "--no-input", action="store_false", dest="interactive", help="Asks nothing anyway."
        )
        parser.add_argument("--run-syncdb", action="store_true", help="Ignored: every app has migrations.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["database"] != DEFAULT_DB_ALIAS:
            raise CommandError(f"Only the database `default` is migrated; {options['database']} follows it.")
        verbose = options["verbosity"] >= 1
        with owner_connection() as connection:
            try:
                if options["check"]:
                    if not schemas_are_current(connection):
                        raise CommandError("Some schema is not migrated.", returncode=1)
                    return
                touched = schemas_migrate(
                    connection,
                    report=self.stdout.write if verbose else lambda line: None,
                    target=_target(options["app_label"], options["migration_name"]),
                )
            except MigrationRefused as refused:
                raise CommandError(str(refused)) from refused
            except OperationalError as error:
                raise database_error(error) from error
        if verbose:
            self.stdout.write(f"Migrated {touched} schemas." if touched else "Nothing to migrate.")


def _target(app_label: str | None, migration_name: str | None) -> Target | None:
    if app_label is None:
        return None
    return (app_label, None if migration_name == "zero" else migration_name or "")
