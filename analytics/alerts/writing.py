"""What the feed's side of the alerts writes, all in one transaction. See Note [Once, although it comes again]."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace
from datetime import datetime
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, TypeAlias

import psycopg

from analytics.alerts.evaluate import Outcome, State
from analytics.alerts.rule import Rule
from analytics.alerts.telling import Happening, notices_of
from analytics.feed.events import Heartbeat, Position
from atlasco.lib.sql import sql_blocks
from tenants.notices.channels import Notice
from tenants.notices.services import SQL as NOTICES_SQL
from tenants.notices.services import queue_values

Connection: TypeAlias = "psycopg.Connection[tuple[Any, ...]]"

SQL: Final = sql_blocks(Path(__file__).parent / "sql" / "feed.sql")
# Rows of states in one statement.
_ROWS: Final = 10_000


def rules_hold(connection: Connection, rules: Sequence[Rule]) -> set[int]:
    """Which of the rules are still what we judged by. They stay so until we have written.

    One that was changed meanwhile has forgotten its states and ended its firings: nobody would end ours.
    """
    if not rules:
        return set()
    values = {
        "rule_ids": [rule.rule_id for rule in rules],
        "effective_lsns": [rule.effective_lsn for rule in rules],
    }
    return {row[0] for row in connection.execute(SQL["rules_hold"], values).fetchall()}


def states_write(connection: Connection, states: Mapping[tuple[int, int], State | None]) -> None:
    """Keep states by rule and entity; None is of one that is gone."""
    left = iter(states.items())
    while some := list(islice(left, _ROWS)):
        there = [(*key, *astuple(state)) for key, state in some if state is not None]
        gone = [key for key, state in some if state is None]
        if there:
            connection.execute(SQL["states_write"], [list(column) for column in zip(*there, strict=True)])
        if gone:
            connection.execute(SQL["states_delete"], [list(column) for column in zip(*gone, strict=True)])


def position_write(connection: Connection, position: Position) -> None:
    beat = position.heartbeat or Heartbeat(0, 0, 0)
    connection.execute(
        SQL["position_write"],
        {
            "cluster": position.cluster,
            "lsn": position.lsn,
            "seq": beat.seq,
            "ts_us": beat.ts_us,
            "beat_lsn": beat.lsn,
        },
    )


def notices_write(connection: Connection, happenings: list[Happening], *, now: datetime) -> None:
    """Queue what is told of them."""
    queued = [
        values
        for rule, notice in _told(happenings)
        for values in queue_values(tenant_id=rule.tenant_id, notice=notice, targets=rule.targets, now=now)
    ]
    if queued:
        connection.cursor().executemany(NOTICES_SQL["notice_queue"], queued)


def firings_write(connection: Connection, happenings: list[Happening], *, now: datetime) -> list[Happening]:
    """The happenings as they are kept, without what is known already or has nothing left to clear."""
    kept: dict[int, Happening] = {}
    # All that fired first, so that each kind goes at once: no firing needs another one to be cleared.
    for outcome, block in (("fired", "firing_write"), ("cleared", "firing_clear")):
        places = [place for place, happening in enumerate(happenings) if happening.outcome == outcome]
        if not places:
            continue
        cursor = connection.cursor()
        cursor.executemany(SQL[block], [_firing_values(happenings[place], now) for place in places], returning=True)
        for place in places:
            if (row := cursor.fetchone()) is not None:
                firing_id, *entity = row
                kept[place] = replace(happenings[place], firing_id=firing_id, entity=(entity[0], entity[1]))
            cursor.nextset()
    return [kept[place] for place in sorted(kept)]


def _firing_values(happening: Happening, now: datetime) -> dict[str, Any]:
    sample = happening.sample
    entity_type, external_id = happening.entity
    return {
        "rule_id": happening.rule.rule_id,
        "entity_id": happening.entity_id,
        "entity_type": entity_type,
        "external_id": external_id,
        "lsn": sample.lsn,
        "firing_lsn": happening.firing_lsn,
        "at_us": sample.at_us,
        "value": sample.value,
        "now": now,
    }


def _told(happenings: list[Happening]) -> list[tuple[Rule, Notice]]:
    """What is told of them, in order: one that tells of many stands where the last of them happened."""
    groups: dict[tuple[int, Outcome], list[int]] = defaultdict(list)
    for place, happening in enumerate(happenings):
        groups[happening.rule.rule_id, happening.outcome].append(place)
    told: list[tuple[int, Rule, Notice]] = []
    for places in groups.values():
        notices = notices_of([happenings[place] for place in places])
        told += [
            (place, happenings[place].rule, notice)
            for place, notice in zip(places[-len(notices) :], notices, strict=True)
        ]
    return [(rule, notice) for _, rule, notice in sorted(told, key=itemgetter(0))]
