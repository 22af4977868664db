"""A tenant gets partitions of its own while it and its neighbour are read and written; killed anywhere, it goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from threading import Thread
from typing import Any

import psycopg
import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import connections

from atlasco.lib import clock
from entities import services
from entities.bench.promote import Load, neighbour_create
from entities.models import PartitionPromotion
from entities.partitions import promotion, tree
from entities.partitions.promotion import (
    PromotionRunning,
    TenantDedicated,
    promotion_estimate,
    promotion_request,
    promotion_run,
)
from tenants.binding import public_bind, tenant_bind
from tenants.database.snapshot import SnapshotOutdated, read_snapshot
from tenants.models import Tenant
from tenants.services import tenant_delete
from tests.admin_client import platform_browser, tenant_browser
from tests.cluster import Cluster
from tests.entities import plane
from tests.entities.model import Update
from tests.entities.plane import entity
from tests.waiting import wait_until

Make = Callable[..., Tenant]
ENTITIES = 60
# The steps of a promotion of one slice, and the two moments at the end of a transaction that is not yet committed.
STEPS = ("begin", "arm", "open", "opened", "slice arm", "slice move", "slice moved", "slice done", "finish")
# Prints the steps that it takes, and kills itself before the one that it is told.
KILLED = """
import os, signal, sys
import django
django.setup()
from atlasco.lib import clock
from entities.partitions.promotion import promotion_run
from tenants.selectors import tenant_get
def step(name):
    print(name, flush=True)
    if name == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
promotion_run(tenant=tenant_get(slug=sys.argv[1]), clock=clock.now, on_step=step)
"""


@pytest.fixture
def initech(tenant_make: Make) -> Tenant:
    tenant = tenant_make("initech")
    plane.write(tenant, [entity(str(number), number=number, name=f"n{number}") for number in range(ENTITIES)])
    return tenant


def leaves_of(tenant: Tenant, owner: psycopg.Connection[Any]) -> set[str]:
    """In which leaves the tenant's rows lie."""
    found: set[str] = set()
    owner.execute("SELECT set_config('atlasco.tenant_id', %s, false)", [str(tenant.pk)])
    for table in ("entities", "entity_attributes"):
        statement = f"SELECT DISTINCT tableoid::regclass::text FROM {table} WHERE tenant_id = %s"
        found |= {row[0] for row in owner.execute(statement, [tenant.pk])}
    owner.execute("RESET atlasco.tenant_id")
    return found


def leftovers(tenant: Tenant, owner: psycopg.Connection[Any]) -> list[Any]:
    """Constraints and tables that only the way needed."""
    return owner.execute(
        "SELECT conrelid::regclass::text, conname FROM pg_constraint"
        " WHERE conname LIKE 'promote!_%%' ESCAPE '!' AND (conname = %s OR conrelid::regclass::text LIKE %s)"
        " UNION ALL SELECT relname, '' FROM pg_class WHERE relname LIKE %s",
        [f"promote_{tenant.pk}", f"%tenant_{tenant.pk}%", f"%_slice_{tenant.pk}"],
    ).fetchall()


def test_a_tenant_is_promoted_while_it_and_its_neighbour_are_read_and_written(
    tenant_make: Make, owner_db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promotion, "SLICE_ROWS_FIRST", 300)
    monkeypatch.setattr(promotion, "SLICE_ROWS_MIN", 300)
    monkeypatch.setattr(promotion, "PAUSE_S", 0.001)
    initech = tenant_make("initech")
    hooli = neighbour_create(initech, slug=f"hooli-{initech.pk}")
    try:
        for tenant in (initech, hooli):
            plane.write(tenant, [Update(("lamp", str(key)), {f"a{n}": n for n in range(9)}) for key in range(120)])
        before = plane.stored(hooli)
        load = Load({"initech": initech, "hooli": hooli}, seed=1)
        with load.running():
            done = promotion_run(tenant=initech, clock=clock.now)
        assert {error for client in load.clients for error in client.errors} == set()
        assert load.check() == []
        assert all(client.took for client in load.clients)
        assert done.status == "done" and done.slices >= 4 and done.rows_moved >= 1200
        # Entities, keys, documents, value rows and the registry agree, and nothing is left behind.
        assert len(plane.stored(initech)) == 120 + load.created[initech.pk]
        assert plane.stored(hooli).keys() >= before.keys()
        assert all(f"_tenant_{initech.pk}_" in leaf for leaf in leaves_of(initech, owner_db))
        assert all(leaf.endswith("_shared") for leaf in leaves_of(hooli, owner_db))
        assert leftovers(initech, owner_db) == []
        with public_bind():
            assert Tenant.objects.get(pk=initech.pk).placement == Tenant.Placement.DEDICATED
            mine = [leaf for leaf in tree.tree_read() if leaf.tenant_id == initech.pk]
        assert {"old", "future"} < {leaf.month for leaf in mine}
    finally:
        tenant_delete(tenant=hooli, confirm=hooli.slug, now=clock.now())


