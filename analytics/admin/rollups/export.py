"""What the analytics pages show, as files. Rows are written one by one: only what was found is all in memory."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import IO, Any, Final, TypeAlias, TypeVar

from django.http import FileResponse, Http404, HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase

from analytics.admin.rollups.page import RollupPage
from analytics.rollups import reading
from analytics.rollups.reading import DistributionRead, Rows, TrendRead, ValuesRead
from atlasco.lib.clock import iso
from entities.exports.formats import cell_text

R = TypeVar("R")
Row: TypeAlias = dict[str, Any]

EXPORT_MAX: Final = 1_000
# All in one statement: a database that answers it computes all of them, however few are asked for. Some 2 KB each.
EXPORT_GROUPS_MAX: Final = 50_000
_ROW_GROUP: Final = 10_000
_PIECE: Final = 1 << 16
COLUMNS: Final[Mapping[str, Sequence[str]]] = {
    "distribution": (
        *("attribute", "entity_type", "values", "distinct", "numbers", "average", "min"),
        *(*reading.QUANTILES, "max"),
    ),
    "trend": ("bucket", "entity_type", "samples", "average", "min", "median", "p95", "max"),
    "values": ("attribute", "entity_type", "value_type", "value", "count"),
}
# Parquet's types; all other columns are doubles.
_TYPES: Final = {
    **dict.fromkeys(("attribute", "entity_type", "value_type", "value"), "string"),
    **dict.fromkeys(("values", "distinct", "numbers", "samples", "count"), "int64"),
    "bucket": "timestamp",
}


class AnalyticsExport(RollupPage):
    """What a page shows, as a file: `kind` distribution, trend or values, `format` csv or parquet."""

    chooser = False
    is_whole = True
    count = 0

    def read(self, door: Callable[[Any], Rows[R]], request: Any) -> Rows[R]:
        found = super().read(door, request)
        self.is_whole, self.count = found.is_whole, len(found.rows)
        return found

    def get(self, request: HttpRequest) -> HttpResponseBase:
        kinds = {"distribution": self._distribution, "trend": self._trend, "values": self._values}
        kind, form = request.GET.get("kind", ""), request.GET.get("format", "csv")
        if kind not in kinds or form not in {"csv", "parquet"} or (kind != "distribution" and not self.attribute()):
            raise Http404("There is no such export.")
        rows = kinds[kind]()
        # Who opens the file is to know that there is more.
        cut = "" if self.is_whole else f"first-{self.count}"
        name = "-".join(part for part in (self.scope.tenant.slug, kind, cut) if part)
        response: HttpResponseBase
        if form == "csv":
            response = StreamingHttpResponse(_csv(COLUMNS[kind], rows), content_type="text/csv; charset=utf-8")
        else:
            response = FileResponse(_parquet(COLUMNS[kind], rows), content_type="application/vnd.apache.parquet")
        response["Content-Disposition"] = f'attachment; filename="{name}.{form}"'
        return response

    def _distribution(self) -> Iterator[Row]:
        request = DistributionRead(
            self.scope.tenant.pk, attribute=self.attribute(), entity_type=self.entity_type(), limit=EXPORT_GROUPS_MAX
        )
        found = self.read(reading.distribution_read, request)
        return (
            {
                "attribute": row.attribute,
                "entity_type": row.entity_type,
                "values": row.values,
                "distinct": row.distinct,
                "numbers": row.numbers.count,
                "average": row.numbers.average,
                "min": row.numbers.least,
                **{name: row.numbers.quantiles.get(name) for name in reading.QUANTILES},
                "max": row.numbers.greatest,
            }
            for row in found.rows
        )

    def _trend(self) -> Iterator[Row]:
        found = self.read(
            reading.trend_read,
            TrendRead(
                self.scope.tenant.pk,
                self.attribute(),
                self.entity_type(),
                grain=self.grain(),
                newest=True,
                limit=EXPORT_MAX,
            ),
        )
        return (point.row() for point in found.rows)

    def _values(self) -> Iterator[Row]:
        found = self.read(
            reading.values_read,
            ValuesRead(self.scope.tenant.pk, self.attribute(), self.entity_type(), limit=EXPORT_MAX),
        )
        return (
            {
                "attribute": row.attribute,
                "entity_type": row.entity_type,
                "value_type": row.value_type,
                "value": row.value,
                "count": row.count,
            }
            for row in found.rows
        )


def _csv(columns: Sequence[str], rows: Iterator[Row]) -> Iterator[bytes]:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(columns)
    for row in rows:
        writer.writerow(_cell(row, name) for name in columns)
        if buffer.tell() > _PIECE:
            yield _taken(buffer)
    yield _taken(buffer)


def _cell(row: Row, name: str) -> Any:
    """A cell that no spreadsheet runs; the text of a number stays one."""
    value = row[name]
    if isinstance(value, datetime):
        return iso(value)
    is_number = name == "value" and row["value_type"] == "number"
    return cell_text(value) if isinstance(value, str) and not is_number else value


def _taken(buffer: io.StringIO) -> bytes:
    data = buffer.getvalue().encode("utf-8", "surrogatepass")
    buffer.seek(0)
    buffer.truncate()
    return data


def _parquet(columns: Sequence[str], rows: Iterator[Row]) -> IO[bytes]:
    # Late: 0.2 s and 40 MB, for who wants such a file.
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"string": pa.string(), "int64": pa.int64(), "double": pa.float64(), "timestamp": pa.timestamp("us", "UTC")}
    schema = pa.schema([(name, types[_TYPES.get(name, "double")]) for name in columns])
    file = tempfile.TemporaryFile()  # noqa: SIM115  # The response closes it.
    with pq.ParquetWriter(file, schema) as writer:
        while group := list(islice(rows, _ROW_GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema))
    file.seek(0)
    return file
