"""The feed's side of the alerts. See Note [Once, although it comes again]."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import psycopg

from analytics.alerts.evaluate import SIGNS, Condition, Outcome, Sample, State, sample_judge, time_judge
from analytics.alerts.timers import Timers
from analytics.feed.events import Change, Event, Heartbeat, Position
from analytics.feed.slots import plain_connect
from atlasco.lib import clock
from atlasco.lib.clock import iso
from atlasco.lib.sql import sql_blocks
from tenants.notices.channels import Notice, Target
from tenants.notices.services import SQL as NOTICES_SQL
from tenants.notices.services import queue_values

log = logging.getLogger(__name__)

SQL: Final = sql_blocks(Path(__file__).parent / "sql" / "feed.sql")
# Names of entities that were looked up or came by.
_KNOWN_MAX: Final = 100_000
# More firings of one rule in one batch are told in one notice.
_NOTICES_MAX: Final = 5
# A position alone is written this often; the slot is acknowledged later than that.
_POSITION_EVERY_S: Final = 1.0
_PRESENT_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as the feed needs it. entity_type, external_id: empty for any."""

    rule_id: int
    tenant_id: int
    name: str
    attribute: str
    entity_type: str
    external_id: str
    condition: Condition
    targets: tuple[Target, ...]
    effective_lsn: int

    def is_about(self, entity: tuple[str, str]) -> bool:
        entity_type, external_id = entity
        return self.entity_type in {"", entity_type} and self.external_id in {"", external_id}


@dataclass(frozen=True, slots=True)
class _Happening:
    """A rule that fired for an entity or was cleared. firing_lsn: of the sample with which it fired.

    sample: where time was up, the last one, at that instant.
    """

    rule: Rule
    entity_id: int
    entity: tuple[str, str]
    outcome: Outcome
    sample: Sample
    firing_lsn: int


