"""Reference data sets, imported over HTTP and asked over HTTP, tenant by tenant: every answer must be exact.

ATLASCO_DATA_DIR names a folder of `NAME.ndjson.gz` with `NAME.answers.json` and, for entities, `NAME.roundtrip.json`.
The sets are not part of this repository.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from atlasco.lib import clock
from tenants.models import Tenant
from tenants.services import token_create
from tests.tenants.conftest import tenant_make

__all__ = ["tenant_make"]

FOLDER = Path(os.environ.get("ATLASCO_DATA_DIR", "no such folder"))
SETS = sorted(path.name.removesuffix(".ndjson.gz") for path in FOLDER.glob("*.ndjson.gz"))
pytestmark = pytest.mark.skipif(not SETS, reason="ATLASCO_DATA_DIR names no folder with data sets")
if not SETS:
    SETS = ["none"]
# A tenant that holds what the answers ask of all tenants together.
EVERYBODY = ""


@dataclass
class DataSet:
    """A set in the product: a session of each of its tenants, and of one that holds them all."""

    url: str
    name: str
    make: Callable[..., Tenant]
    lines: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    sessions: dict[str, requests.Session] = field(default_factory=dict)

    def load(self) -> None:
        with gzip.open(FOLDER / f"{self.name}.ndjson.gz") as file:
            for raw in file:
                self.lines[json.loads(raw)["tenant"]].append(raw)
        for tenant, lines in self.lines.items():
            self.add(tenant, lines)

    def add(self, tenant: str, lines: list[bytes]) -> None:
        slug = re.sub(r"[^a-z0-9]+", "-", f"ref {tenant}".lower()).strip("-")[:30]
        _, secret = token_create(tenant=self.make(slug), name="reference", now=clock.now())
        session = self.sessions[tenant] = requests.Session()
        session.headers["Authorization"] = f"Bearer {secret}"
        answer = session.post(
            f"{self.url}/entities/import/",
            data=gzip.compress(b"".join(lines)),
            headers={"Content-Encoding": "gzip", "Content-Type": "application/x-ndjson"},
            timeout=300,
        )
        assert answer.status_code == 200, answer.text[:500]
        summary = answer.json()
        assert summary["received"] == len(lines) and summary["rejected"] == []
        session.headers["X-Consistency-Token"] = answer.headers["X-Consistency-Token"]

    @property
    def tenants(self) -> list[str]:
        return sorted(self.lines)

    def ask(self, tenant: str, path: str, body: dict[str, Any]) -> Any:
        answer = self.sessions[tenant].post(f"{self.url}/{path}", json=body, timeout=120)
        assert answer.status_code == 200, (body, answer.text[:500])
        return answer.json()

    def groups(self, tenant: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        return list(self.ask(tenant, "analytics/aggregate/", body)["groups"])

    def entities(self, tenant: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        cursor = None
        while True:
            page = self.ask(tenant, "entities/search/", {**body, "limit": 500, "cursor": cursor})
            yield from page["entities"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def all_together(self) -> str:
        """The tenant that holds every tenant's entities; filled when first asked for."""
        if EVERYBODY not in self.sessions:
            lines = []
            for tenant in self.tenants:
                for raw in self.lines[tenant]:
                    line = json.loads(raw)
                    line["external_id"] = f"{tenant}:{line['external_id']}"
                    lines.append(json.dumps(line).encode() + b"\n")
            self.add(EVERYBODY, lines)
        return EVERYBODY


@pytest.fixture
def data_set(
    live_db: None, web_url: str, tenant_make: Callable[..., Tenant], request: pytest.FixtureRequest
) -> DataSet:
    loaded = DataSet(f"{web_url}/api/v1", request.param, tenant_make)
    loaded.load()
    return loaded


def attribute_names(data: DataSet, tenant: str) -> set[str]:
    names: set[str] = set()
    cursor = None
    while True:
        params = {"limit": "100"} | ({"cursor": cursor} if cursor else {})
        answer = data.sessions[tenant].get(f"{data.url}/attributes/", params=params, timeout=60).json()
        names |= {attribute["name"] for attribute in answer["attributes"] if attribute["entity_count"]}
        cursor = answer["next_cursor"]
        if cursor is None:
            return names


def keyed(groups: list[dict[str, Any]]) -> dict[str, Any]:
    """Groups as the expected answers write them: an object, so every key is text."""
    return {
        group["key"] if isinstance(group["key"], str) else json.dumps(group["key"]): group["value"] for group in groups
    }


