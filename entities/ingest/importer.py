"""An import: a stream of bytes in, batches written, one summary out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Final, TypeAlias

from django.db import connections

from entities.ingest.batch import BatchResult, EntityTooLarge, Mode, batch_write
from entities.ingest.lines import BrokenBody, Line, Rejection, line_parse, lines_split
from freshness.pacing import bulk_write_pace

BATCH_LINES: Final = 10_000
# So many entities are worth a second connection, which writes half of them at the same time.
HALVES_ENTITIES: Final = 2_000
BATCH_BYTES: Final = 8 << 20
# Lines of a slow stream are written when more come after this, however few they are.
SLOW_S: Final = 1.0
# Rejections beyond this are counted, not listed: a wrong file must not fill the memory.
REJECTIONS_MAX: Final = 10_000
# The same for what is worth a word and was written all the same.
WARNINGS_MAX: Final = 100
# A longer line is not kept as it stood, for whoever wants to know what was left out.
ORIGINAL_MAX_BYTES: Final = 64 << 10


@dataclass(slots=True)
class ImportSummary:
    """What an import did. received counts the lines that are not blank; the next four add up to it.

    warned, quarantined: lines that break a rule that only warns, and new names that were quarantined.
    """

    received: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected_count: int = 0
    rejected: list[Rejection] = field(default_factory=list)
    warned_count: int = 0
    warned: list[Rejection] = field(default_factory=list)
    quarantined_count: int = 0
    quarantined: list[str] = field(default_factory=list)

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
            "rejected": [told.as_dict() for told in sorted(self.rejected, key=lambda rejection: rejection.line)],
        }
        if self.rejected_count > len(self.rejected):
            answer["rejected_not_listed"] = self.rejected_count - len(self.rejected)
        if self.warned_count or self.quarantined_count:
            answer["warnings"] = {
                "rules": {"count": self.warned_count, "lines": [warning.as_dict() for warning in self.warned]},
                "quarantined": {"count": self.quarantined_count, "names": self.quarantined},
            }
        return answer


Progress = Callable[[ImportSummary], None]
# A line's number, the line or why it is none, and how it stood in a file of another format (None: as it is).
SourceLine: TypeAlias = tuple[int, bytes | Rejection, bytes | None]
# Each line beside what it says.
Parsed: TypeAlias = list[tuple[SourceLine, Line | Rejection]]
# What is told of a line that was left out: why, and how it stood in the file; None where that was too long to keep.
Refused: TypeAlias = Callable[[Rejection, bytes | None], None]


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

    As `lines_import`. Raises what the stream raises (`BrokenBody`, say) and WriteContention.
    """
    return lines_import(
        tenant_id=tenant_id,
        lines=((number, raw, None) for number, raw in lines_split(chunks, line_max_bytes=line_max_bytes)),
        mode=mode,
        now=now,
        dry_run=dry_run,
        progress=progress,
        summary=summary,
    )


def lines_import(
    *,
    tenant_id: int,
    lines: Iterable[SourceLine],
    mode: Mode,
    now: datetime,
    dry_run: bool = False,
    progress: Progress | None = None,
    refused: Refused | None = None,
    summary: ImportSummary | None = None,
) -> ImportSummary:
    """Write every good line for the bound tenant and say what became of each.

    A batch is a transaction, or two at once: after a crash or a cut connection the batches before it stand, and sending
    the same lines again changes nothing. A line is written whole or not at all. A slow stream waits for no full batch.
    dry_run: all is done and undone, batch by batch.
    progress: called after each batch with the summary so far; what it raises ends the import.
    refused: called for each line that is left out, before the `progress` of its batch.
    summary: filled as the import goes, for a caller that wants to know how far it came when it raises. Lines that it
    counts already are passed over: so an interrupted import goes on.
    Raises what the stream of lines raises, and WriteContention.
    """
    with _second_writer() as second:
        importer = _Importer(tenant_id, mode, now, dry_run, progress, refused, second, summary or ImportSummary())
        for piece, is_slow in _parsed_ahead(islice(lines, importer.summary.lines_done, None)):
            for source, line in piece:
                importer.take(source, line)
            if is_slow:
                importer.flush()
        importer.flush()
    return importer.summary


@contextmanager
def _second_writer() -> Iterator[ThreadPoolExecutor]:
    """A thread that writes beside the caller's; its connections are closed at the end."""
    with ThreadPoolExecutor(1, thread_name_prefix="import-write") as thread:
        try:
            yield thread
        finally:
            thread.submit(connections.close_all)


def _parsed_ahead(lines: Iterable[SourceLine]) -> Iterator[tuple[Parsed, bool]]:
    """Lines beside what they say, and whether the stream is slow: then they are not to wait for more.

    A batch's worth is parsed in a thread while the one before it is being written.
    The stream is read here, in the caller's thread. A BrokenBody comes after all lines that were read before it;
    whatever else the stream raises ends the import at once.
    """
    broken: list[BrokenBody] = []
    waiting: Future[Parsed] | None = None
    with ThreadPoolExecutor(1, thread_name_prefix="import-parse") as thread:
        for piece, is_slow in _pieces(lines, broken):
            parsing = thread.submit(_piece_parse, piece)
            if waiting is not None:
                yield waiting.result(), False
            waiting = parsing
            if is_slow:
                yield waiting.result(), True
                waiting = None
        if waiting is not None:
            yield waiting.result(), False
    if broken:
        raise broken[0]


