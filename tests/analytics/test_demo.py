"""The demo, with two small airlines of our own: Acme Air and Globex Wings."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from analytics.demo.load import DemoBusy, DemoReport, DemoStep, demo_load, demo_rate_set
from analytics.demo.replay import demo_advance
from analytics.demo.source import DemoSource
from entities.models import AttributeMetadata, Entity
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tenants.selectors import tenant_get
from tenants.services import tenant_create, tenant_delete, tenant_resume, tenant_suspend
from tests.cluster import Cluster

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FLIGHTS = """\
year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour
2013,7,1,600,600,0,900,900,0,ZG,5,N9GX,JFK,LAX,330,2475,6,0,2013-07-01T10:00:00Z
2013,1,1,517,515,2,830,819,11,ZA,1545,N1AC,EWR,LAX,120,2454,5,15,2013-01-01T10:00:00Z
2013,1,1,NA,530,NA,NA,830,NA,ZA,7,N1AC,EWR,BQN,NA,1585,5,30,2013-01-01T10:00:00Z
2013,1,1,NA,531,NA,NA,830,NA,ZA,8,NA,EWR,BQN,NA,1585,5,31,2013-01-01T10:00:00Z
2013,1,1,655,610,45,1000,915,45,ZA,9,N1AC,EWR,LAX,90,2454,6,10,2013-01-01T11:00:00Z
2013,1,1,620,620,0,1600,915,NA,ZA,10,N2AC,EWR,LAX,NA,2454,6,20,2013-01-01T11:00:00Z
"""
FLIGHTS_TOTAL = 6


@pytest.fixture
def source(tmp_path: Path) -> DemoSource:
    (tmp_path / "airlines.csv").write_text("carrier,name\nZG,Globex Wings\nZA,Acme Air\n")
    (tmp_path / "airports.csv").write_text(
        "faa,name,lat,lon,alt,tz,dst,tzone\n"
        "EWR,Newark Liberty Intl,40.6925,-74.168667,18,-5,A,America/New_York\n"
        "LAX,Los Angeles Intl,33.942536,-118.408075,126,-8,A,NA\n"
    )
    (tmp_path / "planes.csv").write_text(
        "tailnum,year,type,manufacturer,model,engines,seats,speed,engine\n"
        "N1AC,2004,Fixed wing multi engine,EMBRAER,747,2,55,NA,Turbo-fan\n"
    )
    with zipfile.ZipFile(tmp_path / "flights.csv.zip", "w") as archive:
        archive.writestr("flights.csv", FLIGHTS)
    return DemoSource(tmp_path)


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    yield
    for slug in ("za", "zg"):
        tenant = Tenant.objects.filter(slug=slug).first()
        if tenant is not None:
            tenant_delete(tenant=tenant, confirm=slug, now=NOW)
    with connection.cursor() as cursor:
        for table in ("demo_airlines", "demo_replay", "demo_flights"):
            cursor.execute(f"DELETE FROM {table}")


@pytest.fixture
def loaded(source: DemoSource) -> DemoReport:
    return load(source)


def load(source: DemoSource) -> DemoReport:
    return demo_load(source=source, now=NOW, progress=lambda step: None)


def entity(slug: str, entity_type: str, external_id: str) -> dict[str, Any]:
    with tenant_bind(tenant_get(slug=slug)):
        attributes: dict[str, Any] = Entity.objects.get(entity_type=entity_type, external_id=external_id).attributes
        return attributes


def keys(slug: str) -> set[tuple[str, str]]:
    with tenant_bind(tenant_get(slug=slug)):
        return set(Entity.objects.values_list("entity_type", "external_id"))


def replay(*, seconds: float, rate: float = 1, start: datetime = NOW) -> int:
    """Begin the replay at `start`, and tick once, so many seconds later."""
    assert demo_advance(now=start, rate=rate) == 0
    return demo_advance(now=start + timedelta(seconds=seconds), rate=rate)


def test_each_airline_becomes_a_tenant_with_what_it_flies(loaded: DemoReport) -> None:
    assert (loaded.flights, loaded.airlines, loaded.entities_created) == (FLIGHTS_TOTAL, 2, 11)
    assert tenant_get(slug="za").name == "Acme Air"
    assert keys("za") == {
        ("aircraft", "N1AC"),
        ("aircraft", "N2AC"),
        ("airport", "EWR"),
        ("airport", "LAX"),
        ("airport", "BQN"),
        ("route", "EWR-LAX"),
        ("route", "EWR-BQN"),
    }
    assert keys("zg") == {("aircraft", "N9GX"), ("airport", "JFK"), ("airport", "LAX"), ("route", "JFK-LAX")}


def test_values_have_their_types_and_what_is_not_known_is_absent(loaded: DemoReport) -> None:
    assert entity("za", "aircraft", "N1AC") == {
        "year": 2004,
        "type": "Fixed wing multi engine",
        "manufacturer": "EMBRAER",
        "model": "747",
        "engines": 2,
        "seats": 55,
        "engine": "Turbo-fan",
        "status": "parked",
        "flights_flown": 0,
        "hours_flown": 0,
    }
    assert entity("za", "airport", "LAX") == {
        "name": "Los Angeles Intl",
        "lat": 33.942536,
        "lon": -118.408075,
        "alt": 126,
        "tz": -8,
        "dst": "A",
    }
    assert entity("za", "airport", "BQN") == {}
    assert entity("za", "route", "EWR-LAX") == {
        "origin": "EWR",
        "destination": "LAX",
        "distance": 2454,
        "flights": 3,
        "cancelled": 0,
        "mean_departure_delay_min": 15.7,
        "mean_arrival_delay_min": 28.0,
    }
    assert entity("za", "route", "EWR-BQN")["cancelled"] == 2


def test_the_registry_says_units(loaded: DemoReport) -> None:
    with tenant_bind(tenant_get(slug="za")):
        assert AttributeMetadata.objects.get(attribute_name="alt").unit == "ft"


def test_a_second_load_finds_everything_there(loaded: DemoReport, source: DemoSource) -> None:
    steps: list[DemoStep] = []
    again = demo_load(source=source, now=NOW, progress=steps.append)
    assert (again.airlines_loaded_before, again.entities_created, steps) == (2, 0, [])


@pytest.mark.parametrize("steps_done", [1, 2])
def test_an_interrupted_load_goes_on(source: DemoSource, steps_done: int) -> None:
    def interrupt(step: DemoStep) -> None:
        if step.done == steps_done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        demo_load(source=source, now=NOW, progress=interrupt)
    report = load(source)
    assert report.airlines == 2
    assert report.airlines_loaded_before == steps_done - 1
    assert len(keys("za")) + len(keys("zg")) == 11


def test_somebody_elses_tenant_is_left_alone(source: DemoSource) -> None:
    tenant_create(slug="za", name="Not an airline", now=NOW)
    report = load(source)
    assert report.airlines == 1 and report.skipped[0].startswith("za: ")
    assert keys("za") == set()
    replay(seconds=10)
    assert keys("za") == set()
    assert entity("zg", "aircraft", "N9GX")["flights_flown"] == 1


def test_an_airline_that_was_deleted_comes_back(loaded: DemoReport, source: DemoSource) -> None:
    tenant_delete(tenant=tenant_get(slug="zg"), confirm="zg", now=NOW)
    report = load(source)
    assert (report.airlines_loaded_before, report.airlines, report.entities_created) == (1, 2, 4)
    assert len(keys("zg")) == 4


def test_two_loads_at_once_are_one_too_many(source: DemoSource, stack: Cluster) -> None:
    with psycopg.connect(stack.database_url) as other:
        other.execute("SELECT pg_advisory_xact_lock(hashtextextended('atlasco.demo_load', 0))")
        with pytest.raises(DemoBusy):
            load(source)


def test_without_a_demo_a_tick_costs_one_query(stack: Cluster) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert demo_advance(now=NOW, rate=20) == 0
    assert len(queries) == 1
    with CaptureQueriesContext(connection) as queries:
        assert demo_advance(now=NOW, rate=0) == 0
    assert len(queries) == 0


def test_flights_are_replayed_in_order_of_departure(loaded: DemoReport) -> None:
    assert replay(seconds=1) == 1
    assert entity("za", "aircraft", "N1AC") | {"year": 0} == {
        **entity("za", "aircraft", "N1AC"),
        "year": 0,
        "status": "in service",
        "last_flight": "ZA 1545",
        "last_origin": "EWR",
        "last_destination": "LAX",
        "last_departure_at": "2013-01-01T05:17:00-05:00",
        "last_departure_delay_min": 2,
        "last_arrival_delay_min": 11,
        "last_distance_mi": 2454,
        "flights_flown": 1,
        "hours_flown": 2,
    }
    assert entity("zg", "aircraft", "N9GX")["status"] == "parked"


def test_a_cancelled_flight_has_no_delay_and_a_diverted_one_no_arrival(loaded: DemoReport) -> None:
    replay(seconds=4)
    cancelled, diverted = entity("za", "aircraft", "N1AC"), entity("za", "aircraft", "N2AC")
    assert (cancelled["status"], cancelled["last_flight"]) == ("cancelled", "ZA 7")
    assert not {"last_departure_delay_min", "last_arrival_delay_min"} & cancelled.keys()
    # What it last really did stays.
    assert cancelled["last_departure_at"] == "2013-01-01T05:17:00-05:00"
    assert (diverted["status"], diverted["last_departure_delay_min"]) == ("diverted", 0)
    assert "last_arrival_delay_min" not in diverted


def test_totals_accumulate_over_the_years(loaded: DemoReport) -> None:
    # The tick that finds the year's end stops there; the next one begins it again.
    assert replay(seconds=10) == FLIGHTS_TOTAL
    summer = entity("zg", "aircraft", "N9GX")
    assert summer["last_departure_at"] == "2013-07-01T06:00:00-04:00"
    aircraft = entity("za", "aircraft", "N1AC")
    assert (aircraft["status"], aircraft["flights_flown"], aircraft["hours_flown"]) == ("delayed", 2, 3.5)
    assert demo_advance(now=NOW + timedelta(seconds=15), rate=1) == 5
    aircraft = entity("za", "aircraft", "N1AC")
    assert (aircraft["flights_flown"], aircraft["hours_flown"]) == (4, 7)


def test_a_tick_that_was_lost_half_way_is_done_again_without_harm(loaded: DemoReport) -> None:
    replay(seconds=5)
    with tenant_bind(tenant_get(slug="za")):
        before = dict(Entity.objects.values_list("external_id", "version"))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE demo_replay SET position = 0, replayed_at = %s", [NOW])
    assert demo_advance(now=NOW + timedelta(seconds=5), rate=1) == 5
    with tenant_bind(tenant_get(slug="za")):
        assert dict(Entity.objects.values_list("external_id", "version")) == before


def test_of_two_workers_one_replays(loaded: DemoReport, stack: Cluster) -> None:
    with psycopg.connect(stack.database_url) as other:
        other.execute("SELECT pg_advisory_xact_lock(hashtext('atlasco.demo_replay'))")
        assert replay(seconds=5) == 0
    assert entity("za", "aircraft", "N1AC")["status"] == "parked"
    assert replay(seconds=5, start=NOW + timedelta(seconds=5)) == 5


def test_a_suspended_airline_stands_still(loaded: DemoReport) -> None:
    tenant = tenant_suspend(tenant=tenant_get(slug="za"), now=NOW)
    assert replay(seconds=10) == FLIGHTS_TOTAL
    assert entity("za", "aircraft", "N1AC")["status"] == "parked"
    assert entity("zg", "aircraft", "N9GX")["flights_flown"] == 1
    tenant_resume(tenant=tenant, now=NOW)
    assert demo_advance(now=NOW + timedelta(seconds=16), rate=1) == FLIGHTS_TOTAL
    assert entity("za", "aircraft", "N1AC")["flights_flown"] == 4


def test_a_rate_of_its_own_replaces_the_setting(loaded: DemoReport) -> None:
    demo_rate_set(rate=2)
    assert replay(seconds=2, rate=1) == 4
    demo_rate_set(rate=0)
    assert replay(seconds=10, rate=1, start=NOW + timedelta(seconds=10)) == 0


def run(*options: str) -> str:
    out = io.StringIO()
    call_command("load_demo", *options, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def test_the_command_says_what_it_did(source: DemoSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analytics.management.commands.load_demo.source_find", lambda: source)
    first = run("--rate", "3").splitlines()
    assert first[:2] == ["[1/3] 6 flights prepared", "[2/3] za: Acme Air, 2 aircraft, 3 airports, 2 routes"]
    assert first[-1] == "The demo is loaded: 2 airlines, 11 new entities, 6 flights to replay."
    assert run() == "The demo is there: 2 airlines, 6 flights to replay.\n"
    assert replay(seconds=2) == 6
    assert "The replay is off." in run("--rate", "0")


@pytest.mark.parametrize("rate", ["-1", "nan", "inf", "6000"])
def test_a_rate_that_makes_no_sense_is_refused(rate: str) -> None:
    with pytest.raises(CommandError, match="--rate"):
        run("--rate", rate)
