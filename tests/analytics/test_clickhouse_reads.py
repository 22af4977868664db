"""ClickHouse answers as plain Python does, to the last digit, and never half of what was written together."""

from __future__ import annotations

import threading
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from analytics.clickhouse.changes import changes_insert, position_line
from analytics.clickhouse.client import clickhouse_client, reading_client
from analytics.clickhouse.load import snapshot_load
from analytics.clickhouse.migrate import migrations_apply
from analytics.clickhouse.reading import aggregate as reading
from analytics.clickhouse.reading.aggregate import aggregate_read, numeric_divide
from analytics.clickhouse.reading.conditions import SETS_MAX, Statement, instant_us, number_operand
from analytics.clickhouse.reading.search import entity_read, search_read, value_read
from analytics.clickhouse.reading.sources import aggregate_found, search_found
from analytics.feed.events import Heartbeat, Position
from analytics.feed.slots import snapshot_export
from entities import aggregates
from entities.aggregates import FUNCTIONS, TooManyGroups, aggregate_parse, aggregate_run
from entities.reads import AggregateRead, SearchRead
from entities.search.query import query_parse
from entities.search.run import EntityRow
from entities.selectors import AttributeNotFound, EntityNotFound, value_get
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tests.analytics.feeding import replication_dsn_of
from tests.cluster import Cluster
from tests.entities import plane, queries
from tests.entities.effort import examples
from tests.entities.hard_texts import STRINGS
from tests.entities.kept import tenant_empty
from tests.entities.model import Group, Json, Row, Update, aggregate_of, found, microseconds_of, same_document
from tests.entities.plane import entity
from tests.entities.test_aggregates_against_the_model import GROUPINGS, assert_same_groups, bodies, lamps


@pytest.fixture(scope="module")
def dsn(stack: Cluster) -> str:
    return replication_dsn_of(stack)


@pytest.fixture
def client(live_db: None) -> Any:
    migrations_apply(clickhouse_client())
    return reading_client()


def loaded(dsn: str, *tenants: Tenant) -> None:
    """Bring tenants into ClickHouse as they are on the primary; that the feed brings the same is tested elsewhere."""
    with snapshot_export(dsn) as snapshot:
        for tenant in tenants:
            snapshot_load(clickhouse_client(), snapshot, tenant_id=tenant.pk)


def paged(client: Any, tenant: Tenant, body: dict[str, Any], limit: int) -> tuple[list[EntityRow], int | None]:
    """All pages of a search, and the total that the first one told."""
    rows: list[EntityRow] = []
    cursor, total = None, None
    while True:
        query = query_parse({**body, "limit": limit, "cursor": cursor})
        page = search_read(client, tenant_id=tenant.pk, query=query).value
        assert len(page.entities) <= limit
        assert (page.total_count is None) == (body["count"] == "none")
        total = page.total_count if cursor is None else total
        rows += page.entities
        cursor = page.next_cursor
        if cursor is None:
            return rows, total
        assert len(page.entities) == limit


def assert_found(client: Any, tenant: Tenant, rows: list[Row], body: dict[str, Any], limit: int) -> int:
    expected = found(rows, body)
    got, total = paged(client, tenant, body, limit)
    assert [row.entity_id for row in got] == [row.entity_id for row in expected], body
    for row, wanted in zip(got, expected, strict=True):
        fields = body.get("fields")
        document = {name: wanted.attributes[name] for name in wanted.attributes if fields is None or name in fields}
        assert same_document(orjson.loads(row.attributes), document)
        assert (row.entity_type, row.external_id) == (wanted.entity_type, wanted.external_id)
        assert (row.created_at, row.updated_at) == (wanted.created_at, wanted.updated_at)
    assert total == (None if body["count"] == "none" else len(expected))
    return len(expected)


def computed(client: Any, tenant: Tenant, body: dict[str, Any]) -> list[Group]:
    groups = aggregate_read(client, tenant_id=tenant.pk, aggregate=aggregate_parse(body))
    assert groups is not None
    return [Group(orjson.loads(group.key), orjson.loads(group.value), group.count) for group in groups]


def assert_as_postgresql(client: Any, tenant: Tenant, body: dict[str, Any]) -> None:
    """The same keys, counts and values as PostgreSQL's, an average to the last bit."""
    with tenant_bind(tenant):
        theirs = aggregate_run(tenant_id=tenant.pk, aggregate=aggregate_parse(body), using="default")
    wanted = [Group(orjson.loads(group.key), orjson.loads(group.value), group.count) for group in theirs]
    got = computed(client, tenant, body)
    assert_same_groups(got, wanted)
    if body["fn"] == "avg":
        assert [group.value for group in got] == [group.value for group in wanted], body


