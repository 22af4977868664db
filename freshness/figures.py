"""What was read from where and how late every store was, over time: kept in Valkey for everybody to see.

    atlasco:reads:m{minute}  reads of one minute, `h{hour}` of one hour: tenant|tier|source|met → number
    atlasco:reads:total      reads since ever: tier|source|met → number
    atlasco:lag              one sample every few seconds, newest last: {"at", "lag": {store: seconds}}
    atlasco:decision:{tenant}:{request id}   why a read was answered by which store

Nothing of it is needed to answer a request: it is written by a thread of its own (`freshness.recorder`), and without
Valkey it is missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
import redis
from django_redis import get_redis_connection

from atlasco.lib.errors import NotFound, Unavailable

MINUTE_S: Final = 60
HOUR_S: Final = 3600
LAG_KEY: Final = "atlasco:lag"
LAG_EVERY_S: Final = 5.0
LAG_KEPT: Final = 86_400 // 5
DECISION_TTL_S: Final = 86_400
_MINUTES_TTL_S: Final = 7 * HOUR_S
_HOURS_TTL_S: Final = 26 * HOUR_S


class DecisionUnknown(NotFound):
    """No decision of this request is kept: they are for 24 hours, under load only some. Ask with ?explain=route."""

    code = "decision_unknown"


class DecisionsUnavailable(Unavailable):
    """Decisions are kept in Valkey, which does not answer."""

    code = "decisions_unavailable"


@dataclass(frozen=True, slots=True)
class ReadKind:
    """Reads that are counted together. tenant_id: 0 for nobody's; met: "true", "false", "unknown"."""

    tenant_id: int
    tier: str
    source: str
    met: str


Reads = Counter[ReadKind]


def decision_key(tenant_id: int, request_id: str) -> str:
    return f"atlasco:decision:{tenant_id}:{request_id}"


def decision_read(*, tenant_id: int, request_id: str) -> Any:
    """Why a request of the tenant was answered by which store. Raises DecisionUnknown, DecisionsUnavailable."""
    try:
        found = get_redis_connection("default").get(decision_key(tenant_id, request_id))
    except redis.RedisError:
        raise DecisionsUnavailable from None
    if found is None:
        raise DecisionUnknown
    return orjson.loads(found)


def reads_add(pipeline: Any, reads: Mapping[ReadKind, int], *, now_s: float) -> None:
    """Count reads in their minute, their hour, and for ever."""
    minute, hour = _minute_key(now_s), _hour_key(now_s)
    for kind, number in reads.items():
        field = f"{kind.tenant_id}|{kind.tier}|{kind.source}|{kind.met}"
        pipeline.hincrby(minute, field, number)
        pipeline.hincrby(hour, field, number)
        pipeline.hincrby("atlasco:reads:total", f"{kind.tier}|{kind.source}|{kind.met}", number)
    pipeline.expire(minute, _MINUTES_TTL_S)
    pipeline.expire(hour, _HOURS_TTL_S)


def reads_of_minutes(client: Any, *, now_s: float, minutes: int) -> list[Reads]:
    """The reads of each of the last minutes, oldest first. Raises redis.RedisError."""
    return _reads(client, [_minute_key(now_s - MINUTE_S * back) for back in reversed(range(minutes))])


def reads_of_day(client: Any, *, now_s: float) -> Reads:
    """The reads of the last 24 hours. Raises redis.RedisError."""
    return sum_of(_reads(client, [_hour_key(now_s - HOUR_S * back) for back in range(24)]))


def reads_total(client: Any) -> dict[tuple[str, str, str], int]:
    """All reads there ever were, by tier, source and whether the SLA was met. Raises redis.RedisError."""
    found: dict[tuple[str, str, str], int] = {}
    for field, number in client.hgetall("atlasco:reads:total").items():
        tier, source, met = field.decode().split("|")
        found[tier, source, met] = int(number)
    return found


def lag_samples(client: Any, *, number: int) -> list[dict[str, Any]]:
    """The newest samples of every store's lag, oldest first. Raises redis.RedisError."""
    return [orjson.loads(raw) for raw in client.lrange(LAG_KEY, -number, -1)]


def sum_of(parts: Iterable[Reads]) -> Reads:
    total: Reads = Counter()
    for part in parts:
        total.update(part)
    return total


def _reads(client: Any, keys: list[str]) -> list[Reads]:
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.hgetall(key)
    return [
        Counter({_kind(field.decode()): int(number) for field, number in fields.items()})
        for fields in pipeline.execute()
    ]


def _kind(field: str) -> ReadKind:
    tenant_id, tier, source, met = field.split("|")
    return ReadKind(int(tenant_id), tier, source, met)


def _minute_key(now_s: float) -> str:
    return f"atlasco:reads:m{int(now_s // MINUTE_S)}"


def _hour_key(now_s: float) -> str:
    return f"atlasco:reads:h{int(now_s // HOUR_S)}"


# --- Objectives -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Objective:
    """How well a promise was kept. bad: answers that broke it, or can't tell; budget_left: 1 full, below 0 overspent.

    burn_rate: of the short window; 1 spends the budget just in its time.
    """

    reads: int
    bad: int
    met_share: float | None
    budget_left: float | None


def objective_of(reads: Reads, *, objective: float) -> Objective:
    """Judge some reads by the share of answers that must keep their SLA."""
    total = reads.total()
    bad = sum(number for kind, number in reads.items() if kind.met != "true")
    if not total:
        return Objective(0, 0, None, None)
    allowed = total * (1 - objective)
    return Objective(total, bad, 1 - bad / total, 1 - bad / allowed if allowed else (1.0 if not bad else 0.0))


def burn_rate(reads: Reads, *, objective: float) -> float:
    """How many times faster than allowed the error budget is being spent; 0 without reads."""
    total = reads.total()
    bad = sum(number for kind, number in reads.items() if kind.met != "true")
    return bad / total / (1 - objective) if total and objective < 1 else 0.0
