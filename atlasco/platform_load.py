"""How the platform does, for the home page of its admins: what is written, what waits, and what is wrong lately.

Everything here is read when the page has been painted, and each part by itself: what can't be asked says so.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import redis
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.urls import reverse

from atlasco.lib.sql import sql_blocks
from tenants.binding import public_bind
from tenants.models import Tenant, TenantJob
from tenants.schemas import SQL as TENANTS_SQL

log = logging.getLogger(__name__)

SQL: Final = sql_blocks(settings.BASE_DIR / "atlasco" / "sql" / "platform.sql")
LATELY: Final = timedelta(hours=24)
TROUBLED_LATELY: Final = timedelta(hours=1)
PROBLEMS_MAX: Final = 8
# More waiting tasks than this are a problem; a queue is there to hold some.
QUEUE_LONG: Final = 1_000
FEED_BEHIND_BYTES: Final = 256 << 20
_SAMPLE_LEAST_S: Final = 4.0


@dataclass(frozen=True, slots=True)
class Queues:
    """What waits. tasks: for a worker, None where the queue does not answer; feed_bytes: log the feed has not applied,
    None where there is no feed; writes_per_s: values written, over the last interval; None at the first look."""

    tasks: int | None
    feed_bytes: int | None
    feed_is_active: bool
    writes_per_s: float | None


@dataclass(frozen=True, slots=True)
class PlatformProblem:
    """Something that is wrong, in words, and where it is solved."""

    words: str
    url: str
    at: datetime | None = None


class _Sampler:
    """Rows written since the last look; the database counts, we remember."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._earlier: tuple[float, int] | None = None
        self._rate: float | None = None

    def rate(self, written: int) -> float | None:
        now = time.monotonic()
        with self._lock:
            if self._earlier is None:
                self._earlier = (now, written)
            elif now - self._earlier[0] >= _SAMPLE_LEAST_S:
                at, before = self._earlier
                self._rate = max(0, written - before) / (now - at)
                self._earlier = (now, written)
            return self._rate


_sampler = _Sampler()


def platform_queues() -> Queues:
    """What waits now. Raises DatabaseError where the primary does not answer."""
    with public_bind(), connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(SQL["platform_load"])
        written, feed_bytes, is_active = cursor.fetchone()
    return Queues(_tasks_waiting(), feed_bytes, bool(is_active), _sampler.rate(int(written)))


def _tasks_waiting() -> int | None:
    try:
        with redis.Redis.from_url(settings.CELERY_BROKER_URL, socket_connect_timeout=0.5, socket_timeout=0.5) as client:
            waiting: Any = client.llen("celery")
        return int(waiting)
    except redis.RedisError:
        return None


def platform_problems(*, now: datetime) -> list[PlatformProblem]:
    """What is wrong, the newest first of each kind, at most PROBLEMS_MAX. Empty is good."""
    found: list[PlatformProblem] = []
    try:
        queues = platform_queues()
        found += _of_queues(queues)
        found += _of_jobs(now=now)
        found += _of_tenants(now=now)
    except DatabaseError:
        log.warning("The platform's problems could not be read.", exc_info=True)
        found.append(PlatformProblem("The primary database could not be asked.", "#services"))
    return found[:PROBLEMS_MAX]


def _of_queues(queues: Queues) -> list[PlatformProblem]:
    found = []
    if queues.tasks is not None and queues.tasks > QUEUE_LONG:
        found.append(PlatformProblem(f"{queues.tasks:,} tasks wait for a worker.", "#services"))
    if queues.feed_bytes is not None and not queues.feed_is_active:
        found.append(PlatformProblem("The change feed does not run; the log is kept for it.", "#services"))
    elif queues.feed_bytes is not None and queues.feed_bytes > FEED_BEHIND_BYTES:
        behind = queues.feed_bytes >> 20
        found.append(PlatformProblem(f"The change feed is {behind:,} MiB of log behind.", "#services"))
    return found


def _of_jobs(*, now: datetime) -> list[PlatformProblem]:
    with public_bind():
        jobs = TenantJob.objects.using(DEFAULT_DB_ALIAS).filter(
            status=TenantJob.Status.FAILED, finished_at__gte=now - LATELY
        )[:PROBLEMS_MAX]
        return [
            PlatformProblem(
                f"{'An export' if job.kind == TenantJob.Kind.EXPORT else 'The deletion'} of {job.slug} failed.",
                reverse("admin:job", kwargs={"job_id": job.pk}),
                job.finished_at,
            )
            for job in jobs
        ]


def _of_tenants(*, now: datetime) -> list[PlatformProblem]:
    found = []
    with public_bind():
        stuck = Tenant.objects.using(DEFAULT_DB_ALIAS).filter(
            status=Tenant.Status.DELETING, status_changed_at__lt=now - timedelta(hours=1)
        )
        found += [
            PlatformProblem(
                f"{tenant.slug} is being deleted for more than an hour.",
                reverse("admin:tenant_detail", kwargs={"slug": tenant.slug}),
                tenant.status_changed_at,
            )
            for tenant in stuck[:PROBLEMS_MAX]
        ]
        with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
            cursor.execute(TENANTS_SQL["traffic_troubled"], {"since": now - TROUBLED_LATELY, "limit": PROBLEMS_MAX})
            for slug, throttled, failed, at in cursor.fetchall():
                words = (
                    f"{failed:,} calls of {slug} failed on our side"
                    if failed
                    else f"{throttled:,} calls of {slug} were held back"
                )
                url = reverse("admin:tenant_usage", kwargs={"slug": slug})
                found.append(PlatformProblem(f"{words} in the last hour.", url, at))
    return found