@given(
    entities=queries.entities,
    decoys=queries.entities,
    # Many of one set of entities: bringing that into ClickHouse costs more than twenty searches.
    searches=st.lists(st.tuples(queries.searches(), st.integers(2, 8)), min_size=18, max_size=24),
)
@examples(9)
def test_a_search_finds_what_plain_python_finds(
    entities: list[Update],
    decoys: list[Update],
    searches: list[tuple[dict[str, Any], int]],
    client: Any,
    dsn: str,
    acme: Tenant,
    globex: Tenant,
) -> None:
    tenant_empty(acme)
    tenant_empty(globex)
    plane.write(acme, entities)
    plane.write(globex, decoys)
    loaded(dsn, acme, globex)
    rows = plane.rows(acme)
    matched = [assert_found(client, acme, rows, body, limit) for body, limit in searches]
    event("some query matched some but not all" if any(0 < n < len(rows) for n in matched) else "all or nothing")


@pytest.mark.parametrize(
    "operator", ["eq", "ne", "in", "gt", "ge", "lt", "le", "contains", "prefix", "is_type", "exists", "missing"]
)
def test_each_operator_on_every_pair_of_values(
    operator: str, client: Any, dsn: str, acme: Tenant, globex: Tenant
) -> None:
    values = [True, False, *queries.NUMBERS, *queries.INSTANTS, *queries.TEXTS]
    updates = [plane.entity(str(number), a=value) for number, value in enumerate(values)]
    updates.append(plane.entity("none", b=1))
    plane.write(acme, updates)
    plane.write(globex, [plane.entity("theirs", a=value) for value in values])
    loaded(dsn, acme, globex)
    rows = plane.rows(acme)
    operands_of: dict[str, list[Any]] = {
        "in": [[left, right] for left, right in pairwise(values)],
        "gt": [*queries.NUMBERS, *queries.INSTANTS],
        "contains": [value for value in values if isinstance(value, str)],
        "is_type": ["string", "number", "boolean", "timestamp"],
        "exists": [None],
    }
    like = {"ge": "gt", "lt": "gt", "le": "gt", "prefix": "contains", "missing": "exists"}.get(operator, operator)
    hits = 0
    for operand in operands_of.get(like, values):
        body = {"where": [["a", operator, operand]], "count": "exact"}
        hits += assert_found(client, acme, rows, body, 1000)
        inverse = {"where": [{"not": body["where"][0]}], "count": "none"}
        assert assert_found(client, acme, rows, inverse, 1000) + len(found(rows, body)) == len(rows)
    assert 0 < hits < len(operands_of.get(like, values)) * len(rows)


@given(entities=queries.crowds, decoys=queries.entities, asked=st.lists(bodies(), min_size=20, max_size=28))
@examples(9)
def test_an_aggregate_is_what_plain_python_computes(
    entities: list[Update],
    decoys: list[Update],
    asked: list[dict[str, Any]],
    client: Any,
    dsn: str,
    acme: Tenant,
    globex: Tenant,
) -> None:
    tenant_empty(acme)
    tenant_empty(globex)
    plane.write(acme, entities)
    plane.write(globex, decoys)
    loaded(dsn, acme, globex)
    rows = plane.rows(acme)
    for body in asked:
        expected = aggregate_of(rows, body)
        assert_same_groups(computed(client, acme, body), expected)
        if body["fn"] == "avg":
            assert_as_postgresql(client, acme, body)
        event("several groups" if len(expected) > 1 else "a group" if expected else "no group")


