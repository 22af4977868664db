"""Cold months of a tenant in files: detached to Parquet with a manifest and checksums, and brought back.

What is archived is gone from PostgreSQL: a search does not find it, an entity by its id answers 404 `entity_archived`,
and a write to it is refused with the same code. Its keys stay, so that nobody takes them; ClickHouse keeps its rows.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from django.core.files import File
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connections, transaction
from django.db.backends.utils import CursorWrapper

from atlasco.lib.clock import iso
from atlasco.lib.errors import Conflict, Invalid, NotFound, Unavailable
from atlasco.lib.sql import sql_blocks
from entities.governance.jobs import moves_repeat
from entities.models import PartitionArchive
from tenants.binding import public_bind, tenant_bind
from tenants.database.snapshot import read_snapshot
from tenants.models import Tenant

log = logging.getLogger(__name__)

SQL: Final = sql_blocks(Path(__file__).parent.parent / "sql" / "archive.sql")
TABLES: Final = ("entities", "entity_attributes")
# Instants are whole microseconds, since some lie outside of what Python's datetime holds.
SCHEMAS: Final = {
    "entities": pa.schema(
        [
            ("entity_id", pa.int64()),
            ("entity_type", pa.string()),
            ("external_id", pa.string()),
            ("created_us", pa.int64()),
            ("updated_us", pa.int64()),
            ("version", pa.int64()),
            ("attributes", pa.string()),
        ]
    ),
    "entity_attributes": pa.schema(
        [
            ("entity_id", pa.int64()),
            ("attribute_name", pa.string()),
            ("value_type", pa.string()),
            ("attribute_value", pa.string()),
            ("numeric_value", pa.string()),
            ("instant_us", pa.int64()),
            ("indexed", pa.bool_()),
            ("created_us", pa.int64()),
            ("updated_us", pa.int64()),
        ]
    ),
}
_PAGE: Final = 20_000
_TRIES: Final = 3


class LeafUnknown(NotFound):
    """The tenant has no month of that name that can be archived. `manage.py partitions plan` names those that can."""

    code = "leaf_unknown"


class ArchiveUnknown(NotFound):
    """This month is not archived."""

    code = "archive_unknown"


class ArchiveBroken(Invalid):
    """The archive's files are not those that were written; nothing was taken from them."""

    code = "archive_broken"


class MonthInUse(Conflict):
    """The month may still be written to: only months that have ended are archived."""

    code = "month_in_use"


class MonthChanges(Unavailable):
    """The month is being written to. Nothing was archived; try again when it is quiet."""

    code = "month_changes"


@dataclass(frozen=True, slots=True)
class Restored:
    """A month that is back. moved: attributes that were renamed or removed meanwhile, which a worker does anew."""

    archive: PartitionArchive
    moved: list[str]


def archives_of(*, tenant: Tenant) -> list[PartitionArchive]:
    """The tenant's archived months, oldest first."""
    with public_bind():
        return list(PartitionArchive.objects.using("default").filter(tenant_id=tenant.pk).order_by("leaf"))


def archives_all() -> list[PartitionArchive]:
    """The archived months of every tenant, by tenant and oldest first."""
    with public_bind():
        return list(PartitionArchive.objects.using("default").order_by("tenant_id", "leaf"))


def archive_run(*, tenant: Tenant, leaf: str, now: datetime) -> PartitionArchive:
    """Write the month to files, then detach it. Interrupted, it has done nothing but write files.

    leaf: old, YYYYMM, or YYYYMM_N, as `partitions plan` shows. Raises LeafUnknown, MonthInUse, MonthChanges.
    """
    lower, upper = _bounds(tenant, leaf)
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT entity_id_at(date_trunc('month', clock_timestamp(), 'UTC'))")
        if upper > int(cursor.fetchone()[0]):
            raise MonthInUse
    for _ in range(_TRIES):
        with tenant_bind(tenant), _long_statements():
            with read_snapshot("default"):
                fingerprint = _fingerprint(tenant.pk, lower, upper)
                files = {table: _write_out(tenant, leaf, table, lower, upper) for table in TABLES}
            manifest = {
                "tenant_id": tenant.pk,
                "slug": tenant.slug,
                "leaf": leaf,
                "range": [lower, upper],
                "archived_at": iso(now),
                "files": files,
            }
            archive = _manifest_save(tenant, leaf, manifest, now=now)
            with _writers_paused(tenant.pk) as cursor:
                if _fingerprint(tenant.pk, lower, upper) == fingerprint:
                    counts = (archive.entities, archive.attribute_values)
                    cursor.execute("SELECT archive_detach(%s, %s, %s)", (leaf, *counts))
                    cursor.execute(SQL["archived_note"], {"tenant_id": tenant.pk})
                    archive.save(using="default", force_insert=True)
                    log.info("A month was archived.", extra={"slug": tenant.slug, "leaf": leaf})
                    return archive
        _files_delete(manifest)
    raise MonthChanges


