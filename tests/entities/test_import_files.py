"""CSV and Parquet on the import path: what a file is, how its columns become entities, what is left out and why."""

from __future__ import annotations

import csv
import gzip
import io
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core.files.base import ContentFile
from pytest_django import Settings

from entities.imports import jobs, prepare, report, run
from entities.imports.cells import CellError, are_dates, cell_value
from entities.imports.formats import Dialect, Format, dialect_sniff, format_sniff, lines_read, sample_read
from entities.imports.guesses import kind_guess, mapping_guess
from entities.imports.mapping import (
    COLUMNS_MAX,
    Column,
    InvalidMapping,
    Mapping,
    RowReader,
    mapping_check,
    mapping_parse,
)
from entities.ingest import importer
from entities.ingest.batch import batch_write
from entities.ingest.lines import BrokenBody, Rejection
from entities.jobs import QueueUnavailable
from entities.models import Entity, ImportJob, ImportRejection
from tenants.binding import tenant_bind
from tenants.models import Tenant

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FLEET = b"Tail,Seats,Code,Seen,Active\nN1,149,007,2026-01-31 12:00,true\nN2,,008,2026-02-01T10:00:05Z,false\n"


@pytest.fixture(autouse=True)
def _files_of_this_test_only(tmp_path: Path, settings: Settings) -> None:
    settings.MEDIA_ROOT = str(tmp_path)


def parquet(**columns: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, row_group_size=2)
    return buffer.getvalue()


def draft(tenant: Tenant, body: bytes, *, file_name: str = "aircraft.csv", mapping: Any = None) -> ImportJob:
    with tenant_bind(tenant):
        return jobs.import_job_create(
            tenant_id=tenant.pk,
            chunks=[body],
            file_name=file_name,
            mode="merge",
            created_by="test",
            now=NOW,
            enqueue=None,
            prepare=lambda job: prepare.job_describe(job, mapping=mapping),
        )


def work(tenant: Tenant, job: ImportJob, *, dry_run: bool = False) -> ImportJob:
    with tenant_bind(tenant):
        jobs.import_job_start(
            tenant_id=tenant.pk, job_id=job.job_id, dry_run=dry_run, now=NOW, enqueue=lambda started: None
        )
        run.import_job_run(tenant_id=tenant.pk, job_id=job.job_id, clock=lambda: NOW)
        return jobs.import_job_get(tenant_id=tenant.pk, job_id=job.job_id, using="default")


def stored(tenant: Tenant) -> dict[str, dict[str, Any]]:
    with tenant_bind(tenant):
        return dict(Entity.objects.filter(tenant_id=tenant.pk).values_list("external_id", "attributes"))


def counts(job: ImportJob) -> tuple[int, int, int, int]:
    summary = job.summary
    return summary["created"], summary["updated"], summary["unchanged"], len(summary["rejected"])


# --- Pure -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("149", "auto", 149),
        ("1.50", "auto", 1.5),
        ("007", "auto", "007"),
        ("+49", "auto", "+49"),
        ("1234567890123456", "auto", "1234567890123456"),
        ("true", "auto", True),
        ("yes", "auto", "yes"),
        ("yes", "boolean", True),
        ("0", "boolean", False),
        ("007", "number", 7),
        ("1e3", "number", 1000.0),
        ("9223372036854775807", "number", 9223372036854775807),
        ("1.10", "string", "1.10"),
        ("2026-01-31", "timestamp", "2026-01-31T00:00:00Z"),
        ("2026-01-31 12:30", "timestamp", "2026-01-31T12:30:00Z"),
        ("2026-01-31T12:30:05.123+02:00", "timestamp", "2026-01-31T12:30:05.123+02:00"),
        ("2026-01-31", "auto", "2026-01-31"),
        (Decimal("1.10"), "auto", 1.1),
        (Decimal(4), "auto", 4),
        ([1, 2], "auto", "[1,2]"),
        (float("nan"), "auto", None),
        (7, "string", "7"),
        (True, "string", "true"),
    ],
)
def test_a_cell_becomes_what_its_column_is(text: Any, kind: Any, value: Any) -> None:
    found = cell_value(text, kind)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "kind", "code"),
    [
        ("12 kg", "number", "not_a_number"),
        ("1e999", "number", "number_out_of_range"),
        ("maybe", "boolean", "not_a_boolean"),
        ("2026-02-30", "timestamp", "not_a_timestamp"),
        ("yesterday", "timestamp", "not_a_timestamp"),
    ],
)
def test_a_cell_that_is_something_else_is_told(text: str, kind: Any, code: str) -> None:
    with pytest.raises(CellError) as caught:
        cell_value(text, kind)
    assert caught.value.code == code


