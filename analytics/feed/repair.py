"""What an operator can do about the feed from outside of it."""

from __future__ import annotations

from typing import Any

import orjson

from analytics.cache.applier import tenant_forget
from analytics.clickhouse.load import Part, snapshot_load
from analytics.feed.events import PREFIX_RELOAD
from analytics.feed.slots import SLOT, plain_connect, slot_create, slot_drop, slot_read, snapshot_export


def feed_resnapshot(*, dsn: str, store: str, slot: str = SLOT) -> str:
    """Have stores loaded anew from a snapshot; return what was done, in a sentence.

    store: its name, empty for every one. A slot that was lost is made anew; the feed then finds that every store's
    position lies before it, and loads them. With a healthy slot a note in the log asks the feed for it, which takes
    effect when the feed gets there.
    """
    if slot_read(dsn, name=slot).state in {"lost", "missing"}:
        slot_drop(dsn, name=slot)
        slot_create(dsn, name=slot)
        return "The slot was made anew; the feed loads every store."
    with plain_connect(dsn) as connection:
        connection.execute(
            "SELECT pg_logical_emit_message(true, %s, %s)", (PREFIX_RELOAD, orjson.dumps({"store": store}).decode())
        )
    return f"The feed was asked to load {store or 'every store'}."


def tenant_resnapshot(
    *, dsn: str, store: str, tenant_id: int, parts: tuple[Part, ...], clickhouse: Any, cache: Any
) -> str:
    """Load one tenant anew, or one part of it, while the feed goes on; return what was done, in a sentence.

    store: its name, empty for every one. What the feed brings meanwhile is newer than the snapshot and stays, see Note
    [A snapshot among changes].
    """
    done = []
    if store in {"", "clickhouse"}:
        with snapshot_export(dsn) as snapshot:
            snapshot_load(clickhouse, snapshot, tenant_id=tenant_id, parts=parts)
        done.append(f"its {' and '.join(parts)} were loaded into ClickHouse")
    if store in {"", "redis-cache"}:
        done.append(f"{tenant_forget(cache, tenant_id=tenant_id)} cached entities were dropped")
    return f"Of the tenant, {'; '.join(done)}."