def archive_restore(*, tenant: Tenant, leaf: str, now: datetime) -> Restored:
    """Bring an archived month back, exactly, and indexed as the registry says now. Its files stay until the next time.

    Attributes that were renamed or removed meanwhile come back under their old names; a worker then moves them, as it
    moved the others. Raises ArchiveUnknown, ArchiveBroken; JobUnderWay while attributes are being renamed or removed.
    """
    with public_bind():
        archive = PartitionArchive.objects.using("default").filter(tenant_id=tenant.pk, leaf=leaf).first()
    if archive is None:
        raise ArchiveUnknown
    manifest = _manifest_load(archive)
    with tenant_bind(tenant), _long_statements(), _writers_paused(tenant.pk) as cursor:
        cursor.execute("SELECT archive_attach(%s)", (leaf,))
        for table in TABLES:
            rows = _read_back(cursor, table, manifest["files"][table])
            if rows != manifest["files"][table]["rows"]:
                raise ArchiveBroken
        cursor.execute(SQL["names_restored"])
        jobs = moves_repeat(
            tenant_id=tenant.pk,
            names={name for (name,) in cursor.fetchall()},
            since=archive.archived_at,
            created_by=f"the restore of {leaf}",
            now=now,
        )
        PartitionArchive.objects.using("default").filter(tenant_id=tenant.pk, leaf=leaf).delete()
    log.info("A month was restored.", extra={"slug": tenant.slug, "leaf": leaf})
    return Restored(archive, [job.attribute_name for job in jobs])


def archived_rows(*, tenant: Tenant, table: str) -> Iterator[dict[str, Any]]:
    """What the tenant's archived months hold of a table: columns as in SCHEMAS, in order of id within each month.

    Raises ArchiveBroken.
    """
    for archive in archives_of(tenant=tenant):
        with _opened(_manifest_load(archive)["files"][table]) as file:
            for batch in pq.ParquetFile(file).iter_batches(batch_size=_PAGE):
                yield from batch.to_pylist()


def archive_files(*, tenant: Tenant) -> list[str]:
    """The paths of everything that was ever archived of the tenant and not removed."""
    found = []
    folder = f"archives/{tenant.pk}"
    if default_storage.exists(folder):
        for leaf in default_storage.listdir(folder)[0]:
            found += [f"{folder}/{leaf}/{name}" for name in default_storage.listdir(f"{folder}/{leaf}")[1]]
    return found


def archive_files_erase(*, tenant: Tenant) -> int:
    """Remove the tenant's files, and what says that they were there. Returns how many files."""
    files = archive_files(tenant=tenant)
    for path in files:
        default_storage.delete(path)
    folder = f"archives/{tenant.pk}"
    if default_storage.exists(folder):
        for leaf in default_storage.listdir(folder)[0]:
            default_storage.delete(f"{folder}/{leaf}")
        default_storage.delete(folder)
    PartitionArchive.objects.using("default").filter(tenant_id=tenant.pk).delete()
    return len(files)


def _bounds(tenant: Tenant, leaf: str) -> tuple[int | None, int]:
    with public_bind(), connections["default"].cursor() as cursor:
        cursor.execute(SQL["leaf_bounds"], {"name": f"entities_tenant_{tenant.pk}_{leaf}"})
        row = cursor.fetchone()
    if row is None or row[1] is None:
        raise LeafUnknown
    return None if row[0] is None else int(row[0]), int(row[1])


def _fingerprint(tenant_id: int, lower: int | None, upper: int) -> Any:
    """Changes with every write to the range: versions of entities, instants of values, and how many there are."""
    with connections["default"].cursor() as cursor:
        cursor.execute(SQL["fingerprint"], _range(tenant_id, lower, upper))
        return cursor.fetchone()


def _range(tenant_id: int, lower: int | None, upper: int) -> dict[str, int]:
    return {"tenant_id": tenant_id, "lower": -(2**63) if lower is None else lower, "upper": upper}