def test_a_decimal_comma_is_read_where_it_is_said() -> None:
    assert cell_value("1,5", "number", ",") == 1.5
    with pytest.raises(CellError):
        cell_value("1,5", "number", ".")


@pytest.mark.parametrize(
    ("empty", "expected"), [("missing", {}), ("text", {"a": ""}), ("remove", {"a": None, "n": None})]
)
def test_an_empty_cell_is_missing_or_a_text_or_removes(empty: Any, expected: dict[str, Any]) -> None:
    columns = {
        "id": Column("external_id"),
        "a": Column("attribute", "a", "string"),
        "n": Column("attribute", "n", "number"),
    }
    line = RowReader(Mapping("thing", empty, columns=columns), ["id", "a", "n"]).line(2, ["t-1", "", ""])
    assert isinstance(line, bytes)
    assert orjson.loads(line)["attributes"] == expected


def test_a_row_tells_every_wrong_cell_at_once() -> None:
    columns = {
        "id": Column("external_id"),
        "a": Column("attribute", "a", "number"),
        "b": Column("attribute", "b", "boolean"),
    }
    mapping = Mapping("thing", columns=columns)
    reader = RowReader(mapping, ["id", "a", "b"])
    line = reader.line(7, ["t-1", "x", "y"])
    assert isinstance(line, bytes) is False
    assert isinstance(line, Rejection)
    assert [(error.path, error.code) for error in line.errors] == [("attributes.a", "not_a_number")]
    short = reader.line(8, ["t-1"])
    assert isinstance(short, Rejection) and short.code == "wrong_column_count"


def test_what_columns_are_is_guessed_by_name_and_by_cells() -> None:
    labels = ["Name", "id", "zip", "price", "created_at", "entity_type", "note"]
    rows = [
        ["Ann", "1", "01234", "1.5", "2026-01-01T00:00:00Z", "person", ""],
        ["Ann", "2", "99999", "2", "2026-01-02T00:00:00Z", "person", ""],
    ]
    mapping = mapping_guess(labels, rows, file_name="people.csv")
    assert {label: (mapping.column(label).use, mapping.column(label).kind) for label in labels} == {
        "Name": ("attribute", "string"),
        "id": ("external_id", "auto"),
        "zip": ("attribute", "string"),
        "price": ("attribute", "number"),
        "created_at": ("created_at", "auto"),
        "entity_type": ("entity_type", "auto"),
        "note": ("attribute", "auto"),
    }
    assert mapping_guess(["a"], [["x"]], file_name="My fleet.csv.gz").entity_type == "my_fleet"


@pytest.mark.parametrize(
    ("cells", "is_type"),
    [
        (["pump", "pump", "fan_coil", "pump"], True),
        (["pump", "pump", None, "pump"], False),
        (["Fixed wing", "Fixed wing", "Rotorcraft", "Rotorcraft"], False),
        (["a1", "a2", "a3", "a4"], False),
    ],
    ids=["words that repeat", "a gap", "descriptions", "names"],
)
def test_a_column_called_type_is_the_entity_type_where_it_says_what_each_row_is(
    cells: list[str | None], is_type: bool
) -> None:
    rows = [[f"id-{number}", cell] for number, cell in enumerate(cells)]
    mapping = mapping_guess(["id", "Type"], rows, file_name="export.csv")
    assert (mapping.column("Type").use == "entity_type") is is_type
    assert mapping.entity_type == ("" if is_type else "export")


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "2.5", "-3"], "number"),
        ([*map(str, range(20)), "n/a"], "auto"),
        (["1", "2", "many"], "string"),
        (["007", *map(str, range(20)), "n/a"], "string"),
        (["true", "False"], "boolean"),
    ],
)
def test_a_few_cells_that_are_no_numbers_do_not_turn_the_others_into_text(cells: list[str], kind: str) -> None:
    assert kind_guess(cells) == kind


