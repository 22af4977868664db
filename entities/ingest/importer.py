"""An import: a stream of bytes in, batches written, one summary out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from entities.ingest.batch import EntityTooLarge, Mode, batch_write
from entities.ingest.lines import Line, Rejection, line_parse, lines_split

BATCH_LINES: Final = 5_000
BATCH_BYTES: Final = 8 << 20
# Rejections beyond this are counted, not listed: a wrong file must not fill the memory.
REJECTIONS_MAX: Final = 10_000


@dataclass(slots=True)
class ImportSummary:
    """What an import did. received counts the lines that are not blank; the other four add up to it."""

    received: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected_count: int = 0
    rejected: list[Rejection] = field(default_factory=list)

    @property
    def lines_done(self) -> int:
        """Lines that are settled: written or rejected. Right after a batch these are the first ones of the stream."""
        return self.created + self.updated + self.unchanged + self.rejected_count

    def as_dict(self) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "received": self.received,
            "created": self.created,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "rejected": [rejection.as_dict() for rejection in self.rejected],
        }
        if self.rejected_count > len(self.rejected):
            answer["rejected_not_listed"] = self.rejected_count - len(self.rejected)
        return answer


Progress = Callable[[ImportSummary], None]


def import_run(
    *,
    tenant_id: int,
    chunks: Iterable[bytes],
    mode: Mode,
    now: datetime,
    line_max_bytes: int,
    dry_run: bool = False,
    progress: Progress | None = None,
    summary: ImportSummary | None = None,
) -> ImportSummary:
    """Write every good line of an NDJSON stream for the bound tenant and say what became of each.

    Each batch is a transaction: after a crash or a cut connection the batches before it stand, and sending the same
    lines again changes nothing. A line is written whole or not at all.
    dry_run: all is done and undone, batch by batch.
    progress: called after each batch with the summary so far; what it raises ends the import.
    summary: filled as the import goes, for a caller that wants to know how far it came when it raises. Lines that it
    counts already are passed over: so an interrupted import goes on.
    Raises what the stream raises (`BrokenBody`, say) and WriteContention.
    """
    summary = summary or ImportSummary()
    lines_left_out = summary.lines_done
    batch: list[Line] = []
    # Of each entity in the batch, whether its lines carry `at`.
    keys: dict[tuple[str, str], bool] = {}
    size = 0

    def write(lines: list[Line]) -> None:
        try:
            result = batch_write(tenant_id=tenant_id, lines=lines, mode=mode, now=now, dry_run=dry_run)
        except EntityTooLarge as error:
            # Which line it was, only the database could tell, and does not: halve until it stands alone.
            if len(lines) == 1:
                reject(Rejection(lines[0].number, error.code, error.detail))
                return
            middle = len(lines) // 2
            write(lines[:middle])
            write(lines[middle:])
            return
        summary.created += result.created
        summary.updated += result.updated
        summary.unchanged += result.unchanged

    def reject(rejection: Rejection) -> None:
        summary.rejected_count += 1
        if len(summary.rejected) < REJECTIONS_MAX:
            summary.rejected.append(rejection)

    def batch_flush() -> None:
        nonlocal size
        if batch:
            write(batch)
            batch.clear()
            keys.clear()
            size = 0
        if progress is not None:
            progress(summary)

    for number, raw in lines_split(chunks, line_max_bytes=line_max_bytes):
        if lines_left_out:
            lines_left_out -= 1
            continue
        summary.received += 1
        line = raw if isinstance(raw, Rejection) else line_parse(number, raw)
        if isinstance(line, Rejection):
            reject(line)
            continue
        key = (line.entity_type, line.external_id)
        has_at = line.at is not None
        # What a replacing line removes depends on the line before it, so an entity stands once in such a batch.
        # Nor can a batch judge lines with `at` beside lines without: which one is newer depends on what changed.
        if key in keys and (mode == "replace" or keys[key] != has_at):
            batch_flush()
        batch.append(line)
        keys[key] = has_at
        size += len(line.attributes)
        if len(batch) >= BATCH_LINES or size >= BATCH_BYTES:
            batch_flush()
    batch_flush()
    return summary
