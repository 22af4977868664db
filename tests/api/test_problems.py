"""Whatever is sent, the answer is JSON that says what was wrong; nothing is passed over and nothing half done."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from django.conf import settings

from tests.api.client import Answer, Client, head, raw, segment

# A JSON endpoint of each kind: method, path of the entity "1", and a good body.
JSON_ENDPOINTS = [
    ("POST", "/entities/", {"entity_type": "lamp", "external_id": "2"}),
    ("PATCH", "/entities/{id}/", {"attributes": {"a": 2}}),
    ("PUT", "/entities/{id}/attributes/a/", {"value": 2}),
    ("POST", "/entities/search/", {}),
    ("POST", "/analytics/aggregate/", {"fn": "count"}),
    ("PATCH", "/attributes/a/", {"unit": "W"}),
    ("POST", "/freshness/explain/", {"operation": "search"}),
]
ENDPOINTS = pytest.mark.parametrize(
    ("method", "path", "body"), JSON_ENDPOINTS, ids=[f"{m} {p}" for m, p, _ in JSON_ENDPOINTS]
)


@pytest.fixture
def entity_id(acme: Client) -> str:
    return str(acme.create("1", a=1)["entity_id"])


def ok(answer: Answer) -> bool:
    return answer.status in {200, 201}


@ENDPOINTS
def test_broken_json_is_told(method: str, path: str, body: Any, acme: Client, entity_id: str) -> None:
    path = path.format(id=entity_id)
    broken = [
        b"{",
        b"",
        b"nonsense",
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b'{"a": "\xff"}',
        rb'{"a": "\ud800"}',
        b"[" * 100_000,
    ]
    for data in broken:
        answer = acme.ask(method, path, data=data or b" ")
        assert (answer.status, answer.code) == (400, "invalid_json"), data[:20]
    assert ok(acme.ask(method, path, body))


@ENDPOINTS
def test_an_encoded_body_is_told(method: str, path: str, body: Any, acme: Client, entity_id: str) -> None:
    packed = gzip.compress(orjson.dumps(body))
    answer = acme.ask(method, path.format(id=entity_id), data=packed, headers={"Content-Encoding": "gzip"})
    assert (answer.status, answer.code) == (415, "unsupported_content_encoding")
    assert ok(acme.ask(method, path.format(id=entity_id), body, headers={"Content-Encoding": "identity"}))


@ENDPOINTS
def test_a_body_of_another_type_is_told(method: str, path: str, body: Any, acme: Client, entity_id: str) -> None:
    path = path.format(id=entity_id)
    bodies: list[Any] = [[], [{}], 5, "text", True, None]
    for wrong in bodies:
        if method == "PUT" and isinstance(wrong, int | str):
            continue  # A bare value is what PUT takes.
        answer = acme.ask(method, path, data=b"null" if wrong is None else None, json=wrong)
        assert answer.status == 400 and answer.code, wrong


@ENDPOINTS
def test_an_unknown_member_is_told(method: str, path: str, body: Any, acme: Client, entity_id: str) -> None:
    answer = acme.ask(method, path.format(id=entity_id), {**body, "colour": "red"})
    assert answer.status == 400, answer.content
    assert "colour" in answer.content.decode() or method == "PUT"


@ENDPOINTS
def test_an_unknown_or_repeated_parameter_is_told(
    method: str, path: str, body: Any, acme: Client, entity_id: str
) -> None:
    for params in ({"colour": "red"}, {"colour": ["red", "blue"]}):
        answer = acme.ask(method, path.format(id=entity_id), body, params=params)
        assert (answer.status, answer.code) == (400, "invalid_parameter")
        assert ("colour", "unknown_parameter") in answer.faults


@ENDPOINTS
def test_another_media_type_is_told(method: str, path: str, body: Any, acme: Client, entity_id: str) -> None:
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None):
        answer = acme.ask(method, path.format(id=entity_id), body, headers={"Content-Type": media_type})
        assert (answer.status, answer.code) == (415, "unsupported_media_type")
    assert ok(
        acme.ask(method, path.format(id=entity_id), body, headers={"Content-Type": "application/json; charset=utf-8"})
    )


@ENDPOINTS
def test_a_body_that_is_too_large_is_told(method: str, path: str, body: Any, acme: Client, entity_id: str) -> None:
    data = b'"' + b"x" * settings.REQUEST_BODY_MAX_BYTES + b'"'
    answer = acme.ask(method, path.format(id=entity_id), data=data)
    assert (answer.status, answer.code) == (413, "body_too_large")


@ENDPOINTS
def test_a_chunked_body_is_refused_not_taken_for_an_empty_one(
    method: str, path: str, body: Any, acme: Client, entity_id: str
) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'{"limit": 1, '
        yield b'"colour": "red"}'

    answer = acme.ask(method, path.format(id=entity_id), data=chunks())
    assert (answer.status, answer.code) == (411, "length_required")


@ENDPOINTS
def test_accept_must_allow_json(method: str, path: str, body: Any, acme: Client, entity_id: str) -> None:
    path = path.format(id=entity_id)
    answer = acme.ask(method, path, body, headers={"Accept": "text/html"})
    assert (answer.status, answer.code) == (406, "not_acceptable")
    assert ok(acme.ask(method, path, body, headers={"Accept": "text/html, */*;q=0.1"}))


@pytest.mark.parametrize("sent", [b"12", b'{"value": 12}', b""], ids=["number", "object", "nothing"])
def test_a_client_that_vanishes_in_its_json_changes_nothing(sent: bytes, acme: Client, entity_id: str) -> None:
    # What came is JSON by itself, but not all that was announced.
    path = f"/entities/{entity_id}/attributes/a/"
    with raw(acme.url, head("PUT", path, acme, Content_Type="application/json", Content_Length="60") + sent):
        time.sleep(0.1)
    # The next one is answered after it, by the same server.
    for _ in range(10):
        assert acme.get(path).body["value"] == 1
        time.sleep(0.05)


def test_a_body_longer_than_announced_is_cut_at_its_length(acme: Client, entity_id: str) -> None:
    path = f"/entities/{entity_id}/attributes/a/"
    request = head("PUT", path, acme, Content_Type="application/json", Content_Length="2") + b"12garbage\r\n\r\n"
    with raw(acme.url, request) as connection:
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
    assert acme.get(path).body["value"] == 12


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/entities/"),
        ("DELETE", "/entities/"),
        ("PUT", "/entities/{id}/"),
        ("POST", "/entities/{id}/"),
        ("POST", "/entities/{id}/attributes/a/"),
        ("PATCH", "/entities/{id}/attributes/a/"),
        ("GET", "/entities/search/"),
        ("GET", "/entities/import/"),
        ("PUT", "/entities/import/"),
        ("GET", "/analytics/aggregate/"),
        ("POST", "/attributes/"),
        ("DELETE", "/attributes/a/"),
        ("TRACE", "/entities/"),
        ("BREW", "/entities/"),
    ],
)
def test_another_method_is_told_with_those_allowed(method: str, path: str, acme: Client, entity_id: str) -> None:
    answer = acme.ask(method, path.format(id=entity_id))
    assert (answer.status, answer.code) == (405, "method_not_allowed")
    allowed = {name.strip() for name in (answer.header("Allow") or "").split(",")}
    assert allowed and method not in allowed


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "path",
    [
        "/nothing/",
        "/entities",
        "/entities/x/",
        "/entities/1",
        "/entities/-1/",
        "/entities/1.0/",
        "/entities/1/attributes/",
        "/entities/1/attributes//",
    ],
)
def test_a_path_that_is_none_is_a_problem_not_a_page(method: str, path: str, acme: Client) -> None:
    answer = acme.ask(method, path, {} if method != "GET" else None)
    assert (answer.status, answer.code) == (404, "no_such_path")


@pytest.mark.parametrize(
    "path", ["/entities/%FF/", "/attributes/%FF/", "/attributes/%ED%A0%80/", "/%00/", "/entities/%zz/"]
)
def test_a_path_of_broken_text_is_a_problem(path: str, acme: Client) -> None:
    answer = acme.get(path)
    assert answer.status in {400, 404} and answer.code


def test_too_many_parameters_are_a_problem(acme: Client) -> None:
    answer = acme.get("/entities/?" + "&".join(f"p{number}=1" for number in range(1100)))
    assert (answer.status, answer.code) == (400, "malformed_request")


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_an_id_of_any_length_is_a_problem(method: str, acme: Client) -> None:
    for digits in ("0", "9" * 18, str(2**63 - 1), str(2**63), "9" * 5000, "0" * 5000):
        answer = acme.ask(method, f"/entities/{digits}/", {} if method == "PATCH" else None)
        assert (answer.status, answer.code) == (404, "entity_not_found"), digits[:30]


def test_an_id_with_leading_zeros_is_the_same_id(acme: Client, entity_id: str) -> None:
    assert acme.get(f"/entities/000{entity_id}/").body["entity_id"] == entity_id


@pytest.mark.parametrize("name", ["a\x00b", "\x00", "x" * 256], ids=["NUL inside", "NUL", "too long"])
def test_a_name_that_no_attribute_can_have_is_told(name: str, acme: Client, entity_id: str) -> None:
    for method, path in (
        ("GET", f"/entities/{entity_id}/attributes/{segment(name)}/"),
        ("PUT", f"/entities/{entity_id}/attributes/{segment(name)}/"),
        ("DELETE", f"/entities/{entity_id}/attributes/{segment(name)}/"),
        ("GET", f"/attributes/{segment(name)}/"),
        ("PATCH", f"/attributes/{segment(name)}/"),
    ):
        answer = acme.ask(method, path, {"value": 1} if method == "PUT" else {} if method == "PATCH" else None)
        assert (answer.status, answer.code) == (400, "invalid_name"), (method, path[:60])


@pytest.mark.parametrize("value", ["0", "1001", "-1", "1.5", "ten", "²", "9" * 5000, "1_0", "+5"])
def test_a_limit_that_is_none_is_told(value: str, acme: Client) -> None:
    for path in ("/entities/", "/attributes/"):
        answer = acme.get(path, params={"limit": value})
        assert (answer.status, answer.faults) == (400, [("limit", "invalid_parameter")])


def test_a_repeated_parameter_is_told(acme: Client) -> None:
    answer = acme.get("/entities/", params={"limit": ["1", "2"]})
    assert (answer.status, answer.faults) == (400, [("limit", "repeated_parameter")])


def test_a_parameter_with_nul_is_told(acme: Client) -> None:
    for name in ("external_id", "entity_type", "cursor"):
        answer = acme.get("/entities/", params={name: "a\x00b"})
        assert (answer.status, answer.faults) == (400, [(name, "nul_character")])


def test_what_went_wrong_has_an_id_that_the_log_has_too(acme: Client) -> None:
    for sent in ("my-request-0001", "7"):
        assert acme.get("/nothing/", headers={"X-Request-Id": sent}).header("X-Request-Id") == sent
    made = {acme.get("/nothing/", headers={"X-Request-Id": "no good\t"}).header("X-Request-Id") for _ in range(2)}
    assert len(made) == 2