def _write_out(tenant: Tenant, leaf: str, table: str, lower: int | None, upper: int) -> dict[str, Any]:
    """One table's rows of the range as Parquet, in the default storage. Returns what the manifest says of the file."""
    schema, rows = SCHEMAS[table], 0
    with tempfile.TemporaryFile() as file:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for page in _pages(table, _range(tenant.pk, lower, upper)):
                columns = list(zip(*page, strict=True))
                arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
                writer.write_batch(pa.record_batch(arrays, schema=schema))
                rows += len(page)
        size = file.tell()
        digest = _digest(file)
        file.seek(0)
        path = default_storage.save(f"archives/{tenant.pk}/{leaf}/{table}.parquet", File(file))
    return {"path": path, "rows": rows, "bytes": size, "sha256": digest}


def _pages(table: str, values: dict[str, int]) -> Iterator[list[tuple[Any, ...]]]:
    after: dict[str, Any] = {
        "after_id": values["lower"] - 1 if values["lower"] > -(2**63) else -(2**63),
        "after_name": "",
    }
    while True:
        with connections["default"].cursor() as cursor:
            cursor.execute(SQL[f"{table}_page"], {**values, **after, "limit": _PAGE})
            page = cursor.fetchall()
        if page:
            yield page
        if len(page) < _PAGE:
            return
        after = {"after_id": page[-1][0], "after_name": page[-1][1]}


def _read_back(cursor: CursorWrapper, table: str, facts: dict[str, Any]) -> int:
    with _opened(facts) as file:
        cursor.execute(SQL[f"{table}_stage"])
        names = ", ".join(SCHEMAS[table].names)
        for batch in pq.ParquetFile(file).iter_batches(batch_size=_PAGE):
            with cursor.copy(f"COPY restore_{table} ({names}) FROM STDIN") as copy:
                for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    copy.write_row(row)
    cursor.execute(SQL[f"{table}_restore"])
    return int(cursor.rowcount)


@contextmanager
def _opened(facts: dict[str, Any]) -> Iterator[File[Any]]:
    """A file of a manifest, once it proved to be the one that was written. Raises ArchiveBroken."""
    try:
        opened = default_storage.open(facts["path"], "rb")
    except OSError as error:
        raise ArchiveBroken(f"The archive's file {facts['path']} can't be read.") from error
    with opened as file:
        if _digest(file) != facts["sha256"]:
            raise ArchiveBroken
        file.seek(0)
        yield file


def _digest(file: IO[bytes] | File[Any]) -> str:
    file.seek(0)
    digest = hashlib.sha256()
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


def _manifest_save(tenant: Tenant, leaf: str, manifest: dict[str, Any], *, now: datetime) -> PartitionArchive:
    content = orjson.dumps(manifest, option=orjson.OPT_INDENT_2)
    path = default_storage.save(f"archives/{tenant.pk}/{leaf}/manifest.json", ContentFile(content))
    entities, values = (manifest["files"][table] for table in TABLES)
    lower, upper = manifest["range"]
    return PartitionArchive(
        tenant_id=tenant.pk,
        leaf=leaf,
        range_from=lower,
        range_to=upper,
        archived_at=now,
        entities=entities["rows"],
        attribute_values=values["rows"],
        bytes=entities["bytes"] + values["bytes"],
        path=path,
        digest=hashlib.sha256(content).hexdigest(),
    )


def _manifest_load(archive: PartitionArchive) -> dict[str, Any]:
    try:
        with default_storage.open(archive.path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise ArchiveBroken(f"The archive's manifest {archive.path} can't be read.") from error
    if hashlib.sha256(content).hexdigest() != archive.digest:
        raise ArchiveBroken
    manifest: dict[str, Any] = orjson.loads(content)
    return manifest


def _files_delete(manifest: dict[str, Any]) -> None:
    for facts in manifest["files"].values():
        default_storage.delete(facts["path"])


@contextmanager
def _long_statements() -> Iterator[None]:
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', '0', false)")
        try:
            yield
        finally:
            cursor.execute("RESET statement_timeout")


@contextmanager
def _writers_paused(tenant_id: int) -> Iterator[CursorWrapper]:
    """One transaction in which the tenant's writers wait, and nobody else is at work on its partitions."""
    with transaction.atomic(using="default"), connections["default"].cursor() as cursor:
        cursor.execute(SQL["writers_pause"], {"tenant_id": tenant_id})
        yield cursor
