"""Imports that a worker does: delivered twice, killed half-way, cancelled, broken, and over HTTP."""

from __future__ import annotations

import gzip
import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
import pytest
import requests
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import OperationalError, connections
from pytest_django import Settings

from atlasco.lib import clock
from entities import tasks
from entities.imports import formats, jobs, run
from entities.ingest import importer
from entities.ingest.batch import BatchResult, Mode, batch_write
from entities.ingest.importer import ImportSummary, import_run
from entities.ingest.lines import BrokenBody, Line, Rejection, line_parse
from entities.jobs import QueueUnavailable, jobs_abandoned
from entities.models import Entity, ImportJob
from entities.search.cursors import InvalidCursor
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tenants.services import tenant_delete, token_create
from tests.cluster import Cluster

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=10)


def line(number: int, **attributes: Any) -> bytes:
    members = ",".join(f'"{name}":{value}' for name, value in (attributes or {"n": number}).items())
    return f'{{"entity_type":"thing","external_id":"t-{number}","attributes":{{{members}}}}}\n'.encode()


Arrange: TypeAlias = Callable[[int, Callable[[], object]], None]
SIX_LINES = b"".join(line(number) for number in range(1, 7))


class StepClock:
    """Says the instant of each look at it: one minute later every time."""

    def __init__(self) -> None:
        self.at = NOW

    def __call__(self) -> datetime:
        self.at += timedelta(minutes=1)
        return self.at


def job_make(
    tenant: Tenant, body: bytes | Iterable[bytes] = SIX_LINES, *, mode: Mode = "merge", now: datetime = NOW
) -> ImportJob:
    with tenant_bind(tenant):
        return jobs.import_job_create(
            tenant_id=tenant.pk,
            chunks=[body] if isinstance(body, bytes) else body,
            file_name="things.ndjson",
            mode=mode,
            created_by="token test",
            now=now,
            enqueue=lambda job: None,
        )


def work(tenant: Tenant, job: ImportJob) -> str:
    with tenant_bind(tenant):
        return run.import_job_run(tenant_id=tenant.pk, job_id=job.job_id, clock=StepClock())


def cancel(tenant: Tenant, job: ImportJob) -> ImportJob:
    with tenant_bind(tenant):
        return jobs.import_job_cancel(tenant_id=tenant.pk, job_id=job.job_id, now=NOW)


def fresh(tenant: Tenant, job: ImportJob) -> ImportJob:
    with tenant_bind(tenant):
        return jobs.import_job_get(tenant_id=tenant.pk, job_id=job.job_id, using="default")


def stored(tenant: Tenant) -> dict[str, dict[str, Any]]:
    with tenant_bind(tenant):
        return dict(Entity.objects.filter(tenant_id=tenant.pk).values_list("external_id", "attributes"))


def files(tenant: Tenant) -> int:
    return jobs.import_files_count(tenant_id=tenant.pk)


@pytest.fixture(autouse=True)
def _files_of_this_test_only(tmp_path: Path, settings: Settings) -> None:
    """In-process jobs keep their files apart from those of the session's web and worker."""
    settings.MEDIA_ROOT = str(tmp_path)


@pytest.fixture
def two_lines_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "BATCH_LINES", 2)


@pytest.fixture
def after_batch(monkeypatch: pytest.MonkeyPatch) -> Arrange:
    """Have something happen as soon as so many batches have been committed."""

    def arrange(number: int, happen: Callable[[], object]) -> None:
        batches = 0

        def write(**arguments: Any) -> BatchResult:
            nonlocal batches
            result = batch_write(**arguments)
            batches += 1
            if batches == number:
                happen()
            return result

        monkeypatch.setattr(importer, "batch_write", write)

    return arrange


def killed() -> None:
    raise SystemExit("killed")


# --- The usual way ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [SIX_LINES, gzip.compress(SIX_LINES)], ids=["plain", "gzip"])
def test_a_job_imports_its_file(acme: Tenant, globex: Tenant, body: bytes) -> None:
    job = job_make(acme, body)
    assert (job.status, job.bytes_total, files(acme)) == ("queued", len(body), 1)
    assert work(acme, job) == "done"
    job = fresh(acme, job)
    assert (job.bytes_done, job.lines_done, job.detail) == (len(body), 6, "")
    assert job.started_at is not None and job.finished_at is not None and NOW < job.started_at < job.finished_at
    assert job.summary.pop("position").count("/") == 1
    assert job.summary == {"received": 6, "created": 6, "updated": 0, "unchanged": 0, "rejected": []}
    assert len(stored(acme)) == 6 and stored(globex) == {}
    assert files(acme) == 0


