"""What people search for: counted in the process, handed to Valkey now and then, and written down by a task.

Nothing here may slow a search or break it: counting is a dictionary's update, and a thread of its own hands over. What
a process that is killed had not handed over is lost, and what Valkey can't take, too: counts only weigh attributes.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import redis
from django_redis import get_redis_connection

from entities.search.query import AtLeast, Condition, Node, Not, Query, names_of

log = logging.getLogger(__name__)

KEY: Final = "atlasco:search:usage"
# Whoever searches sees it counted after this, and a few seconds more.
HAND_OVER_S: Final = 5.0
# Payloads that wait in Valkey while no worker takes them: the oldest go.
_WAITING_MAX: Final = 5_000
# Different searches that one process keeps between two hand-overs, and the largest that it keeps.
_SAMPLES_MAX: Final = 500
_BODY_MAX_BYTES: Final = 4_096


@dataclass(slots=True)
class TenantUsage:
    """What was counted of one tenant: by attribute and by body, how many searches and the milliseconds they took."""

    names: dict[str, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0, 0.0]))
    bodies: dict[bytes, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0, 0.0]))


_lock = threading.Lock()
_counted: dict[int, TenantUsage] = {}
_timer: list[threading.Timer] = []


def search_count(*, tenant_id: int, query: Query, ms: float) -> None:
    """Count one search that was answered. Microseconds; what it tells is handed over later."""
    if query.cursor is not None:
        return  # A further page of the same search.
    names = names_of(query.where)
    if not names:
        return
    body = body_of(query)
    with _lock:
        usage = _counted.setdefault(tenant_id, TenantUsage())
        for name in names:
            counts = usage.names[name]
            counts[0] += 1
            counts[1] += ms
        if len(body) <= _BODY_MAX_BYTES and (body in usage.bodies or len(usage.bodies) < _SAMPLES_MAX):
            counts = usage.bodies[body]
            counts[0] += 1
            counts[1] += ms
        if not _timer:
            timer = threading.Timer(HAND_OVER_S, usage_hand_over)
            timer.daemon = True
            _timer.append(timer)
            timer.start()


def usage_hand_over() -> None:
    """Put what was counted into Valkey, in one message."""
    with _lock:
        counted = dict(_counted)
        _counted.clear()
        _timer.clear()
    if not counted:
        return
    payload = orjson.dumps(
        [
            [tenant_id, list(usage.names.items()), [[body.decode(), *counts] for body, counts in usage.bodies.items()]]
            for tenant_id, usage in counted.items()
        ]
    )
    try:
        with get_redis_connection("default").pipeline(transaction=False) as pipe:
            pipe.rpush(KEY, payload)
            pipe.ltrim(KEY, -_WAITING_MAX, -1)
            pipe.execute()
    except redis.RedisError:
        log.debug("Counts of searches were lost: Valkey does not answer.", exc_info=True)


def usage_take(*, messages_max: int) -> dict[int, TenantUsage]:
    """Take what processes have handed over, summed by tenant. What is taken is gone: the caller writes it down."""
    taken: dict[int, TenantUsage] = {}
    for message in get_redis_connection("default").lpop(KEY, messages_max) or []:
        for tenant_id, names, bodies in orjson.loads(message):
            usage = taken.setdefault(tenant_id, TenantUsage())
            for name, (searches, ms) in names:
                usage.names[name][0] += searches
                usage.names[name][1] += ms
            for body, searches, ms in bodies:
                usage.bodies[body.encode()][0] += searches
                usage.bodies[body.encode()][1] += ms
    return taken


def body_of(query: Query) -> bytes:
    """The search as JSON again, as `query_parse` takes it, without cursor, fields and count: no plan goes by them."""
    body: dict[str, Any] = {"where": _where(query.where), "limit": query.limit}
    if query.entity_type is not None:
        body["entity_type"] = query.entity_type
    if (query.order_by, query.descending) != ("updated_at", True):
        body["order_by"] = ("-" if query.descending else "") + query.order_by
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


def _where(node: Node) -> Any:
    match node:
        case Condition(attribute=name, operator=operator, value=None):
            return [name, operator]
        case Condition(attribute=name, operator=operator, value=value):
            return [name, operator, value]
        case Not(node=inner):
            return {"not": _where(inner)}
        case AtLeast(n=n, nodes=nodes):
            return {"at_least": n, "of": [_where(child) for child in nodes]}
