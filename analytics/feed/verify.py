"""Whether the stores that the feed fills hold what the primary holds, tenant by tenant; and making it so.

The primary is read in one snapshot, whose exact position every store must have passed. What a store
has changed since is left out: a row that is newer than the snapshot can't be judged by it. So it runs beside writers.
Archived months are left out, too: ClickHouse keeps what the primary has given to files.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from analytics.clickhouse.applier import tenant_erase
from analytics.clickhouse.changes import position_read
from analytics.clickhouse.load import not_archived, snapshot_load
from analytics.feed.slots import Snapshot
from atlasco.lib.errors import Unavailable
from atlasco.lib.sql import sql_blocks
from entities.cache import STATE_KEY, entity_key

log = logging.getLogger(__name__)

_SQL: Final = sql_blocks(Path(__file__).parent.parent / "sql" / "verify.sql")
_POLL_S: Final = 0.1
_SLICE: Final = 1000
_EXAMPLES: Final = 5
# Of a tenant that differs, so many rows of each side are compared at a time: some 50 MB here.
RANGE_ROWS: Final = 100_000
_ID_MAX: Final = 2**63 - 1
_ENTITY_TEXT: Final = "concat_ws('|', entity_id, entity_type, value, instant_us, updated_us, version, document)"
_VALUE_TEXT: Final = "concat_ws('|', entity_id, attribute_name, toString(value_type), value, updated_us)"
# The sum of a UInt32 of each row, in the order of MD5's hexadecimal text.
_DIGEST: Final = "sum(toUInt64(reinterpretAsUInt32(reverse(substring(MD5({text}), 1, 4)))))"
# Which rows of `attribute_values`, a row's text, its key as text.
_PARTS: Final = {
    "entities": ("attribute_name = ''", _ENTITY_TEXT, "toString(entity_id)"),
    "values": ("attribute_name != ''", _VALUE_TEXT, "concat(toString(entity_id), ' ', attribute_name)"),
}


class StoreBehind(Unavailable):
    """A store has not reached the snapshot's position in time. Is the feed running?"""

    code = "store_behind"


@dataclass(frozen=True, slots=True)
class Difference:
    """A store's part of a tenant that is not what the primary has. examples: some keys."""

    store: str
    tenant: str
    kind: str
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verified:
    """What was compared: rows of the primary, cached entries; what differed; how many had moved on and were left."""

    tenants: int
    rows: int
    cached: int
    moved: int
    differences: tuple[Difference, ...]


def stores_verify(
    *, snapshot: Snapshot, clickhouse: Any, cache: Any, tenant: str | None, repair: bool, wait_s: float
) -> Verified:
    """Compare every tenant, or one, with ClickHouse and the hot cache.

    repair: load a tenant that differs anew from the snapshot, erase tenants that the primary does not know, and drop
    cached entries that differ. The differences are those that were found before.
    Raises StoreBehind after wait_s.
    """
    _wait_for_positions(snapshot, clickhouse, cache, wait_s)
    run = _Run(snapshot, clickhouse, cache, repair)
    tenants = dict(snapshot.connection.execute(_SQL["tenants"]).fetchall())
    for tenant_id, slug in tenants.items():
        if tenant in {None, slug}:
            run.tenant(tenant_id, slug)
    if tenant is None:
        run.strangers(set(tenants))
    return Verified(len(tenants) if tenant is None else 1, run.rows, run.cached, run.moved, tuple(run.differences))