def test_a_job_of_mode_replace_removes(acme: Tenant) -> None:
    work(acme, job_make(acme, line(1, a=1, b=2)))
    work(acme, job_make(acme, line(1, a=3), mode="replace"))
    assert stored(acme) == {"t-1": {"a": 3}}


def test_bad_lines_are_counted_and_the_first_are_listed(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "REJECTIONS_LISTED", 2)
    job = job_make(acme, b"a\nb\nc\n" + SIX_LINES)
    assert work(acme, job) == "done"
    summary = fresh(acme, job).summary
    assert [rejection["line"] for rejection in summary["rejected"]] == [1, 2]
    assert (summary["rejected_not_listed"], summary["created"], summary["received"]) == (1, 6, 9)


def test_a_file_comes_in_pieces_of_any_size(acme: Tenant) -> None:
    job = job_make(acme, (SIX_LINES[at : at + 7] for at in range(0, len(SIX_LINES), 7)))
    assert job.bytes_total == len(SIX_LINES)
    assert work(acme, job) == "done" and len(stored(acme)) == 6


def test_an_empty_file_is_an_import_of_nothing(acme: Tenant) -> None:
    job = job_make(acme, b"")
    assert work(acme, job) == "done"
    assert fresh(acme, job).summary["received"] == 0


def test_files_are_closed_to_others(acme: Tenant) -> None:
    path = Path(default_storage.path(job_make(acme).file_path))
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


# --- Twice, and interrupted -------------------------------------------------------------------------------------------


def test_a_second_delivery_of_a_finished_job_does_nothing(acme: Tenant) -> None:
    job = job_make(acme)
    work(acme, job)
    before = fresh(acme, job).finished_at
    assert work(acme, job) == "done"
    assert fresh(acme, job).finished_at == before


def test_a_second_delivery_of_a_running_job_does_nothing(acme: Tenant, stack: Cluster) -> None:
    job = job_make(acme)
    with psycopg.connect(stack.database_url) as other:
        other.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"atlasco.job.{job.job_id}"])
        assert work(acme, job) == "queued"
        assert stored(acme) == {}
    assert work(acme, job) == "done"


def test_a_job_whose_worker_was_killed_goes_on_after_its_last_batch(
    acme: Tenant, two_lines_a_batch: None, after_batch: Arrange
) -> None:
    job = job_make(acme, b"no json\n" + SIX_LINES)
    after_batch(3, killed)
    with pytest.raises(SystemExit):
        work(acme, job)
    interrupted = fresh(acme, job)
    # The third batch was committed and not noted.
    assert (interrupted.status, interrupted.lines_done, interrupted.attempts) == ("running", 5, 0)
    assert (len(stored(acme)), files(acme)) == (6, 1)
    after_batch(0, killed)
    assert work(acme, job) == "done"
    summary = fresh(acme, job).summary
    assert (summary["received"], summary["created"], summary["unchanged"], len(summary["rejected"])) == (7, 4, 2, 1)
    assert len(stored(acme)) == 6


def test_lines_that_a_summary_counts_already_are_passed_over(acme: Tenant) -> None:
    summary = ImportSummary(received=4, created=3, rejected_count=1)
    with tenant_bind(acme):
        import_run(
            tenant_id=acme.pk, chunks=[SIX_LINES], mode="merge", now=NOW, line_max_bytes=1 << 20, summary=summary
        )
    assert (summary.received, summary.created, summary.lines_done) == (6, 5, 6)
    assert set(stored(acme)) == {"t-5", "t-6"}


def test_a_job_that_never_makes_progress_is_given_up(acme: Tenant, after_batch: Arrange) -> None:
    job = job_make(acme)
    for _ in range(run.ATTEMPTS_MAX):
        after_batch(1, killed)
        with pytest.raises(SystemExit):
            work(acme, job)
    after_batch(0, killed)
    assert work(acme, job) == "failed"
    assert "without progress" in fresh(acme, job).detail
    assert files(acme) == 0


def test_a_database_that_goes_away_only_interrupts(acme: Tenant, two_lines_a_batch: None, after_batch: Arrange) -> None:
    def lost() -> None:
        raise OperationalError("the connection is lost")

    job = job_make(acme)
    after_batch(1, lost)
    assert tasks.import_job_run(acme.pk, str(job.job_id)) == "interrupted"
    assert fresh(acme, job).status == "running"
    after_batch(0, lost)
    assert tasks.import_job_run(acme.pk, str(job.job_id)) == "done"


