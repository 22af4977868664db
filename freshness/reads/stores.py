"""Every store as it is known now, as candidates for the choice."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Final

from django.conf import settings

from freshness.choice import Candidate
from freshness.monitor import PRIMARY, monitor
from freshness.policy import SourceName
from freshness.sources import reader_of, sources_known

log = logging.getLogger(__name__)

DATABASES: Final = ("primary", "read-replica")


def candidates_now(*, operation: str | None = None) -> list[Candidate]:
    """Every database as it is known now, and each other source that has a reader for the operation."""
    others = [
        _candidate(source.name, source.name)
        for source in sources_known().values()
        if operation is not None and reader_of(operation, source.name) is not None
    ]
    return [*databases_now(), *others]


def stores_now() -> list[Candidate]:
    """Every store there is, as it is known now."""
    return [*databases_now(), *(_candidate(source.name, source.name) for source in sources_known().values())]


def databases_now() -> list[Candidate]:
    """The primary and the replicas as they are known now."""
    primary = _candidate("primary", "primary", reading_of=PRIMARY)
    replicas = [_candidate(alias, "read-replica") for alias in settings.REPLICA_ALIASES]
    return [replace(primary, lag_s=0.0 if primary.up else None), *replicas]


def _candidate(name: str, source: SourceName, *, reading_of: str | None = None) -> Candidate:
    watch = monitor()
    key = reading_of or name
    reading = watch.reading(key)
    breaker = watch.breaker(key)
    if reading is None or reading.error:
        return Candidate(name, source, lag_s=None, position=None, up=False)
    return Candidate(
        name=name,
        source=source,
        lag_s=watch.lag_s(reading.beat_at),
        position=reading.lsn,
        up=breaker.is_closed,
        timeline=reading.timeline,
        out_of=breaker.out_of,
    )


def alias_of(candidate: Candidate) -> str:
    """The database alias of a candidate that is a database, and the monitor's name for any."""
    return PRIMARY if candidate.source == "primary" else candidate.name


def primary_is_up() -> bool:
    """Whether the primary is believed to answer."""
    return _candidate("primary", "primary", reading_of=PRIMARY).up


def store_failed(candidate: Candidate) -> None:
    monitor().failed(alias_of(candidate))
    log.warning("A store failed a read; the next one answers.", extra={"store": candidate.name})
