"""What an operator can do about the feed from outside of it."""

from __future__ import annotations

import orjson

from analytics.feed.events import PREFIX_RELOAD
from analytics.feed.slots import SLOT, plain_connect, slot_create, slot_drop, slot_read


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
