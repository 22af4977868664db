"""The feed's side of the hot cache. See Note [Why a hit is never stale] in `entities.cache`."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterator
from typing import Any, Final

import orjson
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from analytics.feed.events import (
    UNCHANGED,
    Change,
    Event,
    Heartbeat,
    Position,
    RowsArchived,
    TableTruncated,
    TenantErased,
)
from entities.cache import STATE_KEY, bucket_of, entity_key, hex_number, row_pack
from entities.overview import overview_key

log = logging.getLogger(__name__)

# A script call holds Valkey up for about a millisecond per hundred changes.
_SLICE: Final = 500
_TOMBSTONE_TTL_S: Final = 600
_TIMEOUT_S: Final = 10
_MEMORY_CHECK_S: Final = 1.0
# Above this share of the limit, only what is in the cache already is kept up to date.
_FULL_SHARE: Final = 0.9
_SCAN_COUNT: Final = 1000

# ARGV: epoch, expected lsn, ttl, tombstone ttl, full, new fields of the state as JSON or nothing, clocks as JSON
# ([bucket, commit, …]), then one text for each key, see `_packed`: kind, version, commit, length of m, m, a.
# Few calls and few arguments: each costs about a microsecond, for every change there is.
_APPLY: Final = """
local epoch = ARGV[1]
local state = redis.call('HMGET', KEYS[1], 'epoch', 'lsn')
if state[1] ~= epoch or state[2] ~= ARGV[2] then return redis.error_reply('LOST position') end
local clocks = cjson.decode(ARGV[7])
if #clocks > 0 then
    local buckets, moved = {}, {}
    for i = 1, #clocks, 2 do buckets[#buckets + 1] = clocks[i] end
    for i, known in ipairs(redis.call('HMGET', KEYS[1], unpack(buckets))) do
        local commit = clocks[i * 2]
        if not known or known < commit then
            moved[#moved + 1] = buckets[i]
            moved[#moved + 1] = commit
        end
    end
    if #moved > 0 then redis.call('HSET', KEYS[1], unpack(moved)) end
end
for i = 2, #KEYS do
    local packed = ARGV[i + 6]
    local kind, version, commit = packed:sub(1, 1), packed:sub(2, 17), packed:sub(18, 33)
    local entry = redis.call('HMGET', KEYS[i], 'e', 'v', 'c')
    local known = entry[1] == epoch
    if kind == 'u' then
        local newer = not known or (entry[2] and entry[2] <= version) or (not entry[2] and entry[3] <= commit)
        if newer and (known or ARGV[5] ~= '1') then
            local m_end = 37 + tonumber(packed:sub(34, 37), 16)
            redis.call('HSET', KEYS[i], 'e', epoch, 'v', version, 'c', commit,
                'm', packed:sub(38, m_end), 'a', packed:sub(m_end + 1))
            redis.call('EXPIRE', KEYS[i], ARGV[3])
        end
    elseif not known or entry[3] <= commit then
        redis.call('DEL', KEYS[i])
        if kind == 'd' then
            redis.call('HSET', KEYS[i], 'e', epoch, 'c', commit)
            redis.call('EXPIRE', KEYS[i], ARGV[4])
        end
    end
end
if ARGV[6] ~= '' then redis.call('HSET', KEYS[1], unpack(cjson.decode(ARGV[6]))) end
return 1
"""

# ARGV: a commit's position, behind every clock. Nothing is filled any more that was read before it.
_NOT_BEFORE: Final = """
local clocks = {}
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    if field:sub(1, 1) == 'b' and field ~= 'base' then clocks[#clocks + 1] = field end
end
if #clocks > 0 then redis.call('HDEL', KEYS[1], unpack(clocks)) end
if (redis.call('HGET', KEYS[1], 'base') or '') < ARGV[1] then redis.call('HSET', KEYS[1], 'base', ARGV[1]) end
"""


class CacheApplier:
    """Writes entities into Valkey. url: with the database's number; max_bytes: what Valkey may use in all."""

    name = "redis-cache"
    linger_s = 0.0

    def __init__(self, url: str, *, ttl_s: int, max_bytes: int) -> None:
        self._url, self._ttl_s, self._max_bytes = url, ttl_s, max_bytes
        # Any: redis' stubs say str or bytes where the client's options decide which.
        self._client: Any = None
        self._apply: Any = None
        self._epoch = ""
        self._lsn = ""
        self._is_full = False
        self._memory_checked_at = 0.0

    def recover(self) -> Position | None:
        self.close()
        # A silent reconnect would hide that Valkey was restarted.
        self._client = redis.Redis.from_url(
            self._url, socket_connect_timeout=2, socket_timeout=_TIMEOUT_S, retry=Retry(NoBackoff(), 0)
        )
        self._apply = self._client.register_script(_APPLY)
        epoch, cluster, lsn, seq, ts_us, heartbeat_lsn = self._client.hmget(
            STATE_KEY, ["epoch", "cluster", "lsn", "seq", "ts", "hb"]
        )
        if epoch is None or lsn is None or cluster is None:
            return None
        self._epoch, self._lsn = epoch.decode(), lsn.decode()
        heartbeat = None if seq is None else Heartbeat(int(seq), int(ts_us), int(heartbeat_lsn, 16))
        return Position(cluster.decode(), int(lsn, 16), heartbeat)

    def load(self, *, start: Position) -> Position:
        """Begin a new epoch: all that is in the cache is a miss from now on. Nothing has to be read."""
        self._epoch, self._lsn = secrets.token_hex(8), hex_number(start.lsn)
        state = {"epoch": self._epoch, "cluster": start.cluster, "lsn": self._lsn, "base": self._lsn, "full": "0"}
        with self._connected().pipeline(transaction=True) as pipeline:
            # Tenants that are gone stay gone, whatever the epoch.
            kept = {
                name: value
                for name, value in self._connected().hgetall(STATE_KEY).items()
                if name.startswith(b"erased:")
            }
            pipeline.delete(STATE_KEY)
            pipeline.hset(STATE_KEY, mapping={**{name.encode(): value for name, value in state.items()}, **kept})
            pipeline.execute()
        return start

    def apply(self, events: list[Event], position: Position) -> None:
        self._memory_check()
        pending: list[Change] = []
        for event in events:
            match event:
                case Change(table="entities"):
                    pending.append(event)
                    if len(pending) >= _SLICE:
                        self._send(pending, None)
                        pending = []
                case TenantErased(tenant_id=tenant_id):
                    self._send(pending, None)
                    pending = []
                    tenant_erase(self._connected(), tenant_id=tenant_id)
                case RowsArchived(tenant_id=tenant_id, commit_lsn=commit_lsn):
                    self._send(pending, None)
                    pending = []
                    # First: or what was read before could be filled in afterwards.
                    self._connected().eval(_NOT_BEFORE, 1, STATE_KEY, hex_number(commit_lsn))
                    tenant_forget(self._connected(), tenant_id=tenant_id)
                case TableTruncated(table="entities"):
                    self._send(pending, None)
                    pending = []
                    # The deleted rows' keys are not known: everything becomes a miss.
                    self.load(start=Position(position.cluster, int(self._lsn, 16)))
                case _:
                    pass
        self._send(pending, position)

    def _send(self, changes: list[Change], position: Position | None) -> None:
        """One atomic step: changes, and with the last ones the position."""
        if not changes and position is None:
            return
        keys = [STATE_KEY]
        packed: list[bytes] = []
        clocks: dict[str, str] = {}
        for change in changes:
            tenant_id, entity_id = change.key
            keys.append(entity_key(tenant_id, entity_id))
            commit = hex_number(change.commit_lsn)
            # Changes come in commit order: the last one of a bucket is its newest.
            clocks[bucket_of(tenant_id, entity_id)] = commit
            packed.append(_packed(change, commit))
        lsn = self._lsn
        state = ""
        if position is not None:
            lsn = hex_number(position.lsn)
            fields = ["lsn", lsn, "full", "1" if self._is_full else "0"]
            if (beat := position.heartbeat) is not None:
                fields += ["seq", str(beat.seq), "ts", str(beat.ts_us), "hb", hex_number(beat.lsn)]
            state = orjson.dumps(fields).decode()
        arguments = [
            *(self._epoch, self._lsn, self._ttl_s, _TOMBSTONE_TTL_S, "1" if self._is_full else "0", state),
            orjson.dumps([text for pair in clocks.items() for text in pair]),
            *packed,
        ]
        self._apply(keys=keys, args=arguments)
        self._lsn = lsn

    def _memory_check(self) -> None:
        now = time.monotonic()
        if now - self._memory_checked_at < _MEMORY_CHECK_S:
            return
        self._memory_checked_at = now
        used = int(self._connected().info("memory")["used_memory"])
        is_full = used > self._max_bytes * _FULL_SHARE
        if is_full != self._is_full:
            log.warning("The cache takes new entities." if self._is_full else "The cache is full.")
        self._is_full = is_full

    def _connected(self) -> Any:
        if self._client is None:
            raise redis.ConnectionError("not connected yet")
        return self._client

    def close(self) -> None:
        if self._client is not None:
            self._client.close()


def _packed(change: Change, commit: str) -> bytes:
    """kind, version, commit, length of the own fields, own fields, attributes; numbers in hexadecimal.

    kind: u there is a row, d there is none any more, f there is one, but its document did not come with the change.
    """
    row = change.row
    if row is None:
        return f"d{'':16}{commit}".encode()
    if row["attributes"] is UNCHANGED:
        return f"f{'':16}{commit}".encode()
    own = row_pack(
        entity_type=row["entity_type"],
        external_id=row["external_id"],
        created_us=row["created_at"],
        updated_us=row["updated_at"],
    )
    head = f"u{hex_number(row['version'])}{commit}{len(own):04x}"
    return b"".join((head.encode(), own, row["attributes"].encode()))


def tenant_erase(client: Any, *, tenant_id: int) -> int:
    """Remove a tenant's entries and never take any again. Return how many there were."""
    client.hset(STATE_KEY, f"erased:{tenant_id}", "1")
    return tenant_forget(client, tenant_id=tenant_id)


def tenant_forget(client: Any, *, tenant_id: int) -> int:
    """Remove a tenant's entries: misses, until they are read or written again. Return how many there were.

    Tombstones too: a row that was read before its deletion is kept out by the clock of its bucket.
    """
    client.unlink(overview_key(tenant_id))
    removed = 0
    for keys in _key_slices(client, tenant_id):
        removed += int(client.unlink(*keys))
    return removed


def tenant_count(client: Any, *, tenant_id: int) -> int:
    """How many entries of the tenant there are. Looks at every key of the database."""
    return sum(len(keys) for keys in _key_slices(client, tenant_id))


def _key_slices(client: Any, tenant_id: int) -> Iterator[list[bytes]]:
    cursor = 0
    while True:
        cursor, keys = client.scan(cursor, match=f"atlasco:entity:{tenant_id}:*", count=_SCAN_COUNT)
        if keys:
            yield keys
        if cursor == 0:
            return
