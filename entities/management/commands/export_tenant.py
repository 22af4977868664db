from __future__ import annotations

import gzip
import os
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from django.core.management.base import CommandError, CommandParser

from atlasco.lib import clock
from freshness.commands import FreshnessCommand
from tenants.selectors import tenant_get
from tenants.services import tenant_export


class Command(FreshnessCommand):
    help = (
        "Writes everything of a tenant to a file, as NDJSON (gzip where the name ends in .gz). Without passwords, "
        "their hashes and token digests. The file appears under its name only when it is whole. Entities and "
        "attributes are read from the primary, or with --tier or --max-lag-seconds from a replica that is fresh enough."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", metavar="SLUG")
        parser.add_argument("file", metavar="FILE", type=Path, help="Must not exist yet.")

    def run(self, **options: Any) -> None:
        path: Path = options["file"]
        if path.exists():
            raise CommandError(f"{path} exists.")
        tenant = tenant_get(slug=options["slug"])
        part = path.with_name(f".{path.name}.part")
        lines = 0
        try:
            with ExitStack() as stack:
                # Only for its owner: this is all the data of a customer.
                plain = stack.enter_context(
                    os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
                )
                out: IO[bytes] | gzip.GzipFile = plain
                if path.suffix == ".gz":
                    out = stack.enter_context(gzip.GzipFile(filename="", mode="wb", fileobj=plain))
                for line in tenant_export(tenant=tenant, now=clock.now()):
                    out.write(line)
                    lines += 1
            part.rename(path)
        except OSError as error:
            raise CommandError(f"{path} can't be written: {error.strerror}.") from error
        finally:
            part.unlink(missing_ok=True)
        self.stdout.write(f"Wrote {lines} records of {tenant.slug} to {path}.")
