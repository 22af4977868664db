"""ClickHouse behind a real feed: the same entities and values as the primary, through replays, loads and crashes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Context, Decimal, localcontext
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.clickhouse.applier import ClickHouseApplier, number_split, tenant_count, tenant_erase, value_line
from analytics.clickhouse.changes import position_read, position_write
from analytics.clickhouse.client import clickhouse_client, text_escape
from analytics.clickhouse.migrate import (
    migrations_apply,
    migrations_pending,
    migrations_sql,
    statements_of,
    variables,
)
from analytics.feed.events import UNCHANGED, Change, Heartbeat, Position
from analytics.feed.repair import feed_resnapshot
from analytics.feed.run import Feed
from analytics.feed.slots import cluster_identify, lost_from
from tenants.models import Tenant
from tests.analytics.feeding import (
    delete,
    feed_running,
    patch,
    replication_dsn_of,
    slot_drop_patiently,
    slot_name,
    wal_end,
    write,
)
from tests.cluster import Cluster
from tests.waiting import wait_until


@pytest.fixture
def dsn(stack: Cluster) -> str:
    return replication_dsn_of(stack)


@pytest.fixture
def client(stack: Cluster) -> Iterator[Any]:
    """ClickHouse with an empty schema."""
    client = clickhouse_client()
    migrations_apply(client)
    for table in ("attribute_values", "attribute_history"):
        client.command(f"TRUNCATE TABLE {table}")
    yield client
    client.close()


@pytest.fixture
def applier(client: Any, stack: Cluster, dsn: str) -> ClickHouseApplier:
    return ClickHouseApplier(stack.clickhouse_url, dsn=dsn)


def wait_for_clickhouse(feed: Feed, dsn: str) -> None:
    lsn = wal_end(dsn)
    wait_until(lambda: (known := feed.workers[0].position) is not None and known.lsn >= lsn)


def entities_in(client: Any, tenant: Tenant) -> list[tuple[Any, ...]]:
    rows = client.query(
        "SELECT entity_id, entity_type, external_id, created_us, updated_us, version FROM entities FINAL"
        " WHERE tenant_id = {tenant:UInt32} ORDER BY entity_id",
        parameters={"tenant": tenant.pk},
    ).result_rows
    return [tuple(row) for row in rows]


def values_in(client: Any, tenant: Tenant) -> list[tuple[Any, ...]]:
    rows = client.query(
        "SELECT entity_id, attribute_name, value_type, value, number, number_rest, instant_us, updated_us"
        " FROM attribute_values FINAL WHERE tenant_id = {tenant:UInt32} AND attribute_name != ''"
        " ORDER BY entity_id, attribute_name",
        parameters={"tenant": tenant.pk},
    ).result_rows
    return [tuple(row) for row in rows]


def history_in(client: Any, tenant: Tenant) -> list[tuple[str, str]]:
    rows = client.query(
        "SELECT value_type, value FROM attribute_history FINAL WHERE tenant_id = {tenant:UInt32} ORDER BY lsn",
        parameters={"tenant": tenant.pk},
    ).result_rows
    return [tuple(row) for row in rows]


def test_entities_and_values_are_those_of_the_primary(
    dsn: str, client: Any, applier: ClickHouseApplier, acme: Tenant, globex: Tenant
) -> None:
    with feed_running(dsn, [applier], slot=slot_name()) as feed:
        row = write(acme, "tab\t", n=0.1, big=2**63 - 1, s="back\\slash\nline", t="2026-01-31T12:00:00+01:00", b=False)
        other = write(globex, "one", n="text", gone=1)
        patch(acme, row.entity_id, n=None, new=-2.5e-300)
        patch(globex, other.entity_id, gone=None)
        removed = write(globex, "two", x=1)
        delete(globex, removed.entity_id)
        wait_for_clickhouse(feed, dsn)
        assert [found[1:3] + found[5:] for found in entities_in(client, acme)] == [("thing", "tab\t", 2)]
        assert {found[1]: found[2:7] for found in values_in(client, acme)} == {
            "b": ("boolean", "false", 0.0, 0.0, 0),
            "big": ("number", "9223372036854775807", 9.223372036854775807e18, -193.0, 0),
            "new": ("number", digits(-2.5e-300), -2.5e-300, 0.0, 0),
            "s": ("string", "back\\slash\nline", 0.0, 0.0, 0),
            "t": ("timestamp", "2026-01-31T12:00:00+01:00", 0.0, 0.0, 1_769_857_200_000_000),
        }
        assert [found[0] for found in entities_in(client, globex)] == [other.entity_id]
        assert {found[1]: found[3] for found in values_in(client, globex)} == {"n": "text"}
        history = history_in(client, globex)
        assert sorted(history[:2]) == [("number", "1"), ("string", "text")]
        assert history[2:] == [("removed", ""), ("number", "1"), ("removed", "")]


def digits(number: float) -> str:
    """As PostgreSQL's numeric writes it, without an exponent."""
    return f"{Decimal(repr(number)):f}"


