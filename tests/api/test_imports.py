"""Many entities at once, over the wire: NDJSON, gzip, chunks, cut connections, and answers given again."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from threading import Thread
from typing import Any

import orjson
import pytest
from django.db import connection

from entities.ingest.importer import BATCH_LINES, REJECTIONS_MAX
from tenants.binding import tenant_bind
from tests.api.client import Answer, Client, head, line, raw
from tests.waiting import wait_until

NDJSON = {"Content-Type": "application/x-ndjson"}


def ndjson(*lines: Any) -> bytes:
    return b"".join(orjson.dumps(item) + b"\n" for item in lines)


def counts(answer: Answer) -> tuple[int, int, int, int, int]:
    body = answer.body
    return (body["received"], body["created"], body["updated"], body["unchanged"], len(body["rejected"]))


def count(client: Client, table: str = "entities") -> int:
    """How many rows of the table are the tenant's, asked of the database."""
    with tenant_bind(client.tenant), connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table} WHERE tenant_id = %s", [client.tenant.pk])
        return int(cursor.fetchone()[0])


def test_each_line_is_counted_for_what_it_did(acme: Client, globex: Client) -> None:
    first = acme.import_lines(line("1", a=1), line("2", a=1), headers=NDJSON)
    assert (first.status, counts(first)) == (200, (2, 2, 0, 0, 0))
    second = acme.import_lines(line("1", a=2), line("2", a=1), line("3"), line("3", b=1), b"\n")
    assert (second.status, counts(second)) == (200, (4, 1, 2, 1, 0))
    assert first.body.keys() == {"received", "created", "updated", "unchanged", "rejected", "position"}
    assert counts(globex.import_lines(line("1"))) == (1, 1, 0, 0, 0)


def test_bad_lines_are_told_one_by_one_and_stop_no_good_one(acme: Client) -> None:
    answer = acme.import_lines(
        line("1", a=1),
        b"not json\n",
        b"\n",
        line("", a=1),
        {**line("2"), "colour": "red"},
        line("3", a=[1]),
        b'{"entity_type":"lamp","external_id":"4","attributes":{"a":"\\u0000"}}\n',
        {**line("5"), "at": "yesterday"},
        line("6"),
        b'{"entity_type":"lamp"',
    )
    assert (answer.status, counts(answer)) == (207, (9, 2, 0, 0, 7))
    assert [(item["line"], item["code"]) for item in answer.body["rejected"]] == [
        (2, "invalid_json"),
        (4, "invalid_length"),
        (5, "unknown_field"),
        (6, "invalid_value"),
        (7, "nul_character"),
        (8, "invalid_timestamp"),
        (10, "invalid_json"),
    ]
    assert all(item["detail"] for item in answer.body["rejected"])
    assert sorted(acme.search()) == ["1", "6"]


def test_of_very_many_bad_lines_the_first_are_listed_and_the_rest_counted(acme: Client) -> None:
    answer = acme.import_lines(b"bad\n" * (REJECTIONS_MAX + 5), line("1"))
    assert (answer.status, counts(answer)) == (207, (REJECTIONS_MAX + 6, 1, 0, 0, REJECTIONS_MAX))
    assert answer.body["rejected_not_listed"] == 5


def test_an_empty_body_is_an_import_of_nothing(acme: Client) -> None:
    for data, headers in ((b"", {}), (b"\n\n", {}), (gzip.compress(b""), {"Content-Encoding": "gzip"})):
        answer = acme.post("/entities/import/", data=data, headers=headers)
        assert (answer.status, counts(answer)) == (200, (0, 0, 0, 0, 0))


def test_the_tenant_of_a_line_is_ignored(acme: Client, globex: Client) -> None:
    acme.import_lines({**line("1"), "tenant": globex.tenant.slug})
    assert (acme.search(), globex.search()) == (["1"], [])


def test_replace_removes_what_a_line_does_not_name(acme: Client) -> None:
    acme.import_lines(line("1", a=1, b=2))
    answer = acme.import_lines(line("1", b=3), line("1", c=4), params={"mode": "replace"})
    assert counts(answer) == (2, 0, 2, 0, 0)
    assert acme.get("/entities/").body["entities"][0]["attributes"] == {"c": 4}


