"""The daily work on entities in Chromium: values, saved searches, exports and bulk edits, by who may do what."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import expect

from atlasco.lib import clock
from entities import services
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tests.browser.conftest import Window
from tests.browser.data import aircraft, entities_write
from tests.cluster import Cluster

Open = Callable[..., Window]
Make = Callable[[str], Tenant]


def fleet(tenant: Tenant) -> list[int]:
    makers = ("Airbus", "Boeing")
    return entities_write(tenant, *(aircraft(f"N{n:02}", maker=makers[n % 2], seats=n * 10) for n in range(30)))


def test_an_editor_changes_values_in_place(window: Open, tenants: Make) -> None:
    acme = tenants("acme")
    [entity_id] = entities_write(acme, aircraft("N1", seats=149, note="old", retired=False))
    win = window(acme)
    win.log_in("eve")
    win.go(f"entities/{entity_id}/")
    page = win.page
    row = page.get_by_role("row").filter(has_text="seats")
    row.get_by_role("link", name="Edit seats").click()
    expect(page.locator("[name=value_number]")).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type("15x")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("is not a number")
    # The form has the focus once htmx knows it.
    expect(page.locator("[name=value_number]")).to_be_focused()
    page.locator("[name=value_number]").fill("150")
    page.keyboard.press("Enter")
    row = page.get_by_role("row").filter(has_text="seats")
    expect(row).to_contain_text("150")
    expect(row).to_contain_text("Saved")
    expect(row).to_contain_text("by eve")
    expect(row.get_by_role("link", name="Edit seats")).to_be_focused()
    # Another type, chosen explicitly; Escape gives up.
    page.get_by_role("link", name="Edit note").click()
    expect(page.locator("[name=value_string]")).to_be_focused()
    page.get_by_label("Type").select_option("timestamp")
    page.locator("[name=value_timestamp]").fill("2026-01-31")
    page.keyboard.press("Enter")
    expect(page.get_by_role("row").filter(has_text="note")).to_contain_text("2026-01-31T00:00:00Z")
    page.get_by_role("link", name="Edit retired").click()
    expect(page.locator("[name=value_boolean]")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Edit retired")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="retired")).to_contain_text("false")
    win.accessible()

    # Somebody else is faster: both values are shown, and one chooses.
    page.get_by_role("link", name="Edit seats").click()
    expect(page.locator("[name=value_number]")).to_be_focused()
    with tenant_bind(acme):
        services.attribute_put(
            tenant_id=acme.pk, entity_id=entity_id, name="seats", value=999, expected_versions=None, now=clock.now()
        )
    page.locator("[name=value_number]").fill("151")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("It is now 999")
    expect(page.get_by_role("alert")).to_contain_text("Yours is 151")
    expect(page.locator("[name=value_number]")).to_be_focused()
    win.accessible()
    page.get_by_role("button", name="Keep what is there").click()
    expect(page.get_by_role("row").filter(has_text="seats")).to_contain_text("999")

    # A new one, with its name suggested; and away with one.
    page.get_by_role("link", name="Add attribute").click()
    page.get_by_role("combobox", name="Attribute").fill("crew")
    page.get_by_label("Type").select_option("boolean")
    page.locator("[name=value_boolean]").select_option("true")
    page.get_by_role("button", name="Add attribute").click()
    expect(page.get_by_role("row").filter(has_text="crew")).to_contain_text("true")
    page.get_by_role("link", name="Edit crew").click()
    expect(page.locator("[name=value_boolean]")).to_be_focused()
    page.get_by_role("button", name="Remove attribute").click()
    expect(page.get_by_role("row").filter(has_text="crew")).to_contain_text("Removed")

    page.get_by_role("link", name="Delete").click()
    page.get_by_role("button", name="Delete entity").click()
    expect(page.get_by_role("status").first).to_contain_text("is deleted")


def test_a_viewer_sees_no_way_to_change_anything(window: Open, tenants: Make) -> None:
    acme = tenants("acme")
    [entity_id] = entities_write(acme, aircraft("N1", seats=149))
    win = window(acme)
    win.log_in("bob")
    for path in (f"entities/{entity_id}/", "entities/"):
        win.go(path)
        expect(win.page.get_by_role("link", name=re.compile("^(Edit|Delete|Add attribute)"))).to_have_count(0)
        expect(win.page.get_by_role("button", name="Edit selected")).to_have_count(0)
    win.refusals_expected = True
    assert win.go("entities/bulk/new/").status == 403


def test_a_search_is_saved_shared_renamed_and_deleted(window: Open, tenants: Make) -> None:
    acme = tenants("acme")
    fleet(acme)
    hers = window(acme)
    hers.log_in("eve")
    hers.go('entities/?type=aircraft&where=[["seats","ge",250]]')
    page = hers.page
    page.get_by_role("link", name="Save search").click()
    page.get_by_label("Name").fill("Large ones")
    page.get_by_label("Shared with the tenant").check()
    page.get_by_label("Default of its type").check()
    hers.accessible()
    page.get_by_role("button", name="Save search").click()
    expect(page.get_by_role("status").first).to_contain_text("is saved")
    expect(page.locator(".at-saved-name")).to_have_text("Large ones")
    # Changed, and kept under the same name.
    page.get_by_role("combobox", name="Value", exact=True).fill("280")
    page.get_by_role("button", name="Apply filter").click()
    expect(page.locator(".at-saved-name")).to_contain_text("changed")
    page.get_by_role("link", name="Save changes").click()
    page.get_by_role("button", name="Save changes").click()
    expect(page.locator(".at-results tbody tr")).to_have_count(2)

    # A colleague finds it, and opens with it where he chooses its type; he may not change it.
    his = window(acme)
    his.log_in("bob")
    his.go("entities/")
    his.page.locator("summary", has_text="Saved").click()
    his.page.get_by_role("link", name="Large ones").click()
    expect(his.page.locator(".at-results tbody tr")).to_have_count(2)
    his.go("entities/?type=aircraft")
    expect(his.page.locator(".at-saved-name")).to_have_text("Large ones")
    his.go("entities/searches/")
    expect(his.page.get_by_role("link", name="Delete Large ones")).to_have_count(0)

    hers.go("entities/searches/")
    hers.accessible()
    page.get_by_role("link", name="Rename or share Large ones").click()
    page.get_by_label("Name").fill("Very large ones")
    page.get_by_role("button", name="Save changes").click()
    hers.go("entities/searches/")
    page.get_by_role("link", name="Delete Very large ones").click()
    page.get_by_role("button", name="Delete search").click()
    expect(page.get_by_text("No saved searches yet")).to_be_visible()


def test_a_result_is_exported_and_fetched(window: Open, tenants: Make, live_stack: Cluster, tmp_path: Path) -> None:
    acme = tenants("acme")
    fleet(acme)
    win = window(acme)
    win.log_in("bob")
    win.go('entities/?type=aircraft&where=[["maker","eq","Boeing"]]&column=seats')
    page = win.page
    page.get_by_role("link", name="Export", exact=True).click()
    expect(page.get_by_text("aircraft where maker is “Boeing”")).to_be_visible()
    win.accessible()
    page.get_by_role("button", name="Export").click()
    # The row is asked for again until the worker is done.
    link = page.get_by_role("link", name=re.compile("^Download aircraft-"))
    expect(link).to_be_visible()
    win.accessible()
    with page.expect_download() as download:
        link.click()
    path = tmp_path / "export.csv"
    download.value.save_as(path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["external_id"] for row in rows] == [f"N{n:02}" for n in range(1, 30, 2)]
    assert rows[-1]["seats"] == "290"


@pytest.mark.parametrize("who", ["editor", "platform"])
def test_many_are_edited_at_once_and_it_is_taken_back(
    window: Open, tenants: Make, platform_admin: str, live_stack: Cluster, who: str
) -> None:
    acme = tenants("acme")
    ids = fleet(acme)
    win, base = (window(acme), "") if who == "editor" else (window(), f"tenants/{acme.slug}/")
    win.log_in("eve" if who == "editor" else platform_admin)
    win.go(f"{base}entities/?sort=external_id")
    page = win.page
    expect(page.get_by_role("button", name="Edit selected")).to_be_disabled()
    page.get_by_label("Select N01").check()
    page.get_by_label("Select N02").check()
    page.get_by_role("button", name="Edit 2 selected").click()
    page.get_by_role("combobox", name="Attribute").fill("mak")
    page.get_by_role("option", name="maker").click()
    page.locator("[name=value_string]").first.fill("Boeing")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("1 of 2 entities would change.")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="N02")).to_contain_text("“Airbus”")
    win.accessible()
    page.get_by_role("button", name="Change 1 entity").click()
    expect(page.locator("dd").first).to_contain_text("done")

    # All that match, two attributes; then back, but for what was changed since.
    win.go(f'{base}entities/?where=[["maker","eq","Boeing"]]')
    page.locator("summary[aria-label=More]").click()
    page.get_by_role("link", name="Edit all that match").click()
    page.get_by_role("button", name="One more attribute").click()
    page.get_by_role("combobox", name="Attribute").nth(0).fill("status")
    page.locator("[name=value_string]").nth(0).fill("stored")
    page.get_by_label("Do").nth(1).select_option("remove")
    page.get_by_role("combobox", name="Attribute").nth(1).fill("seats")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("16 of 16 entities would change.")).to_be_visible()
    page.get_by_role("button", name="Change 16 entities").click()
    expect(page.locator("dd").first).to_contain_text("done")
    win.accessible()
    with tenant_bind(acme):
        services.attribute_put(
            tenant_id=acme.pk, entity_id=ids[1], name="status", value="sold", expected_versions=None,
            now=clock.now() + timedelta(seconds=1),
        )  # fmt: skip
    page.get_by_role("link", name="Undo").click()
    page.get_by_role("button", name="Undo the edit").click()
    expect(page.locator("dd").first).to_contain_text("done")
    expect(page.get_by_role("row").filter(has_text="N01")).to_contain_text("it is “sold” now")
    win.go(f'{base}entities/?where=[["seats","exists"],["status","missing"]]')
    expect(page.locator(".at-results-count")).to_contain_text("29")
    win.go(f"{base}entities/bulk/")
    win.accessible()
    expect(page.locator("tbody tr")).to_have_count(3)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_no_page_of_the_work_is_wider_than_a_phone_or_shuts_anybody_out(
    window: Open, tenants: Make, dark: bool
) -> None:
    acme = tenants("acme")
    [entity_id] = entities_write(
        acme, aircraft("N" * 300, **{"name " * 20: "word" * 40, "story": "x" * 5_000, "seats": 1})
    )
    entities_write(acme, *(aircraft(f"N{n:02}", seats=n, on=True) for n in range(30)))
    question = 'type=aircraft&where=[["seats","ge",1],{"any":[["on","eq",true],["story","prefix","x"]]}]'
    win = window(acme, phone=True, dark=dark)
    win.log_in("alice")
    for path in (
        f"entities/?{question}",
        "entities/?where=[[1]]",
        f"entities/searches/new/?{question}",
        "entities/searches/",
        f"entities/exports/new/?{question}",
        "entities/exports/",
        f"entities/bulk/new/?{question}",
        "entities/bulk/",
        f"entities/{entity_id}/",
        f"entities/{entity_id}/edit/",
        f"entities/{entity_id}/edit/?name=seats",
        f"entities/{entity_id}/delete/",
    ):
        win.go(path)
        assert win.page.evaluate("document.documentElement.scrollWidth") <= 390, path
        win.accessible()
