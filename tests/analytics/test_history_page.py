"""The page of an entity's history: what the feed has brought to ClickHouse, by whom, and what it says without it."""

from __future__ import annotations

from typing import Any

import pytest

from atlasco.lib import clock
from entities.editing import value_digest
from entities.history import HistoryUnavailable, state_at
from tenants.binding import tenant_bind
from tenants.members.models import Role
from tenants.models import Tenant
from tests.admin_client import tenant_browser
from tests.analytics.live_feed import live_feed
from tests.browser.data import aircraft, entities_write
from tests.cluster import Cluster
from tests.waiting import wait_until

__all__ = ["live_feed"]


@pytest.fixture(autouse=True)
def _quick_passwords(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def test_every_change_is_told_with_who_made_it_and_without_clickhouse_the_page_says_so(
    live_feed: Cluster, acme: Tenant, globex: Tenant
) -> None:
    browser = tenant_browser(acme, role=Role.EDITOR)
    [entity_id] = entities_write(acme, aircraft("N1", seats=149, note="old"))
    entities_write(globex, aircraft("N1", secret_of_globex=1))
    form = {"name": "seats", "type": "number", "value_number": "150", "seen": value_digest(149)}
    assert browser.post(f"entities/{entity_id}/edit/", form).status_code == 302
    page = f"entities/{entity_id}/history/"

    def told() -> list[tuple[str, str | None, str | None]]:
        rows = browser.get(page).context["rows"]
        return [(row["change"].name, row["text"], row["edit"].actor if row["edit"] else None) for row in rows]

    wait_until(lambda: len(told()) == 3)
    [last, *first] = told()
    assert last[:2] == ("seats", "150")
    assert (last[2] or "").startswith("member-")
    assert sorted(first) == [("note", "“old”", None), ("seats", "149", None)]
    html = browser.text(page, data={"name": "seats"})
    assert "149" in html
    assert "old" not in html.partition("<main")[2]
    assert "secret_of_globex" not in browser.text(page)
    assert tenant_browser(globex).get(page).status_code == 404

    # One that is gone keeps its history.
    assert browser.post(f"entities/{entity_id}/delete/").status_code == 302
    wait_until(lambda: None in [text for _, text, _ in told()])
    assert "This entity is gone" in browser.text(page)

    [entity_id] = entities_write(acme, aircraft("N2", seats=1))
    live_feed.ask("kill", name="clickhouse")
    try:
        html = browser.text(f"entities/{entity_id}/history/")
        assert "can’t be read now" in html
        assert browser.get(f"entities/{entity_id}/").status_code == 200
        # The databases answer: it is history that is away.
        with tenant_bind(acme), pytest.raises(HistoryUnavailable):
            state_at(tenant_id=acme.pk, at=clock.now())
    finally:
        live_feed.ask("start", name="clickhouse")
