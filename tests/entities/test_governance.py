"""Rules, aliases, quarantine, and the jobs that move values: on the one write path, one tenant at a time."""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any, cast

import orjson
import pytest
from django.db import connections
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from entities import selectors, services
from entities.governance import jobs, store, work
from entities.governance.pattern import InvalidPattern, pattern_compile
from entities.governance.rules import InvalidRule, conditions_parse, conditions_write
from entities.governance.similar import similar_pairs
from entities.ingest.batch import batch_write
from entities.ingest.importer import ImportSummary, import_run
from entities.jobs import QueueUnavailable, jobs_abandoned
from entities.models import AttributeAlias, AttributeJob, AttributeMetadata
from entities.search.query import query_parse
from entities.search.run import search_run
from entities.services import RuleBroken, entity_input_parse
from freshness.defaults import defaults_change, defaults_read
from freshness.policy import Limit
from tenants.audit import audit_record
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tests.entities.plane import Stored, stored

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def send(tenant: Tenant, *lines: dict[str, Any], mode: Any = "merge", dry_run: bool = False) -> ImportSummary:
    body = b"\n".join(orjson.dumps({"entity_type": "lamp", **line}) for line in lines)
    with tenant_bind(tenant):
        return import_run(
            tenant_id=tenant.pk, chunks=[body], mode=mode, now=NOW, line_max_bytes=1 << 20, dry_run=dry_run
        )


def lamp(external_id: str, /, at: str | None = None, **attributes: Any) -> dict[str, Any]:
    return {"external_id": external_id, "attributes": attributes} | ({} if at is None else {"at": at})


def rule(tenant: Tenant, name: str, mode: str = "enforce", **conditions: Any) -> None:
    with tenant_bind(tenant):
        store.rule_set(tenant_id=tenant.pk, name=name, mode=mode, conditions=conditions, updated_by="test", now=NOW)


def alias(tenant: Tenant, old: str, new: str) -> None:
    with tenant_bind(tenant):
        store.alias_set(tenant_id=tenant.pk, alias=old, name=new, created_by="test", now=NOW)


def lamps(tenant: Tenant) -> dict[str, Stored]:
    return {key[1]: entity for key, entity in stored(tenant).items()}


def documents(tenant: Tenant) -> dict[str, dict[str, Any]]:
    return {external_id: entity.document for external_id, entity in lamps(tenant).items()}


def status_of(tenant: Tenant, name: str) -> str:
    with tenant_bind(tenant):
        return selectors.attribute_get(tenant_id=tenant.pk, name=name, using="default").status


def names_listed(tenant: Tenant, status: str = "") -> list[str]:
    with tenant_bind(tenant):
        page = selectors.attributes_page(
            tenant_id=tenant.pk, prefix="", limit=1000, cursor=None, using="default", status=status
        )
    return [row.name for row in page.attributes]


def run_job(tenant: Tenant, start: Callable[..., AttributeJob], **arguments: Any) -> AttributeJob:
    with tenant_bind(tenant):
        job = start(tenant_id=tenant.pk, created_by="test", now=NOW, enqueue=lambda job: None, **arguments)
        work.attribute_job_run(tenant_id=tenant.pk, job_id=job.job_id, clock=lambda: NOW)
        return jobs.job_get(tenant_id=tenant.pk, job_id=job.job_id, using="default")


# --- Patterns and rules: pure -----------------------------------------------------------------------------------------

PIECES = st.sampled_from(["a", "b", "[ab]", "[^a]", ".", "\\d", "(a|b)", "(ab)?", "a*", "b+", "(a|bb){1,2}", "x?", "|"])


@given(st.lists(PIECES, min_size=1, max_size=6), st.text("ab1x", max_size=8))
def test_a_pattern_says_what_pythons_engine_says(pieces: list[str], text: str) -> None:
    source = "".join(pieces)
    assert pattern_compile(source).matches(text) == (re.fullmatch(source, text) is not None)


@pytest.mark.parametrize("source", ["(a*)*b", "(a|a)*b", "(a+)+b", "(.*)*x", "a{0,80}a{0,80}b"])
def test_no_text_makes_a_pattern_walk_back(source: str) -> None:
    pattern = pattern_compile(source)
    assert pattern.matches("a" * 1000) is False
    # Sets of states are few, and each step of them is remembered: the work is bounded by the text, not by its ways.
    assert len(pattern._steps) <= 1001


