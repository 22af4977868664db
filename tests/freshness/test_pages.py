"""Pages in the browser: which database they read, what they show after a write, and what they say without a primary."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError, connections
from django.http import HttpResponse
from django.test import Client as Browser
from django.test import RequestFactory, override_settings

from atlasco.lib import clock
from entities.models import Entity
from freshness.middleware import SEEN_COOKIE, FreshnessMiddleware, _seen
from freshness.monitor import monitor
from freshness.reads import page_source, primary_is_up, primary_position, primary_source
from freshness.routers import FreshnessRouter
from freshness.state import Answer, FreshnessState, freshness_scope
from freshness.timelines import NOWHERE, Position
from tenants.accounts.sessions import SEEN_KEY, SEEN_STEP_S
from tenants.binding import public_bind
from tenants.models import Tenant
from tests.admin_client import platform_browser
from tests.cluster import Cluster
from tests.freshness.test_registered_sources import heartbeat
from tests.tenants.conftest import tenant_make
from tests.waiting import wait_until

__all__ = ["tenant_make"]

ROUTER = FreshnessRouter()
USER = get_user_model()


def well(alias: str) -> None:
    """No breaker is open from what a test did to this database."""
    wait_until(lambda: monitor().look(alias) and monitor().breaker(alias).is_closed)


@pytest.fixture
def fresh_replicas(stack: Cluster, live_db: None) -> None:
    """Both replicas have a heartbeat that is a moment old, and no breaker is open from what other tests broke."""
    heartbeat()
    stack.wait_for_replicas()
    for alias in ("replica1", "replica2", "default"):
        well(alias)


@pytest.fixture
def without_the_primary(stack: Cluster, fresh_replicas: None) -> Iterator[None]:
    stack.must_be_embedded()
    stack.ask("kill", name="primary")
    connections.close_all()
    monitor().look("default")
    yield
    stack.ask("start", name="primary")
    connections.close_all()
    stack.wait_for_replicas()
    for _ in range(5):
        monitor().look("default")


@pytest.fixture
def idle_for_a_minute(stack: Cluster, fresh_replicas: None) -> Browser:
    """A platform admin whose next page is to note that the session is in use."""
    browser = platform_browser()
    with public_bind():
        session = browser.session
        session[SEEN_KEY] = clock.now().timestamp() - SEEN_STEP_S - 1
        session.save()
    stack.wait_for_replicas()
    return browser


def database(state: FreshnessState, model: type = Tenant) -> str | None:
    with freshness_scope(state):
        return ROUTER.db_for_read(model)


def test_outside_of_a_scope_and_without_a_class_the_primary_is_read() -> None:
    assert ROUTER.db_for_read(Entity) == "default"
    assert database(FreshnessState(), Entity) == "default"


def test_a_class_chooses_the_database_once_for_the_whole_scope(fresh_replicas: None) -> None:
    state = FreshnessState(orm_class="operational")
    first = database(state, Entity)
    assert first in {"replica1", "replica2"}
    assert database(state, Entity) == first
    assert state.answer is not None and state.answer.store == first
    assert state.answer.lag_s is not None and state.answer.lag_s >= 0
    assert database(FreshnessState(orm_class="critical"), Entity) == "default"


def test_who_somebody_is_is_asked_of_the_primary(fresh_replicas: None) -> None:
    assert database(FreshnessState(orm_class="operational"), USER) == "default"


def test_after_a_write_all_reads_are_the_primarys(fresh_replicas: None) -> None:
    state = FreshnessState(orm_class="operational")
    with freshness_scope(state):
        assert ROUTER.db_for_read(Entity) != "default"
        assert ROUTER.db_for_write(Entity) == "default"
        assert ROUTER.db_for_read(Entity) == "default"


def test_an_object_from_a_replica_is_written_to_the_primary(
    fresh_replicas: None, tenant_make: Callable[..., Tenant], stack: Cluster
) -> None:
    acme = tenant_make("acme")
    stack.wait_for_replicas()
    found = Tenant.objects.using("replica1").get(pk=acme.pk)
    found.name = "Acme & Sons"
    found.save()
    assert Tenant.objects.using("default").get(pk=acme.pk).name == "Acme & Sons"


@pytest.fixture
def paused_replicas(stack: Cluster, fresh_replicas: None) -> Iterator[None]:
    stack.must_be_embedded()
    for name in ("replica1", "replica2"):
        stack.ask("pause-replay", name=name)
    yield
    for name in ("replica1", "replica2"):
        stack.ask("resume-replay", name=name)
    stack.wait_for_replicas()


def test_what_a_browser_wrote_is_on_the_database_that_it_reads_next(paused_replicas: None) -> None:
    browser = Browser()
    answer = browser.post("/admin/login/", {"username": "nobody", "password": "wrong"})
    assert answer.status_code == 200 and SEEN_COOKIE in answer.cookies
    # The log has moved on, and no replica has.
    heartbeat()
    browser.post("/admin/login/", {"username": "nobody", "password": "wrong"})
    request = RequestFactory().get("/admin/")
    request.COOKIES[SEEN_COOKIE] = browser.cookies[SEEN_COOKIE].value
    for alias in ("replica1", "replica2"):
        monitor().look(alias)
    assert database(FreshnessState(orm_class="operational", seen=_seen(request)), Entity) == "default"
    # Somebody who wrote nothing is served by a replica all the same.
    assert database(FreshnessState(orm_class="operational"), Entity) != "default"


def test_a_page_waits_for_the_primary_that_is_believed_again_in_a_moment(paused_replicas: None) -> None:
    heartbeat()
    seen = primary_position()
    for alias in ("replica1", "replica2"):
        monitor().look(alias)
    monitor().failed("default")
    assert not primary_is_up()
    assert database(FreshnessState(orm_class="operational", seen=seen), USER) == "default"


def page_read(*, seen: Position = NOWHERE, is_primary: bool = False) -> Answer:
    """What is noted of a page that reads."""
    with freshness_scope(FreshnessState(seen=seen)) as state:
        found = primary_source(query_class="critical") if is_primary else page_source(query_class="critical")
        assert state.answer is not None
        assert found.using == ("default" if state.answer.source == "primary" else state.answer.store)
        return state.answer


def test_a_page_that_meets_a_demoted_primary_is_read_from_a_replica(
    fresh_replicas: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for is_primary in (True, False):
        assert page_read(is_primary=is_primary).source == "primary"
        # Some database has told of a promotion, and the primary's address leads to the old one still.
        with monkeypatch.context() as patch:
            patch.setattr(monitor(), "timelines", {**monitor().timelines, 1000: 0})
            assert page_read(is_primary=is_primary).source == "read-replica"
        well("default")


def test_a_page_whose_primary_breaks_off_is_read_from_a_replica(fresh_replicas: None) -> None:
    assert page_read(is_primary=True).source == "primary"
    broken = connections["default"].connection
    with connections["default"].cursor() as cursor, pytest.raises(OperationalError):
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    assert connections["default"].connection is broken
    assert page_read(is_primary=True).source == "read-replica"
    well("default")


def test_a_page_is_read_from_no_replica_that_is_behind_what_was_believed_of_it(
    paused_replicas: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    heartbeat()
    seen = primary_position()
    for alias in ("replica1", "replica2"):
        reading = monitor().look(alias)
        monkeypatch.setitem(monitor()._readings, alias, replace(reading, lsn=seen.lsn, taken_at=reading.taken_at + 60))
    with freshness_scope(FreshnessState(orm_class="operational", seen=seen)) as state:
        assert ROUTER.db_for_read(Entity) == "default"
        assert state.answer is not None and state.answer.source == "primary"


def test_a_broken_connection_of_the_monitor_is_no_sign_of_a_broken_server(fresh_replicas: None) -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'atlasco monitor'"
        )
        assert cursor.fetchone()[0] > 0
    assert monitor().look("default").error == ""
    assert monitor().breaker("default").is_closed


def test_a_forged_cookie_says_nothing(fresh_replicas: None) -> None:
    browser = Browser()
    browser.cookies[SEEN_COOKIE] = "9:FFFFFFFF/0:forged"
    assert browser.get("/admin/login/").status_code == 200


@override_settings(PAGE_CLASS="operational")
def test_without_the_primary_pages_are_read_from_a_replica(without_the_primary: None) -> None:
    answer = Browser().get("/admin/login/")
    assert answer.status_code == 200
    assert database(FreshnessState(orm_class="operational"), USER) in {"replica1", "replica2"}


@override_settings(PAGE_CLASS="operational")
def test_without_the_primary_whoever_is_logged_in_reads_on(
    idle_for_a_minute: Browser, without_the_primary: None
) -> None:
    assert idle_for_a_minute.get("account/").status_code == 200


def test_without_the_primary_what_would_write_says_so(without_the_primary: None) -> None:
    with pytest.raises(OperationalError) as failed:
        Tenant.objects.using("default").count()
    request = RequestFactory().post("/admin/tenants/new/")
    answer = FreshnessMiddleware(lambda request: HttpResponse()).process_exception(request, failed.value)
    assert isinstance(answer, HttpResponse) and answer.status_code == 503
    text = answer.content.decode()
    assert "primary does not answer" in text and "Not answering: primary" in text
    assert answer["Retry-After"]
