"""Loading the demo: the year of flights, then airline by airline a tenant and its entities.

Every step is a transaction that also notes that it was done: interrupted, the next run goes on where this one was.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections, transaction

from analytics.demo.source import DemoSource
from atlasco.lib.errors import Conflict
from atlasco.lib.sql import sql_blocks
from entities.ingest.importer import import_run
from entities.selectors import AttributeUnknown
from entities.services import attribute_changes_fold, attribute_describe
from entities.values import Value
from tenants.binding import public_bind, tenant_bind
from tenants.database.locks import advisory_lock
from tenants.models import Tenant
from tenants.services import TenantBusy, TenantExists, tenant_create

log = logging.getLogger(__name__)

SQL: Final = sql_blocks(Path(__file__).parent.parent / "sql" / "demo.sql")

# Before its first replayed flight.
_ON_THE_GROUND: Final[dict[str, Value]] = {"status": "parked", "flights_flown": 0, "hours_flown": 0}
_ABOUT: Final[dict[str, dict[str, str]]] = {
    "status": {"description": "parked, in service, delayed (15 minutes or more), diverted or cancelled"},
    "hours_flown": {"unit": "h", "description": "Time in the air since the replay began"},
    "speed": {"unit": "mph", "description": "Cruising speed"},
    "alt": {"unit": "ft", "description": "Altitude"},
    "tz": {"unit": "h", "description": "Offset from UTC in winter"},
    "dst": {"description": "Daylight saving time: A as in the USA, U unknown, N none"},
    "distance": {"unit": "mi"},
    "flights": {"description": "Scheduled flights in the year"},
    "cancelled": {"description": "Flights of the year that did not depart"},
    "mean_departure_delay_min": {"unit": "min"},
    "mean_arrival_delay_min": {"unit": "min"},
}


class DemoBusy(Conflict):
    """Another process is loading the demo."""

    code = "demo_busy"


@dataclass(frozen=True, slots=True)
class DemoStep:
    """One step that was done: done of total, and what it was in words."""

    done: int
    total: int
    text: str


@dataclass(slots=True)
class DemoReport:
    """What a load did. flights: of the year; airlines: those that are loaded now; skipped: why others are not."""

    flights: int = 0
    airlines: int = 0
    airlines_loaded_before: int = 0
    entities_created: int = 0
    skipped: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _State:
    """flights: 0 where the year is not prepared; tenant_ids, loaded: by carrier."""

    flights: int
    tenant_ids: Mapping[str, int]
    loaded: frozenset[str]


def demo_load(*, source: DemoSource, now: datetime, progress: Callable[[DemoStep], None]) -> DemoReport:
    """Create what is missing of the demo. Returns at once where nothing is.

    A tenant that has an airline's slug but was not made by the demo is left alone, and its airline left out.
    progress: called after each step. Raises DemoBusy.
    """
    airlines = source.airlines()
    with public_bind():
        state = _state_read()
        if state.flights and state.loaded >= airlines.keys():
            return DemoReport(flights=state.flights, airlines=len(airlines), airlines_loaded_before=len(airlines))
        with _loading():
            return _load(source, airlines, now=now, progress=progress)


def demo_rate_set(*, rate: float) -> None:
    """Replay so many flights a second from now on, whatever ATLASCO_DEMO_RATE says; 0 stops the replay."""
    with public_bind():
        _execute("rate_set", rate=rate)


def slug_of(carrier: str) -> str:
    return carrier.lower()


def _load(
    source: DemoSource, airlines: Mapping[str, str], *, now: datetime, progress: Callable[[DemoStep], None]
) -> DemoReport:
    # Once more, now that nobody else loads.
    state = _state_read()
    missing = [carrier for carrier in airlines if carrier not in state.loaded]
    report = DemoReport(
        flights=state.flights,
        airlines=len(airlines) - len(missing),
        airlines_loaded_before=len(airlines) - len(missing),
    )
    total = len(missing) + (0 if state.flights else 1)
    done = 0
    if not state.flights:
        report.flights = _flights_fill(source)
        done += 1
        progress(DemoStep(done, total, f"{report.flights:,} flights prepared"))
    entities = _Entities.read(source, missing)
    for carrier in missing:
        try:
            tenant = _tenant(carrier, airlines[carrier], state=state, now=now)
        except (TenantExists, TenantBusy) as problem:
            text = f"{slug_of(carrier)}: left out. {problem.detail}"
            report.skipped.append(text)
        else:
            report.entities_created += _import(tenant, entities.lines(carrier), now=now)
            _execute("airline_loaded", carrier=carrier, now=now)
            report.airlines += 1
            text = f"{tenant.slug}: {airlines[carrier]}, {entities.count_text(carrier)}"
        done += 1
        progress(DemoStep(done, total, text))
    return report


def _flights_fill(source: DemoSource) -> int:
    """Prepare the year of flights. PostgreSQL parses, sorts and accumulates; Python only carries the bytes."""
    with transaction.atomic(using=DEFAULT_DB_ALIAS), connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        # 4 s on two cores; a slow disk may need more than a web request is given.
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(SQL["raw_create"])
        with cursor.copy(SQL["raw_copy"]) as copy:
            for chunk in source.flights():
                copy.write(chunk)
        cursor.execute(SQL["flights_fill"])
        cursor.execute(SQL["replay_create"])
        return int(cursor.fetchone()[0])


def _tenant(carrier: str, name: str, *, state: _State, now: datetime) -> Tenant:
    """The airline's tenant, created where it is missing.

    Raises TenantExists where somebody else's tenant has the slug, TenantBusy where the airline's is being deleted.
    """
    if carrier in state.tenant_ids:
        tenant: Tenant = Tenant.objects.using(DEFAULT_DB_ALIAS).get(pk=state.tenant_ids[carrier])
        if tenant.status == Tenant.Status.DELETING:
            raise TenantBusy
        return tenant
    # Together, or after an interruption the tenant would look like somebody else's.
    with transaction.atomic(using=DEFAULT_DB_ALIAS):
        tenant = tenant_create(slug=slug_of(carrier), name=name, now=now)
        _execute("airline_create", carrier=carrier, tenant_id=tenant.pk)
    return tenant


def _import(tenant: Tenant, lines: Iterable[dict[str, Any]], *, now: datetime) -> int:
    """Import the airline's entities. Returns how many of them are new."""
    with tenant_bind(tenant):
        summary = import_run(
            tenant_id=tenant.pk,
            chunks=(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines),
            mode="merge",
            now=now,
            line_max_bytes=settings.IMPORT_LINE_MAX_BYTES,
        )
        attribute_changes_fold(tenant_id=tenant.pk)
        for name, changes in _ABOUT.items():
            with suppress(AttributeUnknown):  # An airline without any aircraft whose speed is known, say.
                attribute_describe(tenant_id=tenant.pk, name=name, changes=changes)
    if summary.rejected:
        raise ValueError(f"The demo's own lines must be good: {summary.rejected[0].detail}")
    return summary.created