def test_a_dry_run_tells_and_writes_nothing(acme: Client) -> None:
    answer = acme.import_lines(line("1", a=1), b"bad\n", params={"dry_run": "true"})
    assert (answer.status, counts(answer)) == (207, (2, 1, 0, 0, 1))
    assert count(acme) == 0
    assert acme.get("/attributes/").body["attributes"] == []


@pytest.mark.parametrize(
    "params", [{"mode": "append"}, {"mode": ""}, {"dry_run": "yes"}, {"colour": "red"}, {"mode": ["merge", "merge"]}]
)
def test_a_parameter_that_is_none_is_told_and_nothing_written(params: dict[str, Any], acme: Client) -> None:
    answer = acme.import_lines(line("1"), params=params)
    assert (answer.status, answer.code) == (400, "invalid_parameter")
    assert count(acme) == 0


# --- On the wire ------------------------------------------------------------------------------------------------------


def test_gzip_is_unpacked(acme: Client) -> None:
    packed = gzip.compress(ndjson(line("1"))) + gzip.compress(ndjson(line("2")))
    for encoding in ("gzip", "GZIP"):
        answer = acme.post("/entities/import/", data=packed, headers={"Content-Encoding": encoding})
        assert (answer.status, answer.body["received"]) == (200, 2)
    assert sorted(acme.search()) == ["1", "2"]


@pytest.mark.parametrize("chunk", [1, 7, 100_000])
def test_a_chunked_body_is_read_to_its_end(chunk: int, acme: Client) -> None:
    body = ndjson(*(line(str(number), a=number) for number in range(20)))

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(body), chunk):
            yield body[start : start + chunk]

    answer = acme.post("/entities/import/", data=chunks())
    assert (answer.status, counts(answer)) == (200, (20, 20, 0, 0, 0))


def test_lines_of_a_slow_stream_are_there_before_it_ends(acme: Client) -> None:
    seen: list[int] = []

    def chunks() -> Iterator[bytes]:
        # As slow as asking for what is there makes it.
        for number in range(600):
            yield ndjson(line(str(number)))
            seen.append(count(acme))
            if seen[-1]:
                return
            time.sleep(0.05)

    answer = acme.post("/entities/import/", data=chunks())
    assert 0 < seen[-1] <= len(seen)
    assert (answer.status, counts(answer)) == (200, (len(seen), len(seen), 0, 0, 0))


def test_chunks_of_gzip_are_read_to_their_end(acme: Client) -> None:
    packed = gzip.compress(ndjson(*(line(str(number)) for number in range(20))))
    answer = acme.post(
        "/entities/import/", data=iter([packed[:10], packed[10:30], packed[30:]]), headers={"Content-Encoding": "gzip"}
    )
    assert (answer.status, counts(answer)) == (200, (20, 20, 0, 0, 0))


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (b"not gzip", "gzip"),
        (ndjson({"a": 1}), "gzip"),
        (gzip.compress(ndjson({"a": 1}), mtime=0)[:-5], "gzip"),
        (gzip.compress(b"\n", mtime=0)[:-8] + b"\0" * 8, "gzip"),
    ],
)
def test_a_body_that_is_not_what_it_says_is_told(data: bytes, encoding: str, acme: Client) -> None:
    answer = acme.post("/entities/import/", data=data, headers={"Content-Encoding": encoding})
    assert (answer.status, answer.code) == (400, "broken_body")
    assert count(acme) == 0


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip"])
def test_an_encoding_that_nobody_knows_is_told(encoding: str, acme: Client) -> None:
    answer = acme.post("/entities/import/", data=b"{}", headers={"Content-Encoding": encoding})
    assert (answer.status, answer.code) == (415, "unsupported_content_encoding")


def test_a_body_that_unpacks_to_far_more_than_lines_do_is_refused(acme: Client) -> None:
    packed = gzip.compress(ndjson(line("1")) + b"\n" * (20 << 20))
    answer = acme.post("/entities/import/", data=packed, headers={"Content-Encoding": "gzip"})
    assert (answer.status, answer.code) == (413, "body_too_large")
    assert answer.body["written"]["created"] == count(acme) == 0


