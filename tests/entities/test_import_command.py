"""`manage.py import_entities`: the same path as the HTTP import, for people and scripts."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from entities.models import Entity
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tenants.services import tenant_delete

LINES = (
    b'{"entity_type":"lamp","external_id":"l-1","attributes":{"lit":true,"watts":9.5}}\n'
    b'{"entity_type":"lamp","external_id":"l-2","attributes":{"watts":"1.10","room":""}}\n'
)
BAD_LINES = b'{"entity_type":"lamp"}\nnot json\n'


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(tenant: Tenant, file: Path | str, *options: str) -> tuple[str, str]:
    """The command's stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    call_command("import_entities", "--tenant", tenant.slug, str(file), *options, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def summary(tenant: Tenant, file: Path | str, *options: str) -> dict[str, Any]:
    """The JSON of the last line."""
    answer: dict[str, Any] = json.loads(run(tenant, file, "--json", *options)[0].splitlines()[-1])
    return answer


def stored(tenant: Tenant) -> dict[str, dict[str, Any]]:
    with tenant_bind(tenant):
        rows = Entity.objects.filter(tenant_id=tenant.pk).values_list("external_id", "attributes")
        return dict(rows)


@pytest.fixture
def lines_file(tmp_path: Path) -> Path:
    path = tmp_path / "lamps.ndjson"
    path.write_bytes(LINES)
    return path


def test_a_file_is_imported_into_the_named_tenant_only(acme: Tenant, globex: Tenant, lines_file: Path) -> None:
    answer = summary(acme, lines_file)
    assert answer.pop("position").count("/") == 1
    assert answer == {"received": 2, "created": 2, "updated": 0, "unchanged": 0, "rejected": []}
    assert stored(acme) == {"l-1": {"lit": True, "watts": 9.5}, "l-2": {"watts": "1.10", "room": ""}}
    assert stored(globex) == {}


def test_gzip_is_told_by_content_not_by_name(acme: Tenant, tmp_path: Path) -> None:
    path = tmp_path / "lamps.ndjson"
    # Two members, as `cat a.gz b.gz` makes them.
    path.write_bytes(b"".join(gzip.compress(line) for line in LINES.splitlines(keepends=True)))
    assert summary(acme, path)["created"] == 2


@pytest.mark.parametrize("body", [LINES, gzip.compress(LINES)], ids=["plain", "gzip"])
def test_a_hyphen_reads_standard_input(acme: Tenant, monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(body)))
    assert summary(acme, "-")["created"] == 2


def test_an_empty_file_is_an_import_of_nothing(acme: Tenant, tmp_path: Path) -> None:
    path = tmp_path / "empty.ndjson"
    path.touch()
    assert summary(acme, path)["received"] == 0


def test_a_second_run_changes_nothing(acme: Tenant, lines_file: Path) -> None:
    summary(acme, lines_file)
    again = summary(acme, lines_file)
    assert (again["created"], again["updated"], again["unchanged"]) == (0, 0, 2)


def test_replace_removes_what_a_line_does_not_name(
    acme: Tenant, globex: Tenant, lines_file: Path, tmp_path: Path
) -> None:
    shorter = tmp_path / "shorter.ndjson"
    shorter.write_bytes(b'{"entity_type":"lamp","external_id":"l-1","attributes":{"lit":false}}\n')
    for tenant in (acme, globex):
        summary(tenant, lines_file)
    summary(acme, shorter)
    summary(globex, shorter, "--mode", "replace")
    assert stored(acme)["l-1"] == {"lit": False, "watts": 9.5}
    assert stored(globex)["l-1"] == {"lit": False}


def test_a_dry_run_counts_and_writes_nothing(acme: Tenant, lines_file: Path) -> None:
    assert summary(acme, lines_file, "--dry-run")["created"] == 2
    assert "nothing was written" in run(acme, lines_file, "--dry-run")[0]
    assert stored(acme) == {}


def test_bad_lines_are_shown_and_end_the_command_with_a_code_of_their_own(acme: Tenant, tmp_path: Path) -> None:
    path = tmp_path / "mixed.ndjson"
    path.write_bytes(BAD_LINES + LINES)
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(CommandError, match="2 of 4 lines were rejected") as rejected:
        call_command("import_entities", "--tenant", acme.slug, str(path), "--json", stdout=out, stderr=err)
    assert rejected.value.returncode == 3
    assert err.getvalue().startswith("line 1: ") and "line 2: invalid_json" in err.getvalue()
    answer = json.loads(out.getvalue())
    assert [rejection["line"] for rejection in answer["rejected"]] == [1, 2] and answer["created"] == 2
    assert set(stored(acme)) == {"l-1", "l-2"}


def test_only_the_first_rejections_are_shown(acme: Tenant, tmp_path: Path) -> None:
    path = tmp_path / "wrong.csv"
    path.write_bytes(b"a,b,c\n" * 30)
    err = io.StringIO()
    with pytest.raises(CommandError):
        call_command("import_entities", "--tenant", acme.slug, str(path), stdout=io.StringIO(), stderr=err)
    assert "line 20:" in err.getvalue() and "line 21:" not in err.getvalue()
    assert "and 10 more" in err.getvalue()


def test_people_read_a_sentence(acme: Tenant, lines_file: Path) -> None:
    out, err = run(acme, lines_file)
    assert out.startswith(f"Imported into {acme.slug}: 2 lines, 2 created")
    assert err == ""


def test_a_terminal_sees_a_bar_on_stderr(acme: Tenant, lines_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    out, _ = run(acme, lines_file, "--json")
    assert len(out.splitlines()) == 1
    assert f"{len(LINES)}/{len(LINES)} bytes" in terminal.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file"), (gzip.compress(LINES)[:-4], "ends too early"), (b"\x1f\x8bnot gzip", "not gzip")],
    ids=["missing", "truncated", "broken"],
)
def test_a_file_that_can_not_be_read_is_told_in_words(
    acme: Tenant, tmp_path: Path, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "lamps.ndjson"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CommandError, match=reason) as failed:
        run(acme, path)
    assert failed.value.returncode == 1


def test_a_folder_is_no_file(acme: Tenant, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="Is a directory"):
        run(acme, tmp_path)


def test_a_tenant_must_be_there(lines_file: Path, tenant_make: Callable[..., Tenant]) -> None:
    gone = tenant_make("gone")
    with pytest.raises(CommandError, match="no tenant 'nobody-there'"):
        call_command("import_entities", "--tenant", "nobody-there", str(lines_file))
    tenant_delete(tenant=gone, confirm=gone.slug, now=gone.created_at)
    with pytest.raises(CommandError, match="no tenant"):
        run(gone, lines_file)