def test_killed_before_any_step_it_goes_on_and_its_writers_never_noticed(
    initech: Tenant, owner_db: psycopg.Connection[Any]
) -> None:
    reached: list[str] = []
    for number, step in enumerate(STEPS):
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, initech.slug, step],
            cwd=django_settings.BASE_DIR,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "atlasco.settings"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL, (step, killed.stderr[-2000:])
        reached += killed.stdout.split("\n")
        # Old and new entities are written as ever, also where the shared leaf was just closed to them.
        plane.write(initech, [entity(str(number), killed=step), entity(f"new {number}", killed=step)])
        assert len(plane.stored(initech)) == ENTITIES + number + 1
    assert set(reached) >= set(STEPS)
    done = promotion_run(tenant=initech, clock=clock.now)
    assert (done.status, done.slices) == ("done", 1)
    stored = plane.stored(initech)
    assert len(stored) == ENTITIES + len(STEPS)
    assert [stored["lamp", str(number)].document["killed"] for number in range(len(STEPS))] == list(STEPS)
    assert all(f"_tenant_{initech.pk}_" in leaf for leaf in leaves_of(initech, owner_db))
    assert leftovers(initech, owner_db) == []


def test_a_snapshot_that_is_older_than_a_move_says_so(initech: Tenant) -> None:
    with tenant_bind(initech), pytest.raises(SnapshotOutdated), read_snapshot("default"):
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT count(*) FROM tenants_tenant")

        def promote() -> None:
            promotion_run(tenant=initech, clock=clock.now)
            connections.close_all()

        thread = Thread(target=promote)
        thread.start()
        thread.join()
    with tenant_bind(initech), read_snapshot("default"), connections["default"].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM entities WHERE tenant_id = %s", [initech.pk])
        assert cursor.fetchone()[0] == ENTITIES


def test_two_promotions_of_one_tenant_do_not_meet_and_a_second_one_is_refused(initech: Tenant) -> None:
    promotion_request(tenant=initech, by="somebody", now=clock.now())
    with pytest.raises(PromotionRunning):
        promotion_request(tenant=initech, by="somebody else", now=clock.now())
    assert promotion_estimate(tenant=initech).rows == ENTITIES * 3
    promotion_run(tenant=initech, clock=clock.now)
    for again in (
        lambda: promotion_run(tenant=initech, clock=clock.now),
        lambda: promotion_request(tenant=initech, by="", now=clock.now()),
        lambda: promotion_estimate(tenant=initech),
    ):
        with pytest.raises(TenantDedicated):
            again()


