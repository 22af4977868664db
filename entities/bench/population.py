"""A made-up fleet for `bench search`, skewed as real ones are, and the searches that people send against it.

Types and values follow Zipf; a region decides its country and mostly its tier; errors have codes, and only errors; one
attribute holds numbers, texts and booleans; a third of the entities were updated long after they were made; a long tail
of 10,000 names appears on two entities in a thousand at the most, each.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any, Final

import orjson

TYPES: Final = ("sensor", "switch", "server", "vehicle", "license")
REGIONS: Final = (
    ("us-east-1", "US"), ("us-west-2", "US"), ("eu-west-1", "IE"), ("eu-central-1", "DE"), ("ap-south-1", "IN"),
    ("ap-east-1", "HK"), ("sa-east-1", "BR"), ("af-south-1", "ZA"),
)  # fmt: skip
STATUSES: Final = ("active", "inactive", "pending", "error", "retired")
STATUS_WEIGHTS: Final = (60, 25, 10, 4, 1)
TIERS: Final = ("gold", "silver", "bronze")
OWNERS: Final = 5_000
TAIL_NAMES: Final = 10_000
MODELS: Final = 40
ERROR_CODES: Final = 200


def _zipf(count: int, exponent: float = 1.0) -> list[float]:
    return list(accumulate(1 / rank**exponent for rank in range(1, count + 1)))


_TYPE_ODDS: Final = _zipf(len(TYPES), 1.4)
_REGION_ODDS: Final = _zipf(len(REGIONS))
_OWNER_ODDS: Final = _zipf(OWNERS, 0.8)
_MODEL_ODDS: Final = _zipf(MODELS)
_CODE_ODDS: Final = _zipf(ERROR_CODES)
_TAIL_ODDS: Final = _zipf(TAIL_NAMES, 0.7)
_STATUS_ODDS: Final = list(accumulate(STATUS_WEIGHTS))
_BATCH: Final = 1_000


@dataclass(frozen=True, slots=True)
class Made:
    """One entity as it is loaded. document: JSON."""

    external_id: str
    entity_type: str
    created_at: datetime
    updated_at: datetime
    document: bytes


def population(*, count: int, seed: int, now: datetime, first: int = 0) -> Iterator[Made]:
    """So many entities, the one that was updated last at the end."""
    rnd = random.Random(seed)  # noqa: S311  # Reproducible, not secret.
    for start in range(first, first + count, _BATCH):
        size = min(_BATCH, first + count - start)

        def draw(odds: Sequence[float], size: int = size) -> list[int]:
            return rnd.choices(range(len(odds)), cum_weights=odds, k=size)

        columns = zip(
            draw(_TYPE_ODDS), draw(_REGION_ODDS), draw(_STATUS_ODDS), draw(_OWNER_ODDS), draw(_MODEL_ODDS),
            draw(_CODE_ODDS), draw(_TAIL_ODDS), draw(_TAIL_ODDS), strict=True,
        )  # fmt: skip
        for number, row in enumerate(columns, start):
            updated_at = now - timedelta(seconds=2 * (first + count - number))
            late = rnd.expovariate(1 / 86_400) if rnd.random() < 0.33 else rnd.random()
            yield Made(
                f"unit-{number}",
                TYPES[row[0]],
                updated_at - timedelta(seconds=late),
                updated_at,
                orjson.dumps(_document(rnd, number, updated_at, *row)),
            )


def _document(
    rnd: random.Random,
    number: int,
    at: datetime,
    kind: int,
    region: int,
    status: int,
    owner: int,
    model: int,
    code: int,
    tail: int,
    other: int,
) -> dict[str, Any]:
    name, country = REGIONS[region]
    chance = rnd.random()
    document: dict[str, Any] = {
        "status": STATUSES[status],
        "region": name,
        "country": country,
        "priority": 1 + int(10 * rnd.random()),
        "cost": round(rnd.lognormvariate(4, 1.5), 2),
        "owner": f"user-{owner}",
        "enabled": status < 2 and chance < 0.9,
        # A model belongs to its type.
        "model": f"{TYPES[kind][:3]}-{model}",
        "load": round(100 * chance, 1) if chance < 0.8 else "n/a" if chance < 0.95 else chance < 0.97,
        "last_seen": (at - timedelta(hours=720 * rnd.random() ** 3)).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    if rnd.random() < 0.7:
        document["tier"] = TIERS[min(2, region // 3)] if rnd.random() < 0.8 else rnd.choice(TIERS)
    if status == 3:
        document["error_code"] = f"E{code:03d}"
    if kind < 3:
        document["hostname"] = f"{TYPES[kind]}-{number}.example.net"
    for rank in (tail, other):
        document[f"attr_{rank:05d}"] = rnd.randint(0, 999) if rank % 2 == 0 else f"val-{int(100 * rnd.random() ** 2)}"
    return document


def condition(rnd: random.Random, now: datetime) -> list[Any]:
    """One condition as people write them: mostly common values, now and then a rare one, a range, a list, a gap."""

    def pick(odds: Sequence[float]) -> int:
        return rnd.choices(range(len(odds)), cum_weights=odds)[0]

    tail = pick(_TAIL_ODDS)
    pool: list[list[Any]] = [
        ["status", "eq", STATUSES[pick(_STATUS_ODDS)]],
        ["status", "in", rnd.sample(STATUSES, 2)],
        ["status", "ne", "active"],
        ["region", "eq", REGIONS[pick(_REGION_ODDS)][0]],
        ["country", "eq", REGIONS[pick(_REGION_ODDS)][1]],
        ["priority", "gt", rnd.randint(1, 9)],
        ["cost", rnd.choice(["gt", "ge"]), rnd.choice([20, 100, 500, 1500, 4000])],
        ["cost", "lt", rnd.choice([1, 5, 20, 100])],
        ["owner", "eq", f"user-{pick(_OWNER_ODDS)}"],
        ["enabled", "eq", rnd.random() < 0.7],
        ["model", "eq", f"{TYPES[pick(_TYPE_ODDS)][:3]}-{pick(_MODEL_ODDS)}"],
        ["model", "prefix", f"{TYPES[pick(_TYPE_ODDS)][:3]}-{rnd.randint(1, 3)}"],
        ["load", rnd.choice(["gt", "lt"]), rnd.choice([1, 10, 40, 70])],
        ["load", "is_type", rnd.choice(["string", "boolean"])],
        ["tier", "eq", rnd.choice(TIERS)],
        ["tier", rnd.choice(["exists", "missing"])],
        ["error_code", "eq", f"E{pick(_CODE_ODDS):03d}"],
        ["error_code", "exists"],
        ["last_seen", "lt", (now - timedelta(days=rnd.choice([2, 10, 25]))).strftime("%Y-%m-%dT%H:%M:%SZ")],
        [f"attr_{tail:05d}", *(["gt", 500] if tail % 2 == 0 else ["eq", f"val-{int(100 * rnd.random() ** 2)}"])],
    ]
    return rnd.choices(pool, weights=[12, 4, 2, 10, 4, 7, 7, 2, 8, 5, 7, 2, 4, 2, 5, 2, 3, 1, 4, 3])[0]


def body(rnd: random.Random, now: datetime) -> dict[str, Any]:
    """A random search of two to four conditions: all of them, k of n, any of them, or one kept out."""
    chosen: list[list[Any]] = []
    wanted = rnd.choices([2, 3, 4], weights=[4, 4, 2])[0]
    while len(chosen) < wanted:
        drawn = condition(rnd, now)
        if all(drawn[0] != other[0] for other in chosen):
            chosen.append(drawn)
    draw = rnd.random()
    where: Any = chosen
    if draw < 0.2 and wanted > 2:
        where = {"at_least": wanted - 1, "of": chosen}
    elif draw < 0.27:
        where = {"any": chosen}
    elif draw < 0.34:
        where = {"all": [*chosen[:-1], {"not": chosen[-1]}]}
    elif draw < 0.42 and wanted > 2:
        where = {"all": [chosen[0], {"any": chosen[1:]}]}
    found: dict[str, Any] = {"where": where, "limit": 100}
    if rnd.random() < 0.15:
        found["entity_type"] = TYPES[rnd.choices(range(len(TYPES)), cum_weights=_TYPE_ODDS)[0]]
    return found