@pytest.mark.parametrize(
    "source",
    ["", "(", ")", "a**", "[z-a]", "\\1", "(?=a)", "a{300}", "*a", "((a{200}){200})", "a^b", "[", "(x{0}){200}" * 40],
)
def test_a_pattern_that_makes_no_sense_is_refused(source: str) -> None:
    with pytest.raises(InvalidPattern):
        pattern_compile(source)


@pytest.mark.parametrize(
    ("conditions", "good", "bad", "code"),
    [
        ({"types": ["number"]}, [1, 2.5], ["1", True], "wrong_type"),
        ({"minimum": 0}, [0, 7, "text is not a number"], [-1], "too_small"),
        ({"maximum": 10.5}, [10.5], [11], "too_large"),
        ({"min_length": 2}, ["ab"], ["a", ""], "too_short"),
        ({"max_length": 2}, ["ab", 12345], ["abc"], "too_long"),
        ({"pattern": "[A-Z]{2}-\\d+"}, ["AB-1"], ["ab-1", "AB-1x"], "pattern_mismatch"),
        ({"choices": ["on", "off", 1]}, ["on", 1], ["ON", True, 1.5], "not_a_choice"),
    ],
)
def test_a_rule_knows_good_values_from_bad(
    conditions: dict[str, Any], good: list[Any], bad: list[Any], code: str
) -> None:
    parsed = conditions_parse(conditions)
    assert [parsed.fault(value) for value in good] == [None] * len(good)
    assert {fault.code for value in bad if (fault := parsed.fault(value))} == {code}
    assert all(parsed.fault(value) for value in bad)
    assert conditions_parse(conditions_write(parsed)).in_words() == parsed.in_words()


def test_a_rule_that_makes_no_sense_tells_every_fault() -> None:
    with pytest.raises(InvalidRule) as caught:
        conditions_parse(
            {"minimum": 5, "maximum": 1, "pattern": "(", "types": ["date"], "nonsense": 1, "choices": [[]]}
        )
    assert {error.path for error in caught.value.errors} == {"maximum", "pattern", "types", "nonsense", "choices"}


# --- Rules on the write path ------------------------------------------------------------------------------------------


def test_a_rule_in_force_leaves_bad_lines_out_and_says_which_attribute(acme: Tenant, globex: Tenant) -> None:
    rule(acme, "watts", types=["number"], minimum=0)
    rule(acme, "color", choices=["red", "blue"])
    good, bad = lamp("1", watts=5, color="red"), lamp("2", watts=-5, color="green")
    summary = send(acme, good, bad, lamp("3", other=1))
    assert (summary.created, summary.rejected_count) == (2, 1)
    told = summary.as_dict()["rejected"][0]
    assert (told["line"], told["code"]) == (2, "rule_broken")
    assert [(error["path"], error["code"]) for error in told["errors"]] == [
        ("attributes.color", "not_a_choice"),
        ("attributes.watts", "too_small"),
    ]
    assert set(documents(acme)) == {"1", "3"}
    assert send(globex, good, bad).rejected_count == 0


def test_a_rule_holds_for_single_writes_too(acme: Tenant) -> None:
    send(acme, lamp("1", watts=5))
    rule(acme, "watts", maximum=10)
    [entity_id] = [entity.entity_id for entity in lamps(acme).values()]
    with tenant_bind(acme):
        for body, is_new in (({"entity_type": "lamp", "external_id": "2", "attributes": {"watts": 11}}, True),):
            with pytest.raises(RuleBroken) as caught:
                services.entity_create(
                    tenant_id=acme.pk, entity=entity_input_parse(body, is_new=is_new), upsert=False, now=NOW
                )
            assert [error.path for error in caught.value.errors] == ["attributes.watts"]
        with pytest.raises(RuleBroken):
            services.attribute_put(
                tenant_id=acme.pk, entity_id=entity_id, name="watts", value=12, expected_versions=None, now=NOW
            )
    assert documents(acme) == {"1": {"watts": 5}}