def test_a_broken_body_says_how_much_was_written(acme: Client) -> None:
    lines = ndjson(*(line(str(number)) for number in range(BATCH_LINES + 10)))
    packed = gzip.compress(lines)[:-5]
    answer = acme.post("/entities/import/", data=packed, headers={"Content-Encoding": "gzip"})
    assert (answer.status, answer.code) == (400, "broken_body")
    assert answer.body["written"]["created"] == count(acme) == BATCH_LINES
    seen = acme.post(
        "/entities/search/",
        {"count": "exact", "limit": 1},
        headers={"X-Consistency-Token": answer.header("X-Consistency-Token")},
    )
    assert seen.body["metadata"]["total_count"] == BATCH_LINES
    again = acme.post("/entities/import/", data=lines)
    assert counts(again) == (BATCH_LINES + 10, 10, 0, BATCH_LINES, 0)


def test_a_line_of_ten_megabytes_is_rejected_alone(acme: Client) -> None:
    long = b'{"entity_type":"lamp","external_id":"2","attributes":{"a":"' + b"x" * (10 << 20) + b'"}}\n'
    answer = acme.import_lines(line("1"), long, line("3"))
    assert (answer.status, counts(answer)) == (207, (3, 2, 0, 0, 1))
    assert [(item["line"], item["code"]) for item in answer.body["rejected"]] == [(2, "line_too_long")]


def test_a_long_line_of_short_values_is_taken(acme: Client) -> None:
    wide = {f"name {number:04}": "x" * 500 for number in range(5000)}
    answer = acme.import_lines(line("1", **wide))
    assert (answer.status, counts(answer)) == (200, (1, 1, 0, 0, 0))
    assert acme.get("/entities/").body["entities"][0]["attributes"] == wide


def wait_for_the_other_request(client: Client) -> None:
    """The server has heard of the cut connection by now, and has done what it would do."""
    for _ in range(10):
        client.get("/entities/1/")
        time.sleep(0.03)


@pytest.mark.parametrize("how", ["length", "chunked", "gzip"])
def test_a_client_that_vanishes_leaves_no_half_line(how: str, acme: Client) -> None:
    body = ndjson(line("1", a=1), line("2", a=1))[:-10]
    match how:
        case "length":
            request = head("POST", "/entities/import/", acme, Content_Length="5000") + body
        case "gzip":
            packed = gzip.compress(body)[:-8]
            request = head("POST", "/entities/import/", acme, Content_Length="5000", Content_Encoding="gzip") + packed
        case _:
            request = head("POST", "/entities/import/", acme, Transfer_Encoding="chunked") + b"1000\r\n" + body
    with raw(acme.url, request):
        time.sleep(0.1)
    wait_for_the_other_request(acme)
    assert "2" not in acme.search()
    again = acme.import_lines(line("1", a=1), line("2", a=1))
    assert (again.status, again.body["received"]) == (200, 2)
    assert sorted(acme.search()) == ["1", "2"]


def test_a_client_that_vanishes_keeps_what_was_committed(acme: Client) -> None:
    lines = ndjson(*(line(str(number), a="x" * 100) for number in range(2 * BATCH_LINES)))
    request = head("POST", "/entities/import/", acme, Content_Length=str(len(lines)))
    with raw(acme.url, request + lines[:-100]):
        time.sleep(0.1)
    wait_until(lambda: count(acme) >= BATCH_LINES, pause_s=0.1)
    wait_for_the_other_request(acme)
    assert count(acme) == BATCH_LINES
    again = acme.post("/entities/import/", data=lines)
    assert counts(again) == (2 * BATCH_LINES, BATCH_LINES, 0, BATCH_LINES, 0)


# --- Idempotency ------------------------------------------------------------------------------------------------------


def keyed(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}


