"""What a platform admin does with a whole tenant, what each may have and ask for, and acting as one."""

from __future__ import annotations

import gzip
import re
import secrets
from datetime import timedelta
from typing import Any

import orjson
import psycopg
import pytest
import redis
from django.conf import settings
from django.db import OperationalError, connections

from analytics.stores import StoreUnavailable
from atlasco.lib import clock
from tenants import quotas, traffic
from tenants.audit import AuditFilter, audit_page
from tenants.binding import public_bind, tenant_bind
from tenants.database.locks import advisory_lock
from tenants.members.models import Role, User
from tenants.models import Tenant, TenantJob
from tenants.selectors import tenant_get, tenants_page
from tenants.services import jobs, platform_admin_ensure, tenant_delete, tenant_quotas_set, token_create
from tenants.services.jobs import JobUnderWay, export_path, job_get, job_run, job_start, jobs_expire, jobs_resume
from tests.admin_client import PASSWORD, Browser, host_browser, platform_browser, tenant_browser
from tests.browser.data import aircraft, entities_write


@pytest.fixture(autouse=True)
def _quick_passwords(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def platform() -> Browser:
    return platform_browser()


def actions_of(tenant: Tenant | None, action: str = "") -> list[tuple[str, str, str]]:
    with public_bind() if tenant is None else tenant_bind(tenant):
        entries, _ = audit_page(wanted=AuditFilter(action=action), before=None, limit=50)
        return [(entry.action, entry.actor_kind, entry.actor) for entry in entries]


def test_quotas_and_jobs_wait_for_no_write_that_is_under_way(acme: Tenant, owner_db: psycopg.Connection[Any]) -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute("SET lock_timeout = '3s'")
    with owner_db.transaction():
        owner_db.execute("SELECT FROM tenants_tenant WHERE id = %s FOR KEY SHARE", [acme.pk])  # As every write does.
        assert tenant_quotas_set(tenant=acme, quota_entities=7).quota_entities == 7
        assert job_start(tenant=acme, kind=TenantJob.Kind.EXPORT, now=clock.now()).tenant_id == acme.pk


# --- Jobs -------------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def own_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs are run by the test itself: the worker that other tests have started must not be first."""
    monkeypatch.setattr(jobs, "_send", lambda job: None)


def test_a_tenant_is_exported_by_a_worker_and_downloaded(acme: Tenant, globex: Tenant, platform: Browser) -> None:
    entities_write(acme, aircraft("N1", seats=1), aircraft("N2", seats=2))
    entities_write(globex, aircraft("G1", owner="globex"))
    assert "one NDJSON file" in platform.text(f"tenants/{acme.slug}/export/")
    page = platform.post(f"tenants/{acme.slug}/export/").headers["Location"]
    job = TenantJob.objects.filter(tenant_id=acme.pk).latest("id")
    assert "Waiting for a worker" in platform.text(page)
    with pytest.raises(JobUnderWay):
        job_start(tenant=acme, kind=TenantJob.Kind.EXPORT, now=clock.now())
    assert job_run(job_id=job.pk, now=clock.now())
    assert not job_run(job_id=job.pk, now=clock.now())
    html = platform.text(page)
    assert "The export is ready." in html and "admin-of-tests" in html
    response: Any = platform.get(f"{page}download/")
    lines = [orjson.loads(line) for line in gzip.decompress(b"".join(response.streaming_content)).splitlines()]
    assert {line["record"] for line in lines} >= {"tenant", "entities"}
    assert b"globex" not in orjson.dumps(lines)
    assert tenant_browser(acme).get(f"{page}download/").status_code == 404
    assert jobs_expire(now=clock.now() + timedelta(days=8)) >= 1
    assert platform.get(f"{page}download/").status_code == 404
    assert "The file is gone" in platform.text(page)


def test_a_tenant_is_deleted_only_when_its_name_is_typed_and_the_report_stays(acme: Tenant, platform: Browser) -> None:
    entities_write(acme, aircraft("N1", seats=1))
    assert "What will be removed" in platform.text(f"tenants/{acme.slug}/delete/")
    wrong = platform.post(f"tenants/{acme.slug}/delete/", {"confirm": "acme"})
    assert "confirm" in wrong.context["form"].errors
    assert tenant_get(slug=acme.slug).is_active
    page = platform.post(f"tenants/{acme.slug}/delete/", {"confirm": acme.slug}).headers["Location"]
    assert job_run(job_id=TenantJob.objects.get(tenant_id=acme.pk).pk, now=clock.now())
    html = platform.text(page)
    assert "The tenant is deleted." in html and "Entities" in html
    assert not Tenant.objects.filter(pk=acme.pk).exists()
    assert ("tenant.delete_start", "platform admin", "admin-of-tests") in actions_of(None, "tenant.delete_start")


def test_a_job_whose_message_was_lost_is_sent_again_and_one_that_failed_says_why(acme: Tenant) -> None:
    job = job_start(tenant=acme, kind=TenantJob.Kind.EXPORT, now=clock.now() - timedelta(hours=1))
    assert jobs_resume(now=clock.now()) >= 1
    path = export_path(job)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".part").mkdir()
    try:
        with pytest.raises(IsADirectoryError):
            job_run(job_id=job.pk, now=clock.now())
    finally:
        path.with_suffix(".part").rmdir()
    job.refresh_from_db()
    assert (job.status, job.detail) == ("failed", "IsADirectoryError. The worker's log says more.")
    assert f"An export of {acme.slug} failed." in platform_browser().text("load/")


