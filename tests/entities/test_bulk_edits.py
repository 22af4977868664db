"""Bulk edits: previewed, done in batches through the one write path, cancelled, interrupted, taken back, isolated."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from entities import services
from entities.bulk import edits, run
from entities.bulk.preview import bulk_edit_preview
from entities.governance.store import alias_set
from entities.jobs import ABANDONED_AFTER, jobs_abandoned
from entities.models import BulkEdit, BulkEditChange
from entities.search.query import query_parse
from entities.selectors import entity_get
from entities.services import InvalidEntity
from tenants.binding import tenant_bind
from tenants.members.models import Role
from tenants.models import AuditEntry, Tenant
from tests.admin_client import platform_browser, tenant_browser
from tests.browser.data import aircraft, entities_write

NOW = datetime(2036, 3, 1, 12, tzinfo=UTC)  # After whatever the tests wrote.


@pytest.fixture(autouse=True)
def _quick_passwords(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


class StepClock:
    """Says the instant of each look at it: one second later every time."""

    def __init__(self, at: datetime = NOW) -> None:
        self.at = at

    def __call__(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at


CLOCK = StepClock()


@pytest.fixture
def fleet(acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Ten aircraft of acme, every second of them Boeing's, in batches of three."""
    monkeypatch.setattr(run, "BATCH", 3)
    entities_write(globex, aircraft("N0", maker="Boeing", seats=0))
    makers = ("Airbus", "Boeing")
    return entities_write(acme, *(aircraft(f"N{n}", maker=makers[n % 2], seats=n) for n in range(10)))


def edit_make(
    tenant: Tenant, changes: dict[str, Any], *, where: list[Any] | None = None, ids: list[int] | None = None
) -> BulkEdit:
    with tenant_bind(tenant):
        return edits.bulk_edit_create(
            tenant_id=tenant.pk, query=None if ids else {"where": where or []}, entity_ids=ids or [], changes=changes,
            entities_total=10, created_by="alice", now=NOW, enqueue=lambda edit: None,
        )  # fmt: skip


def undo_make(tenant: Tenant, edit: BulkEdit) -> BulkEdit:
    with tenant_bind(tenant):
        return edits.bulk_edit_undo(
            tenant_id=tenant.pk, edit_id=edit.edit_id, created_by="bob", now=NOW, enqueue=lambda edit: None
        )


def work(tenant: Tenant, edit: BulkEdit) -> str:
    with tenant_bind(tenant):
        status = run.bulk_edit_run(tenant_id=tenant.pk, job_id=edit.edit_id, clock=CLOCK)
        edit.refresh_from_db(using="default")
    return status


def documents(tenant: Tenant, ids: list[int]) -> list[dict[str, Any]]:
    with tenant_bind(tenant):
        rows = [entity_get(tenant_id=tenant.pk, entity_id=entity_id, using="default") for entity_id in ids]
    return [orjson.loads(row.attributes) for row in rows]


def test_a_preview_counts_what_would_change_and_shows_some(acme: Tenant, fleet: list[int]) -> None:
    query = query_parse({"where": [["maker", "eq", "Boeing"]]})
    with tenant_bind(acme):
        preview = bulk_edit_preview(
            tenant_id=acme.pk, query=query, entity_ids=[], changes={"seats": 3, "maker": None}, using="default"
        )
        some = bulk_edit_preview(
            tenant_id=acme.pk, query=None, entity_ids=fleet[:4], changes={"seats": 3}, using="default"
        )
    assert (preview.matched, preview.changing) == (5, 5)
    assert (some.matched, some.changing) == (4, 3)
    assert sorted(sample.external_id for sample in some.samples) == ["N0", "N1", "N2"]
    assert preview.samples[0].values[1] == ("maker", "“Boeing”", None)


def test_an_edit_changes_all_that_match_and_only_those(acme: Tenant, globex: Tenant, fleet: list[int]) -> None:
    edit = edit_make(acme, {"status": "stored", "seats": None}, where=[["maker", "eq", "Boeing"]])
    assert work(acme, edit) == "done"
    for number, document in enumerate(documents(acme, fleet)):
        if number % 2:
            assert document == {"maker": "Boeing", "status": "stored"}
        else:
            assert document == {"maker": "Airbus", "seats": number}
    assert (edit.entities_done, edit.entities_changed, edit.conflicts_count) == (5, 5, 0)
    with tenant_bind(globex):
        assert BulkEdit.objects.using("default").count() == 0
        assert BulkEditChange.objects.using("default").count() == 0


def test_an_edit_of_a_selection_leaves_alone_what_is_like_that_already(acme: Tenant, fleet: list[int]) -> None:
    edit = edit_make(acme, {"seats": 3}, ids=fleet[:5])
    assert work(acme, edit) == "done"
    assert [document["seats"] for document in documents(acme, fleet)] == [3, 3, 3, 3, 3, 5, 6, 7, 8, 9]
    assert (edit.entities_done, edit.entities_changed) == (5, 4)


