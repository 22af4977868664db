"""The lag monitor: how late every store is, who answered what, and whether promises were kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import redis
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django_redis import get_redis_connection

from analytics.feed.metrics import metrics_read
from freshness import figures
from freshness.alerts import Condition, conditions_now
from freshness.choice import Candidate
from freshness.figures import Objective, Reads, objective_of
from freshness.monitor import PRIMARY, monitor
from freshness.policy import TIERS
from freshness.reads import alias_of, stores_now
from freshness.recorder import burn_by_tier
from freshness.tokens import lsn_text
from tenants.admin.pages import Page
from tenants.models import Tenant

TENANTS_SHOWN: Final = 15
_MINUTES: Final = 60
_LAG_SAMPLES: Final = 720
_CHART_POINTS: Final = 120


@dataclass(frozen=True, slots=True)
class StoreLine:
    """One store, as the page shows it."""

    store: Candidate
    position: str
    breaker: str
    opened: int
    since_s: float | None


@dataclass(frozen=True, slots=True)
class Point:
    """One of the specification's five detection points. limit_s: above it somebody should look."""

    number: str
    title: str
    detail: str
    lag_s: float | None
    limit_s: float

    @property
    def is_late(self) -> bool:
        return self.lag_s is None or self.lag_s > self.limit_s

    @property
    def milliseconds(self) -> int:
        return round((self.lag_s or 0.0) * 1000)

    @property
    def limit_milliseconds(self) -> int:
        return round(self.limit_s * 1000)


@dataclass(frozen=True, slots=True)
class TierLine:
    """How a tier kept its promise in 24 hours, and how fast its error budget is being spent."""

    tier: str
    day: Objective
    burn_5m: float
    burn_1h: float


@dataclass(frozen=True, slots=True)
class TenantLine:
    """The same of one tenant. tiers: in the order of TIERS; None where it read nothing."""

    slug: str
    reads: int
    tiers: Sequence[Objective | None]


class LagMonitor(Page):
    """The page: the live part loads again by itself, the charts with the page."""

    host = "platform"
    nav = "freshness"
    title = "Freshness"
    template_name = "atlasco/freshness/monitor.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return self.render(**live(), **history(now_s=time.time()))


class LagMonitorLive(Page):
    """What is known of every store now."""

    host = "platform"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return self.fragment("atlasco/freshness/live.html", **live())


def live() -> dict[str, Any]:
    """Stores, detection points and alerts, as this process knows them now."""
    stores = stores_now()
    return {
        "stores": [_store_line(store) for store in stores],
        "points": points_now(stores),
        "alerts": alerts_now(stores),
    }


def _store_line(store: Candidate) -> StoreLine:
    watch, key = monitor(), alias_of(store)
    breaker, reading = watch.breaker(key), watch.reading(key)
    return StoreLine(
        store=store,
        position="" if store.position is None else lsn_text(store.position),
        breaker=breaker.state,
        opened=breaker.opened,
        since_s=None if reading is None else time.monotonic() - reading.since,
    )


def points_now(stores: Sequence[Candidate]) -> list[Point]:
    """The five points at which a change can be late on its way, in its order."""
    lags = {store.name: store.lag_s for store in stores if store.up}
    replicas = [lag for store in stores if store.source == "read-replica" and (lag := lags.get(store.name)) is not None]
    fed = [lag for name in ("redis-cache", "clickhouse") if (lag := lags.get(name)) is not None]
    reading = monitor().reading(PRIMARY)
    took_s = None if reading is None else reading.took_s
    return [
        Point("①", "Write", "sent to confirmed, on the primary", took_s, 0.1),
        Point("②", "Log decoded", "by the change feed; its fastest store shows it", min(fed, default=None), 5.0),
        Point("③", "Replicas", "the latest one", max(replicas, default=None), 10.0),
        Point("④", "Change stream", "to the hot cache", lags.get("redis-cache"), 60.0),
        Point("⑤", "Stream processing", "to ClickHouse", lags.get("clickhouse"), 60.0),
    ]


def alerts_now(stores: Sequence[Candidate]) -> list[Condition]:
    """What is wrong now; without Valkey only what the stores themselves tell."""
    try:
        client = get_redis_connection("default")
        feed = metrics_read(client)
        burn = burn_by_tier(figures.reads_of_minutes(client, now_s=time.time(), minutes=_MINUTES))
    except redis.RedisError:
        feed, burn = {}, {}
    return conditions_now(stores, burn=burn, feed=feed)


