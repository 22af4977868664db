"""Analytics of a tenant: one attribute in figures and charts, or all numbers in a table."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from analytics.admin.rollups.charts import Chart, entities_chart, histogram_chart, trend_chart, values_chart
from analytics.rollups import reading
from analytics.rollups.reading import (
    GRAINS,
    Distribution,
    DistributionRead,
    EntitiesRead,
    Grain,
    Rows,
    TrendNotFresh,
    TrendRead,
    TypesRead,
    ValuesRead,
)
from entities.admin.pages import DataPage
from entities.values import ENTITY_TYPE_MAX_CHARS, NAME_MAX_CHARS
from freshness.state import Answer, FreshnessState, freshness_scope, freshness_state

R = TypeVar("R")

LARGEST: Final = 50
TOP_VALUES: Final = 20
TYPES_MAX: Final = 50
# As many points as a chart on a laptop shows apart from each other.
POINTS: Final[dict[Grain, int]] = {"hour": 168, "day": 90}


class RollupPage(DataPage):
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


class AnalyticsPage(RollupPage):
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
            charts=[entities_chart(entities.rows)] if entities.rows else [],
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
            charts.append(histogram_chart(attribute, shown.histogram))
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
                charts.append(trend_chart(attribute, self.grain(), trend.rows))
            except TrendNotFresh:
                notes.append("The trend can't be shown now: it comes from ClickHouse, which is too far behind or away.")
        values = self.read(reading.values_read, ValuesRead(tenant_id, attribute, entity_type, limit=TOP_VALUES))
        if values.rows:
            charts.append(values_chart(attribute, values.rows, is_whole=values.is_whole))
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


def _text(request: HttpRequest, name: str, most: int) -> str:
    return request.GET.get(name, "").replace("\x00", "")[:most]


def _further_behind(one: Answer | None, other: Answer | None) -> Answer | None:
    if one is None or other is None:
        return one or other
    return one if one.lag_s is None or (other.lag_s is not None and one.lag_s >= other.lag_s) else other
