"""Rows of an export as NDJSON, CSV or Parquet. Files in, files out; one row in memory at a time, or one row group.

The rows are kept as NDJSON first: only once all are there is it known which columns there are and of which type.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, Any, Final

import orjson

from atlasco.lib.clock import iso
from entities.search.run import EntityRow
from entities.values import Value, instant_text, value_as_text, value_type

OWN_HEADS: Final = ("entity_id", "entity_type", "external_id", "created_at", "updated_at")
# More columns than this do not make a table any more: Parquet then gets all attributes as JSON in one.
PARQUET_COLUMNS_MAX: Final = 1_000
_PARQUET_CELLS: Final = 200_000
_INT_MAX: Final = 2**63 - 1
# Up to here a double holds every whole number.
_EXACT_MAX: Final = 2**53
# What makes a spreadsheet take a text for a formula.
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


class LimitReached(Exception):
    """The file would become larger than it may; what is in it so far is whole rows."""


@dataclass(slots=True)
class Spool:
    """Rows kept on disk, and what was learned of their attributes. kinds: of each name, in order of appearance."""

    file: IO[bytes]
    bytes_max: int
    rows: int = 0
    size: int = 0
    kinds: dict[str, set[str]] = field(default_factory=dict)

    def add(self, row: EntityRow) -> None:
        """Keep a row. Raises LimitReached where it does not fit."""
        attributes: dict[str, Value] = orjson.loads(row.attributes)
        line = orjson.dumps(
            [
                str(row.entity_id),
                row.entity_type,
                row.external_id,
                iso(row.created_at),
                iso(row.updated_at),
                attributes,
            ],
            option=orjson.OPT_APPEND_NEWLINE,
        )
        if self.size + len(line) > self.bytes_max:
            raise LimitReached
        for name, value in attributes.items():
            self.kinds.setdefault(name, set()).add(_kind(value))
        self.file.write(line)
        self.size += len(line)
        self.rows += 1

    def read(self) -> Iterator[list[Any]]:
        """The rows again: the own fields, then the attributes."""
        self.file.seek(0)
        for line in self.file:
            yield orjson.loads(line)


def ndjson_write(spool: Spool, target: IO[bytes], *, bytes_max: int) -> int:
    """Each row as a line that an import takes. Returns how many rows; raises nothing at the limit, but stops."""
    written = 0
    for _, entity_type, external_id, created_at, updated_at, attributes in spool.read():
        line = orjson.dumps(
            {
                "entity_type": entity_type,
                "external_id": external_id,
                "created_at": created_at,
                "at": updated_at,
                "attributes": attributes,
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )
        if target.tell() + len(line) > bytes_max:
            break
        target.write(line)
        written += 1
    return written


def csv_write(spool: Spool, target: IO[bytes], *, names: Sequence[str], bytes_max: int) -> int:
    """A head, then each row: UTF-8, comma, CRLF. A missing value is an empty cell. Returns how many rows.

    A text that a spreadsheet would run as a formula gets an apostrophe before it, as people type it there.
    """
    written = 0
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)

    def flush() -> bool:
        data = buffer.getvalue().encode("utf-8", "surrogatepass")
        buffer.seek(0)
        buffer.truncate()
        if target.tell() + len(data) > bytes_max:
            return False
        target.write(data)
        return True

    writer.writerow([*OWN_HEADS, *(cell_text(name) for name in names)])
    if not flush():
        return 0
    for *own, attributes in spool.read():
        cells = (cell_text(attributes[name]) if name in attributes else "" for name in names)
        writer.writerow([*(cell_text(text) for text in own), *cells])
        if not flush():
            break
        written += 1
    return written


def cell_text(value: Value) -> str:
    """A value as a cell of CSV that no spreadsheet runs."""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA_STARTS) else value
    return orjson.dumps(value).decode()


def parquet_write(spool: Spool, target: IO[bytes], *, names: Sequence[str], bytes_max: int) -> int:
    """Typed columns: an attribute that is of one type everywhere keeps it, any other is text. Returns how many rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    as_json = len(names) > PARQUET_COLUMNS_MAX
    kinds = {} if as_json else {name: column_kind(spool.kinds.get(name, set())) for name in names}
    types = {
        "integer": pa.int64(),
        "number": pa.float64(),
        "boolean": pa.bool_(),
        "timestamp": pa.timestamp("us", tz="UTC"),
        "string": pa.string(),
    }
    instants = types["timestamp"]
    own = [pa.field(name, instants if name.endswith("_at") else pa.string(), nullable=False) for name in OWN_HEADS]
    # An attribute may be called like a field of the entity itself.
    rest = (
        [pa.field("attributes", pa.string())]
        if as_json
        else [pa.field(f"attributes.{name}" if name in OWN_HEADS else name, types[kinds[name]]) for name in names]
    )
    schema = pa.schema([*own, *rest])
    group_rows = max(1, min(20_000, _PARQUET_CELLS // (len(rest) + len(own))))
    written = 0
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for rows in _groups(spool.read(), group_rows):
            if target.tell() > bytes_max:
                break
            columns: list[list[Any]] = [
                [row[0] for row in rows],
                [row[1] for row in rows],
                [row[2] for row in rows],
                [datetime.fromisoformat(row[3]) for row in rows],
                [datetime.fromisoformat(row[4]) for row in rows],
            ]
            if as_json:
                columns.append([orjson.dumps(row[5]).decode() for row in rows])
            else:
                columns += [[_typed(row[5].get(name), kinds[name]) for row in rows] for name in names]
            arrays = [pa.array(values, type=column.type) for values, column in zip(columns, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            written += len(rows)
    return written


def column_kind(kinds: set[str]) -> str:
    """The type of a column whose values are of these kinds."""
    if len(kinds) == 1:
        kind = next(iter(kinds))
        return "integer" if kind in {"integer", "exact"} else kind
    if kinds == {"integer", "exact"}:
        return "integer"
    # A double holds these whole numbers, too.
    if kinds == {"exact", "number"}:
        return "number"
    return "string"


def _kind(value: Value) -> str:
    """ "exact": a whole number that a double holds; "integer": a larger one; otherwise a value type."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        if abs(value) > _INT_MAX:
            return "string"
        return "exact" if abs(value) <= _EXACT_MAX else "integer"
    kind = value_type(value)
    return "string" if kind == "timestamp" and _instant(str(value)) is None else kind


def _instant(text: str) -> datetime | None:
    """The instant in UTC, to the microsecond; None for one outside of the years that Python knows."""
    try:
        return datetime.fromisoformat(instant_text(text)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _typed(value: Value | None, kind: str) -> Any:
    if value is None:
        return None
    if kind == "timestamp":
        return _instant(str(value))
    if kind == "string":
        return value_as_text(value)
    return float(value) if kind == "number" else value


def _groups(rows: Iterator[list[Any]], size: int) -> Iterator[list[list[Any]]]:
    group: list[list[Any]] = []
    for row in rows:
        group.append(row)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
