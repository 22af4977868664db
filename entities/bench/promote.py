"""`bench promote`: a tenant gets partitions of its own while it and a neighbour of its leaf are read and written.

Baseline: the same clients, for as long as the promotion took, without one. The tenant's writers wait while a slice of
its rows moves; at any other time, and for everybody else, no wait may be longer than STALL_MAX_MS.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, TypeAlias

import orjson
from django.db import connections

from atlasco.lib.clock import now
from entities import selectors, services
from entities.bench.data import lines
from entities.bench.ingest import tenant_remove
from entities.bench.report import Report, percentile
from entities.ingest.batch import batch_write
from entities.partitions.promotion import promotion_run
from entities.search.query import query_parse
from entities.search.run import search_run
from tenants.binding import tenant_bind
from tenants.database.snapshot import read_snapshot, snapshot_repeat
from tenants.models import Tenant
from tenants.services import tenant_create

BATCH: Final = 5_000
STALL_MAX_MS: Final = 100
_IDS_TRIED: Final = 1_000
# Between two requests of one client.
_THINK_S: Final = 0.002
# Monotonic seconds, from and to.
Span: TypeAlias = tuple[float, float]


def neighbour_create(tenant: Tenant, *, slug: str) -> Tenant:
    """A new tenant in the same bucket: ids are left out until the next one falls there."""
    with connections["default"].cursor() as cursor:
        for _ in range(_IDS_TRIED):
            cursor.execute("SELECT nextval(pg_get_serial_sequence('public.tenants_tenant', 'id'))")
            following = int(cursor.fetchone()[0]) + 1
            cursor.execute("SELECT tenant_bucket(%s) = tenant_bucket(%s)", (following, tenant.pk))
            if cursor.fetchone()[0]:
                break
    return tenant_create(slug=slug, name="Benchmark, neighbour", now=now())


def fill(tenant: Tenant, *, entities: int, seed: int, progress: Callable[[int], None] = lambda _: None) -> None:
    """Write so many made-up entities."""
    with tenant_bind(tenant):
        started = now()
        for first in range(0, entities, BATCH):
            chunk = list(lines(count=min(BATCH, entities - first), seed=seed + first, now=started, first=first))
            batch_write(tenant_id=tenant.pk, lines=chunk, mode="merge", now=started)
            progress(len(chunk))


def _outside_s(began: float, ended: float, spans: Sequence[Span]) -> float:
    """Seconds between the two that lie in none of the spans, which do not overlap."""
    return ended - began - sum(max(0.0, min(ended, end) - max(began, start)) for start, end in spans)


class SliceClock:
    """Hears of a promotion's steps when slices moved. spans: from before the tenant's writers paused to after it."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self._began = 0.0

    def step(self, name: str) -> None:
        if name == "slice pause":
            self._began = time.monotonic()
        elif name == "slice resumed":
            self.spans.append((self._began, time.monotonic()))