@pytest.mark.parametrize(
    ("text", "dates", "instant"),
    [
        ("31.1.2026", "dmy", "2026-01-31T00:00:00Z"),
        ("31/01/2026 08:15", "dmy", "2026-01-31T08:15:00Z"),
        ("01/31/2026", "mdy", "2026-01-31T00:00:00Z"),
        ("2026-01-31", "dmy", "2026-01-31T00:00:00Z"),
    ],
)
def test_a_date_is_read_as_the_file_writes_its_dates(text: str, dates: Any, instant: str) -> None:
    assert cell_value(text, "timestamp", dates=dates) == instant


@pytest.mark.parametrize(("text", "dates"), [("31.01.2026", "iso"), ("31.01.2026", "mdy"), ("31.02.2026", "dmy")])
def test_a_date_that_is_written_otherwise_is_refused_with_an_example(text: str, dates: Any) -> None:
    with pytest.raises(CellError, match="is not a date like"):
        cell_value(text, "timestamp", dates=dates)


@pytest.mark.parametrize(
    ("cells", "dates"),
    [
        (["01.02.2026", "", "03.04.2026"], "dmy"),
        (["01/02/2026", "31/12/2026"], "dmy"),
        (["01/02/2026", "12/31/2026"], "mdy"),
        (["01/02/2026", "03/04/2026"], "iso"),
        (["1.5", "31.12.2026"], "iso"),
    ],
    ids=["points", "a day first", "a month first", "either", "not all"],
)
def test_how_a_file_writes_dates_is_guessed_where_its_cells_tell(cells: list[str], dates: str) -> None:
    rows = [[f"id-{number}", cell] for number, cell in enumerate(cells)]
    mapping = mapping_guess(["id", "built"], rows)
    assert mapping.dates == dates
    assert mapping.column("built").kind == "string"  # A date stays text, until somebody says otherwise.


def test_only_dates_without_a_time_are_offered_as_dates() -> None:
    assert are_dates(["2026-01-31", "2027-12-01"], "iso")
    assert are_dates(["31.1.2026"], "dmy")
    assert not are_dates(["31.1.2026"], "iso")
    assert not are_dates(["2026-01-31 12:00"], "iso")
    assert not are_dates([], "iso")


def test_a_row_without_its_own_id_says_so_in_words() -> None:
    mapping = mapping_parse({"entity_type": "pump", "columns": {"id": {"use": "external_id"}, "n": {}}})
    line = RowReader(mapping, ["id", "n"]).line(3, ["", "5"])
    assert isinstance(line, Rejection)
    assert [(error.path, error.code, error.detail) for error in line.errors] == [
        ("external_id", "required", "The external id is missing.")
    ]


def test_a_mapping_that_makes_no_entities_says_all_that_is_missing() -> None:
    mapping = mapping_parse({"columns": {"a": {"name": "same"}, "b": {"name": "same"}, "gone": None}})
    with pytest.raises(InvalidMapping) as caught:
        mapping_check(mapping, ["a", "b"])
    assert {error.path for error in caught.value.errors} == {"columns.gone", "external_id", "entity_type", "columns.b"}
    with pytest.raises(InvalidMapping):
        mapping_parse({"columns": {"a": {"use": "nonsense"}}})


@pytest.mark.parametrize(
    ("head", "dialect"),
    [
        (b"a,b\n1,2\n", Dialect("utf-8", ",", True)),
        (b"a;b\n1,5;2\n", Dialect("utf-8", ";", True)),
        (b"1\t2\n3\t4\n", Dialect("utf-8", "\t", False)),
        (b"\xef\xbb\xbfa|b\n1|2\n", Dialect("utf-8-sig", "|", True)),
        ("a,b\nü,2\n".encode("cp1252"), Dialect("cp1252", ",", True)),
        ("a,b\n1,2\n".encode("utf-16"), Dialect("utf-16", ",", True)),
        (b"only\none\n", Dialect("utf-8", ",", True)),
    ],
)
def test_how_a_csv_file_is_written_is_found_out(head: bytes, dialect: Dialect) -> None:
    assert dialect_sniff(head) == dialect


