"""/attribute-rules/, /attribute-aliases/ and quarantine, over HTTP."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from atlasco.lib import clock
from entities.governance.work import attribute_job_run
from tenants.binding import tenant_bind
from tenants.services import tenant_quotas_set
from tests.api.client import Client, line

UUID_NAME = "run_0b9f2c3e-7f1d-4a51-9a53-0d6a3a4f8f10"


def test_a_rule_is_set_read_obeyed_and_removed(acme: Client, globex: Client) -> None:
    rule = {"mode": "enforce", "types": ["string"], "pattern": "[A-Z]{2}-\\d+", "required_for": ["lamp"]}
    answer = acme.ask("PUT", "/attribute-rules/serial%2Fno/", rule)
    assert answer.status == 200
    assert rule.items() <= answer.body.items() and answer.body["name"] == "serial/no"
    assert acme.get("/attribute-rules/serial%2Fno/").body == answer.body
    assert [found["name"] for found in acme.get("/attribute-rules/").body["rules"]] == ["serial/no"]
    assert globex.get("/attribute-rules/").body["rules"] == []
    refused = acme.post("/entities/", {"entity_type": "lamp", "external_id": "1", "attributes": {"serial/no": "x"}})
    assert (refused.status, refused.code) == (400, "rule_broken")
    assert refused.faults == [("attributes.serial/no", "pattern_mismatch")]
    missing = acme.post("/entities/", {"entity_type": "lamp", "external_id": "1", "attributes": {}})
    assert missing.faults == [("attributes.serial/no", "required")]
    entity = acme.create("1", **{"serial/no": "AB-1"})
    patched = acme.ask("PATCH", f"/entities/{entity['entity_id']}/", {"attributes": {"serial/no": None}})
    assert patched.faults == [("attributes.serial/no", "required")]
    imported = acme.post(
        "/entities/import/", data=orjson.dumps({"entity_type": "lamp", "external_id": "2", "attributes": {}})
    )
    assert imported.status == 207
    assert imported.body["rejected"][0]["errors"][0]["path"] == "attributes.serial/no"
    globex.create("1", **{"serial/no": "x"})
    assert acme.ask("DELETE", "/attribute-rules/serial%2Fno/").status == 204
    assert acme.get("/attribute-rules/serial%2Fno/").code == "rule_unknown"
    acme.create("3")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "mode"),
        ({"mode": "strict"}, "mode"),
        ({"mode": "warn", "pattern": "(a"}, "pattern"),
        ({"mode": "warn", "minimum": 2, "maximum": 1}, "maximum"),
        ({"mode": "warn", "nonsense": 1}, "nonsense"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(acme: Client, body: dict[str, object], path: str) -> None:
    answer = acme.ask("PUT", "/attribute-rules/a/", body)
    assert (answer.status, answer.code) == (400, "invalid_rule")
    assert [fault[0] for fault in answer.faults] == [path]


def test_a_rule_is_first_held_against_what_is_there(acme: Client, globex: Client) -> None:
    for number, watts in enumerate((5, 60, "many")):
        acme.create(str(number), watts=watts)
    rule = {"mode": "enforce", "types": ["number"], "maximum": 40}
    asked = acme.ask("PUT", "/attribute-rules/watts/?dry_run=true", rule)
    assert (asked.status, asked.body["status"], asked.body["violations"]) == (202, "queued", 0)
    assert acme.get("/attribute-rules/watts/").code == "rule_unknown"
    path = f"/attribute-rules/checks/{asked.body['job_id']}/"
    assert asked.headers["location"] == f"/api/v1{path}"
    with tenant_bind(acme.tenant):
        attribute_job_run(tenant_id=acme.tenant.pk, job_id=uuid.UUID(asked.body["job_id"]), clock=clock.now)
    found = acme.get(path).body
    assert (found["status"], found["with_value"], found["violations"]) == ("done", 3, 2)
    assert {sample["external_id"] for sample in found["samples"]} == {"1", "2"}
    assert globex.get(path).code == "job_unknown"
    refused = acme.ask("PUT", "/attribute-rules/watts/?dry_run=true", {"mode": "enforce", "pattern": "("})
    assert (refused.status, refused.code) == (400, "invalid_rule")


def test_an_alias_is_accepted_on_every_way_of_writing(acme: Client, globex: Client) -> None:
    assert acme.ask("PUT", "/attribute-aliases/serial_no/", {"name": "serial"}).body["name"] == "serial"
    assert acme.create("1", serial_no="a")["attributes"] == {"serial": "a"}
    entity_id = acme.get("/entities/", params={"external_id": "1"}).body["entities"][0]["entity_id"]
    put = acme.ask("PUT", f"/entities/{entity_id}/attributes/serial_no/", {"value": "b"})
    assert (put.status, put.body["name"], put.body["value"]) == (200, "serial", "b")
    assert globex.create("1", serial_no="a")["attributes"] == {"serial_no": "a"}
    body = {"where": [["serial_no", "eq", "b"]], "fields": ["serial_no"], "limit": 1}
    acme.create("2", serial_no="b")
    page = acme.post("/entities/search/", body).body
    assert [found["attributes"] for found in page["entities"]] == [{"serial": "b"}]
    page = acme.post("/entities/search/", {**body, "cursor": page["next_cursor"]}).body
    assert [found["external_id"] for found in page["entities"]] == ["1"]
    counted = acme.post("/analytics/aggregate/", {"fn": "count", "attribute": "serial_no", "group_by": "serial_no"})
    assert counted.body["groups"] == [{"key": "b", "value": 2, "count": 2}]
    assert acme.ask("PUT", "/attribute-aliases/serial/", {"name": "x"}).code == "alias_taken"
    assert acme.ask("PUT", "/attribute-aliases/a/", {"name": "a"}).code == "invalid_alias"
    assert [alias["alias"] for alias in acme.get("/attribute-aliases/").body["aliases"]] == ["serial_no"]
    assert acme.ask("DELETE", "/attribute-aliases/serial_no/").status == 204
    assert acme.ask("DELETE", "/attribute-aliases/serial_no/").code == "alias_unknown"


def test_a_quarantined_name_is_told_found_and_promoted(acme: Client) -> None:
    values: dict[str, Any] = {UUID_NAME: 5, "ordinary": 1}
    answer = acme.import_lines(line("1", **values))
    assert answer.body["warnings"]["quarantined"] == {"count": 1, "names": [UUID_NAME]}
    listed = acme.get("/attributes/", params={"status": "quarantined"}).body["attributes"]
    assert [(row["name"], row["status"], row["quarantine_reason"]) for row in listed] == [
        (UUID_NAME, "quarantined", "uuid")
    ]
    assert [(row["name"], row["status"]) for row in acme.get("/attributes/").body["attributes"]] == [
        ("ordinary", "active"),
        (UUID_NAME, "quarantined"),
    ]
    found = acme.post("/entities/search/", {"where": [[UUID_NAME, "eq", 5]]}).body["entities"]
    assert [entity["external_id"] for entity in found] == ["1"]
    assert (
        acme.ask("PATCH", f"/attributes/{quote(UUID_NAME)}/", {"status": "active", "owner": "Ann"}).body["owner"]
        == "Ann"
    )
    assert len(acme.get("/attributes/", params={"status": "active"}).body["attributes"]) == 2
    assert acme.get("/attributes/", params={"status": "nonsense"}).code == "invalid_parameter"


def test_a_tenants_own_quota_of_names_comes_before_that_of_all(acme: Client, globex: Client) -> None:
    tenant_quotas_set(tenant=acme.tenant, quota_attributes=1)
    try:
        with tenant_bind(acme.tenant):
            answer = acme.import_lines(line("1", a=1, b=2))
        assert answer.body["warnings"]["quarantined"]["names"] == ["b"]
        assert acme.get("/attributes/b/").body["quarantine_reason"] == "quota"
        assert "warnings" not in globex.import_lines(line("1", a=1, b=2)).body
    finally:
        tenant_quotas_set(tenant=acme.tenant, quota_attributes=None)
