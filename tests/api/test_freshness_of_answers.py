"""What a client may ask of an answer's freshness, and what the answer says. Every request checks for legal values."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.client import Client, line
from tests.api.test_access import EVERY_OPERATION, is_read


@pytest.fixture
def entity_id(acme: Client) -> str:
    return str(acme.create("1", a=1)["entity_id"])


@EVERY_OPERATION
def test_a_write_and_only_a_write_answers_with_its_token(
    method: str, path: str, body: Any, acme: Client, entity_id: str
) -> None:
    answer = acme.ask(method, path.format(id=entity_id), body)
    token = answer.header("X-Consistency-Token")
    assert answer.status < 300 and (token is None) == is_read(method, path)
    if token is not None:
        assert acme.get("/entities/", headers={"X-Consistency-Token": token}).status == 200


def test_a_write_that_was_refused_has_no_token(acme: Client, entity_id: str) -> None:
    for method, path, body in (
        ("POST", "/entities/", {"entity_type": "lamp", "external_id": "1"}),
        ("POST", "/entities/", {}),
        ("DELETE", "/entities/1/", None),
        ("PATCH", f"/entities/{entity_id}/", {"attributes": 5}),
    ):
        answer = acme.ask(method, path, body)
        assert answer.status >= 400 and answer.header("X-Consistency-Token") is None


@EVERY_OPERATION
@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("X-Freshness-Tier", "FAST"),
        ("X-Max-Lag-Seconds", "-1"),
        ("X-On-Stale", "retry"),
        ("X-Wait-Ms", "soon"),
        ("X-Consistency-Token", "x"),
    ],
)
def test_a_freshness_that_can_not_be_understood_is_told_before_anything_is_done(
    method: str, path: str, body: Any, header: str, value: str, acme: Client, entity_id: str
) -> None:
    answer = acme.ask(method, path.format(id=entity_id), body, headers={header: value})
    assert answer.status == 400
    if method != "HEAD":
        assert answer.code in {"invalid_freshness", "invalid_consistency_token"}
    assert acme.get(f"/entities/{entity_id}/").body["attributes"] == {"a": 1}


@pytest.mark.parametrize("tier", ["REALTIME", "NEAR_REALTIME", "EVENTUAL"])
def test_a_tier_that_is_asked_for_is_told(tier: str, acme: Client, entity_id: str) -> None:
    for method, path, body in (
        ("GET", f"/entities/{entity_id}/", None),
        ("POST", "/entities/search/", {}),
        ("POST", "/analytics/aggregate/", {"fn": "count"}),
        ("GET", "/attributes/", None),
    ):
        answer = acme.ask(method, path, body, headers={"X-Freshness-Tier": tier})
        assert (answer.status, answer.header("X-Freshness-Tier")) == (200, tier)


@pytest.mark.parametrize(
    ("method", "path", "body", "tier"),
    [
        ("GET", "/entities/{id}/", None, "REALTIME"),
        ("GET", "/entities/", None, "NEAR_REALTIME"),
        ("POST", "/entities/search/", {}, "NEAR_REALTIME"),
        ("POST", "/analytics/aggregate/", {"fn": "count"}, "EVENTUAL"),
    ],
)
def test_without_headers_an_operation_has_its_own_class(
    method: str, path: str, body: Any, tier: str, acme: Client, entity_id: str
) -> None:
    assert acme.ask(method, path.format(id=entity_id), body).header("X-Freshness-Tier") == tier


def test_realtime_is_answered_by_the_primary(acme: Client, entity_id: str) -> None:
    answer = acme.get(f"/entities/{entity_id}/")
    assert (answer.header("X-Data-Source"), answer.header("X-Data-Freshness")) == ("primary", "realtime")
    assert (answer.header("X-SLA-Met"), float(answer.header("X-Data-Lag-Seconds") or "nan")) == ("true", 0.0)


@pytest.mark.parametrize("tier", ["REALTIME", "NEAR_REALTIME", "EVENTUAL"])
def test_a_token_makes_any_store_show_the_write(tier: str, acme: Client) -> None:
    for number in range(5):
        written = acme.import_lines(line(str(number)))
        # Another client of the tenant, to whom the writer has handed its token.
        headers = {"X-Consistency-Token": written.header("X-Consistency-Token"), "X-Freshness-Tier": tier}
        found = acme.post("/entities/search/", {"where": [["@external_id", "eq", str(number)]]}, headers=headers)
        assert [entity["external_id"] for entity in found.body["entities"]] == [str(number)]


def test_another_tenants_or_a_forged_token_is_refused(acme: Client, globex: Client, entity_id: str) -> None:
    theirs = globex.import_lines(line("1")).header("X-Consistency-Token")
    own = acme.import_lines(line("2")).header("X-Consistency-Token")
    assert theirs is not None and own is not None
    forged = ("A" if own[20] != "A" else "B").join([own[:20], own[21:]])
    for token in (theirs, forged, own[:-1], own + "A", "", "garbage"):
        for method, path, body in (
            ("GET", f"/entities/{entity_id}/", None),
            ("POST", "/entities/search/", {}),
            ("DELETE", f"/entities/{entity_id}/", None),
        ):
            answer = acme.ask(method, path, body, headers={"X-Consistency-Token": token})
            assert (answer.status, answer.code) == (400, "invalid_consistency_token"), (token, path)
    assert acme.get(f"/entities/{entity_id}/", headers={"X-Consistency-Token": own}).status == 200
