"""Figures of each step of the feed, written to Valkey, where /metrics of any web process can read them.

The hash `atlasco:metrics:feed` holds `name{store="…"}` → number; `updated_at` tells whether a feed is alive.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Final

import redis

KEY: Final = "atlasco:metrics:feed"
PREFIX: Final = "atlasco_feed_"


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
        client.hset(KEY, mapping=figures | {_field("updated_at", ""): now_s})  # type: ignore[arg-type]


def metrics_read(client: redis.Redis) -> dict[str, float]:
    """The figures that the feed last wrote; empty where none ever ran. Raises redis.RedisError."""
    raw: dict[bytes, bytes] = client.hgetall(KEY)  # type: ignore[assignment]
    return {name.decode(): float(value) for name, value in raw.items()}


def _field(name: str, store: str) -> str:
    return f'{PREFIX}{name}{{store="{store}"}}' if store else f"{PREFIX}{name}"
