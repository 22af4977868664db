"""The stock client against our HTTP process: it must not notice that there is no clickhouse-server."""

from __future__ import annotations

import http.client
import json
import threading
import uuid
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from ipaddress import IPv4Address
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
import pyarrow as pa
import pytest
import requests
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from tests.cluster import Cluster


@pytest.fixture
def client(stack: Cluster) -> Iterator[Client]:
    client = clickhouse_connect.get_client(dsn=stack.clickhouse_url)
    yield client
    client.close()


@pytest.fixture
def table(client: Client) -> Iterator[str]:
    name = f"t_{uuid.uuid4().hex}"
    client.command(
        f"CREATE TABLE {name} (id UInt64, text String, score Nullable(Float64)) ENGINE = MergeTree ORDER BY id"
    )
    yield name
    client.command(f"DROP TABLE {name}")


def count(client: Client, table: str) -> int:
    return int(client.query(f"SELECT count() FROM {table}").result_rows[0][0])


def test_the_database_is_ours_and_atomic(client: Client) -> None:
    assert client.ping()
    assert client.command("SELECT currentDatabase()") == "atlasco"
    assert client.command("SELECT engine FROM system.databases WHERE name = 'atlasco'") == "Atomic"


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("toUInt64(18446744073709551615)", 2**64 - 1),
        ("toInt128('-170141183460469231731687303715884105728')", -(2**127)),
        ("0.1::Float64", 0.1),
        ("toDecimal64('12.34', 2)", Decimal("12.34")),
        ("'tab\\tquote\\'nul\\0end'", "tab\tquote'nul\0end"),
        ("true", True),
        ("NULL", None),
        ("toDate('2026-03-01')", date(2026, 3, 1)),
        ("toDateTime64('2026-03-01 12:30:00.123456', 6, 'UTC')", datetime(2026, 3, 1, 12, 30, 0, 123456)),  # noqa: DTZ001  # Naive is UTC.
        ("[1, 2, 3]", [1, 2, 3]),
        ("map('a', 1)", {"a": 1}),
        ("tuple(1, 'a')", (1, "a")),
        ("toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0')", uuid.UUID("61f0c404-5cb3-11e7-907b-a6006ad3dba0")),
        ("toIPv4('10.0.0.1')", IPv4Address("10.0.0.1")),
        ("CAST('a', 'LowCardinality(Nullable(String))')", "a"),
        ('\'{"a": {"b": 1}}\'::JSON', {"a": {"b": 1}}),
    ],
)
def test_values_of_every_kind_arrive(client: Client, expression: str, value: object) -> None:
    assert client.query(f"SELECT {expression}").result_rows == [(value,)]


def test_rows_are_inserted_natively(client: Client, table: str) -> None:
    rows: list[list[Any]] = [[1, "a", 0.5], [2, "", None], [3, "ü\t\n", -1.0]]
    summary = client.insert(table, rows, column_names=["id", "text", "score"])
    assert summary.written_rows == 3
    assert [list(row) for row in client.query(f"SELECT * FROM {table} ORDER BY id").result_rows] == rows


@pytest.mark.parametrize("compression", [False, "lz4", "zstd", "gzip"])
def test_many_rows_go_both_ways_compressed_or_not(stack: Cluster, table: str, compression: str | bool) -> None:
    client = clickhouse_connect.get_client(dsn=stack.clickhouse_url, compress=compression)
    rows = [[number, f"text {number}", number / 4] for number in range(200_000)]
    client.insert(table, rows, column_names=["id", "text", "score"])
    with client.query_row_block_stream(f"SELECT * FROM {table} ORDER BY id") as blocks:
        assert [list(row) for block in blocks for row in block] == rows


def test_arrow_goes_both_ways(client: Client, table: str) -> None:
    sent = pa.table({"id": pa.array([1, 2], pa.uint64()), "text": ["a", "b"], "score": [0.5, None]})
    client.insert_arrow(table, sent)
    received = client.query_arrow(f"SELECT * FROM {table} ORDER BY id", use_strings=True)
    assert received.to_pydict() == sent.to_pydict()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("JSONEachRow", b'{"id": 1, "text": "a"}\n{"id": 2, "text": "b"}\n'),
        ("CSV", b'1,"a",\n2,"b",\n'),
        ("TabSeparated", b"1\ta\t\\N\n2\tb\t\\N\n"),
        ("Values", b"(1, 'a', NULL), (2, 'b', NULL)"),
    ],
)
def test_text_formats_are_inserted(client: Client, table: str, name: str, data: bytes) -> None:
    client.raw_insert(table, insert_block=data, fmt=name, column_names=["id", "text", "score"])
    assert client.query(f"SELECT * FROM {table} ORDER BY id").result_rows == [(1, "a", None), (2, "b", None)]


