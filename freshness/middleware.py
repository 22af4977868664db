"""Reads what a request asks of its answer's freshness, and writes into the answer what it got."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson
from django.conf import settings
from django.core import signing
from django.core.exceptions import SuspiciousOperation
from django.db import InterfaceError, OperationalError, connections
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string

from atlasco.lib import clock
from atlasco.lib.errors import FieldError, Invalid, Problem, Unavailable
from atlasco.lib.problem import problem_headers, problem_http_response
from freshness.monitor import PRIMARY, monitor
from freshness.policy import ON_STALE, TIERS, Wish, budget_settle, freshness_word, lag_shown
from freshness.reads import primary_is_up, primary_position, store_problem, stores_now
from freshness.recorder import recorder, route_json
from freshness.state import FreshnessState, freshness_scope, freshness_state
from freshness.timelines import NOWHERE, Position, position_parse, position_text
from freshness.tokens import InvalidConsistencyToken, lsn_text, token_decode, token_encode
from tenants.binding import tenant_current
from tenants.scopes import scope_required

API_PREFIX: Final = "/api/"
WAIT_MAX_MS: Final = 30_000
# How long `X-On-Stale: wait` waits where nothing else is said.
WAIT_MS: Final = 1_000
SEEN_COOKIE: Final = "atlasco_seen"
# Replicas that are later than this answer no page anyway.
SEEN_S: Final = 60
_SEEN_SALT: Final = "freshness.seen"
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_SECONDS: Final = re.compile(r"[0-9]+(\.[0-9]*)?|\.[0-9]+")


class InvalidFreshness(Invalid):
    """A freshness header can't be understood."""

    code = "invalid_freshness"


class FreshnessMiddleware:
    """Headers for the API; pages of the admin say in words how fresh they are, and read by a budget of their own.

    Stands outside of TenantMiddleware, so that refusals carry the headers too.

    # Note [Pages]
    A page reads from the database that meets ATLASCO_PAGE_CLASS. Any request but a GET reads from the primary, and
    leaves in a cookie up to where it may have written: what the same browser asks next is answered by a database that
    has come that far. A GET whose database failed under it is tried once more, with the next one; where none can
    answer, the page says so, with 503.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith(API_PREFIX):
            return self._page(request)
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
        if state.is_explained:
            explain_add(response, state)
        # Only whom a token let in: nobody else writes into a tenant's decisions.
        if (notes := recorder()) is not None and getattr(request, "api_token", None) is not None:
            tenant: Any = getattr(request, "tenant", None)
            notes.note(state, tenant_id=tenant.pk, path=request.path_info, status=response.status_code)
        return response

    def _page(self, request: HttpRequest) -> HttpResponseBase:
        is_read = request.method in _READS
        for is_last in (False, True):
            state = FreshnessState(orm_class=settings.PAGE_CLASS, seen=_seen(request), wrote=not is_read)
            with freshness_scope(state):
                try:
                    response = self.get_response(request)
                except Problem as problem:
                    response = degraded_page(request, problem)
                if not is_last and is_read and getattr(response, "store_failed", False):
                    stores_look_again(state)
                    continue
                if state.wrote and response.status_code < 500:
                    _seen_keep(response)
            break
        return response

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponseBase | None:
        """A page whose database failed, or that no store can answer: 503, which `_page` may try again."""
        if request.path_info.startswith(API_PREFIX):
            return None
        problem: Problem | None = error if isinstance(error, Unavailable) else None
        if isinstance(error, OperationalError | InterfaceError):
            problem = store_problem(error)
        return None if problem is None else degraded_page(request, problem)

    def process_view(self, request: HttpRequest, view: Any, *arguments: object) -> HttpResponseBase | None:
        """Take `?explain=route` where the view reads, and the consistency token of the tenant that is bound by now."""
        if not request.path_info.startswith(API_PREFIX):
            return None
        if is_routed(getattr(view, "cls", None), request.method or "GET"):
            freshness_state().is_explained = explain_take(request)
        text = request.headers.get("X-Consistency-Token")
        tenant = tenant_current()
        if text is None or tenant is None:
            return None
        try:
            freshness_state().token = token_decode(text, tenant_id=tenant.pk)
        except InvalidConsistencyToken as problem:
            return problem_http_response(problem)
        return None


def is_routed(view: object, method: str) -> bool:
    """Whether this method of a view reads what several stores could answer, so that it can tell its route.

    A view that only tells of the stores themselves says `tells_route = False`.
    """
    return view is not None and getattr(view, "tells_route", True) and scope_required(view, method) == "read"


def explain_take(request: HttpRequest) -> bool:
    """Whether `?explain=route` was asked for; it is taken away, so that no operation need know it."""
    try:
        asked = request.GET.getlist("explain")
    except SuspiciousOperation:
        return False  # Too many parameters, say: the view refuses them in words.
    if "route" not in asked:
        return False
    others = request.GET.copy()
    others.setlist("explain", [value for value in asked if value != "route"])
    if not others.getlist("explain"):
        del others["explain"]
    request.GET = others  # type: ignore[assignment]  # As immutable as the one before, by everybody's leave.
    return True


def explain_add(response: HttpResponseBase, state: FreshnessState) -> None:
    """Put the route into the answer's body, where that is a JSON object."""
    content = getattr(response, "content", b"")
    if state.answer is None or state.written is not None or not content.startswith(b"{"):
        return
    rest = content[1:] if content[1:2] == b"}" else b"," + content[1:]
    explained = b'{"route":' + orjson.dumps(route_json(state)) + rest
    response.content = explained  # type: ignore[attr-defined]  # A streaming answer was left alone above.
    if response.has_header("Content-Length"):
        response["Content-Length"] = str(len(explained))


