"""The choice of a store: pure, no servers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from freshness.choice import Candidate, candidates_judge
from freshness.policy import TIER_SLA_S, TIERS, Budget, Tier

PRIMARY = Candidate("primary", "primary", 0.0, 900)


def replica(name: str = "replica1", lag_s: float | None = 0.2, position: int = 900, *, up: bool = True) -> Candidate:
    return Candidate(name, "read-replica", lag_s, position, up)


def chosen(tier: Tier, *candidates: Candidate, needed_lsn: int = 0, sla_s: float | None = None) -> str | None:
    budget = Budget(tier, TIER_SLA_S[tier] if sla_s is None else sla_s)
    verdicts = candidates_judge(budget=budget, needed_lsn=needed_lsn, candidates=list(candidates))
    return verdicts[0].candidate.name if verdicts[0].qualifies else None


def test_realtime_asks_the_primary_even_where_a_replica_is_close() -> None:
    assert chosen("REALTIME", replica(lag_s=0.01), PRIMARY) == "primary"


def test_near_realtime_takes_the_freshest_replica() -> None:
    assert chosen("NEAR_REALTIME", PRIMARY, replica("replica1", 1.0), replica("replica2", 0.5)) == "replica2"


def test_a_replica_five_seconds_behind_hands_over_to_the_primary() -> None:
    assert chosen("NEAR_REALTIME", PRIMARY, replica(lag_s=5.0)) == "primary"
    assert chosen("NEAR_REALTIME", PRIMARY, replica(lag_s=4.999)) == "replica1"


def test_a_tighter_budget_is_kept_too() -> None:
    assert chosen("NEAR_REALTIME", PRIMARY, replica(lag_s=3.0), sla_s=2.5) == "primary"


def test_an_unknown_lag_never_qualifies() -> None:
    assert chosen("EVENTUAL", replica(lag_s=None)) is None


def test_a_token_is_honoured_by_stores_that_have_reached_it() -> None:
    assert chosen("EVENTUAL", PRIMARY, replica(position=899), needed_lsn=900) == "primary"
    assert chosen("EVENTUAL", PRIMARY, replica(position=900), needed_lsn=900) == "replica1"


def test_a_store_that_has_not_reached_what_is_needed_is_never_asked() -> None:
    verdicts = candidates_judge(
        budget=Budget("NEAR_REALTIME", 10.0), needed_lsn=900, candidates=[replica(lag_s=7.0, position=899), PRIMARY]
    )
    assert {verdict.candidate.name: verdict.reached for verdict in verdicts} == {"primary": True, "replica1": False}


def test_a_wish_sends_the_read_on_but_does_not_forbid_a_store() -> None:
    verdicts = candidates_judge(
        budget=Budget("NEAR_REALTIME", 10.0), needed_lsn=0, wished_lsn=901, candidates=[replica(position=900), PRIMARY]
    )
    assert verdicts[0].candidate.name == "primary"
    assert all(verdict.reached for verdict in verdicts)


def test_eventual_reads_stay_on_a_replica_up_to_ten_seconds_behind() -> None:
    assert chosen("EVENTUAL", PRIMARY, replica(lag_s=9.9)) == "replica1"
    assert chosen("EVENTUAL", PRIMARY, replica(lag_s=10.0)) == "primary"


def test_without_the_primary_a_replica_stands_in_unless_it_is_far_behind_the_freshest_store() -> None:
    down = Candidate("primary", "primary", 0.0, 900, up=False)
    clickhouse = Candidate("clickhouse", "clickhouse", 30.0, 900)
    cache = Candidate("redis-cache", "redis-cache", 4.9, 900)

    def tried(*others: Candidate) -> list[str]:
        verdicts = candidates_judge(budget=Budget("REALTIME", 1.0), candidates=[down, *others])
        return [verdict.candidate.name for verdict in verdicts][:-1]

    assert tried(clickhouse, replica(lag_s=39.9)) == ["replica1", "clickhouse"]
    assert tried(clickhouse, replica(lag_s=40.0)) == ["clickhouse", "replica1"]
    assert tried(clickhouse, replica(lag_s=None)) == ["clickhouse", "replica1"]
    assert tried(replica(lag_s=4.0), cache) == ["redis-cache", "replica1"]


def test_without_the_primary_the_freshest_replica_is_tried_though_it_does_not_qualify() -> None:
    down = Candidate("primary", "primary", 0.0, 900, up=False)
    verdicts = candidates_judge(
        budget=Budget("REALTIME", 1.0),
        needed_lsn=0,
        candidates=[down, replica("replica1", 8.0), replica("replica2", 7.0)],
    )
    assert [verdict.candidate.name for verdict in verdicts] == ["replica2", "replica1", "primary"]
    assert not any(verdict.qualifies for verdict in verdicts)
    assert verdicts[-1].reason == "down"


def test_realtime_without_the_primary_takes_a_fresh_cache_before_a_fresher_replica() -> None:
    down = Candidate("primary", "primary", 0.0, 900, up=False)
    cache = Candidate("redis-cache", "redis-cache", 4.9, 900)
    late = Candidate("redis-cache", "redis-cache", 5.0, 900)
    budget = Budget("REALTIME", 1.0)
    for candidates, first in (([down, replica(), cache], "redis-cache"), ([down, replica(), late], "replica1")):
        verdicts = candidates_judge(budget=budget, needed_lsn=0, candidates=candidates)
        assert (verdicts[0].candidate.name, verdicts[0].qualifies) == (first, False)


def test_each_tier_goes_down_its_tree() -> None:
    cache, late = Candidate("redis-cache", "redis-cache", 1.0, 900), replica(lag_s=6.0)
    house = Candidate("clickhouse", "clickhouse", 59.0, 900)
    assert chosen("NEAR_REALTIME", PRIMARY, cache, house, late) == "redis-cache"
    assert chosen("NEAR_REALTIME", PRIMARY, cache, house, replica()) == "replica1"
    assert chosen("EVENTUAL", PRIMARY, cache, house, replica()) == "clickhouse"
    assert chosen("EVENTUAL", PRIMARY, cache, Candidate("clickhouse", "clickhouse", 60.0, 900), late) == "replica1"


CANDIDATES = st.builds(
    Candidate,
    name=st.sampled_from(["replica1", "replica2", "replica3"]),
    source=st.just("read-replica"),
    lag_s=st.none() | st.floats(0, 100),
    position=st.none() | st.integers(0, 1000),
    up=st.booleans(),
)


@given(
    tier=st.sampled_from(TIERS),
    sla_s=st.none() | st.floats(0, 300),
    needed_lsn=st.integers(0, 1000),
    others=st.lists(CANDIDATES, max_size=5),
    primary_up=st.booleans(),
)
def test_what_qualifies_keeps_every_promise(
    tier: Tier, sla_s: float | None, needed_lsn: int, others: list[Candidate], primary_up: bool
) -> None:
    candidates = [Candidate("primary", "primary", 0.0, None, primary_up), *others]
    verdicts = candidates_judge(budget=Budget(tier, sla_s), needed_lsn=needed_lsn, candidates=candidates)
    assert sorted(map(repr, (verdict.candidate for verdict in verdicts))) == sorted(map(repr, candidates))
    for verdict in verdicts:
        store = verdict.candidate
        if verdict.qualifies and store.source != "primary":
            assert store.up
            assert store.lag_s is not None
            assert store.lag_s < (5.0 if tier == "NEAR_REALTIME" else 10.0)
            assert sla_s is None or store.lag_s < sla_s
            assert not needed_lsn or (store.position is not None and store.position >= needed_lsn)
            assert tier != "REALTIME"
    qualities = [verdict.qualifies for verdict in verdicts]
    assert qualities == sorted(qualities, reverse=True)
    if primary_up:
        assert verdicts[0].qualifies
