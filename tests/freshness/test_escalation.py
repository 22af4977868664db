"""The budget of reads that move to the primary: pure, no servers."""

from __future__ import annotations

from freshness.choice import Candidate, Verdict
from freshness.escalation import EscalationBudget
from freshness.policy import Budget
from freshness.reads.through import _protected

NEAR = Budget("NEAR_REALTIME", 10.0)
PRIMARY = Verdict(Candidate("primary", "primary", 0.0, 900), "")
LATE = Verdict(Candidate("replica1", "read-replica", 7.0, 800), "lag 7.000 s is not below 5 s")
UNREACHED = Verdict(Candidate("replica1", "read-replica", 7.0, 800), "has not reached the position", reached=False)
UNKNOWN_TENANT = -1


def test_a_full_bucket_is_spent_and_fills_up_again() -> None:
    budget = EscalationBudget(rate=2.0, tenant_rate=100.0, now=0.0)
    assert [budget.take(1, now=0.0) for _ in range(11)] == [True] * 10 + [False]
    assert budget.take(1, now=0.5)
    assert not budget.take(1, now=0.5)


def test_one_tenant_can_not_spend_what_belongs_to_another() -> None:
    budget = EscalationBudget(rate=100.0, tenant_rate=1.0, now=0.0)
    assert [budget.take(1, now=0.0) for _ in range(6)] == [True] * 5 + [False]
    assert budget.take(2, now=0.0)


def spent(tenant_id: int) -> None:
    while _protected([PRIMARY, LATE], NEAR, tenant_id)[0] is PRIMARY:
        pass


def test_a_spent_budget_leaves_the_read_to_the_late_replica() -> None:
    spent(UNKNOWN_TENANT)
    verdicts = _protected([PRIMARY, LATE], NEAR, UNKNOWN_TENANT)
    assert [verdict.candidate.name for verdict in verdicts] == ["replica1", "primary"]
    assert not any(verdict.qualifies for verdict in verdicts)


def test_realtime_and_reads_that_no_replica_can_serve_are_not_refused() -> None:
    spent(UNKNOWN_TENANT)
    assert _protected([PRIMARY, LATE], Budget("REALTIME", 1.0), UNKNOWN_TENANT)[0] is PRIMARY
    assert _protected([PRIMARY, UNREACHED], NEAR, UNKNOWN_TENANT)[0] is PRIMARY
    assert _protected([PRIMARY], NEAR, UNKNOWN_TENANT)[0] is PRIMARY
