"""A cold month goes to files and comes back exactly; meanwhile nobody is told that its entities never were."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command

from atlasco.lib import clock
from entities import selectors, services
from entities.governance import jobs, work
from entities.indexing.jobs import index_request, index_work
from entities.jobs import KEPT_FOR
from entities.models import AttributeJob
from entities.partitions.archive import (
    ArchiveBroken,
    ArchiveUnknown,
    LeafUnknown,
    MonthInUse,
    archive_restore,
    archive_run,
)
from entities.partitions.tree import id_at, month_of
from entities.selectors import EntityArchived, EntityNotFound
from entities.services import EntityInArchive
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tenants.services import tenant_delete, tenant_export
from tests.admin_client import tenant_browser
from tests.entities import plane
from tests.entities.hard_texts import TIMESTAMPS
from tests.entities.model import Update
from tests.entities.plane import entity

Make = Callable[..., Tenant]
# Everything that is not in a month of its own.
OLD = "old"


@pytest.fixture
def initech(tenant_make: Make, owner_db: psycopg.Connection[Any]) -> Tenant:
    """A dedicated tenant with three old entities and one of today."""
    tenant = tenant_make("initech", dedicated=True)
    hard = {f"text {number}": text for number, text in enumerate((*TIMESTAMPS, "", "a\tb\n\\N", "\u2603"))}
    updates = [
        Update(("lamp", "1"), {**hard, "n": 1.5, "big": 2**60, "yes": True, "when": "0001-01-01T00:00:00+14:00"}),
        entity("2", at=datetime(2025, 1, 1, tzinfo=UTC), a="x"),
        entity("3", a="y", b=None),
        entity("today", a="z"),
    ]
    plane.write(tenant, updates)
    plane.write(tenant, [replace(updates[1], attributes={"a": None}, at=datetime(2025, 2, 1, tzinfo=UTC))])
    # As if they had been made two years ago.
    owner_db.execute("SELECT set_config('atlasco.tenant_id', %s, false)", [str(tenant.pk)])
    early = id_at(datetime(2024, 6, 1, tzinfo=UTC))
    for table in ("entity_attributes", "entities"):
        owner_db.execute(
            f"UPDATE {table} t SET entity_id = %s + k.external_id::integer FROM entity_keys k WHERE t.tenant_id = %s"
            " AND k.tenant_id = t.tenant_id AND k.entity_id = t.entity_id AND k.external_id <> 'today'",
            [early, tenant.pk],
        )
    owner_db.execute(
        "UPDATE entity_keys SET entity_id = %s + external_id::integer WHERE tenant_id = %s AND external_id <> 'today'",
        [early, tenant.pk],
    )
    owner_db.execute("RESET atlasco.tenant_id")
    return tenant


def test_a_month_goes_to_files_and_comes_back_exactly(initech: Tenant, capsys: pytest.CaptureFixture[str]) -> None:
    before = plane.stored(initech)
    assert len(before) == 4
    call_command("partitions", "archive", initech.slug)
    assert f"Nothing of {initech.slug} is archived." in capsys.readouterr().out
    with pytest.raises(CommandError, match="Which month of which tenant"):
        call_command("partitions", "archive", "--leaf", OLD)
    call_command("partitions", "archive", initech.slug, "--leaf", OLD)
    assert "Archived 3 entities" in capsys.readouterr().out
    assert [key for _, key in plane.rows_read(initech, "SELECT 1, external_id FROM entities")] == ["today"]
    for slugs in ([initech.slug], []):
        call_command("partitions", "archive", *slugs)
        assert re.search(rf"archived {initech.slug} {OLD}: 3 entities.*manifest.json", capsys.readouterr().out)
    call_command("partitions", "archive", initech.slug, "--leaf", OLD, "--restore")
    assert plane.stored(initech) == before
    # And again: the files of the first time are not in the way.
    archive_run(tenant=initech, leaf=OLD, now=clock.now())
    archive_restore(tenant=initech, leaf=OLD, now=clock.now())
    assert plane.stored(initech) == before


def test_meanwhile_answers_say_that_the_entity_is_archived(initech: Tenant, globex: Tenant) -> None:
    entity_id = plane.stored(initech)["lamp", "2"].entity_id
    archive_run(tenant=initech, leaf=OLD, now=clock.now())
    with tenant_bind(initech):
        with pytest.raises(EntityArchived):
            selectors.entity_get(tenant_id=initech.pk, entity_id=entity_id, using="default")
        body = services.entity_input_parse({"entity_type": "lamp", "external_id": "2", "attributes": {}}, is_new=True)
        for upsert in (False, True):
            with pytest.raises(EntityInArchive):
                services.entity_create(tenant_id=initech.pk, entity=body, upsert=upsert, now=clock.now())
        with pytest.raises(EntityArchived):
            services.entity_patch(
                tenant_id=initech.pk, entity_id=entity_id, entity=body, expected_versions=None, now=clock.now()
            )
        with pytest.raises(EntityArchived):
            services.entity_delete(tenant_id=initech.pk, entity_id=entity_id, expected_versions=None)
    browser = tenant_browser(initech)
    for page in ("", "delete/"):
        answer = browser.get(f"entities/{entity_id}/{page}")
        assert answer.status_code == 404 and "archived month" in answer.content.decode()
    # Good lines beside it are written.
    summary = plane.write(initech, [entity("2", a=1), entity("today", a=2), entity("new", a=3)])
    assert [(rejection.line, rejection.code) for rejection in summary.rejected] == [(1, "entity_archived")]
    assert (summary.created, summary.updated) == (1, 1)
    # Nobody else learns of it.
    with tenant_bind(globex), pytest.raises(EntityNotFound) as caught:
        selectors.entity_get(tenant_id=globex.pk, entity_id=entity_id, using="default")
    assert caught.value.code == "entity_not_found"


def test_the_present_month_and_what_is_no_month_are_refused(initech: Tenant) -> None:
    for leaf in (month_of(clock.now()), "future"):
        with pytest.raises((MonthInUse, LeafUnknown)):
            archive_run(tenant=initech, leaf=leaf, now=clock.now())
    with pytest.raises(LeafUnknown):
        archive_run(tenant=initech, leaf="199901", now=clock.now())
    with pytest.raises(ArchiveUnknown):
        archive_restore(tenant=initech, leaf=OLD, now=clock.now())
    assert len(plane.stored(initech)) == 4


def test_files_that_were_changed_are_not_restored(initech: Tenant) -> None:
    archive = archive_run(tenant=initech, leaf=OLD, now=clock.now())
    parquet = Path(default_storage.path(archive.path)).with_name("entities.parquet")
    content = parquet.read_bytes()
    parquet.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ArchiveBroken):
        archive_restore(tenant=initech, leaf=OLD, now=clock.now())
    assert [key for _, key in plane.rows_read(initech, "SELECT 1, external_id FROM entities")] == ["today"]
    parquet.write_bytes(content)
    archive_restore(tenant=initech, leaf=OLD, now=clock.now())
    assert len(plane.stored(initech)) == 4


def test_what_was_indexed_meanwhile_is_found_by_its_index_when_it_is_back(initech: Tenant) -> None:
    def marks() -> dict[str, set[bool]]:
        found: dict[str, set[bool]] = {}
        for name, indexed in plane.rows_read(
            initech, "SELECT attribute_name, indexed FROM entity_attributes WHERE value_type <> 'removed'"
        ):
            found.setdefault(name, set()).add(indexed)
        return found

    archive_run(tenant=initech, leaf=OLD, now=clock.now())
    with tenant_bind(initech):
        index_request(tenant_id=initech.pk, names=["a", "n"], action="build", now=clock.now())
        index_work(tenant_id=initech.pk, clock=clock.now, seconds_max=60)
    archive_restore(tenant=initech, leaf=OLD, now=clock.now())
    assert {name for name, marked in marks().items() if marked != {False}} == {"a", "n"}
    assert marks()["a"] == marks()["n"] == {True}
    # And what is indexed no more comes back without marks.
    archive_run(tenant=initech, leaf=OLD, now=clock.now())
    with tenant_bind(initech):
        index_request(tenant_id=initech.pk, names=["a", "n"], action="drop", now=clock.now())
        index_work(tenant_id=initech.pk, clock=clock.now, seconds_max=60)
    archive_restore(tenant=initech, leaf=OLD, now=clock.now())
    assert set().union(*marks().values()) == {False}


def test_what_was_renamed_and_removed_meanwhile_is_when_it_is_back(initech: Tenant) -> None:
    def job_done(start: Callable[..., AttributeJob], **arguments: Any) -> None:
        job = start(tenant_id=initech.pk, created_by="test", now=clock.now(), enqueue=lambda _: None, **arguments)
        assert job_run(job) == "done"

    def job_run(job: AttributeJob) -> str:
        return work.attribute_job_run(tenant_id=initech.pk, job_id=job.job_id, clock=clock.now)

    archive_run(tenant=initech, leaf=OLD, now=clock.now())
    with tenant_bind(initech):
        job_done(jobs.rename_start, name="a", target="b", keep_alias=False)
        job_done(jobs.rename_start, name="b", target="c", keep_alias=False)
        job_done(jobs.drop_start, name="yes")
        job_done(jobs.rename_start, name="n", target="m", keep_alias=False)
        [unmoved] = [job for job in jobs.jobs_read(tenant_id=initech.pk, using="default", limit=9) if job.target == "m"]
        assert unmoved.changed == 0
        # Kept in mind for as long as the month is away.
        assert jobs.jobs_expire(tenant_id=initech.pk, now=clock.now() + 2 * KEPT_FOR) == 0
        running = jobs.drop_start(
            tenant_id=initech.pk, name="big", created_by="test", now=clock.now(), enqueue=lambda _: None
        )
    with pytest.raises(jobs.JobUnderWay):
        archive_restore(tenant=initech, leaf=OLD, now=clock.now())
    with tenant_bind(initech):
        jobs.job_cancel(tenant_id=initech.pk, job_id=running.job_id, now=clock.now())
        restored = archive_restore(tenant=initech, leaf=OLD, now=clock.now())
        assert sorted(restored.moved) == ["a", "n", "yes"]
        waiting = jobs.jobs_read(tenant_id=initech.pk, using="default", limit=3)
        assert [job_run(job) for job in waiting] == ["done"] * 3
    documents = {key: entity.document for (_, key), entity in plane.stored(initech).items()}
    assert documents["3"] == {"c": "y"} and documents["today"] == {"c": "z"}
    assert documents["1"]["m"] == 1.5 and not documents["1"].keys() & {"n", "yes"} and documents["1"]["big"] == 2**60


def test_an_export_of_the_tenant_reads_archived_months_from_their_files(initech: Tenant) -> None:
    def exported() -> list[bytes]:
        lines = tenant_export(tenant=initech, now=clock.now())
        return sorted(line for line in lines if line.startswith((b'{"record":"entities"', b'{"record":"entity_attr')))

    before = exported()
    assert len(before) == 8
    archive = archive_run(tenant=initech, leaf=OLD, now=clock.now())
    assert exported() == before
    parquet = Path(default_storage.path(archive.path)).with_name("entities.parquet")
    parquet.unlink()
    with pytest.raises(ArchiveBroken):
        exported()


def test_with_its_tenant_an_archive_is_deleted(initech: Tenant) -> None:
    archive = archive_run(tenant=initech, leaf=OLD, now=clock.now())
    assert default_storage.exists(archive.path)
    tenant_delete(tenant=initech, confirm=initech.slug, now=clock.now())
    assert not default_storage.exists(archive.path)
    assert not Path(default_storage.path(archive.path)).parent.exists()
