"""Coming in: wrong passwords, second factors, new passwords, sessions, and what browsers are told to keep out."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from django.contrib.sessions.models import Session
from django.core import mail
from django.db import connections

from atlasco.lib import clock
from tenants.accounts.sessions import SEEN_KEY
from tenants.audit import AuditFilter, audit_page
from tenants.binding import public_bind, tenant_bind
from tenants.members.models import Role, User
from tenants.models import Tenant
from tenants.services import member_create
from tests.admin_client import PASSWORD, Browser, host_browser, platform_browser, tenant_browser


@pytest.fixture(autouse=True)
def _quick_passwords(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def alice(acme: Tenant) -> User:
    return member_create(
        tenant=acme, username="alice", password=PASSWORD, email="alice@example.org", role=Role.ADMIN, now=clock.now()
    )


def log_in(browser: Browser, name: str = "alice", password: str = PASSWORD) -> Any:
    return browser.post("login/", {"login": name, "password": password})


def actions_of(tenant: Tenant | None) -> list[str]:
    with public_bind() if tenant is None else tenant_bind(tenant):
        return [entry.action for entry in audit_page(wanted=AuditFilter(), before=None, limit=100)[0]]


# --- Wrong passwords --------------------------------------------------------------------------------------------------


def test_after_five_wrong_passwords_one_waits_and_is_told_how_long(acme: Tenant, globex: Tenant, alice: User) -> None:
    member_create(tenant=globex, username="alice", password=PASSWORD, now=clock.now())
    browser = host_browser(acme)
    for _ in range(4):
        response = log_in(browser, password="wrong")
        assert "belong together" in response.content.decode()
    locked = log_in(browser, password="wrong")
    assert locked.status_code == 429
    assert 0 < int(locked.headers["Retry-After"]) <= 300
    assert "Wait 5 minutes" in locked.content.decode()
    # Not even the right one, also in another browser at the same address; but others, and the same name elsewhere.
    assert log_in(host_browser(acme)).status_code == 429
    assert log_in(host_browser(globex)).status_code == 302
    member_create(tenant=acme, username="carol", password=PASSWORD, now=clock.now())
    assert log_in(host_browser(acme), "carol").status_code == 302
    actions = actions_of(acme)
    assert (actions.count("login.failed"), actions.count("login.locked")) == (4, 1)
    assert "login.failed" not in actions_of(globex)


def test_a_right_password_forgets_the_wrong_ones(acme: Tenant, alice: User) -> None:
    for _ in range(2):
        for _ in range(4):
            log_in(host_browser(acme), password="wrong")
        assert log_in(host_browser(acme)).status_code == 302


def test_the_log_in_goes_on_to_where_one_wanted_and_to_no_other_host(acme: Tenant, alice: User) -> None:
    browser = host_browser(acme)
    asked = browser.get("tokens/").headers["Location"]
    assert asked == "/admin/login/?next=/admin/tokens/"
    assert 'name="next" value="/admin/tokens/"' in browser.text(asked)
    form = {"login": "alice", "password": PASSWORD}
    assert host_browser(acme).post("login/", {**form, "next": "/admin/tokens/"}).headers["Location"] == "/admin/tokens/"
    assert host_browser(acme).post("login/", {**form, "next": "//evil.example/"}).headers["Location"] == "/admin/"


def test_whoever_is_deactivated_does_not_come_in(acme: Tenant, alice: User) -> None:
    with tenant_bind(acme):
        User.objects.filter(pk=alice.pk).update(is_active=False)
    browser = host_browser(acme)
    log_in(browser)
    assert browser.get("").status_code == 302


# --- The second factor ------------------------------------------------------------------------------------------------


def code_now(secret: str) -> str:
    return str(format_hotp_value(hotp_value(secret, next(iter(yield_hotp_counters_from_time())))))


def factor_set_up(browser: Browser) -> str:
    """Set up a second factor as a person does; its key."""
    browser.post("account/confirm/", {"password": PASSWORD})
    html = browser.text("account/totp/")
    found = re.search(r'<code id="secret">(\w+)</code>', html)
    assert found
    assert 'src="data:image/svg+xml' in html
    response = browser.post("account/totp/", {"code": code_now(found[1])})
    assert response.status_code == 302
    return found[1]


def test_a_second_factor_is_set_up_asked_for_and_replaced_by_a_recovery_code(acme: Tenant, alice: User) -> None:
    browser = host_browser(acme)
    log_in(browser)
    secret = factor_set_up(browser)
    codes = re.findall(r'<li class="at-mono">(\w+)</li>', browser.text("account/codes/"))
    assert len(codes) == 10
    with tenant_bind(acme):
        stored = Authenticator.objects.get(type="totp").data["secret"]
    assert secret not in stored

    again = host_browser(acme)
    assert log_in(again).headers["Location"] == "/admin/login/code/"
    assert again.get("").status_code == 302
    assert "Incorrect code" in again.post("login/code/", {"code": "000000"}).content.decode()
    assert again.post("login/code/", {"code": codes[0]}).headers["Location"] == "/admin/"
    assert again.get("").status_code == 200
    once = host_browser(acme)
    log_in(once)
    assert once.post("login/code/", {"code": codes[0]}).status_code == 200
    assert {"second_factor.add", "login.success"} <= set(actions_of(acme))


def test_an_admin_can_want_a_second_factor_of_everybody(acme: Tenant, alice: User) -> None:
    admin = host_browser(acme)
    log_in(admin)
    assert admin.post("settings/", {"mfa_required": "on"}).status_code == 302
    response = admin.get("entities/")
    assert (response.status_code, response.headers["Location"]) == (302, "/admin/account/")
    assert "requires everybody to have a second factor" in admin.text("account/")
    factor_set_up(admin)
    assert admin.get("entities/").status_code == 200
    viewer = tenant_browser(acme, role=Role.VIEWER)
    assert viewer.get("entities/").headers["Location"] == "/admin/account/"
    # Platform admins who look in from outside are asked on their own host, by a setting.
    assert platform_browser().get(f"tenants/{acme.slug}/entities/").status_code == 200


def test_an_admin_removes_the_second_factor_of_somebody_who_lost_the_phone(acme: Tenant, alice: User) -> None:
    browser = host_browser(acme)
    log_in(browser)
    factor_set_up(browser)
    other = tenant_browser(acme)
    assert "Remove second factor" in other.text(f"members/{alice.pk}/")
    assert other.post(f"members/{alice.pk}/factor/").status_code == 302
    assert log_in(host_browser(acme)).headers["Location"] == "/admin/"
    assert "second_factor.reset" in actions_of(acme)


# --- A new password ---------------------------------------------------------------------------------------------------


def test_without_e_mail_an_admin_makes_a_link_that_works_once(acme: Tenant, globex: Tenant, alice: User) -> None:
    assert "sends no e-mail" in host_browser(acme).text("password/reset/")
    html = tenant_browser(acme).post(f"members/{alice.pk}/link/").content.decode()
    found = re.search(r'<code id="secret"[^>]*>https?://[^/]+(/admin/password/reset/[^<]+)</code>', html)
    assert found
    link = found[1]
    # The link of one tenant is nothing at another.
    assert "used already or is too old" in host_browser(globex).text(link)
    browser = host_browser(acme)
    form_path = browser.get(link).headers["Location"]
    new = {"password1": "a-fresh-one-77", "password2": "a-fresh-one-77"}
    assert browser.post(form_path, new).status_code == 302
    assert log_in(host_browser(acme), password="a-fresh-one-77").status_code == 302
    assert "used already or is too old" in host_browser(acme).text(link)
    assert {"password.link", "password.reset"} <= set(actions_of(acme))


def test_with_e_mail_a_link_is_sent_to_whom_it_belongs(acme: Tenant, alice: User, settings: Any) -> None:
    settings.EMAIL_IS_CONFIGURED = True
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    mail.outbox = []
    browser = host_browser(acme)
    for address in ("nobody@example.org", "alice@example.org"):
        assert browser.post("password/reset/", {"email": address}).status_code == 302
    [message] = mail.outbox
    assert message.to == ["alice@example.org"]
    assert f"http://{acme.slug}.localhost/admin/password/reset/" in message.body
    assert "example.com" not in message.body


# --- Sessions ---------------------------------------------------------------------------------------------------------


def test_sessions_are_listed_and_all_others_are_ended(acme: Tenant, alice: User) -> None:
    here, there = host_browser(acme), host_browser(acme)
    for browser in (there, here):
        log_in(browser)
    html = here.text("account/sessions/")
    assert html.count("127.0.0.1") == 2 and html.count("This one") == 1
    assert here.post("account/sessions/").status_code == 302
    assert here.get("").status_code == 200
    assert there.get("").status_code == 302


def test_an_admin_logs_a_member_out_everywhere(acme: Tenant, alice: User) -> None:
    hers = host_browser(acme)
    log_in(hers)
    assert tenant_browser(acme).post(f"members/{alice.pk}/sessions/").status_code == 302
    assert hers.get("").status_code == 302


def test_a_session_is_renewed_while_in_use_at_most_once_a_minute(
    acme: Tenant, alice: User, django_assert_num_queries: Any
) -> None:
    browser = host_browser(acme)
    log_in(browser)
    browser.get("account/sessions/")

    def expiry() -> Any:
        with tenant_bind(acme):
            return Session.objects.get(pk=browser.cookies["sessionid"].value).expire_date

    first = expiry()
    browser.get("account/sessions/")
    assert expiry() == first
    with tenant_bind(acme):
        session = browser.session
        session[SEEN_KEY] -= 61
        session.save()
    before = expiry()
    browser.get("account/sessions/")
    assert expiry() > before
    with tenant_bind(acme):
        Session.objects.filter(pk=browser.cookies["sessionid"].value).update(
            expire_date=clock.now() - timedelta(seconds=1)
        )
    assert browser.get("").status_code == 302
    assert connections["default"].in_atomic_block is False


def test_the_account_page_tells_a_member_what_he_is(acme: Tenant) -> None:
    html = tenant_browser(acme, role=Role.EDITOR).text("account/")
    assert "Editor" in html and "Set it up" in html


# --- What browsers are told -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/admin/login/", "/admin/", "/api/v1/docs/", "/nothing-here", "/admin/account/"])
def test_every_page_says_what_may_run_in_it(path: str) -> None:
    response = platform_browser().get(path)
    policy = response.headers["Content-Security-Policy"]
    assert "script-src 'self'" in policy and "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "camera=()" in response.headers["Permissions-Policy"]
    assert response.headers["X-Frame-Options"] == "DENY"
    assert response.headers["Referrer-Policy"] == "same-origin"
    assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    html = response.content.decode()
    assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>|<style|\sstyle=|\son[a-z]+=", html) == []


def test_cookies_are_kept_from_scripts_and_other_sites(acme: Tenant, alice: User) -> None:
    browser = host_browser(acme)
    log_in(browser)
    cookie = browser.cookies["sessionid"]
    assert cookie["httponly"] and cookie["samesite"] == "Lax" and not cookie["domain"]
