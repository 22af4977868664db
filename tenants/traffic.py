"""How often each tenant calls the API: counted in the process, added to `tenant_traffic` every few seconds.

A process that is killed loses what it counted in the last FLUSH_S; nothing depends on these figures but people.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS, connections
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from atlasco.lib import clock
from tenants.binding import public_bind
from tenants.members.models import ApiToken
from tenants.schemas import SQL
from tenants.scopes import scope_required

log = logging.getLogger(__name__)

SLOT_S: Final = 300
FLUSH_S: Final = 10.0
KEPT: Final = timedelta(days=90)
_API: Final = "/api/"


class _Counter:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[int, int], list[int]] = {}
        self._is_running = False

    def add(self, tenant_id: int, *, now: datetime, is_write: bool, status: int) -> None:
        key = (tenant_id, int(now.timestamp()) // SLOT_S * SLOT_S)
        with self._lock:
            counts = self._counts.setdefault(key, [0, 0, 0, 0])
            for place, is_so in enumerate((True, is_write, status == 429, status >= 500)):
                counts[place] += is_so
            start, self._is_running = not self._is_running, True
        if start:
            threading.Thread(target=self._run, name="traffic", daemon=True).start()

    def put_back(self, counts: dict[tuple[int, int], list[int]]) -> None:
        with self._lock:
            for key, numbers in counts.items():
                known = self._counts.setdefault(key, [0] * len(numbers))
                self._counts[key] = [one + other for one, other in zip(known, numbers, strict=True)]

    def take(self) -> dict[tuple[int, int], list[int]]:
        with self._lock:
            taken, self._counts = self._counts, {}
        return taken

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(FLUSH_S):
            try:
                traffic_flush()
            except Exception:  # Whatever it was, the next round may go well; nothing depends on these figures.
                log.warning("The API's traffic could not be noted.", exc_info=True)
            finally:
                connections.close_all()


_counter = _Counter()


def traffic_flush() -> int:
    """Add what this process has counted to the table. Returns how many rows that were; where it fails, all is kept."""
    counts = _counter.take()
    if not counts:
        return 0
    rows = [(tenant_id, datetime.fromtimestamp(slot, UTC), *numbers) for (tenant_id, slot), numbers in counts.items()]
    columns = [list(column) for column in zip(*rows, strict=True)]
    names = ("tenant_ids", "slots", "requests", "writes", "throttled", "failed")
    try:
        with public_bind(), connections[DEFAULT_DB_ALIAS].cursor() as cursor:
            cursor.execute(SQL["traffic_add"], dict(zip(names, columns, strict=True)))
    except Exception:
        _counter.put_back(counts)
        raise
    return len(rows)


def traffic_expire(*, now: datetime) -> int:
    """Remove slots older than KEPT."""
    with public_bind(), connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(SQL["traffic_expire"], {"before": now - KEPT})
        return int(cursor.rowcount)


class TrafficMiddleware:
    """Counts the calls of each tenant. Stands after the tenant is known."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        tenant: Any = getattr(request, "tenant", None)
        if tenant is not None and request.path_info.startswith(_API):
            # As the API itself tells a POST that only reads from one that writes.
            view = None if request.resolver_match is None else getattr(request.resolver_match.func, "cls", None)
            is_write = scope_required(view, request.method or "GET") == ApiToken.Scope.WRITE
            _counter.add(tenant.pk, now=clock.now(), is_write=is_write, status=response.status_code)
        return response