def _pieces(lines: Iterable[SourceLine], broken: list[BrokenBody]) -> Iterator[tuple[list[SourceLine], bool]]:
    """Lines by the batch, or as many as came within SLOW_S, and which of the two.

    That the stream ends too early goes to `broken`, after the lines before that.
    """
    piece: list[SourceLine] = []
    size = 0
    began = 0.0
    try:
        for source in lines:
            if not piece:
                began = time.monotonic()
            piece.append(source)
            size += len(source[1]) if isinstance(source[1], bytes) else 0
            is_full = len(piece) >= BATCH_LINES or size >= BATCH_BYTES
            if is_full or time.monotonic() - began >= SLOW_S:
                yield piece, not is_full
                piece, size = [], 0
    except BrokenBody as error:
        broken.append(error)
    if piece:
        yield piece, False


def _piece_parse(piece: list[SourceLine]) -> Parsed:
    return [
        (source, raw if isinstance(raw, Rejection) else line_parse(number, raw))
        for source in piece
        for number, raw in [source[:2]]
    ]


@dataclass(slots=True)
class _Importer:
    """An import under way: the batch that fills, and the summary.

    keys: of each entity in the batch, whether its lines carry `at`. originals: of the batch's lines, by number.
    """

    tenant_id: int
    mode: Mode
    now: datetime
    dry_run: bool
    progress: Progress | None
    refused: Refused | None
    second: ThreadPoolExecutor
    summary: ImportSummary
    batch: list[Line] = field(default_factory=list)
    keys: dict[tuple[str, str], bool] = field(default_factory=dict)
    originals: dict[int, bytes] = field(default_factory=dict)
    size: int = 0

    def take(self, source: SourceLine, line: Line | Rejection) -> None:
        number, raw, original = source
        self.summary.received += 1
        kept = original if original is not None or isinstance(raw, Rejection) else raw
        if isinstance(line, Rejection):
            self._reject(line, None if kept is None or len(kept) > ORIGINAL_MAX_BYTES else kept)
            return
        key = (line.entity_type, line.external_id)
        has_at = line.at is not None
        # What a replacing line removes depends on the line before it, so an entity stands once in such a batch.
        # Nor can a batch judge lines with `at` beside lines without: which one is newer depends on what changed.
        if key in self.keys and (self.mode == "replace" or self.keys[key] != has_at):
            self.flush()
        self.batch.append(line)
        self.keys[key] = has_at
        self.size += len(line.attributes)
        if self.refused is not None and kept is not None and len(kept) <= ORIGINAL_MAX_BYTES:
            self.originals[number] = kept
            self.size += len(kept)
        if len(self.batch) >= BATCH_LINES or self.size >= BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        if self.batch:
            for result in self._written():
                self._count(result)
            self.batch.clear()
            bulk_write_pace()
            self.keys.clear()
            self.originals.clear()
            self.size = 0
        if self.progress is not None:
            self.progress(self.summary)

    def _written(self) -> list[BatchResult]:
        """Write the batch, a large one in halves at the same time: each has entities of its own.

        Where one of them fails, nothing is counted, so that what is counted stays the beginning of the stream.
        """
        if len(self.keys) < HALVES_ENTITIES:
            return self._write(self.batch)
        ours = set(islice(self.keys, len(self.keys) // 2))
        halves: tuple[list[Line], list[Line]] = ([], [])
        for line in self.batch:
            halves[(line.entity_type, line.external_id) in ours].append(line)
        theirs = self.second.submit(copy_context().run, self._write, halves[False])
        try:
            results = self._write(halves[True])
        finally:
            wait([theirs])
        return results + theirs.result()

    def _write(self, lines: list[Line]) -> list[BatchResult]:
        try:
            return [
                batch_write(tenant_id=self.tenant_id, lines=lines, mode=self.mode, now=self.now, dry_run=self.dry_run)
            ]
        except EntityTooLarge as error:
            # Which line it was, only the database could tell, and does not: halve until it stands alone.
            if len(lines) == 1:
                return [BatchResult(0, 0, 0, (Rejection(lines[0].number, error.code, error.detail),))]
            middle = len(lines) // 2
            return self._write(lines[:middle]) + self._write(lines[middle:])

    def _count(self, result: BatchResult) -> None:
        summary = self.summary
        summary.created += result.created
        summary.updated += result.updated
        summary.unchanged += result.unchanged
        for rejection in result.rejected:
            self._reject(rejection, self.originals.get(rejection.line))
        summary.warned_count += len(result.warnings)
        summary.warned += result.warnings[: WARNINGS_MAX - len(summary.warned)]
        summary.quarantined_count += len(result.quarantined)
        summary.quarantined += result.quarantined[: WARNINGS_MAX - len(summary.quarantined)]

    def _reject(self, rejection: Rejection, original: bytes | None) -> None:
        self.summary.rejected_count += 1
        if len(self.summary.rejected) < REJECTIONS_MAX:
            self.summary.rejected.append(rejection)
        if self.refused is not None:
            self.refused(rejection, original)
