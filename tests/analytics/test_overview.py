"""A tenant's home comes from the hot cache, with the age of what it shows, and with what its reader wrote."""

from __future__ import annotations

import time

from django_redis import get_redis_connection

from entities.overview import Overview, overview_key, overview_read
from freshness.state import FreshnessState, freshness_scope
from freshness.timelines import NOWHERE, Position
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tests.admin_client import tenant_browser
from tests.analytics.feeding import delete, primary_lsn, replication_dsn_of, write
from tests.analytics.live_feed import live_feed
from tests.cluster import Cluster
from tests.waiting import wait_until

__all__ = ["live_feed"]


def asked(tenant: Tenant, seen: Position = NOWHERE) -> tuple[Overview, FreshnessState]:
    with tenant_bind(tenant), freshness_scope(FreshnessState(seen=seen)) as state:
        return overview_read(tenant_id=tenant.pk), state


def names(overview: Overview) -> list[str]:
    return [row.external_id for row in overview.newest]


def test_an_overview_is_kept_with_its_age_and_each_tenant_gets_its_own(
    live_feed: Cluster, acme: Tenant, globex: Tenant
) -> None:
    write(acme, "one", n=1)
    write(globex, "theirs")
    dsn = replication_dsn_of(live_feed)
    seen = Position(1, primary_lsn(dsn))
    sources = set()

    def hit(tenant: Tenant, wanted: list[str]) -> bool:
        overview, state = asked(tenant, seen)
        assert names(overview) == wanted and overview.usage.entities.number == len(wanted)
        assert state.answer is not None and state.budget is not None and state.budget.sla_s == 5
        sources.add(state.answer.source)
        return state.answer.source == "redis-cache" and state.sla_met() is True

    wait_until(lambda: hit(acme, ["one"]))
    wait_until(lambda: hit(globex, ["theirs"]))
    assert sources - {"primary"} == {"read-replica", "redis-cache"}

    written = ["one"]

    def old_ones() -> int:
        """Write one more. How many of twenty answers are without it: those say that they are as old as that."""
        written.insert(0, write(acme, f"next {len(written)}", n=2).external_id)
        committed, found = time.monotonic(), 0
        for _ in range(20):
            began = time.monotonic()
            overview, state = asked(acme)
            assert state.answer is not None and state.answer.lag_s is not None
            if names(overview) != written:
                assert state.answer.lag_s >= began - committed
                found += 1
        return found

    wait_until(old_ones)
    seen = Position(1, primary_lsn(dsn))
    assert names(asked(acme, seen)[0]) == written
    last = write(acme, "last", n=2)
    delete(acme, last.entity_id)
    assert names(asked(acme, Position(1, primary_lsn(dsn)))[0]) == written
    assert names(asked(globex)[0]) == ["theirs"]


def test_home_says_how_fresh_it_is(live_feed: Cluster, acme: Tenant, globex: Tenant) -> None:
    write(acme, "only one", n=1)
    browser = tenant_browser(acme)
    wait_until(lambda: "Read from the hot cache" in (page := browser.text("")) and "only one" in page)
    assert "only one" not in tenant_browser(globex).text("")
    get_redis_connection("default").set(overview_key(acme.pk), b"[]")
    # What can't be read is not an answer, and no trouble.
    assert "only one" in browser.text("")
