from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from tenants.management.base import TenantsCommand
from tenants.services import platform_admin_factor_reset


class Command(TenantsCommand):
    help = (
        "Removes the second factor and the recovery codes of a platform admin who lost them; the password stays. Those "
        "of a tenant's members are removed on the member's page."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--username", default="admin", help="Default: admin.")

    def run(self, **options: Any) -> None:
        name = options["username"]
        removed = platform_admin_factor_reset(username=name)
        self.stdout.write(f"The second factor of {name} is removed." if removed else f"{name} has no second factor.")
