"""What people on call hear of a store that fails, through real servers to the webhook that tells them."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from django_redis import get_redis_connection

from analytics.feed import metrics
from analytics.feed.metrics import metrics_read
from atlasco.lib import clock
from freshness import figures
from freshness.figures import ReadKind
from freshness.monitor import monitor
from freshness.recorder import Recorder
from freshness.sources import Applied, Source, forget, source_register
from tenants.notices.channels import webhook_secret
from tenants.notices.services import notices_deliver
from tests.cluster import Cluster
from tests.freshness.test_pages import fresh_replicas
from tests.notices.conftest import Receiver, receiver
from tests.waiting import wait_until

__all__ = ["fresh_replicas", "receiver"]

BROKEN = {ReadKind(1, "EVENTUAL", "clickhouse", "false"): 1_000_000}


@pytest.fixture
def late_stream() -> Iterator[None]:
    """A store whose newest heartbeat is 40 s old."""
    now = monitor().primary_now()
    assert now is not None
    source_register(Source("stream", lambda: Applied(now - 40, 900), (ConnectionError,), interval_s=0.05))
    yield
    forget("stream")


@pytest.fixture
def recorder(live_db: None, settings: Any, receiver: Receiver) -> Recorder:
    settings.WEBHOOKS_TO_PRIVATE = True
    settings.OPERATORS = [receiver.url]
    made = Recorder(feed_figures=metrics_read)
    made.look()
    return made


def told(recorder: Recorder, receiver: Receiver, *, looks: int = 2) -> dict[str, str]:
    """What is heard after so many looks: the event of each alert's key."""
    before = len(receiver.heard)
    for _ in range(looks):
        recorder.look()
    notices_deliver(clock=clock.now)
    events = {}
    for headers, content in receiver.heard[before:]:
        timestamp, signature = (part.partition("=")[2] for part in headers["x-atlasco-signature"].split(","))
        signed = f"{timestamp}.".encode() + content
        secret = webhook_secret(nonce="operators").encode()
        assert signature == hmac.new(secret, signed, hashlib.sha256).hexdigest()
        body = orjson.loads(content)
        events[body["alert"]] = body["event"]
    return events


def until_down(alias: str, *, is_down: bool) -> None:
    wait_until(lambda: bool(monitor().look(alias).error or not monitor().breaker(alias).is_closed) == is_down)


def test_a_lost_store_is_told_once_and_its_return_too(
    fresh_replicas: None, stack: Cluster, recorder: Recorder, receiver: Receiver
) -> None:
    stack.must_be_embedded()
    stack.ask("kill", name="replica2")
    try:
        until_down("replica2", is_down=True)
        assert "down:replica2" not in told(recorder, receiver, looks=1)
        assert told(recorder, receiver)["down:replica2"] == "freshness.alert"
        assert "down:replica2" not in told(recorder, receiver)
    finally:
        stack.ask("start", name="replica2")
    until_down("replica2", is_down=False)
    assert told(recorder, receiver, looks=1)["down:replica2"] == "freshness.recovered"


def test_a_store_that_is_late_is_told(
    fresh_replicas: None, late_stream: None, recorder: Recorder, receiver: Receiver
) -> None:
    assert told(recorder, receiver)["lag:stream"] == "freshness.alert"


def reads_count(number: int, *, now_s: float) -> None:
    pipeline = get_redis_connection("default").pipeline(transaction=False)
    figures.reads_add(pipeline, {kind: number * count for kind, count in BROKEN.items()}, now_s=now_s)
    pipeline.execute()


def test_a_promise_that_is_broken_too_often_is_told(
    fresh_replicas: None, recorder: Recorder, receiver: Receiver
) -> None:
    now_s = time.time()
    reads_count(1, now_s=now_s)
    try:
        assert told(recorder, receiver)["sla:EVENTUAL"] == "freshness.alert"
    finally:
        reads_count(-1, now_s=now_s)


@pytest.mark.parametrize(
    ("figures", "alert"),
    [
        ({"slot_safe_bytes": 1 << 20, "slot_retained_bytes": 1 << 30}, "slot:retention"),
        ({"slot_lost": 1}, "slot:lost"),
    ],
)
def test_a_slot_that_is_lost_or_about_to_be_is_told(
    figures: dict[str, int], alert: str, fresh_replicas: None, recorder: Recorder, receiver: Receiver
) -> None:
    client = get_redis_connection("default")
    fields = {f"{metrics.PREFIX}{name}": value for name, value in figures.items()}
    before = {name: client.hget(metrics.KEY, name) for name in fields}
    client.hset(metrics.KEY, mapping=fields)
    try:
        assert told(recorder, receiver)[alert] == "freshness.alert"
    finally:
        for name, value in before.items():
            if value is None:
                client.hdel(metrics.KEY, name)
            else:
                client.hset(metrics.KEY, name, value)