def test_an_edit_that_empties_its_own_filter_still_reaches_every_entity(acme: Tenant, fleet: list[int]) -> None:
    edit = edit_make(acme, {"maker": "Embraer"}, where=[["maker", "in", ["Boeing", "Airbus"]]])
    assert work(acme, edit) == "done"
    assert {document["maker"] for document in documents(acme, fleet)} == {"Embraer"}


def test_undo_gives_back_what_was_there_unless_it_was_changed_since(acme: Tenant, fleet: list[int]) -> None:
    before = documents(acme, fleet)
    edit = edit_make(acme, {"seats": "none", "extra": True})
    work(acme, edit)
    with tenant_bind(acme):
        # One is changed since, one is deleted.
        services.attribute_put(
            tenant_id=acme.pk, entity_id=fleet[4], name="seats", value=44, expected_versions=None, now=CLOCK()
        )
        services.entity_delete(tenant_id=acme.pk, entity_id=fleet[7], expected_versions=None)
    undo = undo_make(acme, edit)
    assert work(acme, undo) == "done"
    left = [entity_id for entity_id in fleet if entity_id != fleet[7]]
    after = documents(acme, left)
    expected = [document for number, document in enumerate(before) if number != 7]
    expected[4] = {"maker": "Airbus", "seats": 44}
    assert after == expected
    assert undo.entities_changed == 9
    assert {(conflict["entity_id"], conflict["name"]) for conflict in undo.conflicts} == {
        (str(fleet[4]), "seats"), (str(fleet[7]), ""),
    }  # fmt: skip
    assert "it is 44 now" in next(conflict["detail"] for conflict in undo.conflicts if conflict["name"])
    with pytest.raises(edits.BulkEditStands):
        undo_make(acme, edit)
    with pytest.raises(edits.BulkEditStands):
        undo_make(acme, undo)


