"""Inputs at the edge of what an import takes: what PostgreSQL alone would refuse must not cost the good lines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from atlasco.lib import clock
from entities.ingest.importer import import_run
from entities.ingest.lines import Line
from entities.search.containments import containments
from entities.search.query import query_parse
from entities.services import entity_create, entity_input_parse
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tests.entities import plane


def test_an_instant_with_a_decimal_comma_is_stored_beside_the_good_lines(acme: Tenant) -> None:
    lines = (
        b'{"entity_type":"t","external_id":"a","at":"2026-01-31T12:00:00,25Z","attributes":{"n":1}}\n'
        b'{"entity_type":"t","external_id":"b","created_at":"2026-01-31T12:00:00,5+02","attributes":{"n":2}}\n'
    )
    with tenant_bind(acme):
        summary = import_run(tenant_id=acme.pk, chunks=[lines], mode="merge", now=clock.now(), line_max_bytes=1 << 20)
        body = {"entity_type": "t", "at": "2026-01-31T12:00:00,25Z", "attributes": {}}
        row, _ = entity_create(
            tenant_id=acme.pk, entity=entity_input_parse(body, is_new=True), upsert=False, now=clock.now()
        )
    assert (summary.created, summary.rejected) == (2, [])
    assert clock.iso(row.updated_at) == "2026-01-31T12:00:00.250000Z"


def test_an_entity_that_outgrows_a_document_costs_only_its_own_line(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    from entities.ingest import importer
    from entities.ingest.batch import BatchResult, EntityTooLarge

    def write(*, lines: list[Line], **_: object) -> BatchResult:
        if any(line.external_id == "huge" for line in lines):
            raise EntityTooLarge
        return BatchResult(created=len(lines), updated=0, unchanged=0)

    # 256 MB in one document would take minutes to build here; the server's refusal is all that counts.
    monkeypatch.setattr(importer, "batch_write", write)
    names = ["a", "b", "huge", "c", "d"]
    content = "".join(f'{{"entity_type":"t","external_id":"{name}","attributes":{{}}}}\n' for name in names)
    with tenant_bind(acme):
        summary = import_run(
            tenant_id=acme.pk, chunks=[content.encode()], mode="merge", now=clock.now(), line_max_bytes=1 << 20
        )
    assert (summary.received, summary.created) == (5, 4)
    assert [(rejection.line, rejection.code) for rejection in summary.rejected] == [(3, "entity_too_large")]


def test_of_a_stream_that_waits_what_came_is_written_and_counted(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    from entities.ingest import importer

    monkeypatch.setattr(importer, "SLOW_S", 0.0)
    done: list[int] = []

    def chunks() -> Iterator[bytes]:
        for number in range(3):
            yield f'{{"entity_type":"t","external_id":"{number}","attributes":{{}}}}\n'.encode()
            yield f'{{"entity_type":"t","external_id":"{number}"}}\n'.encode()
            done.append(len(plane.stored(acme)))

    with tenant_bind(acme):
        summary = import_run(tenant_id=acme.pk, chunks=chunks(), mode="merge", now=clock.now(), line_max_bytes=1 << 20)
    assert done == [1, 2, 3]
    assert (summary.received, summary.created, [r.line for r in summary.rejected]) == (6, 3, [2, 4, 6])


def test_a_query_of_endless_combinations_is_planned_at_once() -> None:
    conditions = [["a", "eq", number] for number in range(40)]
    query = query_parse({"where": {"at_least": 10, "of": conditions}})
    assert containments(query.where) is None