def test_one_that_has_no_rows_goes_on_in_another_month_than_it_was_begun_in(
    tenant_make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooli = tenant_make("hooli")
    month = timedelta(days=31)

    def interrupt(step: str) -> None:
        if step == "slice arm":
            raise InterruptedError

    with monkeypatch.context() as patched, pytest.raises(InterruptedError):
        patched.setattr(promotion, "_database_now", lambda cursor: clock.now() - month)
        promotion_run(tenant=hooli, clock=clock.now, on_step=interrupt)
    assert promotion_run(tenant=hooli, clock=clock.now).status == "done"
    plane.write(hooli, [entity("1", number=1)])
    assert set(plane.stored(hooli)) == {("lamp", "1")}


def test_a_promoted_tenant_is_deleted_whole_and_so_is_one_on_its_way(
    tenant_make: Make, owner_db: psycopg.Connection[Any]
) -> None:
    def stop_at(wanted: str) -> Callable[[str], None]:
        def step(name: str) -> None:
            if name == wanted:
                raise KeyboardInterrupt

        return step

    for wanted in ("slice arm", "slice done"):
        tenant = tenant_make("initech")
        plane.write(tenant, [entity("1", x=1)])
        with pytest.raises(KeyboardInterrupt):
            promotion_run(tenant=tenant, clock=clock.now, on_step=stop_at(wanted))
        tenant_delete(tenant=tenant, confirm=tenant.slug, now=clock.now())
        assert leftovers(tenant, owner_db) == [] and leaves_of(tenant, owner_db) == set()
        with public_bind():
            assert not PartitionPromotion.objects.filter(pk=tenant.pk).exists()
            assert tree.orphans() == []


def test_months_are_kept_ahead_and_rows_that_came_too_early_find_theirs(
    tenant_make: Make, owner_db: psycopg.Connection[Any]
) -> None:
    initech = tenant_make("initech", dedicated=True)
    plane.write(initech, [entity("1", x=1)])
    owner_db.execute("SELECT set_config('atlasco.tenant_id', %s, false)", [str(initech.pk)])
    early = owner_db.execute("SELECT entity_id_at(now() + interval '5 months')").fetchone()
    assert early is not None
    for table in ("entity_keys", "entities"):
        owner_db.execute(
            f"INSERT INTO {table} (tenant_id, entity_id, entity_type, external_id) VALUES (%s, %s, 'lamp', 'early')",
            [initech.pk, early[0]],
        )
    owner_db.execute("RESET atlasco.tenant_id")
    with public_bind(), connections["default"].cursor() as cursor:
        cursor.execute("SELECT partitions_ahead(%s, 6)", [initech.pk])
        assert len(cursor.fetchone()[0]) == 3
        cursor.execute("SELECT partitions_ahead(%s, 6)", [initech.pk])
        assert cursor.fetchone()[0] == []
        mine = {leaf.month for leaf in tree.tree_read() if leaf.tenant_id == initech.pk}
    assert len(mine) == 9 and set(plane.stored(initech)) == {("lamp", "1"), ("lamp", "early")}
    assert not any(leaf.endswith("_future") for leaf in leaves_of(initech, owner_db))


def test_the_platforms_page_shows_the_tree_and_starts_a_promotion(
    initech: Tenant, live_stack: Cluster, settings: Any
) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    platform = platform_browser()
    assert "Branch 15" in platform.text("partitions/")
    refused = platform.post("partitions/", {"slug": "nobody-is-called-so"})
    assert refused.status_code == 404 and "Branch 15" in refused.content.decode()
    assert platform.post("partitions/", {"slug": initech.slug}).status_code == 302
    # The worker does it.
    wait_until(
        lambda: f"<strong>{initech.slug}</strong>\n          <small>done" in platform.text("partitions/promotions/")
    )
    assert f"{initech.slug}, old" in platform.text("partitions/")
    assert len(plane.stored(initech)) == ENTITIES
    again = platform.post("partitions/", {"slug": initech.slug})
    assert again.status_code == 409 and "partitions of its own already" in again.content.decode()
    # Not for a tenant's own people.
    for path in ("partitions/", "partitions/promotions/"):
        assert tenant_browser(initech).get(path).status_code == 404


def test_the_command_shows_and_does_and_says_what_it_did(initech: Tenant, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("partitions", "promote", initech.slug, "--dry-run")
    assert f"{initech.slug}: {ENTITIES * 3:,} rows would leave" in capsys.readouterr().out
    call_command("partitions", "promote", initech.slug)
    assert f"{initech.slug} has partitions of its own" in capsys.readouterr().out
    call_command("partitions", "plan")
    call_command("partitions", "apply")
    assert "Nothing to do" in capsys.readouterr().out
    with tenant_bind(initech):
        services.attribute_changes_fold(tenant_id=initech.pk)
    assert plane.registry(initech)["number"]["number"] == ENTITIES