def test_each_function_by_each_grouping(client: Any, dsn: str, acme: Tenant, globex: Tenant) -> None:
    values: list[Json] = [True, False, *queries.NUMBERS, *queries.INSTANTS, *queries.TEXTS]
    updates = [
        Update(
            (queries.TYPES[number % 2], str(number)),
            {"a": value, "b": values[number // 3], "c:d e/f": number % 3, "%s": "x"},
            created_at=plane.instant(f"{(1000, 1899, 2026, 2400, 9999)[number % 5]:04}-12-30T00:00:00Z"),
        )
        for number, value in enumerate(values)
    ]
    plane.write(acme, [*updates, entity("none")])
    plane.write(globex, updates[:10])
    loaded(dsn, acme, globex)
    rows = plane.rows(acme)
    for fn in FUNCTIONS:
        for group_by in GROUPINGS:
            body = {"fn": fn, "attribute": "a", "group_by": group_by}
            assert_same_groups(computed(client, acme, body), aggregate_of(rows, body))
            assert_as_postgresql(client, acme, body)
            if fn != "type_mix":
                assert_as_postgresql(client, acme, {**body, "top": 2, "min_count": 1})


numbers = st.one_of(
    # Two of them are no farther apart than a double holds, or PostgreSQL interpolates to infinity.
    st.floats(-1e307, 1e307),
    st.integers(-(2**63), 2**63 - 1),
    st.decimals(-1000, 1000, places=3).map(float),
)


@given(columns=st.lists(st.lists(numbers, min_size=1, max_size=12), min_size=8, max_size=8))
@examples(3)
def test_numbers_are_added_as_postgresql_adds_them(
    columns: list[list[Any]], client: Any, dsn: str, acme: Tenant, globex: Tenant
) -> None:
    """Each list under a name of its own."""
    tenant_empty(acme)
    of_entity = [
        {f"n{place}": column[row] for place, column in enumerate(columns) if row < len(column)} for row in range(12)
    ]
    plane.write(acme, [entity(str(row), **attributes) for row, attributes in enumerate(of_entity)])
    plane.write(globex, lamps(1))
    loaded(dsn, acme, globex)
    for place in range(len(columns)):
        for fn in ("avg", "min", "max", "median", "distinct"):
            assert_as_postgresql(client, acme, {"fn": fn, "attribute": f"n{place}"})


def test_more_odd_numbers_than_can_be_added_here_are_left_to_another_store(
    client: Any, dsn: str, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "WILD_MAX", 2)
    plane.write(acme, lamps(1e300, -1e300, 1e-300, 1))
    loaded(dsn, acme)
    aggregate = aggregate_parse({"fn": "avg", "attribute": "watts"})
    assert aggregate_read(client, tenant_id=acme.pk, aggregate=aggregate) is None


def test_more_conditions_than_clickhouse_is_good_at_are_left_to_another_store(
    client: Any, dsn: str, acme: Tenant
) -> None:
    plane.write(acme, lamps(1, 2))
    loaded(dsn, acme)

    def answers(count: int) -> bool:
        where = [["watts", "gt", -number] for number in range(count)] + [["@entity_type", "eq", "lamp"]] * 3
        search = SearchRead(acme.pk, query_parse({"where": where}))
        aggregate = AggregateRead(acme.pk, aggregate_parse({"fn": "count", "where": {"not": {"any": where}}}))
        found = {search_found(search) is not None, aggregate_found(aggregate) is not None}
        assert len(found) == 1
        return found.pop()

    assert answers(SETS_MAX) and not answers(SETS_MAX + 1)


def test_where_nothing_matches_there_is_one_empty_group(client: Any, dsn: str, acme: Tenant, globex: Tenant) -> None:
    plane.write(acme, lamps("bright", True))
    plane.write(globex, lamps(5))
    loaded(dsn, acme, globex)
    for fn in FUNCTIONS:
        for extra in ({"where": [["watts", "eq", "dim"]]}, {"entity_type": "chair"}, {"attribute": "unheard of"}):
            body = {"fn": fn, "attribute": "watts", **extra}
            for more in ({}, {"group_by": "watts"}, {"min_count": 1}):
                assert_as_postgresql(client, acme, {**body, **more})


def test_an_answer_of_too_many_groups_is_refused(
    client: Any, dsn: str, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aggregates, "GROUPS_MAX", 3)
    plane.write(acme, lamps(1, 2, 3, 4))
    loaded(dsn, acme)
    with pytest.raises(TooManyGroups):
        computed(client, acme, {"fn": "count", "group_by": "watts"})
    assert len(computed(client, acme, {"fn": "count", "group_by": "watts", "top": 2})) == 2


def test_hard_texts_are_found_by_themselves(client: Any, dsn: str, acme: Tenant, globex: Tenant) -> None:
    odd = [
        "'",
        "\\",
        "\\'",
        "\\N",
        "a\tb",
        "a\nb",
        "a\r\nb",
        "%s",
        "{p0:String}",
        "\u200b\U0001f600",
        '"',
        "\x01",
        "x" * 70_000,
    ]
    texts = [text for text in (*STRINGS, *odd, "x" * 70_000) if text]
    plane.write(acme, [Update(("lamp", str(n)), {"t": text, text[:100]: n}) for n, text in enumerate(texts)])
    plane.write(globex, [plane.entity(str(n), t=text) for n, text in enumerate(texts)])
    loaded(dsn, acme, globex)
    rows = plane.rows(acme)
    for text in texts:
        for where in (["t", "eq", text], ["t", "in", [text, "-"]], [text[:100], "exists"], ["t", "contains", text]):
            assert assert_found(client, acme, rows, {"where": [where], "count": "none"}, 1000) >= 1
    huge = {"where": [["t", "in", [*texts, "x" * 900_000]]], "count": "exact"}
    assert assert_found(client, acme, rows, huge, 1000) == len(texts)


def test_an_entity_and_its_values_are_those_of_the_primary(client: Any, dsn: str, acme: Tenant, globex: Tenant) -> None:
    plane.write(acme, [plane.entity("1", n=2**63 - 1, s="é", b=True, t="2026-01-31T12:00:00.5+01:00", big=0.1)])
    plane.write(globex, [plane.entity("1", n=1)])
    loaded(dsn, acme, globex)
    (row,) = paged(client, acme, {"count": "none"}, 10)[0]
    assert entity_read(client, tenant_id=acme.pk, entity_id=row.entity_id).value == row
    for name in ("n", "s", "b", "t", "big"):
        with tenant_bind(acme):
            wanted = value_get(tenant_id=acme.pk, entity_id=row.entity_id, name=name, using="default")
        got = value_read(client, tenant_id=acme.pk, entity_id=row.entity_id, name=name).value
        assert orjson.loads(orjson.dumps(got.value)) == orjson.loads(orjson.dumps(wanted.value))
        assert (got.value_type, got.updated_at, got.version) == (wanted.value_type, wanted.updated_at, wanted.version)
    absent = value_read(client, tenant_id=acme.pk, entity_id=row.entity_id, name="unknown").value
    assert isinstance(absent, AttributeNotFound)
    assert entity_read(client, tenant_id=globex.pk, entity_id=row.entity_id).value is None
    assert isinstance(value_read(client, tenant_id=globex.pk, entity_id=row.entity_id, name="n").value, EntityNotFound)


def test_a_statement_reads_values_and_position_of_one_state(client: Any, acme: Tenant, globex: Tenant) -> None:
    """What is written together is seen together, and with the position that was written with it."""
    stopping = threading.Event()
    beat = Heartbeat(1, 2, 3)
    body = {"where": {"any": [["a", "exists"], ["b", "exists"]]}, "count": "exact"}

    def write() -> None:
        writer = clickhouse_client()
        for number in range(1, 1000):
            if stopping.is_set():
                break
            # Four entities, each under one of two names in turn; a step replaces all of them.
            lines = [
                f"{acme.pk}\t\t{n}\t0\tentity\tx{n}\t0\t0\t0\t{number}\t0\tlamp\t{number}\t{{}}\t0\t0\n"
                f"{acme.pk}\t{'ab'[number % 2]}\t{n}\t0\tnumber\t{number}\t{number}\t0\t0\t{number}\t0\t\t0\t\t0\t0\n"
                f"{acme.pk}\t{'ba'[number % 2]}\t{n}\t0\tremoved\t\t0\t0\t0\t{number}\t0\t\t0\t\t0\t0\n"
                for n in range(1, 5)
            ]
            position = position_line(Position("1", number, beat))
            changes_insert(writer, "".join(lines).encode(), position=position.encode())

    thread = threading.Thread(target=write)
    thread.start()
    try:
        seen = set()
        for _ in range(60):
            read = search_read(client, tenant_id=acme.pk, query=query_parse(body))
            versions = {row.version for row in read.value.entities}
            if not versions:
                continue
            assert (len(read.value.entities), read.value.total_count) == (4, 4)
            assert read.position is not None and versions == {read.position.lsn}
            seen |= versions
        assert len(seen) > 5
        assert paged(client, globex, {"count": "none"}, 10) == ([], None)
    finally:
        stopping.set()
        thread.join()
        client.command(f"ALTER TABLE attribute_values DELETE WHERE tenant_id IN (0, {acme.pk})")


# --- Units ------------------------------------------------------------------------------------------------------------


@given(st.sampled_from(queries.INSTANTS) | st.datetimes().map(lambda at: at.isoformat() + "Z"), st.integers(0, 10**12))
def test_instants_are_rounded_as_the_model_rounds(text: str, fraction: int) -> None:
    assert instant_us(text) == microseconds_of(text)
    fractional = f"{text[:19]}.{fraction}-11:30"
    difference = instant_us(fractional) - (microseconds_of(fractional) or 0)
    # PostgreSQL reads the fraction as a double: exactly half a microsecond may fall to either side.
    assert abs(difference) <= (1 if str(fraction)[6:].strip("0") == "5" else 0)


def test_numbers_become_a_double_and_a_rest() -> None:
    assert number_operand(2**53 + 1) == (2.0**53, 1.0)
    assert number_operand(-0.0) == (0.0, 0.0)
    assert number_operand(0.1) == (0.1, 0.0)


def test_every_table_is_read_by_tenant() -> None:
    statement = Statement(7)
    text = statement.rows("a") + statement.rows("")
    assert text.count("tenant_id = {tenant:UInt32}") == 2
    assert statement.parameters == {"tenant": 7, "p0": "a"}


@given(st.integers(-(10**30), 10**30), st.integers(0, 20), st.integers(1, 10**6))
def test_a_quotient_is_close_to_the_exact_one(total: int, scale: int, count: int) -> None:
    got = numeric_divide(Decimal(total).scaleb(-scale), count, scale=scale)
    exact = Fraction(total, 10**scale) / count
    assert abs(Fraction(got) - exact) <= abs(exact) * Fraction(1, 10**15)
