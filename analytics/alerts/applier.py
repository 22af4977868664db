"""The feed's side of the alerts. See Note [Once, although it comes again]."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

import psycopg

from analytics.alerts.evaluate import Sample, State, sample_judge, time_judge
from analytics.alerts.rule import Rule, rule_of
from analytics.alerts.telling import Happening
from analytics.alerts.timers import Timers
from analytics.alerts.writing import SQL, firings_write, notices_write, position_write, rules_hold, states_write
from analytics.feed.events import Change, Event, Heartbeat, Position
from analytics.feed.slots import plain_connect
from atlasco.lib import clock

log = logging.getLogger(__name__)

# Names of entities that were looked up or came by.
_KNOWN_MAX: Final = 100_000
# A position alone is written this often; the slot is acknowledged later than that.
_POSITION_EVERY_S: Final = 1.0
# Rows of present values in one answer.
_ROWS: Final = 10_000
# Of an entity that is gone: its firings know its names.
_NOBODY: Final = ("", "")


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
        # What memory has may be more than was written.
        self._by_id, self._states, self._unwritten, self._timers = {}, {}, set(), Timers()
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
            happenings: list[Happening] = []
            changed: set[tuple[int, int]] = set()
            seen_us = clock.to_us(clock.now())
            for key, state in list(self._states.items()):
                # LSNs of another history say nothing of those that come.
                self._keep(key, state, replace(state, is_found=True), changed)
            for rule in self._by_id.values():
                for entity_id, entity, sample in self._present(connection, rule, lsn=start.lsn, seen_us=seen_us):
                    self._time_judge(rule, entity_id, entity, min(sample.at_us, seen_us), happenings, changed)
                    self._judge(rule, entity_id, entity, sample, happenings, changed)
                removal = Sample(start.lsn, seen_us, None, seen_us, is_there=False, is_found=True)
                for (entity_id,) in connection.execute(SQL["removed"], {"rule_id": rule.rule_id}).fetchall():
                    self._judge(rule, entity_id, _NOBODY, removal, happenings, changed)
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
            happenings: list[Happening] = []
            changed: set[tuple[int, int]] = set()
            self._entities_look_up(connection, [(change.tenant_id, change.key[1]) for change, _ in samples])
            for change, rules in samples:
                entity = self._known.get((change.tenant_id, change.key[1]))
                sample = _sample(change)
                if entity is None:
                    self._rest_judge(rules, change.key[1], sample, happenings, changed)
                    continue
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
        before, self._by_id = self._by_id, {}
        for found in connection.execute(SQL["rules"]).fetchall():
            rule = rule_of(*found)
            rules[rule.tenant_id, rule.attribute].append(rule)
            self._by_id[rule.rule_id] = rule
        self._rules = dict(rules)
        begun = [rule for rule in self._by_id.values() if rule.effective_lsn != _effective_lsn(before, rule.rule_id)]
        if begun or len(before) != len(self._by_id):
            self._states_read(connection, begun)
        self._revision = -1 if row is None else row[0]

    def _states_read(self, connection: psycopg.Connection[tuple[Any, ...]], begun: list[Rule]) -> None:
        """Of rules that begin anew; memory has those that go on, and nobody needs those that are gone."""
        begun_ids = {rule.rule_id for rule in begun}
        going_on = self._by_id.keys() - begun_ids
        self._states = {key: state for key, state in self._states.items() if key[0] in going_on}
        self._unwritten = {key for key in self._unwritten if key[0] in going_on}
        have_states = set()
        for rule_id, entity_id, *state in connection.execute(SQL["states"], {"rule_ids": sorted(begun_ids)}).fetchall():
            self._states[rule_id, entity_id] = State(*state)
            have_states.add(rule_id)
        for rule in begun:
            # Entities of which nothing comes are what such a rule is about: it counts from its making on.
            if rule.condition.operator == "stale" and rule.rule_id not in have_states:
                with connection.transaction():
                    for entity_id, entity, sample in self._present(connection, rule, lsn=rule.effective_lsn):
                        key = (rule.rule_id, entity_id)
                        self._remember((rule.tenant_id, entity_id), entity)
                        self._states[key], _ = sample_judge(rule.condition, State(), sample)
                        self._unwritten.add(key)
        self._timers = Timers({key: state.due_us for key, state in self._states.items() if state.due_us})

    @staticmethod
    def _present(
        connection: psycopg.Connection[tuple[Any, ...]], rule: Rule, *, lsn: int, seen_us: int = 0
    ) -> Iterator[tuple[int, tuple[str, str], Sample]]:
        """What the rule's entities have now, as samples, within a transaction.

        seen_us: when they came, if not when the rule came into force.
        """
        with connection.cursor(name="alerts_present") as cursor:
            cursor.itersize = _ROWS
            cursor.execute(SQL["present"], {"rule_id": rule.rule_id})
            for entity_id, entity_type, external_id, value, at_us, effective_us in cursor:
                sample = Sample(lsn, at_us, value, seen_us or effective_us, is_found=True)
                yield entity_id, (entity_type, external_id), sample

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
        happenings: list[Happening],
        changed: set[tuple[int, int]],
    ) -> None:
        before = self._states.get((rule.rule_id, entity_id), State())
        after, outcome = sample_judge(rule.condition, before, sample)
        self._keep((rule.rule_id, entity_id), before, after, changed)
        if outcome is not None:
            firing_lsn = before.firing_lsn if outcome == "cleared" else after.firing_lsn
            happenings.append(Happening(rule, entity_id, entity, outcome, sample, firing_lsn or 0))

    def _time_judge(
        self,
        rule: Rule,
        entity_id: int,
        entity: tuple[str, str],
        now_us: int,
        happenings: list[Happening],
        changed: set[tuple[int, int]],
    ) -> None:
        key = (rule.rule_id, entity_id)
        if (before := self._states.get(key)) is None:
            return
        after, outcome = time_judge(before, now_us)
        self._keep(key, before, after, changed)
        if outcome is not None:
            sample = Sample(before.last_lsn, before.due_us, before.value)
            happenings.append(Happening(rule, entity_id, entity, outcome, sample, before.last_lsn))

    def _rest_judge(
        self,
        rules: list[Rule],
        entity_id: int,
        sample: Sample,
        happenings: list[Happening],
        changed: set[tuple[int, int]],
    ) -> None:
        """Of an entity that is gone, and of which we know nothing but states: what is open ends, and nothing begins."""
        for rule in rules:
            state = self._states.get((rule.rule_id, entity_id))
            if state is not None and (state.firing_lsn is not None or not sample.is_there):
                self._judge(rule, entity_id, _NOBODY, sample, happenings, changed)

    def _timers_judge(
        self,
        connection: psycopg.Connection[tuple[Any, ...]],
        now_us: int,
        happenings: list[Happening],
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
        happenings: list[Happening],
        changed: Iterable[tuple[int, int]],
        position: Position,
    ) -> None:
        now = clock.now()
        touched = {*changed, *self._unwritten}
        judged = {*(key[0] for key in touched), *(found.rule.rule_id for found in happenings)}
        in_force = rules_hold(connection, [self._by_id[each] for each in sorted(judged) if each in self._by_id])
        kept = firings_write(connection, [found for found in happenings if found.rule.rule_id in in_force], now=now)
        notices_write(connection, kept, now=now)
        states_write(connection, {key: self._states.get(key) for key in touched if key[0] in in_force})
        self._unwritten = set()
        position_write(connection, position)
        self._position_written_at = time.monotonic()


def _effective_lsn(rules: dict[int, Rule], rule_id: int) -> int | None:
    return rules[rule_id].effective_lsn if rule_id in rules else None


def _sample(change: Change) -> Sample:
    """The sample that a changed value is."""
    row, seen_us = change.row, change.committed_us
    if row is None:
        return Sample(change.lsn, seen_us, None, seen_us, is_there=False)
    if row["value_type"] == "removed":
        return Sample(change.lsn, row["updated_at"], None, seen_us, is_there=False)
    digits = row["numeric_value"]
    return Sample(change.lsn, row["updated_at"], None if digits is None else float(digits), seen_us)
