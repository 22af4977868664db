"""Real data with known answers: imported over HTTP, and every question answered over HTTP, tenant by tenant.

ATLASCO_DATA_DIR names a folder of sets: `NAME.ndjson.gz`, `NAME.answers.json`, and perhaps `NAME.roundtrip.json` with
entities that must come back unchanged. Answers with a `kind` are about streams of updates; those of states are asked.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import os
import re
import secrets
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson
import pytest

from atlasco.lib import clock
from tenants.models import Tenant
from tenants.services import tenant_create, tenant_delete, token_create
from tests.api.client import Client, segment
from tests.entities.model import microseconds_of

DATA_DIR = os.environ.get("ATLASCO_DATA_DIR")
FOLDER = Path(DATA_DIR or ".")
SETS = sorted(path.name.removesuffix(".answers.json") for path in FOLDER.glob("*.answers.json")) if DATA_DIR else []
pytestmark = pytest.mark.skipif(not SETS, reason="ATLASCO_DATA_DIR names no folder with *.answers.json")

# Functions that can't be put together from the answers of several tenants.
WHOLE = {"avg", "min", "max", "median", "p95", "distinct"}


def loaded(name: str, ending: str) -> list[dict[str, Any]]:
    path = FOLDER / f"{name}.{ending}.json"
    items: list[dict[str, Any]] = json.loads(path.read_bytes()) if path.exists() else []
    return items


ANSWERS = [
    pytest.param(name, item, id=item["id"]) for name in SETS for item in loaded(name, "answers") if "kind" not in item
]
STREAMS = [name for name in SETS if any(item.get("kind") == "state_at" for item in loaded(name, "answers"))]
ROUNDTRIPS = [
    pytest.param(name, item, id=f"{name}-{item['tenant']}-{item['external_id']}"[:80])
    for name in SETS
    for item in loaded(name, "roundtrip")
]


class World:
    """One set: its lines by tenant, and a client for each, made and filled when first asked for."""

    def __init__(self, name: str, url: str) -> None:
        self.name, self.url = name, url
        self.lines: dict[str, list[bytes]] = defaultdict(list)
        with gzip.open(FOLDER / f"{name}.ndjson.gz") as file:
            for raw in file:
                self.lines[orjson.loads(raw)["tenant"]].append(raw)
        self._clients: dict[str, Client] = {}
        self.tenants: list[Tenant] = []

    def empty(self, name: str) -> Client:
        """A new tenant's client."""
        word = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:24]
        tenant = tenant_create(slug=f"t{word}-{secrets.token_hex(4)}", name=name, now=clock.now())
        self.tenants.append(tenant)
        return Client(self.url, tenant, token_create(tenant=tenant, name="test", now=clock.now())[1])

    def client(self, name: str) -> Client:
        """A client of the tenant of this name, with all of its lines imported."""
        if name not in self._clients:
            client = self._clients[name] = self.empty(name)
            imported(client, self.lines[name])
        return self._clients[name]

    @cached_property
    def whole(self) -> Client:
        """A client of one tenant that has the lines of all, told apart by their external ids."""
        client = self.empty("whole")
        lines = []
        for name, raws in self.lines.items():
            for raw in raws:
                line = orjson.loads(raw)
                lines.append(orjson.dumps({**line, "external_id": f"{name}:{line['external_id']}"}) + b"\n")
        imported(client, lines)
        return client

    def delete(self) -> None:
        for tenant in self.tenants:
            tenant_delete(tenant=tenant, confirm=tenant.slug, now=clock.now())


def imported(client: Client, lines: list[bytes]) -> None:
    """Import gzipped lines; every one must be taken."""
    headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
    answer = client.post("/entities/import/", data=gzip.compress(b"".join(lines), 1), headers=headers)
    assert answer.status == 200, answer.content[:500]
    body = answer.body
    assert body["received"] == len(lines) == body["created"] + body["updated"] + body["unchanged"]
    # Reads by another client's hands must see it, whoever answers them.
    client.extra["X-Consistency-Token"] = str(answer.header("X-Consistency-Token"))


@pytest.fixture(scope="session")
def worlds(web_url: str, django_db_blocker: Any) -> Iterator[dict[str, World]]:
    made = {name: World(name, web_url) for name in SETS}
    yield made
    with django_db_blocker.unblock():
        for world in made.values():
            world.delete()


# --- Questions --------------------------------------------------------------------------------------------------------


