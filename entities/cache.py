"""The hot cache as readers of entities use it: look up, and fill after a miss. The change feed keeps it up to date.

A key `atlasco:entity:{tenant}:{id}` is a hash: e epoch, v version, c position, m own fields, a attributes as JSON text;
without `v` it is the tombstone of a deleted entity. `atlasco:cache:state` says what the whole cache has applied.

# Note [Why a hit is never stale]
A hit reflects all that the cache's own heartbeat covers, and it is read with that heartbeat in one step. For this:
- the feed writes every change with the cache's position in one script, and compares versions, so an older never wins;
- a reader may fill only what it read from a store whose position lies behind the last change of the key's bucket
  (`b…` in the state: 4,096 clocks that every change moves). So a row that was read before a change can't be stored
  after it, even where the changed entry or the tombstone has been evicted meanwhile. A tombstone is never filled over;
- the state carries an epoch. When Valkey lost anything (a restart without its last second, an eviction of the state),
  the feed sees that its position is not what it left, and either sends again what was lost or begins a new epoch;
  entries of other epochs are misses.
Whatever is evicted or expired is a miss; a cache that does not answer is passed over.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final

import orjson
import redis
from django.conf import settings
from django_redis import get_redis_connection

from atlasco.lib.clock import from_us, to_us
from entities.reads import EntityRead
from entities.search.run import EntityRow
from entities.selectors import EntityNotFound
from freshness.sources import Applied, Found, Source, reader_register, source_register

SOURCE: Final = "redis-cache"
PROBE_INTERVAL_S: Final = 0.5
STATE_KEY: Final = "atlasco:cache:state"
BUCKETS: Final = 4096

# Returns {found, heartbeat's ts, heartbeat's lsn, cache's lsn, v, m, a}; found: 0 miss, 1 hit, 2 known to be deleted.
_READ: Final = """
local state = redis.call('HMGET', KEYS[1], 'epoch', 'ts', 'hb', 'lsn', 'seq', 'erased:' .. ARGV[1])
if not state[1] or state[6] then return {0} end
local entry = redis.call('HMGET', KEYS[2], 'e', 'v', 'm', 'a')
if entry[1] ~= state[1] then return {0} end
if not entry[2] then return {2, state[2], state[3], state[4], state[5]} end
redis.call('EXPIRE', KEYS[2], ARGV[2])
return {1, state[2], state[3], state[4], state[5], entry[2], entry[3], entry[4]}
"""
# Returns 1 where the entry was stored. Numbers are hexadecimal texts of one length, so that they compare as texts.
_FILL: Final = """
local bucket, tenant, version, read_lsn, ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local state = redis.call('HMGET', KEYS[1], 'epoch', 'base', 'full', bucket, 'erased:' .. tenant)
if not state[1] or state[3] == '1' or state[5] then return 0 end
if read_lsn <= (state[4] or state[2]) then return 0 end
local entry = redis.call('HMGET', KEYS[2], 'e', 'v')
if entry[1] == state[1] and (not entry[2] or entry[2] >= version) then return 0 end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], 'e', state[1], 'v', version, 'c', read_lsn, 'm', ARGV[6], 'a', ARGV[7])
redis.call('EXPIRE', KEYS[2], ttl)
return 1
"""


@dataclass(frozen=True, slots=True)
class CacheAnswer:
    """What the cache says of an entity.

    row: None where the entity is known to be deleted. lsn: the position that the answer reflects at least;
    heartbeat_at: everything committed before that instant is in it; heartbeat_seq: its number; None where the cache has
    had no heartbeat yet.
    """

    row: EntityRow | None
    lsn: int
    heartbeat_at: datetime | None
    heartbeat_seq: int | None = None


def hex_number(number: int) -> str:
    """A position or version as a text that compares like the number. Versions of tests may be negative: they are 0."""
    return f"{max(number, 0):016x}"


def entity_key(tenant_id: int, entity_id: int) -> str:
    return f"atlasco:entity:{tenant_id}:{entity_id}"


def bucket_of(tenant_id: int, entity_id: int) -> str:
    """The clock that a change of this entity moves."""
    return f"b{zlib.crc32(b'%d:%d' % (tenant_id, entity_id)) % BUCKETS:x}"


def row_pack(*, entity_type: str, external_id: str, created_us: int, updated_us: int) -> bytes:
    """An entity's own fields as the cache keeps them; instants in microseconds since 1970."""
    return orjson.dumps([entity_type, external_id, created_us, updated_us])