def test_what_a_file_is_is_found_out() -> None:
    assert format_sniff(b' \n{"a": 1}') == "ndjson"
    assert format_sniff(b"PAR1....") == "parquet"
    assert format_sniff(b"a,b\n") == "csv"


# --- Jobs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_csv_file_is_imported_with_its_guessed_mapping(
    acme: Tenant, globex: Tenant, pack: Callable[[bytes], bytes]
) -> None:
    job = draft(acme, pack(FLEET))
    assert (job.status, job.format) == ("draft", "csv")
    done = work(acme, job)
    assert (done.status, counts(done)) == ("done", (2, 0, 0, 0))
    assert stored(acme) == {
        "N1": {"Seats": 149, "Code": "007", "Seen": "2026-01-31T12:00:00Z", "Active": True},
        "N2": {"Code": "008", "Seen": "2026-02-01T10:00:05Z", "Active": False},
    }
    assert stored(globex) == {}


def test_a_parquet_file_is_imported_row_group_by_row_group(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "BATCH_LINES", 2)
    body = parquet(
        id=["a", "b", "c", "d", "e"],
        n=[1, None, 3, 4, 2**62],
        at=[datetime(2026, 1, day, tzinfo=UTC) for day in range(1, 6)],
        price=[Decimal("1.10")] * 5,
    )
    done = work(
        acme,
        draft(
            acme,
            body,
            file_name="things.parquet",
            mapping={
                "entity_type": "thing",
                "columns": {"id": {"use": "external_id"}, "at": {"use": "at"}, "price": {"type": "string"}},
            },
        ),
    )
    assert (done.status, counts(done)) == ("done", (5, 0, 0, 0))
    assert stored(acme)["a"] == {"n": 1, "price": "1.10"}
    assert stored(acme)["b"] == {"price": "1.10"}
    assert stored(acme)["e"]["n"] == 2**62


def test_a_dry_run_writes_nothing_and_the_file_waits_for_go(acme: Tenant) -> None:
    job = draft(
        acme,
        FLEET + b"N3,many,9,,\n,1,1,,\n",
        mapping={
            "entity_type": "aircraft",
            "columns": {"Tail": {"use": "external_id"}, "Seats": {"name": "seats", "type": "number"}},
        },
    )
    checked = work(acme, job, dry_run=True)
    assert (checked.status, counts(checked)) == ("checked", (2, 0, 0, 2))
    assert stored(acme) == {}
    with tenant_bind(acme):
        rows = report.errors_page(job=checked, after=0, limit=10, using="default")
    assert [(row.line, row.columns, row.code) for row in rows] == [
        (4, ["Seats"], "not_a_number"),
        (5, ["Tail"], "required"),
    ]
    done = work(acme, checked)
    assert (done.status, counts(done)) == ("done", (2, 0, 0, 2))
    again = draft(acme, FLEET)
    assert counts(work(acme, again, dry_run=True)) == (0, 1, 1, 0)  # `Seats` is another name than `seats`.


def test_lines_that_were_left_out_can_be_downloaded_mended_and_imported(acme: Tenant) -> None:
    body = b"Tail;Seats\nN1;many\nN2;12\n;5\n"
    mapping = {"entity_type": "aircraft", "columns": {"Tail": {"use": "external_id"}, "Seats": {"type": "number"}}}
    done = work(acme, draft(acme, body, mapping=mapping))
    with tenant_bind(acme):
        told = b"".join(report.errors_csv(job=done, labels=["Tail", "Seats"])).decode()
        lines = [orjson.loads(line) for line in report.errors_ndjson(job=done)]
    assert list(csv.reader(io.StringIO(told)))[:2] == [
        ["error line", "error column", "error", "Tail", "Seats"],
        ["2", "Seats", "“many” is not a number.", "N1", "many"],
    ]
    assert [(line["line"], line["code"], orjson.loads(line["raw"])) for line in lines] == [
        (2, "not_a_number", ["N1", "many"]),
        (4, "required", ["", "5"]),
    ]


