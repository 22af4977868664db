"""Exports of the analytics pages: all in one file, or a file that says that it is not all."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from pyarrow import parquet

from analytics.admin.rollups import export
from tenants.members.models import Role
from tenants.models import Tenant
from tests.admin_client import tenant_browser
from tests.analytics.feeding import write


@pytest.fixture(autouse=True)
def _quick_passwords(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def test_a_file_that_was_cut_says_so_in_its_name(
    acme: Tenant, globex: Tenant, web_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(acme, "one", a=1, b=2, c="x")
    write(globex, "one", secret=1)
    browser = tenant_browser(acme, role=Role.VIEWER)

    def exported() -> tuple[str, list[str]]:
        answer = browser.get("analytics/export/?kind=distribution")
        assert answer.status_code == 200
        rows = csv.DictReader(answer.getvalue().decode().splitlines())
        return answer["Content-Disposition"], [row["attribute"] for row in rows]

    assert exported() == (f'attachment; filename="{acme.slug}-distribution.csv"', ["a", "b", "c"])
    monkeypatch.setattr(export, "EXPORT_GROUPS_MAX", 2)
    assert exported() == (f'attachment; filename="{acme.slug}-distribution-first-2.csv"', ["a", "b"])


def test_a_file_runs_nothing_and_keeps_its_numbers(acme: Tenant, globex: Tenant, web_url: str) -> None:
    write(acme, "one", **{"=cmd()": "@SUM(A1)"})
    write(acme, "two", **{"=cmd()": -5})
    write(globex, "one", **{"=cmd()": "secret"})
    browser = tenant_browser(acme, role=Role.VIEWER)
    answer = browser.get("analytics/export/?kind=values&attribute=%3Dcmd()&type=thing")
    rows = list(csv.DictReader(answer.getvalue().decode().splitlines()))
    assert {row["value"] for row in rows} == {"'@SUM(A1)", "-5"}
    assert {row["attribute"] for row in rows} == {"'=cmd()"}


def test_a_parquet_file_has_the_same_columns_and_types_for_anybody(acme: Tenant, globex: Tenant, web_url: str) -> None:
    write(acme, "one", a=1, b="x")
    write(globex, "one", secret=1)
    browser = tenant_browser(acme, role=Role.VIEWER)
    answer = browser.get("analytics/export/?kind=distribution&format=parquet")
    table = parquet.read_table(io.BytesIO(answer.getvalue()))
    assert table.column("attribute").to_pylist() == ["a", "b"]
    assert table.column("median").to_pylist() == [1.0, None]
    assert str(table.schema.field("values").type) == "int64"
