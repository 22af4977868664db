"""Exports that a worker writes: exact in each format, bounded, safe for spreadsheets, cancelled, expired, isolated."""

from __future__ import annotations

import csv
import io
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest
from django.core.files.storage import default_storage

from atlasco.lib import clock
from entities.exports import jobs, run
from entities.exports.formats import Spool, cell_text, column_kind
from entities.jobs import ABANDONED_AFTER, jobs_abandoned
from entities.models import ExportJob
from entities.search.query import InvalidQuery
from entities.search.run import EntityRow
from tenants.binding import tenant_bind
from tenants.members.models import Role
from tenants.models import Tenant
from tests.admin_client import platform_browser, tenant_browser
from tests.browser.data import aircraft, entities_write
from tests.cluster import Cluster

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _quick_passwords(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def fleet(acme: Tenant, globex: Tenant) -> list[int]:
    entities_write(globex, aircraft("OF-GLOBEX", seats=1))
    return entities_write(
        acme,
        aircraft("A1", seats=100, load=0.5, big=9007199254740993, seen="2026-01-31T12:00:00+01:00", note="=1+1"),
        aircraft("A2", seats=200, load=3, big=1, on=True, note="first\nsecond, “third”"),
        {"entity_type": "gate", "external_id": "G-1", "attributes": {"seats": "many", "note": ""}},
    )


def job_make(tenant: Tenant, format: str = "csv", columns: list[str] | None = None, **query: Any) -> ExportJob:
    with tenant_bind(tenant):
        return jobs.export_job_create(
            tenant_id=tenant.pk, query=query, columns=columns or [], format=format, rows_expected=None,
            created_by="alice", now=NOW, enqueue=lambda job: None,
        )  # fmt: skip


def written(tenant: Tenant, job: ExportJob, *, status: str = "done", now: datetime = NOW) -> bytes:
    with tenant_bind(tenant):
        assert run.export_job_run(tenant_id=tenant.pk, job_id=job.job_id, clock=lambda: now) == status
        job.refresh_from_db(using="default")
    if not job.file_path:
        return b""
    with default_storage.open(job.file_path, "rb") as file:
        return bytes(file.read())


def test_a_csv_has_a_row_for_each_entity_and_runs_no_formula(acme: Tenant, fleet: list[int]) -> None:
    text = written(acme, job_make(acme)).decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["external_id"] for row in rows] == ["A1", "A2", "G-1"]
    assert [int(row["entity_id"]) for row in rows] == fleet
    assert list(rows[0])[5:] == ["big", "load", "note", "on", "seats", "seen"]
    assert (rows[0]["note"], rows[1]["note"], rows[2]["note"]) == ("'=1+1", "first\nsecond, “third”", "")
    assert (rows[0]["big"], rows[0]["load"], rows[1]["on"], rows[2]["seats"]) == (
        "9007199254740993",
        "0.5",
        "true",
        "many",
    )
    assert "GLOBEX" not in text


@pytest.mark.parametrize("text", ["=x", "+1", "-1", "@a", "\tx", "\rx", "＝x"])
def test_a_text_that_looks_like_a_formula_is_defused_and_a_number_is_not(text: str) -> None:
    assert cell_text(text) == f"'{text}"
    assert (cell_text(-5), cell_text("a=b"), cell_text(""), cell_text(False)) == ("-5", "a=b", "", "false")


def test_an_ndjson_export_is_an_import(acme: Tenant, globex: Tenant, fleet: list[int]) -> None:
    body = written(acme, job_make(acme, "ndjson"))
    lines = [orjson.loads(line) for line in body.splitlines()]
    assert [line["external_id"] for line in lines] == ["A1", "A2", "G-1"]
    assert lines[0]["attributes"]["seen"] == "2026-01-31T12:00:00+01:00"
    from entities.ingest.importer import import_run

    with tenant_bind(globex):
        summary = import_run(tenant_id=globex.pk, chunks=[body], mode="merge", now=NOW, line_max_bytes=1 << 20)
    assert (summary.created, summary.rejected_count) == (3, 0)


