"""Rollups hold what the primary holds, wherever something changed, whatever interrupted a refresh."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from django.conf import settings
from django.core.management import call_command

from analytics.clickhouse.applier import ClickHouseApplier
from analytics.clickhouse.changes import position_read
from analytics.clickhouse.client import clickhouse_client
from analytics.clickhouse.migrate import migrations_apply
from analytics.feed.events import Heartbeat, Position
from analytics.feed.run import Feed
from analytics.rollups import reading, refresh
from analytics.rollups.reading import (
    GRAINS,
    Distribution,
    DistributionRead,
    EntitiesRead,
    Grain,
    TrendRead,
    TypesRead,
    ValuesRead,
    rollup,
)
from analytics.rollups.refresh import (
    rollups_advance,
    rollups_plan,
    rollups_refresh,
    rollups_round,
)
from analytics.rollups.state import TABLES, RollupState, rollups_count, rollups_erase, states_read, states_write
from atlasco.lib import clock
from entities.ingest.importer import import_run
from freshness.reads import ReadSource
from freshness.sources import Applied
from freshness.timelines import seq_first
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tests.analytics.feeding import delete, feed_running, patch, replication_dsn_of, slot_name, wal_end, write
from tests.cluster import Cluster
from tests.waiting import wait_until

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def dsn(stack: Cluster) -> str:
    return replication_dsn_of(stack)


@pytest.fixture
def client(stack: Cluster) -> Iterator[Any]:
    client = clickhouse_client()
    migrations_apply(client)
    for table in ("attribute_values", "attribute_history", *TABLES):
        client.command(f"TRUNCATE TABLE {table}")
    yield client
    client.close()


@pytest.fixture
def feed(stack: Cluster, dsn: str, client: Any) -> Iterator[Feed]:
    with feed_running(dsn, [ClickHouseApplier(stack.clickhouse_url, dsn=dsn)], slot=slot_name()) as feed:
        yield feed


def settle(feed: Feed, dsn: str) -> None:
    lsn = wal_end(dsn)
    wait_until(lambda: (known := feed.workers[0].position) is not None and known.lsn >= lsn)


def refreshed(client: Any, feed: Feed, dsn: str, *tenants: Tenant) -> None:
    settle(feed, dsn)
    for tenant in tenants:
        rollups_refresh(client, tenant_id=tenant.pk, now=clock.now())


def sample(external_id: str, at: datetime, attributes: str, entity_type: str = "sensor") -> str:
    head = f'{{"entity_type":"{entity_type}","external_id":"{external_id}","at":"{at.isoformat()}"'
    return f'{head},"attributes":{attributes}}}'


def import_samples(tenant: Tenant, *entities: str) -> None:
    """Each line by itself: so the log has every one of them."""
    with tenant_bind(tenant):
        for entity in entities:
            import_run(
                tenant_id=tenant.pk, chunks=[entity.encode()], mode="merge", now=clock.now(), line_max_bytes=1 << 20
            )


def distributions(tenant: Tenant, **wish: Any) -> list[Distribution]:
    found = reading.distribution_rollup(DistributionRead(tenant.pk, **wish))
    assert found is not None
    return list(found.value.rows)


def of_primary(tenant: Tenant, **wish: Any) -> list[Distribution]:
    with tenant_bind(tenant):
        found = reading.distribution_primary(DistributionRead(tenant.pk, **wish), ReadSource("default", "0/0"))
    return list(found.rows)


def _head(row: Distribution) -> tuple[Any, ...]:
    return row.attribute, row.entity_type, row.values, row.distinct


def assert_equal(ours: list[Distribution], theirs: list[Distribution]) -> None:
    assert [_head(row) for row in ours] == [_head(row) for row in theirs]
    for own, other in zip(ours, theirs, strict=True):
        for found, wanted in ((own.numbers, other.numbers), (own.recent, other.recent)):
            assert found.count == wanted.count
            assert (found.average is None) == (wanted.average is None)
            assert found.average is None or found.average == pytest.approx(wanted.average, rel=1e-12)
            assert (found.least, found.greatest) == (wanted.least, wanted.greatest)
            assert found.quantiles.keys() == wanted.quantiles.keys()
            for name, quantile in wanted.quantiles.items():
                assert found.quantiles[name] == (None if quantile is None else pytest.approx(quantile, rel=1e-12))
        assert (own.histogram is None) == (own.numbers.count == 0)
        assert sum(own.histogram.counts if own.histogram else []) == own.numbers.count


def test_distributions_are_those_of_the_primary_through_changes(
    dsn: str, client: Any, feed: Feed, acme: Tenant, globex: Tenant
) -> None:
    rnd = random.Random(7)
    rows = [
        write(acme, f"t{n}", size=rnd.choice([1, 2, 2.5, -3, 1e9]), name=f"n{n % 3}", flag=n % 2 == 0)
        for n in range(20)
    ]
    write(globex, "other", size=7, only_here=1)
    refreshed(client, feed, dsn, acme, globex)
    assert_equal(distributions(acme), of_primary(acme))
    assert_equal(distributions(globex), of_primary(globex))

    patch(acme, rows[0].entity_id, size="now a text", name=None)
    patch(acme, rows[1].entity_id, size=12345, added=4)
    delete(acme, rows[2].entity_id)
    refreshed(client, feed, dsn, acme)
    assert_equal(distributions(acme), of_primary(acme))
    assert_equal(distributions(acme, largest=True, limit=2), of_primary(acme, largest=True, limit=2))
    assert_equal(distributions(acme, attribute="size"), of_primary(acme, attribute="size"))
    assert_equal(distributions(acme, recent=True, min_count=18), of_primary(acme, recent=True, min_count=18))
    after = ("flag", "thing")
    assert_equal(distributions(acme, after=after), of_primary(acme, after=after))

    for row in rows:
        if row is not rows[2]:
            patch(acme, row.entity_id, name=None)
    refreshed(client, feed, dsn, acme)
    assert [row.attribute for row in distributions(acme)] == ["added", "flag", "size"]
    assert len(distributions(globex)) == 2


def test_only_what_changed_is_computed_anew(
    dsn: str, client: Any, feed: Feed, acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Seconds in which marks are worked in twice, in case that ClickHouse's clock was set back.
    monkeypatch.setattr(refresh, "MARKS_MARGIN_S", 0)
    row = write(acme, "one", moving=1, resting=1)
    write(globex, "one", moving=1)
    refreshed(client, feed, dsn, acme, globex)
    before = dict(_generations(client, acme))
    [plan] = rollups_plan(client, tenant_ids=[acme.pk], now=clock.now())
    assert plan.is_empty and not plan.is_due
    patch(acme, row.entity_id, moving=2)
    settle(feed, dsn)
    [plan] = rollups_plan(client, tenant_ids=[acme.pk], now=clock.now() + timedelta(hours=1))
    assert (plan.attributes, plan.entities_changed, plan.is_due) == ({"moving": 1}, True, True)
    assert rollups_refresh(client, tenant_id=acme.pk, now=clock.now()).attributes == 1
    after = dict(_generations(client, acme))
    assert after["resting"] == before["resting"] and after["moving"] > before["moving"]


def test_a_change_makes_its_own_stretch_anew_and_no_other(
    dsn: str, client: Any, feed: Feed, acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh, "MARKS_MARGIN_S", 0)
    monkeypatch.setattr(refresh, "STRETCH_ENTITIES", 3)
    monkeypatch.setattr(refresh, "_RUN_VALUES", 12)

    def assert_all_right() -> None:
        assert_equal(distributions(acme), of_primary(acme))
        for name in ("size", "kind"):
            assert_values_equal(acme, name)
        entities = EntitiesRead(acme.pk)
        found = reading.entities_rollup(entities)
        with tenant_bind(acme):
            assert found is not None
            assert found.value.rows == reading.entities_primary(entities, ReadSource("default", "0/0")).rows

    rows = [write(acme, f"t{n}", size=n * 1.5, kind=f"k{n % 2}") for n in range(16)]
    write(globex, "other", size=7)
    refreshed(client, feed, dsn, acme, globex)
    assert len(states_read(client)[acme.pk].starts) >= 5
    assert len(states_read(client)[globex.pk].starts) == 1
    assert_all_right()

    before = _part_generations(client, acme, "size")
    patch(acme, rows[7].entity_id, size=1000)
    refreshed(client, feed, dsn, acme)
    after = _part_generations(client, acme, "size")
    [changed] = [start for start, generation in after.items() if generation > before[start]]
    assert changed <= rows[7].entity_id
    assert_all_right()

    # The last stretch has grown and is cut; one in the middle loses all that it had.
    rows += [write(acme, f"n{n}", size=n, kind="new") for n in range(10)]
    for row in rows[4:9]:
        delete(acme, row.entity_id)
    starts = states_read(client)[acme.pk].starts
    refreshed(client, feed, dsn, acme)
    assert set(states_read(client)[acme.pk].starts) > set(starts)
    assert_all_right()


def test_what_was_recent_leaves_the_last_seven_days_though_nothing_changes(
    dsn: str, client: Any, feed: Feed, acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh, "MARKS_MARGIN_S", 0)
    for tenant in (acme, globex):
        write(tenant, "one", size=1, name="a")
    refreshed(client, feed, dsn, acme, globex)
    before = _part_generations(client, acme, "size")
    later = clock.now() + timedelta(days=8)
    assert rollups_refresh(client, tenant_id=acme.pk, now=later).values == 0

    def counts(tenant: Tenant) -> list[tuple[int, int]]:
        return [(row.numbers.count, row.recent.count) for row in distributions(tenant, attribute="size")]

    assert (counts(acme), counts(globex)) == ([(1, 0)], [(1, 1)])
    assert _part_generations(client, acme, "size") == before
    # Once it has left, it is not looked at again.
    assert rollups_refresh(client, tenant_id=acme.pk, now=later + timedelta(days=1)).attributes == 0


def _part_generations(client: Any, tenant: Tenant, attribute: str) -> dict[int, int]:
    rows = client.query(
        "SELECT from_id, generation FROM rollup_parts FINAL"
        " WHERE tenant_id = {tenant:UInt32} AND attribute_name = {attribute:String}",
        parameters={"tenant": tenant.pk, "attribute": attribute},
    ).result_rows
    return dict(rows)


def _generations(client: Any, tenant: Tenant) -> list[tuple[str, int]]:
    rows = client.query(
        "SELECT attribute_name, generation FROM rollup_distribution FINAL WHERE tenant_id = {tenant:UInt32}",
        parameters={"tenant": tenant.pk},
    ).result_rows
    return [tuple(row) for row in rows]


def test_a_refresh_that_died_anywhere_is_made_good_by_the_next(
    dsn: str, client: Any, feed: Feed, acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = write(acme, "one", size=1, name="a")
    write(globex, "one", size=1)
    refreshed(client, feed, dsn, acme, globex)
    real = refresh._run
    for statements in range(1, 5):
        patch(acme, row.entity_id, size=statements * 10, name=f"b{statements}")
        settle(feed, dsn)
        left = [statements]

        def dying(*args: Any, left: list[int] = left) -> None:
            if left[0] == 0:
                raise ConnectionError("killed")
            left[0] -= 1
            real(*args)

        monkeypatch.setattr(refresh, "_run", dying)
        before = states_read(client)[acme.pk]
        with pytest.raises(ConnectionError):
            rollups_refresh(client, tenant_id=acme.pk, now=clock.now())
        assert states_read(client)[acme.pk] == before
        monkeypatch.setattr(refresh, "_run", real)
        rollups_refresh(client, tenant_id=acme.pk, now=clock.now())
        rollups_refresh(client, tenant_id=acme.pk, now=clock.now())
        assert_equal(distributions(acme), of_primary(acme))
        values = reading.values_rollup(ValuesRead(acme.pk, "name"))
        assert values is not None and [found.value for found in values.value.rows] == [f"b{statements}"]


def test_a_stretch_that_a_dead_refresh_has_cut_becomes_whole_again(
    dsn: str, client: Any, feed: Feed, acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh, "MARKS_MARGIN_S", 0)
    monkeypatch.setattr(refresh, "STRETCH_ENTITIES", 3)
    write(globex, "one", resting=1)
    rows = [write(acme, f"t{n}", resting=n) for n in range(9)]
    refreshed(client, feed, dsn, acme, globex)
    # The last of three stretches gets as many as it may have.
    rows += [write(acme, f"t{n}", resting=n) for n in range(9, 12)]
    refreshed(client, feed, dsn, acme)
    starts = states_read(client)[acme.pk].starts
    one_too_many = write(acme, "new", other=1)
    settle(feed, dsn)
    real = refresh._run

    def dying(*args: Any) -> None:
        real(*args)
        if args[1] == "entity_parts_write":
            raise ConnectionError("killed")

    monkeypatch.setattr(refresh, "_run", dying)
    with pytest.raises(ConnectionError):
        rollups_refresh(client, tenant_id=acme.pk, now=clock.now())
    monkeypatch.setattr(refresh, "_run", real)
    # Now there is nothing to be cut any more, and nothing marks the other attribute.
    delete(acme, one_too_many.entity_id)
    refreshed(client, feed, dsn, acme)
    assert len(starts) == 3 and states_read(client)[acme.pk].starts == starts
    # A change elsewhere puts all of its parts together.
    patch(acme, rows[0].entity_id, resting=100)
    refreshed(client, feed, dsn, acme)
    assert_equal(distributions(acme), of_primary(acme))
    assert_values_equal(acme, "resting")


def test_the_older_of_two_refreshes_never_wins(
    dsn: str, client: Any, feed: Feed, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = write(acme, "one", size=1)
    refreshed(client, feed, dsn, acme)
    real = refresh._run

    def overtaken(*args: Any) -> None:
        real(*args)
        if args[1] == "work_settle":
            monkeypatch.setattr(refresh, "_run", real)
            patch(acme, row.entity_id, size=2)
            refreshed(client, feed, dsn, acme)

    monkeypatch.setattr(refresh, "_run", overtaken)
    rollups_refresh(client, tenant_id=acme.pk, now=clock.now())
    assert [found.numbers.greatest for found in distributions(acme)] == [2]


def assert_values_equal(tenant: Tenant, attribute: str) -> list[tuple[str, str, int]]:
    request = ValuesRead(tenant.pk, attribute)
    found = reading.values_rollup(request)
    assert found is not None
    with tenant_bind(tenant):
        theirs = reading.values_primary(request, ReadSource("default", "0/0"))
    ours = [(row.value_type, row.value, row.count) for row in found.value.rows]
    assert sorted(ours) == sorted((row.value_type, row.value, row.count) for row in theirs.rows)
    return ours


def test_values_are_counted_where_there_are_few(
    dsn: str, client: Any, feed: Feed, acme: Tenant, globex: Tenant
) -> None:
    for n in range(3):
        write(acme, f"t{n}", kind="a" if n else "b", mixed=[1, "1", True][n], at="2026-01-01T00:00:00Z")
    write(acme, "t4", mixed=1.0, at="2026-01-01T01:00:00+01:00")
    write(globex, "g", kind="secret")
    refreshed(client, feed, dsn, acme, globex)

    def counted(attribute: str) -> list[tuple[str, str, int]]:
        return assert_values_equal(acme, attribute)

    assert counted("kind") == [("string", "a", 2), ("string", "b", 1)]
    # 1 and 1.0 are one number; a text and a boolean are others.
    assert counted("mixed") == [("number", "1", 2), ("string", "1", 1), ("boolean", "true", 1)]
    assert [count for _, _, count in counted("at")] == [4]
    assert counted("nobody") == []


def test_a_trend_is_kept_by_the_hour_and_the_day(
    dsn: str, client: Any, feed: Feed, acme: Tenant, globex: Tenant
) -> None:
    import_samples(
        acme,
        sample("s1", NOON, '{"heat": 1}'),
        sample("s1", NOON + timedelta(minutes=10), '{"heat": 3}'),
        sample("s2", NOON + timedelta(minutes=50), '{"heat": 8}'),
        sample("s1", NOON + timedelta(hours=1), '{"heat": 100}'),
        sample("s1", NOON + timedelta(days=1), '{"heat": 7}'),
        sample("old", datetime(1, 1, 1, 5, tzinfo=UTC), '{"heat": 2}'),
    )
    import_samples(globex, sample("s1", NOON, '{"heat": 1000}'))
    refreshed(client, feed, dsn, acme, globex)
    found = reading.trend_rollup(TrendRead(acme.pk, "heat", grain="hour"))
    assert found is not None
    assert [(point.bucket, point.samples, point.median, point.greatest) for point in found.value.rows] == [
        (datetime(1, 1, 1, 5, tzinfo=UTC), 1, 2, 2),
        (NOON, 3, 3, 8),
        (NOON + timedelta(hours=1), 1, 100, 100),
        (NOON + timedelta(days=1), 1, 7, 7),
    ]
    days = reading.trend_rollup(TrendRead(acme.pk, "heat", newest=True, limit=2))
    assert days is not None and not days.value.is_whole
    assert [(point.bucket.day, point.samples, point.average, point.median) for point in days.value.rows] == [
        (1, 4, 28, 5.5),
        (2, 1, 7, 7),
    ]
    # A sample that comes late changes its own day.
    import_samples(acme, sample("s3", NOON + timedelta(minutes=1), '{"heat": 0}'))
    refreshed(client, feed, dsn, acme)
    late = reading.trend_rollup(TrendRead(acme.pk, "heat", start=NOON - timedelta(days=1)))
    assert late is not None and [point.samples for point in late.value.rows] == [5, 1]


def test_much_of_the_past_is_put_together_some_attributes_at_a_time(
    dsn: str, client: Any, feed: Feed, acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"a{n}" for n in range(9)]
    for tenant in (acme, globex):
        import_samples(
            tenant,
            *(
                sample("s1", NOON + timedelta(hours=7 * hour), orjson.dumps(dict.fromkeys(names, hour)).decode())
                for hour in range(8)
            ),
        )

    def trends(tenant: Tenant) -> list[Any]:
        found = [
            reading.trend_rollup(TrendRead(tenant.pk, name, grain=grain, end=NOON + timedelta(days=30)))
            for name in names
            for grain in GRAINS
        ]
        return [(point.bucket, point.samples, point.median) for one in found if one for point in one.value.rows]

    refreshed(client, feed, dsn, globex)
    real, slices = refresh._run, 0

    def counting(*args: Any) -> None:
        nonlocal slices
        slices += args[1] == "trend_days_write"
        real(*args)

    monkeypatch.setattr(refresh, "_run", counting)
    monkeypatch.setattr(refresh, "_RUN_VALUES", 5)
    refreshed(client, feed, dsn, acme)
    assert slices > 1
    assert trends(acme) == trends(globex) != []


def test_samples_of_a_deleted_entity_leave_the_trend(
    dsn: str, client: Any, feed: Feed, acme: Tenant, globex: Tenant
) -> None:
    for tenant in (acme, globex):
        import_samples(tenant, sample("s1", NOON, '{"heat": 1}'), sample("s2", NOON + timedelta(days=3), '{"heat": 5}'))
    import_samples(acme, sample("gone", NOON, '{"heat": 3}'), sample("gone", NOON + timedelta(days=1), '{"heat": 4}'))

    def trend(tenant: Tenant, grain: Grain) -> list[tuple[int, int, float | None]]:
        found = reading.trend_rollup(TrendRead(tenant.pk, "heat", grain=grain, end=NOON + timedelta(days=30)))
        assert found is not None
        return [(point.bucket.day, point.samples, point.greatest) for point in found.value.rows]

    refreshed(client, feed, dsn, acme, globex)
    for grain in GRAINS:
        assert trend(acme, grain) == [(1, 2, 3), (2, 1, 4), (4, 1, 5)]
    [[gone]] = client.query("SELECT entity_id FROM entities WHERE external_id = 'gone' AND is_deleted = 0").result_rows
    delete(acme, gone)
    refreshed(client, feed, dsn, acme)
    for grain in GRAINS:
        assert trend(acme, grain) == trend(globex, grain) == [(1, 1, 1), (4, 1, 5)]


def test_entities_are_counted_by_the_day_of_their_creation(
    dsn: str, client: Any, feed: Feed, acme: Tenant, globex: Tenant
) -> None:
    import_samples(
        acme,
        sample("a", NOON, "{}"),
        sample("b", NOON, "{}", entity_type="lamp"),
        sample("c", NOON + timedelta(days=2), "{}"),
    )
    write(globex, "g")
    gone = write(acme, "gone", x=1)
    refreshed(client, feed, dsn, acme, globex)
    delete(acme, gone.entity_id)
    refreshed(client, feed, dsn, acme)
    request = EntitiesRead(acme.pk)
    found = reading.entities_rollup(request)
    assert found is not None
    assert [(point.day.day, point.entity_type, point.created, point.total) for point in found.value.rows] == [
        (1, "lamp", 1, 1),
        (1, "sensor", 1, 1),
        (3, "sensor", 1, 2),
    ]
    types = reading.types_rollup(TypesRead(acme.pk))
    assert types is not None
    assert [(row.entity_type, row.entities) for row in types.value.rows] == [("sensor", 2), ("lamp", 1)]
    with tenant_bind(acme):
        assert list(reading.entities_primary(request, ReadSource("default", "0/0")).rows) == list(found.value.rows)
        theirs = reading.types_primary(TypesRead(acme.pk), ReadSource("default", "0/0"))
    assert theirs.rows == types.value.rows


def test_what_rollups_reflect_is_known_and_moves_on_where_nothing_changes(
    dsn: str, client: Any, feed: Feed, acme: Tenant, globex: Tenant
) -> None:
    write(acme, "one", size=1)
    write(globex, "one", size=1)
    refreshed(client, feed, dsn, acme)
    position = position_read(client)
    assert position is not None
    assert states_read(client)[acme.pk].position.lsn <= position.lsn
    assert globex.pk not in states_read(client)
    state = states_read(client)[acme.pk]
    write(globex, "two", size=1)
    settle(feed, dsn)
    wait_until(lambda: (found := position_read(client)) is not None and found.lsn > state.position.lsn)
    plans = rollups_plan(client, tenant_ids=[acme.pk, globex.pk], now=clock.now())
    assert [plan.is_first for plan in plans] == [False, True]
    rollups_advance(client, plans=[replace(plan, attributes={}, entities_changed=False) for plan in plans])
    states = states_read(client)
    assert states[acme.pk].position.lsn > state.position.lsn and globex.pk not in states


def test_what_rollups_reflect_tells_the_timeline_too(client: Any, acme: Tenant, globex: Tenant) -> None:
    beat = Heartbeat(seq_first(2) + 1, 1_000_000, 70)
    states_write(
        client,
        [RollupState(tenant.pk, 1, Position("1/2", 77, beat), 0, 0, 0.0, 0, [1]) for tenant in (acme, globex)],
    )
    found = reading.types_rollup(TypesRead(acme.pk))
    assert found is not None and found.applied == Applied(1.0, 77, beat.seq)


def test_the_round_refreshes_whoever_is_due(
    dsn: str, client: Any, feed: Feed, acme: Tenant, globex: Tenant, capsys: pytest.CaptureFixture[str]
) -> None:
    write(acme, "one", size=1)
    write(globex, "one", size=2)
    settle(feed, dsn)
    assert rollups_round(client, now=clock.now) >= 2
    assert [found.numbers.greatest for tenant in (acme, globex) for found in distributions(tenant)] == [1, 2]
    write(acme, "one", size=3)
    settle(feed, dsn)
    # Not so soon again.
    assert rollups_round(client, now=clock.now) == 0
    call_command("rollups", "plan", "--tenant", acme.slug)
    assert f"{acme.slug}: 1 attributes" in capsys.readouterr().out
    call_command("rollups", "refresh", "--tenant", acme.slug)
    assert f"{acme.slug}: 1 attributes with " in capsys.readouterr().out
    assert [found.numbers.greatest for found in distributions(acme)] == [3]


def test_a_tenants_rollups_are_erased_with_it(dsn: str, client: Any, feed: Feed, acme: Tenant, globex: Tenant) -> None:
    write(acme, "one", size=1)
    write(globex, "one", size=1)
    refreshed(client, feed, dsn, acme, globex)
    assert rollups_erase(client, tenant_id=acme.pk) > 0
    assert rollups_count(client, tenant_id=acme.pk) == 0
    assert len(distributions(globex)) == 1


def test_a_statement_that_asks_too_much_of_a_rollup_is_left_to_a_database(
    client: Any, feed: Feed, dsn: str, acme: Tenant, globex: Tenant
) -> None:
    write(acme, "one", n=1)
    write(globex, "one", n=1)
    refreshed(client, feed, dsn, acme, globex)
    asked: list[Any] = []

    def too_much(client: Any) -> list[Any]:
        asked.extend(client.query("SELECT toFloat64(getSetting('max_execution_time'))").result_rows)
        statement = "SELECT groupArray(number) FROM numbers(10000000) SETTINGS max_memory_usage = 1000000"
        return list(client.query(statement).result_rows)

    for tenant in (acme, globex):
        assert rollup._rollup(tenant.pk, too_much, limit=1) is None
        assert [found.attribute for found in distributions(tenant)] == ["n"]
    # As long as the database's statements may take.
    assert asked == [(settings.STATEMENT_TIMEOUT_MS / 1000,)] * 2