def history(*, now_s: float) -> dict[str, Any]:
    """Charts of the last hour, and promises of the last day; `has_history` is False without Valkey."""
    try:
        client = get_redis_connection("default")
        samples = figures.lag_samples(client, number=_LAG_SAMPLES)
        minutes = figures.reads_of_minutes(client, now_s=now_s, minutes=_MINUTES)
        day = figures.reads_of_day(client, now_s=now_s)
    except redis.RedisError:
        return {"has_history": False}
    burn = burn_by_tier(minutes)
    tiers = [
        TierLine(tier, objective_of(_of(day, tier=tier), objective=settings.SLA_OBJECTIVE), *burn[tier][:2])
        for tier in TIERS
    ]
    return {
        "has_history": True,
        "lag_chart": lag_chart(samples),
        "reads_chart": reads_chart(minutes, now_s=now_s),
        "shares": shares_of(day),
        "tiers": tiers,
        "tenants": tenant_lines(day),
        "tier_names": TIERS,
        "objective": settings.SLA_OBJECTIVE,
        "reads_of_day": day.total(),
    }


def lag_chart(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Lines of every store's lag, for charts.js. Of many samples the latest of each stretch is taken, the worst one."""
    step = max(1, len(samples) // _CHART_POINTS)
    stretches = [samples[start : start + step] for start in range(0, len(samples), step)]
    names = sorted({name for sample in samples for name in sample["lag"] if name != "primary"})

    def worst(stretch: Sequence[dict[str, Any]], name: str) -> float | None:
        return max((lag for sample in stretch if (lag := sample["lag"].get(name)) is not None), default=None)

    return {
        "kind": "lines",
        "from_zero": True,
        "has_gaps": True,
        "labels": [time.strftime("%H:%M:%S", time.gmtime(stretch[-1]["at"])) for stretch in stretches],
        "series": [{"name": name, "values": [worst(stretch, name) for stretch in stretches]} for name in names],
    }


def reads_chart(minutes: Sequence[Reads], *, now_s: float) -> dict[str, Any]:
    """Stacked bars of reads a minute by who answered, for charts.js."""
    sources = sorted({kind.source for part in minutes for kind in part})
    starts = [now_s - figures.MINUTE_S * back for back in reversed(range(len(minutes)))]
    return {
        "kind": "stacks",
        "labels": [time.strftime("%H:%M", time.gmtime(start)) for start in starts],
        "series": [
            {
                "name": source,
                "values": [sum(n for kind, n in part.items() if kind.source == source) for part in minutes],
            }
            for source in sources
        ],
    }


def shares_of(reads: Reads) -> list[tuple[str, int, float]]:
    """Who answered: source, reads, share; the most first."""
    total = reads.total()
    by_source: dict[str, int] = {}
    for kind, number in reads.items():
        by_source[kind.source] = by_source.get(kind.source, 0) + number
    return [(source, number, number / total) for source, number in sorted(by_source.items(), key=lambda item: -item[1])]


def tenant_lines(reads: Reads) -> list[TenantLine]:
    """The tenants with the most broken promises first, then those that read most."""
    totals: dict[int, tuple[int, int]] = {}
    for kind, number in reads.items():
        bad, every = totals.get(kind.tenant_id, (0, 0))
        totals[kind.tenant_id] = (bad + (number if kind.met != "true" else 0), every + number)
    first = sorted(totals, key=lambda tenant_id: totals[tenant_id], reverse=True)[:TENANTS_SHOWN]
    slugs = dict(Tenant.objects.filter(pk__in=first).values_list("pk", "slug"))
    lines = []
    for tenant_id in first:
        if tenant_id not in slugs:
            continue  # Deleted meanwhile, or nobody's.
        own = Reads({kind: number for kind, number in reads.items() if kind.tenant_id == tenant_id})
        objectives = [objective_of(_of(own, tier=tier), objective=settings.SLA_OBJECTIVE) for tier in TIERS]
        lines.append(TenantLine(slugs[tenant_id], own.total(), [each if each.reads else None for each in objectives]))
    return lines


def _of(reads: Reads, *, tier: str) -> Reads:
    return Reads({kind: number for kind, number in reads.items() if kind.tier == tier})