def test_a_rule_that_warns_writes_and_tells(acme: Tenant) -> None:
    rule(acme, "watts", mode="warn", maximum=10)
    summary = send(acme, lamp("1", watts=11), lamp("2", watts=1))
    assert (summary.created, summary.rejected_count) == (2, 0)
    assert summary.as_dict()["warnings"]["rules"]["count"] == 1
    rule(acme, "watts", mode="off", maximum=10)
    assert "warnings" not in send(acme, lamp("1", watts=12)).as_dict()
    with tenant_bind(acme), connections["default"].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM attribute_governance WHERE tenant_id = %s", [acme.pk])
        assert cursor.fetchone() == (0,)


def test_what_is_required_must_be_there_from_the_beginning_and_stay(acme: Tenant) -> None:
    send(acme, lamp("old", color="red"))
    rule(acme, "watts", required_for=["lamp"])
    summary = send(
        acme,
        lamp("new", color="red"),
        lamp("new", watts=5),
        lamp("new", color="blue"),
        lamp("old", color="green"),
        lamp("none"),
        {"entity_type": "desk", "external_id": "d", "attributes": {}},
    )
    assert sorted(rejection.line for rejection in summary.rejected) == [1, 5]
    assert (summary.created, summary.updated) == (2, 2)
    assert documents(acme) == {"old": {"color": "green"}, "new": {"watts": 5, "color": "blue"}, "d": {}}
    assert [r.code for r in send(acme, lamp("new", watts=None)).rejected] == ["rule_broken"]
    assert send(acme, lamp("new", color="x"), mode="replace").rejected_count == 1


def test_a_process_that_remembers_an_older_version_reads_the_new_one(acme: Tenant) -> None:
    for maximum in (10, 5, 20):
        rule(acme, "watts", maximum=maximum)
        assert [send(acme, lamp("1", watts=watts)).rejected_count for watts in (maximum, maximum + 1)] == [0, 1]
    with tenant_bind(acme):
        store.rule_remove(tenant_id=acme.pk, name="watts")
    assert send(acme, lamp("1", watts=1000)).rejected_count == 0


# --- Aliases ----------------------------------------------------------------------------------------------------------


def test_an_alias_is_stored_under_the_name_it_stands_for(acme: Tenant, globex: Tenant) -> None:
    alias(acme, "serial_no", "serial_number")
    rule(acme, "serial_number", max_length=3)
    summary = send(
        acme,
        lamp("1", serial_no="abc", x=1),
        lamp("2", serial_no="too long"),
        lamp("3", serial_no="a", serial_number="b"),
    )
    assert documents(acme) == {"1": {"serial_number": "abc", "x": 1}, "3": {"serial_number": "b"}}
    assert summary.rejected[0].errors[0].path == "attributes.serial_number"
    send(acme, lamp("1", serial_no=None))
    assert documents(acme)["1"] == {"x": 1}
    [entity_id] = [entity.entity_id for key, entity in lamps(acme).items() if key == "1"]
    with tenant_bind(acme):
        row = services.attribute_put(
            tenant_id=acme.pk, entity_id=entity_id, name="serial_no", value="q", expected_versions=None, now=NOW
        )
    assert (row.name, documents(acme)["1"]["serial_number"]) == ("serial_number", "q")
    send(globex, lamp("1", serial_no="abc"))
    assert documents(globex) == {"1": {"serial_no": "abc"}}


def test_aliases_have_one_step(acme: Tenant) -> None:
    alias(acme, "a", "b")
    alias(acme, "a", "b")
    for old, new in (("b", "c"), ("c", "a"), ("a", "c")):
        with pytest.raises(store.AliasTaken):
            alias(acme, old, new)
    with pytest.raises(store.InvalidAlias):
        alias(acme, "x", "x")
    with tenant_bind(acme):
        store.alias_remove(tenant_id=acme.pk, alias="a")
        with pytest.raises(store.AliasUnknown):
            store.alias_remove(tenant_id=acme.pk, alias="a")
    send(acme, lamp("1", a=1))
    assert documents(acme) == {"1": {"a": 1}}


# --- Quarantine -------------------------------------------------------------------------------------------------------

SUSPECTS = {
    f"reading_{uuid.UUID(int=7)}": "uuid",
    "1234567890": "digits",
    "sensor_2026-01-31": "date",
    "mac_00a1b2c3d4e5": "hex",
}