class AlertApplier:
    """Evaluates every tenant's rules. dsn: of the replication role, on the primary."""

    name = "alerts"
    linger_s = 0.1

    def __init__(self, *, dsn: str) -> None:
        self._dsn = dsn
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._revision = -1
        self._rules: dict[tuple[int, str], list[Rule]] = {}
        self._states: dict[tuple[int, int], State] = {}
        self._by_id: dict[int, Rule] = {}
        self._timers = Timers()
        # States that only memory has yet.
        self._unwritten: set[tuple[int, int]] = set()
        self._known: OrderedDict[tuple[int, int], tuple[str, str]] = OrderedDict()
        self._position_written_at = 0.0

    def recover(self) -> Position | None:
        self.close()
        self._connection = plain_connect(self._dsn)
        self._revision = -1
        self._known.clear()
        row = self._connection.execute(SQL["position_read"]).fetchone()
        if row is None:
            return None
        cluster, lsn, seq, ts_us, beat_lsn = row
        return Position(cluster, lsn, Heartbeat(seq, ts_us, beat_lsn) if seq else None)

    def load(self, *, start: Position) -> Position:
        """What came between is lost: the present values are tested instead, as one sample each."""
        connection = self._connected()
        with connection.transaction():
            self._rules_read(connection)
            happenings: list[_Happening] = []
            changed: set[tuple[int, int]] = set()
            seen_us = clock.to_us(clock.now())
            for rule in self._by_id.values():
                for entity_id, entity, sample in self._present(connection, rule, lsn=start.lsn, seen_us=seen_us):
                    self._judge(rule, entity_id, entity, sample, happenings, changed)
            self._write(connection, happenings, changed, start)
        return start

    def apply(self, events: list[Event], position: Position) -> None:
        connection = self._connected()
        row = connection.execute(SQL["revision"]).fetchone()
        if row is not None and row[0] != self._revision:
            self._rules_read(connection)
        samples = self._samples(events)
        seen_us = 0 if position.heartbeat is None else position.heartbeat.ts_us
        has_news = samples or self._unwritten or self._timers.is_due(seen_us)
        if not has_news and time.monotonic() - self._position_written_at < _POSITION_EVERY_S:
            return
        with connection.transaction():
            happenings: list[_Happening] = []
            changed: set[tuple[int, int]] = set()
            self._entities_look_up(connection, [(change.tenant_id, change.key[1]) for change, _ in samples])
            for change, rules in samples:
                entity = self._known.get((change.tenant_id, change.key[1]))
                if entity is None:
                    continue
                sample = _sample(change)
                for rule in rules:
                    if rule.is_about(entity) and change.commit_lsn > rule.effective_lsn:
                        self._time_judge(rule, change.key[1], entity, change.committed_us, happenings, changed)
                        self._judge(rule, change.key[1], entity, sample, happenings, changed)
            self._timers_judge(connection, seen_us, happenings, changed)
            self._write(connection, happenings, changed, position)

    def close(self) -> None:
        if self._connection is not None:
            try:
                self._connection.close()
            except psycopg.Error:  # A connection that is broken anyway.
                log.debug("Closing the alerts' connection failed.", exc_info=True)

    # --- Reading ------------------------------------------------------------------------------------------------------
    def _connected(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._connection is None:
            raise psycopg.OperationalError("not connected yet")
        return self._connection

    def _rules_read(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        # The revision first: a rule that changes meanwhile is read again.
        row = connection.execute(SQL["revision"]).fetchone()
        rules: dict[tuple[int, str], list[Rule]] = defaultdict(list)
        for found in connection.execute(SQL["rules"]).fetchall():
            rule = _rule(*found)
            rules[rule.tenant_id, rule.attribute].append(rule)
        states = connection.execute(SQL["states"]).fetchall()
        self._rules = dict(rules)
        self._by_id = {rule.rule_id: rule for found in rules.values() for rule in found}
        self._states = {(rule_id, entity_id): State(*state) for rule_id, entity_id, *state in states}
        self._unwritten = set()
        have_states = {rule_id for rule_id, _ in self._states}
        for rule in self._by_id.values():
            # Entities of which nothing comes are what such a rule is about: it counts from its making on.
            if rule.condition.operator == "stale" and rule.rule_id not in have_states:
                for entity_id, entity, sample in self._present(connection, rule, lsn=rule.effective_lsn):
                    key = (rule.rule_id, entity_id)
                    self._remember((rule.tenant_id, entity_id), entity)
                    self._states[key], _ = sample_judge(rule.condition, State(), sample)
                    self._unwritten.add(key)
        self._timers = Timers({key: state.due_us for key, state in self._states.items() if state.due_us})
        self._revision = -1 if row is None else row[0]

    def _present(
        self, connection: psycopg.Connection[tuple[Any, ...]], rule: Rule, *, lsn: int, seen_us: int = 0
    ) -> Iterator[tuple[int, tuple[str, str], Sample]]:
        """What the rule's entities have now, as samples. seen_us: when they came; of a `stale` rule, 0 its making."""
        is_stale = rule.condition.operator == "stale"
        block = SQL["present_stale" if is_stale else "present"]
        rows = connection.execute(block, {"rule_id": rule.rule_id, "limit": _PRESENT_MAX}).fetchall()
        for entity_id, entity_type, external_id, value, at_us, *rule_since_us in rows:
            known = self._states.get((rule.rule_id, entity_id))
            if is_stale and known is not None and known.run_since_us == at_us:
                continue  # The same value as before: it goes on growing old.
            came_us = seen_us or (rule_since_us[0] if is_stale else 0)
            yield entity_id, (entity_type, external_id), Sample(lsn, at_us, value, came_us)

    def _samples(self, events: list[Event]) -> list[tuple[Change, list[Rule]]]:
        """The changes that some rule is about, in order; entities that come by are remembered."""
        if not self._rules:
            return []
        found = []
        for event in events:
            if not isinstance(event, Change):
                continue
            if event.table == "entity_attributes":
                if rules := self._rules.get((event.tenant_id, event.key[2])):
                    found.append((event, rules))
            elif event.table == "entities" and event.row is not None:
                self._remember((event.tenant_id, event.key[1]), (event.row["entity_type"], event.row["external_id"]))
        return found

    def _remember(self, key: tuple[int, int], entity: tuple[str, str]) -> None:
        self._known[key] = entity
        self._known.move_to_end(key)

    def _entities_look_up(
        self, connection: psycopg.Connection[tuple[Any, ...]], wanted: Iterable[tuple[int, int]]
    ) -> None:
        while len(self._known) > _KNOWN_MAX:
            self._known.popitem(last=False)
        missing: dict[int, set[int]] = defaultdict(set)
        for tenant_id, entity_id in wanted:
            if (tenant_id, entity_id) not in self._known:
                missing[tenant_id].add(entity_id)
        for tenant_id, entity_ids in missing.items():
            rows = connection.execute(
                SQL["entities"], {"tenant_id": tenant_id, "entity_ids": sorted(entity_ids)}
            ).fetchall()
            for _, entity_id, entity_type, external_id in rows:
                self._remember((tenant_id, entity_id), (entity_type, external_id))

    # --- Judging and writing ------------------------------------------------------------------------------------------
    def _judge(
        self,
        rule: Rule,
        entity_id: int,
        entity: tuple[str, str],
        sample: Sample,
        happenings: list[_Happening],
        changed: set[tuple[int, int]],
    ) -> None:
        before = self._states.get((rule.rule_id, entity_id), State())
        after, outcome = sample_judge(rule.condition, before, sample)
        self._keep((rule.rule_id, entity_id), before, after, changed)
        if outcome is not None:
            firing_lsn = before.firing_lsn if outcome == "cleared" else after.firing_lsn
            happenings.append(_Happening(rule, entity_id, entity, outcome, sample, firing_lsn or 0))

    def _time_judge(
        self,
        rule: Rule,
        entity_id: int,
        entity: tuple[str, str],
        now_us: int,
        happenings: list[_Happening],
        changed: set[tuple[int, int]],
    ) -> None:
        key = (rule.rule_id, entity_id)
        if (before := self._states.get(key)) is None:
            return
        after, outcome = time_judge(before, now_us)
        self._keep(key, before, after, changed)
        if outcome is not None:
            sample = Sample(before.last_lsn, before.due_us, before.value)
            happenings.append(_Happening(rule, entity_id, entity, outcome, sample, before.last_lsn))

    def _timers_judge(
        self,
        connection: psycopg.Connection[tuple[Any, ...]],
        now_us: int,
        happenings: list[_Happening],
        changed: set[tuple[int, int]],
    ) -> None:
        """Let fire whose time is up at an instant up to which everything has come."""
        due: list[tuple[Rule, int]] = []
        for rule_id, entity_id in self._timers.take(now_us):
            if (rule := self._by_id.get(rule_id)) is not None:
                due.append((rule, entity_id))
        self._entities_look_up(connection, [(rule.tenant_id, entity_id) for rule, entity_id in due])
        for rule, entity_id in due:
            if (entity := self._known.get((rule.tenant_id, entity_id))) is not None:
                self._time_judge(rule, entity_id, entity, now_us, happenings, changed)

    def _keep(self, key: tuple[int, int], before: State, after: State, changed: set[tuple[int, int]]) -> None:
        self._timers.put(key, after.due_us)
        if after.is_quiet:
            if key in self._states:
                del self._states[key]
                changed.add(key)
        elif after != before:
            self._states[key] = after
            changed.add(key)

    def _write(
        self,
        connection: psycopg.Connection[tuple[Any, ...]],
        happenings: list[_Happening],
        changed: Iterable[tuple[int, int]],
        position: Position,
    ) -> None:
        now = clock.now()
        told: dict[tuple[int, Outcome], list[tuple[_Happening, int]]] = defaultdict(list)
        for happening in happenings:
            firing_id = _firing_write(connection, happening, now)
            if firing_id is not None:
                told[happening.rule.rule_id, happening.outcome].append((happening, firing_id))
        for found in told.values():
            for notice in _notices(found, now):
                rule = found[0][0].rule
                for values in queue_values(tenant_id=rule.tenant_id, notice=notice, targets=rule.targets, now=now):
                    connection.execute(NOTICES_SQL["notice_queue"], values)
        with connection.cursor() as cursor:
            for rule_id, entity_id in {*changed, *self._unwritten}:
                state = self._states.get((rule_id, entity_id))
                if state is None:
                    cursor.execute(SQL["state_delete"], {"rule_id": rule_id, "entity_id": entity_id})
                else:
                    cursor.execute(
                        SQL["state_write"],
                        {
                            "rule_id": rule_id,
                            "entity_id": entity_id,
                            "run_length": state.run_length,
                            "run_since_us": state.run_since_us,
                            "firing_lsn": state.firing_lsn,
                            "last_lsn": state.last_lsn,
                            "due_us": state.due_us,
                            "value": state.value,
                        },
                    )
        self._unwritten = set()
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
        self._position_written_at = time.monotonic()


def _rule(
    rule_id: int,
    tenant_id: int,
    name: str,
    attribute: str,
    entity_type: str,
    external_id: str,
    operator: Any,
    threshold: float,
    clear_threshold: float | None,
    for_samples: int,
    for_seconds: int,
    webhook_url: str,
    webhook_nonce: str,
    emails: list[str],
    effective_lsn: int,
) -> Rule:
    targets = [Target("email", address) for address in emails]
    if webhook_url:
        targets.append(Target("webhook", webhook_url, webhook_nonce))
    condition = Condition(operator, threshold, clear_threshold, for_samples, for_seconds)
    return Rule(rule_id, tenant_id, name, attribute, entity_type, external_id, condition, tuple(targets), effective_lsn)


def _sample(change: Change) -> Sample:
    """The sample that a changed value is."""
    row, seen_us = change.row, change.committed_us
    if row is None:
        return Sample(change.lsn, seen_us, None, seen_us, is_there=False)
    if row["value_type"] == "removed":
        return Sample(change.lsn, row["updated_at"], None, seen_us, is_there=False)
    digits = row["numeric_value"]
    return Sample(change.lsn, row["updated_at"], None if digits is None else float(digits), seen_us)


def _firing_write(connection: psycopg.Connection[tuple[Any, ...]], happening: _Happening, now: datetime) -> int | None:
    """The firing's id; None where it is known already, or nothing is left to clear."""
    sample = happening.sample
    entity_type, external_id = happening.entity
    values = {
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
    block = "firing_write" if happening.outcome == "fired" else "firing_clear"
    row = connection.execute(SQL[block], values).fetchone()
    return None if row is None else int(row[0])


def _notices(found: list[tuple[_Happening, int]], now: datetime) -> list[Notice]:
    """One for each, or one for all where there are many."""
    first = found[0][0]
    rule, outcome = first.rule, first.outcome
    event = f"alert.{outcome}"
    if len(found) <= _NOTICES_MAX:
        return [_notice(happening, firing_id, event, now) for happening, firing_id in found]
    names = ", ".join(happening.entity[1][:60] for happening, _ in found[:_NOTICES_MAX])
    verb = "fired" if outcome == "fired" else "was cleared"
    return [
        Notice(
            key=f"alert:{rule.rule_id}:many:{first.sample.lsn}:{outcome}",
            event=event,
            subject=f"{rule.name}: {verb} for {len(found):,} entities",
            body=f"{rule.name} {verb} for {len(found):,} entities at once, among them {names}.",
            facts={
                "rule": {"id": str(rule.rule_id), "name": rule.name},
                "firing_ids": [str(firing_id) for _, firing_id in found[:1000]],
                "count": len(found),
            },
            happened_at=now,
        )
    ]


def _notice(happening: _Happening, firing_id: int, event: str, now: datetime) -> Notice:
    rule, condition, sample = happening.rule, happening.rule.condition, happening.sample
    entity_type, external_id = happening.entity
    at = iso(clock.from_us(sample.at_us))
    subject = f"{rule.name}: {external_id}"
    if happening.outcome == "cleared":
        subject += ", cleared"
    body = f"{rule.attribute} of {entity_type} {external_id} {_told(condition, happening.outcome, sample, at)}"
    return Notice(
        key=f"alert:{rule.rule_id}:{happening.entity_id}:{happening.firing_lsn}:{happening.outcome}",
        event=event,
        subject=subject,
        body=body,
        facts={
            "rule": {"id": str(rule.rule_id), "name": rule.name},
            "firing_id": str(firing_id),
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
        happened_at=now,
    )


def _told(condition: Condition, outcome: Outcome, sample: Sample, at: str) -> str:
    """What happened, as the end of a sentence."""
    if condition.operator == "stale":
        if outcome == "fired":
            return f"has not been set for {condition.for_seconds:,} s, at {at}."
        return f"was set again at {at}." if sample.is_there else f"was removed at {at}."
    limit = f"{SIGNS[condition.operator]} {condition.threshold:g}"
    if outcome == "cleared":
        return f"{'was removed' if sample.value is None else f'was {sample.value:g}'} at {at}: no longer {limit}."
    lasting = f", and has been for {condition.for_seconds:,} s" if condition.for_seconds else ""
    return f"was {sample.value:g} at {at}, which is {limit}{lasting}."
