"""Refreshing a tenant's rollups where something changed. See Note [How a rollup stays right]."""

from __future__ import annotations

import logging
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS, connections

from analytics.clickhouse.changes import position_read
from analytics.feed.events import Position
from analytics.rollups.state import SQL, RollupState, rollups_erase, states_read, states_write
from atlasco.lib.clock import to_us
from atlasco.lib.errors import Unavailable
from tenants.database.locks import advisory_lock
from tenants.models import Tenant
from tenants.rounds import tenants_each
from tenants.selectors import tenants_kept

log = logging.getLogger(__name__)

# A tenant is refreshed this often at the most, and less often where all of them together take long: at most a twentieth
# of the time is spent on them. The budget of reports is five minutes.
EVERY_S: Final = 30.0
COST_SHARE: Final = 20
EVERY_MAX_S: Final = 240.0
RECENT: Final = timedelta(days=7)
# The last seven days begin later with every second; a tenant where nothing changes is looked at this often.
RECENT_EVERY_S: Final = 600.0
# Attributes with more different values are not counted value by value, nor are long texts.
FEW_VALUES: Final = 200
VALUE_MAX_BYTES: Final = 256
# Entities in a stretch of ids; one that has grown to twice as many is cut. A change makes its stretch anew.
STRETCH_ENTITIES: Final = 16_384
# Values that one statement reads into memory, about 100 bytes each.
_RUN_VALUES: Final = 4_000_000
# Numbers that one statement puts together, a few times 8 bytes each.
_SLICE_VALUES: Final = 16_000_000
# Marks carry ClickHouse's clock, which may be set back a little.
MARKS_MARGIN_S: Final = 5
# They are forgotten after two days.
_MARKS_KEPT_NS: Final = 2 * 86_400 * 10**9
_NOWHERE: Final = -(2**63)
_FIRST: Final = _NOWHERE + 1
_LAST: Final = 2**63 - 1
_SETTINGS: Final = {
    # A slice's rows come as one block and make one part.
    "max_insert_threads": 1,
    "min_insert_block_size_rows": 16_000_000,
    "min_insert_block_size_bytes": 1 << 30,
    "use_skip_indexes_if_final": 1,
    "join_algorithm": "hash",
}


class RollupsUnavailable(Unavailable):
    """The change feed has not filled ClickHouse yet, so there is nothing to compute rollups from."""

    code = "rollups_unavailable"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a refresh of one tenant would do now. attributes: those with a change, and in how many hours of each.

    position: what the rollups reflect once it is done; entities_changed: entities were made, changed or deleted;
    is_first: everything is computed; is_due: not too soon after the last one; recent_moved: the last seven days begin
    noticeably later now; state: what there is, None for the first one.
    """

    tenant_id: int
    position: Position
    attributes: dict[str, int] = field(default_factory=dict)
    entities_changed: bool = False
    is_first: bool = False
    is_due: bool = True
    recent_moved: bool = False
    state: RollupState | None = None

    @property
    def is_empty(self) -> bool:
        return not (self.attributes or self.entities_changed or self.is_first)


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh did. attributes, hours: computed anew; values: about how many were read; spent_s: seconds."""

    attributes: int = 0
    hours: int = 0
    values: int = 0
    spent_s: float = 0.0


def rollups_plan(client: Any, *, tenant_ids: Iterable[int], now: datetime) -> list[Plan]:
    """What has changed since the last refresh, tenant by tenant; empty while the feed has filled nothing yet."""
    # In this order: what is marked when the marks are read contains all that the position speaks of.
    states, position = states_read(client), position_read(client)
    if position is None:
        return []
    marks = _marks(client)
    wait_s = min(max(EVERY_S, COST_SHARE * sum(state.spent_s for state in states.values())), EVERY_MAX_S)
    return [_plan(client, tenant_id, states.get(tenant_id), position, marks, now, wait_s) for tenant_id in tenant_ids]


def rollups_advance(client: Any, *, plans: Iterable[Plan]) -> None:
    """Note for tenants where nothing changed that their rollups reflect the plans' position."""
    generation = time.time_ns()
    states_write(
        client,
        [
            replace(plan.state, generation=generation, position=plan.position)
            for plan in plans
            if plan.state is not None and plan.is_empty
        ],
    )


