"""What each tenant's rollups reflect, and removing what is of a tenant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from analytics.feed.events import Heartbeat, Position
from atlasco.lib.sql import sql_blocks

SQL: Final = sql_blocks(Path(__file__).parent / "sql" / "refresh.sql")
TABLES: Final = (
    "rollup_marks",
    "rollup_work",
    "rollup_parts",
    "rollup_value_parts",
    "rollup_entity_parts",
    "rollup_distribution",
    "rollup_values",
    "rollup_trend",
    "rollup_entities",
    "rollup_state",
)
_COLUMNS: Final = (
    "tenant_id",
    "generation",
    "cluster",
    "lsn",
    "heartbeat_seq",
    "heartbeat_ts_us",
    "heartbeat_lsn",
    "marks_us",
    "refreshed_us",
    "spent_s",
    "recent_us",
    "starts",
)


@dataclass(frozen=True, slots=True)
class RollupState:
    """position: what the tenant's rollups reflect at least; marks_us: changes noted up to here are worked in.

    refreshed_us, spent_s: when something was last computed, and how long that took; recent_us: where the last seven
    days began then; starts: where its stretches of entity ids begin. Instants are microseconds since 1970.
    """

    tenant_id: int
    generation: int
    position: Position
    marks_us: int
    refreshed_us: int
    spent_s: float
    recent_us: int
    starts: list[int]


def states_read(client: Any, *, tenant_id: int | None = None) -> dict[int, RollupState]:
    """The newest state of every tenant that has one, or of one tenant."""
    narrowed = SQL["states"]
    parameters = {}
    if tenant_id is not None:
        narrowed = narrowed.replace("FROM rollup_state", "FROM rollup_state WHERE tenant_id = {tenant:UInt32}")
        parameters = {"tenant": tenant_id}
    rows = client.query(narrowed, parameters=parameters).result_rows
    return {row[0]: _state(*row) for row in rows}


def _state(
    tenant_id: int, generation: int, cluster: str, lsn: int, seq: int, ts_us: int, beat_lsn: int, *rest: Any
) -> RollupState:
    beat = Heartbeat(seq, ts_us, beat_lsn) if seq else None
    return RollupState(tenant_id, generation, Position(cluster, lsn, beat), *rest)


def states_write(client: Any, states: list[RollupState]) -> None:
    """Record states. Call after what they speak of has been inserted."""
    rows = []
    for state in states:
        beat = state.position.heartbeat or Heartbeat(0, 0, 0)
        rows.append(
            [
                *(state.tenant_id, state.generation, state.position.cluster, state.position.lsn),
                *(beat.seq, beat.ts_us, beat.lsn),
                *(state.marks_us, state.refreshed_us, state.spent_s, state.recent_us, state.starts),
            ]
        )
    if rows:
        client.insert("rollup_state", rows, column_names=_COLUMNS)


def rollups_count(client: Any, *, tenant_id: int) -> int:
    """How many rows the tenant has in all tables of the rollups."""
    counts = " + ".join(f"(SELECT count() FROM {table} WHERE tenant_id = {{tenant:UInt32}})" for table in TABLES)
    return int(client.query(f"SELECT {counts}", parameters={"tenant": tenant_id}).result_rows[0][0])


def rollups_erase(client: Any, *, tenant_id: int) -> int:
    """Remove the tenant's rows from the disk; return how many there were."""
    removed = 0
    for table in TABLES:
        rows = client.query(
            f"SELECT count() FROM {table} WHERE tenant_id = {{tenant:UInt32}}", parameters={"tenant": tenant_id}
        ).result_rows
        if rows[0][0]:  # A deletion rewrites parts, even where there is nothing to delete.
            removed += int(rows[0][0])
            client.command(
                f"ALTER TABLE {table} DELETE WHERE tenant_id = {{tenant:UInt32}}",
                parameters={"tenant": tenant_id},
                settings={"mutations_sync": "2"},
            )
    return removed
