"""The entity browser's pages: the table a filter leads to, and what the filter is suggested."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from django.db import connections

from entities.search import run
from tenants.members.models import Role
from tenants.models import Tenant
from tests.admin_client import Browser, platform_browser, tenant_browser
from tests.browser.data import aircraft, entities_write


@pytest.fixture(autouse=True)
def _quick_passwords(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(params=["tenant", "platform"])
def reader(request: pytest.FixtureRequest, acme: Tenant) -> tuple[Browser, str]:
    """Somebody who may see acme's data, and where: its own admin, and a platform admin who looks in."""
    if request.param == "tenant":
        return tenant_browser(acme), ""
    return platform_browser(), f"tenants/{acme.slug}/"


def shown(response: Any) -> list[str]:
    assert response.status_code == 200
    return [row.entity.external_id for row in response.context["table"]]


def asking(*where: Any) -> str:
    return orjson.dumps(list(where)).decode()


def test_a_filter_finds_what_the_api_would(acme: Tenant, globex: Tenant, reader: tuple[Browser, str]) -> None:
    browser, base = reader
    entities_write(
        acme,
        aircraft("N1", seats=100, owner="acme"),
        aircraft("N2", seats=200, owner="acme", retired=True),
        aircraft("N3", seats="200"),
        {"entity_type": "gate", "external_id": "G1", "attributes": {"seats": 300}},
    )
    entities_write(globex, aircraft("G-SECRET", seats=500))
    page = f"{base}entities/"
    assert set(shown(browser.get(page, {"where": asking(["seats", "ge", 200])}))) == {"N2", "G1"}
    assert shown(browser.get(page, {"where": asking(["seats", "ge", 200]), "type": "aircraft"})) == ["N2"]
    either = '{"any":[["retired","exists"],{"not":["owner","exists"]}]}'
    assert set(shown(browser.get(page, {"where": either}))) == {"N2", "N3", "G1"}
    two_of = '{"at_least":2,"of":[["seats","eq",200],["owner","eq","acme"],["@external_id","prefix","N"]]}'
    assert set(shown(browser.get(page, {"where": two_of}))) == {"N1", "N2"}
    assert shown(browser.get(page, {"sort": "external_id"})) == ["G1", "N1", "N2", "N3"]
    html = browser.text(page, data={"where": asking(["seats", "eq", 7])})
    assert "No entity satisfies this filter" in html


def test_columns_are_those_chosen_or_what_the_entities_have(acme: Tenant, reader: tuple[Browser, str]) -> None:
    browser, base = reader
    entities_write(acme, aircraft("N1", seats=149, seen="2026-01-31T12:00:00Z", note="<b>x</b>" * 100, on=False))
    page = browser.get(f"{base}entities/", {"column": ["note", "@created_at", "nobody"]})
    assert [head["title"] for head in page.context["heads"]] == ["External id", "note", "Created", "nobody"]
    html = page.content.decode()
    assert "&lt;b&gt;" in html
    assert "<b>x" not in html
    kinds = [cell.kind for cell in page.context["table"][0].cells]
    assert kinds == ["string", "instant", "missing"]
    assert page.context["table"][0].cells[0].is_cut
    automatic = browser.get(f"{base}entities/", {"type": "aircraft"})
    assert {name for name, _ in automatic.context["columns"]} >= {"seats", "seen", "on", "@updated_at"}
    tested = browser.get(f"{base}entities/", {"where": asking(["nobody", "missing"])})
    assert tested.context["columns"][1][0] == "nobody"


def test_a_page_leads_to_the_next_with_the_same_question(acme: Tenant) -> None:
    browser = tenant_browser(acme)
    entities_write(acme, *(aircraft(f"N{number:02}", seats=number) for number in range(40)))
    first = browser.get("entities/", {"where": asking(["seats", "ge", 5]), "sort": "external_id", "column": "seats"})
    second = browser.get(f"entities/?{first.context['next_query']}")
    assert shown(first) + shown(second) == [f"N{number:02}" for number in range(5, 40)]
    assert second.context["next_query"] == ""
    assert second.context["state"].columns == ("seats",)
    # A cursor of another question is worth the first page.
    other = browser.get(f"entities/?{first.context['next_query'].replace('5]]', '6]]')}")
    assert shown(other)[0] == "N06"


