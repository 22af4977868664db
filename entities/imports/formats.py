"""What a file is, and its rows as a stream: NDJSON, CSV in any dialect, Parquet; the first two also gzipped."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Literal, TypeAlias, cast

import orjson

from entities.imports.files import CHUNK, ChunkStream
from entities.imports.mapping import COLUMNS_MAX, Mapping, RowReader
from entities.ingest.importer import SourceLine
from entities.ingest.lines import BrokenBody, lines_split, plain

Format: TypeAlias = Literal["ndjson", "csv", "parquet"]
Advanced: TypeAlias = Callable[[int], None]
PARQUET_MAGIC: Final = b"PAR1"
SAMPLE_BYTES: Final = 1 << 18
SAMPLE_ROWS: Final = 500
ENCODINGS: Final = ("utf-8", "utf-8-sig", "utf-16", "cp1252", "iso-8859-1", "iso-8859-15", "mac-roman")
DELIMITERS: Final = (",", ";", "\t", "|")
_ROWS_A_BATCH: Final = 5_000

# A cell is a value, and a value has at most 1 MiB; the reader's own bound is less.
csv.field_size_limit(8 << 20)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a CSV file is written."""

    encoding: str = "utf-8"
    delimiter: str = ","
    header: bool = True

    def as_dict(self) -> dict[str, Any]:
        return {"encoding": self.encoding, "delimiter": self.delimiter, "header": self.header}


@dataclass(frozen=True, slots=True)
class Sample:
    """The beginning of a file. labels: of its columns; rows: their cells, in that order."""

    labels: list[str]
    rows: list[list[Any]]


def dialect_parse(told: dict[str, Any]) -> Dialect:
    """The dialect that a job's options name; what they don't name is as usual."""
    encoding, delimiter = told.get("encoding", "utf-8"), told.get("delimiter", ",")
    return Dialect(
        encoding if encoding in ENCODINGS else "utf-8",
        delimiter if delimiter in DELIMITERS else ",",
        bool(told.get("header", True)),
    )


def format_sniff(head: bytes) -> Format:
    """What a file is, by its first bytes, decompressed."""
    if head.startswith(PARQUET_MAGIC):
        return "parquet"
    return "ndjson" if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") else "csv"


def dialect_sniff(head: bytes) -> Dialect:
    """How a CSV file is probably written, by its first bytes."""
    encoding = _encoding_sniff(head)
    # The last line of a piece may be cut.
    text = head.decode(encoding, errors="ignore")
    lines = text.splitlines()
    sample = "\n".join(lines[:-1] if len(lines) > 1 and len(head) >= SAMPLE_BYTES else lines)

    def evenness(delimiter: str) -> tuple[float, int]:
        counts = [len(row) for row in islice(csv.reader(io.StringIO(sample), delimiter=delimiter), 50) if row]
        if not counts or max(counts) == 1:
            return (0.0, 0)
        usual = max(set(counts), key=counts.count)
        return (counts.count(usual) / len(counts) if usual > 1 else 0.0, usual)

    try:
        delimiter = max(DELIMITERS, key=evenness)
    except csv.Error:
        delimiter = ","
    return Dialect(encoding, delimiter, _header_sniff(sample, delimiter))


def _encoding_sniff(head: bytes) -> str:
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _header_sniff(sample: str, delimiter: str) -> bool:
    """Whether the first row names the columns: it has no empty cell, no repeated one and no number."""
    first = next((row for row in csv.reader(io.StringIO(sample), delimiter=delimiter) if row), [])
    return len(set(first)) == len(first) and not any(not cell.strip() or _is_number(cell) for cell in first)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def head_read(file: Any) -> bytes:
    """The first bytes of a file, decompressed. It is left at its beginning. Raises BrokenBody."""
    file.seek(0)
    head, size = [], 0
    for chunk in plain(iter(lambda: file.read(CHUNK), b"")):
        head.append(chunk)
        size += len(chunk)
        if size >= SAMPLE_BYTES:
            break
    file.seek(0)
    return b"".join(head)[:SAMPLE_BYTES]


def sample_read(file: Any, file_format: Format, dialect: Dialect, *, rows: int = SAMPLE_ROWS) -> Sample:
    """The columns and first rows of a CSV or Parquet file. Raises BrokenBody."""
    file.seek(0)
    if file_format == "parquet":
        table = _parquet_open(file)
        batch = next(table.iter_batches(batch_size=rows), None)
        columns = [] if batch is None else [_cells(column) for column in batch.columns]
        return Sample(_labels(table.schema_arrow.names), [list(row) for row in zip(*columns, strict=True)])
    records = _csv_records(plain(iter(lambda: file.read(CHUNK), b"")), dialect)
    labels: list[str] = []
    cells: list[list[str]] = []
    for _, row in islice(records, rows + 1):
        if not labels:
            labels = _labels(row if dialect.header else [f"column {number}" for number in range(1, len(row) + 1)])
            if dialect.header:
                continue
        cells.append(row)
    return Sample(labels, cells[:rows])