def test_a_file_in_another_encoding_fails_its_dry_run_and_can_be_read_otherwise(acme: Tenant) -> None:
    job = draft(acme, "Tail,Maker\nN1,Zürich\n".encode("cp1252"))
    with tenant_bind(acme):
        jobs.import_job_change(
            tenant_id=acme.pk, job_id=job.job_id, options={**job.options, "dialect": {"encoding": "utf-8"}}
        )
    checked = work(acme, job, dry_run=True)
    assert checked.status == "checked" and "not utf-8" in checked.detail
    with tenant_bind(acme):
        jobs.import_job_change(
            tenant_id=acme.pk, job_id=job.job_id, options={**job.options, "dialect": {"encoding": "cp1252"}}
        )
    assert work(acme, checked).status == "done"
    assert stored(acme)["N1"]["Maker"] == "Zürich"


def test_a_quotation_mark_left_open_fails_its_import(acme: Tenant) -> None:
    body = b'a,b\n"x,1\n' + b"y,2\n" * 3
    done = work(acme, draft(acme, body, mapping={"entity_type": "x", "columns": {"a": {"use": "external_id"}}}))
    assert counts(done) == (0, 0, 0, 1)
    assert stored(acme) == {}


def test_what_only_begins_like_parquet_is_refused_at_once(acme: Tenant) -> None:
    with pytest.raises(BrokenBody, match="not Parquet"):
        draft(acme, b"PAR1nothing")
    assert jobs.import_files_count(tenant_id=acme.pk) == 0


def test_a_mapping_is_remembered_for_the_next_file_with_these_columns(acme: Tenant, globex: Tenant) -> None:
    mapping = {"entity_type": "jet", "columns": {"Tail": {"use": "external_id"}, "Code": {"use": "skip"}}}
    job = draft(acme, FLEET, mapping=mapping)
    with tenant_bind(acme):
        prepare.mapping_remember(job, now=NOW)
    assert draft(acme, FLEET).options["mapping"]["entity_type"] == "jet"
    assert draft(acme, FLEET.replace(b"Code", b"Other")).options["mapping"]["entity_type"] == "aircraft"
    assert draft(globex, FLEET).options["mapping"]["entity_type"] == "aircraft"


def test_the_first_rows_are_previewed_as_they_will_be_stored(acme: Tenant) -> None:
    job = draft(acme, FLEET)
    with tenant_bind(acme):
        rows = prepare.job_preview(job, None, limit=5)
        lines = prepare.job_preview(
            draft(acme, b'{"entity_type":"a","external_id":"1","attributes":{"n":1}}\nnonsense\n'), None, limit=5
        )
    assert [(row.number, row.external_id) for row in rows] == [(2, "N1"), (3, "N2")]
    assert rows[0].attributes == {"Seats": 149, "Code": "007", "Seen": "2026-01-31T12:00:00Z", "Active": True}
    assert [row.rejection is None for row in lines] == [True, False]


def test_a_killed_worker_goes_on_with_a_csv_file_and_keeps_each_left_out_line_once(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importer, "BATCH_LINES", 2)
    rows = b"".join(b"N%d,%s\n" % (number, b"x" if number % 3 == 0 else b"1") for number in range(1, 10))
    mapping = {"entity_type": "a", "columns": {"Tail": {"use": "external_id"}, "Seats": {"type": "number"}}}
    job = draft(acme, b"Tail,Seats\n" + rows, mapping=mapping)
    batches = 0

    def killed_in_the_second(**arguments: Any) -> Any:
        nonlocal batches
        result = batch_write(**arguments)
        batches += 1
        if batches == 2:
            raise SystemExit("killed")
        return result

    monkeypatch.setattr(importer, "batch_write", killed_in_the_second)
    with pytest.raises(SystemExit):
        work(acme, job)
    monkeypatch.setattr(importer, "batch_write", batch_write)
    with tenant_bind(acme):
        assert run.import_job_run(tenant_id=acme.pk, job_id=job.job_id, clock=lambda: NOW) == "done"
        kept = list(ImportRejection.objects.filter(tenant_id=acme.pk).order_by("line").values_list("line", flat=True))
    assert kept == [4, 7, 10]
    assert len(stored(acme)) == 6