def rollups_round(client: Any, *, now: Callable[[], datetime]) -> int:
    """Refresh every tenant that is due; those without changes move on. Returns how many tenants were refreshed.

    What another worker refreshes just now is left to it. Raises RoundIncomplete, ClickHouseError.
    """
    plans = {plan.tenant_id: plan for plan in rollups_plan(client, tenant_ids=_tenant_ids(), now=now())}
    rollups_advance(client, plans=plans.values())

    def refresh(tenant: Tenant) -> int:
        plan = plans.get(tenant.pk)
        if plan is None or not plan.is_due or (plan.is_empty and not plan.recent_moved):
            return 0
        return int(rollups_refresh_alone(client, tenant=tenant, now=now()) is not None)

    return tenants_each(refresh)


def rollups_refresh_alone(client: Any, *, tenant: Tenant, now: datetime, everything: bool = False) -> Refreshed | None:
    """Refresh the bound tenant unless somebody else is at it; None then."""
    with advisory_lock(f"atlasco.rollups.{tenant.pk}") as is_ours:
        if not is_ours:
            return None
        done = rollups_refresh(client, tenant_id=tenant.pk, now=now, everything=everything)
        # A deletion that began meanwhile has erased what was there then, and not what came after.
        with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
            cursor.execute("SELECT FROM tenants_tenant WHERE id = %s AND status <> 'deleting'", (tenant.pk,))
            if cursor.rowcount == 0:
                rollups_erase(client, tenant_id=tenant.pk)
        return done