@dataclass(frozen=True, slots=True)
class _Entities:
    """What the airlines consist of. By carrier: tail numbers; (origin, destination) and the attributes of the route."""

    planes: Mapping[str, dict[str, Value]]
    airports: Mapping[str, dict[str, Value]]
    tailnums: Mapping[str, list[str]]
    routes: Mapping[str, list[tuple[str, str, dict[str, Value]]]]

    @classmethod
    def read(cls, source: DemoSource, carriers: list[str]) -> _Entities:
        tailnums = dict(_fetch("aircraft_of_carriers", carriers=carriers))
        routes = defaultdict(list)
        for carrier, origin, destination, *facts in _fetch("routes_of_carriers", carriers=carriers):
            routes[carrier].append((origin, destination, _route(origin, destination, *facts)))
        return cls(source.planes(), source.airports(), tailnums, routes)

    def lines(self, carrier: str) -> Iterator[dict[str, Any]]:
        """The airline's entities as import lines."""
        for tailnum in self.tailnums.get(carrier, ()):
            yield _line("aircraft", tailnum, {**self.planes.get(tailnum, {}), **_ON_THE_GROUND})
        for faa in self._served(carrier):
            yield _line("airport", faa, self.airports.get(faa, {}))
        for origin, destination, attributes in self.routes.get(carrier, ()):
            yield _line("route", f"{origin}-{destination}", attributes)

    def count_text(self, carrier: str) -> str:
        counts = (len(self.tailnums.get(carrier, ())), len(self._served(carrier)), len(self.routes.get(carrier, ())))
        return "{} aircraft, {} airports, {} routes".format(*counts)

    def _served(self, carrier: str) -> list[str]:
        return sorted({faa for origin, destination, _ in self.routes.get(carrier, ()) for faa in (origin, destination)})


def _route(
    origin: str, destination: str, distance: int, flights: int, cancelled: int, departure_delay: Any, arrival_delay: Any
) -> dict[str, Value]:
    attributes: dict[str, Value] = {
        "origin": origin,
        "destination": destination,
        "distance": distance,
        "flights": flights,
        "cancelled": cancelled,
    }
    # None where no flight of the route ever departed or arrived.
    means = {"mean_departure_delay_min": departure_delay, "mean_arrival_delay_min": arrival_delay}
    return attributes | {name: round(float(mean), 1) for name, mean in means.items() if mean is not None}


def _line(entity_type: str, external_id: str, attributes: dict[str, Value]) -> dict[str, Any]:
    return {"entity_type": entity_type, "external_id": external_id, "attributes": attributes}


@contextmanager
def _loading() -> Iterator[None]:
    """Nobody else loads meanwhile. Raises DemoBusy."""
    with advisory_lock("atlasco.demo_load") as is_ours:
        if not is_ours:
            raise DemoBusy
        yield


def _state_read() -> _State:
    rows = _fetch("load_state")
    known = [(carrier, tenant_id, is_loaded) for _, carrier, tenant_id, is_loaded in rows if carrier is not None]
    return _State(
        flights=rows[0][0],
        tenant_ids={carrier: tenant_id for carrier, tenant_id, _ in known},
        loaded=frozenset(carrier for carrier, _, is_loaded in known if is_loaded),
    )


def _fetch(block: str, **values: Any) -> list[tuple[Any, ...]]:
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(SQL[block], values)
        return list(cursor.fetchall())


def _execute(block: str, **values: Any) -> None:
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(SQL[block], values)