def test_a_parquet_file_keeps_types_where_a_column_has_one(acme: Tenant, fleet: list[int]) -> None:
    table = pq.read_table(io.BytesIO(written(acme, job_make(acme, "parquet"))))
    types = {field.name: str(field.type) for field in table.schema}
    assert types["load"] == "double"
    assert types["big"] == "int64"
    assert types["on"] == "bool"
    assert types["seats"] == "string"
    assert types["seen"] == types["created_at"] == "timestamp[us, tz=UTC]"
    rows = table.to_pylist()
    assert rows[0]["big"] == 9007199254740993
    assert rows[0]["seen"] == datetime(2026, 1, 31, 11, tzinfo=UTC)
    assert [row["seats"] for row in rows] == ["100", "200", "many"]
    assert [row["on"] for row in rows] == [None, True, None]


def test_column_types_are_the_narrowest_that_lose_nothing() -> None:
    assert column_kind({"exact"}) == column_kind({"exact", "integer"}) == "integer"
    assert column_kind({"exact", "number"}) == "number"
    assert column_kind({"integer", "number"}) == column_kind({"boolean", "exact"}) == column_kind(set()) == "string"


def test_the_filter_and_the_columns_chosen_are_kept(acme: Tenant, fleet: list[int]) -> None:
    job = job_make(acme, columns=["seats", "nobody"], entity_type="aircraft", where=[["seats", "gt", 100]])
    rows = list(csv.reader(io.StringIO(written(acme, job).decode(), newline="")))
    assert rows[0][5:] == ["seats", "nobody"]
    assert [row[2] for row in rows[1:]] == ["A2"]
    assert rows[1][5:] == ["200", ""]
    with pytest.raises(InvalidQuery):
        job_make(acme, where=[["a", "gt", "x"]])