def test_a_load_gives_the_same_rows_as_the_feed(
    dsn: str, client: Any, applier: ClickHouseApplier, acme: Tenant, globex: Tenant
) -> None:
    with feed_running(dsn, [applier], slot=slot_name()) as feed:
        row = write(acme, "a\\b", n=0.1, big=2**63 - 1, s="é\\\t", t="0001-01-01T00:00:00+15:00", tiny=1e-300)
        patch(acme, row.entity_id, n=0.12345678901234567, s=None)
        write(globex, "one", n="text")
        wait_for_clickhouse(feed, dsn)
        fed = [(entities_in(client, tenant), values_in(client, tenant)) for tenant in (acme, globex)]
        # A row that is here by mistake, below any snapshot, and one that is missing.
        client.command(f"ALTER TABLE attribute_values DELETE WHERE tenant_id = {globex.pk} SETTINGS mutations_sync = 2")
        client.insert(
            "attribute_values", [[acme.pk, "", 1, "entity", "ghost", 5]],
            column_names=["tenant_id", "attribute_name", "entity_id", "value_type", "value", "lsn"],
        )  # fmt: skip
        loads = 'atlasco_feed_loads_total{store="clickhouse"}'
        before = feed.metrics.read()[loads]
        feed_resnapshot(dsn=dsn, store="clickhouse", slot=feed._slot)
        wait_until(lambda: feed.metrics.read()[loads] > before and feed.is_running())
        assert [(entities_in(client, tenant), values_in(client, tenant)) for tenant in (acme, globex)] == fed
        assert len(history_in(client, acme)) == 7
        write(globex, "two", n=1)
        wait_for_clickhouse(feed, dsn)
        assert len(entities_in(client, globex)) == 2


def test_what_comes_again_is_there_once(
    dsn: str, client: Any, applier: ClickHouseApplier, acme: Tenant, globex: Tenant
) -> None:
    slot = slot_name()
    with feed_running(dsn, [applier], slot=slot, keep_slot=True) as feed:
        row = write(acme, "one", n=1)
        write(globex, "one", n=1)
        start = position_read(client)
        patch(acme, row.entity_id, n=2)
        wait_for_clickhouse(feed, dsn)
        before = (entities_in(client, acme), values_in(client, acme), history_in(client, acme))
    assert start is not None
    # As if the feed had died after the data and before the position.
    position_write(client, start)
    with feed_running(dsn, [applier], slot=slot) as feed:
        wait_for_clickhouse(feed, dsn)
        assert (entities_in(client, acme), values_in(client, acme), history_in(client, acme)) == before
        assert len(values_in(client, globex)) == 1


def test_a_long_value_that_did_not_come_with_its_change_is_kept(
    client: Any, applier: ClickHouseApplier, acme: Tenant, globex: Tenant
) -> None:
    def change(lsn: int, value: object, tenant: Tenant = acme) -> Change:
        row = {
            "value_type": "string", "attribute_value": value, "numeric_value": None, "instant_value": None,
            "updated_at": lsn, "created_at": 0,
        }  # fmt: skip
        return Change("entity_attributes", tenant.pk, (tenant.pk, 1, "long"), row, lsn, lsn + 1, lsn)

    applier.recover()
    position = Position("1", 1000, Heartbeat(1, 2, 3))
    applier.apply([change(10, "x" * 5000), change(11, "of globex", globex), change(12, UNCHANGED)], position)
    assert [(found[3], found[7]) for found in values_in(client, acme)] == [("x" * 5000, 12)]
    assert [found[3] for found in values_in(client, globex)] == ["of globex"]
    assert position_read(client) == position


def test_erasing_a_tenant_leaves_the_other(
    dsn: str, client: Any, applier: ClickHouseApplier, acme: Tenant, globex: Tenant
) -> None:
    with feed_running(dsn, [applier], slot=slot_name()) as feed:
        write(acme, "one", n=1)
        write(globex, "one", n=1)
        wait_for_clickhouse(feed, dsn)
        assert tenant_erase(client, tenant_id=acme.pk) == 3
        assert (tenant_count(client, tenant_id=acme.pk), tenant_count(client, tenant_id=globex.pk)) == (0, 3)