# --- Rename, domain, list ---------------------------------------------------------------------------------------------


def test_a_tenant_is_renamed_and_answers_on_its_new_host(acme: Tenant, globex: Tenant, platform: Browser) -> None:
    slug = f"renamed-{secrets.token_hex(3)}"
    path = f"tenants/{acme.slug}/rename/"
    assert "exists" in str(platform.post(path, {"name": "A", "slug": globex.slug}).context["form"].errors["slug"])
    response = platform.post(path, {"name": "Acme & Sons", "slug": slug})
    assert response.headers["Location"] == f"/admin/tenants/{slug}/"
    renamed = tenant_get(slug=slug)
    assert (renamed.pk, renamed.name) == (acme.pk, "Acme & Sons")
    assert host_browser(renamed).get("login/").status_code == 200
    assert host_browser(acme).get("login/").status_code == 404


def test_a_further_host_name_must_be_one_that_is_let_in(platform: Browser, settings: Any) -> None:
    slug = f"hosted-{secrets.token_hex(3)}"
    form = {"slug": slug, "domain": "assets.acme.example"}
    assert "ATLASCO_ALLOWED_HOSTS" in str(platform.post("tenants/-/new/", form).context["form"].errors["domain"])
    settings.ALLOWED_HOSTS = [*settings.ALLOWED_HOSTS, ".acme.example"]
    assert platform.post("tenants/-/new/", form).status_code == 302
    tenant = tenant_get(slug=slug)
    try:
        assert f"Log in to {tenant.name}" in Browser("assets.acme.example").text("login/")
    finally:
        tenant_delete(tenant=tenant, confirm=slug, now=clock.now())


def test_the_list_is_sorted(acme: Tenant, globex: Tenant, platform: Browser) -> None:
    page = tenants_page(sort="newest", number=1, size=2)
    assert [tenant.pk for tenant in page.tenants] == [globex.pk, acme.pk]
    html = platform.text("tenants/", data={"sort": "newest"})
    assert html.index(globex.slug) < html.index(acme.slug)
    assert platform.get("tenants/", {"sort": "'"}).status_code == 200


