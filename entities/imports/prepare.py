"""How the file of a job is understood: guessed at first, as remembered for a file with the same columns, as told."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import orjson
from django.conf import settings
from django.core.files.storage import default_storage

from entities.imports.formats import (
    Advanced,
    Dialect,
    Format,
    Sample,
    dialect_parse,
    dialect_sniff,
    format_sniff,
    head_read,
    lines_read,
    sample_read,
)
from entities.imports.guesses import mapping_guess
from entities.imports.mapping import InvalidMapping, Mapping, RowReader, mapping_check, mapping_parse
from entities.ingest.importer import SourceLine
from entities.ingest.lines import Rejection, line_parse, lines_split
from entities.models import ImportJob, ImportMapping


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """A row as it will be stored, or why it won't. values: (name, value, type) in order."""

    number: int
    entity_type: str = ""
    external_id: str = ""
    created_at: str | None = None
    at: str | None = None
    attributes: dict[str, Any] | None = None
    rejection: Rejection | None = None


def job_dialect(job: ImportJob) -> Dialect:
    return dialect_parse(job.options.get("dialect", {}))


def job_mapping(job: ImportJob) -> Mapping:
    return mapping_parse(job.options.get("mapping", {}))


def job_lines(job: ImportJob, file: Any, *, advanced: Advanced) -> Iterator[SourceLine]:
    """The lines of a job's file, as its options say. Raises BrokenBody."""
    return lines_read(
        file,
        cast(Format, job.format),
        dialect=job_dialect(job),
        mapping=None if job.format == ImportJob.Format.NDJSON else job_mapping(job),
        line_max_bytes=settings.IMPORT_LINE_MAX_BYTES,
        advanced=advanced,
    )


def job_describe(
    job: ImportJob, *, file_format: Format | None = None, dialect: dict[str, Any] | None = None, mapping: Any = None
) -> None:
    """Look at a job's kept file and note in the job what it is and how its columns are to be understood.

    file_format: None to guess it. dialect: what is known of it; the rest is guessed. mapping: JSON as told; None for
    the one that was last used for a file with the same columns, or a guess. Raises BrokenBody, InvalidMapping.
    """
    with default_storage.open(job.file_path, "rb") as file:
        head = head_read(file)
        found = file_format or format_sniff(head)
        job.format, job.options = found, {}
        if found == "ndjson":
            return
        written = Dialect() if found == "parquet" else dialect_sniff(head)
        written = dialect_parse({**written.as_dict(), **(dialect or {})})
        sample = sample_read(file, found, written)
    told = mapping
    if told is None:
        told = _remembered(job.tenant_id, found, sample.labels)
    if told is None:
        told = mapping_guess(sample.labels, sample.rows, file_name=job.file_name).as_dict()
    mapping_parse(told)
    job.options = {"dialect": written.as_dict(), "labels": sample.labels, "mapping": told}


def job_sample(job: ImportJob) -> Sample:
    """The columns and first rows of a job's CSV or Parquet file. Raises BrokenBody, FileNotFoundError."""
    with default_storage.open(job.file_path, "rb") as file:
        return sample_read(file, cast(Format, job.format), job_dialect(job))


def job_check(job: ImportJob, sample: Sample | None = None) -> None:
    """Whether the job can be started. Raises InvalidMapping, BrokenBody."""
    if job.format != ImportJob.Format.NDJSON:
        mapping_check(job_mapping(job), (sample or job_sample(job)).labels)


def job_preview(job: ImportJob, sample: Sample | None, *, limit: int) -> list[PreviewRow]:
    """The first rows of the file as they will be stored. Raises BrokenBody."""
    if job.format == ImportJob.Format.NDJSON:
        with default_storage.open(job.file_path, "rb") as file:
            head = head_read(file)
        lines: list[tuple[int, bytes | Rejection]] = []
        for line in lines_split([head], line_max_bytes=settings.IMPORT_LINE_MAX_BYTES):
            lines.append(line)
            if len(lines) > limit:
                break
        # The last one may be cut where the head ends.
        shown = lines[:limit] if len(lines) > 1 else lines
    else:
        if sample is None:
            sample = job_sample(job)
        reader = RowReader(job_mapping(job), sample.labels)
        first = 1 + (job.format == ImportJob.Format.CSV and job_dialect(job).header)
        shown = [(first + at, reader.line(first + at, row)) for at, row in enumerate(sample.rows[:limit])]
    return [_previewed(number, raw) for number, raw in shown]


def mapping_remember(job: ImportJob, *, now: datetime) -> None:
    """Keep the job's mapping for the tenant's next file with the same columns."""
    if job.format == ImportJob.Format.NDJSON:
        return
    ImportMapping.objects.using("default").bulk_create(
        [
            ImportMapping(
                tenant_id=job.tenant_id,
                fingerprint=_fingerprint(job.format, job_sample(job).labels),
                options=job.options["mapping"],
                used_at=now,
            )
        ],
        update_conflicts=True,
        unique_fields=["tenant_id", "fingerprint"],
        update_fields=["options", "used_at"],
    )


def _previewed(number: int, raw: bytes | Rejection) -> PreviewRow:
    line = raw if isinstance(raw, Rejection) else line_parse(number, raw)
    if isinstance(line, Rejection):
        return PreviewRow(number, rejection=line)
    return PreviewRow(
        number, line.entity_type, line.external_id, line.created_at, line.at, orjson.loads(line.attributes)
    )


def _remembered(tenant_id: int, file_format: str, labels: list[str]) -> Any:
    known = ImportMapping.objects.using("default").filter(
        tenant_id=tenant_id, fingerprint=_fingerprint(file_format, labels)
    )
    told = known.values_list("options", flat=True).first()
    try:
        mapping_check(mapping_parse(told), labels)
    except InvalidMapping:
        return None
    return told


def _fingerprint(file_format: str, labels: list[str]) -> str:
    return hashlib.sha256(orjson.dumps([file_format, labels])).hexdigest()