@dataclass
class Client:
    """What one client met. took: (began, seconds) of each request; written: the last acknowledged mark by entity."""

    name: str
    took: list[tuple[float, float]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def worst_ms(self, outside: Sequence[Span] = ()) -> float:
        """The longest wait of a request; outside: what of it fell into these does not count."""
        return max((_outside_s(began, began + seconds, outside) for began, seconds in self.took), default=0.0) * 1000


class Load:
    """Writers and readers of two tenants, each on a connection of its own, until the block ends.

    A writer marks entities with growing numbers and creates new ones; readers check that every entity is there and no
    mark older than one that was acknowledged before they began; a searcher counts what it must find.
    """

    def __init__(self, tenants: dict[str, Tenant], *, seed: int) -> None:
        self.tenants, self.seed = tenants, seed
        self.clients: list[Client] = []
        self.marks: dict[tuple[int, int], int] = {}
        self.created: dict[int, int] = {tenant.pk: 0 for tenant in tenants.values()}
        self._stop = threading.Event()
        self._ids = {name: _ids(tenant) for name, tenant in tenants.items()}

    @contextmanager
    def running(self) -> Iterator[None]:
        self._stop.clear()
        self.clients = []
        threads = []
        for name, tenant in self.tenants.items():
            for kind, act in (("writes", self._write), ("reads", self._read), ("searches", self._search)):
                client = Client(f"{name} {kind}")
                self.clients.append(client)
                random = Random(f"{self.seed} {client.name}")  # noqa: S311  # Reproducible, not secret.
                threads.append(threading.Thread(target=self._run, args=(client, tenant, name, act, random)))
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _run(self, client: Client, tenant: Tenant, name: str, act: Callable[..., None], random: Random) -> None:
        number = 0
        with tenant_bind(tenant):
            while not self._stop.is_set():
                number += 1
                began = time.monotonic()
                try:
                    act(client, tenant, self._ids[name], random, number)
                except Exception as error:  # noqa: BLE001  # Counted; the promise is that there is none.
                    client.errors.append(f"{client.name}: {type(error).__name__}: {error}")
                client.took.append((began, time.monotonic() - began))
                time.sleep(_THINK_S)
        connections.close_all()

    def _write(self, client: Client, tenant: Tenant, ids: list[int], random: Random, number: int) -> None:
        if number % 5 == 0:
            body = services.entity_input_parse({"entity_type": "made", "attributes": {"mark": 0}}, is_new=True)
            services.entity_create(tenant_id=tenant.pk, entity=body, upsert=False, now=now())
            self.created[tenant.pk] += 1
            return
        entity_id = random.choice(ids)
        body = services.entity_input_parse({"attributes": {"mark": number}}, is_new=False)
        services.entity_patch(tenant_id=tenant.pk, entity_id=entity_id, entity=body, expected_versions=None, now=now())
        self.marks[tenant.pk, entity_id] = number

    def _read(self, client: Client, tenant: Tenant, ids: list[int], random: Random, number: int) -> None:
        entity_id = random.choice(ids)
        at_least = self.marks.get((tenant.pk, entity_id), 0)

        def read() -> int:
            with read_snapshot("default"):
                row = selectors.entity_get(tenant_id=tenant.pk, entity_id=entity_id, using="default")
                if not at_least:
                    return 0
                value = selectors.value_get(tenant_id=tenant.pk, entity_id=entity_id, name="mark", using="default")
                # Django hands jsonb over as text, and the value is a fragment of it.
                mark = int(orjson.loads(orjson.dumps(value.value)))
                if orjson.loads(row.attributes)["mark"] != mark:
                    client.lost.append(f"{client.name}: document and value of {entity_id} differ")
                return mark

        if snapshot_repeat(read) < at_least:
            client.lost.append(f"{client.name}: {entity_id} went back behind {at_least}")

    def _search(self, client: Client, tenant: Tenant, ids: list[int], random: Random, number: int) -> None:
        at_least = self.created[tenant.pk]
        query = query_parse({"entity_type": "made", "where": [], "limit": 1, "count": "exact"})

        def read() -> Any:
            return search_run(tenant_id=tenant.pk, query=query, using="default", position="0/0")

        page = snapshot_repeat(read)
        if page.total_count is None or page.total_count < at_least:
            client.lost.append(f"{client.name}: {page.total_count} found, {at_least} were there")

    def check(self) -> list[str]:
        """Every acknowledged write that is not there now."""
        lost = [text for client in self.clients for text in client.lost]
        for tenant in self.tenants.values():
            with tenant_bind(tenant), connections["default"].cursor() as cursor:
                cursor.execute(
                    "SELECT entity_id, (attributes ->> 'mark')::bigint FROM entities"
                    " WHERE tenant_id = %s AND attributes ? 'mark' AND entity_type <> 'made'",
                    (tenant.pk,),
                )
                found = dict(cursor.fetchall())
                lost += [
                    f"{tenant.slug}: {entity_id} has {found.get(entity_id)}, not {mark}"
                    for (tenant_id, entity_id), mark in self.marks.items()
                    if tenant_id == tenant.pk and found.get(entity_id) != mark
                ]
                cursor.execute(
                    "SELECT count(*) FROM entities WHERE tenant_id = %s AND entity_type = 'made'", (tenant.pk,)
                )
                made = int(cursor.fetchone()[0])
                if made != self.created[tenant.pk]:
                    lost.append(f"{tenant.slug}: {made} made, not {self.created[tenant.pk]}")
        return lost


def _ids(tenant: Tenant) -> list[int]:
    with tenant_bind(tenant), connections["default"].cursor() as cursor:
        cursor.execute("SELECT entity_id FROM entities WHERE tenant_id = %s", (tenant.pk,))
        return [row[0] for row in cursor.fetchall()]


def _worst_ms(clients: list[Client], name: str, outside: Sequence[Span] = ()) -> float:
    """Of all clients of that tenant."""
    return max(client.worst_ms(outside) for client in clients if client.name.startswith(name))


def promote_bench(*, entities: int, seed: int, progress: Callable[[int], None]) -> Report:
    """Measure errors, lost writes and the longest wait of each client, with and without a promotion."""
    report = Report("promote", {"entities": entities, "neighbour's entities": entities // 4, "seed": seed})
    suffix = secrets.token_hex(4)
    large = tenant_create(slug=f"bench-p{suffix}", name="Benchmark, promoted", now=now())
    neighbour = neighbour_create(large, slug=f"bench-q{suffix}")
    try:
        fill(large, entities=entities, seed=seed, progress=progress)
        fill(neighbour, entities=entities // 4, seed=seed + 1, progress=progress)
        load = Load({"moved tenant": large, "neighbour": neighbour}, seed=seed)
        slices = SliceClock()
        began = time.monotonic()
        with load.running():
            promotion = promotion_run(tenant=large, clock=now, on_step=slices.step)
        took_s = time.monotonic() - began
        errors = [text for client in load.clients for text in client.errors]
        moving, lost = load.clients, load.check()
        with load.running():
            time.sleep(min(took_s, 60))
        report.facts |= {
            "rows moved": promotion.rows_moved,
            "slices": promotion.slices,
            "requests meanwhile": sum(len(client.took) for client in moving),
            "errors": errors[:3],
            "lost": lost[:3],
        }
        report.add("promotion", took_s, "s")
        report.add("errors", len(errors), "")
        report.add("lost writes or reads", len(lost), "")
        report.add("the moved tenant's writers paused at the most", promotion.longest_pause_s * 1000, "ms")
        for name, outside in (("neighbour", ()), ("moved tenant", slices.spans)):
            where = "while no slice moved" if outside else "at any time"
            baseline = report.add(f"{name}, worst stall without promotion", _worst_ms(load.clients, name), "ms")
            report.add(
                f"{name}, worst stall {where} (target {STALL_MAX_MS})",
                _worst_ms(moving, name, outside),
                "ms",
                baseline=baseline,
            )
        for quiet, client in zip(load.clients, moving, strict=True):
            baseline = report.add(f"{client.name}, longest wait without promotion", quiet.worst_ms(), "ms")
            report.add(f"{client.name}, longest wait", client.worst_ms(), "ms", baseline=baseline)
            report.add(f"{client.name}, p99", percentile([took for _, took in client.took], 0.99) * 1000, "ms")
    finally:
        for tenant in (large, neighbour):
            tenant_remove(tenant)
    return report