def test_jobs_that_nobody_works_on_are_found(acme: Tenant, globex: Tenant, stack: Cluster) -> None:
    lost, taken = job_make(acme), job_make(acme)
    job_make(globex)
    with psycopg.connect(stack.database_url) as other:
        other.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"atlasco.job.{taken.job_id}"])
        with tenant_bind(acme):
            assert jobs_abandoned(ImportJob, tenant_id=acme.pk, now=NOW) == []
            assert jobs_abandoned(ImportJob, tenant_id=acme.pk, now=LATER) == [lost]
    work(acme, lost)
    with tenant_bind(acme):
        assert jobs_abandoned(ImportJob, tenant_id=acme.pk, now=LATER) == [taken]


# --- Cancelled, and broken --------------------------------------------------------------------------------------------


def test_a_job_that_was_cancelled_in_the_queue_is_never_begun(acme: Tenant) -> None:
    job = job_make(acme)
    assert cancel(acme, job).status == "cancelled"
    assert files(acme) == 0
    assert work(acme, job) == "cancelled"
    assert stored(acme) == {}


def test_a_running_job_stops_after_the_batch_in_which_it_is_cancelled(
    acme: Tenant, two_lines_a_batch: None, after_batch: Arrange
) -> None:
    job = job_make(acme)
    after_batch(2, lambda: cancel(acme, job))
    assert work(acme, job) == "cancelled"
    assert len(stored(acme)) == 4
    assert fresh(acme, job).lines_done == 2
    assert files(acme) == 0


def test_a_long_file_without_any_good_line_can_be_cancelled(
    acme: Tenant, two_lines_a_batch: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "CHUNK", 10)
    monkeypatch.setattr(run, "_REPORT_BYTES", 20)
    job = job_make(acme, b"no json\n" * 20)

    def cancelled_meanwhile(number: int, raw: bytes) -> Line | Rejection:
        if number == 5:
            cancel(acme, job)
            connections.close_all()  # Lines are parsed in a thread of their own.
        return line_parse(number, raw)

    monkeypatch.setattr(importer, "line_parse", cancelled_meanwhile)
    assert work(acme, job) == "cancelled"
    assert 0 < fresh(acme, job).bytes_done < job.bytes_total


def test_cancelling_twice_is_once_and_what_has_ended_stays(acme: Tenant, globex: Tenant) -> None:
    job, done = job_make(acme), job_make(acme)
    cancel(acme, job)
    assert cancel(acme, job).status == "cancelled"
    work(acme, done)
    with pytest.raises(jobs.ImportFinished):
        cancel(acme, done)
    with pytest.raises(jobs.ImportUnknown):
        cancel(globex, job)


def test_a_broken_file_fails_the_job_and_keeps_what_came_before(acme: Tenant, two_lines_a_batch: None) -> None:
    body = gzip.compress(SIX_LINES * 5, compresslevel=0)
    job = job_make(acme, body[:-5])
    assert work(acme, job) == "failed"
    failed = fresh(acme, job)
    assert failed.detail == "The gzip body ends too early." and failed.finished_at is not None
    assert failed.summary["created"] == 6 and len(stored(acme)) == 6
    assert files(acme) == 0


def test_a_file_that_is_gone_fails_the_job(acme: Tenant) -> None:
    job = job_make(acme)
    default_storage.delete(job.file_path)
    assert work(acme, job) == "failed"
    assert fresh(acme, job).detail == "Its file is gone."


def test_the_unexpected_fails_the_job_and_is_raised(acme: Tenant, after_batch: Arrange) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    job = job_make(acme)
    after_batch(1, broken)
    with pytest.raises(ZeroDivisionError):
        work(acme, job)
    assert (fresh(acme, job).status, files(acme)) == ("failed", 0)


def test_an_upload_that_breaks_leaves_nothing(acme: Tenant) -> None:
    def cut() -> Iterator[bytes]:
        yield SIX_LINES
        raise BrokenBody("The connection broke.")

    with pytest.raises(BrokenBody):
        job_make(acme, cut())
    with tenant_bind(acme):
        assert not ImportJob.objects.exists()
    assert files(acme) == 0


def test_a_queue_that_is_away_leaves_nothing(acme: Tenant) -> None:
    def away(job: ImportJob) -> None:
        raise QueueUnavailable

    with tenant_bind(acme), pytest.raises(QueueUnavailable):
        jobs.import_job_create(
            tenant_id=acme.pk, chunks=[SIX_LINES], file_name="", mode="merge", created_by="", now=NOW, enqueue=away
        )
    with tenant_bind(acme):
        assert not ImportJob.objects.exists()
    assert files(acme) == 0


