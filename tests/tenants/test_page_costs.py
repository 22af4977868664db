"""What every page asks of the database: no more where there is more, and never more than this."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from atlasco.lib import clock
from tenants.members.models import Role
from tenants.models import Tenant
from tenants.services import member_create
from tests.admin_client import PASSWORD, Browser, platform_browser, tenant_browser
from tests.browser.lived_in import lived_in, lived_on
from tests.browser.test_every_page import pages

# The page of a deletion counts what each store has of the tenant; no other asks more than 25.
MOST = 35


@pytest.fixture(autouse=True)
def _quick_passwords(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def costs(browser: Browser, paths: list[str]) -> dict[str, int]:
    """How many statements each page asks, on all connections; of those that answer 200."""
    found = {}
    for path in paths:
        captured = [CaptureQueriesContext(connection) for connection in connections.all()]
        for capture in captured:
            capture.__enter__()
        answer = browser.get(path)
        for capture in captured:
            capture.__exit__(None, None, None)
        if answer.status_code == 200:
            found[path] = sum(map(len, captured))
    return found


def test_no_page_asks_more_where_there_is_more(acme: Tenant) -> None:
    for username, role in (("alice", Role.ADMIN), ("bob", Role.VIEWER)):
        member_create(tenant=acme, username=username, password=PASSWORD, role=role, now=clock.now())
    inside = lived_in(acme)
    readers = [
        (platform_browser(), pages(inside, on_platform=True)[0]),
        (tenant_browser(acme), pages(inside, on_platform=False)[0]),
    ]
    for browser, paths in readers:
        costs(browser, paths)  # What a process learns once.
    before = [costs(browser, paths) for browser, paths in readers]
    lived_on(acme, times=4)
    after = [costs(browser, paths) for browser, paths in readers]
    for (browser, _), few, many in zip(readers, before, after, strict=True):
        assert len(few) > 40
        dearer = [path for path in few if path in many and many[path] > few[path] + 1]
        # What a process keeps for a while may have run out just then: what really asks more does so again.
        again = costs(browser, dearer)
        assert {path: (few[path], again[path]) for path in dearer if again[path] > few[path] + 1} == {}
        assert {path: number for path, number in many.items() if number > MOST} == {}