def found(client: Client, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every entity of a search, page by page."""
    cursor = None
    while True:
        answer = client.post("/entities/search/", {**body, "limit": 1000, "cursor": cursor})
        assert answer.status == 200, answer.content[:500]
        yield from answer.body["entities"]
        cursor = answer.body["next_cursor"]
        if cursor is None:
            return


def groups(client: Client, body: dict[str, Any]) -> list[dict[str, Any]]:
    answer = client.post("/analytics/aggregate/", body)
    assert answer.status == 200, answer.content[:500]
    listed: list[dict[str, Any]] = answer.body["groups"]
    return listed


def attribute_names(client: Client, body: dict[str, Any]) -> set[str]:
    if body:
        return {name for entity in found(client, body) for name in entity["attributes"]}
    names: set[str] = set()
    cursor = None
    while True:
        page = client.get("/attributes/", params={"limit": 100} | ({"cursor": cursor} if cursor else {})).body
        names |= {attribute["name"] for attribute in page["attributes"] if attribute["entity_count"]}
        cursor = page["next_cursor"]
        if cursor is None:
            return names


def key_text(key: Any) -> str:
    """A group's key as a member name of the expected object."""
    return key if isinstance(key, str) else json.dumps(key)


def largest(counts: Counter[str], top: int | None, least: int) -> dict[str, int]:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return dict([item for item in ordered if item[1] >= least][:top])


def answered(world: World, item: dict[str, Any]) -> Any:
    """The answer of the API to a question, in the form of the expected one."""
    asked, filter_ = item["aggregate"], item["filter"]
    fn, group_by = asked["fn"], asked.get("group_by")
    names = [filter_["tenant"]] if filter_["tenant"] else sorted(world.lines)
    clients = {name: world.client(name) for name in names}
    search = {member: filter_[member] for member in ("entity_type", "where") if filter_.get(member)}
    if fn == "ids":
        prefixes = {name: "" if filter_["tenant"] else f"{name}:" for name in names}
        return sorted(
            prefixes[name] + entity["external_id"]
            for name, client in clients.items()
            for entity in found(client, {**search, "fields": []})
        )
    if fn == "value":
        attribute = asked["attr"]
        values = [
            entity["attributes"].get(attribute)
            for client in clients.values()
            for entity in found(client, {**search, "fields": [attribute], "order_by": "external_id"})
        ]
        return values if isinstance(item["expected"], list) else values[0]
    if fn == "attribute_names":
        used = set[str]().union(*(attribute_names(client, search) for client in clients.values()))
        return len(used) if isinstance(item["expected"], int) else sorted(used)
    body = {**search, "fn": fn}
    if "attr" in asked:
        body["attribute"] = asked["attr"]
    if group_by == "tenant":
        by_tenant = {name: groups(client, body)[0] for name, client in clients.items()}
        kept = {
            name: group["value"] for name, group in by_tenant.items() if group["count"] >= asked.get("min_count", 1)
        }
        return dict(sorted(kept.items(), key=lambda item: (-item[1], item[0]))[: asked.get("top")])
    if group_by is not None:
        body["group_by"] = group_by
    if filter_["tenant"] or fn in WHOLE:
        body |= {member: asked[member] for member in ("top", "min_count") if member in asked}
        answer = groups(clients[names[0]] if filter_["tenant"] else world.whole, body)
        return {key_text(group["key"]): group["value"] for group in answer} if group_by else answer[0]["value"]
    counts = Counter[str]()
    for client in clients.values():
        for group in groups(client, body):
            counts.update(group["value"] if fn == "type_mix" else {key_text(group["key"]): group["value"]})
    if fn == "count" and group_by is None:
        return counts["null"]
    return largest(counts, asked.get("top"), asked.get("min_count", 1))


def assert_same(got: Any, expected: Any, tolerance: float) -> None:
    """Equal without regard to key order; numbers within the tolerance; true is not 1."""
    if isinstance(expected, dict):
        assert isinstance(got, dict) and got.keys() == expected.keys()
        for key in expected:
            assert_same(got[key], expected[key], tolerance)
    elif isinstance(expected, int | float) and not isinstance(expected, bool):
        assert isinstance(got, int | float) and not isinstance(got, bool)
        assert math.isclose(got, expected, rel_tol=tolerance, abs_tol=0.0), (got, expected)
    else:
        assert type(got) is type(expected) and got == expected


@pytest.mark.parametrize(("name", "item"), ANSWERS)
def test_a_question_has_its_known_answer(name: str, item: dict[str, Any], worlds: dict[str, World]) -> None:
    assert_same(answered(worlds[name], item), item["expected"], item.get("relative_tolerance", 0.0))


@pytest.mark.parametrize(("name", "item"), ROUNDTRIPS)
def test_a_hard_entity_comes_back_unchanged(name: str, item: dict[str, Any], worlds: dict[str, World]) -> None:
    client = worlds[name].client(item["tenant"])
    params = {"external_id": item["external_id"], "entity_type": item["entity_type"]}
    (entity,) = client.get("/entities/", params=params).body["entities"]
    if item.get("created_at"):
        assert microseconds_of(entity["created_at"]) == microseconds_of(item["created_at"])
    one = client.get(f"/entities/{entity['entity_id']}/").body
    for attributes in (entity["attributes"], one["attributes"]):
        assert attributes.keys() == item["expected_attributes"].keys()
        for attribute, expected in item["expected_attributes"].items():
            value = attributes[attribute]
            if isinstance(expected, dict):
                digest = hashlib.sha256(value.encode()).hexdigest()
                assert (digest, len(value), len(value.encode())) == (
                    expected["$sha256"],
                    expected["$chars"],
                    expected["$bytes"],
                )
            else:
                assert_same(value, expected, 0.0)


@pytest.mark.parametrize("name", [name for name in SETS if name not in STREAMS])
def test_importing_it_again_changes_nothing(name: str, worlds: dict[str, World]) -> None:
    world = worlds[name]
    tenant = min(world.lines, key=lambda tenant: len(world.lines[tenant]))
    client = world.client(tenant)
    before = list(found(client, {"order_by": "entity_id"}))
    answer = client.post("/entities/import/", data=b"".join(world.lines[tenant]), params={"mode": "replace"})
    assert (answer.status, answer.body["unchanged"]) == (200, len(world.lines[tenant]))
    assert list(found(client, {"order_by": "entity_id"})) == before


# --- Streams ----------------------------------------------------------------------------------------------------------


def last_values(lines: list[dict[str, Any]]) -> dict[tuple[str, str], tuple[Any, str]]:
    """(external_id, attribute): value and instant of the last line; on equal instants the later line wins."""
    state: dict[tuple[str, str], tuple[Any, str]] = {}
    for line in lines:
        for attribute, value in line["attributes"].items():
            before = state.get((line["external_id"], attribute))
            if before is None or (microseconds_of(line["at"]) or 0) >= (microseconds_of(before[1]) or 0):
                state[line["external_id"], attribute] = (value, line["at"])
    return state


def told(client: Client) -> dict[tuple[str, str], tuple[Any, str]]:
    """The same, as the API tells it."""
    state = {}
    for entity in found(client, {}):
        for attribute in entity["attributes"]:
            path = f"/entities/{entity['entity_id']}/attributes/{segment(attribute)}/"
            value = client.get(path).body
            assert value["value"] == entity["attributes"][attribute]
            state[entity["external_id"], attribute] = (value["value"], value["updated_at"])
    return state


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_leaves_the_state_of_its_last_lines(name: str, worlds: dict[str, World]) -> None:
    world = worlds[name]
    questions = [
        item
        for item in loaded(name, "answers")
        if item["kind"] == "state_at" and item["filter"].keys() == {"at_or_before"}
    ]
    questions.sort(key=lambda item: str(item["filter"]["at_or_before"]))
    clients = {tenant: world.empty(tenant) for tenant in world.lines}
    parsed = {tenant: [orjson.loads(raw) for raw in raws] for tenant, raws in world.lines.items()}
    done = dict.fromkeys(parsed, 0)

    def advance(until: int | None) -> None:
        """Import what comes up to this instant, and compare every value and its instant with the lines' own."""
        for tenant, lines in parsed.items():
            end = sum(1 for line in lines if until is None or (microseconds_of(line["at"]) or 0) <= until)
            if end > done[tenant]:
                imported(clients[tenant], world.lines[tenant][done[tenant] : end])
                done[tenant] = end
            state, expected = told(clients[tenant]), last_values(lines[:end])
            assert state.keys() == expected.keys()
            for series, (value, at) in expected.items():
                assert_same(state[series][0], value, 0.0)
                assert microseconds_of(state[series][1]) == microseconds_of(at)

    for item in questions:
        advance(microseconds_of(item["filter"]["at_or_before"]))
        known = {
            f"{external_id}|{attribute}": (value, microseconds_of(at))
            for client in clients.values()
            for (external_id, attribute), (value, at) in told(client).items()
        }
        assert known == {
            series: (expected["value"], microseconds_of(expected["at"]))
            for series, expected in item["expected"].items()
        }, item["id"]
    advance(None)
    assert done == {tenant: len(lines) for tenant, lines in world.lines.items()}
