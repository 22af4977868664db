"""Analytics of a tenant: one attribute in figures and charts, or all numbers in a table; and their export."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

import pyarrow as pa
import pyarrow.parquet as pq
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from analytics.rollups import reading
from analytics.rollups.reading import (
    GRAINS,
    Distribution,
    DistributionRead,
    EntitiesPoint,
    EntitiesRead,
    Grain,
    Histogram,
    Rows,
    TrendNotFresh,
    TrendPoint,
    TrendRead,
    TypesRead,
    ValueCount,
    ValuesRead,
)
from atlasco.lib.clock import iso
from entities.admin.pages import DataPage
from entities.values import ENTITY_TYPE_MAX_CHARS, NAME_MAX_CHARS
from freshness.state import Answer, FreshnessState, freshness_scope, freshness_state

R = TypeVar("R")

LARGEST: Final = 50
TOP_VALUES: Final = 20
TYPES_MAX: Final = 50
# As many points as a chart on a laptop shows apart from each other.
POINTS: Final[dict[Grain, int]] = {"hour": 168, "day": 90}
EXPORT_MAX: Final = 1_000
# All in one statement: a database that answers it computes all of them, however few are asked for.
EXPORT_GROUPS_MAX: Final = 200_000


class _RollupPage(DataPage):
    """Reads rollups, and remembers of several answers the one that is furthest behind."""

    nav = "analytics"
    route = "analytics"
    refreshed_at: datetime | None = None

    def read(self, door: Callable[[Any], Rows[R]], request: Any) -> Rows[R]:
        with self.scope.bind(), freshness_scope(FreshnessState()):
            found = door(request)
            answer = freshness_state().answer
        self.answer = _further_behind(self.answer, answer)
        self.refreshed_at = found.refreshed_at or self.refreshed_at
        return found

    def attribute(self) -> str:
        return _text(self.request, "attribute", NAME_MAX_CHARS)

    def entity_type(self) -> str:
        return _text(self.request, "type", ENTITY_TYPE_MAX_CHARS)

    def grain(self) -> Grain:
        return "hour" if self.request.GET.get("grain") == "hour" else "day"


class AnalyticsPage(_RollupPage):
    """Without an attribute, the numbers of all: the largest distributions, and how many entities there are."""

    title = "Analytics"
    template_name = "atlasco/analytics/page.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return self._attribute() if self.attribute() else self._all()

    def _all(self) -> HttpResponseBase:
        tenant_id = self.scope.tenant.pk
        largest = self.read(
            reading.distribution_read,
            DistributionRead(tenant_id, entity_type=self.entity_type(), largest=True, limit=LARGEST),
        )
        entities = self.read(
            reading.entities_read,
            EntitiesRead(tenant_id, entity_type=self.entity_type(), newest=True, limit=1_000),
        )
        return self._shown(
            rows=largest.rows,
            is_whole=largest.is_whole,
            charts=[_entities_chart(entities.rows)] if entities.rows else [],
            types=self._types(),
            export_query=urlencode({"kind": "distribution", "type": self.entity_type()}),
        )

    def _attribute(self) -> HttpResponseBase:
        tenant_id, attribute, entity_type = self.scope.tenant.pk, self.attribute(), self.entity_type()
        distributions = self.read(
            reading.distribution_read, DistributionRead(tenant_id, attribute=attribute, limit=TYPES_MAX)
        )
        chosen = [row for row in distributions.rows if entity_type in {"", row.entity_type}]
        # The one with the most values is shown first; the others can be chosen.
        shown = max(chosen, key=lambda row: row.values, default=None)
        kept = shown.entity_type if shown is not None else entity_type
        charts: list[Chart] = []
        notes: list[str] = []
        if shown is not None:
            charts += self._charts(attribute, kept, shown, notes)
        query = {"attribute": attribute, "type": kept, "grain": self.grain()}
        return self._shown(
            title=attribute,
            crumbs=(("Analytics", self.scope.url("analytics")),),
            rows=distributions.rows,
            is_whole=distributions.is_whole,
            shown=shown,
            charts=charts,
            notes=notes,
            types=[row.entity_type for row in distributions.rows],
            grain=self.grain(),
            grains=GRAINS,
            export_query=urlencode({**query, "kind": "distribution"}),
            export_trend_query=urlencode({**query, "kind": "trend"}),
            export_values_query=urlencode({**query, "kind": "values"}),
        )

    def _charts(self, attribute: str, entity_type: str, shown: Distribution, notes: list[str]) -> list[Chart]:
        tenant_id = self.scope.tenant.pk
        charts = []
        if shown.histogram is not None:
            charts.append(_histogram_chart(attribute, shown.histogram))
        if shown.numbers.count:
            try:
                trend = self.read(
                    reading.trend_read,
                    TrendRead(
                        tenant_id,
                        attribute,
                        entity_type,
                        grain=self.grain(),
                        newest=True,
                        limit=POINTS[self.grain()],
                    ),
                )
                charts.append(_trend_chart(attribute, self.grain(), trend.rows))
            except TrendNotFresh:
                notes.append("The trend can't be shown now: it comes from ClickHouse, which is too far behind or away.")
        values = self.read(reading.values_read, ValuesRead(tenant_id, attribute, entity_type, limit=TOP_VALUES))
        if values.rows:
            charts.append(_values_chart(attribute, values.rows, is_whole=values.is_whole))
        elif not shown.numbers.count:
            notes.append(
                f"There are about {shown.distinct:,} different values, too many to count each of them. "
                "Attributes with up to 200 are counted value by value."
            )
        return charts

    def _types(self) -> list[str]:
        """Of what there are entities, most first."""
        found = self.read(reading.types_read, TypesRead(self.scope.tenant.pk, limit=TYPES_MAX))
        return [row.entity_type for row in found.rows]

    def _shown(self, **context: Any) -> HttpResponseBase:
        return self.render(
            attribute=self.attribute(),
            entity_type=self.entity_type(),
            refreshed_at=self.refreshed_at,
            **context,
        )


class AnalyticsExport(_RollupPage):
    """What a page shows, as a file: `kind` distribution, trend or values, `format` csv or parquet."""

    chooser = False
    is_whole = True

    def read(self, door: Callable[[Any], Rows[R]], request: Any) -> Rows[R]:
        found = super().read(door, request)
        self.is_whole = found.is_whole
        return found

    def get(self, request: HttpRequest) -> HttpResponseBase:
        kinds = {"distribution": self._distribution, "trend": self._trend, "values": self._values}
        kind, form = request.GET.get("kind", ""), request.GET.get("format", "csv")
        if kind not in kinds or form not in {"csv", "parquet"} or (kind != "distribution" and not self.attribute()):
            raise Http404("There is no such export.")
        rows = kinds[kind]()
        # Who opens the file is to know that there is more.
        cut = "" if self.is_whole else f"first-{len(rows)}"
        name = "-".join(part for part in (self.scope.tenant.slug, kind, cut) if part)
        if form == "csv":
            content, media_type = _csv(rows), "text/csv; charset=utf-8"
        else:
            content, media_type = _parquet(rows), "application/vnd.apache.parquet"
        response = HttpResponse(content, content_type=media_type)
        response["Content-Disposition"] = f'attachment; filename="{name}.{form}"'
        return response

    def _distribution(self) -> list[dict[str, Any]]:
        request = DistributionRead(
            self.scope.tenant.pk, attribute=self.attribute(), entity_type=self.entity_type(), limit=EXPORT_GROUPS_MAX
        )
        found = self.read(reading.distribution_read, request)
        return [
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
        ]

    def _trend(self) -> list[dict[str, Any]]:
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
        return [point.row() for point in found.rows]

    def _values(self) -> list[dict[str, Any]]:
        found = self.read(
            reading.values_read,
            ValuesRead(self.scope.tenant.pk, self.attribute(), self.entity_type(), limit=EXPORT_MAX),
        )
        return [
            {
                "attribute": row.attribute,
                "entity_type": row.entity_type,
                "value_type": row.value_type,
                "value": row.value,
                "count": row.count,
            }
            for row in found.rows
        ]


# --- Charts -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Chart:
    """A chart as atlasco/static/atlasco/charts.js draws it, and the same as a table.

    kind: "bars", "lying" or "lines"; summary: what one sees, in a sentence; series: (name, numbers); columns, rows: the
    table, whose first column is the labels.
    """

    key: str
    title: str
    kind: str
    summary: str
    labels: list[str]
    series: list[tuple[str, list[float | None]]]
    columns: list[str]
    rows: list[list[Any]]

    @property
    def data_id(self) -> str:
        return f"chart-{self.key}-data"

    @property
    def data(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "labels": self.labels,
            "series": [{"name": name, "values": values} for name, values in self.series],
        }


def _histogram_chart(attribute: str, histogram: Histogram) -> Chart:
    starts = [histogram.start + histogram.width * place for place in range(len(histogram.counts))]
    last = len(starts) - 1
    is_whole = histogram.width == 1 and float(histogram.start).is_integer()
    labels = []
    for place, start in enumerate(starts):
        text = _short(start) if is_whole else f"{_short(start)} – {_short(start + histogram.width)}"
        if last and place in {0, last}:
            text = (
                f"{'up to' if place == 0 else 'from'} {_short(start + (0 if place or is_whole else histogram.width))}"
            )
        labels.append(text)
    most = max(range(len(starts)), key=lambda place: histogram.counts[place])
    return Chart(
        key="histogram",
        title="Distribution",
        kind="bars",
        summary=f"How many values of {attribute} lie where; most, {histogram.counts[most]:,}, are {labels[most]}.",
        labels=labels,
        series=[("Values", [float(count) for count in histogram.counts])],
        columns=[attribute, "Values"],
        rows=[[label, count] for label, count in zip(labels, histogram.counts, strict=True)],
    )


def _trend_chart(attribute: str, grain: Grain, points: Sequence[TrendPoint]) -> Chart:
    labels = [_bucket(point.bucket, grain) for point in points]
    return Chart(
        key="trend",
        title=f"By the {grain} in which values were set (UTC)",
        kind="lines",
        summary=f"Median, average and 95th percentile of {attribute} over {len(points)} {grain}s with values.",
        labels=labels,
        series=[
            ("Median", [point.median for point in points]),
            ("Average", [point.average for point in points]),
            ("95 %", [point.p95 for point in points]),
        ],
        columns=[grain.capitalize(), "Samples", "Least", "Median", "Average", "95 %", "Greatest"],
        rows=[
            [
                label,
                point.samples,
                *(_short(figure) for figure in (point.least, point.median, point.average, point.p95, point.greatest)),
            ]
            for label, point in zip(labels, points, strict=True)
        ],
    )


def _values_chart(attribute: str, rows: Sequence[ValueCount], *, is_whole: bool) -> Chart:
    labels = [row.value if len(row.value) <= 40 else f"{row.value[:39]}…" for row in rows]
    return Chart(
        key="values",
        title="Values" if is_whole else f"The {len(rows)} most frequent values",
        kind="lying",
        summary=f"How often each value of {attribute} occurs; most often {labels[0]}, {rows[0].count:,} times.",
        labels=labels,
        series=[("Entities", [float(row.count) for row in rows])],
        columns=[attribute, "Type", "Entities"],
        rows=[[row.value, row.value_type, row.count] for row in rows],
    )


def _entities_chart(points: Sequence[EntitiesPoint]) -> Chart:
    days = sorted({point.day for point in points})
    kinds = sorted({point.entity_type for point in points})
    found = {(point.entity_type, point.day): point.total for point in points}
    series: list[tuple[str, list[float | None]]] = []
    for kind in kinds[:8]:
        # On a day on which none was made there are as many as before.
        values: list[float | None] = []
        for day in days:
            total = found.get((kind, day))
            values.append(float(total) if total is not None else values[-1] if values else None)
        series.append((kind, values))
    labels = [_bucket(day, "day") for day in days]
    return Chart(
        key="entities",
        title="Entities by the day of their creation",
        kind="lines",
        summary=f"How many of the entities that exist now existed at the end of each of {len(days)} days, by type.",
        labels=labels,
        series=series,
        columns=["Day", *(kind for kind, _ in series)],
        rows=[
            [label, *("–" if values[place] is None else f"{values[place]:,.0f}" for _, values in series)]
            for place, label in enumerate(labels)
        ],
    )


def _bucket(instant: datetime, grain: Grain) -> str:
    return instant.strftime("%Y-%m-%d %H:00" if grain == "hour" else "%Y-%m-%d")


def _short(number: float | None) -> str:
    """A number as a chart's label has room for it."""
    if number is None:
        return "–"
    if float(number).is_integer() and abs(number) < 1e15:
        return f"{int(number):,}"
    return f"{number:,.4g}" if abs(number) < 1e4 else f"{number:,.0f}" if abs(number) < 1e15 else f"{number:.3g}"


# --- Files ------------------------------------------------------------------------------------------------------------
def _csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    if rows:
        writer = csv.DictWriter(text, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(
            {name: iso(value) if isinstance(value, datetime) else value for name, value in row.items()} for row in rows
        )
    return text.getvalue().encode()


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


def _text(request: HttpRequest, name: str, most: int) -> str:
    return request.GET.get(name, "").replace("\x00", "")[:most]


def _further_behind(one: Answer | None, other: Answer | None) -> Answer | None:
    if one is None or other is None:
        return one or other
    return one if one.lag_s is None or (other.lag_s is not None and one.lag_s >= other.lag_s) else other
