"""Made-up entities with realistic shares: skewed statuses and regions, a heavy-tailed cost, a long tail of names."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from entities.ingest.lines import Line

STATUSES: Final = ["active"] * 60 + ["inactive"] * 25 + ["pending"] * 10 + ["error"] * 4 + ["retired"]
REGIONS: Final = (
    ["us-east-1"] * 30
    + ["us-west-2"] * 20
    + ["eu-west-1"] * 15
    + ["eu-central-1"] * 13
    + ["ap-south-1"] * 10
    + ["ap-east-1"] * 7
    + ["sa-east-1"] * 4
    + ["af-south-1"]
)
NAMES: Final = 10_000
OWNERS: Final = 5_000
ATTRIBUTES: Final = 10


def document(rnd: random.Random, number: int, at: datetime) -> dict[str, Any]:
    """Ten attributes: eight that every entity has, two from the long tail."""
    attributes: dict[str, Any] = {
        "status": rnd.choice(STATUSES),
        "region": rnd.choice(REGIONS),
        "priority": rnd.randint(1, 10),
        "cost": round(rnd.lognormvariate(4, 1.5), 6),
        "owner": f"user-{int(OWNERS * rnd.random() * rnd.random())}",
        "enabled": rnd.random() < 0.5,
        "last_seen": at.isoformat().replace("+00:00", "Z"),
        "hostname": f"host-{number}.example.net",
    }
    while len(attributes) < ATTRIBUTES:
        tail = int(NAMES * rnd.random() * rnd.random())
        attributes[f"attr_{tail:05d}"] = rnd.randint(0, 999) if tail % 2 == 0 else f"val-{rnd.randint(0, 999)}"
    return attributes


def lines(*, count: int, seed: int, now: datetime, first: int = 0) -> Iterator[Line]:
    """So many sensors with external ids `sensor-N`, updated a second apart, the last one now."""
    rnd = random.Random(seed)  # noqa: S311  # Reproducible, not secret.
    for number in range(first, first + count):
        at = now - timedelta(seconds=first + count - number)
        yield Line(
            number=number + 1,
            entity_type="sensor",
            external_id=f"sensor-{number}",
            created_at=None,
            at=at.isoformat(),
            attributes=orjson.dumps(document(rnd, number, at)),
        )


def conditions(rnd: random.Random) -> list[list[Any]]:
    """Two to four conditions as people write them: mostly common values, now and then a rare one or a range."""
    pool: list[list[Any]] = [
        ["status", "eq", rnd.choice(sorted(set(STATUSES)))],
        ["region", "eq", rnd.choice(sorted(set(REGIONS)))],
        ["priority", "gt", rnd.randint(1, 9)],
        ["owner", "eq", f"user-{int(OWNERS * rnd.random() * rnd.random())}"],
        ["cost", "gt", rnd.choice([20, 100, 500, 1500, 4000])],
        ["enabled", "eq", rnd.choice([True, False])],
    ]
    return rnd.sample(pool, rnd.choice([2, 3, 3, 4]))


def body(rnd: random.Random) -> dict[str, Any]:
    """A random search: all of its conditions, or k of n."""
    chosen = conditions(rnd)
    if rnd.random() < 0.25 and len(chosen) > 2:
        return {"where": {"at_least": len(chosen) - 1, "of": chosen}, "limit": 100}
    return {"where": chosen, "limit": 100}