def lines_read(
    file: Any,
    file_format: Format,
    *,
    dialect: Dialect,
    mapping: Mapping | None,
    line_max_bytes: int,
    advanced: Advanced,
) -> Iterator[SourceLine]:
    """The file's rows as lines of an import, one after the other, never whole in memory.

    Each comes with how it stood in the file. advanced: called with the bytes that have been read so far.
    Raises BrokenBody.
    """
    file.seek(0)
    if file_format == "parquet":
        return _parquet_lines(file, mapping or Mapping(), advanced)
    chunks = plain(_counted(file, advanced))
    if file_format == "csv":
        return _csv_lines(chunks, dialect, mapping or Mapping())
    return ((number, raw, None) for number, raw in lines_split(chunks, line_max_bytes=line_max_bytes))


def _counted(file: Any, advanced: Advanced) -> Iterator[bytes]:
    done = 0
    while chunk := file.read(CHUNK):
        done += len(chunk)
        yield chunk
        advanced(done)


def _csv_lines(chunks: Iterable[bytes], dialect: Dialect, mapping: Mapping) -> Iterator[SourceLine]:
    reader: RowReader | None = None
    for number, row in _csv_records(chunks, dialect):
        if reader is None:
            labels = row if dialect.header else [f"column {at}" for at in range(1, len(row) + 1)]
            reader = RowReader(mapping, _labels(labels))
            if dialect.header:
                continue
        yield number, reader.line(number, row), orjson.dumps(row)


def _csv_records(chunks: Iterable[bytes], dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """(number of its first line, cells) of each record that is not blank. Raises BrokenBody."""
    records = csv.reader(_text_lines(chunks, dialect.encoding), delimiter=dialect.delimiter)
    while True:
        number = records.line_num + 1
        try:
            row = next(records, None)
        except csv.Error as error:
            raise BrokenBody(
                f"From line {number} on, this is not CSV: {error}. Is a quotation mark left open?"
            ) from None
        if row is None:
            return
        if row:
            yield number, row


def _text_lines(chunks: Iterable[bytes], encoding: str) -> Iterator[str]:
    """Lines with their ends, whatever these are. Raises BrokenBody."""
    text = io.TextIOWrapper(io.BufferedReader(ChunkStream(chunks), CHUNK), encoding=encoding, newline="")
    limit = csv.field_size_limit()
    number = 1
    while True:
        try:
            line = text.readline(limit)
        except UnicodeDecodeError:
            detail = f"After line {number} there is something that is not {encoding}. Choose another encoding."
            raise BrokenBody(detail) from None
        if len(line) >= limit:
            raise BrokenBody(f"Line {number} is longer than a line can be. Is this a text file?")
        if not line:
            return
        number += 1
        yield line


def _labels(names: Sequence[str]) -> list[str]:
    """The names, each once: a repeated one gets a number, an empty one says which column it is. Raises BrokenBody."""
    if len(names) > COLUMNS_MAX:
        raise BrokenBody(f"A file has at most {COLUMNS_MAX} columns; this one has {len(names)}.")
    labels: dict[str, None] = {}
    copies: Counter[str] = Counter()
    for at, name in enumerate(names, 1):
        label = base = name.strip() or f"column {at}"
        while label in labels:
            # Counted on from the copy before: of thousands of one name, each is found at once.
            copies[base] += 1
            label = f"{base} ({copies[base] + 1})"
        labels[label] = None
    return list(labels)


def _parquet_open(file: Any) -> Any:
    # Imported where it is used: it takes a fifth of a second, and few processes ever need it.
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import ParquetFile

    try:
        return ParquetFile(getattr(file, "file", file))
    except (ArrowInvalid, OSError) as error:
        raise BrokenBody(f"The file is not Parquet: {error}.") from None


def _parquet_lines(file: Any, mapping: Mapping, advanced: Advanced) -> Iterator[SourceLine]:
    from pyarrow import ArrowException

    table = _parquet_open(file)
    names = table.schema_arrow.names
    reader = RowReader(mapping, _labels(names))
    total = max(table.metadata.num_rows, 1)
    size = file.size
    number = 0
    try:
        for batch in table.iter_batches(batch_size=_ROWS_A_BATCH):
            columns = [_cells(column) for column in batch.columns]
            for row in zip(*columns, strict=True):
                number += 1
                original = dict(zip(names, row, strict=True))
                yield (
                    number,
                    reader.line(number, row),
                    orjson.dumps(original, default=str, option=orjson.OPT_NON_STR_KEYS),
                )
            advanced(size * number // total)
    except ArrowException as error:
        raise BrokenBody(f"After row {number} the file is broken: {error}.") from None


def _cells(column: Any) -> list[Any]:
    """A column's cells as Python has them; nanoseconds, which it has not, as text."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    return cast("list[Any]", column.to_pylist())
