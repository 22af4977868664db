"""Stores that their owners register: asked in the order of the tree, believed only as far as they can prove."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis
from django.db import connections

from atlasco.lib.errors import NotFound
from freshness.policy import Wish
from freshness.reads import ReadSource, read_through, stores_now
from freshness.sources import Applied, Found, Source, forget, reader_register, source_register
from freshness.state import FreshnessState, freshness_scope
from freshness.tokens import ConsistencyToken, lsn_parse
from tests.cluster import Cluster

KEY = "test:registered"


class Gone(NotFound):
    """It is known to be gone."""

    code = "gone"


@dataclass
class Shelf:
    """A store of one value in Valkey, which says of itself how far it is."""

    client: Any
    kept: list[tuple[object, object, int]] = field(default_factory=list)

    def put(self, value: object, *, beat_at: float | None, lsn: int | None) -> None:
        self.client.set(KEY, json.dumps([value, beat_at, lsn]))

    def probe(self) -> Applied:
        raw = self.client.get(KEY)
        return Applied(None, None) if raw is None else Applied(*json.loads(raw)[1:])

    def read(self, request: object) -> Found | None:
        raw = self.client.get(KEY)
        if raw is None:
            return None
        value, *applied = json.loads(raw)
        if value == "miss":
            return None
        return Found(value, Applied(*applied), problem=Gone() if value == "gone" else None)

    def fill(self, request: object, value: object, lsn: int) -> None:
        self.kept.append((request, value, lsn))


@pytest.fixture
def shelf(stack: Cluster, live_db: None) -> Iterator[Shelf]:
    client = redis.Redis.from_url(stack.redis_url)
    shelf = Shelf(client)
    source_register(Source("stream", probe=shelf.probe, failures=(redis.RedisError,), interval_s=0.0))
    reader_register("shelf", "stream", shelf.read, fill=shelf.fill)
    yield shelf
    forget("stream")
    client.delete(KEY)
    client.close()


def heartbeat() -> tuple[float, int]:
    """Seconds and position of a heartbeat that is written now."""
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "UPDATE heartbeat SET seq = seq + 1, ts = clock_timestamp(), lsn = pg_current_wal_lsn()"
            " RETURNING extract(epoch FROM ts)::float8, lsn::text"
        )
        beat_at, lsn = cursor.fetchone()
    return float(beat_at), lsn_parse(lsn)


def ask(state: FreshnessState, *, query_class: str = "alert") -> str:
    """What answers an alert: "stream" first, see the budget matrix."""

    def from_database(source: ReadSource) -> str:
        return f"read from {source.using}"

    with freshness_scope(state):
        return str(
            read_through(
                from_database, operation="shelf", attributes=(), request="the request", query_class=query_class
            )
        )


def test_a_registered_source_answers_first_where_its_class_says_so(shelf: Shelf) -> None:
    beat_at, lsn = heartbeat()
    shelf.put("from the shelf", beat_at=beat_at, lsn=lsn)
    state = FreshnessState()
    assert ask(state) == "from the shelf"
    assert state.answer is not None
    assert (state.answer.source, state.answer.store, state.answer.position) == ("stream", "stream", lsn)
    assert state.answer.lag_s is not None and state.answer.lag_s >= 0
    assert state.sla_met() is True


def test_it_is_no_candidate_for_what_it_has_no_reader_for(shelf: Shelf) -> None:
    beat_at, lsn = heartbeat()
    shelf.put("from the shelf", beat_at=beat_at, lsn=lsn)
    state = FreshnessState()
    with freshness_scope(state):
        read_through(
            lambda source: source.using,
            operation="elsewhere",
            attributes=(),
            request="the request",
            query_class="alert",
        )
    assert "stream" not in {verdict.candidate.name for verdict in state.verdicts}
    assert "stream" in {candidate.name for candidate in stores_now()}


def test_nor_for_a_tier_whose_tree_does_not_name_it(shelf: Shelf) -> None:
    beat_at, lsn = heartbeat()
    shelf.put("from the shelf", beat_at=beat_at, lsn=lsn)
    assert ask(FreshnessState(wish=Wish(tier="REALTIME"))) == "read from default"


def test_a_miss_is_answered_by_the_next_one_and_kept(shelf: Shelf, stack: Cluster) -> None:
    beat_at, lsn = heartbeat()
    shelf.put("miss", beat_at=beat_at, lsn=lsn)
    stack.wait_for_replicas()
    state = FreshnessState()
    answer = ask(state)
    assert answer in {"read from replica1", "read from replica2"}
    assert state.answer is not None and state.answer.source == "read-replica"
    assert [(request, value) for request, value, _ in shelf.kept] == [("the request", answer)]
    # No position that what was read may not have reached.
    assert shelf.kept[0][2] <= state.answer.position


def test_an_answer_that_is_older_than_it_seemed_gives_way(shelf: Shelf, stack: Cluster) -> None:
    beat_at, lsn = heartbeat()
    stack.wait_for_replicas()
    shelf.put("from the shelf", beat_at=beat_at - 40, lsn=lsn)
    fresh = Applied(beat_at, lsn)
    source_register(Source("stream", probe=lambda: fresh, failures=(redis.RedisError,), interval_s=0.0))
    reader_register("shelf", "stream", shelf.read)
    state = FreshnessState()
    assert ask(state).startswith("read from")
    assert state.sla_met() is True


def test_one_behind_the_token_is_never_given(shelf: Shelf) -> None:
    beat_at, lsn = heartbeat()
    shelf.put("from the shelf", beat_at=beat_at, lsn=lsn - 1)
    claims = Applied(beat_at, lsn)
    source_register(Source("stream", probe=lambda: claims, failures=(redis.RedisError,), interval_s=0.0))
    reader_register("shelf", "stream", shelf.read)
    token = ConsistencyToken(timeline=1, tenant_id=1, lsn=lsn)
    assert ask(FreshnessState(token=token)).startswith("read from")
    shelf.put("from the shelf", beat_at=beat_at, lsn=lsn)
    assert ask(FreshnessState(token=token)) == "from the shelf"


def test_that_there_is_none_is_an_answer_with_an_age_too(shelf: Shelf) -> None:
    beat_at, lsn = heartbeat()
    shelf.put("gone", beat_at=beat_at, lsn=lsn)
    state = FreshnessState()
    with pytest.raises(Gone):
        ask(state)
    assert state.answer is not None and state.answer.source == "stream"


def test_without_a_heartbeat_it_is_of_unknown_age_and_passed_over(shelf: Shelf) -> None:
    shelf.put("from the shelf", beat_at=None, lsn=None)
    state = FreshnessState()
    assert ask(state).startswith("read from")
    verdict = next(verdict for verdict in state.verdicts if verdict.candidate.name == "stream")
    assert verdict.reason == "lag unknown"


def test_one_that_fails_is_left_out_and_the_next_one_answers(shelf: Shelf) -> None:
    beat_at, lsn = heartbeat()

    def fail(request: object) -> Found | None:
        raise redis.ConnectionError("away")

    fresh = Applied(beat_at, lsn)
    source_register(Source("stream", probe=lambda: fresh, failures=(redis.RedisError,), interval_s=0.0))
    reader_register("shelf", "stream", fail)
    assert ask(FreshnessState()).startswith("read from")
    state = FreshnessState()
    ask(state)
    verdict = next(verdict for verdict in state.verdicts if verdict.candidate.name == "stream")
    assert (verdict.candidate.up, verdict.reason) == (False, "down")


def test_only_the_primary_keeps_a_budget_of_nothing(shelf: Shelf) -> None:
    beat_at, lsn = heartbeat()
    shelf.put("from the shelf", beat_at=beat_at - 40, lsn=lsn)
    state = FreshnessState(wish=Wish(max_lag_s=0.0, on_stale="fail"))
    # Only the primary has no lag at all.
    assert ask(state) == "read from default"
    assert state.sla_met() is True