def test_an_insert_of_nothing_is_nothing(client: Client, table: str) -> None:
    client.raw_insert(table, insert_block=b"", fmt="JSONEachRow")
    client.command(f"INSERT INTO {table} SELECT number, '', NULL FROM numbers(0)")
    assert count(client, table) == 0


def test_parameters_are_bound_by_the_server(client: Client) -> None:
    hostile = "'; DROP TABLE x; --\\"
    query = "SELECT {text:String}, {number:Int64}, {many:Array(String)}"
    rows = client.query(query, parameters={"text": hostile, "number": -5, "many": ["a'", "b"]}).result_rows
    assert rows == [(hostile, -5, ["a'", "b"])]


def test_settings_hold_for_one_request(client: Client) -> None:
    query = "SELECT getSetting('max_threads')"
    assert client.query(query, settings={"max_threads": 3}).result_rows[0][0] == 3
    assert client.query(query).result_rows[0][0] != 3


def test_a_session_keeps_its_temporary_tables(stack: Cluster) -> None:
    first = clickhouse_connect.get_client(dsn=stack.clickhouse_url, session_id=uuid.uuid4().hex)
    other = clickhouse_connect.get_client(dsn=stack.clickhouse_url, session_id=uuid.uuid4().hex)
    first.command("CREATE TEMPORARY TABLE mine AS SELECT 1 AS number")
    first.command("SET max_block_size = 1234")
    assert first.command("SELECT number FROM mine") == 1
    assert first.command("SELECT getSetting('max_block_size')") == 1234
    with pytest.raises(DatabaseError) as refused:
        other.command("SELECT number FROM mine")
    assert refused.value.code == 60


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("SELEC 1", 62),
        ("SELECT * FROM nowhere", 60),
        ("SELECT nothing", 47),
        ("SELECT * FROM nowhere.nothing", 81),
        ("SELECT throwIf(number = 3) FROM numbers(10)", 395),
    ],
)
def test_errors_carry_clickhouses_codes(client: Client, query: str, code: int) -> None:
    with pytest.raises(DatabaseError) as refused:
        client.query(query)
    assert refused.value.code == code


def test_an_unknown_setting_is_refused(stack: Cluster) -> None:
    answer = requests.post(stack.clickhouse_url, params={"no_such_setting": "1"}, data="SELECT 1", timeout=30)
    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (404, "115")


def test_bad_rows_are_refused_whole(client: Client, table: str) -> None:
    with pytest.raises(DatabaseError) as refused:
        client.raw_insert(table, insert_block=b'{"id": 1}\n{"id": "x"}\n', fmt="JSONEachRow")
    assert refused.value.code in {27, 72}
    assert count(client, table) == 0


def test_an_error_amid_the_answer_is_not_taken_for_the_end(client: Client) -> None:
    # Thousands of blocks are on their way when it happens: the status is long sent.
    query = (
        "SELECT number, throwIf(number = 3000000) FROM numbers(4000000) SETTINGS max_block_size = 1000, max_threads = 1"
    )
    with pytest.raises(Exception, match="throwIf"), client.query_row_block_stream(query) as blocks:
        for _ in blocks:
            pass


@pytest.mark.parametrize(
    "credentials",
    [{"auth": ("default", "wrong")}, {"auth": ("nobody", "")}, {"headers": {"X-ClickHouse-Key": "wrong"}}, {}],
)
def test_without_the_password_nothing_is_answered(stack: Cluster, credentials: dict[str, Any]) -> None:
    url = urlsplit(stack.clickhouse_url)
    answer = requests.post(f"http://{url.hostname}:{url.port}/", data="SELECT 1", timeout=30, **credentials)
    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (403, "516")


def test_the_client_is_told_of_a_wrong_password(stack: Cluster) -> None:
    url = urlsplit(stack.clickhouse_url)
    with pytest.raises(DatabaseError, match="Authentication failed"):
        clickhouse_connect.get_client(host=url.hostname, port=url.port, username="default", password="wrong")


