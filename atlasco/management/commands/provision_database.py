from __future__ import annotations

from typing import Any
from urllib.parse import quote

from django.core.management.base import BaseCommand, CommandError, CommandParser
from psycopg.conninfo import conninfo_to_dict

from atlasco.stack.errors import StackError
from atlasco.stack.plan import APP_ROLE, DATABASE, OWNER_ROLE, REPLICATION_ROLE
from atlasco.stack.provision import RolePasswords, database_provision


class Command(BaseCommand):
    help = (
        "Creates Atlasco's roles and database on a PostgreSQL server of yours and prints the URLs to put into the "
        "environment. Running it again changes nothing; passwords are printed only where they were set in this run."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--admin-url", required=True, help="a role that may create roles and databases")
        parser.add_argument("--database", default=DATABASE, help=f"default: {DATABASE}")
        parser.add_argument(
            "--reset-passwords", action="store_true", help="new passwords for roles that exist already, too"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        passwords = RolePasswords.generate()
        reset = bool(options["reset_passwords"])
        try:
            done = database_provision(
                admin_url=options["admin_url"],
                passwords=passwords,
                database=options["database"],
                reset_passwords=reset,
            )
        except StackError as error:
            raise CommandError(str(error)) from error
        server = conninfo_to_dict(options["admin_url"])
        address = f"{server.get('host', 'localhost')}:{server.get('port', 5432)}/{quote(options['database'])}"
        kept = []
        for name, role, password in (
            ("DATABASE_URL", APP_ROLE, passwords.app),
            ("DATABASE_OWNER_URL", OWNER_ROLE, passwords.owner),
            ("# replication:", REPLICATION_ROLE, passwords.replication),
        ):
            is_new = reset or role in done.created_roles
            if not is_new:
                kept.append(role)
            shown = quote(password, safe="") if is_new else "PASSWORD"
            separator = " " if name.startswith("#") else "="
            self.stdout.write(f"{name}{separator}postgresql://{role}:{shown}@{address}")
        if kept:
            self.stderr.write(f"Kept the passwords of {', '.join(kept)}; --reset-passwords sets new ones.")
        for note in done.notes:
            self.stderr.write(note)
