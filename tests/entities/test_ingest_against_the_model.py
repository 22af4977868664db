"""Any sequence of lines, in any batches, leaves what the same lines leave one by one in plain Python."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

import orjson
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from entities import services
from entities.ingest import importer
from entities.services import EntityInput
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tests.entities import plane
from tests.entities.effort import examples
from tests.entities.kept import tenant_empty
from tests.entities.model import Store, Update, same_document
from tests.entities.plane import NOW, chunked

DAY = timedelta(days=1)
INSTANTS = [NOW - 2 * DAY, NOW - DAY, NOW - DAY + timedelta(microseconds=1), NOW, NOW + DAY]
VALUES = [
    1,
    1.0,
    2,
    True,
    False,
    "",
    "1",
    "1.10",
    "true",
    "é\n",
    "2026-01-01T00:00:00Z",
    "2026-01-01T01:00:00+01:00",
    2**63,
    0.1,
]

UPDATES = st.builds(
    Update,
    key=st.sampled_from([("lamp", "1"), ("lamp", "2"), ("chair", "1")]),
    attributes=st.dictionaries(
        st.sampled_from(["a", "b", "c:d e/f"]), st.one_of(st.none(), st.sampled_from(VALUES)), max_size=3
    ),
    at=st.one_of(st.none(), st.sampled_from(INSTANTS)),
    created_at=st.one_of(
        st.none(), st.none(), st.sampled_from([datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC)])
    ),
)
IMPORTS = st.lists(
    st.tuples(st.sampled_from(["merge", "merge", "replace"]), st.lists(UPDATES, min_size=1, max_size=8)),
    min_size=1,
    max_size=4,
)
Imports = list[tuple[Literal["merge", "replace"], list[Update]]]


def assert_equal_to_the_model(tenant: Tenant, model: Store) -> None:
    stored = plane.stored(tenant)
    assert stored.keys() == model.entities.keys()
    for key, expected in model.entities.items():
        entity = stored[key]
        assert same_document(entity.document, expected.document), key
        assert entity.at == {name: at for name, (_, at) in expected.values.items()}, key
        assert (entity.created_at, entity.updated_at) == (expected.created_at, expected.updated_at), key
    assert plane.registry(tenant) == model.registry()


@given(
    imports=IMPORTS,
    batch_lines=st.sampled_from([2, 3, 5000]),
    # From how many entities on two connections write them.
    halves_entities=st.sampled_from([2, 3, 5000]),
    fold=st.booleans(),
)
@examples(60)
def test_imports_are_what_their_lines_are_one_by_one(
    imports: Imports,
    batch_lines: int,
    halves_entities: int,
    fold: bool,
    acme: Tenant,
    globex: Tenant,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tenant_empty(acme)
    model = Store()
    now = NOW
    with monkeypatch.context() as patch:
        patch.setattr(importer, "BATCH_LINES", batch_lines)
        patch.setattr(importer, "HALVES_ENTITIES", halves_entities)
        for mode, updates in imports:
            before = model.counts.copy()
            for update in updates:
                model.apply(update, mode=mode, now=now)
            summary = plane.write(acme, updates, mode=mode, now=now)
            counted = {"created": summary.created, "updated": summary.updated, "unchanged": summary.unchanged}
            assert counted == {name: model.counts[name] - before[name] for name in counted}
            assert (summary.received, summary.rejected_count) == (len(updates), 0)
            if fold:
                with tenant_bind(acme):
                    services.attribute_changes_fold(tenant_id=acme.pk)
            now += timedelta(seconds=1)
    assert_equal_to_the_model(acme, model)
    assert plane.stored(globex) == {} and plane.registry(globex) == {}
    event(f"{len(model.entities)} entities")


@given(updates=st.lists(UPDATES, min_size=1, max_size=12), sizes=st.lists(st.integers(1, 4), max_size=6))
@examples(60)
def test_the_same_lines_in_other_batches_leave_the_same(
    updates: list[Update], sizes: list[int], acme: Tenant, globex: Tenant
) -> None:
    tenant_empty(acme)
    tenant_empty(globex)
    plane.write(acme, updates)
    for piece in chunked(updates, sizes):
        plane.write(globex, piece)
    whole, pieces = plane.stored(acme), plane.stored(globex)
    assert whole.keys() == pieces.keys()
    for key in whole:
        assert same_document(whole[key].document, pieces[key].document)
        assert whole[key].at == pieces[key].at
        assert (whole[key].created_at, whole[key].updated_at) == (pieces[key].created_at, pieces[key].updated_at)
    assert plane.registry(acme) == plane.registry(globex)


@given(updates=st.lists(UPDATES, min_size=1, max_size=12))
@examples(20)
def test_sending_lines_that_carry_their_instants_again_changes_nothing(updates: list[Update], acme: Tenant) -> None:
    tenant_empty(acme)
    for number, update in enumerate(updates):
        # In order of time, as a source has them.
        update.at = NOW + number * DAY
        update.created_at = None
    plane.write(acme, updates)
    before = plane.stored(acme)
    plane.write(acme, updates, now=NOW + 100 * DAY)
    assert plane.stored(acme) == before


@given(
    writes=st.lists(st.tuples(UPDATES, st.booleans()), min_size=1, max_size=10),
    fold=st.booleans(),
)
@examples(60)
def test_single_writes_by_key_or_by_id_are_what_their_lines_are(
    writes: list[tuple[Update, bool]], fold: bool, acme: Tenant, globex: Tenant
) -> None:
    tenant_empty(acme)
    model = Store()
    now = NOW
    ids: dict[tuple[str, str], int] = {}
    for update, by_id in writes:
        is_new = update.key not in model.entities
        version = 0 if is_new else plane.stored(acme)[update.key].version
        counted = model.counts.copy()
        model.apply(update, mode="merge", now=now)
        entity = EntityInput(*update.key, _text(update.created_at), _text(update.at), update.attributes)
        with tenant_bind(acme):
            if by_id and not is_new:
                row = services.entity_patch(
                    tenant_id=acme.pk, entity_id=ids[update.key], entity=entity, expected_versions={version}, now=now
                )
            else:
                row, created = services.entity_create(tenant_id=acme.pk, entity=entity, upsert=True, now=now)
                assert created == is_new
            if fold:
                services.attribute_changes_fold(tenant_id=acme.pk)
        ids[update.key] = row.entity_id
        expected = model.entities[update.key]
        assert same_document(orjson.loads(row.attributes), expected.document)
        assert (row.created_at, row.updated_at) == (expected.created_at, expected.updated_at)
        if model.counts["updated"] > counted["updated"]:
            assert row.version == version + 1
        now += timedelta(seconds=1)
    assert_equal_to_the_model(acme, model)
    assert plane.stored(globex) == {} and plane.registry(globex) == {}


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()