def test_names_that_look_like_ids_are_quarantined_stored_and_found(acme: Tenant, globex: Tenant) -> None:
    ordinary = ["attr_00042", "port_1", "ipv6", "sha256", "facade", "décor", "2026", "iso_8601"]
    summary = send(acme, lamp("1", **dict.fromkeys([*ordinary, *SUSPECTS], cast(Any, 1))))
    assert summary.as_dict()["warnings"]["quarantined"] == {"count": 4, "names": sorted(SUSPECTS)}
    assert names_listed(acme, "active") == sorted(ordinary)
    assert names_listed(acme, "quarantined") == sorted(SUSPECTS)
    assert names_listed(acme) == sorted([*ordinary, *SUSPECTS])
    with tenant_bind(acme):
        for name, reason in SUSPECTS.items():
            row = selectors.attribute_get(tenant_id=acme.pk, name=name, using="default")
            assert (row.status, row.quarantine_reason, row.types) == ("quarantined", reason, {"number": 1})
            query = query_parse({"where": [[name, "eq", 1]]})
            page = search_run(tenant_id=acme.pk, query=query, using="default", position="0/1")
            assert len(page.entities) == 1
        services.attribute_describe(tenant_id=acme.pk, name="1234567890", changes={"status": "active"})
    # Known by now: nobody is told again, and nobody's decision is taken back.
    assert "warnings" not in send(acme, lamp("2", **dict.fromkeys(SUSPECTS, cast(Any, 2)))).as_dict()
    assert status_of(acme, "1234567890") == "active"
    assert names_listed(globex) == []


@pytest.mark.parametrize(
    ("setting", "reason"), [("ATTRIBUTE_NAMES_MAX", "quota"), ("NEW_ATTRIBUTE_NAMES_PER_HOUR", "flood")]
)
def test_names_beyond_the_quota_or_in_floods_are_quarantined_not_lost(
    acme: Tenant, globex: Tenant, settings: Settings, setting: str, reason: str
) -> None:
    setattr(settings, setting, 3)
    send(globex, lamp("1", a=1, b=1, c=1))
    send(acme, lamp("1", a=1, b=1))
    summary = send(acme, lamp("2", a=2, c=1, d=1, e=1))
    assert summary.quarantined == ["d", "e"]
    assert documents(acme)["2"] == {"a": 2, "c": 1, "d": 1, "e": 1}
    with tenant_bind(acme):
        assert selectors.attribute_get(tenant_id=acme.pk, name="e", using="default").quarantine_reason == reason
    assert send(acme, lamp("3", a=1, b=1, c=1)).quarantined == []


# --- Jobs -------------------------------------------------------------------------------------------------------------


def test_a_rename_moves_every_value_at_its_own_instant(
    acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "SLICE", 2)
    at = "2026-01-05T10:00:00.123456Z"
    send(
        acme,
        *(lamp(str(number), at=at, serial_no=f"s{number}", n=number) for number in range(5)),
        lamp("without", at=at),
    )
    send(globex, lamp("1", serial_no="theirs"))
    with tenant_bind(acme):
        services.attribute_describe(tenant_id=acme.pk, name="serial_no", changes={"unit": "text", "owner": "Ann"})
    before = lamps(acme)
    job = run_job(acme, jobs.rename_start, name="serial_no", target="serial_number", keep_alias=True)
    assert (job.status, job.changed, job.entities_done) == ("done", 5, 6)
    after = lamps(acme)
    for key, entity in before.items():
        expected = {
            ("serial_number" if name == "serial_no" else name): value for name, value in entity.document.items()
        }
        assert after[key].document == expected
        assert after[key].updated_at == entity.updated_at
    assert after["0"].at["serial_number"] == before["0"].at["serial_no"]
    with tenant_bind(acme):
        row = selectors.attribute_get(tenant_id=acme.pk, name="serial_number", using="default")
    assert (row.unit, row.owner, row.status, sum(row.types.values())) == ("text", "Ann", "active", 5)
    assert status_of(acme, "serial_no") == "hidden"
    send(acme, lamp("0", serial_no="late writer"))
    assert documents(acme)["0"]["serial_number"] == "late writer"
    assert documents(globex) == {"1": {"serial_no": "theirs"}}