def test_a_cancelled_edit_stops_between_two_batches_and_can_be_taken_back(
    acme: Tenant, fleet: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    edit = edit_make(acme, {"seats": 0})
    steps = run._step

    def cancel_after(edit: BulkEdit, *, now: datetime) -> bool:
        goes_on = steps(edit, now=now)
        if edit.after_entity_id == run._BEFORE_ALL:
            edits.bulk_edit_cancel(tenant_id=acme.pk, edit_id=edit.edit_id, now=now)
        return goes_on

    before = documents(acme, fleet)
    monkeypatch.setattr(run, "_step", cancel_after)
    assert work(acme, edit) == "cancelled"
    assert edit.entities_done == 3
    monkeypatch.setattr(run, "_step", steps)
    undo = undo_make(acme, edit)
    assert work(acme, undo) == "done"
    assert documents(acme, fleet) == before


def test_an_interrupted_edit_goes_on_where_it_was_and_does_nothing_twice(
    acme: Tenant, fleet: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    edit = edit_make(acme, {"seats": 100})
    do, done = run._batch_do, []

    def killed_in_the_third(*args: Any, **kwargs: Any) -> None:
        done.append(1)
        if len(done) == 3:
            raise KeyboardInterrupt
        do(*args, **kwargs)

    monkeypatch.setattr(run, "_batch_do", killed_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        work(acme, edit)
    with tenant_bind(acme):
        [left] = jobs_abandoned(BulkEdit, tenant_id=acme.pk, now=NOW + ABANDONED_AFTER * 2)
    assert (left.edit_id, left.entities_done) == (edit.edit_id, 6)
    assert work(acme, edit) == "done"
    assert (edit.entities_done, edit.entities_changed) == (10, 10)
    with tenant_bind(acme):
        assert BulkEditChange.objects.using("default").filter(edit_id=edit.edit_id).count() == 10


def test_an_entity_that_is_deleted_under_the_edit_is_not_made_anew(
    acme: Tenant, fleet: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    edit = edit_make(acme, {"seats": 100}, ids=fleet[:3])
    look = run._targets_read
    looked: list[int] = []

    def deleted_after_the_look(*args: Any) -> Any:
        found = look(*args)
        if not looked:
            looked.append(1)
            services.entity_delete(tenant_id=acme.pk, entity_id=fleet[1], expected_versions=None)
        return found

    monkeypatch.setattr(run, "_targets_read", deleted_after_the_look)
    assert work(acme, edit) == "done"
    assert (edit.entities_done, edit.entities_changed, edit.conflicts_count) == (3, 2, 1)
    assert "deleted" in edit.conflicts[0]["detail"]


def test_what_can_not_be_asked_for_is_refused(acme: Tenant, fleet: list[int], settings: Any) -> None:
    with pytest.raises(edits.NoChanges):
        edit_make(acme, {})
    with pytest.raises(services.InvalidEntity):
        edit_make(acme, {"": 1})
    settings.BULK_EDIT_MAX = 5
    with pytest.raises(edits.TooManyEntities):
        edit_make(acme, {"a": 1})


def test_old_edits_are_forgotten_with_what_they_changed(acme: Tenant, fleet: list[int]) -> None:
    edit = edit_make(acme, {"seats": 100})
    work(acme, edit)
    with tenant_bind(acme):
        assert edits.bulk_edits_expire(tenant_id=acme.pk, now=NOW + timedelta(days=29)) == 0
        assert edits.bulk_edits_expire(tenant_id=acme.pk, now=NOW + timedelta(days=32)) == 1
        assert BulkEditChange.objects.using("default").count() == 0


def test_the_pages_lead_from_a_selection_over_a_preview_to_the_undo(
    acme: Tenant, globex: Tenant, fleet: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from entities import tasks

    monkeypatch.setattr(tasks, "bulk_edit_enqueue", lambda edit: None)
    browser = tenant_browser(acme, role=Role.EDITOR)
    page = f"entities/bulk/new/?id={fleet[0]}&id={fleet[1]}"
    form = {"action": ["set"], "name": ["seats"], "type": ["number"], "value_number": ["1"]}
    assert "2 selected entities" in browser.text(page)
    preview = browser.post(page, {**form, "do": "preview"}).content.decode()
    assert "<strong>1</strong> of 2 entities would change" in preview
    with tenant_bind(acme):
        assert BulkEdit.objects.using("default").count() == 0
    wrong = browser.post(page, {**form, "value_number": ["x"], "do": "run"})
    assert (wrong.status_code, "is not a number" in wrong.content.decode()) == (400, True)
    location = browser.post(page, {**form, "do": "run"}).headers["Location"]
    with tenant_bind(acme):
        [edit] = BulkEdit.objects.using("default").all()
    assert location.endswith(f"/entities/bulk/{edit.edit_id}/")
    assert "waiting for a worker" in browser.text(location)
    work(acme, edit)
    assert "Undo" in browser.text(location)
    assert "seats = 1" in browser.text("entities/bulk/")
    answer = browser.post(f"entities/bulk/{edit.edit_id}/undo/")
    undo_page = answer.headers["Location"]
    assert "Takes back" in browser.text(undo_page)
    with tenant_bind(acme):
        actions = list(AuditEntry.objects.filter(subject=f"bulk_edit:{edit.edit_id}").values_list("action", flat=True))
    assert sorted(actions) == ["bulk_edit.create", "bulk_edit.undo"]
    # Nobody ticked is nobody, not everybody.
    # Ids have 19 digits from 2031 on; what no entity could have is told, not passed over.
    [later] = browser.get(f"entities/bulk/new/?id={2**63 - 1}").context["ids"]
    assert later == 2**63 - 1
    for no_id in (str(2**63), "12a"):
        assert browser.get(f"entities/bulk/new/?id={fleet[0]}&id={no_id}").status_code == 404
    assert "Nothing is selected" in browser.text("entities/bulk/new/?of=selected")
    browser.post("entities/bulk/new/?of=selected", {**form, "do": "run"})
    with tenant_bind(acme):
        assert BulkEdit.objects.using("default").count() == 2
    # Who may not edit may not in bulk, and another tenant finds nothing.
    viewer = tenant_browser(acme, role=Role.VIEWER)
    assert viewer.get(page).status_code == 403
    assert viewer.post(f"entities/bulk/{edit.edit_id}/undo/").status_code == 403
    theirs = tenant_browser(globex)
    for step in ("", "undo/"):
        assert theirs.get(f"entities/bulk/{edit.edit_id}/{step}").status_code == 404
    for step in ("cancel/", "undo/"):
        assert theirs.post(f"entities/bulk/{edit.edit_id}/{step}").status_code == 404
    assert "0 selected" not in theirs.text(page)
    foreign = theirs.post(page, {**form, "do": "preview"}).content.decode()
    assert "No entity matches any more" in foreign
    assert platform_browser().get(f"tenants/{globex.slug}/entities/bulk/{edit.edit_id}/").status_code == 404


def test_what_one_edit_may_change_is_told_apart(fleet: list[int], acme: Tenant, globex: Tenant) -> None:
    with tenant_bind(acme):
        alias_set(tenant_id=acme.pk, alias="chairs", name="seats", created_by="alice", now=NOW)
    with tenant_bind(globex):
        alias_set(tenant_id=globex.pk, alias="maker", name="make", created_by="bob", now=NOW)
    assert edit_make(acme, {"chairs": 1, "maker": "x"}).changes == {"seats": 1, "maker": "x"}
    with pytest.raises(InvalidEntity) as twice:
        edit_make(acme, {"seats": 1, "maker": "x", "chairs": 2})
    assert [(error.path, error.code) for error in twice.value.errors] == [("attributes.chairs", "repeated")]
    with pytest.raises(edits.NoChanges):
        edit_make(acme, {})
    with pytest.raises(edits.TooManyChanges):
        edit_make(acme, {f"a{number}": 1 for number in range(edits.CHANGES_MAX + 1)})
