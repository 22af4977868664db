"""What is told of firings, in words and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from analytics.alerts.evaluate import SIGNS, Condition, Outcome, Sample
from analytics.alerts.rule import Rule
from atlasco.lib import clock
from atlasco.lib.clock import iso
from tenants.notices.channels import Notice

# More firings of one rule at once are told in one notice.
_NOTICES_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class Happening:
    """A rule that fired for an entity or was cleared. firing_lsn: of the sample with which it fired.

    sample: where time was up, the last one, at that instant. reason: why it was cleared, where no sample did that.
    """

    rule: Rule
    entity_id: int
    entity: tuple[str, str]
    outcome: Outcome
    sample: Sample
    firing_lsn: int
    firing_id: int = 0
    reason: str = ""


def notices_of(found: Sequence[Happening]) -> list[Notice]:
    """One for each happening, or one for all where there are many. Those of one rule, all fired or all cleared."""
    if not found:
        return []
    rule, outcome = found[0].rule, found[0].outcome
    event = f"alert.{outcome}"
    if len(found) <= _NOTICES_MAX:
        return [_notice(happening, event) for happening in found]
    names = ", ".join(happening.entity[1][:60] for happening in found[:_NOTICES_MAX])
    verb = "fired" if outcome == "fired" else "was cleared"
    end = f": {found[0].reason}" if found[0].reason else "."
    firing_ids = [happening.firing_id for happening in found]
    return [
        Notice(
            # By a firing, which is in one such notice only.
            key=f"alert:{rule.rule_id}:many:{min(firing_ids)}:{outcome}",
            event=event,
            subject=f"{rule.name}: {verb} for {len(found):,} entities",
            body=f"{rule.name} {verb} for {len(found):,} entities at once, among them {names}{end}",
            facts={
                "rule": {"id": str(rule.rule_id), "name": rule.name},
                "firing_ids": [str(firing_id) for firing_id in firing_ids[:1000]],
                "count": len(found),
            },
            happened_at=clock.from_us(max(happening.sample.at_us for happening in found)),
        )
    ]


def _notice(happening: Happening, event: str) -> Notice:
    rule, condition, sample = happening.rule, happening.rule.condition, happening.sample
    entity_type, external_id = happening.entity
    happened_at = clock.from_us(sample.at_us)
    at = iso(happened_at)
    subject = f"{rule.name}: {external_id}"
    if happening.outcome == "cleared":
        subject += ", cleared"
    body = f"{rule.attribute} of {entity_type} {external_id} "
    body += f"is cleared: {happening.reason}" if happening.reason else _told(happening, condition, at)
    return Notice(
        key=f"alert:{rule.rule_id}:{happening.entity_id}:{happening.firing_lsn}:{happening.outcome}",
        event=event,
        subject=subject,
        body=body,
        facts={
            "rule": {"id": str(rule.rule_id), "name": rule.name},
            "firing_id": str(happening.firing_id),
            "entity": {
                "entity_id": str(happening.entity_id),
                "entity_type": entity_type,
                "external_id": external_id,
            },
            "attribute": rule.attribute,
            "operator": condition.operator,
            "threshold": None if condition.operator == "stale" else condition.threshold,
            "for_seconds": condition.for_seconds,
            "value": sample.value,
            "sample_at": at,
        },
        happened_at=happened_at,
    )


def _told(happening: Happening, condition: Condition, at: str) -> str:
    """What happened, as the end of a sentence."""
    sample, outcome = happening.sample, happening.outcome
    if condition.operator == "stale":
        if outcome == "fired":
            return f"has not been set for {condition.for_seconds:,} s, at {at}."
        return f"was set again at {at}." if sample.is_there else f"was removed at {at}."
    limit = f"{SIGNS[condition.operator]} {condition.threshold:g}"
    if outcome == "cleared":
        return f"{'was removed' if sample.value is None else f'was {sample.value:g}'} at {at}: no longer {limit}."
    lasting = f", and has been for {condition.for_seconds:,} s" if condition.for_seconds else ""
    return f"was {sample.value:g} at {at}, which is {limit}{lasting}."
