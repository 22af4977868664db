"""Analytics and alerts in the browser: charts with their tables, exports, a rule from its preview to its alert."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Page, expect

from analytics.alerts.applier import AlertApplier
from analytics.clickhouse.applier import ClickHouseApplier
from analytics.clickhouse.client import clickhouse_client
from analytics.feed.run import Feed
from analytics.rollups.refresh import rollups_refresh
from atlasco.lib import clock
from tenants.models import Tenant
from tests.analytics.feeding import feed_running, replication_dsn_of, slot_name, wal_end
from tests.analytics.test_alerts import import_lines
from tests.browser.conftest import Window
from tests.cluster import Cluster
from tests.waiting import wait_until

Open = Callable[..., Window]
Make = Callable[[str], Tenant]
START = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=3)


@pytest.fixture
def feed(stack: Cluster, web_url: str, owner_db: psycopg.Connection[Any]) -> Iterator[Feed]:
    owner_db.execute("DELETE FROM alert_position")
    dsn = replication_dsn_of(stack)
    appliers: list[Any] = [ClickHouseApplier(stack.clickhouse_url, dsn=dsn), AlertApplier(dsn=dsn)]
    with feed_running(dsn, appliers, slot=slot_name()) as feed:
        yield feed


def settle(stack: Cluster, feed: Feed) -> None:
    lsn = wal_end(replication_dsn_of(stack))
    wait_until(lambda: all(worker.position and worker.position.lsn >= lsn for worker in feed.workers))


def reading(place: int, value: float, external_id: str = "gate-1", kind: str = "sensor") -> dict[str, Any]:
    at = (START + timedelta(hours=place)).isoformat()
    attributes = {"temperature": value, "zone": f"zone {place % 3}", "serial": f"{external_id}-{place}"}
    return {"entity_type": kind, "external_id": external_id, "at": at, "attributes": attributes}


def fill(stack: Cluster, feed: Feed, tenant: Tenant) -> None:
    """Sixty sensors with readings over three days, and five lamps; rolled up."""
    lines = [
        reading(place, 20 + (place * sensor) % 17 / 2, f"gate-{sensor}")
        for place in range(0, 72, 8)
        for sensor in range(60)
    ]
    import_lines(tenant, *lines, *(reading(1, 90 + lamp, f"lamp-{lamp}", "lamp") for lamp in range(5)))
    settle(stack, feed)
    client = clickhouse_client()
    rollups_refresh(client, tenant_id=tenant.pk, now=clock.now())
    client.close()


def is_drawn(page: Page) -> bool:
    """Whether no canvas is of one colour only."""
    drawn: bool = page.evaluate(
        "[...document.querySelectorAll('canvas[data-chart]')].every((canvas) => {"
        " const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);"
        " return data.some((byte) => byte !== 0); })"
    )
    return drawn


@pytest.mark.parametrize("phone", [False, True])
def test_an_attribute_is_picked_and_shown_in_charts_and_tables(
    window: Open, tenants: Make, stack: Cluster, feed: Feed, phone: bool
) -> None:
    acme, globex = tenants("acme"), tenants("globex")
    fill(stack, feed, acme)
    import_lines(globex, reading(0, 1))
    win = window(acme, phone=phone, dark=phone)
    win.log_in("bob")
    page = win.page
    win.go("analytics/")
    expect(page.get_by_role("heading", level=2, name="Attributes, the most frequent first")).to_be_visible()
    expect(page.get_by_role("img", name="How many of the entities")).to_be_visible()
    page.get_by_label("Attribute", exact=True).fill("temp")
    page.get_by_role("option", name="temperature").click()
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("temperature")
    expect(page.locator("canvas")).to_have_count(3)
    assert is_drawn(page)
    expect(page.get_by_role("row").filter(has_text="lamp")).to_contain_text("92")
    expect(page.get_by_text("Computed")).to_be_visible()
    page.get_by_text("The same as a table").last.click()
    expect(page.get_by_role("columnheader", name="95 %").first).to_be_visible()
    page.get_by_role("link", name="lamp", exact=True).click()
    expect(page.get_by_text("Values of lamp")).to_be_visible()
    win.go("analytics/?attribute=zone")
    expect(page.get_by_role("heading", level=2, name="Values")).to_be_visible()
    assert is_drawn(page)
    win.go("analytics/?attribute=nobody")
    expect(page.get_by_text("No values of “nobody”")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_what_is_shown_is_exported(window: Open, tenants: Make, stack: Cluster, feed: Feed) -> None:
    acme = tenants("acme")
    fill(stack, feed, acme)
    win = window(acme)
    win.log_in("bob")
    page = win.page
    win.go("analytics/?attribute=temperature&type=lamp")
    with page.expect_download() as started:
        page.get_by_role("link", name="CSV", exact=True).click()
    [row] = csv.DictReader(io.StringIO(started.value.path().read_text()))
    assert (row["entity_type"], row["values"], row["median"]) == ("lamp", "5", "92.0")
    with page.expect_download() as started:
        page.get_by_role("link", name="Parquet of the trend").click()
    table = pq.read_table(started.value.path())
    assert (
        table.column("samples").to_pylist() == [5] and str(table.schema.field("bucket").type) == "timestamp[us, tz=UTC]"
    )


def test_a_rule_is_previewed_made_fires_and_is_acknowledged(
    window: Open, tenants: Make, stack: Cluster, feed: Feed
) -> None:
    acme = tenants("acme")
    fill(stack, feed, acme)
    win = window(acme)
    win.log_in("alice")
    page = win.page
    page.get_by_role("link", name="Alerts").first.click()
    expect(page.get_by_text("No alert rules yet")).to_be_visible()
    page.get_by_role("link", name="Make a rule").click()
    page.get_by_label("Name", exact=True).fill("Too hot")
    page.get_by_label("Attribute", exact=True).fill("temperature")
    page.keyboard.press("Escape")
    page.get_by_label("Threshold").fill("89")
    page.get_by_label("Cleared at").fill("95")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("`clear_threshold` must not be above the threshold.")).to_be_visible()
    page.get_by_label("Cleared at").fill("80")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("status").filter(has_text="5 times over the last 7 days")).to_be_visible()
    page.get_by_label("Webhook").fill("https://hooks.example.com/x")
    page.get_by_role("button", name="Make rule").click()
    expect(page.locator("#secret")).to_contain_text("whsec_")
    page.get_by_role("link", name="I have copied it").click()
    expect(page.get_by_role("row").filter(has_text="Too hot")).to_contain_text("cleared at 80")

    import_lines(acme, reading(80, 120, "gate-7"))
    settle(stack, feed)
    page.get_by_role("link", name="Alerts").first.click()
    row = page.get_by_role("row").filter(has_text="gate-7")
    expect(row).to_contain_text("Firing")
    expect(page.locator("nav .at-count, .at-nav .at-count").first).to_contain_text("1")
    row.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_text("Nothing waits for you")).to_be_visible()
    expect(page.locator(".at-nav .at-count")).to_have_count(0)
    page.get_by_role("link", name="All", exact=True).click()
    expect(page.get_by_role("row").filter(has_text="gate-7")).to_contain_text("alice")

    hers = window(acme)
    hers.log_in("bob")
    hers.go("alerts/rules/")
    expect(hers.page.get_by_role("link", name="Too hot")).to_have_count(0)
    hers.refusals_expected = True
    assert hers.go("alerts/rules/new/").status == 403
