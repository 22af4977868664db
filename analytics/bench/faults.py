"""`bench faults`: kill feed, ClickHouse, Valkey and the primary at random moments of mixed writes, then compare all.

Needs the embedded stack, whose supervisor kills and starts. What was acknowledged must be in the primary afterwards,
and both stores must hold exactly what the primary holds.
"""

from __future__ import annotations

import random
import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Final

from django.conf import settings
from django.db import DatabaseError, connections

from analytics.clickhouse.client import clickhouse_client
from analytics.feed.settings import cache_client, replication_dsn
from analytics.feed.slots import snapshot_export
from analytics.feed.verify import stores_verify
from atlasco.lib.clock import now
from atlasco.lib.errors import Problem
from atlasco.stack.control import control_ask
from entities.bench.report import Report
from entities.selectors import EntityNotFound, entity_get
from entities.services import EntityInput, entity_create, entity_delete
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tenants.services import tenant_create, tenant_delete

SERVICES: Final = ("feed", "clickhouse", "valkey", "primary")
_KEYS: Final = 200
_DOWN_MAX_S: Final = 3.0
_UP_MAX_S: Final = 6.0
_WRITERS: Final = 2
_WAIT_S: Final = 300.0


@dataclass(slots=True)
class Written:
    """What was acknowledged. versions: of each entity that must be there; gone: those that must not."""

    writes: int = 0
    refused: int = 0
    versions: dict[tuple[int, int], int] = field(default_factory=dict)
    gone: set[tuple[int, int]] = field(default_factory=set)


def faults_bench(*, minutes: float, seed: int) -> Report:
    """Kill and write for so long; report how much was written and what differed in the end, which should be nothing."""
    chance = random.Random(seed)  # noqa: S311  # No secret.
    kills = dict.fromkeys(SERVICES, 0)
    tenants = [
        tenant_create(slug=f"bench-k{secrets.token_hex(4)}", name="Benchmark, faults", now=now()) for _ in range(2)
    ]
    stopping = threading.Event()
    written = [Written() for _ in range(_WRITERS)]
    writers = [
        threading.Thread(target=writes_run, args=(tenants, index, chance.random(), written[index], stopping))
        for index in range(_WRITERS)
    ]
    for writer in writers:
        writer.start()
    try:
        deadline = time.monotonic() + minutes * 60
        while time.monotonic() < deadline:
            time.sleep(chance.uniform(0.5, _UP_MAX_S))
            name = chance.choice(SERVICES)
            control_ask(settings.RUN_DIR, "kill", name=name)
            kills[name] += 1
            time.sleep(chance.uniform(0.0, _DOWN_MAX_S))
            control_ask(settings.RUN_DIR, "start", name=name)
    finally:
        stopping.set()
        for writer in writers:
            writer.join()
    connections.close_all()
    report = Report("faults", {"minutes": minutes, "seed": seed, **{f"kills of {n}": k for n, k in kills.items()}})
    lost = sum(writes_lost(tenants, one) for one in written)
    with snapshot_export(replication_dsn()) as snapshot, cache_client() as cache:
        for tenant in tenants:
            verified = stores_verify(
                snapshot=snapshot, clickhouse=clickhouse_client(timeout_s=600), cache=cache, tenant=tenant.slug,
                repair=False, wait_s=_WAIT_S,
            )  # fmt: skip
            report.facts[f"compared, {tenant.slug}"] = f"{verified.rows} rows, {verified.cached} cached"
            for one in verified.differences:
                report.facts[f"DIFFERENT, {tenant.slug}, {one.store}"] = f"{one.count} {one.kind} {one.examples}"
            report.add(f"differences, {tenant.slug}", sum(one.count for one in verified.differences), "rows")
    report.add("acknowledged and lost", lost, "writes")
    done = report.add("acknowledged", sum(one.writes for one in written), "writes")
    report.add("refused while something was down", sum(one.refused for one in written), "writes", baseline=done)
    for tenant in tenants:
        tenant_delete(tenant=tenant, confirm=tenant.slug, now=now())
    return report


def writes_run(tenants: list[Tenant], index: int, seed: float, written: Written, stopping: threading.Event) -> None:
    """Create, change and delete entities that no other writer touches."""
    chance = random.Random(seed)  # noqa: S311  # No secret.
    while not stopping.is_set():
        tenant = chance.choice(tenants)
        external_id = f"{index}-{chance.randrange(_KEYS)}"
        attributes: dict[str, Any] = {"n": chance.random(), f"a{chance.randrange(12)}": chance.choice([None, "x", 1])}
        try:
            with tenant_bind(tenant):
                entity = EntityInput("bench", external_id, None, None, attributes)
                row, _ = entity_create(tenant_id=tenant.pk, entity=entity, upsert=True, now=now())
                key = (tenant.pk, row.entity_id)
                written.versions[key] = row.version
                if chance.random() < 0.1:
                    # Whether it is gone is not known before it was acknowledged.
                    del written.versions[key]
                    entity_delete(tenant_id=tenant.pk, entity_id=row.entity_id, expected_versions=None)
                    written.gone.add(key)
            written.writes += 1
        except (DatabaseError, Problem):
            written.refused += 1
            connections.close_all()
            stopping.wait(0.05)
    connections.close_all()


def writes_lost(tenants: list[Tenant], written: Written) -> int:
    """How many acknowledged writes the primary does not have."""
    lost = 0
    for tenant in tenants:
        with tenant_bind(tenant):
            for (tenant_id, entity_id), version in written.versions.items():
                if tenant_id != tenant.pk:
                    continue
                try:
                    row = entity_get(tenant_id=tenant_id, entity_id=entity_id, using="default")
                except EntityNotFound:
                    lost += 1
                else:
                    lost += row.version < version
            for tenant_id, entity_id in written.gone:
                if tenant_id != tenant.pk:
                    continue
                try:
                    entity_get(tenant_id=tenant_id, entity_id=entity_id, using="default")
                except EntityNotFound:
                    continue
                lost += 1
    return lost