def rollups_refresh(client: Any, *, tenant_id: int, now: datetime, everything: bool = False) -> Refreshed:
    """Compute anew what has changed of one tenant. Raises RollupsUnavailable.

    everything: what has not changed, too. Safe to run twice, and to be killed anywhere; beside another one for the same
    tenant the older never wins, but only `rollups_refresh_alone` keeps the two from cutting stretches differently.
    """
    # In this order: what is marked when the marks are read contains all that the position speaks of.
    position = position_read(client)
    if position is None:
        raise RollupsUnavailable
    generation, began = time.time_ns(), time.perf_counter()
    state = states_read(client, tenant_id=tenant_id).get(tenant_id)
    marks_us = _marks(client).get(tenant_id, 0)
    recent_us = to_us(now - RECENT)
    base: dict[str, Any] = {"tenant": tenant_id, "generation": generation, "recent_now": recent_us, "nowhere": _NOWHERE}
    base |= {"few": FEW_VALUES, "value_bytes": VALUE_MAX_BYTES}
    base["starts"] = [_FIRST] if state is None else state.starts
    if everything or state is None or _is_unusable(state, position):
        base["starts"], _ = _starts_cut(client, base, _FIRST, _LAST)
        _run(client, "work_settle_all", base)
    else:
        beat = state.position.heartbeat
        since = {
            "marks_from": state.marks_us - MARKS_MARGIN_S * 1_000_000,
            "marks_to": marks_us,
            "recent_before": state.recent_us,
            "state_generation": state.generation,
            # A removal carries the instant of its commit.
            "removed_from": 0 if beat is None else beat.ts_us - MARKS_MARGIN_S * 1_000_000,
        }
        _run(client, "work_settle", base | since)
        _grown_settle(client, base)
    attributes, hours, has_entities, hour_from, hour_to = client.query(SQL["work_size"], parameters=base).result_rows[0]
    values = _parts_write(client, base)
    if attributes:
        size = client.query(SQL["parts_size"], parameters=base).result_rows[0][0]
        slices = max(1, -(-size // _SLICE_VALUES))
        for number in range(slices):
            _run(client, "distribution_write", base | {"slices": slices, "slice": number})
            _run(client, "values_write", base | {"slices": slices, "slice": number})
    if hours:
        of_hours = base | {"hour_from": hour_from, "hour_to": hour_to}
        size = client.query(_filled("hours_size"), parameters=of_hours | {"slices": 1, "slice": 0}).result_rows[0][0]
        slices = max(1, -(-size // _RUN_VALUES))
        for number in range(slices):
            _run(client, "trend_hours_write", of_hours | {"slices": slices, "slice": number})
            _run(client, "trend_days_write", of_hours | {"slices": slices, "slice": number})
    if has_entities:
        _run(client, "entities_write", base)
    spent_s = time.perf_counter() - began
    states_write(
        client,
        [RollupState(tenant_id, generation, position, marks_us, to_us(now), spent_s, recent_us, base["starts"])],
    )
    done = Refreshed(attributes, hours, values, spent_s)
    log.info(
        "Rollups refreshed.", extra={"attributes": attributes, "hours": hours, "values": values, "spent_s": spent_s}
    )
    return done


@dataclass(slots=True)
class _Run:
    """Neighbouring stretches that one statement makes anew, from the first id to the last one."""

    start: int
    end: int
    size: int
    has_entities: bool


def _starts_cut(client: Any, base: dict[str, Any], run_from: int, run_to: int) -> tuple[list[int], list[int]]:
    """Where stretches begin once those of the run that are too long are cut; and which of them are new or shorter."""
    parameters = base | {"length": STRETCH_ENTITIES, "run_from": run_from, "run_to": run_to}
    rows = client.query(SQL["stretches_grown"], parameters=parameters, settings=_SETTINGS).result_rows
    cuts = [cut for _, found in rows for cut in found]
    return sorted({*base["starts"], *cuts}), sorted({*(start for start, _ in rows), *cuts})


def _grown_settle(client: Any, base: dict[str, Any]) -> None:
    """Cut the stretches that got too many new entities."""
    touched = [place for place, has_entities in _stretches_due(client, base) if has_entities]
    if not touched:
        return
    starts, grown = _starts_cut(client, base, touched[0], _stretch_end(base["starts"], touched[-1]))
    if grown:
        base["starts"] = starts
        _run(client, "work_settle_grown", base | {"grown": grown})


def _stretches_due(client: Any, base: dict[str, Any]) -> list[tuple[int, bool]]:
    rows = client.query(SQL["stretches_due"], parameters=base).result_rows
    return [(place, bool(has_entities)) for place, has_entities in rows]


def _parts_write(client: Any, base: dict[str, Any]) -> int:
    """Make the parts anew that are due, in runs of neighbours; return about how many values were read."""
    due = _stretches_due(client, base)
    if not due:
        return 0
    whole = base | {"run_from": due[0][0], "run_to": _stretch_end(base["starts"], due[-1][0])}
    sizes = dict(client.query(_filled("stretches_size"), parameters=whole).result_rows)
    runs: list[_Run] = []
    for place, has_entities in due:
        size, end = sizes.get(place, 0), _stretch_end(base["starts"], place)
        if runs and runs[-1].end + 1 == place and runs[-1].size + size <= _RUN_VALUES:
            run = runs[-1]
            run.end, run.size, run.has_entities = end, run.size + size, run.has_entities or has_entities
        else:
            runs.append(_Run(place, end, size, has_entities=has_entities))
    for run in runs:
        parameters = base | {"run_from": run.start, "run_to": run.end}
        _run(client, "parts_write", parameters)
        _run(client, "value_parts_write", parameters)
        if run.has_entities:
            _run(client, "entity_parts_write", parameters)
    return sum(run.size for run in runs)


def _stretch_end(starts: list[int], start: int) -> int:
    """The last id of the stretch that begins there."""
    place = bisect_right(starts, start)
    return starts[place] - 1 if place < len(starts) else _LAST


def _plan(
    client: Any,
    tenant_id: int,
    state: RollupState | None,
    position: Position,
    marks: dict[int, int],
    now: datetime,
    wait_s: float,
) -> Plan:
    if state is None or _is_unusable(state, position):
        return Plan(tenant_id, position, is_first=True)
    attributes: dict[str, int] = {}
    if marks.get(tenant_id, 0) > state.marks_us:
        rows = client.query(
            SQL["marks_new"],
            parameters={"tenant": tenant_id, "marks_from": state.marks_us - MARKS_MARGIN_S * 1_000_000},
        ).result_rows
        attributes = dict(rows)
    entities_changed = attributes.pop("", 0) > 0
    since_s = (to_us(now) - state.refreshed_us) / 1e6
    return Plan(
        tenant_id,
        position,
        attributes=attributes,
        entities_changed=entities_changed,
        is_due=since_s >= wait_s,
        recent_moved=since_s >= RECENT_EVERY_S,
        state=state,
    )


def _is_unusable(state: RollupState, position: Position) -> bool:
    """Whether it was reached with another primary, whose positions mean nothing here, or is older than the marks."""
    is_old = time.time_ns() - state.generation > _MARKS_KEPT_NS
    return is_old or not state.position.is_of(position.cluster)


def _tenant_ids() -> list[int]:
    return [tenant.pk for tenant in tenants_kept()]


def _marks(client: Any) -> dict[int, int]:
    return dict(client.query(SQL["marks"]).result_rows)


def _run(client: Any, block: str, parameters: dict[str, Any]) -> None:
    client.command(_filled(block), parameters=parameters, settings=_SETTINGS)


def _filled(block: str) -> str:
    statement = SQL[block]
    # few_values asks for stretches itself.
    for name in ("few_values", "attributes", "stretches", "hours", "days"):
        statement = statement.replace("{" + name + "}", SQL[name])
    return statement
