"""A tenant's own people in the browser: their daily work, and what is not there for them."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tenants.models import Tenant
from tests.browser.conftest import Window
from tests.browser.data import aircraft, entities_write

Open = Callable[..., Window]
Make = Callable[[str], Tenant]


def test_an_admin_sees_the_tenants_own_data_and_people(window: Open, tenants: Make) -> None:
    acme = tenants("acme")
    win = window(acme)
    win.go()
    page = win.page
    expect(page.get_by_role("heading", name="Log in to Acme")).to_be_visible()
    win.log_in("alice")
    expect(page.get_by_text("No entities yet")).to_be_visible()
    entities_write(acme, aircraft("N1"), aircraft("N2"))
    win.go()
    page.get_by_label("Entity id or external id").fill("N2")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("N2")
    page.get_by_role("link", name="Members").click()
    page.get_by_role("link", name="New member").click()
    page.get_by_label("User name").fill("carol")
    page.get_by_role("button", name="Add member").click()
    password = page.locator("#secret").inner_text()
    page.get_by_role("link", name="I have copied it").click()
    expect(page.get_by_role("row").filter(has_text="carol")).to_be_visible()

    hers = window(acme)
    hers.log_in("carol", password)
    expect(hers.page.get_by_role("link", name="Attributes").first).to_be_visible()
    expect(hers.page.get_by_role("link", name="Tokens")).to_have_count(0)
    hers.page.locator("details.at-user > summary").click()
    hers.page.get_by_role("button", name="Log out").click()
    expect(hers.page.get_by_role("heading", name="Log in to Acme")).to_be_visible()


def test_a_token_is_made_and_revoked(window: Open, tenants: Make) -> None:
    win = window(tenants("acme"))
    win.log_in("alice")
    page = win.page
    page.get_by_role("link", name="Tokens").first.click()
    page.get_by_role("link", name="New token").click()
    page.get_by_label("Name", exact=True).fill("reporting")
    page.get_by_role("button", name="Make token").click()
    secret = page.locator("#secret").inner_text()
    assert win.api_status(secret) == 200
    page.get_by_role("link", name="I have copied it").click()
    page.get_by_role("link", name="Revoke reporting").click()
    page.get_by_role("button", name="Revoke token").click()
    expect(page.get_by_role("row").filter(has_text="reporting")).to_contain_text("Revoked")
    assert win.api_status(secret) == 401


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_other_tenants_and_the_platform_are_not_there(window: Open, tenants: Make, who: str) -> None:
    acme, globex = tenants("acme"), tenants("globex")
    [theirs] = entities_write(globex, aircraft("G-1", owner="globex"))
    win = window(acme)
    win.log_in(who)
    win.refusals_expected = True
    for path in (
        "tenants/",
        "tenants/-/new/",
        "services/",
        "usage/counts/",
        "load/",
        f"tenants/{globex.slug}/",
        f"tenants/{globex.slug}/entities/",
        f"tenants/{globex.slug}/entities/{theirs}/",
        f"tenants/{globex.slug}/tokens/",
        f"tenants/{acme.slug}/",
        f"entities/{theirs}/",
    ):
        response = win.go(path)
        assert response.status == 404, path
        expect(win.page.get_by_role("heading", level=1)).to_have_text("There is nothing here")
        assert globex.slug not in win.page.content()
    # On another tenant's host, and on the public one, they are strangers: the cookie is not even sent.
    for base in (win.base.replace(acme.slug, globex.slug), re.sub(r"//[^.]+\.", "//", win.base)):
        elsewhere = win.page.context.new_page()
        elsewhere.goto(f"{base}/admin/")
        expect(elsewhere.get_by_role("button", name="Log in")).to_be_visible()
        elsewhere.close()


def test_no_page_is_wider_than_a_phone(window: Open, tenants: Make) -> None:
    acme = tenants("acme")
    win = window(acme, phone=True)
    win.go("login/")
    assert win.page.evaluate("document.documentElement.scrollWidth") <= 390
    win.log_in("alice")
    for filled in (False, True):
        if filled:
            entities_write(acme, *(aircraft(f"N{number}") for number in range(30)))
        for path in ("", "entities/", "entities/?q=N1", "attributes/", "members/", "tokens/", "password_change/"):
            win.go(path)
            assert win.page.evaluate("document.documentElement.scrollWidth") <= 390, path
