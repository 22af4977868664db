"""Who is let in, and what of another tenant can be seen or touched: nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from atlasco.lib import clock
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tenants.selectors import token_list
from tenants.services import tenant_host, tenant_resume, tenant_suspend, token_revoke
from tenants.tokens import token_make
from tests.api.client import Client, line
from tests.api.conftest import Clients
from tests.waiting import wait_until

# Every path and method, with what it takes; {id} is an entity's.
OPERATIONS: list[tuple[str, str, Any]] = [
    ("GET", "/entities/", None),
    ("POST", "/entities/", {"entity_type": "lamp", "external_id": "new"}),
    ("GET", "/entities/{id}/", None),
    ("HEAD", "/entities/{id}/", None),
    ("PATCH", "/entities/{id}/", {"attributes": {"a": 2}}),
    ("DELETE", "/entities/{id}/", None),
    ("GET", "/entities/{id}/attributes/a/", None),
    ("PUT", "/entities/{id}/attributes/a/", {"value": 2}),
    ("DELETE", "/entities/{id}/attributes/a/", None),
    ("POST", "/entities/import/", {"entity_type": "lamp", "external_id": "new", "attributes": {}}),
    ("POST", "/entities/search/", {}),
    ("POST", "/analytics/aggregate/", {"fn": "count"}),
    ("GET", "/attributes/", None),
    ("GET", "/attributes/a/", None),
    ("PATCH", "/attributes/a/", {"unit": "W"}),
    ("GET", "/imports/", None),
    ("GET", "/freshness/", None),
    ("POST", "/freshness/explain/", {"operation": "search"}),
    ("GET", "/freshness/defaults/", None),
    ("PATCH", "/freshness/defaults/", {}),
]
EVERY_OPERATION = pytest.mark.parametrize(
    ("method", "path", "body"), OPERATIONS, ids=[f"{m} {p}" for m, p, _ in OPERATIONS]
)
READS = {("POST", "/entities/search/"), ("POST", "/analytics/aggregate/"), ("POST", "/freshness/explain/")}


def is_read(method: str, path: str) -> bool:
    return method in {"GET", "HEAD"} or (method, path) in READS


@pytest.fixture
def entity_id(acme: Client) -> str:
    return str(acme.create("1", a=1)["entity_id"])


def untouched(acme: Client) -> bool:
    page = acme.get("/entities/").body["entities"]
    return [(entity["external_id"], entity["attributes"]) for entity in page] == [("1", {"a": 1})]


@EVERY_OPERATION
def test_without_a_good_token_nothing_is_done(
    method: str, path: str, body: Any, acme: Client, entity_id: str, clients: Clients
) -> None:
    path = path.format(id=entity_id)
    good = acme.token
    bad = {
        None: "not_authenticated",
        "": "not_authenticated",
        "Bearer": "malformed_token",
        f"Basic {good}": "malformed_token",
        good: "malformed_token",
        f"Bearer {good} x": "malformed_token",
        "Bearer nonsense": "malformed_token",
        f"Bearer {good[:-1]}{'A' if good[-1] != 'A' else 'B'}": "invalid_token",
        f"Bearer {token_make(tenant_id=acme.tenant.pk)}": "invalid_token",
        f"Bearer {token_make(tenant_id=2**31 - 1)}": "invalid_token",
        f"Bearer {clients.token(acme.tenant, expired=True)}": "invalid_token",
    }
    for header, code in bad.items():
        answer = acme.ask(method, path, body, headers={"Authorization": header})
        assert answer.status == 401, header
        assert (answer.header("WWW-Authenticate") or "").startswith('Bearer realm="atlasco"')
        assert method == "HEAD" or answer.code == code
    assert untouched(acme)


def test_a_revoked_token_is_refused_from_the_next_request_on(acme: Client, clients: Clients) -> None:
    client = dataclasses.replace(acme, token=clients.token(acme.tenant))
    assert client.get("/entities/").status == 200
    with tenant_bind(acme.tenant):
        newest = token_list(tenant=acme.tenant).first()
        assert newest is not None
    token_revoke(tenant=acme.tenant, token_id=newest.pk, now=clock.now())
    assert (client.get("/entities/").status, client.get("/entities/").code) == (401, "invalid_token")
    assert acme.get("/entities/").status == 200


@EVERY_OPERATION
def test_a_token_opens_what_its_scopes_say(
    method: str, path: str, body: Any, acme: Client, entity_id: str, clients: Clients
) -> None:
    for scope in ("read", "write"):
        client = dataclasses.replace(acme, token=clients.token(acme.tenant, scopes=(scope,)))
        answer = client.ask(method, path.format(id=entity_id), body)
        if is_read(method, path) == (scope == "read"):
            assert answer.status in {200, 201, 204}, answer.content
        else:
            assert answer.status == 403
            if method != "HEAD":
                assert (answer.code, answer.body["required_scope"]) == (
                    "insufficient_scope",
                    "read" if scope == "write" else "write",
                )


@EVERY_OPERATION
def test_another_tenants_entity_is_not_there(
    method: str, path: str, body: Any, acme: Client, globex: Client, entity_id: str
) -> None:
    if "{id}" not in path:
        pytest.skip("names no entity")
    answer = globex.ask(method, path.format(id=entity_id), body)
    assert answer.status == 404
    assert method == "HEAD" or answer.code == "entity_not_found"
    assert "lamp" not in str(answer.content) and untouched(acme)


@pytest.mark.parametrize("tier", ["REALTIME", "NEAR_REALTIME", "EVENTUAL"])
def test_no_store_shows_another_tenants_entity(tier: str, acme: Client, globex: Client, entity_id: str) -> None:
    for _ in range(2):  # The second time from whatever keeps what was read.
        for path in (f"/entities/{entity_id}/", f"/entities/{entity_id}/attributes/a/"):
            headers = {"X-Freshness-Tier": tier}
            assert acme.get(path, headers=headers).status == 200
            assert globex.get(path, headers=headers).code == "entity_not_found"
        assert globex.post("/entities/search/", {}, headers={"X-Freshness-Tier": tier}).body["entities"] == []


@EVERY_OPERATION
def test_another_tenants_host_is_the_wrong_one(
    method: str, path: str, body: Any, acme: Client, globex: Client, entity_id: str
) -> None:
    port = urlsplit(acme.url).port
    astray = dataclasses.replace(acme, host=f"{tenant_host(slug=globex.tenant.slug)}:{port}")
    answer = astray.ask(method, path.format(id=entity_id), body)
    assert answer.status == 403 and (method == "HEAD" or answer.code == "wrong_host")
    assert untouched(acme) and globex.search() == []
    home = dataclasses.replace(acme, host=f"{tenant_host(slug=acme.tenant.slug)}:{port}")
    assert home.ask(method, path.format(id=entity_id), body).status in {200, 201, 204}


@pytest.mark.parametrize(
    ("host", "status", "code"),
    [("nobody.localhost", 404, "host_unknown"), ("evil.example", 400, "host_refused"), ("a b", 400, None)],
)
def test_a_host_that_is_nobodys_is_refused(host: str, status: int, code: str | None, acme: Client) -> None:
    client = dataclasses.replace(acme, host=host)
    if code is None:
        # No host name at all: the server below may refuse it before we hear of it.
        answer = client.send("GET", "/api/v1/entities/", None, {"Host": host, "Authorization": f"Bearer {acme.token}"})
        assert answer.status == status
        return
    answer = client.get("/entities/")
    assert (answer.status, answer.code) == (status, code)


def test_tenants_share_nothing_but_the_server(acme: Client, globex: Client) -> None:
    for client, value in ((acme, "ours"), (globex, "theirs")):
        client.import_lines(line("1", secret=value), line(value, secret=value))
    for client, value, other in ((acme, "ours", "theirs"), (globex, "theirs", "ours")):
        assert sorted(client.search()) == sorted(["1", value])
        assert client.search(where=[["secret", "eq", other]]) == []
        assert client.search(where=[["@external_id", "eq", other]]) == []
        assert client.search(where=[{"not": ["secret", "eq", value]}]) == []
        assert client.get("/entities/", params={"external_id": other}).body["entities"] == []
        groups = client.post("/analytics/aggregate/", {"fn": "count", "group_by": "secret"}).body["groups"]
        assert groups == [{"key": value, "value": 2, "count": 2}]
        assert client.post("/entities/search/", {"count": "exact"}).body["metadata"]["total_count"] == 2
        assert client.get("/attributes/secret/").body["entity_count"] == 2


def test_a_suspended_tenant_is_turned_away_and_keeps_its_data(
    acme: Client, tenant_make: Callable[..., Tenant], clients: Clients
) -> None:
    tenant = tenant_make("globex")
    client = Client(acme.url, tenant, clients.token(tenant))
    client.create("1", a=1)
    tenant_suspend(tenant=tenant, now=clock.now())
    # Other processes remember a tenant for two seconds.
    wait_until(lambda: client.get("/entities/").status == 403, pause_s=0.2)
    for method, path, body in (
        ("GET", "/entities/", None),
        ("POST", "/entities/search/", {}),
        ("POST", "/entities/", {"entity_type": "x"}),
    ):
        answer = client.ask(method, path, body)
        assert (answer.status, answer.code) == (403, "tenant_suspended")
    made_up = dataclasses.replace(client, token=token_make(tenant_id=tenant.pk))
    assert made_up.get("/entities/").code == "invalid_token"
    assert acme.get("/entities/").status == 200
    tenant_resume(tenant=tenant, now=clock.now())
    wait_until(lambda: client.get("/entities/").status == 200, pause_s=0.2)
    assert client.search() == ["1"]
