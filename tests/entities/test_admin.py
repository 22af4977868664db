"""The pages about data: the registry, looking entities up, one entity."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connections

from entities.selectors import tenant_usage
from tenants.binding import tenant_bind
from tenants.members.models import Role
from tenants.models import Tenant
from tests.admin_client import Browser, platform_browser, tenant_browser
from tests.browser.data import aircraft, entities_write

LONG = "A long text. " * 1_000


@pytest.fixture(autouse=True)
def _quick_passwords(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(params=["tenant", "platform"])
def reader(request: pytest.FixtureRequest, acme: Tenant) -> tuple[Browser, str]:
    """Somebody who may see acme's data, and where: its own admin, and a platform admin who looks in."""
    if request.param == "tenant":
        return tenant_browser(acme), ""
    return platform_browser(), f"tenants/{acme.slug}/"


def test_an_external_id_leads_straight_to_its_entity(acme: Tenant, globex: Tenant, reader: tuple[Browser, str]) -> None:
    browser, base = reader
    [entity_id] = entities_write(acme, aircraft("N1"))
    entities_write(globex, aircraft("N1", owner="globex"))
    for text in ("N1", str(entity_id)):
        response = browser.get(f"{base}entities/", {"q": text})
        assert (response.status_code, response.headers["Location"]) == (302, f"/admin/{base}entities/{entity_id}/")
    html = browser.text(f"{base}entities/{entity_id}/")
    assert "N1" in html
    assert "globex" not in html


def test_one_external_id_of_several_types_is_a_list_and_the_type_narrows_it(
    acme: Tenant, reader: tuple[Browser, str]
) -> None:
    browser, base = reader
    ids = entities_write(acme, aircraft("7"), {"entity_type": "gate", "external_id": "7", "attributes": {"open": True}})
    html = browser.text(f"{base}entities/", data={"q": "7"})
    assert "2 entities are called" in html
    response = browser.get(f"{base}entities/", {"q": "7", "type": "gate"})
    assert response.headers["Location"].endswith(f"/entities/{ids[1]}/")


def test_the_beginning_of_an_external_id_is_enough(acme: Tenant, reader: tuple[Browser, str]) -> None:
    browser, base = reader
    entities_write(acme, aircraft("N100"), aircraft("N1%_\U0010ffff"), aircraft("X1"))
    html = browser.text(f"{base}entities/", data={"q": "N1"})
    assert "None is called exactly" in html
    assert "N100" in html
    assert "N1%_" in html
    assert ">X1<" not in html
    assert "Nothing is called" in browser.text(f"{base}entities/", data={"q": "n1"})


@pytest.mark.parametrize("text", ["9" * 30, "\x00", "'; drop table entities; --", "-1", "9223372036854775808", "٣"])
def test_strange_look_ups_find_nothing_and_break_nothing(acme: Tenant, text: str) -> None:
    browser = tenant_browser(acme)
    assert browser.get("entities/", {"q": text, "type": text}).status_code == 200


def test_without_a_question_the_newest_are_shown_a_page_at_a_time(acme: Tenant, reader: tuple[Browser, str]) -> None:
    browser, base = reader
    entities_write(acme, *(aircraft(f"N{number:03}") for number in range(30)))
    first = browser.get(f"{base}entities/")
    older = first.context["next_query"]
    second = browser.get(f"{base}entities/?{older}")
    shown = [row.external_id for page in (first, second) for row in page.context["rows"]]
    assert len(shown) == len(set(shown)) == 30
    assert browser.get(f"{base}entities/", {"cursor": "made up"}).status_code == 200


def test_an_entity_shows_every_value_with_its_type(acme: Tenant, reader: tuple[Browser, str]) -> None:
    browser, base = reader
    values = {
        "seats": 149,
        "active": False,
        "seen": "2026-01-31T12:00:00Z",
        "note": "<script>alert(1)</script>",
        "empty": "",
        "odd name: &<": "1.10",
        "story": LONG,
    }
    [entity_id] = entities_write(acme, aircraft("N1", **values))
    html = browser.text(f"{base}entities/{entity_id}/")
    for kind in ("number", "boolean", "timestamp", "string"):
        assert f"at-type-{kind}" in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<script>alert" not in html
    assert "odd name: &amp;&lt;" in html
    assert "empty text" in html
    assert "13,000 characters" in html
    assert LONG not in html
    whole = browser.get(f"{base}entities/{entity_id}/value/", {"name": "story"})
    assert whole.content.decode() == LONG
    assert browser.get(f"{base}entities/{entity_id}/value/", {"name": "nothing"}).status_code == 404


def test_many_values_are_paged_and_found_by_a_part_of_the_name(acme: Tenant) -> None:
    browser = tenant_browser(acme)
    [entity_id] = entities_write(acme, aircraft("N1", **{f"Name {number:03}": number for number in range(250)}))
    first = browser.get(f"entities/{entity_id}/")
    second = browser.get(f"entities/{entity_id}/?{first.context['next_query']}")
    names = [value.name for page in (first, second) for value in page.context["page"].values]
    assert names == [f"Name {number:03}" for number in range(250)]
    assert first.context["page"].total == 250
    found = browser.get(f"entities/{entity_id}/", {"name": "name 24"})
    assert [value.name for value in found.context["page"].values] == [f"Name {number}" for number in range(240, 250)]
    assert "No name contains" in browser.text(f"entities/{entity_id}/", data={"name": "nowhere"})


