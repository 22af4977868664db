"""The pages about tenants: who gets in where, and what each page does."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connections

from atlasco import services_health
from atlasco.lib import clock
from tenants.binding import public_bind, tenant_bind
from tenants.members.models import ApiToken, Role, User
from tenants.models import Tenant
from tenants.selectors import tenant_get
from tenants.services import member_create, tenant_delete, token_create
from tests.admin_client import PASSWORD, Browser, host_browser, platform_browser, tenant_browser

PLATFORM_PAGES = ("tenants/", "tenants/-/new/", "services/", "load/", "usage/counts/")
TENANT_ONLY_PAGES = ("members/", "members/new/", "tokens/", "tokens/new/")
COMMON_PAGES = ("", "entities/", "attributes/", "password_change/")


@pytest.fixture(autouse=True)
def _quick_passwords(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def platform() -> Browser:
    return platform_browser()


def secret_shown(html: str) -> str:
    found = re.search(r'<code id="secret"[^>]*>([^<]+)</code>', html)
    assert found, "no secret on the page"
    return found[1]


# --- Getting in -------------------------------------------------------------------------------------------------------


def test_a_member_logs_in_on_the_tenants_own_host_only(acme: Tenant, globex: Tenant) -> None:
    member_create(tenant=acme, username="alice", password=PASSWORD, role=Role.ADMIN, now=clock.now())
    form = {"login": "alice", "password": PASSWORD, "next": "/admin/"}
    assert host_browser(acme).post("login/", form).status_code == 302
    for elsewhere in (host_browser(globex), host_browser(None)):
        response = elsewhere.post("login/", form)
        assert response.status_code == 200
        assert "belong together here" in response.content.decode()


def test_the_login_page_names_the_tenant_whose_host_it_is_on(acme: Tenant) -> None:
    assert f"Log in to {acme.name}" in host_browser(acme).text("login/")
    assert "Log in to Atlasco" in host_browser(None).text("login/")


def test_a_session_of_one_host_is_worth_nothing_on_another(acme: Tenant, globex: Tenant, platform: Browser) -> None:
    member = tenant_browser(acme)
    assert member.get("").status_code == 200
    # The cookie itself is carried over, as no browser would.
    for owner, strangers in (
        (member, [host_browser(globex), host_browser(None)]),
        (platform, [host_browser(acme), host_browser(globex)]),
    ):
        for stranger in strangers:
            stranger.cookies["sessionid"] = owner.cookies["sessionid"].value
            response = stranger.get("")
            assert (response.status_code, response.headers["Location"]) == (302, "/admin/login/?next=/admin/")


def test_on_the_public_host_only_admins_get_in() -> None:
    with public_bind():
        user = User.objects.create_user("staff-but-no-admin", is_staff=True)
        try:
            browser = host_browser(None)
            browser.force_login(user)
            assert browser.get("").status_code == 302
        finally:
            user.delete()


def test_logging_out_ends_the_session(acme: Tenant) -> None:
    member = tenant_browser(acme)
    assert member.post("logout/").headers["Location"] == "/admin/login/"
    assert member.get("").status_code == 302


def test_the_front_door_leads_to_the_home_page(platform: Browser) -> None:
    response = platform.get("/")
    assert (response.status_code, response.headers["Location"]) == (302, "/admin/")


# --- Which pages are where --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("logged_in", [True, False])
def test_a_tenants_host_has_no_platform_pages(acme: Tenant, globex: Tenant, logged_in: bool) -> None:
    browser = tenant_browser(acme) if logged_in else host_browser(acme)
    below = ["", "suspend/", "resume/", "tokens/", "tokens/new/", "members/", "attributes/", "entities/"]
    paths = [*PLATFORM_PAGES, *(f"tenants/{t.slug}/{page}" for t in (acme, globex) for page in below)]
    if not logged_in:
        # What exists on both hosts asks for a log-in first, and is 404 after it.
        paths = [path for path in paths if path in PLATFORM_PAGES or path.endswith(("suspend/", "resume/"))]
    for path in paths:
        assert browser.get(path).status_code == 404, path
        assert browser.post(path).status_code in {404, 405}, path


def test_posting_to_another_tenants_pages_changes_nothing(acme: Tenant, globex: Tenant) -> None:
    member = tenant_browser(acme)
    assert member.post(f"tenants/{globex.slug}/suspend/").status_code == 404
    assert member.post(f"tenants/{globex.slug}/tokens/new/", {"name": "n", "scopes": "read"}).status_code == 404
    assert tenant_get(slug=globex.slug).is_active
    with tenant_bind(globex):
        assert not ApiToken.objects.exists()


def test_pages_of_one_tenant_are_not_on_the_public_host_without_a_tenant(platform: Browser) -> None:
    for path in TENANT_ONLY_PAGES:
        assert platform.get(path).status_code == 404, path
    assert platform.get("tenants/nobody-is-called-so/").status_code == 404


def test_paths_that_are_none_are_404_for_everybody(platform: Browser, acme: Tenant) -> None:
    for browser in (platform, tenant_browser(acme), host_browser(None)):
        for path in ("no/such/page", "auth/group/", "members/user/", "search/?s=a", "jsi18n/"):
            assert browser.get(path).status_code == 404, path


def test_no_page_of_a_tenant_mentions_another(acme: Tenant, globex: Tenant) -> None:
    member = tenant_browser(acme)
    for path in (*COMMON_PAGES, *TENANT_ONLY_PAGES):
        html = member.text(path)
        assert globex.slug not in html, path
        assert "/tenants/" not in html, path


def test_members_who_are_no_admins_manage_nobody(acme: Tenant) -> None:
    member = tenant_browser(acme, role=Role.VIEWER)
    for path in TENANT_ONLY_PAGES:
        response = member.get(path)
        assert response.status_code == 403
        assert "Only an admin" in response.content.decode()
    assert member.post("tokens/new/", {"name": "n", "scopes": "read"}).status_code == 403
    home = member.text("")
    assert "/admin/tokens/" not in home
    assert "/admin/members/" not in home
    for path in COMMON_PAGES:
        assert member.get(path).status_code == 200, path


def test_a_suspended_tenants_host_answers_nobody_but_admins_still_look_in(acme: Tenant, platform: Browser) -> None:
    member = tenant_browser(acme)
    assert platform.post(f"tenants/{acme.slug}/suspend/").status_code == 302
    assert member.get("").status_code == 403
    assert host_browser(acme).get("login/").status_code == 403
    html = platform.text(f"tenants/{acme.slug}/")
    assert "Suspended since" in html
    assert platform.post(f"tenants/{acme.slug}/resume/").status_code == 302
    assert member.get("").status_code == 200


@pytest.mark.parametrize("path", ["", "tenants/", "tenants/-/new/", "entities/"])
def test_pages_carry_no_inline_script_and_name_no_other_host(platform: Browser, path: str) -> None:
    html = platform.text(path)
    assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", html) == []
    assert re.findall(r"\son[a-z]+=", html) == []
    assert re.findall(r"(?:src|href|action)=\"(?:https?:)?//[^\"]+", html) == []


# --- Tenants ----------------------------------------------------------------------------------------------------------


def test_the_list_is_searched_and_filtered(acme: Tenant, globex: Tenant, platform: Browser) -> None:
    link = f"/admin/tenants/{acme.slug}/"
    assert link in platform.text("tenants/", data={"q": acme.slug})
    assert globex.slug not in platform.text("tenants/", data={"q": acme.slug})
    assert link not in platform.text("tenants/", data={"q": acme.slug, "status": "suspended"})
    assert link in platform.text("tenants/", data={"q": acme.slug, "placement": "shared"})
    assert "No tenant fits" in platform.text("tenants/", data={"q": "nobody-is-called-so"})
    # What is not a choice and what is not a number narrow nothing and break nothing.
    for strange in ({"status": "'"}, {"page": "-1"}, {"page": "999999999999"}, {"page": "x"}, {"q": "\x00"}):
        assert platform.get("tenants/", strange).status_code == 200, strange


def test_a_tenant_is_created_with_its_first_admin_whose_password_is_shown_once(platform: Browser) -> None:
    response = platform.post(
        "tenants/-/new/", {"slug": "made-by-hand", "name": "Made & by hand", "admin_username": "grace"}
    )
    tenant = tenant_get(slug="made-by-hand")
    try:
        html = response.content.decode()
        assert "no-store" in response.headers["Cache-Control"]
        password = secret_shown(html)
        assert password not in platform.text("tenants/made-by-hand/")
        login = host_browser(tenant).post("login/", {"login": "grace", "password": password, "next": "/admin/"})
        assert login.status_code == 302
        assert tenant.name == "Made & by hand"
        assert "Made &amp; by hand" in platform.text("tenants/made-by-hand/")
    finally:
        tenant_delete(tenant=tenant, confirm=tenant.slug, now=clock.now())


def test_a_tenant_without_a_first_admin_says_who_can_log_in(platform: Browser) -> None:
    response = platform.post("tenants/-/new/", {"slug": "made-alone", "dedicated": "on"}, follow=True)
    tenant = tenant_get(slug="made-alone")
    try:
        html = response.content.decode()
        assert "made-alone is ready." in html
        assert "nobody can log in yet" in html
        assert "Dedicated" in html
    finally:
        tenant_delete(tenant=tenant, confirm=tenant.slug, now=clock.now())


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"slug": "Not A Slug"}, "slug", "hyphens"),
        ({"slug": ""}, "slug", "required"),
        ({"slug": "fine", "admin_username": "no spaces"}, "admin_username", "valid username"),
        ({"slug": "x" * 41}, "slug", "40"),
    ],
)
def test_a_refusal_stands_at_its_field_and_keeps_what_was_typed(
    platform: Browser, fields: dict[str, str], field: str, words: str
) -> None:
    response = platform.post("tenants/-/new/", {"name": "Kept as typed", **fields})
    form = response.context["form"]
    assert words in str(form.errors[field])
    assert "Kept as typed" in response.content.decode()
    with public_bind():
        assert not Tenant.objects.filter(slug="fine").exists()


def test_a_slug_that_is_taken_is_said_so_at_the_slug(acme: Tenant, platform: Browser) -> None:
    response = platform.post("tenants/-/new/", {"slug": acme.slug})
    assert "exists" in str(response.context["form"].errors["slug"])


def test_suspending_is_asked_before_it_is_done(acme: Tenant, platform: Browser) -> None:
    question = platform.text(f"tenants/{acme.slug}/suspend/")
    assert "Nothing is deleted" in question
    assert tenant_get(slug=acme.slug).is_active


# --- Tokens and members -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whose", ["platform", "tenant"])
def test_a_token_is_shown_once_works_and_can_be_revoked(acme: Tenant, platform: Browser, whose: str) -> None:
    browser = platform if whose == "platform" else tenant_browser(acme)
    tokens = f"tenants/{acme.slug}/tokens/" if whose == "platform" else "tokens/"
    response = browser.post(f"{tokens}new/", {"name": "nightly", "scopes": ["read"], "expires": "30"})
    assert "no-store" in response.headers["Cache-Control"]
    secret = secret_shown(response.content.decode())
    assert f'data-history-url="/admin/{tokens}"' in response.content.decode()
    assert secret not in browser.text(tokens)

    def call() -> int:
        headers = {"Authorization": f"Bearer {secret}"}
        return int(host_browser(acme).get("/api/v1/entities/", headers=headers).status_code)

    assert call() == 200
    with tenant_bind(acme):
        token = ApiToken.objects.get()
    assert token.scopes == ["read"]
    assert token.expires_at is not None
    assert browser.get(f"{tokens}{token.pk}/revoke/").status_code == 200
    assert call() == 200
    browser.post(f"{tokens}{token.pk}/revoke/")
    assert call() == 401
    assert "Revoked" in browser.text(tokens)
    assert browser.get(f"{tokens}{token.pk + 1000}/revoke/").status_code == 404


def test_a_token_needs_a_name_and_a_scope(acme: Tenant) -> None:
    response = tenant_browser(acme).post("tokens/new/", {"name": "", "expires": "7"})
    assert set(response.context["form"].errors) == {"name", "scopes", "expires"}
    with tenant_bind(acme):
        assert not ApiToken.objects.exists()


def test_a_member_is_added_with_a_password_that_works(acme: Tenant) -> None:
    admin = tenant_browser(acme)
    response = admin.post("members/new/", {"username": "bob", "email": "bob@example.org", "role": "viewer"})
    password = secret_shown(response.content.decode())
    login = host_browser(acme).post("login/", {"login": "bob", "password": password, "next": "/admin/"})
    assert login.status_code == 302
    assert "bob@example.org" in admin.text("members/")
    again = admin.post("members/new/", {"username": "bob", "role": "viewer"})
    assert "exists" in str(again.context["form"].errors["username"])


# --- Cost -------------------------------------------------------------------------------------------------------------


def test_pages_cost_the_same_however_many_tenants_and_tokens_there_are(
    acme: Tenant, globex: Tenant, platform: Browser, django_assert_max_num_queries: Any
) -> None:
    for number in range(30):
        token_create(tenant=acme, name=f"token {number}", now=clock.now())
    # Session and user are two; the rest is the page's own.
    for path, queries in (
        ("", 5),
        ("tenants/", 4),
        ("tenants/-/new/", 2),
        (f"tenants/{acme.slug}/", 6),
        (f"tenants/{acme.slug}/tokens/", 4),
        (f"tenants/{acme.slug}/members/", 4),
        (f"tenants/{acme.slug}/audit/", 5),
        (f"tenants/{acme.slug}/usage/", 7),
        (f"tenants/{acme.slug}/quotas/", 4),
        (f"tenants/{acme.slug}/rename/", 4),
        ("audit/", 4),
        ("account/", 4),
    ):
        with django_assert_max_num_queries(queries, connection=connections["default"]):
            assert platform.get(path).status_code == 200


def test_counts_come_in_one_answer_for_the_tenants_asked_for(
    acme: Tenant, globex: Tenant, platform: Browser, django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(5, connection=connections["default"]):
        html = platform.text("usage/counts/", data={"tenant": [acme.slug, globex.slug, "nobody-is-called-so", "\x00"]})
    assert f'id="usage-{acme.slug}-entities"' in html
    assert f'id="usage-{globex.slug}-values"' in html
    assert "nobody-is-called-so" not in html


def test_every_service_is_shown_and_answers(platform: Browser) -> None:
    html = platform.text("services/")
    for name in ("Primary database", "Replica 1", "Replica 2", "Valkey", "ClickHouse", "Worker"):
        assert name in html
    # The worker is started by whoever wants it; the stores always run.
    assert len(re.findall("at-dot-good", html)) >= 3 + len(django_settings.REPLICA_ALIASES)


def test_a_service_that_hangs_holds_up_neither_the_page_nor_a_second_thread(
    platform: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    released, asked = threading.Event(), []

    def hang() -> None:
        asked.append(threading.get_ident())
        released.wait(timeout=60)

    monkeypatch.setattr(services_health, "DEADLINE_S", 0.2)
    monkeypatch.setattr(services_health, "checks_known", lambda: {"primary": lambda: None, "clickhouse": hang})
    monkeypatch.setattr(services_health, "_worker_check", lambda: None)
    try:
        for _ in range(3):
            html = platform.text("services/")
            assert "No answer within 0.2 seconds" in html
            assert len(re.findall("at-dot-good", html)) == 2
        assert len(asked) == 1
    finally:
        released.set()


def test_a_member_changes_the_password(acme: Tenant) -> None:
    member = tenant_browser(acme)
    assert "10 characters" in member.text("password_change/")
    wrong = {"oldpassword": "not it", "password1": "a-fresh-one-77", "password2": "a-fresh-one-77"}
    assert "oldpassword" in member.post("password_change/", wrong).context["form"].errors
    right = {**wrong, "oldpassword": PASSWORD}
    done = member.post("password_change/", right, follow=True)
    assert "Your password is changed" in done.content.decode()
    assert member.get("").status_code == 200