@pytest.mark.parametrize(
    ("age", "status"), [(timedelta(hours=1), TenantJob.Status.RUNNING), (timedelta(days=2), TenantJob.Status.FAILED)]
)
def test_a_job_whose_server_goes_away_waits_for_it_but_not_for_ever(
    acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch, age: timedelta, status: TenantJob.Status
) -> None:
    def goes_away(**_: object) -> None:
        raise OperationalError("the server went away")

    other = job_start(tenant=globex, kind=TenantJob.Kind.EXPORT, now=clock.now())
    job = job_start(tenant=acme, kind=TenantJob.Kind.EXPORT, now=clock.now() - age)
    with monkeypatch.context() as patched, pytest.raises(OperationalError, match="went away"):
        patched.setattr(jobs, "tenant_contents", goes_away)
        job_run(job_id=job.pk, now=clock.now())
    assert job_get(job_id=job.pk).status == status
    assert job_get(job_id=other.pk).status == TenantJob.Status.QUEUED
    assert job_run(job_id=job.pk, now=clock.now()) == (status == TenantJob.Status.RUNNING)


def test_a_job_that_waits_for_a_store_says_so(
    acme: Tenant, globex: Tenant, platform: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_away(**_: object) -> None:
        raise StoreUnavailable

    job_start(tenant=globex, kind=TenantJob.Kind.EXPORT, now=clock.now())
    page = platform.post(f"tenants/{acme.slug}/export/").headers["Location"]
    job = TenantJob.objects.get(tenant_id=acme.pk)
    with monkeypatch.context() as patched, pytest.raises(StoreUnavailable):
        patched.setattr(jobs, "tenant_contents", is_away)
        job_run(job_id=job.pk, now=clock.now())
    assert "does not answer" in platform.text(page) and "It is tried again." in platform.text(page)
    assert job_run(job_id=job.pk, now=clock.now())
    html = platform.text(page)
    assert "The export is ready." in html and "does not answer" not in html


def test_losing_the_connection_under_a_lock_hides_nothing(acme: Tenant, globex: Tenant) -> None:
    with (
        pytest.raises(RuntimeError, match="the cause"),
        advisory_lock(f"test.{acme.pk}") as is_ours,
        advisory_lock(f"test.{globex.pk}") as is_ours_too,
    ):
        assert is_ours and is_ours_too
        with psycopg.connect(settings.DATABASE_URL) as other:
            row = other.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [f"test.{acme.pk}"]).fetchone()
            assert row == (False,)
        connections["default"].close()
        raise RuntimeError("the cause")
    with advisory_lock(f"test.{acme.pk}", wait=True) as is_ours:
        assert is_ours


# --- Quotas and traffic -----------------------------------------------------------------------------------------------


def call(tenant: Tenant, method: str, path: str, **options: Any) -> Any:
    _, secret = token_create(tenant=tenant, name="quota", now=clock.now())
    browser = host_browser(tenant)
    headers = {"Authorization": f"Bearer {secret}"}
    return getattr(browser, method)(f"/api/v1/{path}", headers=headers, content_type="application/json", **options)


def test_too_many_requests_are_429_with_the_time_to_wait_and_others_are_not_touched(
    acme: Tenant, globex: Tenant, platform: Browser
) -> None:
    response = platform.post(f"tenants/{acme.slug}/quotas/", {"quota_requests_per_s": "1"})
    assert response.status_code == 302
    answers = [call(acme, "get", "entities/?limit=1") for _ in range(6)]
    codes = [answer.status_code for answer in answers]
    assert codes[:2] == [200, 200] and 429 in codes
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert 1 <= int(refused.headers["Retry-After"]) <= 2
    assert refused.json()["code"] == "rate_limited" and refused.json()["limit"] == 1
    assert call(globex, "get", "entities/?limit=1").status_code == 200
    # A token that was made up takes nothing from the bucket.
    bad = host_browser(acme).get("/api/v1/entities/", headers={"Authorization": "Bearer atl_1_wrong"})
    assert bad.status_code == 401
    assert ("tenant.quotas", "platform admin", "admin-of-tests") in actions_of(acme, "tenant.quotas")