def test_faults_are_shown_in_words_and_nothing_is_searched(acme: Tenant, reader: tuple[Browser, str]) -> None:
    browser, base = reader
    entities_write(acme, aircraft("N1"))
    for where, words in (('[["a","gt","x"]]', "compares numbers"), ("nonsense", "not JSON"), ('{"x":1}', "A node is")):
        response = browser.get(f"{base}entities/", {"where": where})
        html = response.content.decode()
        assert response.status_code == 200
        assert words in html
        assert "can’t be understood yet" in html
        assert ">N1<" not in html


def test_the_same_search_is_there_to_copy(acme: Tenant, reader: tuple[Browser, str]) -> None:
    browser, base = reader
    entities_write(acme, aircraft("N1", seats=1))
    response = browser.get(f"{base}entities/", {"where": asking(["seats", "eq", 1])})
    assert f"http://{acme.slug}.localhost/api/v1/entities/search/" in response.context["code"]["curl"]
    assert '["seats","eq",1]' in response.context["code"]["curl"]


def test_the_total_is_counted_beside_the_page(
    acme: Tenant, reader: tuple[Browser, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, base = reader
    entities_write(acme, *(aircraft(f"N{number:02}", seats=number) for number in range(40)))
    assert "<strong>40</strong>" in browser.text(f"{base}entities/count/")
    assert "<strong>35</strong>" in browser.text(f"{base}entities/count/", data={"where": asking(["seats", "ge", 5])})
    assert "Not counted" in browser.text(f"{base}entities/count/", data={"where": "x"})
    # Of more than are looked at, about how many.
    monkeypatch.setattr(run, "ESTIMATE_SAMPLE", 10)
    assert "about " in browser.text(f"{base}entities/count/", data={"where": asking(["seats", "ge", 5])})


def test_a_search_is_explained(acme: Tenant, globex: Tenant, reader: tuple[Browser, str]) -> None:
    browser, base = reader
    entities_write(acme, *(aircraft(f"N{number:02}", seats=number) for number in range(40)))
    entities_write(globex, aircraft("N1", seats=40))
    query = {"where": asking(["seats", "ge", 5])}
    html = browser.text(f"{base}entities/explain/", data=query)
    assert "are expected to satisfy it" in html
    assert "Count them" in html
    html = browser.text(f"{base}entities/explain/", data={**query, "counted": ""})
    assert "<strong>35</strong> satisfy it" in html
    assert "seats" in html
    assert "can’t be understood" in browser.text(f"{base}entities/explain/", data={"where": "x"})


def test_names_are_suggested_the_best_first(acme: Tenant, globex: Tenant, reader: tuple[Browser, str]) -> None:
    browser, base = reader
    entities_write(acme, aircraft("N1", owner=1, **{"last owner": "x", "Owner name": "y", "powner": True, "a.*b": 1}))
    entities_write(globex, aircraft("N1", owner_of_globex=1))

    def names(part: str, **more: str) -> list[str]:
        answer = browser.get(f"{base}entities/names/", {"part": part, **more}).json()
        return [known["name"] for known in answer["names"]]

    assert names("owner") == ["owner", "Owner name", "last owner", "powner"]
    assert names("OWN")[-1] == "powner"
    assert names(".*") == ["a.*b"]
    assert names("@") == ["@created_at", "@updated_at", "@entity_type", "@external_id"]
    assert names("", **{"for": "columns"})[-1] == "@entity_id"
    [known] = browser.get(f"{base}entities/names/", {"part": "powner"}).json()["names"]
    assert known["types"] == {"boolean": 1}
    for strange in ("\x00", "'", "\\", "%", "(", "x" * 1000):
        assert browser.get(f"{base}entities/names/", {"part": strange}).status_code == 200


def test_values_are_suggested_with_their_types(acme: Tenant, globex: Tenant, reader: tuple[Browser, str]) -> None:
    browser, base = reader
    entities_write(
        acme, aircraft("N1", v="Boeing"), aircraft("N2", v="Boeing"), aircraft("N3", v="A Boeing"),
        aircraft("N4", v=9007199254740993), aircraft("N5", v=True), aircraft("N6", v=1),
    )  # fmt: skip
    entities_write(globex, aircraft("N7", v="Boeing of globex"))

    def values(name: str, part: str = "") -> list[tuple[str, str]]:
        answer = browser.get(f"{base}entities/values/", {"name": name, "part": part}).json()
        return [(value["type"], value["text"]) for value in answer["values"]]

    assert values("v", "boe") == [("string", "Boeing"), ("string", "A Boeing")]
    assert values("v")[0] == ("string", "Boeing")
    assert {("number", "9007199254740993"), ("boolean", "true"), ("number", "1")} <= set(values("v"))
    assert values("@entity_type", "air") == [("string", "aircraft")]
    assert values("@external_id", "N") == [("string", f"N{number}") for number in range(1, 7)]
    assert values("nobody") == []


def test_hidden_names_are_suggested_only_where_they_are_spelled_out(acme: Tenant) -> None:
    browser = tenant_browser(acme)
    entities_write(acme, aircraft("N1", secretive=1, secret=2))
    from entities.services import attribute_describe
    from tenants.binding import tenant_bind

    with tenant_bind(acme):
        attribute_describe(tenant_id=acme.pk, name="secretive", changes={"status": "hidden"})
    names = [known["name"] for known in browser.get("entities/names/", {"part": "secret"}).json()["names"]]
    assert names == ["secret"]
    assert browser.get("entities/names/", {"part": "secretive"}).json()["names"][0]["status"] == "hidden"


def test_a_filtered_page_costs_the_same_however_much_there_is(acme: Tenant, django_assert_max_num_queries: Any) -> None:
    entities_write(acme, *(aircraft(f"N{number:03}", seats=number, owner="x") for number in range(60)))
    browser = tenant_browser(acme)
    where = asking(["seats", "ge", 1], ["owner", "eq", "x"])
    for path, queries in (
        (f"entities/?where={where}&type=aircraft", 18),
        ("entities/?column=seats&column=owner", 17),
        (f"entities/count/?where={where}", 15),
        ("entities/names/?part=o", 6),
        ("entities/values/?name=owner", 7),
    ):
        with django_assert_max_num_queries(queries, connection=connections["default"]):
            assert browser.get(path).status_code == 200


# --- Saved searches ---------------------------------------------------------------------------------------------------
def save(browser: Browser, base: str, question: str, **form: Any) -> Any:
    return browser.post(f"{base}entities/searches/new/?{question}", form)


def test_a_search_is_kept_with_its_columns_and_opens_as_it_was(acme: Tenant, reader: tuple[Browser, str]) -> None:
    browser, base = reader
    entities_write(acme, aircraft("N1", seats=10), aircraft("N2", seats=20))
    question = 'type=aircraft&where=[["seats","ge",20]]&sort=external_id&column=seats'
    response = save(browser, base, question, name="Large ones", shared="on")
    assert response.status_code == 302
    opened = browser.get(response.headers["Location"])
    assert shown(opened) == ["N2"]
    assert opened.context["opened"].name == "Large ones"
    assert opened.context["state"].columns == ("seats",)
    assert not opened.context["may_update"]
    # Another filter under the same name, once saved.
    number = opened.context["opened"].pk
    changed = browser.get(f'{base}entities/?search={number}&type=aircraft&where=[["seats","ge",10]]')
    assert changed.context["may_update"]
    other = 'type=aircraft&where=[["seats","ge",10]]'
    browser.post(f"{base}entities/searches/{number}/?{other}", {"name": "All of them", "shared": "on"})
    html = browser.text(f"{base}entities/searches/")
    assert "All of them" in html
    assert "aircraft where seats ≥ 10" in html
    assert browser.post(f"{base}entities/searches/{number}/delete/").status_code == 302
    left = browser.get(f"{base}entities/searches/").context["rows"]
    assert number not in [row["search"].pk for row in left]


def test_private_searches_are_seen_by_their_owner_only(acme: Tenant) -> None:
    one, other = tenant_browser(acme, role=Role.EDITOR), tenant_browser(acme)
    for name, shared in (("mine", {}), ("ours", {"shared": "on"})):
        save(one, "", 'where=[["a","exists"]]', name=name, **shared)
    rows = {row["search"].name: row for row in one.get("entities/searches/").context["rows"]}
    assert {"mine", "ours"} <= set(rows)
    theirs = {row["search"].name: row for row in other.get("entities/searches/").context["rows"]}
    assert "ours" in theirs and "mine" not in theirs
    assert other.get(f"entities/searches/{rows['mine']['search'].pk}/").status_code == 404
    assert other.post(f"entities/searches/{rows['mine']['search'].pk}/delete/").status_code == 404
    # A member changes nothing of what another shares; an admin may.
    third = tenant_browser(acme, role=Role.EDITOR)
    assert third.post(f"entities/searches/{rows['ours']['search'].pk}/delete/").status_code == 403
    assert other.post(f"entities/searches/{rows['ours']['search'].pk}/delete/").status_code == 302


def test_another_tenants_search_is_not_there(acme: Tenant, globex: Tenant) -> None:
    theirs, ours = tenant_browser(globex), tenant_browser(acme)
    save(theirs, "", 'where=[["of_globex","exists"]]', name="of globex", shared="on")
    [number] = [
        row["search"].pk
        for row in theirs.get("entities/searches/").context["rows"]
        if row["search"].name == "of globex"
    ]
    for step in ("", "delete/"):
        assert ours.get(f"entities/searches/{number}/{step}").status_code == 404
    assert "of globex" not in ours.text("entities/searches/")
    assert "of globex" not in ours.text("entities/")


def test_the_default_of_a_type_opens_with_it(acme: Tenant) -> None:
    browser, colleague = tenant_browser(acme), tenant_browser(acme, role=Role.EDITOR)
    entities_write(acme, aircraft("N1", seats=10))
    save(browser, "", "type=aircraft&column=seats", name="shared default", shared="on", default="on")
    assert "column=seats" in colleague.get("entities/?type=aircraft").headers["Location"]
    save(colleague, "", "type=aircraft&column=owner", name="own default", default="on")
    assert "column=owner" in colleague.get("entities/?type=aircraft").headers["Location"]
    save(colleague, "", "type=aircraft&column=maker", name="newer default", default="on")
    assert "column=maker" in colleague.get("entities/?type=aircraft").headers["Location"]
    assert colleague.get("entities/?type=aircraft&sort=entity_id").status_code == 200
    # For the tenants are kept: what a test leaves would open in the next one.
    for row in browser.get("entities/searches/").context["rows"]:
        browser.post(f"entities/searches/{row['search'].pk}/delete/")


def test_a_search_needs_a_name_of_its_own_and_a_filter_that_is_understood(acme: Tenant) -> None:
    browser = tenant_browser(acme)
    question = 'where=[["a","exists"]]'
    assert save(browser, "", question, name="twice").status_code == 302
    again = save(browser, "", question, name="twice")
    assert again.status_code == 200
    assert "already have a saved search of this name" in again.content.decode()
    broken = save(browser, "", "where=[[1]]", name="broken")
    assert "is not understood yet" in broken.content.decode()
