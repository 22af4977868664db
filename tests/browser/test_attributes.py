"""The registry at work: described, ruled, renamed, merged, promoted, dropped; by two tenants' people."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from analytics.statistics import statistics_refresh
from atlasco.lib import clock
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tests.browser.conftest import Window
from tests.browser.data import aircraft, entities_write
from tests.cluster import Cluster

Open = Callable[..., Window]
Make = Callable[[str], Tenant]


@pytest.fixture(autouse=True)
def _a_worker_runs(live_stack: Cluster) -> None:
    """Jobs about attributes are done by it."""


def filled(tenant: Tenant) -> None:
    entities_write(
        tenant, *(aircraft(f"N{number}", seats=100 + number % 3, tail_no=f"T{number}") for number in range(8))
    )
    entities_write(
        tenant, aircraft("N1", tail_number="T1", seats="many"), aircraft("N9", **{f"run_{uuid.UUID(int=9)}": 1})
    )
    with tenant_bind(tenant):
        statistics_refresh(tenant_id=tenant.pk, now=clock.now())


def test_an_editor_describes_an_attribute_and_a_viewer_reads_it(window: Open, tenants: Make) -> None:
    acme, globex = tenants("acme"), tenants("globex")
    filled(acme)
    win = window(acme)
    win.log_in("eve")
    page = win.page
    win.go("attributes/")
    page.get_by_label("Part of the name or description").fill("SEA")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="seats").click()
    expect(page.locator(".at-tile").filter(has_text="have it now")).to_contain_text("8")
    expect(page.locator(".at-top-values")).to_contain_text("100")
    win.accessible()
    expect(page.get_by_role("region", name="Examples").get_by_role("link", name="N1", exact=True)).to_be_visible()
    page.get_by_label("Description").fill("How many people fit in")
    page.get_by_label("Unit").fill("persons")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    hers = window(acme, phone=True, dark=True)
    hers.log_in("bob")
    hers.go("attributes/?q=people")
    hers.page.get_by_role("link", name="seats").click()
    expect(hers.page.get_by_text("How many people fit in")).to_be_visible()
    expect(hers.page.get_by_role("button", name="Save")).to_have_count(0)
    hers.accessible()
    assert hers.page.evaluate("document.documentElement.scrollWidth") <= 390
    theirs = window(globex)
    theirs.log_in("alice")
    theirs.refusals_expected = True
    assert theirs.go("attributes/one/?name=seats").status == 404


def test_a_rule_is_checked_then_enforced(window: Open, tenants: Make) -> None:
    acme = tenants("acme")
    filled(acme)
    win = window(acme)
    win.log_in("eve")
    page = win.page
    win.go("attributes/one/?name=seats")
    page.get_by_role("link", name="Add a rule").click()
    win.accessible()
    page.get_by_label("number", exact=True).check()
    page.get_by_label("Numbers to").fill("nonsense")
    page.get_by_role("button", name="Check existing values").click()
    expect(page.get_by_text("`maximum` is a number.")).to_be_visible()
    page.get_by_label("Numbers to").fill("101")
    page.get_by_role("button", name="Check existing values").click()
    expect(page.locator(".at-tile").filter(has_text="Break the rule")).to_contain_text("3")
    expect(page.get_by_role("region", name="Values that break the rule")).to_contain_text("must be at most 101")
    win.accessible()
    page.get_by_role("button", name="Enforce from now on").click()
    expect(page.get_by_text("In force")).to_be_visible()
    page.get_by_role("button", name="Only warn").click()
    expect(page.get_by_text("Only warns")).to_be_visible()
    page.get_by_role("button", name="Remove the rule").click()
    expect(page.get_by_text("Any value is accepted.")).to_be_visible()


def test_two_names_become_one_and_two_again(window: Open, tenants: Make, platform_admin: str) -> None:
    acme = tenants("acme")
    filled(acme)
    win = window()
    win.log_in(platform_admin)
    page = win.page
    win.go(f"tenants/{acme.slug}/attributes/")
    page.get_by_role("link", name="Near-duplicates").click()
    page.get_by_role("button", name="Look for them").click()
    expect(page.get_by_role("region", name="Near-duplicates")).to_contain_text("tail_no")
    page.get_by_role("link", name="Merge…").first.click()
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("This is a merge.")).to_be_visible()
    win.accessible()
    page.get_by_role("button", name="Merge", exact=True).click()
    expect(page.locator(".at-tile").filter(has_text="State")).to_contain_text("Done")
    page.get_by_role("main").get_by_role("link", name="tail_no", exact=False).first.click()
    expect(page.get_by_role("heading", name="Also written as")).to_be_visible()
    page.go_back()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Undo")
    expect(page.locator(".at-tile").filter(has_text="State")).to_contain_text("Done")


def test_a_quarantined_name_is_promoted_or_removed(window: Open, tenants: Make) -> None:
    acme = tenants("acme")
    filled(acme)
    entities_write(acme, aircraft("N9", **{"20260131": "junk"}))
    win = window(acme)
    win.log_in("alice")
    page = win.page
    win.go("attributes/")
    expect(page.get_by_role("link", name="seats")).to_be_visible()
    expect(page.get_by_role("link", name="20260131")).to_have_count(0)
    page.get_by_role("link", name="Quarantined").click()
    page.get_by_role("link", name="run_").click()
    expect(page.get_by_text("because its name holds a UUID")).to_be_visible()
    win.accessible()
    page.get_by_role("button", name="Promote it").click()
    expect(page.get_by_text("is an ordinary attribute now")).to_be_visible()
    win.go("attributes/?status=quarantined")
    page.get_by_role("link", name="20260131").click()
    page.get_by_role("link", name="Remove it").click()
    page.get_by_role("button", name="Remove all values").click()
    expect(page.locator(".at-tile").filter(has_text="Changed")).to_contain_text("1")
    win.go("attributes/?status=quarantined")
    expect(page.get_by_text("No attribute is quarantined")).to_be_visible()
