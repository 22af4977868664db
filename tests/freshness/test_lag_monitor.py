"""The lag monitor's page: for the platform's people, on the platform's host."""

from __future__ import annotations

from collections import Counter

from atlasco.lag_monitor import lag_chart, reads_chart, shares_of
from freshness.figures import ReadKind


def test_a_chart_of_many_samples_keeps_the_worst_of_each_stretch() -> None:
    samples = [{"at": float(at), "lag": {"primary": 0.0, "replica1": 9.0 if at == 37 else 0.1}} for at in range(720)]
    chart = lag_chart(samples)
    assert [line["name"] for line in chart["series"]] == ["replica1"]
    assert len(chart["labels"]) == len(chart["series"][0]["values"]) == 120
    assert max(chart["series"][0]["values"]) == 9.0


def test_a_store_that_was_away_leaves_a_gap() -> None:
    samples = [{"at": 0.0, "lag": {"replica1": 0.1}}, {"at": 5.0, "lag": {}}, {"at": 10.0, "lag": {"replica1": 0.2}}]
    assert lag_chart(samples)["series"][0]["values"] == [0.1, None, 0.2]
    assert lag_chart([])["series"] == lag_chart([])["labels"] == []


def test_reads_are_told_by_who_answered() -> None:
    first = Counter({ReadKind(1, "EVENTUAL", "clickhouse", "true"): 3, ReadKind(2, "REALTIME", "primary", "true"): 1})
    chart = reads_chart([first, Counter()], now_s=120.0)
    assert {line["name"]: line["values"] for line in chart["series"]} == {"clickhouse": [3, 0], "primary": [1, 0]}
    assert chart["labels"] == ["00:01", "00:02"]
    assert shares_of(first) == [("clickhouse", 3, 0.75), ("primary", 1, 0.25)]
