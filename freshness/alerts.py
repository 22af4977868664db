"""What people on call must know of freshness. Pure: conditions from what is known now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from freshness.choice import Candidate

LAG_LIMIT_S: Final = 30.0
# Spending a month's budget within two days, seen in both windows: the long one says it matters, the short one that it
# is still so. The usual multi-window pair of site reliability engineering.
BURN_LIMIT: Final = 14.4
READS_MIN: Final = 50
# Less than this share of the log that a slot may retain is left before the slot is lost: time to act.
SLOT_SAFE_SHARE: Final = 0.25


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is wrong. key: the same as long as it is the same trouble."""

    key: str
    title: str
    detail: str


def conditions_now(
    stores: Sequence[Candidate],
    *,
    burn: Mapping[str, tuple[float, float, int]],
    feed: Mapping[str, float],
) -> list[Condition]:
    """Everything that is wrong now, the gravest first.

    burn: of each tier, the burn rate in the short window and in the long one, and the reads of the long one.
    feed: figures of the change feed; empty where there is none.
    """
    found = []
    for store in stores:
        if not store.up:
            found.append(
                Condition(f"down:{store.name}", f"{store.name} does not answer", "Other stores answer its reads.")
            )
        elif store.lag_s is not None and store.lag_s > LAG_LIMIT_S:
            found.append(
                Condition(
                    f"lag:{store.name}",
                    f"{store.name} is {store.lag_s:.0f} s behind",
                    f"More than {LAG_LIMIT_S:.0f} s: it answers only what may be that old.",
                )
            )
    for tier, (short, long, reads) in burn.items():
        if reads >= READS_MIN and short > BURN_LIMIT and long > BURN_LIMIT:
            found.append(
                Condition(
                    f"sla:{tier}",
                    f"{tier} answers break their SLA",
                    f"The error budget is being spent {long:.0f} times faster than allowed.",
                )
            )
    if feed.get("atlasco_feed_slot_lost"):
        found.append(
            Condition("slot:lost", "The change feed lost its slot", "Run `manage.py feed --resnapshot` to repair it.")
        )
    if slot_is_nearly_lost(feed):
        left = feed["atlasco_feed_slot_safe_bytes"]
        found.append(
            Condition(
                "slot:retention",
                "The change feed is about to lose its slot",
                f"The primary keeps only {left / 2**20:.0f} MiB more of log for it: one of its stores is away.",
            )
        )
    return found


def slot_is_nearly_lost(feed: Mapping[str, float]) -> bool:
    """Whether the primary retains nearly as much log for the feed as it may. feed: figures of the change feed."""
    left = feed.get("atlasco_feed_slot_safe_bytes")
    return left is not None and left < SLOT_SAFE_SHARE * (left + feed.get("atlasco_feed_slot_retained_bytes", 0.0))
