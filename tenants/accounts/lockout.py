"""Too many wrong passwords: what is answered, and for how long. django-axes counts, by user name and address."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any, Final

from axes.models import AccessAttempt
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from atlasco.lib import clock
from tenants.actors import request_ip

COOL_OFF: Final[timedelta] = settings.AXES_COOLOFF_TIME
_FLOOD_S: Final = 60


def attempted_name(request: HttpRequest, credentials: Any = None) -> str:
    """The user name of an attempt, as attempts are counted: log-ins don't tell upper from lower case either."""
    # axes asks with what was handed to `authenticate()`, with what it makes up itself, and with nothing.
    credentials = credentials or {}
    name = credentials.get("username") or credentials.get("login") or request.POST.get("login", "")
    return str(name).strip().casefold()[:150]


def lockout_answer(request: HttpRequest, original: HttpResponse | None, credentials: Any = None) -> HttpResponse:
    """429 with how long to wait, for one user name from one address."""
    name = attempted_name(request, credentials)
    attempts = AccessAttempt.objects.filter(username=name, ip_address=request_ip(request))
    last = attempts.order_by("-attempt_time").values_list("attempt_time", flat=True).first()
    now = clock.now()
    wait_s = math.ceil(((last or now) + COOL_OFF - now).total_seconds())
    return _wait(request, max(1, wait_s), "Too many wrong passwords for this user name from your address.")


def flood_answer(request: HttpRequest) -> HttpResponse:
    """429 for one address that asks too often, whatever for. allauth looks for it as `handler429` of the URLs."""
    return _wait(request, _FLOOD_S, "Too many attempts came from your address.")


def _wait(request: HttpRequest, wait_s: int, why: str) -> HttpResponse:
    response = render(request, "429.html", {"why": why, "minutes": math.ceil(wait_s / 60)}, status=429)
    response.headers["Retry-After"] = str(wait_s)
    return response
