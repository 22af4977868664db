"""What people on call are told, and how well promises were kept: pure."""

from __future__ import annotations

from collections import Counter

import pytest

from freshness.alerts import conditions_now
from freshness.choice import Candidate
from freshness.figures import ReadKind, Reads, burn_rate, objective_of

ACME, GLOBEX = 1, 2
PRIMARY = Candidate("primary", "primary", 0.0, 900)
REPLICA = Candidate("replica1", "read-replica", 0.2, 900)


def keys(*stores: Candidate, burn: tuple[float, float, int] = (0.0, 0.0, 0), **feed: float) -> list[str]:
    figures = {f"atlasco_feed_{name}": value for name, value in feed.items()}
    return [found.key for found in conditions_now(stores, burn={"REALTIME": burn}, feed=figures)]


def test_nothing_is_told_while_nothing_is_wrong() -> None:
    assert keys(PRIMARY, REPLICA, slot_lost=0.0, slot_safe_bytes=float(1 << 30)) == []


def test_a_store_that_is_away_and_one_that_is_late_are_told_by_name() -> None:
    down = Candidate("clickhouse", "clickhouse", None, None, up=False)
    late = Candidate("replica2", "read-replica", 30.1, 800)
    assert keys(PRIMARY, REPLICA, down, late) == ["down:clickhouse", "lag:replica2"]
    assert keys(Candidate("replica2", "read-replica", 30.0, 800)) == []


def test_a_breach_is_told_when_both_windows_burn_and_enough_was_read() -> None:
    assert keys(PRIMARY, burn=(20.0, 15.0, 1000)) == ["sla:REALTIME"]
    # It is over, or it has only just begun, or it was one read of three.
    assert keys(PRIMARY, burn=(0.0, 15.0, 1000)) == keys(PRIMARY, burn=(20.0, 2.0, 1000)) == []
    assert keys(PRIMARY, burn=(333.0, 333.0, 3)) == []


def test_a_slot_that_is_lost_or_about_to_be_is_told() -> None:
    assert keys(PRIMARY, slot_lost=1.0) == ["slot:lost"]
    retained = 1600.0 * 2**20
    assert keys(PRIMARY, slot_safe_bytes=600.0 * 2**20, slot_retained_bytes=retained) == []
    # As /readyz says it, whatever the slot may retain at the most.
    assert keys(PRIMARY, slot_safe_bytes=400.0 * 2**20, slot_retained_bytes=retained) == ["slot:retention"]


def reads(*, kept: int, broken: int, unknown: int = 0, tenant_id: int = ACME) -> Reads:
    return Counter(
        {
            ReadKind(tenant_id, "REALTIME", "primary", "true"): kept,
            ReadKind(tenant_id, "REALTIME", "read-replica", "false"): broken,
            ReadKind(tenant_id, "REALTIME", "read-replica", "unknown"): unknown,
        }
    )


def test_an_error_budget_is_spent_by_broken_and_by_unknown_answers() -> None:
    half = objective_of(reads(kept=9_995, broken=3, unknown=2), objective=0.999)
    assert (half.reads, half.bad) == (10_000, 5)
    assert half.budget_left == pytest.approx(0.5)
    over = objective_of(reads(kept=9_980, broken=20), objective=0.999)
    assert over.budget_left == pytest.approx(-1.0)


def test_without_reads_there_is_nothing_to_judge() -> None:
    nothing = objective_of(Counter(), objective=0.999)
    assert (nothing.met_share, nothing.budget_left) == (None, None)
    assert burn_rate(Counter(), objective=0.999) == 0.0


def test_a_burn_rate_of_one_spends_the_budget_just_in_time() -> None:
    assert burn_rate(reads(kept=999, broken=1), objective=0.999) == pytest.approx(1.0)
    assert burn_rate(reads(kept=0, broken=1), objective=0.999) == pytest.approx(1000.0)
