"""Reads what a request asks of its answer's freshness, and writes into the answer what it got."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Final

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from atlasco.lib import clock
from atlasco.lib.errors import FieldError, Invalid, Problem
from atlasco.lib.problem import problem_http_response
from freshness.policy import ON_STALE, TIERS, Wish, budget_settle, freshness_word, lag_shown
from freshness.state import FreshnessState, freshness_scope, freshness_state
from freshness.tokens import InvalidConsistencyToken, lsn_text, token_decode, token_encode
from tenants.binding import tenant_current

API_PREFIX: Final = "/api/"
WAIT_MAX_MS: Final = 30_000
_SECONDS: Final = re.compile(r"[0-9]+(\.[0-9]*)?|\.[0-9]+")


class InvalidFreshness(Invalid):
    """A freshness header can't be understood."""

    code = "invalid_freshness"


class FreshnessMiddleware:
    """For the API only: pages of the admin say in words how fresh they are.

    Stands outside of TenantMiddleware, so that refusals carry the headers too.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith(API_PREFIX):
            return self.get_response(request)
        asked_at = clock.iso(clock.now())
        state = FreshnessState(asker=request.headers.get("Authorization", ""))
        with freshness_scope(state):
            response: HttpResponseBase
            try:
                state.wish = wish_of(request.headers)
                response = self.get_response(request)
            except Problem as problem:
                response = problem_http_response(problem)
        headers_write(response, state, asked_at)
        return response

    def process_view(self, request: HttpRequest, *view: object) -> HttpResponseBase | None:
        """Read the consistency token: only here, since it is checked against the tenant that has been bound by now."""
        text = request.headers.get("X-Consistency-Token")
        tenant = tenant_current()
        if text is None or tenant is None or not request.path_info.startswith(API_PREFIX):
            return None
        try:
            freshness_state().token = token_decode(text, tenant_id=tenant.pk)
        except InvalidConsistencyToken as problem:
            return problem_http_response(problem)
        return None


def wish_of(headers: Mapping[str, str]) -> Wish:
    """What a request's headers say. Raises InvalidFreshness."""
    tier_text = headers.get("X-Freshness-Tier")
    on_stale_text = headers.get("X-On-Stale", "serve")
    wait_ms = headers.get("X-Wait-Ms", "0")
    tier = next((name for name in TIERS if name == tier_text), None)
    if tier_text is not None and tier is None:
        raise _invalid("X-Freshness-Tier", f"one of {', '.join(TIERS)}", tier_text)
    on_stale = next((name for name in ON_STALE if name == on_stale_text), None)
    if on_stale is None:
        raise _invalid("X-On-Stale", f"one of {', '.join(ON_STALE)}", on_stale_text)
    # Length first: Python refuses to read thousands of digits with an error of its own.
    if not (wait_ms.isascii() and wait_ms.isdigit() and len(wait_ms) <= 9 and int(wait_ms) <= WAIT_MAX_MS):
        raise _invalid("X-Wait-Ms", f"a whole number from 0 to {WAIT_MAX_MS}", wait_ms)
    return Wish(tier, _max_lag_parse(headers.get("X-Max-Lag-Seconds")), on_stale, int(wait_ms))


def _max_lag_parse(text: str | None) -> float | None:
    if text is None:
        return None
    # Python's float() takes more than a header should hold: underscores, say.
    max_lag_s = float(text) if _SECONDS.fullmatch(text) else math.inf
    if not math.isfinite(max_lag_s):
        raise _invalid("X-Max-Lag-Seconds", "a number of seconds, 0 or more", text)
    return max_lag_s


def headers_write(response: HttpResponseBase, state: FreshnessState, asked_at: str) -> None:
    """Say in the headers what is known. A refusal read no data: nothing is missing from it, and no budget was kept."""
    budget = state.budget or budget_settle(wish=state.wish, query_class="critical")
    answer = state.answer
    lag_s = answer.lag_s if answer is not None else 0.0
    met = state.sla_met()
    if answer is None and response.status_code >= 500:
        # Nothing was delivered: where a budget had been settled, it was not kept.
        lag_s, met = None, None if state.budget is None else False
    response["X-Data-Freshness"] = freshness_word(lag_s)
    response["X-Data-Source"] = answer.source if answer is not None else "primary"
    response["X-Data-Lag-Seconds"] = _seconds(lag_s)
    response["X-Replication-Lag"] = _seconds(answer.replication_lag_s if answer is not None else lag_s)
    response["X-Cache-Hit"] = "true" if answer is not None and answer.cache_hit else "false"
    response["X-Freshness-Tier"] = budget.tier
    response["X-SLA-Met"] = "unknown" if met is None else str(met).lower()
    response["X-Query-Timestamp"] = asked_at
    if answer is not None:
        response["X-Data-Position"] = lsn_text(answer.position)
        response["X-Data-Store"] = answer.store
    if state.written is not None:
        response["X-Consistency-Token"] = token_encode(state.written)


def _seconds(lag_s: float | None) -> str:
    shown = lag_shown(lag_s)
    return "unknown" if shown is None else f"{shown:.3f}"


def _invalid(header: str, wanted: str, got: str) -> InvalidFreshness:
    detail = f"{header} must be {wanted}; it is {got[:60]!r}."
    return InvalidFreshness(detail, errors=[FieldError(header, "invalid_freshness", detail)])
