"""A large batch is written by two connections at the same time, each half of its entities."""

from __future__ import annotations

from typing import Any

import pytest

from entities.ingest import importer
from entities.ingest.batch import BatchResult, WriteContention, batch_write
from entities.ingest.importer import ImportSummary, lines_import
from entities.ingest.lines import Line
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tests.entities import plane
from tests.entities.model import Update
from tests.entities.plane import entity


@pytest.fixture(autouse=True)
def _halves_of_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "HALVES_ENTITIES", 4)


def test_both_halves_together_keep_to_the_quota_of_names(acme: Tenant, settings: Any) -> None:
    settings.ATTRIBUTE_NAMES_MAX = 10
    updates = [Update(("lamp", str(number)), {f"half {number // 8}": 1, f"name {number}": 1}) for number in range(16)]
    summary = plane.write(acme, updates)
    assert (summary.created, summary.quarantined_count) == (16, 8)
    # All of them are stored, and repeating the import takes no more names in.
    assert len(plane.stored(acme)) == 16
    assert plane.write(acme, updates).quarantined_count == 0


def test_where_one_half_fails_nothing_is_counted_and_the_same_lines_go_on(
    acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [(number, plane.line_of(entity(str(number), n=number)), None) for number in range(1, 9)]

    def run(summary: ImportSummary) -> None:
        with tenant_bind(acme):
            lines_import(tenant_id=acme.pk, lines=iter(lines), mode="merge", now=plane.NOW, summary=summary)

    def write(*, lines: list[Line], **others: Any) -> BatchResult:
        if any(line.external_id == "8" for line in lines):
            raise WriteContention
        return batch_write(lines=lines, **others)

    cut, whole = ImportSummary(), ImportSummary()
    with monkeypatch.context() as patched, pytest.raises(WriteContention):
        patched.setattr(importer, "batch_write", write)
        run(cut)
    # The half that was written stands, but the beginning of the stream is what a resumed import passes over.
    assert set(plane.stored(acme)) == {("lamp", str(number)) for number in range(1, 5)}
    assert cut.lines_done == 0
    run(whole)
    assert (whole.received, whole.created, whole.unchanged) == (8, 4, 4)
    assert len(plane.stored(acme)) == 8 and plane.stored(globex) == {}