def test_another_tenants_entity_is_not_there(acme: Tenant, globex: Tenant) -> None:
    [theirs] = entities_write(globex, aircraft("N-secret", owner="globex"))
    entities_write(acme, aircraft("N1"))
    member = tenant_browser(acme)
    assert member.get(f"entities/{theirs}/").status_code == 404
    assert member.get(f"entities/{theirs}/value/", {"name": "owner"}).status_code == 404
    for text in (str(theirs), "N-secret", "N-"):
        assert "Nothing is called" in member.text("entities/", data={"q": text})
    # Nor for a platform admin who looks into the wrong tenant.
    assert platform_browser().get(f"tenants/{acme.slug}/entities/{theirs}/").status_code == 404


def test_a_cursor_of_another_tenant_shows_ones_own_first_page(acme: Tenant, globex: Tenant) -> None:
    entities_write(
        globex, *(aircraft(f"OF-GLOBEX-{number:03}", **{f"of_globex_{number:03}": 1}) for number in range(60))
    )
    entities_write(acme, aircraft("N1"))
    theirs, ours = tenant_browser(globex), tenant_browser(acme)
    for page, mark in (("entities/", "OF-GLOBEX"), ("attributes/", "of_globex")):
        query = theirs.get(page).context["next_query"]
        assert query
        html = ours.text(f"{page}?{query}")
        assert mark not in html


def test_no_attribute_is_renamed_to_a_name_that_nobody_has_looked_at(acme: Tenant, reader: tuple[Browser, str]) -> None:
    browser, base = reader
    entities_write(acme, aircraft("N1", seat=1), aircraft("N2", seats=2))
    path = f"{base}attributes/one/rename/?name=seat"
    told = {"target": "seats", "action": "rename"}
    for previewed in ({}, {"previewed": "places"}):
        answer = browser.post(path, {**told, **previewed})
        assert answer.status_code == 200
        assert "This is a merge." in answer.content.decode()
    assert browser.post(path, {**told, "previewed": "seats"}).status_code == 302


def test_the_registry_shows_types_with_counts(acme: Tenant, globex: Tenant, reader: tuple[Browser, str]) -> None:
    browser, base = reader
    entities_write(acme, aircraft("N1", code=1, open=True), aircraft("N2", code="one"), aircraft("N3", code=2))
    entities_write(globex, aircraft("N1", secret_name=1))
    html = browser.text(f"{base}attributes/")
    assert "number 2" in html
    assert "text 1" in html
    assert "not yet" in html
    assert "secret_name" not in html
    narrowed = browser.text(f"{base}attributes/", data={"q": "CO"})
    assert "code" in narrowed
    assert "true or false 1" not in narrowed
    assert "No attribute fits" in browser.text(f"{base}attributes/", data={"q": "nothing like it"})


def test_the_registry_is_paged_by_cursor(acme: Tenant) -> None:
    entities_write(acme, aircraft("N1", **{f"a{number:03}": number for number in range(120)}))
    browser, query, names = tenant_browser(acme), "", []
    while True:
        page = browser.get(f"attributes/?{query}")
        names += [attribute.name for attribute in page.context["page"].attributes]
        query = page.context["next_query"]
        if not query:
            break
    assert names == [f"a{number:03}" for number in range(120)]


def test_a_platform_admin_chooses_the_tenant_first(acme: Tenant, globex: Tenant) -> None:
    browser = platform_browser()
    for page in ("entities/", "attributes/"):
        html = browser.text(page, data={"q": acme.slug})
        assert f"/admin/tenants/{acme.slug}/{page}" in html
        assert globex.slug not in html


def test_an_empty_tenant_is_told_what_to_do_next(acme: Tenant) -> None:
    admin, member = tenant_browser(acme), tenant_browser(acme, role=Role.VIEWER)
    assert "/admin/tokens/new/" in admin.text("")
    assert "curl -X POST" in admin.text("entities/")
    assert "Ask an admin for a token" in member.text("")
    assert "The registry fills itself" in admin.text("attributes/")


def test_usage_counts_what_there_is(acme: Tenant, globex: Tenant) -> None:
    entities_write(acme, aircraft("N1", a=1, b=2), aircraft("N2", a=1))
    with tenant_bind(acme):
        usage = tenant_usage(tenant_id=acme.pk, using="default")
    assert (usage.entities.number, usage.entities.kind) == (2, "exact")
    assert usage.values.number == 3
    assert usage.attributes is not None
    assert usage.attributes.number == 2
    home = tenant_browser(acme).text("")
    assert '<strong class="at-tile-number">2</strong>' in home


def test_pages_cost_the_same_however_much_there_is(acme: Tenant, django_assert_max_num_queries: Any) -> None:
    ids = entities_write(acme, *(aircraft(f"N{number:03}", a=number, b="x") for number in range(40)))
    browser = tenant_browser(acme)
    # Session and user are two, the position of the source is one, a search of the newest up to seven.
    for path, queries in (
        ("", 16),  # Its badge counts alerts, the search asks how large the tenant is.
        ("entities/", 18),
        ("entities/?q=N0", 9),
        (f"entities/{ids[0]}/", 10),
        ("attributes/", 7),
    ):
        with django_assert_max_num_queries(queries, connection=connections["default"]):
            assert browser.get(path).status_code == 200