def test_many_entities_come_once_each_however_many_pages(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_PAGE", 7)
    entities_write(acme, *(aircraft(f"N{number:03}", n=number) for number in range(50)))
    job = job_make(acme, "ndjson", where=[["n", "ge", 3]], order_by="-external_id")
    lines = written(acme, job).splitlines()
    assert sorted(orjson.loads(line)["attributes"]["n"] for line in lines) == list(range(3, 50))
    assert (job.rows_done, job.is_cut, job.bytes_done) == (47, False, sum(map(len, lines)) + 47)


@pytest.mark.parametrize("format", ["csv", "ndjson", "parquet"])
def test_limits_cut_a_file_after_whole_rows_and_say_so(acme: Tenant, settings: Any, format: str) -> None:
    entities_write(acme, *(aircraft(f"N{number:03}", n=number) for number in range(30)))
    settings.EXPORT_ROWS_MAX = 10
    job = job_make(acme, format)
    assert written(acme, job)
    assert (job.rows_done, job.is_cut) == (10, True)
    settings.EXPORT_ROWS_MAX, settings.EXPORT_MAX_BYTES = 1_000, 1_500
    job = job_make(acme, format)
    written(acme, job)
    assert job.is_cut
    assert 0 < job.rows_done < 30


def test_an_entity_of_very_many_attributes_is_one_json_column_in_parquet(acme: Tenant) -> None:
    entities_write(acme, aircraft("N1", **{f"a{number:04}": number for number in range(1_100)}))
    table = pq.read_table(io.BytesIO(written(acme, job_make(acme, "parquet"))))
    assert table.num_columns == 6
    assert orjson.loads(table.to_pylist()[0]["attributes"])["a0042"] == 42


def test_a_cancelled_export_leaves_no_file(acme: Tenant, fleet: list[int]) -> None:
    job = job_make(acme)
    with tenant_bind(acme):
        jobs.export_job_cancel(tenant_id=acme.pk, job_id=job.job_id, now=NOW)
    assert written(acme, job, status="cancelled") == b""
    with tenant_bind(acme), pytest.raises(jobs.ExportNotReady):
        jobs.export_job_file(tenant_id=acme.pk, job_id=job.job_id, now=NOW)


def test_one_that_is_cancelled_while_it_runs_stops(
    acme: Tenant, fleet: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_make(acme)
    add = Spool.add

    def add_and_cancel(spool: Spool, row: EntityRow) -> None:
        add(spool, row)
        jobs.export_job_cancel(tenant_id=acme.pk, job_id=job.job_id, now=NOW)

    monkeypatch.setattr(Spool, "add", add_and_cancel)
    assert written(acme, job, status="cancelled") == b""


def test_what_was_written_before_an_export_began_is_in_it_however_late_the_replicas_are(
    acme: Tenant, stack: Cluster
) -> None:
    stack.must_be_embedded()
    stack.wait_for_replicas()
    for name in ("replica1", "replica2"):
        stack.ask("pause-replay", name=name)
    try:
        entities_write(acme, aircraft("A1", seats=100))
        assert b"A1" in written(acme, job_make(acme))
    finally:
        for name in ("replica1", "replica2"):
            stack.ask("resume-replay", name=name)
        stack.wait_for_replicas()


def test_an_interrupted_export_begins_anew_and_is_given_up_in_the_end(acme: Tenant, fleet: list[int]) -> None:
    job = job_make(acme)
    with tenant_bind(acme):
        ExportJob.objects.using("default").filter(job_id=job.job_id).update(status="running", attempts=1, rows_done=2)
        assert [
            left.job_id for left in jobs_abandoned(ExportJob, tenant_id=acme.pk, now=NOW + ABANDONED_AFTER * 2)
        ] == [job.job_id]
    assert written(acme, job).count(b"\r\n") == 4
    given_up = job_make(acme)
    with tenant_bind(acme):
        ExportJob.objects.using("default").filter(job_id=given_up.job_id).update(status="running", attempts=3)
    assert written(acme, given_up, status="failed") == b""
    assert "Given up" in given_up.detail


def test_files_expire_and_jobs_are_forgotten_later(acme: Tenant, fleet: list[int]) -> None:
    job = job_make(acme)
    written(acme, job)
    with tenant_bind(acme):
        assert jobs.export_job_file(tenant_id=acme.pk, job_id=job.job_id, now=NOW + timedelta(days=6))
        late = NOW + timedelta(days=8)
        with pytest.raises(jobs.ExportNotReady):
            jobs.export_job_file(tenant_id=acme.pk, job_id=job.job_id, now=late)
        assert jobs.export_jobs_expire(tenant_id=acme.pk, now=late) == 0
        assert not default_storage.exists(job.file_path)
        assert jobs.export_jobs_expire(tenant_id=acme.pk, now=NOW + timedelta(days=31)) == 1


def test_only_so_many_wait_at_once(acme: Tenant) -> None:
    for _ in range(jobs.UNFINISHED_MAX):
        job_make(acme)
    with pytest.raises(jobs.TooManyExports):
        job_make(acme)


def test_another_tenants_export_is_not_there(acme: Tenant, globex: Tenant, fleet: list[int]) -> None:
    job = job_make(acme)
    written(acme, job)
    theirs = tenant_browser(globex)
    for step in ("", "file/"):
        assert theirs.get(f"entities/exports/{job.job_id}/{step}").status_code == 404
    assert theirs.post(f"entities/exports/{job.job_id}/cancel/").status_code == 404
    assert job.file_name not in theirs.text("entities/exports/")
    assert platform_browser().get(f"tenants/{globex.slug}/entities/exports/{job.job_id}/file/").status_code == 404
    with tenant_bind(globex), pytest.raises(jobs.ExportUnknown):
        jobs.export_job_get(tenant_id=acme.pk, job_id=job.job_id)


def test_an_export_is_asked_for_watched_and_fetched(
    acme: Tenant, fleet: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from entities import tasks

    monkeypatch.setattr(tasks, "export_job_enqueue", lambda job: None)
    browser = tenant_browser(acme, role=Role.VIEWER)
    question = 'type=aircraft&where=[["seats","ge",100]]&column=seats&column=@updated_at'
    assert "aircraft where seats ≥ 100" in browser.text(f"entities/exports/new/?{question}")
    answer = browser.post(f"entities/exports/new/?{question}", {"format": "csv", "attributes": "shown"})
    assert answer.status_code == 302
    [row] = browser.get("entities/exports/").context["rows"]
    job = row["job"]
    assert (job.columns, job.rows_expected) == (["seats"], 2)
    assert "waiting for a worker" in browser.text(f"entities/exports/{job.job_id}/")
    assert browser.get(f"entities/exports/{job.job_id}/file/").status_code == 404
    body = written(acme, job, now=clock.now())
    response = browser.get(f"entities/exports/{job.job_id}/file/")
    assert response.getvalue() == body
    assert response.headers["Content-Disposition"] == f'attachment; filename="{job.file_name}"'
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "2 rows" in browser.text("entities/exports/")
    broken = browser.get("entities/exports/new/?where=x")
    assert "can’t be understood" in broken.content.decode()
    assert browser.get(f"entities/exports/{uuid.uuid4()}/").status_code == 404
