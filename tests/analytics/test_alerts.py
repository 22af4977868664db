"""Alert rules behind a real feed: what fires, for whom, once, and what is told of it."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
from django.db import connections, transaction

from analytics.alerts import services
from analytics.alerts.applier import AlertApplier
from analytics.alerts.evaluate import Condition
from analytics.alerts.services import Firing, InvalidRule, RuleInput, RuleUnknown, rule_parse
from analytics.clickhouse.applier import ClickHouseApplier
from analytics.feed.events import Change, Event, Heartbeat, Position
from analytics.feed.run import Feed
from atlasco.lib import clock
from atlasco.lib.clock import to_us
from entities.ingest.importer import import_run
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tenants.notices.services import deliveries_read
from tenants.services import tenant_export
from tests.analytics.alerting import dsn, feed, settle
from tests.analytics.feeding import (
    delete,
    feed_running,
    patch,
    slot_drop_patiently,
    slot_name,
    wal_end,
    write,
)
from tests.cluster import Cluster
from tests.waiting import wait_until

__all__ = ["dsn", "feed"]

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DATA_DIR = os.environ.get("ATLASCO_DATA_DIR", "")


def rule(tenant: Tenant, threshold: float = 30, *, operator: Any = "gt", name: str = "Heat", **wish: Any) -> int:
    """Make a rule about the attribute `heat`; return its id."""
    condition = Condition(
        operator, threshold, wish.pop("clear", None), wish.pop("for_samples", 1), wish.pop("for_seconds", 0)
    )
    wanted = RuleInput(name, wish.pop("attribute", "heat"), condition, **wish)
    with tenant_bind(tenant):
        return services.rule_create(tenant_id=tenant.pk, rule=wanted, now=clock.now())[0].rule_id


def firings(tenant: Tenant, **wish: Any) -> list[Firing]:
    """Oldest first."""
    with tenant_bind(tenant):
        return services.firings_read(tenant_id=tenant.pk, limit=1000, **wish)[::-1]


def told(tenant: Tenant) -> list[tuple[str, str]]:
    """Event and address of what was queued, oldest first."""
    with tenant_bind(tenant):
        found = deliveries_read(tenant_id=tenant.pk, prefix="alert:", limit=100)
    return [(delivery.event, delivery.address) for delivery in found][::-1]


def import_lines(tenant: Tenant, *lines: dict[str, Any]) -> None:
    body = b"\n".join(orjson.dumps(line) for line in lines)
    with tenant_bind(tenant):
        summary = import_run(tenant_id=tenant.pk, chunks=[body], mode="merge", now=clock.now(), line_max_bytes=1 << 20)
    assert summary.rejected_count == 0


def heat(place: int, value: Any, external_id: str = "s-1") -> dict[str, Any]:
    at = (NOON + timedelta(minutes=place)).isoformat()
    return {"entity_type": "sensor", "external_id": external_id, "at": at, "attributes": {"heat": value}}


def test_a_rule_fires_for_its_own_tenant_and_tells_everybody_it_names(
    feed: Feed, dsn: str, acme: Tenant, globex: Tenant
) -> None:
    rule(acme, emails=("ops@acme.example",), webhook_url="https://hooks.acme.example/x")
    rule(globex, 1000)
    row = write(acme, "s-1", heat=20, other=99)
    write(globex, "s-1", heat=99)
    patch(acme, row.entity_id, heat=31.5)
    patch(acme, row.entity_id, heat=40)
    patch(acme, row.entity_id, heat="hot")
    settle(feed, dsn)
    [firing] = firings(acme)
    assert (firing.external_id, firing.entity_type, firing.value, firing.cleared_at) == ("s-1", "thing", 31.5, None)
    assert told(acme) == [("alert.fired", "ops@acme.example"), ("alert.fired", "https://hooks.acme.example/x")]
    assert (firings(globex), told(globex)) == ([], [])
    patch(acme, row.entity_id, heat=30)
    settle(feed, dsn)
    [firing] = firings(acme)
    assert firing.cleared_at is not None and firing.cleared_value == 30
    assert [event for event, _ in told(acme)[2:]] == ["alert.cleared", "alert.cleared"]
    assert firings(acme, state="open") == []


def test_every_line_of_an_import_is_a_sample(feed: Feed, dsn: str, acme: Tenant, globex: Tenant) -> None:
    """Also those that a later line of the same batch replaces, in the order of lines."""
    rule(acme)
    three = rule(acme, name="Three", for_samples=3)
    rule(globex)
    import_lines(acme, *(heat(place, value) for place, value in enumerate([31, 20, 32, 33, 34, 10, "x", 35, None, 36])))
    settle(feed, dsn)
    assert [found.value for found in firings(acme) if found.rule_id != three] == [31, 32, 35, 36]
    assert [(found.value, found.fired_at) for found in firings(acme, rule_id=three)] == [
        (34, NOON + timedelta(minutes=4))
    ]
    assert firings(globex) == []


def test_what_happens_at_once_is_told_in_its_order(feed: Feed, dsn: str, acme: Tenant, globex: Tenant) -> None:
    """And each with the instant of its sample."""
    rule(acme, emails=("ops@acme.example",))
    import_lines(acme, *(heat(place, value) for place, value in enumerate([50, 1, 60, 2, 70])))
    settle(feed, dsn)
    with connections["default"].cursor() as cursor, tenant_bind(acme):
        cursor.execute("SELECT event, happened_at FROM notice_deliveries ORDER BY due_at, delivery_id")
        told_of = cursor.fetchall()
    events = ["alert.fired", "alert.cleared", "alert.fired", "alert.cleared", "alert.fired"]
    assert told_of == [(event, NOON + timedelta(minutes=place)) for place, event in enumerate(events)]


def test_type_and_entity_narrow_a_rule(feed: Feed, dsn: str, acme: Tenant, globex: Tenant) -> None:
    by_type = rule(acme, entity_type="sensor")
    by_entity = rule(acme, external_id="s-2")
    import_lines(acme, heat(0, 50), heat(1, 50, "s-2"))
    write(acme, "thing", heat=50)
    settle(feed, dsn)
    assert [found.external_id for found in firings(acme, rule_id=by_type)] == ["s-1", "s-2"]
    assert [found.external_id for found in firings(acme, rule_id=by_entity)] == ["s-2"]


def test_only_what_comes_after_the_rule_is_tested(feed: Feed, dsn: str, acme: Tenant, globex: Tenant) -> None:
    write(acme, "before", heat=99)
    first = rule(acme)
    write(acme, "after", heat=99)
    settle(feed, dsn)
    assert [found.external_id for found in firings(acme)] == ["after"]
    with tenant_bind(acme):
        wanted = services.rule_get(tenant_id=acme.pk, rule_id=first).wanted
        changed = rule_parse({"threshold": 100}, over=wanted)
        services.rule_update(tenant_id=acme.pk, rule_id=first, rule=changed, now=clock.now())
    assert [found.cleared_at is None for found in firings(acme)] == [False]
    write(acme, "after", heat=99)
    write(acme, "more", heat=101)
    settle(feed, dsn)
    assert [found.external_id for found in firings(acme)] == ["after", "more"]
    with tenant_bind(acme):
        services.rule_update(
            tenant_id=acme.pk, rule_id=first, rule=rule_parse({"is_enabled": False}, over=changed), now=clock.now()
        )
    write(acme, "silent", heat=101)
    settle(feed, dsn)
    assert len(firings(acme)) == 2


def test_a_deleted_entity_clears(feed: Feed, dsn: str, acme: Tenant, globex: Tenant) -> None:
    rule(acme)
    row = write(acme, "s-1", heat=50)
    settle(feed, dsn)
    delete(acme, row.entity_id)
    settle(feed, dsn)
    [firing] = firings(acme)
    assert firing.cleared_at is not None and firing.cleared_value is None


def slot_lost(dsn: str, slot: str) -> None:
    """The feed has a slot that knows nothing of what was written so far."""
    slot_drop_patiently(dsn, slot)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (slot,))


@pytest.mark.parametrize("is_lost", [False, True])
def test_an_entity_deleted_while_the_feed_was_away_clears(
    dsn: str, acme: Tenant, globex: Tenant, is_lost: bool
) -> None:
    """Nobody knows its names any more but the firing itself."""
    slot = slot_name()
    rule(acme, emails=("ops@acme.example",))
    rule(acme, 0, operator="stale", for_seconds=300)
    with feed_running(dsn, [AlertApplier(dsn=dsn)], slot=slot, keep_slot=True) as feed:
        row = write(acme, "s-1", heat=50)
        settle(feed, dsn)
    delete(acme, row.entity_id)
    if is_lost:
        slot_lost(dsn, slot)
    with feed_running(dsn, [AlertApplier(dsn=dsn)], slot=slot) as feed:
        settle(feed, dsn)
        [firing] = firings(acme)
        assert firing.cleared_at is not None and firing.external_id == "s-1"
        with tenant_bind(acme):
            fired, cleared = deliveries_read(tenant_id=acme.pk, prefix="alert:", limit=10)[::-1]
        assert (fired.event, cleared.event) == ("alert.fired", "alert.cleared")
    time_passes(dsn, 400)
    assert len(firings(acme)) == 1


def test_a_feed_that_begins_anew_counts_nothing_twice(dsn: str, acme: Tenant, globex: Tenant) -> None:
    slot = slot_name()
    thrice = rule(acme, for_samples=3)
    long = rule(acme, for_seconds=600, name="Long")
    with feed_running(dsn, [AlertApplier(dsn=dsn)], slot=slot, keep_slot=True) as feed:
        rows = [write(acme, name, heat=50) for name in ("two so far", "renamed")]
        for row in rows:
            patch(acme, row.entity_id, heat=51)
        settle(feed, dsn)
    # One more that is lost; a rule that is only called something else judges it all the same.
    patch(acme, rows[1].entity_id, heat=52)
    for rule_id in (thrice, long):
        with tenant_bind(acme):
            wanted = services.rule_get(tenant_id=acme.pk, rule_id=rule_id).wanted
            named = replace(wanted, name="Another name")
            services.rule_update(tenant_id=acme.pk, rule_id=rule_id, rule=named, now=clock.now())
    slot_lost(dsn, slot)
    with feed_running(dsn, [AlertApplier(dsn=dsn)], slot=slot) as feed:
        settle(feed, dsn)
        assert [(found.external_id, found.value) for found in firings(acme, rule_id=thrice)] == [("renamed", 52)]
        patch(acme, rows[0].entity_id, heat=53)
        settle(feed, dsn)
        assert [found.value for found in firings(acme, rule_id=thrice)] == [52, 53]
        assert firings(acme, rule_id=long) == []
    time_passes(dsn, 610)
    assert len(firings(acme, rule_id=long)) == 2


class Overtaken(AlertApplier):
    """Somebody changes something after it has read the rules and before it writes what it judged by them."""

    between: Callable[[], None] | None = None

    def _entities_look_up(self, *args: Any) -> None:
        super()._entities_look_up(*args)
        if self.between is not None:
            between, self.between = self.between, None
            between()


def test_a_rule_that_is_changed_while_the_feed_judges_by_it_is_left_alone(
    feed: Feed, dsn: str, acme: Tenant, globex: Tenant
) -> None:
    rule_id = rule(acme, emails=("ops@acme.example",))
    row = write(acme, "s-1", heat=5)
    settle(feed, dsn)
    feed.stop()
    applier = Overtaken(dsn=dsn)
    position = applier.recover()
    assert position is not None

    def disable() -> None:
        with tenant_bind(acme):
            wanted = replace(services.rule_get(tenant_id=acme.pk, rule_id=rule_id).wanted, is_enabled=False)
            services.rule_update(tenant_id=acme.pk, rule_id=rule_id, rule=wanted, now=clock.now())

    applier.between = disable
    value = {"value_type": "number", "updated_at": to_us(clock.now()), "numeric_value": "99"}
    lsn = wal_end(dsn)
    change = Change("entity_attributes", acme.pk, (acme.pk, row.entity_id, "heat"), value, lsn, lsn, to_us(clock.now()))
    applier.apply([change], replace(position, lsn=lsn))
    applier.close()
    assert (firings(acme), told(acme)) == ([], [])
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT count(*) FROM alert_states").fetchone() == (0,)


def test_many_firings_at_once_are_told_in_one_notice(feed: Feed, dsn: str, acme: Tenant, globex: Tenant) -> None:
    rule(acme, emails=("ops@acme.example",))
    import_lines(acme, *(heat(0, 50, f"s-{n}") for n in range(40)))
    settle(feed, dsn)
    assert len(firings(acme)) == 40
    assert told(acme) == [("alert.fired", "ops@acme.example")]


def time_passes(dsn: str, seconds: float) -> None:
    """A feed that starts anew comes to a heartbeat of so many seconds from now, and nothing else was written."""
    applier = AlertApplier(dsn=dsn)
    position = applier.recover()
    assert position is not None
    at_us = to_us(clock.now() + timedelta(seconds=seconds))
    applier.apply([], replace(position, heartbeat=Heartbeat(1, at_us, position.lsn)))
    applier.close()


def test_a_rule_fires_when_its_time_is_up_though_nothing_is_written(
    feed: Feed, dsn: str, acme: Tenant, globex: Tenant
) -> None:
    rule(acme, for_seconds=300, emails=("ops@acme.example",))
    rule(globex, 1000, for_seconds=300)
    row = write(acme, "hot", heat=50)
    write(acme, "cold", heat=5)
    write(globex, "hot", heat=50)
    settle(feed, dsn)
    feed.stop()
    time_passes(dsn, 290)
    assert firings(acme) == []
    for seconds in (310, 320):
        time_passes(dsn, seconds)
    [firing] = firings(acme)
    assert (firing.external_id, firing.value) == ("hot", 50)
    assert told(acme) == [("alert.fired", "ops@acme.example")]
    assert firings(globex) == []
    with feed_running(dsn, [AlertApplier(dsn=dsn)], slot=slot_name()) as again:
        patch(acme, row.entity_id, heat=1)
        settle(again, dsn)
    assert [event for event, _ in told(acme)] == ["alert.fired", "alert.cleared"]


def test_what_is_not_set_for_long_is_told(feed: Feed, dsn: str, acme: Tenant, globex: Tenant) -> None:
    before = write(acme, "before the rule", state="on")
    write(acme, "never had one", heat=1)
    rule(acme, 0, operator="stale", attribute="state", for_seconds=300, emails=("ops@acme.example",))
    after = write(acme, "after", state="on")
    gone = write(acme, "gone", state="on")
    write(globex, "other", state="on")
    settle(feed, dsn)
    delete(acme, gone.entity_id)
    settle(feed, dsn)
    feed.stop()
    time_passes(dsn, 290)
    assert firings(acme) == []
    time_passes(dsn, 310)
    assert sorted((found.external_id, found.value) for found in firings(acme)) == [
        ("after", None),
        ("before the rule", None),
    ]
    assert len(told(acme)) == 2 and firings(globex) == []
    with feed_running(dsn, [AlertApplier(dsn=dsn)], slot=slot_name()) as again:
        patch(acme, after.entity_id, state="off")
        patch(acme, before.entity_id, state=None)
        settle(again, dsn)
    assert firings(acme, state="open") == []


class Dying(AlertApplier):
    """Dies after the database has everything, or before, as often as it is told."""

    deaths: int = 0
    before = False

    def apply(self, events: list[Event], position: Position) -> None:
        if self.deaths and events and self.before:
            self.deaths -= 1
            raise ConnectionError("killed")
        super().apply(events, position)
        if self.deaths and events:
            self.deaths -= 1
            raise ConnectionError("killed")


@pytest.mark.parametrize("before", [True, False])
def test_a_feed_that_dies_fires_once(dsn: str, acme: Tenant, globex: Tenant, before: bool) -> None:
    applier = Dying(dsn=dsn)
    applier.before = before
    with feed_running(dsn, [applier], slot=slot_name()) as feed:
        rule(acme, for_samples=2, emails=("ops@acme.example",))
        row = write(acme, "s-1", heat=50)
        settle(feed, dsn)
        for value in (51, 52, 1, 60, 61):
            applier.deaths = 1
            patch(acme, row.entity_id, heat=value)
            settle(feed, dsn)
    assert [found.value for found in firings(acme)] == [51, 61]
    assert [event for event, _ in told(acme)] == ["alert.fired", "alert.cleared", "alert.fired"]


def test_after_a_lost_slot_the_present_is_tested(dsn: str, acme: Tenant, globex: Tenant) -> None:
    slot = slot_name()
    with feed_running(dsn, [AlertApplier(dsn=dsn)], slot=slot, keep_slot=True) as feed:
        write(acme, "old", heat=99)
        rule(acme)
        rows = [write(acme, name, heat=value) for name, value in (("open", 50), ("quiet", 1), ("clears", 50))]
        settle(feed, dsn)
    patch(acme, rows[1].entity_id, heat=60)
    patch(acme, rows[2].entity_id, heat=2)
    slot_lost(dsn, slot)
    with feed_running(dsn, [AlertApplier(dsn=dsn)], slot=slot) as feed:
        settle(feed, dsn)
        assert [(found.external_id, found.cleared_at is None) for found in firings(acme)] == [
            ("open", True),
            ("clears", False),
            ("quiet", True),
        ]


def test_no_tenant_reaches_anothers_rules_and_firings(feed: Feed, dsn: str, acme: Tenant, globex: Tenant) -> None:
    theirs = rule(globex)
    write(globex, "s-1", heat=50)
    settle(feed, dsn)
    [firing] = firings(globex)
    with tenant_bind(acme):
        for tenant_id in (acme.pk, globex.pk):
            assert services.rules_read(tenant_id=tenant_id) == []
            assert services.firings_read(tenant_id=tenant_id, limit=10) == []
            with pytest.raises(RuleUnknown):
                services.rule_delete(tenant_id=tenant_id, rule_id=theirs, now=NOON)
            with pytest.raises(services.FiringUnknown):
                services.firing_acknowledge(tenant_id=tenant_id, firing_id=firing.firing_id, who="eve", now=clock.now())
    with tenant_bind(globex):
        seen = services.firing_acknowledge(tenant_id=globex.pk, firing_id=firing.firing_id, who="ann", now=NOON)
        again = services.firing_acknowledge(tenant_id=globex.pk, firing_id=firing.firing_id, who="bob", now=NOON)
        assert seen.acknowledged_by == again.acknowledged_by == "ann"
        assert services.firings_unseen_count(tenant_id=globex.pk) == 0
        services.rule_delete(tenant_id=globex.pk, rule_id=theirs, now=NOON)
    assert firings(globex) == []


@pytest.mark.parametrize(
    ("body", "told_of"),
    [
        ({"threshold": 60}, "the rule was changed."),
        ({"is_enabled": False, "emails": []}, "the rule was switched off."),
        (None, "the rule was deleted."),
        ({"name": "Another name"}, None),
    ],
)
def test_whoever_was_told_that_it_fired_is_told_that_it_ends_with_its_rule(
    feed: Feed, dsn: str, acme: Tenant, globex: Tenant, body: dict[str, Any] | None, told_of: str | None
) -> None:
    changed, other = rule(acme, emails=("ops@acme.example",)), rule(globex, emails=("ops@globex.example",))
    write(acme, "s-1", heat=50)
    write(globex, "s-1", heat=50)
    settle(feed, dsn)
    with tenant_bind(acme):
        if body is None:
            services.rule_delete(tenant_id=acme.pk, rule_id=changed, now=clock.now())
        else:
            services.rule_patch(tenant_id=acme.pk, rule_id=changed, body=body, now=clock.now())
    fired = ("alert.fired", "ops@acme.example")
    assert told(acme) == [fired, *([("alert.cleared", "ops@acme.example")] if told_of else [])]
    assert told(globex) == [("alert.fired", "ops@globex.example")]
    with connections["default"].cursor() as cursor, tenant_bind(acme):
        cursor.execute("SELECT body FROM notice_deliveries WHERE event = 'alert.cleared'")
        assert cursor.fetchall() == ([(f"heat of thing s-1 is cleared: {told_of}",)] if told_of else [])
    assert [found.cleared_at for found in firings(globex, rule_id=other)] == [None]


def meanwhile(stack: Cluster, call: Callable[[], object]) -> Future[object]:
    """Begin the call beside a transaction of ours, and return when it waits for that, or has not waited at all."""

    def run() -> object:
        try:
            return call()
        finally:
            connections.close_all()

    pool = ThreadPoolExecutor(1)
    future = pool.submit(run)
    pool.shutdown(wait=False)
    with psycopg.connect(stack.owner_url, autocommit=True) as watch:
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        wait_until(lambda: future.done() or watch.execute(waiting).fetchone() != (0,))
    return future


def test_two_changes_of_a_rule_at_once_are_both_kept(stack: Cluster, live_db: None, acme: Tenant) -> None:
    rule_id = rule(acme)

    def change(body: dict[str, Any]) -> object:
        with tenant_bind(acme):
            return services.rule_patch(tenant_id=acme.pk, rule_id=rule_id, body=body, now=NOON)

    with tenant_bind(acme), transaction.atomic():
        services.rule_patch(tenant_id=acme.pk, rule_id=rule_id, body={"name": "First"}, now=NOON)
        second = meanwhile(stack, lambda: change({"threshold": 77}))
    second.result(60)
    with tenant_bind(acme):
        kept = services.rule_get(tenant_id=acme.pk, rule_id=rule_id).wanted
    assert (kept.name, kept.condition.threshold) == ("First", 77)


def test_two_rules_made_at_once_are_both_counted(
    stack: Cluster, live_db: None, acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analytics.alerts.services.rules.RULES_MAX", 1)
    with tenant_bind(acme), transaction.atomic():
        rule(acme)
        rule(globex)
        second = meanwhile(stack, lambda: rule(acme))
    with pytest.raises(services.TooManyRules):
        second.result(60)


def test_a_rule_that_would_watch_too_many_entities_is_refused(
    feed: Feed, dsn: str, acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analytics.alerts.services.rules.STALE_MAX", 3)
    for n in range(3):
        write(acme, f"s-{n}", heat=1)
        write(globex, f"s-{n}", heat=1)
    silent: dict[str, Any] = {"operator": "stale", "for_seconds": 60}
    import_lines(acme, heat(0, 1), heat(0, None, "s-9"))
    with pytest.raises(services.TooManyWatched):
        rule(acme, 0, **silent)
    sensors = rule(acme, 0, entity_type="sensor", **silent)
    rule(globex, 0, **silent)
    rule(acme, 0, external_id="s-1", **silent)
    settle(feed, dsn)
    write(acme, "s-0", heat=2)  # The states are written with what comes next.
    settle(feed, dsn)
    with pytest.raises(services.TooManyWatched):
        rule(acme, 0, entity_type="thing", **silent)
    with tenant_bind(acme), pytest.raises(services.TooManyWatched):
        services.rule_patch(tenant_id=acme.pk, rule_id=sensors, body={"entity_type": ""}, now=NOON)
    with tenant_bind(acme):
        assert services.rule_get(tenant_id=acme.pk, rule_id=sensors).wanted.entity_type == "sensor"


def test_rules_and_firings_are_exported_without_what_secrets_are_made_of(
    feed: Feed, dsn: str, acme: Tenant, globex: Tenant
) -> None:
    rule(acme, webhook_url="https://hooks.acme.example/x")
    rule(globex, 5, name="Theirs")
    write(acme, "s-1", heat=50)
    settle(feed, dsn)
    with connections["default"].cursor() as cursor, tenant_bind(acme):
        cursor.execute("SELECT webhook_nonce FROM alert_rules")
        [(nonce,)] = cursor.fetchall()
    lines = list(tenant_export(tenant=acme, now=NOON))
    told_of = [orjson.loads(line) for line in lines if b"alert_" in line]
    exported = {line["record"]: line["data"] for line in told_of}
    assert set(exported) == {"alert_rules", "alert_firings"} and len(told_of) == 2
    assert exported["alert_rules"]["webhook_url"] == "https://hooks.acme.example/x"
    assert (exported["alert_firings"]["external_id"], exported["alert_firings"]["value"]) == ("s-1", 50)
    assert nonce and not any(nonce.encode() in line or b"Theirs" in line for line in lines)


def test_a_preview_looks_as_far_back_as_its_rule(stack: Cluster, dsn: str, acme: Tenant, globex: Tenant) -> None:
    """What makes a rule of eight days fire within the last seven is older than those."""
    applier = ClickHouseApplier(stack.clickhouse_url, dsn=dsn)
    with feed_running(dsn, [applier], slot=slot_name()) as feed:
        import_lines(acme, heat(0, 50), heat(0, 20, "s-2"))
        import_lines(globex, heat(0, 50))
        settle(feed, dsn)

    def preview(operator: Any, days: int) -> tuple[int, int]:
        wanted = RuleInput("Heat", "heat", Condition(operator, 30, for_seconds=8 * 86_400))
        found = services.rule_preview(tenant_id=acme.pk, rule=wanted, now=NOON + timedelta(days=days))
        return found.firings, found.entities

    assert [preview("gt", days) for days in (7, 9, 14)] == [(0, 2), (1, 2), (1, 2)]
    assert preview("stale", 14) == (2, 2)
    # By then it had fired before, and went on.
    assert preview("gt", 16)[0] == 0


def test_how_far_the_feed_has_evaluated_is_known(feed: Feed, dsn: str, acme: Tenant, stack: Cluster) -> None:
    before = clock.now()
    stack.ask("start", name="web")  # Which beats.
    wait_until(lambda: (known := services.evaluated_at()) is not None and known > before)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"name": ""}, "name"),
        ({"name": " "}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"attribute": ""}, "attribute"),
        ({"attribute": 5}, "attribute"),
        ({"operator": "gte"}, "operator"),
        ({"threshold": "5"}, "threshold"),
        ({"threshold": True}, "threshold"),
        ({"threshold": 10**400}, "threshold"),
        ({"clear_threshold": 31}, "clear_threshold"),
        ({"operator": "lt", "clear_threshold": 29}, "clear_threshold"),
        ({"operator": "eq", "clear_threshold": 30}, "clear_threshold"),
        ({"for_samples": 0}, "for_samples"),
        ({"for_samples": 1.5}, "for_samples"),
        ({"for_seconds": -1}, "for_seconds"),
        ({"is_enabled": "yes"}, "is_enabled"),
        ({"webhook_url": "ftp://x"}, "webhook_url"),
        ({"webhook_url": None}, "webhook_url"),
        ({"emails": "a@b.example"}, "emails"),
        ({"emails": ["nobody"]}, "emails"),
        ({"emails": ["a@b.example"] * 11}, "emails"),
        ({"entity_type": "x" * 101}, "entity_type"),
        ({"external_id": "a\x00"}, "external_id"),
        ({"color": "red"}, "color"),
        ({"operator": "stale", "for_seconds": 60}, "threshold"),
        ({"operator": "stale", "threshold": None}, "for_seconds"),
        ({"operator": "stale", "threshold": None, "for_seconds": 60, "for_samples": 2}, "for_samples"),
        ({"operator": "stale", "threshold": None, "for_seconds": 60, "clear_threshold": 1}, "clear_threshold"),
        ({"threshold": None}, "threshold"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(change: dict[str, Any], path: str) -> None:
    body = {"name": "Heat", "attribute": "heat", "operator": "gt", "threshold": 30, **change}
    with pytest.raises(InvalidRule) as refused:
        rule_parse(body)
    assert [error.path for error in refused.value.errors] == [path]


@pytest.mark.skipif(not DATA_DIR, reason="needs the reference data: ATLASCO_DATA_DIR")
def test_the_labelled_telemetry_set_fires_as_its_answers_say(
    feed: Feed, dsn: str, acme: Tenant, globex: Tenant
) -> None:
    questions = [
        question
        for question in orjson.loads((Path(DATA_DIR) / "telemetry-nab.answers.json").read_bytes())
        if question["kind"] == "alert"
    ]
    rules: dict[str, tuple[int, int]] = {}
    for question in questions:
        wanted = question["filter"]
        threshold, series = wanted["threshold"], {name: wanted[name] for name in ("attribute", "external_id")}
        rules[question["id"]] = (
            rule(acme, threshold, operator=wanted["op"], **series),
            rule(acme, threshold, operator=wanted["op"], for_samples=wanted["for_samples"], **series),
        )
    wanted_ids = {question["filter"]["external_id"] for question in questions}
    with gzip.open(Path(DATA_DIR) / "telemetry-nab.ndjson.gz") as lines:
        chosen = b"".join(line for line in lines if orjson.loads(line)["external_id"] in wanted_ids)
    with tenant_bind(acme):
        import_run(tenant_id=acme.pk, chunks=[chosen], mode="merge", now=clock.now(), line_max_bytes=1 << 20)
    settle(feed, dsn)
    for question in questions:
        expected, samples = question["expected"], question["filter"]["for_samples"]
        each, runs = (firings(acme, rule_id=rule_id) for rule_id in rules[question["id"]])
        assert len(each) == expected["firings"], question
        assert each[0].fired_at == datetime.fromisoformat(expected["first_firing"])
        assert len(runs) == expected[f"firings_for_{samples}_samples"], question
        assert runs[0].fired_at == datetime.fromisoformat(expected[f"first_firing_for_{samples}_samples"])
        assert (each[-1].cleared_at is None) == expected["firing_at_end"]
    assert firings(globex) == []
