"""Replaying the year: at every tick the next flights, as updates of the aircraft, at a steady rate.

# Note [Replay twice]
A tick writes each airline's aircraft in a transaction of its own and then notes how far it came. A tick that dies in
between is done again by the next one. That is harmless, because a flight carries totals and no increments: what it
says of an aircraft is the same however often it is written.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connections

from atlasco.lib.sql import sql_blocks
from entities.ingest.batch import WriteContention, batch_write
from entities.ingest.lines import Line
from tenants.binding import public_bind, tenant_bind
from tenants.models import Tenant

log = logging.getLogger(__name__)

SQL: Final = sql_blocks(Path(__file__).parent.parent / "sql" / "demo.sql")
TICK_S: Final = 2.0
# After a pause the replay goes on; it does not make up for hours in one burst.
CATCH_UP_TICKS: Final = 10


@dataclass(frozen=True, slots=True)
class _State:
    """rate: flights per second, None for the setting's; position: the last flight replayed; years: replayed whole."""

    rate: float | None
    position: int
    years: int
    replayed_at: datetime | None


def demo_advance(*, now: datetime, rate: float) -> int:
    """Replay the flights that are due now. Returns how many; 0 also where the demo was never loaded.

    rate: flights per second where `load_demo --rate` said nothing else; 0 or less stops the replay in either case.
    Safe to run beside itself: who comes second leaves at once.
    """
    if rate <= 0:
        return 0
    with public_bind(), connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(SQL["replay_lock"])
        locked = cursor.fetchone()
        if locked is None or not locked[0]:
            return 0
        try:
            cursor.execute(SQL["replay_state"])
            return _advance(_State(*cursor.fetchone()), now=now, rate=rate)
        finally:
            with suppress(OperationalError, InterfaceError):  # With the connection the lock has gone, too.
                cursor.execute(SQL["replay_unlock"])


def flights_due(*, replayed_at: datetime | None, now: datetime, rate: float) -> tuple[int, datetime]:
    """How many flights are due, and the instant up to which the replay has come with them.

    What is left of a flight counts for the next tick. Beyond CATCH_UP_TICKS ticks' worth the rest is dropped.
    """
    if replayed_at is None or replayed_at > now or rate <= 0:
        return 0, now  # A clock that was set back is waited for no longer than a tick.
    due = int((now - replayed_at).total_seconds() * rate)
    most = max(1, int(rate * TICK_S * CATCH_UP_TICKS))
    if due > most:
        return most, now
    return due, replayed_at + timedelta(seconds=due / rate)


def _advance(state: _State, *, now: datetime, rate: float) -> int:
    due, replayed_at = flights_due(
        replayed_at=state.replayed_at, now=now, rate=rate if state.rate is None else state.rate
    )
    if not due and state.replayed_at is not None:
        return 0
    lines = _lines_take(position=state.position, years=state.years, count=due)
    _write(lines, now=now)
    taken = sum(map(len, lines.values()))
    position, years = state.position + taken, state.years
    if taken < due:
        # The year is over; the next tick begins it again.
        position, years = 0, years + 1
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(SQL["replay_advance"], {"position": position, "years": years, "replayed_at": replayed_at})
    return taken


def _lines_take(*, position: int, years: int, count: int) -> dict[str, list[Line | None]]:
    """The next flights by carrier; None for one that never had an aircraft."""
    lines: dict[str, list[Line | None]] = defaultdict(list)
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(SQL["flights_take"], {"position": position, "years": years, "count": count})
        for number, carrier, tailnum, attributes in cursor.fetchall():
            line = None
            if tailnum is not None:
                # No `at`: it happens now.
                line = Line(number, "aircraft", tailnum, None, None, attributes.encode())
            lines[carrier].append(line)
    return lines


def _write(lines: dict[str, list[Line | None]], *, now: datetime) -> None:
    for carrier, tenant in _tenants().items():
        batch = [line for line in lines.get(carrier, ()) if line is not None]
        if not batch:
            continue
        with tenant_bind(tenant):
            try:
                batch_write(tenant_id=tenant.pk, lines=batch, mode="merge", now=now)
            except WriteContention:
                log.warning("The demo's flights met too many writers and were left out.", extra={"flights": len(batch)})


def _tenants() -> dict[str, Tenant]:
    """The loaded airlines' tenants by carrier, without those that are suspended or on their way out."""
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(SQL["replay_tenants"])
        carriers: dict[int, Any] = {tenant_id: carrier for carrier, tenant_id in cursor.fetchall()}
    tenants = Tenant.objects.using(DEFAULT_DB_ALIAS).in_bulk(carriers)
    return {carriers[tenant_id]: tenant for tenant_id, tenant in tenants.items()}
