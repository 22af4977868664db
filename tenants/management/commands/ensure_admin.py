from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from atlasco.lib import clock, env
from tenants.management.base import TenantsCommand
from tenants.services import platform_admin_ensure


class Command(TenantsCommand):
    help = (
        "Makes sure that a platform admin exists and has the password in ATLASCO_ADMIN_PASSWORD. "
        "Platform admins log in on the public host. Safe to run at every start."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--username", default="admin", help="Default: admin.")

    def run(self, **options: Any) -> None:
        # Not an option: command lines are visible to everybody on the machine.
        password = env.text("ATLASCO_ADMIN_PASSWORD", help="The platform admin's password, for `ensure_admin`.")
        if not password:
            raise CommandError("Set ATLASCO_ADMIN_PASSWORD to the password that the admin shall have.")
        created = platform_admin_ensure(username=options["username"], password=password, now=clock.now())
        self.stdout.write(f"Platform admin {options['username']} {'created' if created else 'is there'}.")
