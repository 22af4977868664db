"""Every page that the site has, as the people see it who may: it opens, fits, says nothing to the console, and axe-core
finds nothing serious. A new page is walked without being named here; one with arguments of its own wants a value below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RoutePattern

from atlasco.lib import clock
from tenants.binding import tenant_bind
from tenants.members.models import User
from tenants.models import Tenant
from tenants.services import token_create
from tests.browser.conftest import LAPTOP, PHONE, Window
from tests.browser.data import aircraft, entities_write

Open = Callable[..., Window]
# What does something when it is asked for, or streams without an end.
NO_PAGES = ("export", "download", "logout", "act/", "stream")


def routes(patterns: Any, prefix: str = "") -> Iterator[str]:
    """The routes of a URL configuration that are written as `path()`."""
    for entry in patterns:
        if isinstance(entry.pattern, RoutePattern):
            here = f"{prefix}{entry.pattern}"
            if isinstance(entry, URLResolver):
                yield from routes(entry.url_patterns, here)
            elif isinstance(entry, URLPattern):
                yield here


def pages(values: dict[str, Any], *, on_platform: bool) -> list[str]:
    """The paths below /admin/ that these values fill; what wants another value is left out."""
    found = []
    for route in routes(get_resolver().url_patterns):
        if not route.startswith("admin/") or any(part in route for part in NO_PAGES):
            continue
        path = route.removeprefix("admin/")
        for name, value in values.items():
            for kind in ("int", "slug", "str", "uuid", "path"):
                path = path.replace(f"<{kind}:{name}>", str(value))
        if "<" not in path and path.startswith("tenants/") <= on_platform:
            found.append(path)
    return list(dict.fromkeys(found))


# What an address answers, without going there: a file would not open, and what is only POSTed to has nothing to show.
LOOK = """async (url) => {
    const answer = await fetch(url, {redirect: "manual"});
    const text = await answer.text();
    return answer.type === "opaqueredirect" ? [0, false] : [answer.status, /<html/i.test(text.slice(0, 500))];
}"""


@pytest.mark.parametrize("on_platform", [True, False], ids=["platform", "tenant"])
def test_every_page_opens_fits_and_is_accessible(
    window: Open, platform_admin: str, tenants: Callable[[str], Tenant], on_platform: bool
) -> None:
    acme = tenants("acme")
    [entity_id] = entities_write(acme, aircraft("N14228", seats=149, region="us-west", seen="2026-01-31T12:00:00Z"))
    token, _ = token_create(tenant=acme, name="nightly", now=clock.now())
    with tenant_bind(acme):
        member_id = User.objects.get(username="bob").pk
    values = {
        "slug": acme.slug,
        "entity_id": entity_id,
        "token_id": token.pk,
        "member_id": member_id,
        "name": "seats",
        "attribute_name": "seats",
    }
    win = window(None if on_platform else acme)
    win.go("login/")
    wrong = _wrong_with(win)
    win.log_in(platform_admin if on_platform else "alice")
    # Pages of the other kind of host answer 404 here; that they do is what other tests are about.
    win.refusals_expected = True
    opened = []
    for path in pages(values, on_platform=on_platform):
        status, is_page = win.page.evaluate(LOOK, f"/admin/{path}")
        if status >= 500:
            wrong.append(f"{path}: {status}")
        if status != 200 or not is_page:
            continue
        win.go(path)
        wrong += _wrong_with(win)
        opened.append(path)
    assert wrong == [], "\n".join(wrong)
    assert {"", "entities/", "account/", "audit/"} <= set(opened)
    assert len(opened) > 15


def _wrong_with(win: Window) -> list[str]:
    """What is wrong with the page, on a laptop in light colours and on a phone in dark ones."""
    page, found = win.page, list[str]()
    for size, scheme in ((LAPTOP, "light"), (PHONE, "dark")):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.wait_for_load_state("networkidle")
        if page.evaluate("document.documentElement.scrollWidth") > size["width"]:
            found.append(f"{page.url} is wider than {size['width']} pixels")
        try:
            win.accessible()
        except AssertionError as error:
            found.append(f"{scheme}: {error}")
    return found
