"""How much a tenant has of what it may have, what it takes on disk, and how often it calls the API."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import DEFAULT_DB_ALIAS, connections
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from atlasco.lib import clock
from entities.selectors import tenant_amounts, tenant_storage
from tenants.admin.pages import TenantPage
from tenants.models import Tenant
from tenants.schemas import SQL

# (name in the address, title, how far back, one bar)
SPANS: Final = {
    "day": ("Last 24 hours", timedelta(hours=24), timedelta(minutes=30)),
    "month": ("Last 30 days", timedelta(days=30), timedelta(days=1)),
}
CHART_HEIGHT: Final = 100


@dataclass(frozen=True, slots=True)
class Amount:
    """One line of what a tenant has. limit: None for none; share: of the limit, in percent."""

    title: str
    used: int
    limit: int | None

    @property
    def share(self) -> float | None:
        return None if self.limit is None else min(100.0, 100 * self.used / max(1, self.limit))


@dataclass(frozen=True, slots=True)
class Bar:
    """The calls of one step of time, and where its rectangle stands in a chart that is 100 high."""

    at: datetime
    requests: int
    writes: int
    throttled: int
    failed: int
    x: float
    width: float
    height: float

    @property
    def y(self) -> float:
        return CHART_HEIGHT - self.height


class TenantUsage(TenantPage):
    """What a tenant has and asks for; for its own people and for the platform."""

    nav = "usage"
    title = "Usage"
    template_name = "atlasco/usage.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        tenant = self.scope.tenant
        span = request.GET.get("span", "day")
        title, back, step = SPANS.get(span, SPANS["day"])
        with self.scope.bind():
            amounts = tenant_amounts(tenant)
            storage = tenant_storage(tenant, amounts=amounts)
            bars = traffic_bars(tenant, now=clock.now(), back=back, step=step)
        names = (("entities", "Entities"), ("values", "Values"), ("attributes", "Attribute names"))
        return self.render(
            amounts=[Amount(words, amounts[name], getattr(tenant, f"quota_{name}")) for name, words in names],
            storage=storage,
            bars=bars,
            most=max((bar.requests for bar in bars), default=0),
            totals={
                name: sum(getattr(bar, name) for bar in bars) for name in ("requests", "writes", "throttled", "failed")
            },
            span=span if span in SPANS else "day",
            span_title=title,
            spans=[(name, words) for name, (words, _, _) in SPANS.items()],
        )


def traffic_bars(tenant: Tenant, *, now: datetime, back: timedelta, step: timedelta) -> list[Bar]:
    """The bound tenant's calls of the API, a bar a step, oldest first; empty steps are there, too."""
    since = datetime.fromtimestamp((now - back).timestamp() // step.total_seconds() * step.total_seconds(), now.tzinfo)
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        arguments = {"tenant_id": tenant.pk, "since": since, "until": now, "step": step}
        cursor.execute(SQL["traffic_of_tenant"], arguments)
        rows = cursor.fetchall()
    most = max(1, max((row[1] for row in rows), default=0))
    width = 100 / max(1, len(rows))
    return [
        # Between two bars is a gap.
        Bar(at, requests, writes, held, failed, place * width, width * 0.8, CHART_HEIGHT * requests / most)
        for place, (at, requests, writes, held, failed) in enumerate(rows)
    ]
