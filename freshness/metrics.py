"""Freshness for Prometheus: what this process knows of every store, and all reads of all processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from freshness.monitor import PRIMARY, monitor
from freshness.reads import alias_of, stores_now


class FreshnessCollector:
    """reads: since ever, by tier, source and whether the SLA was met; burn: of each tier, in 5 minutes and an hour."""

    def __init__(
        self, *, reads: Mapping[tuple[str, str, str], int], burn: Mapping[str, tuple[float, float, int]]
    ) -> None:
        self._reads, self._burn = reads, burn

    def collect(self) -> Iterable[Metric]:
        lag = GaugeMetricFamily("atlasco_freshness_lag_seconds", "At most; none while unknown.", labels=["store"])
        position = GaugeMetricFamily("atlasco_freshness_position_bytes", "Into the primary's log.", labels=["store"])
        is_open = GaugeMetricFamily("atlasco_freshness_breaker_open", "1 where it is left out.", labels=["store"])
        opened = CounterMetricFamily("atlasco_freshness_breaker_opened", "How often it was left out.", labels=["store"])
        watch = monitor()
        for store in stores_now():
            breaker = watch.breaker(alias_of(store))
            if store.up and store.lag_s is not None:
                lag.add_metric([store.name], store.lag_s)
            if store.position is not None:
                position.add_metric([store.name], store.position)
            is_open.add_metric([store.name], 0 if breaker.is_closed else 1)
            opened.add_metric([store.name], breaker.opened)
        yield from (lag, position, is_open, opened)
        reading = watch.reading(PRIMARY)
        if reading is not None and reading.took_s is not None:
            yield GaugeMetricFamily(
                "atlasco_freshness_write_seconds", "Of a heartbeat, sent to confirmed.", value=reading.took_s
            )
        answered = CounterMetricFamily(
            "atlasco_reads",
            "Answers by tier, source, and whether the SLA was met.",
            labels=["tier", "source", "sla_met"],
        )
        for labels, number in self._reads.items():
            answered.add_metric(list(labels), number)
        yield answered
        burning = GaugeMetricFamily(
            "atlasco_sla_burn_rate", "How many times faster than allowed.", labels=["tier", "window"]
        )
        for tier, (short, long, _) in self._burn.items():
            burning.add_metric([tier, "5m"], short)
            burning.add_metric([tier, "1h"], long)
        yield burning