def _wait_for_positions(snapshot: Snapshot, clickhouse: Any, cache: Any, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        position = position_read(clickhouse)
        cached = cache.hget(STATE_KEY, "lsn")
        behind = [
            name
            for name, lsn in (
                ("clickhouse", position.lsn if position is not None and position.is_of(snapshot.cluster) else 0),
                ("redis-cache", int(cached or b"0", 16)),
            )
            if lsn < snapshot.lsn
        ]
        if not behind:
            return
        if time.monotonic() > deadline:
            raise StoreBehind(stores=behind)
        time.sleep(_POLL_S)


class _Run:
    def __init__(self, snapshot: Snapshot, clickhouse: Any, cache: Any, repair: bool) -> None:
        self.snapshot, self.clickhouse, self.cache, self.repair = snapshot, clickhouse, cache, repair
        self.not_archived = not_archived(snapshot)
        self.rows = self.cached = self.moved = 0
        self.differences: list[Difference] = []

    def tenant(self, tenant_id: int, slug: str) -> None:
        found = [self._clickhouse_part(tenant_id, slug, name) for name in _PARTS]
        if any(found) and self.repair:
            snapshot_load(self.clickhouse, self.snapshot, tenant_id=tenant_id)
        self._cached(tenant_id, slug)

    def strangers(self, known: set[int]) -> None:
        """Tenants that ClickHouse has and the primary does not."""
        rows = self.clickhouse.query(
            "SELECT DISTINCT tenant_id FROM attribute_values WHERE tenant_id != 0 AND lsn < {floor:UInt64}"
            " UNION DISTINCT SELECT DISTINCT tenant_id FROM attribute_history WHERE lsn < {floor:UInt64}",
            parameters={"floor": self.snapshot.floor_lsn},
        ).result_rows
        for (tenant_id,) in rows:
            if tenant_id not in known:
                self.differences.append(Difference("clickhouse", str(tenant_id), "unknown tenant", 1, ()))
                if self.repair:
                    tenant_erase(self.clickhouse, tenant_id=tenant_id)

    # --- ClickHouse ---------------------------------------------------------------------------------------------------
    def _clickhouse_part(self, tenant_id: int, slug: str, name: str) -> bool:
        """Whether there is a difference."""
        rows, text, _ = _PARTS[name]
        ours = self.clickhouse.query(
            f"SELECT count(), {_DIGEST.format(text=text)}"
            f" FROM attribute_values FINAL WHERE tenant_id = {{tenant:UInt32}} AND {rows} AND {self.not_archived}",
            parameters={"tenant": tenant_id},
        ).result_rows[0]
        theirs = self.snapshot.connection.execute(_SQL[f"{name}_digest"], {"tenant_id": tenant_id}).fetchone()
        count = theirs[0] if theirs else 0
        self.rows += count
        if theirs == tuple(ours):
            return False
        found: dict[str, list[str]] = {"missing": [], "different": [], "extra": []}
        counts = dict.fromkeys(found, 0)
        for first, last in self._ranges_that_differ(tenant_id, name, max(count, ours[0])):
            for kind, keys in self._keys_that_differ(tenant_id, name, first, last).items():
                counts[kind] += len(keys)
                found[kind] += keys[: _EXAMPLES - len(found[kind])]
        for kind, examples in found.items():
            if examples:
                self.differences.append(Difference("clickhouse", slug, f"{name} {kind}", counts[kind], tuple(examples)))
        return any(counts.values())

    def _ranges_that_differ(self, tenant_id: int, name: str, rows_count: int) -> Iterator[tuple[int, int]]:
        """First and last entity id of each range that differs. A range has about RANGE_ROWS rows in the primary."""
        rows, text, _ = _PARTS[name]
        primary, parameters = self.snapshot.connection, {"tenant_id": tenant_id}
        entities = (primary.execute(_SQL["entities_digest"], parameters).fetchone() or (0,))[0]
        per_range = max(1, RANGE_ROWS * entities // max(1, rows_count))
        # What lies below the first bound belongs to the first range, too.
        bounds = [
            0,
            *(row[0] for row in primary.execute(_SQL["range_bounds"], parameters | {"entities_per_range": per_range})),
        ]
        theirs = {
            bounds[max(0, place - 1)]: (count, digest)
            for place, count, digest in primary.execute(_SQL[f"{name}_ranges"], parameters | {"bounds": bounds})
        }
        ours = {
            bound: (count, digest)
            for bound, count, digest in self.clickhouse.query(
                f"SELECT roundDown(entity_id, {{bounds:Array(Int64)}}) AS bound, count(), {_DIGEST.format(text=text)}"
                f" FROM attribute_values FINAL WHERE tenant_id = {{tenant:UInt32}} AND {rows} AND {self.not_archived}"
                " GROUP BY bound",
                parameters={"tenant": tenant_id, "bounds": bounds},
            ).result_rows
        }
        for first, next_first in pairwise([*bounds, _ID_MAX]):
            if theirs.get(first) != ours.get(first):
                yield first or -_ID_MAX, next_first - 1

    def _keys_that_differ(self, tenant_id: int, name: str, first: int, last: int) -> dict[str, list[str]]:
        """Of the rows of a range of entities: what ClickHouse lacks, has otherwise, and has alone."""
        rows, text, key = _PARTS[name]
        # The newest row of each key, deletions too: a key that moved on must not look like one that is missing.
        ours = {
            row[0]: (row[1], bool(row[2]), row[3])
            for row in self.clickhouse.query(
                f"SELECT {key} AS key, argMax(lower(hex(MD5({text}))), lsn), argMax(is_deleted, lsn), max(lsn)"
                f" FROM attribute_values WHERE tenant_id = {{tenant:UInt32}} AND {rows} AND {self.not_archived}"
                " AND entity_id BETWEEN {first:Int64} AND {last:Int64} GROUP BY key",
                parameters={"tenant": tenant_id, "first": first, "last": last},
            ).result_rows
        }
        missing, different = [], []
        floor = self.snapshot.floor_lsn
        with self.snapshot.connection.cursor(name=f"verify_{name}") as cursor:
            cursor.execute(_SQL[f"{name}_rows"], {"tenant_id": tenant_id, "first": first, "last": last})
            for row_key, digest in cursor:
                found = ours.pop(row_key, None)
                if found is None:
                    missing.append(row_key)
                elif found[0] != digest or found[1]:
                    if found[2] >= floor:
                        self.moved += 1
                    else:
                        different.append(row_key)
        extra = [row_key for row_key, (_, is_deleted, lsn) in ours.items() if not is_deleted and lsn < floor]
        return {"missing": missing, "different": different, "extra": extra}

    # --- Cache --------------------------------------------------------------------------------------------------------
    def _cached(self, tenant_id: int, slug: str) -> None:
        epoch = self.cache.hget(STATE_KEY, "epoch")
        wrong: list[int] = []
        for entity_ids in _slices(self.cache, tenant_id):
            wrong += self._cached_slice(tenant_id, entity_ids, epoch)
        if wrong:
            examples = tuple(str(entity_id) for entity_id in wrong[:_EXAMPLES])
            self.differences.append(Difference("redis-cache", slug, "entries different", len(wrong), examples))
            if self.repair:
                self.cache.delete(*(entity_key(tenant_id, entity_id) for entity_id in wrong))

    def _cached_slice(self, tenant_id: int, entity_ids: list[int], epoch: bytes | None) -> list[int]:
        rows = self.snapshot.connection.execute(
            _SQL["cached_rows"], {"tenant_id": tenant_id, "entity_ids": entity_ids}
        ).fetchall()
        theirs = {entity_id: (version, attributes) for entity_id, version, attributes in rows}
        with self.cache.pipeline(transaction=False) as pipeline:
            for entity_id in entity_ids:
                pipeline.hmget(entity_key(tenant_id, entity_id), ["e", "v", "c", "a"])
            entries = pipeline.execute()
        wrong = []
        for entity_id, (of_epoch, version, commit, attributes) in zip(entity_ids, entries, strict=True):
            if of_epoch != epoch:
                continue  # Nobody reads it.
            self.cached += 1
            there = theirs.get(entity_id)
            here = None if version is None else (int(version, 16), attributes.decode())
            if here == there:
                continue
            if int(commit, 16) >= self.snapshot.lsn or (here and there and here[0] > there[0]):
                self.moved += 1
            else:
                wrong.append(entity_id)
        return wrong


def _slices(cache: Any, tenant_id: int) -> Iterator[list[int]]:
    entity_ids: list[int] = []
    for key in cache.scan_iter(match=f"atlasco:entity:{tenant_id}:*", count=_SLICE):
        entity_ids.append(int(key.rsplit(b":", 1)[1]))
        if len(entity_ids) >= _SLICE:
            yield entity_ids
            entity_ids = []
    if entity_ids:
        yield entity_ids