def answer_of(data: DataSet, item: dict[str, Any]) -> Any:
    """What the product says to one item."""
    asked, aggregate = item["filter"], item["aggregate"]
    tenants = [asked["tenant"]] if asked.get("tenant") else data.tenants
    one = len(tenants) == 1
    query = {name: asked[name] for name in ("entity_type", "where") if asked.get(name)}
    fn, group_by = aggregate["fn"], aggregate.get("group_by")
    match fn:
        case "ids":
            return sorted(
                ("" if asked.get("tenant") else f"{tenant}:") + entity["external_id"]
                for tenant in tenants
                for entity in data.entities(tenant, {**query, "fields": []})
            )
        case "value":
            return [
                entity["attributes"].get(aggregate["attr"])
                for tenant in tenants
                for entity in sorted(data.entities(tenant, query), key=lambda entity: str(entity["external_id"]))
            ]
        case "attribute_names":
            names = set().union(*(attribute_names(data, tenant) for tenant in tenants))
            return len(names) if isinstance(item["expected"], int) else sorted(names)
    body = {**query, "fn": fn, **{name: aggregate[name] for name in ("top", "min_count") if name in aggregate}}
    if "attr" in aggregate:
        body["attribute"] = aggregate["attr"]
    if group_by == "tenant":
        each = {tenant: data.groups(tenant, body) for tenant in tenants}
        counts = {tenant: groups[0]["value"] for tenant, groups in each.items() if groups and groups[0]["count"]}
        return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[: aggregate.get("top")])
    if group_by is not None:
        body["group_by"] = group_by
    if not one and fn == "type_mix" and group_by is None:
        mix: Counter[str] = Counter()
        for tenant in tenants:
            mix.update(data.groups(tenant, body)[0]["value"])
        return dict(mix)
    tenant = tenants[0] if one else data.all_together()
    groups = data.groups(tenant, body)
    return keyed(groups) if group_by is not None else groups[0]["value"]


def is_same(got: Any, expected: Any, tolerance: float) -> bool:
    if isinstance(got, dict) and isinstance(expected, dict):
        return got.keys() == expected.keys() and all(is_same(got[key], expected[key], tolerance) for key in got)
    if isinstance(got, bool) or isinstance(expected, bool):
        return got is expected
    if isinstance(got, int | float) and isinstance(expected, int | float):
        return abs(got - expected) <= tolerance * max(abs(got), abs(expected))
    return bool(got == expected)


def read(name: str, kind: str) -> list[dict[str, Any]]:
    path = FOLDER / f"{name}.{kind}.json"
    return list(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else []


@pytest.mark.parametrize("data_set", SETS, indirect=True)
def test_every_answer_is_exact_and_every_hard_entity_comes_back(data_set: DataSet) -> None:
    items = [item for item in read(data_set.name, "answers") if "aggregate" in item]
    hard = read(data_set.name, "roundtrip")
    if not items and not hard:
        # A stream: what a store of history answers is asked elsewhere; here, the newest value of every series.
        assert_newest(data_set)
        return
    wrong = {}
    for item in items:
        got = answer_of(data_set, item)
        if not is_same(got, item["expected"], item.get("relative_tolerance", 0.0)):
            wrong[item["id"]] = (got, item["expected"])
    assert wrong == {}
    for entity in hard:
        assert_came_back(data_set, entity)


def assert_came_back(data: DataSet, wanted: dict[str, Any]) -> None:
    params = {"external_id": wanted["external_id"], "entity_type": wanted["entity_type"]}
    answer = data.sessions[wanted["tenant"]].get(f"{data.url}/entities/", params=params, timeout=60).json()
    (entity,) = answer["entities"]
    attributes = {
        name: digested(value, wanted["expected_attributes"].get(name)) for name, value in entity["attributes"].items()
    }
    assert attributes.keys() == wanted["expected_attributes"].keys()
    for name, expected in wanted["expected_attributes"].items():
        assert is_same(attributes[name], expected, 0.0), (wanted["external_id"], name)
    if wanted["created_at"] is not None:
        assert entity["created_at"] == wanted["created_at"]


def digested(value: Any, expected: Any) -> Any:
    """A long text as the expected answers write it."""
    if not isinstance(expected, dict):
        return value
    return {"$sha256": hashlib.sha256(value.encode()).hexdigest(), "$chars": len(value), "$bytes": len(value.encode())}


def assert_newest(data: DataSet) -> None:
    for tenant, lines in data.lines.items():
        newest: dict[tuple[str, str], tuple[str, Any]] = {}
        for line in map(json.loads, lines):
            for name, value in line["attributes"].items():
                key = (line["external_id"], name)
                if key not in newest or line["at"] >= newest[key][0]:
                    newest[key] = (line["at"], value)
        got = {
            (entity["external_id"], name): value
            for entity in data.entities(tenant, {})
            for name, value in entity["attributes"].items()
        }
        assert got == {key: value for key, (_, value) in newest.items()}
