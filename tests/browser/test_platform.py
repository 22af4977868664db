"""A platform admin's daily work in the browser."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable

from playwright.sync_api import expect

from atlasco.lib import clock
from tenants.models import Tenant
from tenants.selectors import tenants_named
from tenants.services import tenant_delete
from tests.browser.conftest import Window
from tests.browser.data import aircraft, entities_write
from tests.cluster import Cluster

Open = Callable[..., Window]


def test_home_shows_tenants_with_counts_and_every_service(
    window: Open, platform_admin: str, live_stack: Cluster, tenants: Callable[[str], Tenant]
) -> None:
    acme = tenants("acme")
    entities_write(acme, *(aircraft(f"N{number}") for number in range(7)))
    win = window()
    win.go()
    page = win.page
    expect(page.get_by_role("heading", name="Log in to Atlasco")).to_be_visible()
    page.get_by_label("User name").fill(platform_admin)
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("belong together")
    win.log_in(platform_admin)
    expect(page.get_by_role("heading", level=1)).to_have_text("Home")
    row = page.get_by_role("row").filter(has_text=acme.slug)
    expect(row.locator("td").nth(1)).to_have_text("7")
    services = page.locator("#services")
    for name in ("Primary database", "Replica 1", "Replica 2", "Valkey", "ClickHouse", "Change feed", "Worker"):
        item = services.get_by_role("listitem").filter(has=page.get_by_text(name, exact=True))
        expect(item.locator(".at-dot-good")).to_be_visible()
    expect(page.locator("#services-tile")).to_have_text("All 7 answer")
    row.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(acme.name)


def test_a_tenant_from_its_creation_to_its_suspension(window: Open, platform_admin: str) -> None:
    slug = f"made-{secrets.token_hex(3)}"
    win = window()
    win.log_in(platform_admin)
    page = win.page
    try:
        page.get_by_role("link", name="New tenant").click()
        # The short name follows the name until one is typed.
        page.get_by_label("Name optional", exact=True).fill("Müller & Söhne")
        expect(page.get_by_label("Short name")).to_have_value("muller-sohne")
        page.get_by_label("Short name").fill("-wrong-")
        page.get_by_role("button", name="Create tenant").click()
        expect(page.locator(".errorlist")).to_contain_text("hyphens")
        page.get_by_label("Short name").fill(slug)
        page.get_by_label("First admin's user name").fill("grace")
        page.get_by_role("button", name="Create tenant").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Müller & Söhne is ready")
        password = page.locator("#secret").inner_text()
        page.reload()
        expect(page.get_by_role("heading", level=1)).to_have_text("Müller & Söhne")
        assert password not in page.content()

        # A token, shown once.
        page.get_by_role("link", name="Make a token").click()
        page.get_by_label("Name", exact=True).fill("nightly import")
        page.get_by_label(re.compile("^Write")).check()
        page.get_by_role("button", name="Make token").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Copy your token now")
        secret = page.locator("#secret").inner_text()
        page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=win.base)
        page.get_by_role("button", name="Copy").first.click()
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == secret
        page.reload()
        expect(page.get_by_role("row").filter(has_text="nightly import")).to_contain_text("Usable")
        assert secret not in page.content()
        assert win.api_status(secret) == 200

        # The new admin gets in.
        theirs = window(slug)
        theirs.log_in("grace", password)
        expect(theirs.page.get_by_role("heading", level=1)).to_have_text("Müller & Söhne")

        # Suspend: asked first, then done; and back.
        page.get_by_role("link", name="Overview").click()
        page.get_by_role("link", name="Suspend").click()
        page.get_by_role("link", name="Cancel").click()
        page.get_by_role("link", name="Suspend").click()
        page.get_by_role("button", name="Suspend tenant").click()
        expect(page.get_by_role("status")).to_contain_text("is suspended")
        assert _comes_to(win, secret, 403)
        page.get_by_role("link", name="Resume it").click()
        page.get_by_role("button", name="Resume tenant").click()
        expect(page.get_by_role("status")).to_contain_text("active again")
        assert _comes_to(win, secret, 200)
    finally:
        for tenant in tenants_named(slugs=[slug]):
            tenant_delete(tenant=tenant, confirm=slug, now=clock.now())


def _comes_to(win: Window, token: str, status: int) -> bool:
    """Every process hears of a suspension within two seconds; a busy machine gets more."""
    for _ in range(100):
        if win.api_status(token) == status:
            return True
        win.page.wait_for_timeout(100)
    return False


def test_looking_into_a_tenants_data(window: Open, platform_admin: str, tenants: Callable[[str], Tenant]) -> None:
    acme, globex = tenants("acme"), tenants("globex")
    [entity_id] = entities_write(
        acme, aircraft("N14228", seats=149, story="long " * 1_000, seen="2026-01-31T12:00:00Z")
    )
    entities_write(globex, aircraft("G-1", owner="globex"))
    win = window()
    win.log_in(platform_admin)
    page = win.page
    page.get_by_role("link", name="Entities", exact=True).first.click()
    page.get_by_label("Name or short name").fill(acme.slug)
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name=acme.slug).click()
    page.get_by_label("Entity id or external id").fill("N14")
    page.get_by_role("button", name="Look up").click()
    page.get_by_role("link", name="N14228").click()
    expect(page).to_have_url(re.compile(f"/entities/{entity_id}/$"))
    expect(page.get_by_role("row").filter(has_text="seats")).to_contain_text("149")
    story = page.get_by_role("row").filter(has_text="story")
    story.locator("summary").click()
    story.get_by_role("button", name="Show all").click()
    expect(story.locator("pre")).to_have_text(re.compile("^(long ){999}long ?$"))
    # The reader's zone is New York; UTC is in the tooltip.
    created = page.locator("dl time").first
    assert created.get_attribute("title").endswith("UTC")  # type: ignore[union-attr]  # None fails here, too.
    assert "UTC" not in created.inner_text()
    page.get_by_role("navigation", name=f"Tenant {acme.slug}").get_by_role("link", name="Attributes").click()
    page.get_by_label("Part of the name or description").fill("sea")
    page.get_by_label("Part of the name or description").press("Enter")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody tr")).to_contain_text("number")
    assert "owner" not in page.content()


PAGES = ("", "tenants/", "tenants/-/new/", "entities/", "attributes/")
TENANT_PAGES = ("", "suspend/", "entities/", "attributes/", "members/", "members/new/", "tokens/", "tokens/new/")


def test_no_page_is_wider_than_a_phone(window: Open, platform_admin: str, tenants: Callable[[str], Tenant]) -> None:
    acme = tenants("acme-with-a-rather-long-name")
    [entity_id] = entities_write(acme, aircraft("N" * 300, **{"name " * 20: "word" * 40, "story": "x" * 5_000}))
    win = window(phone=True)
    win.log_in(platform_admin)
    paths = [*PAGES, *(f"tenants/{acme.slug}/{path}" for path in (*TENANT_PAGES, f"entities/{entity_id}/"))]
    for path in paths:
        win.go(path)
        win.page.wait_for_load_state("networkidle")
        assert win.page.evaluate("document.documentElement.scrollWidth") <= 390, path
    win.page.get_by_role("button", name="Menu", exact=True).click()
    win.page.locator("#nav-sidebar").get_by_role("link", name="Tenants").click()
    expect(win.page.get_by_role("heading", level=1)).to_have_text("Tenants")


def test_the_shell_is_reached_by_keyboard(window: Open, platform_admin: str) -> None:
    win = window()
    win.log_in(platform_admin)
    page = win.page
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    menu = page.locator("details.at-user > summary")
    menu.focus()
    page.keyboard.press("Enter")
    dark = page.get_by_role("button", name="Dark")
    expect(dark).to_be_visible()
    dark.focus()
    page.keyboard.press("Enter")
    expect(page.locator("html")).to_have_class(re.compile("dark"))
    page.keyboard.press("Escape")
    expect(dark).not_to_be_visible()
    expect(menu).to_be_focused()
    win.go("tenants/")
    page.keyboard.press("/")
    expect(page.get_by_label("Name or short name")).to_be_focused()


def test_a_home_page_without_its_services_still_stands(window: Open, platform_admin: str) -> None:
    win = window()
    win.log_in(platform_admin)
    win.errors.clear()
    win.page.route("**/admin/services/", lambda route: route.fulfill(status=500, body="no"))
    win.go()
    expect(win.page.get_by_text("The services could not be checked.")).to_be_visible()
    expect(win.page.get_by_role("heading", level=1)).to_have_text("Home")
    win.errors.clear()  # Chromium and htmx both tell of the 500 that we made up.
