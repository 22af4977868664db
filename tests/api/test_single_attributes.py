"""One attribute of one entity: PUT, GET and DELETE, whatever its name and value."""

from __future__ import annotations

import orjson
import pytest

from tests.api.client import Client, segment

NAMES = [
    "a", "a b", " ", "a:b", "a/b", "/", "//", "a/", "/a", "..", ".", "../../x", "a%b", "%2F", "%", "100%25", "a?b",
    "a#b", "a&b=c", "a+b", "\n", "a\r\nb", "\t", "\x01", "\x7f", "é", "e\u0301", "日本語", "\U0001f4a1", "\u202e", '"',
    "'", "\\", "a;b", "@created_at", "attributes", "x" * 255, "é" * 255,
]  # fmt: skip
VALUES = [
    "", "text", " ", "1", "1.10", "true", "null", "é\n\r\t\x01\x7f\u2028\ufeff\U0001f4a1", '"', "\\u0000",
    "2026-01-01T00:00:00+05:30", "2026-01-01", True, False, 0, -1, 1.5, 2**63 - 1, -(2**63), 2**64 - 1, 0.1, 1e-7,
    123456789.012345, 1e300, -1e300, 5e-324,
]  # fmt: skip


@pytest.fixture
def path(acme: Client) -> str:
    return f"/entities/{acme.create('1', kept=1)['entity_id']}"


@pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name)[:20])
def test_any_name_can_be_set_read_and_removed(name: str, acme: Client, path: str) -> None:
    where = f"{path}/attributes/{segment(name)}/"
    put = acme.ask("PUT", where, {"value": "here"})
    assert (put.status, put.body["name"], put.body["value"], put.body["value_type"]) == (200, name, "here", "string")
    assert acme.get(where).body == put.body
    assert acme.get(f"{path}/").body["attributes"] == {"kept": 1, name: "here"}
    assert acme.search(where=[[name, "eq", "here"]]) == (["1"] if name != "@created_at" else [])
    known = acme.get(f"/attributes/{segment(name)}/")
    assert (known.body["name"], known.body["types"]) == (name, {"string": 1})
    gone = acme.ask("DELETE", where)
    assert (gone.status, gone.content) == (204, b"")
    assert acme.get(f"{path}/").body["attributes"] == {"kept": 1}
    for method in ("GET", "DELETE"):
        assert acme.ask(method, where).code == "attribute_not_found"


def test_an_id_with_thousands_of_zeros_is_the_same_id(acme: Client, path: str) -> None:
    entity_id = path.rpartition("/")[2]
    for zeros in ("00", "0" * 4400):
        answer = acme.get(f"/entities/{zeros}{entity_id}/attributes/kept/")
        assert (answer.status, answer.body["entity_id"]) == (200, entity_id)


def test_a_value_that_is_known_is_not_sent_again(acme: Client, path: str) -> None:
    where = f"{path}/attributes/kept/"
    tag = acme.get(where).header("ETag")
    same = acme.get(where, headers={"If-None-Match": tag})
    assert (same.status, same.content, same.header("ETag")) == (304, b"", tag)
    acme.ask("PUT", where, {"value": 2})
    assert acme.get(where, headers={"If-None-Match": tag}).body["value"] == 2


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:30])
def test_any_value_comes_back_as_it_was(value: str | float | bool, acme: Client, path: str) -> None:
    where = f"{path}/attributes/a/"
    for body in ({"value": value}, value):
        acme.ask("DELETE", where)
        put = acme.ask("PUT", where, data=orjson.dumps(body))
        assert put.status == 200, put.content
        for answer in (put, acme.get(where)):
            assert answer.body["value"] == value and isinstance(answer.body["value"], bool) == isinstance(value, bool)
        assert acme.search(where=[["a", "eq", value]]) == ["1"]


def test_a_megabyte_is_a_value_and_a_byte_more_is_none(acme: Client, path: str) -> None:
    where = f"{path}/attributes/a/"
    text = "é" * (1 << 19)
    assert acme.ask("PUT", where, {"value": text}).status == 200
    assert acme.get(where).body["value"] == text
    answer = acme.ask("PUT", where, {"value": text + "x"})
    assert (answer.status, answer.faults) == (400, [("value", "value_too_long")])
    assert acme.get(where).body["value"] == text


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"value": null}',
        b'{"value": []}',
        b'{"value": {}}',
        b'{"value": "\\u0000"}',
        b"[]",
        b"null",
        b'{"value": 1, "x": 2}',
    ],
)
def test_what_is_no_value_is_told(body: bytes, acme: Client, path: str) -> None:
    where = f"{path}/attributes/kept/"
    answer = acme.ask("PUT", where, data=body)
    assert (answer.status, answer.code) == (400, "invalid_entity")
    assert acme.get(where).body["value"] == 1


def test_a_value_changes_its_type_freely(acme: Client, path: str) -> None:
    where = f"{path}/attributes/kept/"
    kinds = [(True, "boolean"), ("2026-01-01T00:00:00Z", "timestamp"), ("x", "string"), (2, "number")]
    for value, kind in kinds:
        assert acme.ask("PUT", where, {"value": value}).body["value_type"] == kind
        known = acme.get("/attributes/kept/").body
        assert (known["types"], known["entity_count"], known["value_type"]) == ({kind: 1}, 1, kind)


def test_an_entity_that_is_not_there_has_no_attributes(acme: Client, globex: Client) -> None:
    theirs = globex.create("1", a=1)["entity_id"]
    for entity_id in ("1", theirs):
        for method, body in (("GET", None), ("PUT", {"value": 1}), ("DELETE", None)):
            answer = acme.ask(method, f"/entities/{entity_id}/attributes/a/", body)
            assert (answer.status, answer.code) == (404, "entity_not_found")
    assert globex.get(f"/entities/{theirs}/").body["attributes"] == {"a": 1}


def test_removing_what_is_not_there_changes_nothing(acme: Client, path: str) -> None:
    tag = acme.get(f"{path}/").header("ETag")
    assert acme.ask("DELETE", f"{path}/attributes/a/").code == "attribute_not_found"
    assert acme.get(f"{path}/").header("ETag") == tag