def cache_register() -> None:
    """Let `freshness` know the cache as a source of entities."""
    failures = (redis.RedisError, OSError)
    source_register(Source(SOURCE, probe, failures, interval_s=PROBE_INTERVAL_S, address=settings.REDIS_URL))
    reader_register("entity", SOURCE, entity_found, fill=entity_keep)


def probe() -> Applied:
    """How far the cache is. Raises redis.RedisError."""
    state = get_redis_connection("default").hmget(STATE_KEY, ["epoch", "ts", "hb", "lsn", "seq"])
    epoch, ts_us, heartbeat_lsn, lsn, seq = state
    if epoch is None or ts_us is None:
        return Applied(None, None)
    return Applied(int(ts_us) / 1e6, max(int(lsn, 16), int(heartbeat_lsn, 16)), int(seq))


def entity_found(request: EntityRead) -> Found | None:
    """What the cache answers; None on a miss. Raises redis.RedisError."""
    answer = entity_read(tenant_id=request.tenant_id, entity_id=request.entity_id)
    if answer is None:
        return None
    beat_at = None if answer.heartbeat_at is None else answer.heartbeat_at.timestamp()
    gone = EntityNotFound() if answer.row is None else None
    return Found(answer.row, Applied(beat_at, answer.lsn, answer.heartbeat_seq), problem=gone)


def entity_keep(request: EntityRead, row: EntityRow, lsn: int) -> None:
    """Keep what a replica answered after a miss. Raises redis.RedisError."""
    entity_fill(tenant_id=request.tenant_id, row=row, read_lsn=lsn)


def entity_read(*, tenant_id: int, entity_id: int) -> CacheAnswer | None:
    """Return what the cache knows of an entity; None on a miss. Raises redis.RedisError."""
    answer = _scripts()[0](keys=[STATE_KEY, entity_key(tenant_id, entity_id)], args=[tenant_id, settings.CACHE_TTL_S])
    found, *rest = answer
    if found == 0:
        return None
    ts_us, heartbeat_lsn, lsn, seq, *entry = rest
    row = None if found == 2 else _row(entity_id, *entry)
    heartbeat_at = None if ts_us is None else from_us(int(ts_us))
    position = max(int(lsn, 16), int(heartbeat_lsn or b"0", 16))
    return CacheAnswer(row, position, heartbeat_at, None if seq is None else int(seq))


def entity_fill(*, tenant_id: int, row: EntityRow, read_lsn: int) -> bool:
    """Store an entity that was read after a miss; return whether the cache took it. Raises redis.RedisError.

    read_lsn: the position of the store that it was read from, taken before the read.
    """
    packed = row_pack(
        entity_type=row.entity_type,
        external_id=row.external_id,
        created_us=to_us(row.created_at),
        updated_us=to_us(row.updated_at),
    )
    arguments: list[Any] = [
        bucket_of(tenant_id, row.entity_id),
        tenant_id,
        hex_number(row.version),
        hex_number(read_lsn),
        settings.CACHE_TTL_S,
        packed,
        row.attributes,
    ]
    return bool(_scripts()[1](keys=[STATE_KEY, entity_key(tenant_id, row.entity_id)], args=arguments))


@cache
def _scripts() -> tuple[Any, Any]:
    client = get_redis_connection("default")
    return client.register_script(_READ), client.register_script(_FILL)


def _row(entity_id: int, version: bytes, own: bytes, attributes: bytes) -> EntityRow:
    entity_type, external_id, created_us, updated_us = orjson.loads(own)
    return EntityRow(
        entity_id=entity_id,
        entity_type=entity_type,
        external_id=external_id,
        created_at=from_us(created_us),
        updated_at=from_us(updated_us),
        version=int(version, 16),
        attributes=attributes.decode(),
    )
