"""Figures of rollups as charts, each with the same as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from analytics.rollups.reading import EntitiesPoint, Grain, Histogram, TrendPoint, ValueCount


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart as atlasco/static/atlasco/charts.js draws it, and the same as a table.

    kind: "bars", "lying" or "lines"; summary: what one sees, in a sentence; axes: what the labels are, and the numbers;
    series: (name, numbers); columns, rows: the table, whose first column is the labels.
    """

    key: str
    title: str
    kind: str
    summary: str
    axes: tuple[str, str]
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
            "axes": self.axes,
            "labels": self.labels,
            "series": [{"name": name, "values": values} for name, values in self.series],
        }


def histogram_chart(attribute: str, histogram: Histogram) -> Chart:
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
        axes=(attribute, "values"),
        labels=labels,
        series=[("Values", [float(count) for count in histogram.counts])],
        columns=[attribute, "Values"],
        rows=[[label, count] for label, count in zip(labels, histogram.counts, strict=True)],
    )


def trend_chart(attribute: str, grain: Grain, points: Sequence[TrendPoint]) -> Chart:
    labels = [_bucket(point.bucket, grain) for point in points]
    return Chart(
        key="trend",
        title=f"By the {grain} in which values were set (UTC)",
        kind="lines",
        summary=f"Median, average and 95th percentile of {attribute} over {len(points)} {grain}s with values.",
        axes=(f"{grain} (UTC)", attribute),
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


def values_chart(attribute: str, rows: Sequence[ValueCount], *, is_whole: bool) -> Chart:
    labels = [row.value if len(row.value) <= 40 else f"{row.value[:39]}…" for row in rows]
    return Chart(
        key="values",
        title="Values" if is_whole else f"The {len(rows)} most frequent values",
        kind="lying",
        summary=f"How often each value of {attribute} occurs; most often {labels[0]}, {rows[0].count:,} times.",
        axes=(attribute, "entities"),
        labels=labels,
        series=[("Entities", [float(row.count) for row in rows])],
        columns=[attribute, "Type", "Entities"],
        rows=[[row.value, row.value_type, row.count] for row in rows],
    )


def entities_chart(points: Sequence[EntitiesPoint]) -> Chart:
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
        title="Entities by day of creation",
        kind="lines",
        summary=f"How many of the entities that exist now existed at the end of each of {len(days)} days, by type.",
        axes=("day (UTC)", "entities"),
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