@pytest.mark.parametrize("keep_alias", [False, True])
def test_a_merge_keeps_the_newer_of_two_values_and_can_be_undone(acme: Tenant, keep_alias: bool) -> None:
    early, late = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"
    send(acme, lamp("old wins not", at=early, no="old"), lamp("old wins not", at=late, number="new"))
    send(acme, lamp("old wins", at=early, number="new"), lamp("old wins", at=late, no="old"))
    send(acme, lamp("only old", at=early, no="x"))
    before = documents(acme)
    defaults_change(tenant=acme, attributes={"no": Limit("REALTIME"), "number": Limit("EVENTUAL")})
    settled = defaults_read(tenant_id=acme.pk, using="default").attributes
    job = run_job(acme, jobs.rename_start, name="no", target="number", keep_alias=keep_alias)
    assert defaults_read(tenant_id=acme.pk, using="default").attributes["number"].tier == "REALTIME"
    assert documents(acme) == {
        "old wins not": {"number": "new"},
        "old wins": {"number": "old"},
        "only old": {"number": "x"},
    }
    assert jobs.may_undo(job)
    send(acme, lamp("only old", number="changed since"))
    undo = run_job(acme, jobs.undo_start, job_id=job.job_id)
    assert undo.status == "done"
    assert documents(acme) == before | {"only old": {"no": "x", "number": "changed since"}}
    assert status_of(acme, "no") == "active"
    assert defaults_read(tenant_id=acme.pk, using="default").attributes == settled
    send(acme, lamp("only old", no="written since"))
    assert documents(acme)["only old"]["no"] == "written since"
    with tenant_bind(acme), pytest.raises(jobs.NothingToUndo):
        jobs.undo_start(tenant_id=acme.pk, job_id=job.job_id, created_by="", now=NOW, enqueue=lambda job: None)


def test_a_killed_rename_goes_on_after_its_last_slice(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "SLICE", 2)
    send(acme, *(lamp(str(number), a=number) for number in range(6)))
    note, slices = work._note, 0

    def killed_in_the_second(job: AttributeJob) -> None:
        nonlocal slices
        slices += 1
        note(job)
        if slices == 2:
            raise SystemExit("killed")

    monkeypatch.setattr(work, "_note", killed_in_the_second)
    with pytest.raises(SystemExit):
        run_job(acme, jobs.rename_start, name="a", target="b", keep_alias=False)
    assert sorted(next(iter(document)) for document in documents(acme).values()) == ["a"] * 4 + ["b"] * 2
    monkeypatch.setattr(work, "_note", note)
    with tenant_bind(acme):
        [job] = jobs_abandoned(AttributeJob, tenant_id=acme.pk, now=NOW + timedelta(minutes=5))
        assert work.attribute_job_run(tenant_id=acme.pk, job_id=job.job_id, clock=lambda: NOW) == "done"
        done = jobs.job_get(tenant_id=acme.pk, job_id=job.job_id, using="default")
    assert (done.changed, done.entities_done) == (6, 6)
    assert all(document.keys() == {"b"} for document in documents(acme).values())


