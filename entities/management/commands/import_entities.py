from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Final

import orjson
from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from atlasco.lib import clock
from atlasco.lib.errors import Problem
from entities.ingest.importer import ImportSummary, import_run
from entities.ingest.lines import plain
from freshness.reads import write_finished
from freshness.tokens import lsn_text
from tenants.binding import tenant_bind
from tenants.management.base import TenantsCommand
from tenants.models import Tenant
from tenants.selectors import tenant_get

REJECTIONS_SHOWN: Final = 20
# A script must not take an import with bad lines for a whole one, nor for one that failed.
EXIT_REJECTED: Final = 3
EXIT_INTERRUPTED: Final = 130
_CHUNK: Final = 1 << 18


class Command(TenantsCommand):
    help = (
        "Imports entities from NDJSON, plain or gzip, one per line. Good lines are written, bad ones are shown with "
        "their number and reason. The last line of the output is the summary. Exit code: 0 when every line was "
        "accepted, 3 when some were rejected, 1 when the import could not be done. Running it again with the same "
        "file changes nothing, so an interrupted import is simply repeated."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", metavar="SLUG", required=True, help="The tenant that the entities belong to.")
        parser.add_argument("file", metavar="FILE", help="NDJSON or NDJSON.gz, told apart by content; - is stdin.")
        parser.add_argument(
            "--mode",
            choices=["merge", "replace"],
            default="merge",
            help="merge (default): attributes that a line does not name stay; replace: they are removed.",
        )
        parser.add_argument("--dry-run", action="store_true", help="Do it all, say what it did, and undo it.")
        parser.add_argument(
            "--json", action="store_true", help="The summary as JSON, as POST /api/v1/entities/import/."
        )

    def run(self, **options: Any) -> None:
        tenant = tenant_get(slug=options["tenant"])
        if tenant.status == Tenant.Status.DELETING:
            raise CommandError(f"The tenant {tenant.slug} is being deleted.")
        summary = ImportSummary()
        with tenant_bind(tenant):
            try:
                _import(
                    options["file"], tenant=tenant, mode=options["mode"], dry_run=options["dry_run"], summary=summary
                )
            except Problem as problem:
                raise CommandError(f"{problem.detail} {_so_far(summary, options['dry_run'])}") from problem
            except KeyboardInterrupt:
                # At once, and with the number that shells expect.
                raise CommandError(
                    f"Interrupted. {_so_far(summary, options['dry_run'])}", returncode=EXIT_INTERRUPTED
                ) from None
            position = lsn_text(write_finished(tenant_id=tenant.pk).lsn)
        self._show(tenant, summary, position, as_json=options["json"], dry_run=options["dry_run"])
        if summary.rejected_count:
            raise CommandError(
                f"{summary.rejected_count:,} of {summary.received:,} lines were rejected.", returncode=EXIT_REJECTED
            )

    def _show(self, tenant: Tenant, summary: ImportSummary, position: str, *, as_json: bool, dry_run: bool) -> None:
        for rejection in summary.rejected[:REJECTIONS_SHOWN]:
            self.stderr.write(f"line {rejection.line}: {rejection.code}: {rejection.detail}")
        if summary.rejected_count > REJECTIONS_SHOWN:
            self.stderr.write(f"… and {summary.rejected_count - REJECTIONS_SHOWN:,} more.")
        if as_json:
            self.stdout.write(orjson.dumps({**summary.as_dict(), "position": position}).decode())
            return
        verb = "Dry run, nothing was written to" if dry_run else "Imported into"
        self.stdout.write(
            f"{verb} {tenant.slug}: {summary.received:,} lines, {summary.created:,} created, "
            f"{summary.updated:,} updated, {summary.unchanged:,} unchanged, {summary.rejected_count:,} rejected; "
            f"position {position}."
        )


def _import(name: str, *, tenant: Tenant, mode: Any, dry_run: bool, summary: ImportSummary) -> None:
    """Import the file of that name; the bar on stderr counts bytes as they lie in the file."""
    with ExitStack() as stack:
        file, size = _open(name, stack)
        bar = stack.enter_context(_progress())
        task = bar.add_task(f"{tenant.slug} ← {Path(name).name}", total=size)

        def chunks() -> Iterator[bytes]:
            while chunk := _read(file, name):
                yield chunk
                bar.advance(task, len(chunk))

        import_run(
            tenant_id=tenant.pk,
            chunks=plain(chunks()),
            mode=mode,
            now=clock.now(),
            line_max_bytes=settings.IMPORT_LINE_MAX_BYTES,
            dry_run=dry_run,
            summary=summary,
        )


def _progress() -> Progress:
    """A bar for people; where stderr is a file or a pipe, nothing."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )


def _open(name: str, stack: ExitStack) -> tuple[IO[bytes], int | None]:
    """The open file and its size; None where that can't be known. Raises CommandError."""
    if name == "-":
        return sys.stdin.buffer, None
    path = Path(name)
    try:
        file = stack.enter_context(path.open("rb"))
        return file, path.stat().st_size if path.is_file() else None
    except OSError as error:
        raise CommandError(f"{name} can't be read: {error.strerror}.") from error


def _read(file: IO[bytes], name: str) -> bytes:
    try:
        return file.read(_CHUNK)
    except OSError as error:
        raise CommandError(f"{name} can't be read to its end: {error.strerror}.") from error


def _so_far(summary: ImportSummary, dry_run: bool) -> str:
    if dry_run:
        return "Nothing was written: it was a dry run."
    written = summary.created + summary.updated + summary.unchanged
    return f"The {written:,} lines before it stand." if written else "Nothing was written."
