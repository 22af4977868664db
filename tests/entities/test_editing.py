"""Edits of one value by people: typed, checked, against what they saw, noted; and the end of an entity."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from atlasco.lib.clock import now
from entities.editing import MISSING, value_digest, value_parse
from entities.governance import store
from entities.services import InvalidEntity
from tenants.binding import tenant_bind
from tenants.members.models import Role
from tenants.models import AuditEntry, Tenant
from tests.admin_client import Browser, platform_browser, tenant_browser
from tests.browser.data import aircraft, entities_write


@pytest.fixture(autouse=True)
def _quick_passwords(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(params=["editor", "platform"])
def editor(request: pytest.FixtureRequest, acme: Tenant) -> tuple[Browser, str]:
    """Somebody who may change acme's data, and where."""
    if request.param == "editor":
        return tenant_browser(acme, role=Role.EDITOR), ""
    return platform_browser(), f"tenants/{acme.slug}/"


def attributes(tenant: Tenant, entity_id: int) -> dict[str, Any]:
    from entities.selectors import entity_get

    with tenant_bind(tenant):
        found: dict[str, Any] = orjson.loads(
            entity_get(tenant_id=tenant.pk, entity_id=entity_id, using="default").attributes
        )
    return found


def send(browser: Browser, base: str, entity_id: int, name: str, kind: str, text: str, seen: Any, **more: str) -> Any:
    form = {"name": name, "type": kind, f"value_{kind}": text, "seen": value_digest(seen), **more}
    return browser.post(f"{base}entities/{entity_id}/edit/", form)


def entries(tenant: Tenant, entity_id: int) -> list[AuditEntry]:
    with tenant_bind(tenant):
        return list(AuditEntry.objects.filter(tenant_id=tenant.pk, subject=f"entity:{entity_id}").order_by("audit_id"))


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("number", " 9007199254740993 ", 9007199254740993),
        ("number", "-0.5", -0.5),
        ("boolean", "false", False),
        ("string", "a\r\nb", "a\nb"),
        ("string", "", ""),
        ("string", "1.10", "1.10"),
        ("timestamp", "2026-01-31", "2026-01-31T00:00:00Z"),
        ("timestamp", "2026-01-31 12:30", "2026-01-31T12:30:00Z"),
        ("timestamp", "2026-01-31T12:00:00.5+01:00", "2026-01-31T12:00:00.5+01:00"),
    ],
)
def test_what_is_typed_becomes_a_value_of_the_type_chosen(kind: str, text: str, value: Any) -> None:
    parsed = value_parse(kind=kind, text=text)
    assert (type(parsed), parsed) == (type(value), value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [("number", "12x"), ("number", ""), ("number", "٣"), ("number", "01"), ("number", "1e999"), ("boolean", "yes"),
     ("timestamp", "tomorrow"), ("timestamp", "2026-02-30"), ("string", "a\x00b")],
)  # fmt: skip
def test_what_is_no_value_of_its_type_is_refused_in_words(kind: str, text: str) -> None:
    with pytest.raises(InvalidEntity):
        value_parse(kind=kind, text=text)


def test_digests_tell_values_apart_type_and_all() -> None:
    values: list[Any] = [None, "", "1", 1, True, 1.5, "true", False, 0]
    assert len({value_digest(value) for value in values}) == len(values)
    assert value_digest(1) == value_digest(1.0)
    assert value_digest(None) == MISSING


def test_a_value_is_changed_in_its_type_or_another_and_the_log_tells(
    acme: Tenant, globex: Tenant, editor: tuple[Browser, str]
) -> None:
    browser, base = editor
    [entity_id] = entities_write(acme, aircraft("N1", seats=149, note="old"))
    [theirs] = entities_write(globex, aircraft("N1", seats=149))
    assert send(browser, base, entity_id, "seats", "number", "150", 149).status_code == 302
    assert send(browser, base, entity_id, "note", "boolean", "true", "old").status_code == 302
    assert send(browser, base, entity_id, "added", "string", "new", None).status_code == 302
    assert attributes(acme, entity_id) == {"seats": 150, "note": True, "added": "new"}
    assert send(browser, base, entity_id, "note", "boolean", "", True, do="remove").status_code == 302
    assert attributes(acme, entity_id) == {"seats": 150, "added": "new"}
    log = entries(acme, entity_id)
    assert [(entry.before, entry.after) for entry in log] == [
        ({"seats": 149}, {"seats": 150}),
        ({"note": "old"}, {"note": True}),
        ({}, {"added": "new"}),
        ({"note": True}, {}),
    ]  # fmt: skip
    # The page says by whom, of those values only that a person set last.
    html = browser.text(f"{base}entities/{entity_id}/")
    assert html.count(f"by {log[0].actor}") == 2
    entities_write(acme, aircraft("N1", seats=151))
    assert browser.text(f"{base}entities/{entity_id}/").count(f"by {log[0].actor}") == 1
    assert attributes(globex, theirs) == {"seats": 149}