def test_a_write_between_the_look_and_the_lock_is_not_lost(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    send(acme, lamp("1", a="before"))
    write, once = batch_write, iter([True])

    def writes_by_another() -> None:
        try:
            send(acme, lamp("1", a="meanwhile"))
        finally:
            connections.close_all()

    def written_meanwhile(**arguments: Any) -> Any:
        if next(once, False):
            # By another writer: in a connection of its own.
            writer = Thread(target=writes_by_another)
            writer.start()
            writer.join()
        return write(**arguments)

    monkeypatch.setattr(work, "batch_write", written_meanwhile)
    run_job(acme, jobs.rename_start, name="a", target="b", keep_alias=False)
    assert documents(acme) == {"1": {"b": "meanwhile"}}


def test_a_dropped_attribute_is_gone_from_entities_and_registry_and_can_come_back(acme: Tenant) -> None:
    send(acme, lamp("1", junk=1, keep=1), lamp("2", junk="x"))
    job = run_job(acme, jobs.drop_start, name="junk")
    assert documents(acme) == {"1": {"keep": 1}, "2": {}}
    assert names_listed(acme) == ["keep"]
    run_job(acme, jobs.undo_start, job_id=job.job_id)
    assert documents(acme) == {"1": {"junk": 1, "keep": 1}, "2": {"junk": "x"}}


def test_a_rule_is_held_against_what_is_there_before_it_is_set(acme: Tenant, globex: Tenant) -> None:
    send(acme, *(lamp(str(number), watts=number) for number in range(10)), lamp("none"), lamp("text", watts="5"))
    send(globex, lamp("1", watts=1000))
    conditions = {"types": ["number"], "maximum": 7, "required_for": ["lamp"]}
    before = documents(acme)
    job = run_job(acme, jobs.rule_check_start, name="watts", conditions=conditions)
    assert job.result["by_code"] == {"too_large": 2, "required": 1, "wrong_type": 1}
    assert (job.result["violations"], job.result["with_value"], job.entities_done) == (4, 11, 12)
    assert {sample["external_id"] for sample in job.result["samples"]} == {"8", "9", "none", "text"}
    assert documents(acme) == before
    with tenant_bind(globex), pytest.raises(jobs.JobUnknown):
        jobs.job_get(tenant_id=globex.pk, job_id=job.job_id, using="default")


def test_two_jobs_do_not_change_one_attribute_at_once_and_one_can_be_cancelled(acme: Tenant) -> None:
    send(acme, lamp("1", a=1))
    arguments: dict[str, Any] = {"tenant_id": acme.pk, "created_by": "", "now": NOW, "enqueue": lambda job: None}
    with tenant_bind(acme):
        first = jobs.rename_start(name="a", target="b", keep_alias=False, **arguments)
        with pytest.raises(jobs.JobUnderWay):
            jobs.drop_start(name="a", **arguments)
        jobs.rule_check_start(name="a", conditions={"minimum": 1}, **arguments)
        jobs.job_cancel(tenant_id=acme.pk, job_id=first.job_id, now=NOW)
        assert work.attribute_job_run(tenant_id=acme.pk, job_id=first.job_id, clock=lambda: NOW) == "cancelled"
        with pytest.raises(selectors.AttributeUnknown):
            jobs.rename_start(name="nobody", target="b", keep_alias=False, **arguments)
        with pytest.raises(jobs.InvalidRename):
            jobs.rename_start(name="a", target="a", keep_alias=False, **arguments)
        jobs.jobs_expire(tenant_id=acme.pk, now=NOW + timedelta(days=31))
        assert [job.kind for job in AttributeJob.objects.filter(tenant_id=acme.pk)] == ["rule_check"]
    assert documents(acme) == {"1": {"a": 1}}


def test_an_undo_leaves_what_people_have_settled_since(acme: Tenant) -> None:
    send(acme, lamp("1", a=1))
    alias(acme, "old", "b")
    defaults_change(tenant=acme, attributes={"a": Limit("REALTIME")})
    job = run_job(acme, jobs.rename_start, name="a", target="b", keep_alias=True)
    with tenant_bind(acme):
        store.alias_remove(tenant_id=acme.pk, alias="a")
        store.alias_set(tenant_id=acme.pk, alias="a", name="b", created_by="Ann", now=NOW + timedelta(hours=1))
    defaults_change(tenant=acme, attributes={"b": Limit("EVENTUAL")})
    run_job(acme, jobs.undo_start, job_id=job.job_id)
    with tenant_bind(acme):
        aliases = store.aliases_read(tenant_id=acme.pk, using="default")
    assert [(alias.alias, alias.name) for alias in aliases] == [("a", "b"), ("old", "b")]
    assert defaults_read(tenant_id=acme.pk, using="default").attributes["b"] == Limit("EVENTUAL")


def test_a_job_is_at_both_names_of_a_rename(acme: Tenant, globex: Tenant) -> None:
    for tenant in (acme, globex):
        send(tenant, lamp("1", a=1, b=1, c=1, d=1))
    arguments: dict[str, Any] = {"created_by": "", "now": NOW, "enqueue": lambda job: None}
    undone = run_job(acme, jobs.drop_start, name="d")
    with tenant_bind(acme):
        arguments["tenant_id"] = acme.pk
        jobs.rename_start(name="a", target="b", keep_alias=False, **arguments)
        for name, target in (("b", "c"), ("c", "a"), ("c", "b")):
            with pytest.raises(jobs.JobUnderWay):
                jobs.rename_start(name=name, target=target, keep_alias=True, **arguments)
        with pytest.raises(jobs.JobUnderWay):
            jobs.drop_start(name="b", **arguments)
        assert not AttributeAlias.objects.filter(tenant_id=acme.pk).exists()
        jobs.undo_start(job_id=undone.job_id, **arguments)
        with pytest.raises(jobs.JobUnderWay):
            jobs.rename_start(name="c", target="d", keep_alias=False, **arguments)
    with tenant_bind(globex):
        jobs.rename_start(name="b", target="c", keep_alias=False, **(arguments | {"tenant_id": globex.pk}))


def test_of_two_that_begin_at_once_the_second_sees_the_first(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    send(acme, lamp("1", a=1))
    arguments: dict[str, Any] = {"tenant_id": acme.pk, "created_by": "", "now": NOW, "enqueue": lambda job: None}
    refused: list[type[Exception]] = []
    record = audit_record

    def by_another() -> None:
        try:
            with tenant_bind(acme):
                jobs.drop_start(name="a", **arguments)
        except jobs.JobUnderWay as error:
            refused.append(type(error))
        finally:
            connections.close_all()

    other = Thread(target=by_another)

    def meanwhile(**told: Any) -> None:
        record(**told)
        monkeypatch.setattr(jobs, "audit_record", record)
        other.start()
        # It waits for us: longer than it would take to begin.
        other.join(0.5)

    monkeypatch.setattr(jobs, "audit_record", meanwhile)
    with tenant_bind(acme):
        jobs.rename_start(name="a", target="b", keep_alias=False, **arguments)
    other.join()
    assert refused == [jobs.JobUnderWay]


def test_a_rename_that_no_worker_hears_of_waits_and_one_that_is_refused_leaves_nothing(acme: Tenant) -> None:
    send(acme, lamp("1", a=1, c=1))

    def unheard(job: AttributeJob) -> None:
        raise QueueUnavailable

    arguments: dict[str, Any] = {"tenant_id": acme.pk, "created_by": "", "now": NOW, "enqueue": unheard}
    with tenant_bind(acme):
        job = jobs.rename_start(name="a", target="b", keep_alias=True, **arguments)
        assert jobs_abandoned(AttributeJob, tenant_id=acme.pk, now=NOW + timedelta(minutes=5)) == [job]
        with pytest.raises(jobs.JobUnderWay):
            jobs.rename_start(name="a", target="c", keep_alias=True, **arguments)
        assert work.attribute_job_run(tenant_id=acme.pk, job_id=job.job_id, clock=lambda: NOW) == "done"
        assert [(alias.alias, alias.attribute_name) for alias in AttributeAlias.objects.all()] == [("a", "b")]
    assert documents(acme) == {"1": {"b": 1, "c": 1}}


def test_names_that_are_probably_one_are_found(acme: Tenant) -> None:
    send(acme, *(lamp(str(number), serial_number="x", SerialNo="y", port_1=1, port_2=2) for number in range(2)))
    send(acme, lamp("1", serial_no="z", manufacturer="m"), lamp("2", manufacturers="m"))
    with tenant_bind(acme):
        services.attribute_changes_fold(tenant_id=acme.pk)
    job = run_job(acme, jobs.similar_start)
    pairs = {(pair["name"], pair["other"]) for pair in job.result["pairs"]}
    assert pairs == {
        ("SerialNo", "serial_number"), ("SerialNo", "serial_no"), ("serial_number", "serial_no"),
        ("manufacturer", "manufacturers"),
    }  # fmt: skip


def test_thousands_of_names_are_compared_without_comparing_each_with_each() -> None:
    rnd = random.Random(5)
    words = [
        "alpha",
        "bravo",
        "delta",
        "speed",
        "temp",
        "mass",
        "width",
        "height",
        "serial",
        "status",
        "region",
        "cost",
    ]
    names = {"_".join(rnd.sample(words, 4)): (number, "string") for number in range(3000)}
    names |= {"tail_number": (9, "string"), "tail_no": (1, "string"), "other": (1, "number")}
    assert any((pair.name, pair.other) == ("tail_number", "tail_no") for pair in similar_pairs(names))


def test_quarantined_names_are_not_analysed(acme: Tenant) -> None:
    from analytics.statistics import statistics_refresh

    send(acme, lamp("1", ordinary=1, **dict.fromkeys(SUSPECTS, cast(Any, 1))))
    with tenant_bind(acme):
        assert statistics_refresh(tenant_id=acme.pk, now=NOW).attributes == 1
        analysed = AttributeMetadata.objects.filter(tenant_id=acme.pk, last_analyzed__isnull=False)
        assert [row.attribute_name for row in analysed] == ["ordinary"]
