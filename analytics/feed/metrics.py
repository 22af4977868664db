"""Figures of each step of the feed, written to Valkey, where /metrics of any web process can read them.

The hash `atlasco:metrics:feed` holds `name{store="…"}` → number; `updated_at` tells whether a feed is alive.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, cast

import redis
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from freshness.alerts import slot_is_nearly_lost

log = logging.getLogger(__name__)

KEY: Final = "atlasco:metrics:feed"
PREFIX: Final = "atlasco_feed_"
# A feed that has written no figures for so long is away.
SILENT_S: Final = 15.0
# Every figure there is. Those whose names end in `_total` only grow, from 0 at the start of the feed.
FIGURES: Final[Mapping[str, str]] = {
    "read_bytes_total": "Bytes of the log that were read and decoded.",
    "read_events_total": "Changes that were read and decoded.",
    "decode_seconds_total": "Time spent on decoding.",
    "stall_seconds_total": "Time in which nothing was read because a store's queue was full.",
    "reconnects_total": "How often the primary could not be read.",
    "queue_bytes": "Bytes of the log that wait for the store.",
    "events_total": "Changes that the store has applied.",
    "batches_total": "Batches that the store has applied.",
    "apply_seconds_total": "Time spent on applying.",
    "errors_total": "How often the store could not be fed.",
    "loads_total": "How often the store was loaded from a snapshot.",
    "store_running": "1 while the store is being fed.",
    "position_lsn": "Everything committed before this byte of the log is in the store.",
    "lag_seconds": "Age of the newest heartbeat in the store, when the figures were written.",
    "slot_retained_bytes": "Bytes of the log that the primary keeps for the feed.",
    "slot_safe_bytes": "How many more may be written before the primary gives the slot up.",
    "slot_lost": "1 where the slot is lost: run `manage.py feed --resnapshot`.",
    "memory_bytes": "Resident memory of the feed.",
    "updated_at": "When the figures were written, seconds since 1970.",
}
_FIELD: Final = re.compile(r'(\w+)(?:\{store="([^"]*)"\})?')


class FeedSilent(Exception):
    """The feed wrote figures once and does not any more: hot cache and ClickHouse fall behind. Is it running?"""


class SlotLost(Exception):
    """The slot is gone or was invalidated, so changes are missing. Run `manage.py feed --resnapshot`."""


class SlotNearlyLost(Exception):
    """The primary retains nearly as much log for the feed as it may. A store is away, or too slow."""


class Metrics:
    """Counters and gauges by name. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, float] = defaultdict(float)

    def add(self, name: str, amount: float, *, store: str = "") -> None:
        with self._lock:
            self._values[_field(name, store)] += amount

    def set(self, name: str, value: float, *, store: str = "") -> None:
        with self._lock:
            self._values[_field(name, store)] = value

    def read(self) -> dict[str, float]:
        """All figures, by name as Prometheus writes it."""
        with self._lock:
            return dict(self._values)

    def write(self, client: redis.Redis, *, now_s: float) -> None:
        """Put the figures where others read them. Raises redis.RedisError."""
        figures: dict[str | bytes, float] = dict(self.read().items())
        figures[_field("updated_at", "")] = now_s
        client.hset(KEY, mapping=cast(Any, figures))  # The stubs want one kind of key; the server takes any.


class Publisher(threading.Thread):
    """Writes the figures for the feed, in a thread of its own: a Valkey that hangs must not hold up what is read.

    client: None writes nothing. What is told while a write is under way is written after it, in its newest state.
    """

    def __init__(self, metrics: Metrics, client: redis.Redis | None) -> None:
        super().__init__(name="feed-figures", daemon=True)
        self._metrics, self._client = metrics, client
        self._told = threading.Event()
        self._stopping = False
        self._told_at_s = 0.0

    def tell(self, *, now_s: float) -> None:
        """The figures are those of this instant. Never waits."""
        self._told_at_s = now_s
        self._told.set()

    def stop(self) -> None:
        """Ask the thread to end; it is not waited for, as its last write may hang."""
        self._stopping = True
        self._told.set()

    def run(self) -> None:
        while not self._stopping:
            self._told.wait()
            self._told.clear()
            # `updated_at` is when the feed spoke, not when this thread did: one that hangs must look silent.
            if self._client is not None and self._told_at_s:
                try:
                    self._metrics.write(self._client, now_s=self._told_at_s)
                except redis.RedisError as error:
                    log.info("Figures can't be written.", extra={"error": type(error).__name__})


def metrics_read(client: redis.Redis) -> dict[str, float]:
    """The figures that the feed last wrote; empty where none ever ran. Raises redis.RedisError."""
    # The stubs allow for a client that awaits; this one does not.
    raw = cast(dict[bytes, bytes], client.hgetall(KEY))
    return {name.decode(): float(value) for name, value in raw.items()}


def _field(name: str, store: str) -> str:
    return f'{PREFIX}{name}{{store="{store}"}}' if store else f"{PREFIX}{name}"


def feed_check(client: redis.Redis, *, now_s: float) -> None:
    """Raises FeedSilent, SlotLost or SlotNearlyLost where an operator has to act; redis.RedisError.

    A feed that never ran is nobody's trouble: there is nothing that it could lose.
    """
    figures = metrics_read(client)
    if not figures:
        return
    if now_s - figures.get(PREFIX + "updated_at", 0.0) > SILENT_S:
        raise FeedSilent
    if figures.get(PREFIX + "slot_lost"):
        raise SlotLost
    if slot_is_nearly_lost(figures):
        raise SlotNearlyLost


class FeedCollector(Collector):
    """The feed's figures for Prometheus."""

    def __init__(self, figures: Mapping[str, float]) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        """Every figure that was written, by its name."""
        samples: dict[str, list[tuple[str, float]]] = defaultdict(list)
        for field, value in self._figures.items():
            if (found := _FIELD.fullmatch(field)) is not None:
                samples[found[1].removeprefix(PREFIX)].append((found[2] or "", value))
        return self._families(samples)

    def _families(self, samples: Mapping[str, list[tuple[str, float]]]) -> Iterator[Metric]:
        for name, help_text in FIGURES.items():
            if name not in samples:
                continue
            labels = ["store"] if any(store for store, _ in samples[name]) else []
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            family = kind(PREFIX + name.removesuffix("_total"), help_text, labels=labels)
            for store, value in samples[name]:
                family.add_metric([store] if labels else [], value)
            yield family