def test_a_value_that_somebody_else_has_changed_is_not_overwritten_unasked(
    acme: Tenant, editor: tuple[Browser, str]
) -> None:
    browser, base = editor
    [entity_id] = entities_write(acme, aircraft("N1", seats=149, owner="acme"))
    # Another attribute of the entity is not a conflict.
    entities_write(acme, aircraft("N1", owner="globex"))
    assert send(browser, base, entity_id, "seats", "number", "150", 149).status_code == 302
    entities_write(acme, aircraft("N1", seats=999))
    response = send(browser, base, entity_id, "seats", "number", "151", 150)
    html = response.content.decode()
    assert response.status_code == 409
    assert "Somebody else has changed this value" in html
    assert "999" in html
    assert "151" in html
    assert attributes(acme, entity_id)["seats"] == 999
    # Having seen it, one may.
    assert send(browser, base, entity_id, "seats", "number", "151", 999).status_code == 302
    assert attributes(acme, entity_id)["seats"] == 151
    # Adding what somebody has added meanwhile, and removing what was removed, are conflicts, too.
    assert send(browser, base, entity_id, "owner", "string", "me", None).status_code == 409
    assert "has removed this attribute" in send(browser, base, entity_id, "gone", "string", "x", "y").content.decode()


def test_htmx_gets_a_row_and_words_where_something_is_wrong(acme: Tenant) -> None:
    browser = tenant_browser(acme, role=Role.EDITOR)
    browser.defaults["HTTP_HX_REQUEST"] = "true"
    [entity_id] = entities_write(acme, aircraft("N1", seats=149))
    page = f"entities/{entity_id}/edit/"
    form = browser.get(page, {"name": "seats"}).content.decode()
    assert "<tr" in form
    assert "<html" not in form
    assert f'value="{value_digest(149)}"' in form
    wrong = browser.post(page, {"name": "seats", "type": "number", "value_number": "x", "seen": "?"})
    assert "is not a number" in wrong.content.decode()
    right = browser.post(page, {"name": "seats", "type": "number", "value_number": "7", "seen": value_digest(149)})
    assert "Saved" in right.content.decode()
    assert attributes(acme, entity_id) == {"seats": 7}
    assert "Saved" not in browser.get(page, {"name": "seats", "show": "1"}).content.decode()


def test_a_viewer_changes_nothing(acme: Tenant) -> None:
    browser = tenant_browser(acme, role=Role.VIEWER)
    [entity_id] = entities_write(acme, aircraft("N1", seats=149))
    assert send(browser, "", entity_id, "seats", "number", "1", 149).status_code == 403
    assert browser.post(f"entities/{entity_id}/delete/").status_code == 403
    assert attributes(acme, entity_id) == {"seats": 149}
    html = browser.text(f"entities/{entity_id}/")
    assert "Edit seats" not in html
    assert "Add attribute" not in html


def test_an_entity_is_deleted_once_asked_and_the_log_keeps_what_it_was(
    acme: Tenant, editor: tuple[Browser, str]
) -> None:
    browser, base = editor
    [entity_id] = entities_write(acme, aircraft("N1", seats=149))
    assert "Its 1 value go" in browser.text(f"{base}entities/{entity_id}/delete/").replace("goes", "go")
    assert browser.post(f"{base}entities/{entity_id}/delete/").status_code == 302
    assert browser.get(f"{base}entities/{entity_id}/").status_code == 404
    [entry] = entries(acme, entity_id)
    assert entry.before is not None
    assert entry.before["attributes"] == {"seats": 149}
    assert entry.before["external_id"] == "N1"


def test_another_tenants_entity_can_not_be_changed(acme: Tenant, globex: Tenant, editor: tuple[Browser, str]) -> None:
    browser, base = editor
    [theirs] = entities_write(globex, aircraft("N1", seats=149))
    assert browser.get(f"{base}entities/{theirs}/edit/", {"name": "seats"}).status_code == 404
    assert send(browser, base, theirs, "seats", "number", "1", 149).status_code == 404
    assert browser.post(f"{base}entities/{theirs}/delete/").status_code == 404
    assert attributes(globex, theirs) == {"seats": 149}


def test_a_rule_of_the_tenant_holds_for_people_too(acme: Tenant) -> None:
    browser = tenant_browser(acme, role=Role.EDITOR)
    [entity_id] = entities_write(acme, aircraft("N1", seats=149))
    with tenant_bind(acme):
        store.rule_set(
            tenant_id=acme.pk, name="seats", mode="enforce", conditions={"maximum": 853}, updated_by="test", now=now()
        )
    response = send(browser, "", entity_id, "seats", "number", "900", 149)
    assert response.status_code == 400
    assert "853" in response.content.decode()
    assert attributes(acme, entity_id) == {"seats": 149}
    assert entries(acme, entity_id) == []


def test_a_value_dated_later_than_now_is_replaced_too(acme: Tenant) -> None:
    browser = tenant_browser(acme, role=Role.EDITOR)
    [entity_id] = entities_write(acme, {**aircraft("N1", seats=149), "at": "2199-01-01T00:00:00Z"})
    assert send(browser, "", entity_id, "seats", "number", "1", 149).status_code == 302
    assert attributes(acme, entity_id) == {"seats": 1}