def test_columns_of_one_name_are_numbered_and_more_than_a_file_may_have_are_refused_at_once() -> None:
    def repeated(file_format: Format, columns: int) -> ContentFile[bytes]:
        if file_format == "csv":
            return ContentFile(b"a," * (columns - 1) + b"a\n")
        buffer = io.BytesIO()
        pq.write_table(pa.table([pa.array(["1"])] * columns, names=["a"] * columns), buffer)
        return ContentFile(buffer.getvalue())

    formats: tuple[Format, ...] = ("csv", "parquet")
    for file_format in formats:
        labels = sample_read(repeated(file_format, COLUMNS_MAX), file_format, Dialect()).labels
        assert labels == ["a", *(f"a ({copy})" for copy in range(2, COLUMNS_MAX + 1))]
        too_many = repeated(file_format, COLUMNS_MAX + 1)
        with pytest.raises(BrokenBody, match="at most"):
            sample_read(too_many, file_format, Dialect())
        # A worker reads the file anew.
        lines = lines_read(
            too_many, file_format, dialect=Dialect(), mapping=None, line_max_bytes=1000, advanced=lambda done: None
        )
        with pytest.raises(BrokenBody, match="at most"):
            next(lines)


# --- Waiting, quota, expiry -------------------------------------------------------------------------------------------


def test_files_that_wait_have_a_quota(acme: Tenant, globex: Tenant, settings: Settings) -> None:
    settings.IMPORT_UPLOADS_MAX_BYTES = 2 * len(FLEET)
    first = draft(acme, FLEET)
    draft(acme, FLEET)
    with pytest.raises(jobs.UploadTooLarge):
        draft(acme, b"a,b\n1,2\n")
    draft(globex, FLEET)
    work(acme, first)
    draft(acme, b"a,b\n1,2\n")


def test_a_job_under_way_or_done_is_not_changed(acme: Tenant, globex: Tenant) -> None:
    job = draft(acme, FLEET)
    with tenant_bind(acme):
        jobs.import_job_start(tenant_id=acme.pk, job_id=job.job_id, dry_run=False, now=NOW, enqueue=lambda job: None)
        with pytest.raises(jobs.ImportBusy):
            jobs.import_job_change(tenant_id=acme.pk, job_id=job.job_id, mode="replace")
        run.import_job_run(tenant_id=acme.pk, job_id=job.job_id, clock=lambda: NOW)
        with pytest.raises(jobs.ImportFinished):
            jobs.import_job_start(tenant_id=acme.pk, job_id=job.job_id, dry_run=True, now=NOW, enqueue=lambda job: None)
    with tenant_bind(globex), pytest.raises(jobs.ImportUnknown):
        jobs.import_job_start(tenant_id=globex.pk, job_id=job.job_id, dry_run=True, now=NOW, enqueue=lambda job: None)


def test_drafts_are_forgotten_when_nobody_says_go(acme: Tenant) -> None:
    job = draft(acme, FLEET)
    with tenant_bind(acme):
        jobs.import_jobs_expire(tenant_id=acme.pk, now=NOW + timedelta(days=6))
        assert jobs.import_files_count(tenant_id=acme.pk) == 1
        jobs.import_jobs_expire(tenant_id=acme.pk, now=NOW + timedelta(days=8))
        assert jobs.import_files_count(tenant_id=acme.pk) == 0
        assert jobs.import_job_get(tenant_id=acme.pk, job_id=job.job_id, using="default").status == "cancelled"
        jobs.import_jobs_expire(tenant_id=acme.pk, now=NOW + timedelta(days=60))
        assert not ImportJob.objects.filter(tenant_id=acme.pk).exists()


def test_a_queue_that_is_away_leaves_a_draft_as_it_was(acme: Tenant) -> None:
    job = draft(acme, FLEET)

    def away(started: ImportJob) -> None:
        raise QueueUnavailable

    with tenant_bind(acme), pytest.raises(QueueUnavailable):
        jobs.import_job_start(tenant_id=acme.pk, job_id=job.job_id, dry_run=False, now=NOW, enqueue=away)
    assert work(acme, job).status == "done"
    assert uuid.UUID(str(job.job_id)) == job.job_id
