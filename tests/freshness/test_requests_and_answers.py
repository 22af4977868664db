"""What a request says of freshness, and what its answer says back: the middleware without a server behind it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.test import RequestFactory

from freshness.middleware import FreshnessMiddleware, InvalidFreshness, wish_of
from freshness.policy import Wish, budget_settle
from freshness.state import Answer, freshness_scope, freshness_state
from freshness.tokens import ConsistencyToken, token_decode

PATH = "/api/v1/entities/"
HEADERS = {
    "X-Data-Freshness": {"realtime", "near-realtime", "eventual"},
    "X-Data-Source": {"primary", "read-replica", "redis-cache", "stream", "clickhouse", "data-lake"},
    "X-Cache-Hit": {"true", "false"},
    "X-Freshness-Tier": {"REALTIME", "NEAR_REALTIME", "EVENTUAL"},
    "X-SLA-Met": {"true", "false", "unknown"},
}


def wish(headers: dict[str, str]) -> Wish:
    return wish_of(RequestFactory(headers=headers).get(PATH).headers)


def ask(answer: Answer | None = None, *, path: str = PATH, headers: dict[str, str] | None = None) -> HttpResponseBase:
    """The answer of a view that reads with this result."""

    def view(request: HttpRequest) -> HttpResponseBase:
        if answer is not None:
            state = freshness_state()
            state.budget = budget_settle(wish=state.wish, query_class="operational")
            state.answer = answer
        return HttpResponse("fine")

    return FreshnessMiddleware(view)(RequestFactory(headers=headers).get(path))


def test_a_request_without_headers_wishes_nothing() -> None:
    assert wish({}) == Wish(tier=None, max_lag_s=None, on_stale="serve", wait_ms=0)
    assert wish({"X-On-Stale": "wait"}) == Wish(on_stale="wait", wait_ms=1_000)


def test_a_request_says_all_that_it_wishes() -> None:
    headers = {
        "X-Freshness-Tier": "NEAR_REALTIME",
        "X-Max-Lag-Seconds": "2.5",
        "X-On-Stale": "wait",
        "X-Wait-Ms": "30000",
    }
    assert wish(headers) == Wish(tier="NEAR_REALTIME", max_lag_s=2.5, on_stale="wait", wait_ms=30_000)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("X-Freshness-Tier", ""),
        ("X-Freshness-Tier", "realtime"),
        ("X-Freshness-Tier", "FASTER"),
        ("X-Max-Lag-Seconds", ""),
        ("X-Max-Lag-Seconds", "soon"),
        ("X-Max-Lag-Seconds", "-1"),
        ("X-Max-Lag-Seconds", "nan"),
        ("X-Max-Lag-Seconds", "inf"),
        ("X-Max-Lag-Seconds", "1_0"),
        ("X-On-Stale", ""),
        ("X-On-Stale", "SERVE"),
        ("X-On-Stale", "retry"),
        ("X-Wait-Ms", ""),
        ("X-Wait-Ms", "-1"),
        ("X-Wait-Ms", "1.5"),
        ("X-Wait-Ms", "30001"),
        ("X-Wait-Ms", "²"),
        ("X-Wait-Ms", "9" * 5000),  # Python refuses to read that many digits with an error of its own.
    ],
)
def test_a_header_that_can_not_be_understood_is_refused(header: str, value: str) -> None:
    with pytest.raises(InvalidFreshness) as refused:
        wish({header: value})
    assert [error.path for error in refused.value.errors] == [header]
    response = ask(headers={header: value})
    assert (response.status_code, response["Content-Type"]) == (400, "application/problem+json")
    assert json.loads(getattr(response, "content", b""))["code"] == "invalid_freshness"
    assert response["X-SLA-Met"] in HEADERS["X-SLA-Met"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            Answer(source="primary", lag_s=0.0, position=0x1A2B3C4D),
            {
                "X-Data-Freshness": "realtime",
                "X-Data-Source": "primary",
                "X-Data-Lag-Seconds": "0.000",
                "X-Replication-Lag": "0.000",
                "X-Cache-Hit": "false",
                "X-Freshness-Tier": "NEAR_REALTIME",
                "X-SLA-Met": "true",
                "X-Data-Position": "0/1A2B3C4D",
            },
        ),
        (
            Answer(source="read-replica", lag_s=12.5, position=1, replication_lag_s=12.25),
            {
                "X-Data-Freshness": "eventual",
                "X-Data-Source": "read-replica",
                "X-Data-Lag-Seconds": "12.500",
                "X-Replication-Lag": "12.250",
                "X-SLA-Met": "false",
            },
        ),
        (
            Answer(source="redis-cache", lag_s=3.0, position=1, cache_hit=True),
            {"X-Data-Freshness": "near-realtime", "X-Data-Source": "redis-cache", "X-Cache-Hit": "true"},
        ),
        (
            Answer(source="clickhouse", lag_s=None, position=1, replication_lag_s=None),
            {
                "X-Data-Freshness": "eventual",
                "X-Data-Lag-Seconds": "unknown",
                "X-Replication-Lag": "unknown",
                "X-SLA-Met": "unknown",
            },
        ),
    ],
)
def test_the_headers_say_what_is_known_of_the_answer(answer: Answer, expected: dict[str, str]) -> None:
    response = ask(answer)
    assert {name: response[name] for name in expected} == expected


def test_a_lag_is_rounded_up_because_it_is_an_upper_bound() -> None:
    assert ask(Answer(source="read-replica", lag_s=0.0001, position=1))["X-Data-Lag-Seconds"] == "0.001"


def test_an_answer_that_read_nothing_carries_legal_headers_too() -> None:
    response = ask()
    for name, legal in HEADERS.items():
        assert response[name] in legal
    assert response["X-Query-Timestamp"].endswith("Z")
    assert "X-Data-Position" not in response and "X-Consistency-Token" not in response


def test_pages_outside_of_the_api_carry_none() -> None:
    response = ask(path="/admin/", headers={"X-Freshness-Tier": "FASTER"})
    assert response.status_code == 200
    assert not [name for name in response.headers if name.startswith("X-")]


def test_a_write_hands_its_token_to_whoever_made_it() -> None:
    written = ConsistencyToken(timeline=1, tenant_id=7, lsn=99)

    def view(request: HttpRequest) -> HttpResponseBase:
        freshness_state().written = written
        return HttpResponse(status=204)

    response: Any = FreshnessMiddleware(view)(RequestFactory().delete(PATH))
    assert token_decode(response["X-Consistency-Token"], tenant_id=7) == written


def test_one_requests_state_is_gone_with_it() -> None:
    ask(Answer(source="clickhouse", lag_s=100.0, position=1))
    assert freshness_state().answer is None
    with freshness_scope(freshness_state()) as outer:
        ask(Answer(source="clickhouse", lag_s=100.0, position=1))
        assert freshness_state() is outer and outer.answer is None