def test_a_key_gives_the_first_answer_again(acme: Client, globex: Client) -> None:
    first = acme.import_lines(line("1", a=1), b"bad\n", headers=keyed("k"))
    assert first.header("Idempotency-Replayed") is None
    entity_id = acme.get("/entities/").body["entities"][0]["entity_id"]
    acme.ask("PUT", f"/entities/{entity_id}/attributes/a/", {"value": 2})
    again = acme.import_lines(line("1", a=1), b"bad\n", headers=keyed("k"))
    assert (again.status, again.content, again.header("Idempotency-Replayed")) == (207, first.content, "true")
    assert acme.get(f"/entities/{entity_id}/").body["attributes"] == {"a": 2}
    # The key is the tenant's own.
    assert globex.import_lines(line("1", a=1), headers=keyed("k")).body["created"] == 1


def test_a_key_with_another_body_is_a_conflict(acme: Client) -> None:
    acme.import_lines(line("1"), headers=keyed("k"))
    answer = acme.import_lines(line("2"), headers=keyed("k"))
    assert (answer.status, answer.code) == (409, "idempotency_key_reused")
    assert acme.search() == ["1"]
    assert acme.import_lines(line("2"), headers=keyed("k2")).status == 200


def test_a_key_whose_import_runs_is_a_conflict(acme: Client) -> None:
    body = ndjson(line("1"))
    first = raw(
        acme.url, head("POST", "/entities/import/", acme, Content_Length=str(len(body)), Idempotency_Key="k") + body[:5]
    )
    with first:
        deadline = time.monotonic() + 10
        while not count(acme, "import_receipts") and time.monotonic() < deadline:
            time.sleep(0.01)
        answer = acme.import_lines(line("1"), headers=keyed("k"))
        assert (answer.status, answer.code) == (409, "idempotency_key_in_use")
        assert answer.header("Retry-After") == "5"
        first.sendall(body[5:])
        assert first.recv(4096).startswith(b"HTTP/1.1 200")
    assert acme.import_lines(line("1"), headers=keyed("k")).header("Idempotency-Replayed") == "true"


def test_an_import_that_failed_frees_its_key(acme: Client) -> None:
    broken = acme.post("/entities/import/", data=b"no gzip", headers={**keyed("k"), "Content-Encoding": "gzip"})
    assert broken.code == "broken_body"
    with raw(acme.url, head("POST", "/entities/import/", acme, Content_Length="5000", Idempotency_Key="k") + b'{"a'):
        time.sleep(0.1)
    wait_for_the_other_request(acme)
    answer = acme.import_lines(line("1"), headers=keyed("k"))
    assert (answer.status, answer.header("Idempotency-Replayed")) == (200, None)


def test_a_dry_run_uses_no_key(acme: Client) -> None:
    acme.import_lines(line("1"), headers=keyed("k"), params={"dry_run": "true"})
    assert acme.import_lines(line("1"), headers=keyed("k")).body["created"] == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "é\x85"], ids=["empty", "long", "tab", "next line"])
def test_a_key_that_is_none_is_told(key: str, acme: Client) -> None:
    answer = acme.import_lines(line("1"), headers={"Idempotency-Key": key.encode("latin-1")})
    assert (answer.status, answer.code) == (400, "invalid_idempotency_key")
    assert count(acme) == 0


def test_a_key_is_forgotten_after_a_day(acme: Client) -> None:
    acme.import_lines(line("1"), headers=keyed("k"))
    for hours, replayed in ((23, "true"), (25, None)):
        with tenant_bind(acme.tenant), connection.cursor() as cursor:
            cursor.execute(
                "UPDATE import_receipts SET created_at = now() - make_interval(hours => %s) WHERE tenant_id = %s",
                [hours, acme.tenant.pk],
            )
        answer = acme.import_lines(line("1"), headers=keyed("k"))
        assert (answer.status, answer.header("Idempotency-Replayed")) == (200, replayed)


def test_imports_of_the_same_entities_at_the_same_time_all_arrive(acme: Client) -> None:
    answers: list[Answer] = []

    def send(worker: int) -> None:
        lines = [{**line(str(number)), "attributes": {f"from {worker}": number}} for number in range(50)]
        answers.append(acme.import_lines(*(lines if worker % 2 else reversed(lines))))

    threads = [Thread(target=send, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status for answer in answers] == [200] * 4
    assert sum(answer.body["created"] for answer in answers) == 50
    page = acme.post("/entities/search/", {"limit": 1000}).body["entities"]
    assert len(page) == 50 and all(len(entity["attributes"]) == 4 for entity in page)
