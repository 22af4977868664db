"""Exports of the analytics pages: all in one file, or a file that says that it is not all."""

from __future__ import annotations

import csv
from typing import Any

import pytest

from analytics.admin import rollups
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
        rows = csv.DictReader(answer.content.decode().splitlines())
        return answer["Content-Disposition"], [row["attribute"] for row in rows]

    assert exported() == (f'attachment; filename="{acme.slug}-distribution.csv"', ["a", "b", "c"])
    monkeypatch.setattr(rollups, "EXPORT_GROUPS_MAX", 2)
    assert exported() == (f'attachment; filename="{acme.slug}-distribution-first-2.csv"', ["a", "b"])
