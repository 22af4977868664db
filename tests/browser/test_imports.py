"""A file on its way in: dropped, mapped, checked, imported; and what was left out, mended."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import expect

from tenants.models import Tenant
from tests.browser.conftest import Window
from tests.cluster import Cluster

Open = Callable[..., Window]
Make = Callable[[str], Tenant]
FLEET = b"Tail;Seats;Code;Seen\nN1;149;007;2026-01-31 12:00\nN2;many;008;2026-02-01 10:00\nN3;;009;\n"


@pytest.fixture(autouse=True)
def _a_worker_runs(live_stack: Cluster) -> None:
    """Imports are done by it."""


def test_a_csv_file_is_mapped_checked_and_imported(window: Open, tenants: Make) -> None:
    acme, globex = tenants("acme"), tenants("globex")
    win = window(acme)
    win.log_in("alice")
    page = win.page
    page.get_by_role("link", name="Imports").first.click()
    expect(page.get_by_text("No imports yet")).to_be_visible()
    page.get_by_label("Drop a file here, or choose one").set_input_files(
        {"name": "aircraft.csv", "mimeType": "text/csv", "buffer": FLEET}
    )
    expect(page.get_by_role("heading", level=1)).to_have_text("aircraft.csv")
    # What was guessed, and what the preview makes of it.
    expect(page.get_by_label("Entity type unless a column holds it")).to_have_value("aircraft")
    expect(page.get_by_label("Tail is", exact=True)).to_have_value("external_id")
    expect(page.get_by_label("Seats is stored as")).to_have_value("string")
    page.get_by_label("Seats is stored as").select_option("number")
    page.get_by_label("Name of Seats").fill("seats")
    page.get_by_label("Code is", exact=True).select_option("Leave out")
    preview = page.get_by_role("region", name="Preview")
    expect(preview.get_by_text("“many” is not a number.")).to_be_visible()
    expect(preview.get_by_role("columnheader", name="seats")).to_be_visible()
    expect(preview.get_by_role("columnheader", name="Code")).to_have_count(0)
    win.accessible()
    page.get_by_role("button", name="Check every line").click()
    expect(page.get_by_text("Checked, not imported")).to_be_visible()
    win.accessible()
    expect(page.locator(".at-tile").filter(has_text="Would be created")).to_contain_text("2")
    errors = page.get_by_role("region", name="Lines that were left out")
    expect(errors.get_by_role("row").filter(has_text="Seats")).to_contain_text("is not a number")
    win.go("entities/")
    expect(page.get_by_text("No entities yet")).to_be_visible()
    win.go("imports/")
    page.get_by_role("link", name="aircraft.csv").click()
    page.get_by_role("button", name="Import now").click()
    expect(page.get_by_text("Imported", exact=True)).to_be_visible()
    expect(page.locator(".at-tile").filter(has_text="Left out")).to_contain_text("1")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as CSV").click()
    rows = list(csv.reader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))
    assert rows[1] == ["3", "Seats", "“many” is not a number.", "N2", "many", "008", "2026-02-01 10:00"]
    page.get_by_role("link", name="Look at the entities").click()
    expect(page.get_by_role("link", name="N1")).to_be_visible()
    expect(page.get_by_role("link", name="N2")).to_have_count(0)

    theirs = window(globex)
    theirs.log_in("alice")
    theirs.go("imports/")
    expect(theirs.page.get_by_text("No imports yet")).to_be_visible()
    theirs.refusals_expected = True
    job_path = next(path for path in download.value.url.split("/admin/")[1:]).rpartition("/")[0]
    assert theirs.go(f"{job_path}/").status == 404
    assert theirs.go(f"{job_path}/left-out.csv").status == 404


def test_a_platform_admin_imports_parquet_for_a_tenant_and_drops_another_file(
    window: Open, tenants: Make, platform_admin: str
) -> None:
    acme = tenants("acme")
    buffer = io.BytesIO()
    pq.write_table(pa.table({"id": ["a", "b"], "ports": [48, None], "up": [True, False]}), buffer)
    win = window()
    win.log_in(platform_admin)
    page = win.page
    win.go(f"tenants/{acme.slug}/imports/")
    page.get_by_label("Drop a file here, or choose one").set_input_files(
        {"name": "switch.parquet", "mimeType": "application/octet-stream", "buffer": buffer.getvalue()}
    )
    page.get_by_role("button", name="Import without checking").click()
    expect(page.get_by_text("Imported", exact=True)).to_be_visible()
    expect(page.locator(".at-tile").filter(has_text="Created")).to_contain_text("2")
    # Dropped from the desktop, gzipped, and thrown away again.
    win.go(f"tenants/{acme.slug}/imports/")
    body = list(gzip.compress(b'{"entity_type":"switch","external_id":"c","attributes":{}}\n'))
    transfer = page.evaluate_handle(
        "bytes => { const dropped = new DataTransfer();"
        " dropped.items.add(new File([new Uint8Array(bytes)], 'more.ndjson.gz')); return dropped }",
        body,
    )
    page.dispatch_event("[data-drop]", "drop", {"dataTransfer": transfer})
    expect(page.get_by_role("heading", level=1)).to_have_text("more.ndjson.gz")
    page.get_by_role("link", name="Throw away").click()
    page.get_by_role("button", name="Throw away").click()
    expect(page.get_by_role("row").filter(has_text="more.ndjson.gz")).to_contain_text("Cancelled")


def test_a_viewer_sees_imports_and_can_send_none(window: Open, tenants: Make) -> None:
    acme = tenants("acme")
    win = window(acme, phone=True, dark=True)
    win.log_in("bob")
    win.go("imports/")
    expect(win.page.get_by_text("Your role can view data but not change it.")).to_be_visible()
    expect(win.page.get_by_label("Drop a file here, or choose one")).to_have_count(0)
    assert win.page.evaluate("document.documentElement.scrollWidth") <= 390
