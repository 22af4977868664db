"""Chromium on the running stack. A page that logs an error to its console, or asks another host, fails its test."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from atlasco.lib import clock
from tenants.binding import public_bind
from tenants.members.models import Role
from tenants.models import Tenant
from tenants.services import member_create, platform_admin_ensure, tenant_create, tenant_delete
from tests.admin_client import PASSWORD

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
LAPTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
# axe-core, as its package vendors it.
AXE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
# htmx marks what it is fetching for; transitions of colours would show axe a colour between two.
AT_REST = """() => document.readyState === "complete" && !document.querySelector(".htmx-request, .htmx-settling")
    && document.getAnimations().every((animation) => animation.playState !== "running")"""
# The machine may be busy with a whole stack and other tests; waiting is not what is tested.
PATIENCE_MS = 30_000


def chromium_path() -> str | None:
    """The Chromium of this machine: ATLASCO_CHROMIUM, or one in PATH."""
    named = os.environ.get("ATLASCO_CHROMIUM")
    return named or next((path for name in CHROMIUM_NAMES if (path := shutil.which(name))), None)


# Of this folder: an event loop that lived on would forbid later tests to run one of their own.
@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    path = chromium_path()
    if path is None:
        pytest.skip("no Chromium is installed: `apt-get install chromium`, or name one in ATLASCO_CHROMIUM")
    playwright: Playwright
    with sync_playwright() as playwright:
        # Playwright keeps an event loop in this thread, and Django refuses its ORM beside one. Nothing runs in that
        # loop while a test talks to the database.
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
        expect.set_options(timeout=PATIENCE_MS)
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@dataclass
class Window:
    """One browser window with cookies of its own, on one host.

    errors: what its console said that it should not; refusals_expected: answers of 400 and more are part of the test.
    """

    page: Page
    base: str
    errors: list[str] = field(default_factory=list)
    refusals_expected: bool = False

    def go(self, path: str = "") -> Any:
        """Open a path below /admin/, or one from the root."""
        return self.page.goto(self.base + (path if path.startswith("/") else f"/admin/{path}"))

    def log_in(self, username: str, password: str = PASSWORD) -> None:
        self.go("login/")
        self.page.get_by_label("User name").fill(username)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Log in").click()
        expect(self.page.get_by_role("heading", level=1)).not_to_contain_text("Log in")

    def settle(self) -> None:
        """Wait until the page is at rest: loaded, every part fetched that it asks for, styles applied."""
        self.page.wait_for_function(AT_REST)

    def accessible(self) -> None:
        """Assert that axe-core finds nothing serious on the page as it is now. Waits until it is at rest."""
        self.settle()
        serious = self.violations()
        assert serious == [], "\n".join(serious)

    def violations(self) -> list[str]:
        """What axe-core finds serious on the page as it is now."""
        # Evaluated, not added as a script: the content security policy lets no stranger's script in.
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE)
        # No frames, no style sheets to preload: there are none of other origins.
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations'], iframes: false, preload: false})")
        return [
            f"{self.page.url}: {violation['id']} ({violation['help']}): {node['html'][:200]}"
            for violation in found["violations"]
            if violation["impact"] in {"serious", "critical"}
            for node in violation["nodes"][:3]
        ]

    def api_status(self, token: str) -> int:
        """What the API answers to a read with this token. It names the tenant: any host will do."""
        # Not by the browser: outside of it, nobody has to resolve names below localhost.
        url = f"http://127.0.0.1:{urlsplit(self.base).port}/api/v1/entities/?limit=1"
        return requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE_MS / 1000).status_code

    def listen(self) -> None:
        own = urlsplit(self.base).hostname or ""
        self.page.on("console", lambda message: self._heard(message.type, message.text))
        self.page.on("pageerror", lambda error: self.errors.append(f"exception: {error}"))
        self.page.on("request", lambda request: self._asked(own, request.url))

    def _heard(self, kind: str, text: str) -> None:
        is_refusal = text.startswith("Failed to load resource: the server responded with a status of 4")
        if kind in {"error", "warning"} and not (self.refusals_expected and is_refusal):
            self.errors.append(f"{kind}: {text}")

    def _asked(self, own: str, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"data", "blob"} and parts.hostname != own:
            self.errors.append(f"another host was asked: {parts.hostname}")


@pytest.fixture
def window(chromium: Browser, web_url: str, live_db: None) -> Iterator[Callable[..., Window]]:
    """Opens windows: `window()` on the public host, `window(tenant)` on a tenant's; `phone=True`, `dark=True`."""
    port = urlsplit(web_url).port
    opened: list[Window] = []

    def make(tenant: Tenant | str | None = None, *, phone: bool = False, dark: bool = False) -> Window:
        host = "localhost" if tenant is None else f"{getattr(tenant, 'slug', tenant)}.localhost"
        context = chromium.new_context(
            viewport=PHONE if phone else LAPTOP,  # type: ignore[arg-type]  # A dict that is what it wants.
            has_touch=phone,
            color_scheme="dark" if dark else "light",
            timezone_id="America/New_York",
            locale="en-GB",
        )
        context.set_default_timeout(PATIENCE_MS)
        made = Window(context.new_page(), f"http://{host}:{port}")
        made.listen()
        opened.append(made)
        return made

    yield make
    errors = [error for made in opened for error in made.errors]
    for made in opened:
        made.page.context.close()
    assert errors == []


@pytest.fixture
def platform_admin(live_db: None) -> str:
    """The name of an admin of the platform."""
    with public_bind():
        platform_admin_ensure(username="admin-of-browsers", password=PASSWORD, now=clock.now())
    return "admin-of-browsers"


@pytest.fixture
def tenants(live_db: None) -> Iterator[Callable[[str], Tenant]]:
    """Creates tenants, each with an admin "alice", a viewer "bob" and an editor "eve"; deletes them afterwards."""
    made: list[Tenant] = []

    def make(name: str) -> Tenant:
        tenant = tenant_create(slug=f"{name}-{secrets.token_hex(3)}", name=name.capitalize(), now=clock.now())
        made.append(tenant)
        for username, role in (("alice", Role.ADMIN), ("bob", Role.VIEWER), ("eve", Role.EDITOR)):
            member_create(tenant=tenant, username=username, password=PASSWORD, role=role, now=clock.now())
        return tenant

    yield make
    for tenant in made:
        tenant_delete(tenant=tenant, confirm=tenant.slug, now=clock.now())