def test_get_only_reads(stack: Cluster, client: Client, table: str) -> None:
    ask = {"database": "atlasco", "query": f"INSERT INTO {table} VALUES (1, 'a', NULL)"}
    answer = requests.get(stack.clickhouse_url, params=ask, timeout=30)
    assert answer.headers["X-ClickHouse-Exception-Code"] == "164"
    assert count(client, table) == 0
    answer = requests.get(stack.clickhouse_url, params={"query": "SELECT 1 FORMAT JSON"}, timeout=30)
    assert answer.json()["data"] == [{"1": 1}]


def test_ping_asks_for_no_password(stack: Cluster) -> None:
    url = urlsplit(stack.clickhouse_url)
    assert requests.get(f"http://{url.hostname}:{url.port}/ping", timeout=30).text == "Ok.\n"


def test_an_upload_that_breaks_off_inserts_nothing(stack: Cluster, client: Client, table: str) -> None:
    url = urlsplit(stack.clickhouse_url)
    assert url.hostname is not None
    for announced in ({"Content-Length": "1000000"}, {"Transfer-Encoding": "chunked"}):
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
        connection.putrequest("POST", f"/?database=atlasco&query=INSERT+INTO+{table}+FORMAT+JSONEachRow")
        for name, value in {"X-ClickHouse-Key": url.password or "", **announced}.items():
            connection.putheader(name, value)
        connection.endheaders()
        rows = b'{"id": 1}\n' * 1000
        connection.send(rows if "Content-Length" in announced else b"%x\r\n%s\r\n" % (len(rows), rows))
        connection.close()
    # A statement on the same table after both: they are over by then, or still waiting for what never comes.
    assert count(client, table) == 0


def test_many_clients_at_a_time_are_served(stack: Cluster) -> None:
    answers: list[Any] = []

    def ask(number: int) -> None:
        client = clickhouse_connect.get_client(dsn=stack.clickhouse_url)
        answers.extend(client.command(f"SELECT {number} + sum(number) FROM numbers(100000)") for _ in range(3))
        client.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted([number + 4_999_950_000 for number in range(24)] * 3)


def test_a_materialised_view_can_refresh_itself(client: Client, table: str) -> None:
    client.command(
        f"CREATE MATERIALIZED VIEW {table}_view REFRESH EVERY 1 HOUR (n UInt64) ENGINE = MergeTree ORDER BY n "
        f"AS SELECT count() AS n FROM {table}"
    )
    client.insert(table, [[1, "a", None]], column_names=["id", "text", "score"])
    client.command(f"SYSTEM REFRESH VIEW {table}_view")
    client.command(f"SYSTEM WAIT VIEW {table}_view")
    assert client.query(f"SELECT n FROM {table}_view").result_rows == [(1,)]
    client.command(f"DROP VIEW {table}_view")


def test_summaries_are_numbers(client: Client, table: str) -> None:
    client.insert(table, [[1, "a", None]], column_names=["id", "text", "score"])
    result = client.query(f"SELECT * FROM {table}", settings={"wait_end_of_query": 1})
    assert int(result.summary["read_rows"]) == 1
    assert json.dumps(result.summary)


def test_without_a_session_nothing_of_one_statement_is_left_for_the_next(stack: Cluster, table: str) -> None:
    client = clickhouse_connect.get_client(dsn=stack.clickhouse_url, autogenerate_session_id=False)
    limit = "SELECT toUInt64(getSetting('max_result_rows'))"
    assert client.query(limit, settings={"max_result_rows": 7}).result_rows == [(7,)]
    assert client.query(limit).result_rows == [(0,)]
    for statement in (
        "SET max_result_rows = 5",
        "USE system",
        "SELECT 1; USE system",
        "CREATE TEMPORARY TABLE mine (id UInt64)",
        f"CREATE TEMPORARY TABLE {table} (id UInt64)",
    ):
        client.command(statement)
    for _ in range(3):
        assert client.query(limit).result_rows == [(0,)]
        assert client.command("SELECT currentDatabase()") == "atlasco"
        assert client.command("EXISTS TEMPORARY TABLE mine") == 0
        assert client.query(f"SELECT text FROM {table}").result_rows == []
    # One that only reads leaves nobody else unable to write, and one that failed is no worse than another.
    assert client.query(limit, settings={"readonly": 1}).result_rows == [(0,)]
    with pytest.raises(DatabaseError):
        client.query("SELECT nothing_of_the_kind")
    client.insert(table, [[1, "a", None]], column_names=["id", "text", "score"])
    assert client.query(f"SELECT count() FROM {table}").result_rows == [(1,)]
    client.close()
