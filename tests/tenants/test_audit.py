"""The audit log: who did what from where, in whose log it stands, and that nobody can change it afterwards."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import orjson
import psycopg
import pytest
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, ProgrammingError, connections, transaction

from atlasco.lib import clock
from entities.exports.jobs import export_job_cancel, export_job_create
from entities.indexing.jobs import index_request
from tenants.actors import Actor, ActorKind, Origin, Via, origin_bind, origin_dump, origin_load
from tenants.audit import AuditFilter, audit_actions, audit_page, audit_record
from tenants.binding import public_bind, tenant_bind
from tenants.members.models import Role, User
from tenants.models import AuditEntry, Tenant
from tenants.roles import RoleMissing
from tenants.services import (
    LastAdmin,
    member_change,
    member_create,
    tenant_delete,
    tenant_quotas_set,
    tenant_suspend,
    token_create,
)
from tests.admin_client import PASSWORD, Browser, host_browser, platform_browser, tenant_browser

EVERYTHING = AuditFilter()


@pytest.fixture(autouse=True)
def _quick_passwords(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def log_of(tenant: Tenant | None, wanted: AuditFilter = EVERYTHING) -> list[AuditEntry]:
    """Newest first."""
    with public_bind() if tenant is None else tenant_bind(tenant):
        return audit_page(wanted=wanted, before=None, limit=100)[0]


def test_an_entry_says_who_did_what_from_where_and_what_changed(acme: Tenant) -> None:
    origin = Origin(Via.WEB, lambda: Actor(ActorKind.MEMBER, "alice", Role.ADMIN), ip="192.0.2.7", request_id="abc123")
    before = {"status": "active", "note": "same", "at": clock.now()}
    with origin_bind(origin), tenant_bind(acme):
        audit_record(action="rule.change", subject="rule:ports", before=before, after={**before, "status": "off"})
    [entry] = log_of(acme, AuditFilter(action="rule."))
    assert (entry.actor_kind, entry.actor, entry.via, entry.ip) == ("member", "alice", "web", "192.0.2.7")
    assert (entry.action, entry.subject, entry.request_id) == ("rule.change", "rule:ports", "abc123")
    assert (entry.before, entry.after) == ({"status": "active"}, {"status": "off"})


def test_each_tenant_has_a_log_of_its_own_and_so_has_the_platform(acme: Tenant, globex: Tenant) -> None:
    for tenant, word in ((acme, "of-acme"), (globex, "of-globex")):
        with tenant_bind(tenant):
            audit_record(action=f"test.{word}", subject="x:y")
    assert [entry.action for entry in log_of(acme, AuditFilter(action="test."))] == ["test.of-acme"]
    assert [entry.action for entry in log_of(globex, AuditFilter(action="test."))] == ["test.of-globex"]
    assert log_of(None, AuditFilter(action="test.of")) == []
    # Also where a query forgets to say whose log it wants.
    with tenant_bind(acme):
        assert set(AuditEntry.objects.values_list("tenant_id", flat=True)) == {acme.pk}
        assert "test.of-globex" not in audit_actions()
    created = log_of(None, AuditFilter(action="tenant.create", subject=f"tenant:{acme.slug}"))
    assert len(created) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "update audit_log set actor = 'somebody else'",
        "delete from audit_log",
        "truncate audit_log",
        "insert into audit_log (actor_kind, actor, action, subject, via, at) values ('m', 'a', 'x', 's', 'w', now())",
        "insert into audit_log (actor_kind, actor, action, subject, via, tenant_id) values ('m', 'a', 'x', 's', '', 0)",
    ],
)
def test_the_application_can_neither_change_nor_remove_nor_backdate_an_entry(acme: Tenant, statement: str) -> None:
    with (
        pytest.raises(ProgrammingError, match="permission denied"),
        tenant_bind(acme),
        connections[DEFAULT_DB_ALIAS].cursor() as cursor,
    ):
        cursor.execute(statement)


def test_a_change_that_is_rolled_back_leaves_no_entry(acme: Tenant) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        token_create(tenant=acme, name="never was", now=clock.now())
        raise RuntimeError
    assert log_of(acme, AuditFilter(subject="token:never was")) == []


def test_long_values_are_cut_and_a_nul_is_left_out(acme: Tenant) -> None:
    with tenant_bind(acme):
        audit_record(action="test.long", subject="e:" + "n" * 5_000, after={"story": "x" * 100_000, "odd": "a\x00b"})
    [entry] = log_of(acme, AuditFilter(action="test.long"))
    assert entry.after is not None
    assert entry.after["odd"] == "ab"
    assert entry.after["story"].endswith("… (100000 characters)")


def test_a_tenants_log_goes_with_the_tenant_and_the_platform_keeps_its_own(acme: Tenant) -> None:
    token_create(tenant=acme, name="t", now=clock.now())
    report = tenant_delete(tenant=acme, confirm=acme.slug, now=clock.now())
    assert report["audit_entries"] == 1
    actions = [entry.action for entry in log_of(None, AuditFilter(subject=f"tenant:{acme.slug}"))]
    assert actions == ["tenant.deleted", "tenant.delete", "tenant.create"]


def test_a_living_tenants_log_can_not_be_erased_through_that_door(acme: Tenant) -> None:
    with (
        pytest.raises(ProgrammingError, match="not being deleted"),
        tenant_bind(acme),
        connections[DEFAULT_DB_ALIAS].cursor() as cursor,
    ):
        cursor.execute("select public.audit_log_erase(%s)", [acme.pk])


def test_the_owner_prunes_what_is_old_and_shows_it_first(
    acme: Tenant, owner: psycopg.Connection[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    with tenant_bind(acme):
        audit_record(action="test.old", subject="x:old")
        audit_record(action="test.new", subject="x:new")
    owner.execute("update audit_log set at = at - interval '400 days' where action = 'test.old'")
    call_command("audit_prune", keep_days=365)
    assert "Nothing was removed" in capsys.readouterr().out
    assert len(log_of(acme, AuditFilter(action="test."))) == 2
    call_command("audit_prune", keep_days=365, apply=True)
    assert [entry.action for entry in log_of(acme, AuditFilter(action="test."))] == ["test.new"]


def test_a_task_acts_in_the_name_of_whoever_started_it() -> None:
    origin = Origin(Via.WEB, lambda: Actor(ActorKind.MEMBER, "alice", Role.EDITOR), ip="192.0.2.7", request_id="abc")
    with origin_bind(origin):
        loaded = origin_load(origin_dump())
    assert (loaded.via, loaded.who().name, loaded.ip, loaded.request_id) == (Via.TASK, "alice", "192.0.2.7", "abc")
    assert origin_load(None).who().kind == ActorKind.SYSTEM


# --- Pages ------------------------------------------------------------------------------------------------------------


def test_what_an_admin_does_in_the_browser_is_in_the_log_and_on_its_page(acme: Tenant, globex: Tenant) -> None:
    admin = tenant_browser(acme)
    admin.post("tokens/new/", {"name": "nightly", "scopes": ["read"], "expires": "30"})
    admin.post("members/new/", {"username": "bob", "role": "editor"})
    html = admin.text("audit/", data={"subject": "token:"})
    assert "token.create" in html and "token:nightly" in html and "127.0.0.1" in html
    assert "member:bob" not in html
    assert "member:bob" in admin.text("audit/", data={"action": "member"})
    assert "member:bob" not in tenant_browser(globex).text("audit/")
    # The platform looks into a tenant's log; its own knows nothing of what happens inside.
    platform = platform_browser()
    assert "member:bob" in platform.text(f"tenants/{acme.slug}/audit/")
    own = platform.text("audit/", data={"subject": f"tenant:{acme.slug}"})
    assert "tenant.create" in own and "member:bob" not in own
    for strange in ({"before": "x"}, {"since": "31.12."}, {"until": "9999-12-31"}, {"actor": "\x00"}, {"before": "~"}):
        assert admin.get("audit/", strange).status_code == 200, strange


@pytest.fixture
def many(acme: Tenant) -> Tenant:
    with tenant_bind(acme):
        for number in range(120):
            audit_record(action="test.many", subject=f"x:{number:03}", after={"formula": "=1+1"})
    return acme


# Whose host it is, session, user, the entries, the actions.
def test_the_page_goes_on_where_the_last_one_ended_and_costs_the_same(
    many: Tenant, django_assert_max_num_queries: Any
) -> None:
    admin = tenant_browser(many)
    seen: list[str] = []
    query: dict[str, str] = {"action": "test.many"}
    while True:
        with django_assert_max_num_queries(6, connection=connections["default"]):
            response = admin.get("audit/", query)
        seen += [entry.subject for entry, _ in response.context["rows"]]
        following = response.context["next_query"]
        if not following:
            break
        query = dict(pair.split("=", 1) for pair in following.split("&"))
        query["before"] = query["before"].replace("%3A", ":").replace("%2B", "+")
    assert seen == [f"x:{number:03}" for number in reversed(range(120))]


def streamed(browser: Browser, query: dict[str, str]) -> bytes:
    response: Any = browser.get("audit/export/", query)
    return b"".join(response.streaming_content)


def test_the_log_is_exported_as_ndjson_and_as_csv_that_no_spreadsheet_runs(many: Tenant, globex: Tenant) -> None:
    admin = tenant_browser(many)
    body = streamed(admin, {"format": "ndjson", "action": "test.many"})
    lines = [orjson.loads(line) for line in body.splitlines()]
    assert len(lines) == 120
    assert lines[0]["subject"] == "x:119" and lines[0]["after"] == {"formula": "=1+1"}
    with tenant_bind(many):
        audit_record(action="test.many", subject="=cmd()")
    text = streamed(admin, {"action": "test.many"}).decode()
    assert "'=cmd()" in text and text.count("\n") == 122
    assert b"test.many" not in streamed(tenant_browser(globex), {})


# --- Roles ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR])
def test_only_admins_open_the_pages_about_people_tokens_and_the_log(acme: Tenant, role: Role) -> None:
    member = tenant_browser(acme, role=role)
    for path in ("members/", "members/new/", "tokens/", "tokens/new/", "audit/", "audit/export/"):
        assert member.get(path).status_code == 403, path
        assert member.post(path).status_code == 403, path
    assert member.get("entities/").status_code == 200
    assert "Audit log" not in member.text("")


def test_a_service_refuses_what_a_page_forgot_to_refuse(acme: Tenant) -> None:
    viewer = Origin(Via.WEB, lambda: Actor(ActorKind.MEMBER, "bob", Role.VIEWER))
    with origin_bind(viewer):
        with pytest.raises(RoleMissing):
            token_create(tenant=acme, name="n", now=clock.now())
        with pytest.raises(RoleMissing):
            member_create(tenant=acme, username="x", password=PASSWORD, role=Role.ADMIN, now=clock.now())
    # What concerns whole tenants is the platform's, whatever somebody is in one of them.
    admin = Origin(Via.WEB, lambda: Actor(ActorKind.MEMBER, "alice", Role.ADMIN))
    with origin_bind(admin):
        with pytest.raises(RoleMissing):
            tenant_suspend(tenant=acme, now=clock.now())
        with pytest.raises(RoleMissing):
            tenant_delete(tenant=acme, confirm=acme.slug, now=clock.now())
        with pytest.raises(RoleMissing):
            tenant_quotas_set(tenant=acme, quota_entities=None)
    editor = Origin(Via.WEB, lambda: Actor(ActorKind.MEMBER, "eve", Role.EDITOR))
    with origin_bind(editor), tenant_bind(acme), pytest.raises(RoleMissing):
        index_request(tenant_id=acme.pk, names=["a"], action="build", now=clock.now())
    stranger = Origin(Via.WEB, lambda: Actor(ActorKind.MEMBER, "nobody", None))
    with origin_bind(stranger), tenant_bind(acme):
        with pytest.raises(RoleMissing):
            export_job_create(
                tenant_id=acme.pk, query={}, columns=[], format="csv", rows_expected=None, created_by="nobody",
                now=clock.now(), enqueue=lambda job: None,
            )  # fmt: skip
        with pytest.raises(RoleMissing):
            export_job_cancel(tenant_id=acme.pk, job_id=uuid.uuid4(), now=clock.now())


def test_a_role_is_changed_at_once_and_the_change_is_recorded(acme: Tenant) -> None:
    admin = tenant_browser(acme)
    bob = member_create(tenant=acme, username="bob", password=PASSWORD, now=clock.now())
    browser = host_browser(acme)
    with tenant_bind(acme):
        browser.force_login(bob)
    assert browser.get("tokens/").status_code == 403
    admin.post(f"members/{bob.pk}/", {"role": "admin", "email": "bob@example.org", "active": "on"})
    assert browser.get("tokens/").status_code == 200
    [entry] = log_of(acme, AuditFilter(action="member.change"))
    assert (entry.before, entry.after) == (
        {"role": "viewer", "email": ""},
        {"role": "admin", "email": "bob@example.org"},
    )
    admin.post(f"members/{bob.pk}/", {"role": "admin"})
    assert browser.get("").status_code == 302


def test_the_last_admin_can_neither_be_demoted_nor_locked_out(acme: Tenant) -> None:
    only = member_create(tenant=acme, username="only", password=PASSWORD, role=Role.ADMIN, now=clock.now())
    for change in ({"role": "viewer", "active": True}, {"role": "admin", "active": False}):
        with pytest.raises(LastAdmin):
            member_change(tenant=acme, member_id=only.pk, email="", **change)  # type: ignore[arg-type]  # From a table.
    with tenant_bind(acme):
        assert User.objects.get(pk=only.pk).role == Role.ADMIN


def test_old_entries_are_found_by_the_day(acme: Tenant, owner: psycopg.Connection[tuple[Any, ...]]) -> None:
    with tenant_bind(acme):
        audit_record(action="test.day", subject="x:y")
    now = clock.now()
    assert len(log_of(acme, AuditFilter(since=now - timedelta(days=1), until=now + timedelta(days=1)))) == 1
    assert log_of(acme, AuditFilter(until=now - timedelta(days=1))) == []
