"""One entity at a time: create, read, merge, delete."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from tests.api.client import Client, line


def test_a_created_entity_comes_back_as_it_was_sent(acme: Client) -> None:
    body = {
        "entity_type": "lamp",
        "external_id": "hall/1",
        "created_at": "2020-02-29T12:00:00.5+01:00",
        "attributes": {"lit": True, "watts": 9.5, "room": "", "since": "2026-01-01T00:00:00+02:00", "no": "1.10"},
    }
    answer = acme.post("/entities/", body)
    entity = answer.body
    assert (answer.status, answer.header("Location")) == (201, f"/api/v1/entities/{entity['entity_id']}/")
    assert entity["entity_id"].isdigit() and isinstance(entity["entity_id"], str)
    assert entity["created_at"] == "2020-02-29T11:00:00.500000Z"
    assert {name: entity[name] for name in ("entity_type", "external_id", "attributes")} == {
        name: body[name] for name in ("entity_type", "external_id", "attributes")
    }
    read = acme.get(f"/entities/{entity['entity_id']}/")
    assert (read.status, read.body) == (200, entity)
    assert read.header("ETag") == answer.header("ETag")


def test_an_entity_without_external_id_gets_its_entity_id_as_one(acme: Client) -> None:
    first, second = acme.create(None), acme.create(None)
    for entity in (first, second):
        assert entity["external_id"] == entity["entity_id"]
    assert first["entity_id"] != second["entity_id"]
    assert acme.post("/entities/", {"entity_type": "lamp", "external_id": None}).status == 201


def test_an_entity_that_exists_is_a_conflict(acme: Client, globex: Client) -> None:
    entity = acme.create("1", a=1)
    answer = acme.post("/entities/", {"entity_type": "lamp", "external_id": "1", "attributes": {"a": 2}})
    assert (answer.status, answer.code) == (409, "entity_exists")
    assert answer.body["entity_id"] == entity["entity_id"]
    assert acme.get(f"/entities/{entity['entity_id']}/").body == entity
    # One external id may name entities of two types, and of two tenants.
    acme.create("1", "chair")
    globex.create("1")


def test_upsert_merges_into_what_exists(acme: Client) -> None:
    entity = acme.create("1", a=1, b=2)
    body = {"entity_type": "lamp", "external_id": "1", "attributes": {"b": 3, "c": 4}}
    answer = acme.post("/entities/", body, params={"upsert": "true"})
    assert (answer.status, answer.body["entity_id"]) == (200, entity["entity_id"])
    assert answer.body["attributes"] == {"a": 1, "b": 3, "c": 4}
    new = acme.post("/entities/", {**body, "external_id": "2"}, params={"upsert": "true"})
    assert new.status == 201
    for value in ("yes", "1", "", "TRUE"):
        refused = acme.post("/entities/", body, params={"upsert": value})
        assert (refused.status, refused.faults) == (400, [("upsert", "invalid_parameter")])


def test_a_patch_merges_and_null_removes(acme: Client) -> None:
    entity = acme.create("1", a=1, b=2, c=3)
    path = f"/entities/{entity['entity_id']}/"
    answer = acme.ask("PATCH", path, {"attributes": {"a": "one", "b": None, "d": None, "e": ""}})
    assert (answer.status, answer.body["attributes"]) == (200, {"a": "one", "c": 3, "e": ""})
    assert acme.get(path).body == answer.body
    bodies: list[dict[str, Any]] = [{}, {"attributes": {}}, {"attributes": {"c": 3}}]
    for nothing in bodies:
        same = acme.ask("PATCH", path, nothing)
        assert (same.status, same.body, same.header("ETag")) == (200, answer.body, answer.header("ETag"))


def test_an_older_update_does_not_overwrite_a_newer_one(acme: Client) -> None:
    entity = acme.create("1")
    path = f"/entities/{entity['entity_id']}/"
    acme.ask("PATCH", path, {"at": "2030-01-02T00:00:00Z", "attributes": {"a": "new"}})
    late = acme.ask("PATCH", path, {"at": "2030-01-01T00:00:00Z", "attributes": {"a": "old", "b": "only"}})
    assert (late.status, late.body["attributes"]) == (200, {"a": "new", "b": "only"})
    assert late.body["updated_at"] == "2030-01-02T00:00:00Z"
    equal = acme.ask("PATCH", path, {"at": "2030-01-02T00:00:00Z", "attributes": {"a": "newest"}})
    assert equal.body["attributes"]["a"] == "newest"


def test_a_removal_is_not_undone_by_an_older_update(acme: Client) -> None:
    path = f"/entities/{acme.create('1')['entity_id']}/"
    acme.ask("PATCH", path, {"at": "2030-01-02T00:00:00Z", "attributes": {"a": None}})
    acme.ask("PATCH", path, {"at": "2030-01-01T00:00:00Z", "attributes": {"a": "back"}})
    assert acme.get(path).body["attributes"] == {}


def test_a_deleted_entity_is_gone_and_its_key_free(acme: Client) -> None:
    entity = acme.create("1", a=1)
    path = f"/entities/{entity['entity_id']}/"
    answer = acme.ask("DELETE", path)
    assert (answer.status, answer.content) == (204, b"")
    for method in ("GET", "DELETE"):
        assert acme.ask(method, path).code == "entity_not_found"
    assert acme.ask("PATCH", path, {}).code == "entity_not_found"
    assert acme.search() == []
    again = acme.create("1")
    assert again["attributes"] == {} and again["entity_id"] != entity["entity_id"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, [("entity_type", "required")]),
        ({"entity_type": ""}, [("entity_type", "invalid_length")]),
        ({"entity_type": 5}, [("entity_type", "invalid_type")]),
        ({"entity_type": "x" * 101}, [("entity_type", "invalid_length")]),
        ({"entity_type": "a\x00"}, [("entity_type", "nul_character")]),
        ({"entity_type": "t", "external_id": ""}, [("external_id", "invalid_length")]),
        ({"entity_type": "t", "external_id": 7}, [("external_id", "invalid_type")]),
        ({"entity_type": "t", "external_id": "x" * 513}, [("external_id", "invalid_length")]),
        ({"entity_type": "t", "created_at": "2026-01-01"}, [("created_at", "invalid_timestamp")]),
        ({"entity_type": "t", "at": 5}, [("at", "invalid_timestamp")]),
        ({"entity_type": "t", "created_at": "9999-12-31T23:59:59-01:00"}, [("created_at", "timestamp_out_of_range")]),
        ({"entity_type": "t", "at": "0001-01-01T00:00:00+01:00"}, [("at", "timestamp_out_of_range")]),
        ({"entity_type": "t", "attributes": []}, [("attributes", "invalid_type")]),
        ({"entity_type": "t", "attributes": {"a": []}}, [("attributes.a", "invalid_value")]),
        ({"entity_type": "t", "attributes": {"a": {"b": 1}}}, [("attributes.a", "invalid_value")]),
        ({"entity_type": "t", "attributes": {"a": "\x00"}}, [("attributes.a", "nul_character")]),
        ({"entity_type": "t", "attributes": {"": 1}}, [("attributes.", "invalid_name")]),
        ({"entity_type": "t", "tenant": "globex"}, [("tenant", "unknown_field")]),
        (
            {"entity_type": 5, "at": 5, "x": 5},
            [("at", "invalid_timestamp"), ("entity_type", "invalid_type"), ("x", "unknown_field")],
        ),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_every_fault_of_a_new_entity_is_told(
    body: dict[str, Any], expected: list[tuple[str, str]], acme: Client
) -> None:
    answer = acme.post("/entities/", body)
    assert (answer.status, answer.code, sorted(answer.faults)) == (400, "invalid_entity", expected)
    assert acme.search() == []


def test_a_patch_does_not_change_a_key(acme: Client) -> None:
    path = f"/entities/{acme.create('1')['entity_id']}/"
    for member in ("entity_type", "external_id", "entity_id", "updated_at"):
        answer = acme.ask("PATCH", path, {member: "2"})
        assert (answer.status, answer.faults) == (400, [(member, "unknown_field")])


# --- Versions ---------------------------------------------------------------------------------------------------------


def test_an_etag_changes_with_the_entity_and_only_then(acme: Client) -> None:
    path = f"/entities/{acme.create('1', a=1)['entity_id']}/"
    tags = [acme.get(path).header("ETag")]
    acme.ask("PATCH", path, {"attributes": {"a": 1}})
    tags.append(acme.get(path).header("ETag"))
    acme.ask("PUT", f"{path}attributes/b/", {"value": 1})
    tags.append(acme.get(path).header("ETag"))
    acme.import_lines(line("1", at="2000-01-01T00:00:00Z", late="but new"))
    tags.append(acme.get(path).header("ETag"))
    acme.ask("DELETE", f"{path}attributes/b/")
    tags.append(acme.get(path).header("ETag"))
    assert tags[0] == tags[1] and len(set(tags[1:])) == 4
    assert all(tag and tag.startswith('"') and tag.endswith('"') for tag in tags)


@pytest.mark.parametrize(
    ("method", "suffix", "body"),
    [
        ("PATCH", "", {"attributes": {"a": 2}}),
        ("PUT", "attributes/a/", {"value": 2}),
        ("DELETE", "attributes/a/", None),
        ("DELETE", "", None),
    ],
)
def test_a_write_can_demand_the_version_it_knows(method: str, suffix: str, body: Any, acme: Client) -> None:
    entity = acme.create("1", a=1)
    other = acme.create("2", a=1)
    path = f"/entities/{entity['entity_id']}/"
    tag = acme.get(path).header("ETag")
    stale = [
        '"nonsense"',
        f'"{entity["entity_id"]}-99"',
        f'"{entity["entity_id"]}-{"9" * 5000}"',
        f'"{other["entity_id"]}-1"',
        f"W/{tag}",
        str(tag).strip('"'),
        "",
    ]
    for wrong in stale:
        answer = acme.ask(method, path + suffix, body, headers={"If-Match": wrong})
        assert (answer.status, answer.code) == (412, "precondition_failed"), wrong[:60]
        assert acme.get(path).body == entity
    done = acme.ask(method, path + suffix, body, headers={"If-Match": f'"other", {tag}'})
    assert done.status in {200, 204}


@pytest.mark.parametrize(("method", "suffix", "body"), [("PATCH", "", {"attributes": {"a": 2}}), ("DELETE", "", None)])
def test_a_star_is_any_version(method: str, suffix: str, body: Any, acme: Client) -> None:
    path = f"/entities/{acme.create('1', a=1)['entity_id']}/"
    assert acme.ask(method, path + suffix, body, headers={"If-Match": "*"}).status in {200, 204}


def test_of_two_writes_that_know_one_version_one_wins(acme: Client) -> None:
    path = f"/entities/{acme.create('1', a=1)['entity_id']}/"
    headers = {"If-Match": acme.get(path).header("ETag")}
    assert acme.ask("PATCH", path, {"attributes": {"a": 2}}, headers=headers).status == 200
    assert acme.ask("PATCH", path, {"attributes": {"a": 3}}, headers=headers).status == 412
    assert acme.get(path).body["attributes"] == {"a": 2}


def test_a_reader_is_spared_what_it_has(acme: Client) -> None:
    path = f"/entities/{acme.create('1', a=1)['entity_id']}/"
    tag = acme.get(path).header("ETag")
    for header in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        answer = acme.get(path, headers={"If-None-Match": header})
        assert (answer.status, answer.content, answer.header("ETag")) == (304, b"", tag), header
    acme.ask("PATCH", path, {"attributes": {"a": 2}})
    assert acme.get(path, headers={"If-None-Match": tag}).status == 200


def test_head_is_get_without_the_body(acme: Client) -> None:
    path = f"/entities/{acme.create('1', a=1)['entity_id']}/"
    read, asked = acme.get(path), acme.ask("HEAD", path)
    assert (asked.status, asked.content) == (200, b"")
    assert asked.header("ETag") == read.header("ETag")
    assert asked.header("Content-Length") == read.header("Content-Length") == str(len(read.content))
    assert acme.ask("HEAD", "/entities/1/").status == 404


@pytest.mark.parametrize("expected", ["*", '"other"', "its own", "an older one"])
def test_an_upsert_merges_into_the_version_that_it_names(expected: str, acme: Client, globex: Client) -> None:
    entity = acme.create("1", a=1)
    theirs = globex.create("1", a=1)
    path = f"/entities/{entity['entity_id']}/"
    tag = str(acme.get(path).header("ETag"))
    if expected == "an older one":
        acme.ask("PATCH", path, {"attributes": {"a": 3}})
    headers = {"If-Match": {"its own": tag, "an older one": tag}.get(expected, expected)}
    body = {"entity_type": "lamp", "external_id": "1", "attributes": {"a": 2}}
    answer = acme.post("/entities/", body, params={"upsert": "true"}, headers=headers)
    if expected in {"*", "its own"}:
        assert (answer.status, answer.body["attributes"]) == (200, {"a": 2})
        assert answer.header("ETag") == acme.get(path).header("ETag") != tag
        assert answer.header("X-Consistency-Token")
    else:
        assert (answer.status, answer.code) == (412, "precondition_failed")
        assert acme.get(path).body["attributes"] != {"a": 2}
    assert globex.get(f"/entities/{theirs['entity_id']}/").body["attributes"] == {"a": 1}


def test_an_upsert_that_names_a_version_makes_nothing_new(acme: Client) -> None:
    for body in ({"entity_type": "lamp", "external_id": "1"}, {"entity_type": "lamp"}):
        answer = acme.post("/entities/", body, params={"upsert": "true"}, headers={"If-Match": "*"})
        assert (answer.status, answer.code) == (412, "precondition_failed")
    assert acme.search() == []


# --- Lists ------------------------------------------------------------------------------------------------------------


def test_a_list_is_a_search_by_key(acme: Client, globex: Client) -> None:
    for client in (acme, globex):
        for entity_type, external_id in (("lamp", "1"), ("lamp", "2"), ("chair", "1"), ("chair", "é /?&")):
            client.create(external_id, entity_type)

    def listed(**params: str) -> list[tuple[str, str]]:
        answer = acme.get("/entities/", params=params)
        assert answer.body.keys() == {"entities", "next_cursor", "metadata"}
        return [(entity["entity_type"], entity["external_id"]) for entity in answer.body["entities"]]

    assert listed() == [("chair", "é /?&"), ("chair", "1"), ("lamp", "2"), ("lamp", "1")]
    assert listed(external_id="1") == [("chair", "1"), ("lamp", "1")]
    assert listed(external_id="1", entity_type="lamp") == [("lamp", "1")]
    assert listed(entity_type="lamp") == [("lamp", "2"), ("lamp", "1")]
    assert listed(external_id="é /?&") == [("chair", "é /?&")]
    assert listed(external_id="3") == listed(entity_type="x") == []


def test_empty_parameters_are_as_if_they_were_not_there(acme: Client) -> None:
    acme.create("1", a=1)
    everything = acme.get("/entities/").body["entities"]
    assert acme.ask("GET", "/entities/?external_id=&entity_type=&limit=&cursor=").body["entities"] == everything
    assert len(acme.ask("GET", "/attributes/?prefix=&limit=&cursor=").body["attributes"]) == 1
    # What is no filter is not guessed: this might have been meant to write nothing.
    assert acme.ask("POST", "/entities/import/?dry_run=", data=b"{}").code == "invalid_parameter"


def test_a_list_has_pages(acme: Client) -> None:
    acme.import_lines(*(line(str(number), at=f"2026-01-01T00:00:{number:02}Z") for number in range(7)))
    seen, cursor = [], None
    while True:
        params: dict[str, Any] = {"limit": 3} if cursor is None else {"limit": 3, "cursor": cursor}
        page = acme.get("/entities/", params=params).body
        seen.append([entity["external_id"] for entity in page["entities"]])
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [["6", "5", "4"], ["3", "2", "1"], ["0"]]


@pytest.mark.parametrize("params", [{"external_id": "x" * 513}, {"entity_type": "x" * 101}])
def test_a_list_by_what_no_entity_can_have_is_refused(params: dict[str, str], acme: Client) -> None:
    answer = acme.get("/entities/", params=params)
    assert (answer.status, answer.faults) == (400, [(next(iter(params)), "invalid_length")])


def test_instants_are_written_in_utc(acme: Client) -> None:
    entity = acme.create("1")
    for name in ("created_at", "updated_at"):
        assert entity[name].endswith("Z") and datetime.fromisoformat(entity[name])