def test_clickhouse_may_be_killed(
    stack: Cluster, dsn: str, client: Any, applier: ClickHouseApplier, acme: Tenant, globex: Tenant
) -> None:
    with feed_running(dsn, [applier], slot=slot_name()) as feed:
        row = write(acme, "one", n=1)
        wait_for_clickhouse(feed, dsn)
        stack.ask("kill", name="clickhouse")
        patch(acme, row.entity_id, n=2)
        write(globex, "two", n=1)
        stack.ask("start", name="clickhouse")
        wait_until(feed.is_running)
        wait_for_clickhouse(feed, dsn)
    assert [found[3] for found in values_in(client, acme)] == ["2"]
    assert history_in(client, acme) == [("number", "1"), ("number", "2")]
    assert len(values_in(client, globex)) == 1


def test_a_lost_slot_loads_clickhouse_from_a_snapshot(
    dsn: str, client: Any, applier: ClickHouseApplier, acme: Tenant, globex: Tenant
) -> None:
    slot = slot_name()
    with feed_running(dsn, [applier], slot=slot, keep_slot=True) as feed:
        row = write(acme, "one", n=1)
        gone = write(globex, "gone", n=1)
        wait_for_clickhouse(feed, dsn)
    slot_drop_patiently(dsn, slot)
    patch(acme, row.entity_id, n=2)
    delete(globex, gone.entity_id)
    feed_resnapshot(dsn=dsn, store="", slot=slot)
    with feed_running(dsn, [applier], slot=slot) as feed:
        wait_for_clickhouse(feed, dsn)
        assert [found[3] for found in values_in(client, acme)] == ["2"]
        assert (entities_in(client, globex), values_in(client, globex)) == ([], [])


class Dying:
    """ClickHouse's client, until it has done so many statements that change something."""

    def __init__(self, client: Any, left: int) -> None:
        self._client, self._left = client, left

    def __getattr__(self, name: str) -> Any:
        if name in {"command", "raw_insert"}:
            self._left -= 1
            if self._left < 0:
                raise ConnectionError("died")
        return getattr(self._client, name)


@pytest.mark.parametrize("is_promoted", [True, False])
def test_another_cluster_is_left_whole_though_the_load_dies_anywhere(
    dsn: str, client: Any, applier: ClickHouseApplier, acme: Tenant, globex: Tenant, is_promoted: bool,
    owner_db: psycopg.Connection[Any],
) -> None:  # fmt: skip
    for tenant in (acme, globex):
        write(tenant, "one", n=1)
    system = cluster_identify(dsn).partition("/")[0]
    left = f"{system}/9" if is_promoted else "1/1"
    with owner_db.transaction():
        owner_db.execute("SELECT set_config('atlasco.tenant_id', %s, true)", (str(globex.pk),))
        owner_db.execute(
            "INSERT INTO partition_archives VALUES (%s, 'old', NULL, 2, now(), 1, 1, 0, '', '')", (globex.pk,)
        )
    for statements in range(5):
        for tenant in (acme, globex):
            # Their LSN is greater than all that a snapshot has.
            client.insert(
                "attribute_values", [[tenant.pk, "", 1, "entity", "left", 2**60]],
                column_names=["tenant_id", "attribute_name", "entity_id", "value_type", "value", "lsn"],
            )  # fmt: skip
        client.insert("attribute_history", [[acme.pk, "n", 1, 7]], column_names=[
            "tenant_id", "attribute_name", "entity_id", "commit_lsn"])  # fmt: skip
        position_write(client, Position(left, 5))
        applier.recover()
        applier._client = Dying(applier._client, statements)
        with pytest.raises(ConnectionError):
            applier.load(start=Position(f"{system}/1", 0))
        applier.recover()
        assert applier.load(start=Position(f"{system}/1", 0)).cluster == f"{system}/1"
        assert [found[2] for found in entities_in(client, acme)] == ["one"]
        # The month that is archived is only here; of another primary it is not known whose it is.
        assert [found[2] for found in entities_in(client, globex)] == ["left", "one"][1 - is_promoted :]
        # Samples stay, and no later promotion takes them for its own.
        kept = client.query("SELECT commit_lsn FROM attribute_history WHERE entity_id = 1").result_rows
        assert set(kept) == {(0,)}