def test_a_valkey_that_hangs_is_waited_for_once_and_then_left_alone(
    acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for tenant in (acme, globex):
        tenant_quotas_set(tenant=tenant, quota_requests_per_s=1)
        tenant.refresh_from_db()
    asked: list[object] = []

    def hangs(**values: object) -> None:
        asked.append(values)
        raise redis.TimeoutError

    monkeypatch.setattr(quotas, "_take", lambda: hangs)
    try:
        for _ in range(3):
            for tenant in (acme, globex):
                quotas.rate_require(tenant=tenant)
    finally:
        quotas._valkey.end()
    assert len(asked) == 1
    assert len([record for record in caplog.records if "nobody is held back" in record.message]) == 1


def test_a_full_tenant_may_read_and_delete_but_not_add(acme: Tenant) -> None:
    [entity_id] = entities_write(acme, aircraft("N1", seats=1))
    tenant_quotas_set(tenant=acme, quota_entities=1)
    line = {"entity_type": "aircraft", "external_id": "N2", "attributes": {"seats": 2}}
    refused = call(acme, "post", "entities/", data=line)
    assert (refused.status_code, refused.json()["code"]) == (403, "quota_exceeded")
    assert (refused.json()["limit"], refused.json()["used"]) == (1, 1)
    assert call(acme, "post", "entities/search/", data={}).status_code == 200
    assert call(acme, "patch", f"entities/{entity_id}/", data={"attributes": {"seats": 3}}).status_code == 200
    assert call(acme, "delete", f"entities/{entity_id}/").status_code == 204
    quotas.usage_forget()
    assert call(acme, "post", "entities/", data=line).status_code == 201


def test_a_quota_that_is_none_is_refused_at_its_field(acme: Tenant, platform: Browser) -> None:
    path = f"tenants/{acme.slug}/quotas/"
    for wrong in ({"quota_entities": "-1"}, {"quota_requests_per_s": "0"}, {"quota_attributes": str(2**40)}):
        assert set(platform.post(path, wrong).context["form"].errors) == set(wrong)
    assert platform.post(path, {}).status_code == 302


def test_calls_are_counted_and_shown_to_their_tenant_only(acme: Tenant, globex: Tenant, platform: Browser) -> None:
    tenant_quotas_set(tenant=acme, quota_entities=10)
    for _ in range(3):
        call(acme, "get", "entities/?limit=1")
    call(acme, "post", "entities/", data={"entity_type": "a", "external_id": "1", "attributes": {"x": 1}})
    traffic.traffic_flush()
    html = tenant_browser(acme, role=Role.VIEWER).text("usage/")
    assert "4 calls; at most" in html and "of 10" in html
    assert "No calls in this time" in tenant_browser(globex).text("usage/")
    assert "<rect" in platform.text(f"tenants/{acme.slug}/usage/", data={"span": "month"})
    with tenant_bind(globex), connections["default"].cursor() as cursor:
        cursor.execute("select count(*) from tenant_traffic")
        assert cursor.fetchone() == (0,)
    assert traffic.traffic_expire(now=clock.now() + timedelta(days=91)) >= 1


def counts_of(tenant: Tenant) -> tuple[int, int]:
    """Calls and writes that are kept."""
    with tenant_bind(tenant), connections["default"].cursor() as cursor:
        cursor.execute("select coalesce(sum(requests), 0), coalesce(sum(writes), 0) from tenant_traffic")
        calls, writes = cursor.fetchone()
    return int(calls), int(writes)


def test_a_post_that_only_reads_is_no_write(acme: Tenant, globex: Tenant) -> None:
    call(acme, "post", "entities/search/", data={})
    call(acme, "post", "alerts/rules/preview/", data={"attribute": "heat", "operator": "gt", "threshold": 1})
    call(acme, "post", "entities/", data={"entity_type": "a", "external_id": "1", "attributes": {"x": 1}})
    call(acme, "get", "nowhere/")
    traffic.traffic_flush()
    assert (counts_of(acme), counts_of(globex)) == ((4, 1), (0, 0))


def test_what_could_not_be_noted_is_noted_the_next_time(acme: Tenant, globex: Tenant) -> None:
    def fails(*_: object) -> None:
        raise OperationalError("away")

    call(acme, "get", "entities/?limit=1")
    with connections["default"].execute_wrapper(fails), pytest.raises(OperationalError):
        traffic.traffic_flush()
    call(acme, "get", "entities/?limit=1")
    traffic.traffic_flush()
    assert (counts_of(acme), counts_of(globex)) == ((2, 0), (0, 0))


# --- Acting as a tenant -----------------------------------------------------------------------------------------------


def enter(platform: Browser, tenant: Tenant) -> tuple[Browser, str]:
    html = platform.post(f"tenants/{tenant.slug}/act/").content.decode()
    found = re.search(r'href="http://[^/"]+(/admin/act/\?pass=[^"]+)"', html)
    assert found
    browser = host_browser(tenant)
    assert browser.get(found[1]).headers["Location"] == "/admin/"
    return browser, found[1]


def test_a_platform_admin_acts_as_a_tenant_under_a_banner_and_on_record(
    acme: Tenant, globex: Tenant, platform: Browser
) -> None:
    acting, way_in = enter(platform, acme)
    home = acting.text("")
    assert "You are acting as" in home and "admin-of-tests of the platform" in home
    assert "Your account" not in home
    acting.post("tokens/new/", {"name": "by the platform", "scopes": ["read"], "expires": "30"})
    assert ("token.create", "platform admin", "admin-of-tests") in actions_of(acme)
    # The way in works once, and only at the tenant it was made for.
    assert host_browser(acme).get(way_in).status_code == 403
    _, other = enter(platform, globex)
    assert host_browser(acme).get(other).status_code == 403
    assert host_browser(None).get(way_in).status_code == 404
    for path in ("account/", "account/totp/", "account/sessions/", "password_change/"):
        assert acting.get(path).status_code == 404, path
    assert acting.get(f"tenants/{globex.slug}/").status_code == 404

    assert "no longer acting" in acting.post("act/end/").content.decode()
    assert acting.get("").status_code == 302
    actions = [action for action, _, _ in actions_of(acme)]
    assert {"tenant.act_as", "tenant.act_as_end"} <= set(actions)
    assert "tenant.act_as" in [action for action, _, _ in actions_of(None)]


@pytest.mark.parametrize("how", ["locked out", "another password"])
def test_whoever_is_no_platform_admin_any_more_acts_no_more(acme: Tenant, platform: Browser, how: str) -> None:
    with public_bind():
        platform_admin_ensure(username="admin-for-a-day", password=PASSWORD, now=clock.now())
        admin = User.objects.get(username="admin-for-a-day")
        browser = host_browser(None)
        browser.force_login(admin)
    try:
        acting, _ = enter(browser, acme)
        assert acting.get("").status_code == 200
        with public_bind():
            if how == "locked out":
                User.objects.filter(pk=admin.pk).update(is_active=False)
            else:
                platform_admin_ensure(username="admin-for-a-day", password=f"{PASSWORD}-new", now=clock.now())
        assert acting.get("").status_code == 302
    finally:
        with public_bind():
            admin.delete()


def test_nobody_acts_as_a_suspended_tenant_or_without_asking(acme: Tenant, platform: Browser) -> None:
    assert "a banner on every page says so" in platform.text(f"tenants/{acme.slug}/act/")
    platform.post(f"tenants/{acme.slug}/suspend/")
    assert platform.post(f"tenants/{acme.slug}/act/").status_code == 302
    assert tenant_browser(acme).post("act/end/").status_code in {403, 404}


def test_what_waits_and_what_is_wrong_is_shown(platform: Browser, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(8, connection=connections["default"]):
        html = platform.text("load/")
    assert "Tasks waiting" in html and "Change feed" in html
