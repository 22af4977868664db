"""Alert rules and firings over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from analytics.alerts.services import rule_create, rule_parse
from analytics.feed.run import Feed
from atlasco.lib import clock
from tenants.audit import AuditFilter, audit_page
from tenants.binding import tenant_bind
from tenants.models import AuditEntry, Tenant
from tenants.notices.channels import webhook_secret
from tenants.services import token_create
from tests.analytics.alerting import dsn, feed, settle
from tests.analytics.feeding import write
from tests.api.client import Client
from tests.waiting import wait_until

__all__ = ["dsn", "feed"]

HOT: dict[str, Any] = {"name": "Hot", "attribute": "heat", "operator": "gt", "threshold": 30}


def client_of(tenant: Tenant, web_url: str, *scopes: str) -> Client:
    token = token_create(
        tenant=tenant, name="ann", scopes=scopes or ("read", "write"), expires_at=None, now=clock.now()
    )
    return Client(web_url, tenant, token[1])


@pytest.fixture
def ours(acme: Tenant, web_url: str) -> Client:
    return client_of(acme, web_url)


@pytest.fixture
def theirs(globex: Tenant, web_url: str) -> Client:
    return client_of(globex, web_url)


def log_of(tenant: Tenant) -> list[AuditEntry]:
    """What the audit log says of alerts, newest first."""
    with tenant_bind(tenant):
        return audit_page(wanted=AuditFilter(action="alert"), before=None, limit=100)[0]


def test_a_rule_is_made_changed_and_removed_by_its_own_tenant_and_the_log_says_so(
    ours: Client, theirs: Client, acme: Tenant, globex: Tenant
) -> None:
    made = ours.post("/alerts/rules/", {**HOT, "clear_threshold": 28, "webhook_url": "https://hooks.example/x"})
    assert made.status == 201 and made.header("X-Consistency-Token")
    secret = made.body["webhook_secret"]
    assert secret.startswith("whsec_") and secret != webhook_secret(nonce="")
    path = f"/alerts/rules/{made.body['rule_id']}/"
    kept = ours.get(path).body
    assert "webhook_secret" not in kept and kept["clear_threshold"] == 28 and kept["for_samples"] == 1
    assert ours.get("/alerts/rules/").body["rules"] == [kept]

    assert theirs.get("/alerts/rules/").body["rules"] == []
    assert theirs.get(path).code == theirs.ask("PATCH", path, {"name": "x"}).code == "alert_rule_unknown"
    assert theirs.ask("DELETE", path).status == 404

    changed = ours.ask("PATCH", path, {"threshold": 35, "emails": ["ops@example.com"]})
    assert (changed.status, changed.body["threshold"], changed.body["name"]) == (200, 35, "Hot")
    assert "webhook_secret" not in changed.body
    other = ours.ask("PATCH", path, {"webhook_url": "https://hooks.example/y"}).body["webhook_secret"]
    assert other != secret
    assert ours.ask("PATCH", path, {"name": "Hot"}).status == 200
    assert ours.ask("DELETE", path).status == 204
    assert ours.get(path).status == 404

    deleted, redirected, warmed, created = log_of(acme)
    assert {entry.subject for entry in log_of(acme)} == {"alert_rule:Hot"} and log_of(globex) == []
    assert created.action == "alert_rule.create" and created.actor == "ann" and created.after is not None
    assert (created.after["threshold"], created.after["webhook_url"]) == (30, "https://hooks.example/x")
    assert (warmed.action, warmed.before) == ("alert_rule.change", {"threshold": 30, "emails": []})
    assert warmed.after == {"threshold": 35, "emails": ["ops@example.com"]}
    assert redirected.after == {"webhook_url": "https://hooks.example/y"}
    assert deleted.action == "alert_rule.delete" and deleted.before is not None and deleted.before["threshold"] == 35


def test_a_rule_that_is_rolled_back_leaves_no_entry_in_the_log(acme: Tenant, globex: Tenant) -> None:
    wanted = rule_parse(HOT)
    with tenant_bind(acme), pytest.raises(RuntimeError), transaction.atomic():
        rule_create(tenant_id=acme.pk, rule=wanted, now=clock.now())
        raise RuntimeError
    assert log_of(acme) == log_of(globex) == []


def test_firings_are_listed_page_by_page_and_acknowledged(
    feed: Feed, dsn: str, acme: Tenant, globex: Tenant, ours: Client, theirs: Client
) -> None:
    rule = ours.post("/alerts/rules/", HOT).body
    theirs.post("/alerts/rules/", HOT)
    for n in range(3):
        write(acme, f"s-{n}", heat=40 + n)
    write(acme, "s-0", heat=1)
    write(globex, "secret", heat=99)
    settle(feed, dsn)
    first = ours.get("/alerts/firings/", params={"limit": 2})
    assert [found["external_id"] for found in first.body["firings"]] == ["s-2", "s-1"]
    # The web process beats; everything before a beat that the feed has seen is tested.
    assert wait_until(lambda: ours.get("/alerts/firings/").body["metadata"]["evaluated_at"]).endswith("Z")
    rest = ours.get("/alerts/firings/", params={"limit": 2, "cursor": first.body["next_cursor"]}).body
    assert [found["external_id"] for found in rest["firings"]] == ["s-0"] and rest["next_cursor"] is None
    assert ours.get("/alerts/firings/", params={"state": "open", "cursor": first.body["next_cursor"]}).code == (
        "invalid_cursor"
    )
    assert len(ours.get("/alerts/firings/", params={"state": "open"}).body["firings"]) == 2
    assert ours.get("/alerts/firings/", params={"rule_id": int(rule["rule_id"]) + 10**6}).body["firings"] == []
    assert ours.get(f"/alerts/rules/{rule['rule_id']}/").body["open_firings"] == 2

    path = f"/alerts/firings/{first.body['firings'][0]['firing_id']}/acknowledge/"
    assert theirs.post(path).code == "firing_unknown"
    seen = ours.post(path).body
    assert seen["acknowledged_at"] and "ann" in seen["acknowledged_by"]
    waiting = ours.get("/alerts/firings/", params={"state": "unacknowledged"}).body["firings"]
    assert [found["external_id"] for found in waiting] == ["s-1", "s-0"]
    assert [found["external_id"] for found in theirs.get("/alerts/firings/").body["firings"]] == ["secret"]
    assert ours.post(path).body == seen
    [entry] = [entry for entry in log_of(acme) if entry.action == "alert.acknowledge"]
    assert (entry.subject, entry.after and entry.after["external_id"]) == ("alert_rule:Hot", "s-2")


def test_scopes_and_mistakes_are_told_apart(acme: Tenant, web_url: str, ours: Client) -> None:
    reader = client_of(acme, web_url, "read")
    assert reader.post("/alerts/rules/", HOT).status == 403
    assert reader.get("/alerts/rules/").status == 200
    refused = ours.post("/alerts/rules/", {**HOT, "threshold": "hot", "color": 1})
    assert (refused.status, refused.code) == (400, "invalid_alert_rule")
    assert refused.faults == [("color", "unknown_field"), ("threshold", "invalid_value")]
    assert ours.get("/alerts/firings/", params={"state": "burning"}).code == "invalid_parameter"
    assert reader.post("/alerts/rules/preview/", HOT).body == {
        "firings": 0, "samples": 0, "entities": 0, "is_whole": True,
    }  # fmt: skip
