"""`bench patch`: single PATCH requests over HTTP at a steady pace, as programs send them.

Baseline: the same clients asking /healthz, which no database takes part in. Waits count from the moment at which a
request was due, so a server that falls behind can't hide it.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable
from random import Random
from typing import Final

from django.conf import settings
from django.db import connections

from atlasco.lib.clock import now
from atlasco.lib.errors import Unavailable
from entities.bench.ingest import tenant_remove
from entities.bench.promote import fill
from entities.bench.report import Report, percentile
from tenants.binding import tenant_bind
from tenants.services import tenant_create, tenant_host, token_create

PER_S: Final = 100
CLIENTS: Final = 8
Request = Callable[[http.client.HTTPConnection, Random], int]


class WebNotFound(Unavailable):
    """The stack's web process can't be found in the run directory: start it with `make up`."""

    code = "web_not_found"


def patch_bench(*, entities: int, seed: int, seconds: float) -> Report:
    """Measure how long clients wait at 100 requests a second. Raises WebNotFound."""
    port = web_port()
    slug = f"bench-h{seed % 100_000}-{time.time_ns() % 100_000}"
    tenant = tenant_create(slug=slug, name="Benchmark, PATCH", now=now())
    try:
        _, secret = token_create(tenant=tenant, name="bench", now=now())
        fill(tenant, entities=entities, seed=seed)
        with tenant_bind(tenant), connections["default"].cursor() as cursor:
            cursor.execute("SELECT entity_id FROM entities WHERE tenant_id = %s", (tenant.pk,))
            ids = [row[0] for row in cursor.fetchall()]
        headers = {
            "Host": tenant_host(slug=slug),
            "Authorization": f"Bearer {secret}",
            "Content-Type": "application/json",
        }

        def healthz(connection: http.client.HTTPConnection, random: Random) -> int:
            connection.request("GET", "/healthz")
            return _status(connection)

        def patch(connection: http.client.HTTPConnection, random: Random) -> int:
            body = json.dumps({"attributes": {"status": random.choice(["active", "error"]), "cost": random.random()}})
            connection.request("PATCH", f"/api/v1/entities/{random.choice(ids)}/", body=body, headers=headers)
            return _status(connection)

        _paced(port, patch, seconds=3, seed=seed)  # Connections, caches.
        report = Report("patch", {"entities": entities, "requests/s": PER_S, "seconds": seconds, "seed": seed})
        floor, _ = _paced(port, healthz, seconds=seconds, seed=seed)
        waits, statuses = _paced(port, patch, seconds=seconds, seed=seed)
        report.facts["requests"] = len(waits)
        report.facts["statuses"] = {status: statuses.count(status) for status in sorted(set(statuses))}
        for share in (0.5, 0.99):
            baseline = report.add(f"GET /healthz, p{share * 100:.0f}", percentile(floor, share) * 1000, "ms")
            report.add(f"PATCH, p{share * 100:.0f}", percentile(waits, share) * 1000, "ms", baseline=baseline)
        return report
    finally:
        tenant_remove(tenant)


def _paced(port: int, request: Request, *, seconds: float, seed: int) -> tuple[list[float], list[int]]:
    """Waits in seconds and statuses of requests that are due at a steady pace, taken by a few clients in turn."""
    waits: list[float] = []
    statuses: list[int] = []
    began = time.monotonic() + 0.1

    def client(number: int) -> None:
        random = Random(seed * CLIENTS + number)  # noqa: S311  # Reproducible, not secret.
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        for turn in range(number, int(seconds * PER_S), CLIENTS):
            due = began + turn / PER_S
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                statuses.append(request(connection, random))
            except (OSError, http.client.HTTPException):
                statuses.append(0)
                connection.close()
            waits.append(time.monotonic() - due)
        connection.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return waits, statuses


def _status(connection: http.client.HTTPConnection) -> int:
    response = connection.getresponse()
    response.read()
    return response.status


def web_port() -> int:
    """The port of the stack's web process. Raises WebNotFound."""
    try:
        return int(json.loads((settings.RUN_DIR / "ports.json").read_bytes())["web"])
    except (OSError, KeyError, ValueError) as error:
        raise WebNotFound from error
