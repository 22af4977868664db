"""Stores beside the databases, and who can answer which operation from them. Their owners register; nobody is imported.

In the `ready` of the app that owns the store, once a source:

    source_register(Source("clickhouse", probe=position_probe, failures=(ClickHouseError,), interval_s=1.0))
    reader_register("aggregate", "clickhouse", aggregate_read)
    reader_register("entity", "redis-cache", entity_cached, fill=entity_cache)

- `probe()` returns how far the store is, as `Applied`: its newest heartbeat and its position. It raises one of
  `failures` where the store does not answer. The monitor calls it every `interval_s` in a thread of its own; the store
  is a candidate as long as that reading is known, and for operations only for which it has a reader.
- A reader gets the request object that the caller of `read_through` names (`EntityRead`, `SearchRead`, … of the
  operation's owner) and returns `Found`: the data, with the position and the heartbeat that were read *atomically with
  it, or before it*; never after. None says "a miss", or "I can't answer this one": the next candidate does. What it
  raises of `failures` opens the store's breaker, and the next candidate answers.
- `fill(request, value, lsn)` is called after a miss that a replica answered, with what the replica gave and the
  position that this reflects at least.
An answer that turns out older than the request accepts, or behind its token, is not given while another store can do
better: readers need not look at budgets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from atlasco.lib.errors import Problem
from freshness.policy import SourceName


@dataclass(frozen=True, slots=True)
class Applied:
    """How far a store is. beat_at: ts of its newest heartbeat, seconds since 1970 on the primary's clock.

    lsn: everything up to here is in it. seq: of that heartbeat, which tells the timeline; without it the store meets no
    token once a replica has been promoted. None where it has had no heartbeat, or no position, yet.
    """

    beat_at: float | None
    lsn: int | None
    seq: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What a reader found, and what the store had applied when it was read.

    problem: an answer that is a refusal ("there is no such entity"), raised once its age is noted; value is ignored.
    """

    value: Any
    applied: Applied
    problem: Problem | None = None


Probe = Callable[[], Applied]
# Any: the request and the answer are the operation's; its owner registers reader and caller alike.
SourceReader = Callable[[Any], Found | None]
SourceFill = Callable[[Any, Any, int], None]


@dataclass(frozen=True, slots=True)
class Source:
    """A store that is not a database alias. failures: what its client raises where the store is at fault.

    address: where it is; processes of one machine that mean another store by the name share nothing.
    """

    name: SourceName
    probe: Probe
    failures: tuple[type[Exception], ...]
    interval_s: float = 0.5
    address: str = ""


@dataclass(frozen=True, slots=True)
class Reader:
    """Who answers an operation from a source. fill: keeps what another store answered after a miss."""

    source: Source
    read: SourceReader
    fill: SourceFill | None = None


_sources: dict[str, Source] = {}
_readers: dict[tuple[str, str], Reader] = {}


def source_register(source: Source) -> None:
    """Make a source known. Registering it again replaces it."""
    _sources[source.name] = source


def reader_register(operation: str, source: SourceName, read: SourceReader, *, fill: SourceFill | None = None) -> None:
    """Let a source, which is registered already, answer an operation. Registering it again replaces the reader."""
    _readers[operation, source] = Reader(_sources[source], read, fill)


def sources_known() -> dict[str, Source]:
    """Every registered source by its name."""
    return dict(_sources)


def reader_of(operation: str, source: SourceName) -> Reader | None:
    """Who answers an operation from a source; None where nobody does."""
    return _readers.get((operation, source))


def forget(source: SourceName) -> None:
    """Take a source and its readers out again. For tests, and for an owner that is switched off."""
    _sources.pop(source, None)
    for key in [key for key in _readers if key[1] == source]:
        del _readers[key]
