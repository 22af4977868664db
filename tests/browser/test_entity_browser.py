"""The entity browser in Chromium: building a filter by keyboard and pointer, choosing columns, copying the search."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, expect

from tenants.models import Tenant
from tests.browser.conftest import Window
from tests.browser.data import aircraft, entities_write

Open = Callable[..., Window]
Make = Callable[[str], Tenant]


def asked(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def fleet(tenant: Tenant) -> None:
    entities_write(
        tenant,
        *(
            aircraft(f"N{number:02}", seats=number * 10, maker="Boeing" if number % 2 else "Airbus", stored=number > 20)
            for number in range(30)
        ),
        {"entity_type": "gate", "external_id": "G1", "attributes": {"opened": "2026-01-31T12:00:00Z", "seats": "many"}},
    )


def rows(page: Page) -> list[str]:
    return page.locator(".at-results tbody th").all_inner_texts()


def test_a_filter_is_built_by_keyboard_alone(window: Open, tenants: Make) -> None:
    acme = tenants("acme")
    fleet(acme)
    win = window(acme)
    win.log_in("bob")
    win.go("entities/")
    page = win.page
    page.get_by_role("button", name="Condition", exact=True).focus()
    page.keyboard.press("Enter")
    name = page.get_by_role("combobox", name="Attribute")
    expect(name).to_be_focused()
    page.keyboard.type("sea")
    expect(page.get_by_role("option", name="seats")).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("option", name="seats")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    # Seats are numbers here and text there: the type is asked for, and the operators are those of both.
    expect(name).to_have_value("seats")
    page.get_by_role("combobox", name="Operator").select_option(label="is at least")
    page.get_by_role("combobox", name="Value", exact=True).focus()
    page.keyboard.type("25x")
    page.keyboard.press("Enter")
    expect(page.locator(".at-cond-error")).to_contain_text("is not a number")
    value = page.get_by_role("combobox", name="Value", exact=True)
    value.fill("250")
    page.keyboard.press("Enter")
    expect(page.locator(".at-results tbody tr")).to_have_count(5)
    assert json.loads(asked(page)["where"][0]) == [["seats", "ge", 250]]
    assert "sort" not in asked(page)
    # The same address is the same page, with the builder as it was left.
    page.reload()
    expect(page.get_by_role("combobox", name="Operator")).to_have_value("ge")
    expect(page.get_by_role("combobox", name="Value", exact=True)).to_have_value("250")


def test_a_name_and_a_value_taken_from_the_suggestions_by_keyboard_are_what_is_asked(
    window: Open, tenants: Make
) -> None:
    acme = tenants("acme")
    fleet(acme)
    win = window(acme)
    win.log_in("bob")
    win.go("entities/")
    page = win.page
    page.get_by_role("button", name="Condition", exact=True).click()
    for field, typed, wanted in (("Attribute", "mak", "maker"), ("Value", "Boe", "Boeing")):
        box = page.get_by_role("combobox", name=field, exact=True)
        expect(box).to_be_focused()
        page.keyboard.type(typed)
        expect(page.get_by_role("option", name=wanted)).to_be_visible()
        if field == "Value":  # Any value can be asked for; of names only those that there are, so the best is marked.
            page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        expect(box).to_have_value(wanted)
    page.get_by_role("button", name="Apply filter").click()
    page.wait_for_url(re.compile("where="))
    assert json.loads(asked(page)["where"][0]) == [["maker", "eq", "Boeing"]]


def test_groups_nest_and_values_are_suggested(window: Open, tenants: Make) -> None:
    acme = tenants("acme")
    fleet(acme)
    win = window(acme)
    win.log_in("alice")
    win.go("entities/?type=aircraft")
    page = win.page
    page.get_by_role("button", name="Group", exact=True).click()
    group = page.get_by_role("group", name="Group of conditions")
    group.get_by_role("combobox", name="Attribute").fill("maker")
    group.get_by_role("option", name="maker").click()
    group.get_by_role("combobox", name="Operator").select_option(label="is one of")
    many = group.get_by_role("combobox", name="Value", exact=True)
    many.click()
    group.get_by_role("option", name="Boeing").click()
    expect(group.get_by_role("button", name="Remove Boeing")).to_be_visible()
    group.get_by_role("button", name="Condition", exact=True).click()
    second = group.get_by_role("combobox", name="Attribute").nth(1)
    second.fill("stored")
    group.get_by_role("option", name="stored").click()
    group.get_by_role("combobox", name="Value", exact=True).nth(1).select_option("true")
    group.get_by_label("How the conditions combine").select_option(label="at least")
    group.get_by_label("How many must hold").fill("2")
    # A group in the group.
    group.get_by_role("button", name="Group", exact=True).click()
    inner = group.get_by_role("group", name="Group of conditions")
    inner.get_by_label("How the conditions combine").select_option(label="none of")
    inner.get_by_role("combobox", name="Attribute").fill("seats")
    inner.get_by_role("combobox", name="Operator").select_option(label="is present")
    page.get_by_role("button", name="Apply filter").click()
    expect(page.locator(".at-results tbody tr")).to_have_count(5)
    assert set(rows(page)) == {"N21", "N23", "N25", "N27", "N29"}
    assert json.loads(asked(page)["where"][0]) == [
        {
            "at_least": 2,
            "of": [["maker", "in", ["Boeing"]], ["stored", "eq", True], {"not": {"any": [["seats", "exists"]]}}],
        }
    ]
    # Away with a condition, and with all.
    page.get_by_role("button", name="Remove this group").last.click()
    page.get_by_role("button", name="Remove Boeing").click()
    page.get_by_role("button", name="Apply filter").click()
    expect(page.locator(".at-cond-error")).to_contain_text("Add at least one value")
    page.get_by_role("link", name="Clear").click()
    expect(page.get_by_text("31 entities")).to_be_visible()


def test_times_are_read_as_people_write_them_and_json_can_be_edited(window: Open, tenants: Make) -> None:
    acme = tenants("acme")
    fleet(acme)
    win = window(acme)
    win.log_in("bob")
    win.go('entities/?where=[["opened","gt","2026-01-01T00:00:00Z"]]')
    page = win.page
    expect(page.locator(".at-results tbody tr")).to_have_count(1)
    expect(page.get_by_role("combobox", name="Operator").locator("option:checked")).to_have_text("is after")
    page.get_by_role("combobox", name="Value", exact=True).fill("2026-02-01")
    page.get_by_role("button", name="Apply filter").click()
    expect(page.get_by_text("No entity satisfies this filter")).to_be_visible()
    assert json.loads(asked(page)["where"][0]) == [["opened", "gt", "2026-02-01T00:00:00Z"]]
    page.get_by_role("button", name="Edit as JSON").click()
    page.get_by_label(re.compile("^Conditions as JSON")).fill('{"all": [["opened", "gt", "tomorrow"]]}')
    page.get_by_role("button", name="Apply filter").click()
    expect(page.locator(".at-cond-error")).to_contain_text("compares numbers or timestamps")
    page.get_by_role("button", name="Edit as JSON").click()
    page.get_by_label(re.compile("^Conditions as JSON")).fill("{")
    page.get_by_role("button", name="Apply filter").click()
    expect(page.get_by_role("alert")).to_contain_text("not JSON")


def test_columns_are_chosen_and_ordered_and_the_search_is_copied(
    window: Open, platform_admin: str, tenants: Make
) -> None:
    acme = tenants("acme")
    fleet(acme)
    win = window()
    win.log_in(platform_admin)
    win.go(f"tenants/{acme.slug}/entities/?type=aircraft")
    page = win.page
    expect(page.locator(".at-results-count")).to_have_text(re.compile("^30 entities"))
    heads = page.locator(".at-results thead th:not(.at-check)")
    page.locator("summary", has_text="Columns").click()
    menu = page.locator("[data-columns]")
    menu.get_by_label("Add a column").fill("Entity")
    menu.get_by_role("option", name="@entity_id").click()
    menu.get_by_role("checkbox", name="stored").uncheck()
    menu.get_by_role("button", name="Move Entity id up").click()
    menu.get_by_role("button", name="Show these columns").click()
    expect(heads).to_have_text(["External id", "maker", "seats", "Entity id", re.compile("Changed")])
    page.get_by_role("link", name="External id").click()
    expect(page.locator(".at-results tbody th").first).to_have_text("N00")
    expect(heads.first).to_have_attribute("aria-sort", "ascending")
    page.get_by_role("link", name="Next 25").click()
    expect(page.locator(".at-results tbody tr")).to_have_count(5)
    expect(heads).to_have_count(5)
    page.locator("summary", has_text="Copy as").click()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=win.base)
    page.get_by_role("button", name="Copy as curl").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert f"//{acme.slug}.localhost:" in copied
    assert '"entity_type":"aircraft"' in copied


def test_the_filter_fits_a_phone_and_works_without_script(window: Open, tenants: Make) -> None:
    acme = tenants("acme")
    fleet(acme)
    where = '[["seats","ge",50],{"any":[["maker","in",["Boeing","Airbus"]],{"not":["stored","eq",true]}]}]'
    win = window(acme, phone=True)
    win.log_in("bob")
    win.go(f"entities/?type=aircraft&where={where}")
    assert win.page.evaluate("document.documentElement.scrollWidth") <= 390
    win.page.locator("summary", has_text="Columns").click()
    assert win.page.evaluate("document.documentElement.scrollWidth") <= 390
    browser = win.page.context.browser
    assert browser is not None
    plain = browser.new_context(java_script_enabled=False, storage_state=win.page.context.storage_state())
    page = plain.new_page()
    page.goto(f"{win.base}/admin/entities/")
    page.get_by_placeholder("Any type").fill("aircraft")
    page.get_by_label(re.compile("^Conditions as JSON")).fill('[["seats","ge",280]]')
    page.get_by_role("button", name="Apply filter").click()
    expect(page.locator(".at-results tbody tr")).to_have_count(2)
    plain.close()
