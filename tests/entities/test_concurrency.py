"""Writers of the same entities, in any order and with deletes between them: nobody fails, and the tables agree."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from random import Random
from threading import Barrier, Event, Thread
from typing import Any

import orjson
import psycopg
from django.db import connections

from entities import selectors, services
from entities.selectors import EntityNotFound
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tests.entities import plane
from tests.entities.model import Json, Update, kind_of
from tests.entities.plane import NOW, entity

THREADS = 4
ROUNDS = 12
ENTITIES = 40


def together(*acts: Callable[[], None]) -> None:
    """Do all at the same time, each on connections of its own. Raises what the first one raised that raised."""
    barrier = Barrier(len(acts))
    errors: list[Exception] = []

    def run(act: Callable[[], None]) -> None:
        try:
            barrier.wait()
            act()
        except Exception as error:  # noqa: BLE001  # Raised again in the thread that waits.
            errors.append(error)
        finally:
            connections.close_all()

    threads = [Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def recounted(tenant: Tenant) -> dict[str, Counter[str]]:
    """The registry as the documents have it."""
    counts: dict[str, Counter[str]] = {}
    for stored in plane.stored(tenant).values():
        for name, value in stored.document.items():
            counts.setdefault(name, Counter())[kind_of(value)] += 1
    return counts


def test_importers_and_deleters_of_the_same_entities_neither_fail_nor_disagree(acme: Tenant, globex: Tenant) -> None:
    outcomes = Counter[str]()
    running = set(range(THREADS))

    def importer(seed: int) -> Callable[[], None]:
        def act() -> None:
            random = Random(seed)
            for number in range(ROUNDS):
                numbers = list(range(ENTITIES))
                random.shuffle(numbers)
                values: list[Json | None] = [number, f"from {seed}", True, None]
                updates = [
                    Update(("lamp", str(key)), {"shared": random.choice(values), f"own {seed}": number})
                    for key in numbers[:30]
                ]
                summary = plane.write(acme, updates, mode="replace" if random.random() < 0.5 else "merge")
                assert summary.created + summary.updated + summary.unchanged == len(updates)
            running.discard(seed)

        return act

    def deleter() -> None:
        random = Random(99)
        deadline = time.monotonic() + 60
        while running and time.monotonic() < deadline:
            with tenant_bind(acme), connections["default"].cursor() as cursor:
                cursor.execute("SELECT entity_id FROM entities WHERE tenant_id = %s", [acme.pk])
                ids = [row[0] for row in cursor.fetchall()]
                for entity_id in random.sample(ids, min(3, len(ids))):
                    try:
                        services.entity_delete(tenant_id=acme.pk, entity_id=entity_id, expected_versions=None)
                        outcomes["deleted"] += 1
                    except EntityNotFound:
                        outcomes["gone already"] += 1

    def neighbour() -> None:
        for _ in range(ROUNDS):
            plane.write(globex, [entity(str(key), shared=key) for key in range(ENTITIES)])

    together(*(importer(seed) for seed in range(THREADS)), deleter, neighbour)
    assert outcomes["deleted"] > 0
    # To recount is to read all, which compares keys, documents and value rows.
    assert plane.registry(acme) == recounted(acme)
    assert len(plane.stored(globex)) == ENTITIES and plane.registry(globex) == recounted(globex)
    with tenant_bind(acme):
        services.attribute_changes_fold(tenant_id=acme.pk)
    assert plane.registry(acme) == recounted(acme)


def test_folding_beside_writers_loses_no_count(acme: Tenant) -> None:
    def writer(seed: int) -> Callable[[], None]:
        def act() -> None:
            for number in range(ROUNDS):
                plane.write(acme, [entity(f"{seed}-{number}", a=number, b=str(number))])

        return act

    def folder() -> None:
        for _ in range(ROUNDS * 3):
            with tenant_bind(acme):
                services.attribute_changes_fold(tenant_id=acme.pk)
            for counts in plane.registry(acme).values():
                assert all(count >= 0 for count in counts.values())

    together(writer(1), writer(2), folder, folder)
    expected = {"a": Counter({"number": 2 * ROUNDS}), "b": Counter({"string": 2 * ROUNDS})}
    assert plane.registry(acme) == expected


def test_creators_of_one_entity_make_one(acme: Tenant) -> None:
    found: list[tuple[int, bool]] = []

    def creator(seed: int) -> Callable[[], None]:
        def act() -> None:
            with tenant_bind(acme):
                for number in range(ROUNDS):
                    made = services.EntityInput("lamp", str(number), None, None, {f"own {seed}": True})
                    row, created = services.entity_create(tenant_id=acme.pk, entity=made, upsert=True, now=NOW)
                    found.append((row.entity_id, created))

        return act

    together(*(creator(seed) for seed in range(THREADS)))
    stored = plane.stored(acme)
    assert len(stored) == ROUNDS == sum(created for _, created in found)
    assert all(len(entity.document) == THREADS for entity in stored.values())


def test_versions_let_one_of_many_writers_through(acme: Tenant) -> None:
    plane.write(acme, [entity("1", n=0)])
    entity_id = plane.stored(acme)["lamp", "1"].entity_id
    wins: list[int] = []

    def incrementer() -> None:
        """Read, add one, write if nobody else did; until it has succeeded ten times."""
        with tenant_bind(acme):
            done = 0
            while done < 10:
                row = selectors.entity_get(tenant_id=acme.pk, entity_id=entity_id, using="default")
                value = selectors.value_get(tenant_id=acme.pk, entity_id=entity_id, name="n", using="default")
                if value.version != row.version:
                    continue
                try:
                    services.attribute_put(
                        tenant_id=acme.pk,
                        entity_id=entity_id,
                        name="n",
                        value=orjson.loads(orjson.dumps(value.value)) + 1,
                        expected_versions={row.version},
                        now=NOW,
                    )
                except services.PreconditionFailed:
                    continue
                done += 1
                wins.append(1)

    together(*[incrementer] * THREADS)
    assert plane.stored(acme)["lamp", "1"].document == {"n": 10 * THREADS} and len(wins) == 10 * THREADS


def test_a_deadlock_with_a_stranger_costs_no_line(acme: Tenant, owner_db: psycopg.Connection[Any]) -> None:
    """Somebody who locks in another order: whichever of the two the server ends, our batch is written."""
    updates = [entity("1", a="first"), entity("2", a="first")]
    plane.write(acme, updates)
    lower, higher = sorted(stored.entity_id for stored in plane.stored(acme).values())
    lock = "SELECT FROM entities WHERE tenant_id = %s AND entity_id = %s FOR UPDATE"
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"

    def stranger() -> None:
        owner_db.execute("SELECT set_config('atlasco.tenant_id', %s, false)", [str(acme.pk)])
        with suppress(psycopg.errors.DeadlockDetected), owner_db.transaction():
            owner_db.execute(lock, [acme.pk, higher])
            holds_one.set()
            deadline = time.monotonic() + 30
            while owner_db.execute(waiting).fetchone() == (0,) and time.monotonic() < deadline:
                time.sleep(0.01)
            owner_db.execute(lock, [acme.pk, lower])

    def importer() -> None:
        holds_one.wait()
        plane.write(acme, [entity("2", a="second"), entity("1", a="second")])

    holds_one = Event()
    together(stranger, importer)
    assert [stored.document for stored in plane.stored(acme).values()] == [{"a": "second"}] * 2