def degraded_page(request: HttpRequest, problem: Problem) -> HttpResponse:
    """A page that says what can't be done now, and which stores are the reason."""
    down = [candidate.name for candidate in stores_now() if not candidate.up]
    page = render_to_string("freshness/degraded.html", {"problem": problem, "down": down}, request=None)
    response = HttpResponse(page, status=problem.status, headers=problem_headers(problem))
    response.store_failed = True  # type: ignore[attr-defined]  # A mark for `_page`, on a class that is not ours.
    return response


def stores_look_again(state: FreshnessState) -> None:
    """Find out at once who failed, and let go of broken connections, so that the next attempt meets others."""
    watch = monitor()
    for alias in {PRIMARY, state.database or PRIMARY}:
        if watch.look(alias).error:
            connections[alias].close()


def _seen(request: HttpRequest) -> Position:
    """What this browser has written, by its cookie. A cookie that is not ours says nothing."""
    try:
        return position_parse(signing.Signer(salt=_SEEN_SALT).unsign(request.COOKIES[SEEN_COOKIE]))
    except (KeyError, ValueError, signing.BadSignature):
        return NOWHERE


def _seen_keep(response: HttpResponseBase) -> None:
    try:
        position = primary_position()
    except (OperationalError, InterfaceError):
        return  # Nothing was written, then; and the page that says so must not fail as well.
    response.set_cookie(
        SEEN_COOKIE,
        signing.Signer(salt=_SEEN_SALT).sign(position_text(position)),
        max_age=SEEN_S,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def wish_of(headers: Mapping[str, str]) -> Wish:
    """What a request's headers say. Raises InvalidFreshness."""
    tier_text = headers.get("X-Freshness-Tier")
    on_stale_text = headers.get("X-On-Stale", "serve")
    wait_ms = headers.get("X-Wait-Ms", str(WAIT_MS) if on_stale_text == "wait" else "0")
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
    """Say in the headers what is known. An answer that read no data lacks none and kept no budget.

    Where the primary is not there to say so, even that is not known.
    """
    budget = state.budget or budget_settle(wish=state.wish, query_class="critical")
    answer = state.answer
    lag_s = answer.lag_s if answer is not None else 0.0
    met = state.sla_met()
    if answer is None and response.status_code >= 500:
        # Nothing was delivered: where a budget had been settled, it was not kept.
        lag_s, met = None, None if state.budget is None else False
    elif answer is None and not primary_is_up():
        lag_s, met = None, None
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