def test_a_storage_that_is_full_is_told(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(default_storage._wrapped, "_save", full)  # type: ignore[attr-defined]  # Django's lazy object.
    with pytest.raises(jobs.StorageUnavailable):
        job_make(acme)


# --- Lists, and the end -----------------------------------------------------------------------------------------------


def test_jobs_are_listed_newest_first_page_by_page(acme: Tenant, globex: Tenant) -> None:
    # Two of the same instant, as a fast client makes them.
    made = [job_make(acme, b"", now=NOW + timedelta(seconds=second)) for second in (0, 1, 1, 2)]
    job_make(globex, b"")
    found: list[uuid.UUID] = []
    cursor: str | None = None
    with tenant_bind(acme):
        while True:
            page = jobs.import_jobs_page(tenant_id=acme.pk, limit=1, cursor=cursor, using="default")
            found += [job.job_id for job in page.jobs]
            cursor = page.next_cursor
            if cursor is None:
                break
            first = cursor
    expected = sorted(made, key=lambda job: (job.created_at, job.job_id), reverse=True)
    assert found == [job.job_id for job in expected]
    with tenant_bind(globex), pytest.raises(InvalidCursor):
        jobs.import_jobs_page(tenant_id=globex.pk, limit=1, cursor=first, using="default")


def test_old_jobs_and_files_that_nobody_needs_go_away(acme: Tenant) -> None:
    old, recent, waiting = job_make(acme), job_make(acme), job_make(acme)
    for job in (old, recent):
        work(acme, job)
    # A job that ended as its worker was killed, and an upload whose process was.
    with tenant_bind(acme):
        left = default_storage.save(f"imports/{acme.pk}/{recent.job_id}", ContentFile(SIX_LINES))
        ImportJob.objects.filter(job_id=recent.job_id).update(file_path=left, finished_at=clock.now())
        ImportJob.objects.filter(job_id=old.job_id).update(finished_at=NOW - timedelta(days=31))
    default_storage.save(f"imports/{acme.pk}/{uuid.uuid4()}", ContentFile(SIX_LINES))
    assert files(acme) == 3
    with tenant_bind(acme):
        assert jobs.import_jobs_expire(tenant_id=acme.pk, now=clock.now()) == 1
        assert files(acme) == 2
        assert jobs.import_jobs_expire(tenant_id=acme.pk, now=clock.now() + timedelta(days=2)) == 0
        assert set(ImportJob.objects.values_list("job_id", flat=True)) == {recent.job_id, waiting.job_id}
    assert files(acme) == 1


def test_a_tenant_that_is_deleted_takes_its_jobs_and_files_along(
    tenant_make: Callable[..., Tenant], globex: Tenant
) -> None:
    gone = tenant_make("gone")
    job, other = job_make(gone), job_make(globex)
    report = tenant_delete(tenant=gone, confirm=gone.slug, now=NOW)
    assert (report["import_files"], report["import_jobs"]) == (1, 1)
    assert tasks.import_job_run(gone.pk, str(job.job_id)) == "gone"
    assert (files(gone), files(globex)) == (0, 1)
    cancel(globex, other)


# --- Over HTTP, with a worker -----------------------------------------------------------------------------------------


class Client:
    """Speaks to the session's web process for one tenant."""

    def __init__(self, stack: Cluster, tenant: Tenant, *scopes: str) -> None:
        _, token = token_create(tenant=tenant, name="test", scopes=scopes or ("read", "write"), now=clock.now())
        self._url = f"{stack.web_url}/api/v1/"
        self._headers = {"Authorization": f"Bearer {token}"}

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> requests.Response:
        # Headers are written with underscores, as keyword arguments are.
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.request(method, self._url + path, data=body, headers=self._headers | named, timeout=60)

    def job_ended(self, job_id: str) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        while True:
            job: dict[str, Any] = self.ask("GET", f"imports/{job_id}/").json()
            if job["status"] not in {"queued", "running"}:
                return job
            assert time.monotonic() < deadline, job
            time.sleep(0.05)


def test_an_import_in_the_background_over_http(live_stack: Cluster, acme: Tenant, globex: Tenant) -> None:
    client, stranger = Client(live_stack, acme), Client(live_stack, globex)
    answer = client.ask(
        "POST", "imports/?file_name=things.ndjson.gz", gzip.compress(SIX_LINES), Content_Encoding="gzip"
    )
    job = answer.json()
    assert (answer.status_code, job["file_name"], job["created_by"]) == (202, "things.ndjson.gz", "token test")
    assert answer.headers["Location"] == f"/api/v1/imports/{job['job_id']}/"
    assert answer.headers["X-Consistency-Token"]
    ended = client.job_ended(job["job_id"])
    assert (ended["status"], ended["summary"]["created"], ended["bytes_done"]) == ("done", 6, job["bytes_total"])
    assert len(stored(acme)) == 6
    assert client.ask("DELETE", f"imports/{job['job_id']}/").json()["code"] == "import_finished"

    assert [listed["job_id"] for listed in client.ask("GET", "imports/?limit=5").json()["imports"]] == [job["job_id"]]
    assert stranger.ask("GET", "imports/").json()["imports"] == []
    for method in ("GET", "DELETE"):
        answer = stranger.ask(method, f"imports/{job['job_id']}/")
        assert (answer.status_code, answer.json()["code"]) == (404, "import_unknown")


def test_an_idempotency_key_makes_one_job_of_two_requests(live_stack: Cluster, acme: Tenant) -> None:
    client = Client(live_stack, acme)
    first = client.ask("POST", "imports/", SIX_LINES, Idempotency_Key="k-1")
    again = client.ask("POST", "imports/", SIX_LINES, Idempotency_Key="k-1")
    assert (again.status_code, again.json(), again.headers["Location"]) == (
        202,
        first.json(),
        first.headers["Location"],
    )
    assert client.ask("POST", "imports/", b"", Idempotency_Key="k-1").json()["code"] == "idempotency_key_reused"
    # Nor is the key good for the other way to import.
    assert client.ask("POST", "entities/import/", SIX_LINES, Idempotency_Key="k-1").status_code == 409
    assert len(client.ask("GET", "imports/").json()["imports"]) == 1
    client.job_ended(first.json()["job_id"])


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code"),
    [
        ("POST", "imports/?dry_run=maybe", {}, 400, "invalid_parameter"),
        ("POST", "imports/?format=xml", {}, 400, "invalid_parameter"),
        ("POST", "imports/?delimiter=,", {}, 400, "invalid_parameter"),
        ("POST", "imports/?format=csv&mapping={", {}, 400, "invalid_parameter"),
        ("POST", "imports/?format=csv", {}, 400, "invalid_mapping"),
        ("POST", "imports/?format=parquet", {}, 400, "broken_body"),
        ("GET", f"imports/{uuid.UUID(int=5)}/errors/", {}, 404, "import_unknown"),
        ("POST", f"imports/{uuid.UUID(int=5)}/start/", {}, 404, "import_unknown"),
        ("POST", "imports/?mode=upsert", {}, 400, "invalid_parameter"),
        ("POST", f"imports/?file_name={'x' * 256}", {}, 400, "invalid_parameter"),
        ("POST", "imports/", {"Content_Encoding": "br"}, 415, "unsupported_content_encoding"),
        ("GET", "imports/?limit=0", {}, 400, "invalid_parameter"),
        ("GET", "imports/?cursor=forged", {}, 400, "invalid_cursor"),
        ("GET", f"imports/{uuid.UUID(int=5)}/", {}, 404, "import_unknown"),
        ("GET", "imports/5/", {}, 404, "no_such_path"),
        ("PUT", "imports/", {}, 405, "method_not_allowed"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(
    live_stack: Cluster, acme: Tenant, method: str, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    answer = Client(live_stack, acme).ask(method, path, b"" if method == "POST" else None, **headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize("dry_run", [[], {}, 0, 1.0, "true"])
def test_whether_a_start_is_a_dry_run_is_true_or_false(live_stack: Cluster, acme: Tenant, dry_run: Any) -> None:
    body = json.dumps({"dry_run": dry_run}).encode()
    answer = Client(live_stack, acme).ask(
        "POST", f"imports/{uuid.UUID(int=5)}/start/", body, Content_Type="application/json"
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_start")


def test_a_token_that_only_reads_starts_no_import(live_stack: Cluster, acme: Tenant) -> None:
    client = Client(live_stack, acme, "read")
    assert client.ask("POST", "imports/", SIX_LINES).status_code == 403
    assert client.ask("GET", "imports/").status_code == 200


def test_without_a_queue_a_job_is_refused_and_nothing_stays(live_stack: Cluster, acme: Tenant) -> None:
    client = Client(live_stack, acme)
    live_stack.ask("kill", name="valkey")
    try:
        answer = client.ask("POST", "imports/", SIX_LINES)
        assert (answer.status_code, answer.json()["code"]) == (503, "queue_unavailable")
        assert "Retry-After" in answer.headers
        assert client.ask("GET", "imports/").json()["imports"] == []
    finally:
        live_stack.ask("start", name="valkey")
    # The worker finds its way back by itself.
    job = client.ask("POST", "imports/", SIX_LINES).json()
    assert client.job_ended(job["job_id"])["status"] == "done"
