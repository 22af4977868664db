"""What the honesty check would catch: pure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from atlasco.honesty.ledger import Ledger, Read, judge

GOOD = Read(
    counter=0,
    began=10.0,
    ended=10.1,
    value=3,
    lag_s=0.0,
    sla_met=True,
    sla_s=1.0,
    tier="REALTIME",
    source="primary",
    phase="calm",
)


@pytest.fixture
def ledger() -> Ledger:
    """Values 0 to 3, acknowledged at the seconds 0, 1, 2 and 9."""
    ledger = Ledger()
    for value, at in ((0, 0.0), (1, 1.0), (2, 2.0), (3, 9.0)):
        ledger.acknowledge(0, value, at)
    return ledger


def test_an_answer_that_shows_all_that_was_acknowledged_is_honest(ledger: Ledger) -> None:
    assert ledger.violations(GOOD) == []
    # Something newer, which nobody acknowledged yet, is not a lie.
    assert ledger.violations(replace(GOOD, value=4)) == []


def test_a_lag_that_does_not_cover_what_is_missing_is_found(ledger: Ledger) -> None:
    # 3 was acknowledged one second before the read began.
    assert ledger.violations(replace(GOOD, value=2, lag_s=1.1)) == []
    assert ledger.violations(replace(GOOD, value=2, lag_s=0.9)) == ["lag bound"]
    assert ledger.violations(replace(GOOD, value=2, lag_s=None)) == []


def test_an_sla_that_was_not_met_is_found(ledger: Ledger) -> None:
    late = replace(GOOD, value=1, lag_s=9.0, sla_s=5.0)
    assert ledger.violations(late) == ["SLA met"]
    assert ledger.violations(replace(late, sla_s=9.0)) == []
    assert ledger.violations(replace(late, sla_met=False)) == []


def test_a_token_whose_write_is_missing_is_found(ledger: Ledger) -> None:
    assert ledger.violations(replace(GOOD, lag_s=60.0, value=2, token=3)) == ["token"]
    assert ledger.violations(replace(GOOD, lag_s=60.0, value=2, token=2)) == []


def test_a_page_behind_the_one_before_is_found(ledger: Ledger) -> None:
    assert ledger.violations(replace(GOOD, lag_s=60.0, sla_met=False, value=1, seen=2)) == ["monotonic"]
    assert ledger.violations(replace(GOOD, lag_s=60.0, sla_met=False, value=2, seen=2)) == []


def test_what_a_promotion_lost_is_missed_by_nobody_but_a_token(ledger: Ledger) -> None:
    assert ledger.lose(0, survived=1) == 2
    assert ledger.violations(replace(GOOD, value=1)) == []
    assert ledger.violations(replace(GOOD, value=1, token=3)) == ["token"]
    ledger.acknowledge(0, 4, 9.5)
    assert ledger.violations(replace(GOOD, value=1)) == ["lag bound"]


def test_refusals_are_counted_by_whether_they_are_honest(ledger: Ledger) -> None:
    refused = replace(GOOD, value=None, code="write_lost")
    verdict = judge(ledger, [GOOD, refused, replace(refused, code="no_store_answers"), replace(GOOD, is_further=True)])
    assert (verdict.reads, verdict.values, verdict.failed) == (3, 2, 1)
    assert verdict.refused == {"write_lost": 1}
    assert verdict.is_honest
