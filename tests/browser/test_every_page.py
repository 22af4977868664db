"""Every page that the site has, as the people see it who may: it opens, fits, says nothing to the console, and axe-core
finds nothing serious. A new page is walked without being named anywhere; one with an argument of its own wants a value
in `lived_in`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest
from django.urls import get_resolver

from atlasco.bench.pages import routes
from tenants.models import Tenant
from tests.browser.conftest import LAPTOP, PHONE, Window
from tests.browser.lived_in import LivedIn, lived_in

Open = Callable[..., Window]
# What does something when it is asked for, or streams without an end.
NO_PAGES = ("export/", "download/", "/file/", "left-out", "logout", "act/", "stream")


def pages(inside: LivedIn, *, on_platform: bool) -> tuple[list[str], list[str]]:
    """The paths below /admin/ of one kind of host, and the routes that no value fills."""
    found, unfilled = list[str](), list[str]()
    base = f"tenants/{inside.arguments['slug'][0]}/"
    for route in routes(get_resolver().url_patterns):
        if not route.startswith("admin/") or any(part in route for part in NO_PAGES):
            continue
        path = route.removeprefix("admin/")
        if path.startswith("tenants/") > on_platform:
            continue
        filled = list(_filled(path, inside.arguments))
        for one in filled:
            queries = inside.queries.get(one.removeprefix(base), [""])
            found += [f"{one}?{query}" if query else one for query in queries]
        if not filled:
            unfilled.append(route)
    return list(dict.fromkeys(found)), unfilled


def _filled(path: str, arguments: dict[str, list[Any]]) -> Iterator[str]:
    """The path with every combination of what its arguments may be."""
    names = [part.partition(":")[2].partition(">")[0] for part in path.split("<")[1:]]
    choices = []
    for name in names:
        # Ids of jobs of several kinds have one name: then the path before it tells which is meant.
        by_path = [key for key in arguments if "/" in key and key in path and f":{name}>" in key]
        choices.append([(name, str(value)) for value in arguments.get(by_path[0] if by_path else name, [])])
    for chosen in product(*choices):
        made = path
        for name, value in chosen:
            kind = made[: made.index(f":{name}>")].rpartition("<")[2]
            made = made.replace(f"<{kind}:{name}>", value)
        yield made


# What an address answers, without going there: a file would not open, what is only POSTed to has nothing to show, parts
# of a page are seen in their page, and where a redirect leads is walked anyway.
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
    paths, unfilled = pages(lived_in(acme), on_platform=on_platform)
    assert unfilled == [], "these want a value in `lived_in`"
    win = window(None if on_platform else acme)
    win.go("login/")
    wrong = _wrong_with(win)
    win.log_in(platform_admin if on_platform else "alice")
    # Pages of the other kind of host answer 404 here; that they do is what other tests are about.
    win.refusals_expected = True
    opened = set()
    for path in paths:
        status, is_page = win.page.evaluate(LOOK, f"/admin/{path}")
        if status >= 500:
            wrong.append(f"{path}: {status}")
        if status != 200 or not is_page:
            continue
        win.go(path)
        # Below a tenant's path they are the pages that its own host has: once in the dark is enough.
        wrong += _wrong_with(win, schemes=("light",) if path.startswith("tenants/") else ("light", "dark"))
        opened.add(path.partition("?")[0])
    assert wrong == [], "\n".join(wrong)
    assert {"", "account/"} <= opened
    assert len(opened) > 40


def _wrong_with(win: Window, schemes: tuple[str, ...] = ("light", "dark")) -> list[str]:
    """What is wrong with the page, on a laptop in light colours and on a phone in dark ones."""
    page, found = win.page, list[str]()
    for size, scheme in ((LAPTOP, "light"), (PHONE, "dark")):
        page.set_viewport_size(size)  # type: ignore[arg-type]  # A dict that is what it wants.
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # One of its literals.
        win.settle()
        if page.evaluate("document.documentElement.scrollWidth") > size["width"]:
            found.append(f"{page.url} is wider than {size['width']} pixels")
        if scheme in schemes:
            found += [f"{scheme}: {violation}" for violation in win.violations()]
    return found
