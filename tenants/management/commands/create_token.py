from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser

from atlasco.lib import clock
from tenants.management.base import TenantsCommand
from tenants.members.models import ApiToken
from tenants.selectors import tenant_get
from tenants.services import token_create


class Command(TenantsCommand):
    help = "Makes an API token for a tenant and prints it, once, alone on a line. It can't be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", metavar="SLUG", required=True, help="The tenant it is for.")
        parser.add_argument("--name", required=True, help="What it is for, to tell it from others later.")
        parser.add_argument(
            "--scope",
            action="append",
            choices=ApiToken.Scope.values,
            help="What it may do; may be given twice. Without it the token may read and write.",
        )
        parser.add_argument(
            "--expires-days", metavar="D", type=int, help="Days until it expires; never where left out."
        )

    def run(self, **options: Any) -> None:
        now = clock.now()
        days = options["expires_days"]
        if days is not None and not 0 < days <= 36_500:
            raise CommandError("--expires-days must be between 1 and 36500.")
        _, text = token_create(
            tenant=tenant_get(slug=options["tenant"]),
            name=options["name"],
            scopes=options["scope"] or ApiToken.Scope.values,
            expires_at=None if days is None else now + timedelta(days=days),
            now=now,
        )
        self.stdout.write(text)