def test_what_earlier_versions_recorded_of_a_first_timeline_goes_on(
    dsn: str, client: Any, applier: ClickHouseApplier, acme: Tenant, globex: Tenant
) -> None:
    slot = slot_name()
    with feed_running(dsn, [applier], slot=slot, keep_slot=True) as feed:
        write(acme, "one", n=1)
        wait_for_clickhouse(feed, dsn)
    recorded = position_read(client)
    assert recorded is not None and recorded.cluster == cluster_identify(dsn)
    bare = replace(recorded, cluster=recorded.cluster.partition("/")[0])
    position_write(client, bare)
    with feed_running(dsn, [applier], slot=slot) as feed:
        write(globex, "one", n=1)
        wait_for_clickhouse(feed, dsn)
        assert 'atlasco_feed_loads_total{store="clickhouse"}' not in feed.metrics.read()
    assert position_read(client).cluster == recorded.cluster  # type: ignore[union-attr]  # There is a position by now.
    # Which timeline it was is not known on a later one, and so nothing that is lost.
    assert lost_from(dsn, cluster=bare.cluster, now=f"{bare.cluster}/2") is None


def test_the_schema_is_made_once(client: Any) -> None:
    assert migrations_pending(client) == []
    assert migrations_apply(client) == []


def test_on_a_cluster_everything_is_made_on_it_and_every_table_is_replicated(settings: Any) -> None:
    settings.CLICKHOUSE_CLUSTER = "o'clock"
    names = variables(cluster="o'clock")
    assert names["on_cluster"] == "ON CLUSTER 'o\\'clock'"
    statements = [statement for _, of_file in migrations_sql() for statement in of_file]
    assert len(statements) > 20
    for statement in statements:
        verb = statement.split(maxsplit=1)[0]
        assert verb in {"CREATE", "ALTER", "DROP", "TRUNCATE"}, statement
        assert names["on_cluster"] in statement and "{" not in statement, statement
        engines = re.findall(r"ENGINE = (\w+)", statement)
        assert all(engine.startswith("Replicated") or engine == "Null" for engine in engines), statement
        assert ("CREATE TABLE" in statement) == bool(engines)


def test_a_file_is_cut_into_statements() -> None:
    assert statements_of("-- one; two;\nSELECT 1;\n\n-- three\nSELECT ';' ;\n") == ["SELECT 1", "SELECT ';'"]


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30, places=12))
def test_a_number_and_its_rest_are_the_number(number: Any) -> None:
    nearest, rest = number_split(f"{number:f}")
    with localcontext(Context(prec=100)):
        assert abs(Decimal(repr(nearest)) + Decimal(repr(rest)) - number) <= abs(number) * Decimal("1e-30")


@given(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])))
def test_an_escaped_text_is_one_field(text: str) -> None:
    escaped = text_escape(text)
    assert "\t" not in escaped and "\n" not in escaped
    plain = escaped.replace("\\\\", "\x00").replace("\\t", "\t").replace("\\n", "\n").replace("\\r", "\r")
    assert plain.replace("\x00", "\\") == text


def test_a_row_that_is_deleted_is_removed_at_its_commit() -> None:
    committed_us = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1_000_000)
    line = value_line(Change("entity_attributes", 7, (7, 1, "a\tb"), None, 10, 11, committed_us))
    assert line == f"7\ta\\tb\t1\t{committed_us}\tremoved\t\t0\t0\t0\t10\t{committed_us}\t\t0\t\t0\t11\n"


def test_doubles_come_back_as_they_went(
    client: Any, applier: ClickHouseApplier, acme: Tenant, globex: Tenant, owner_db: psycopg.Connection[Any]
) -> None:
    numbers = [0.1 + 0.2, 1 / 3, 2**53 + 2.0, 1.7976931348623157e308, 5e-324, 123456.789012345]
    applier.recover()
    events: list[Any] = [
        Change(
            "entity_attributes", acme.pk, (acme.pk, n, "n"),
            {"value_type": "number", "attribute_value": digits(number), "numeric_value": digits(number),
             "instant_value": None, "updated_at": 0, "created_at": 0}, 10 + n, 100, 0,
        )
        for n, number in enumerate(numbers)
    ]  # fmt: skip
    applier.apply(events, Position("1", 1000))
    assert [found[4] for found in values_in(client, acme)] == numbers
    assert values_in(client, globex) == []
