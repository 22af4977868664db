"""Imports give way to replicas that can't follow: pure."""

from __future__ import annotations

import pytest

from freshness.pacing import LAG_S, PAUSE_MAX_S, pause_s


@pytest.mark.parametrize(
    ("lags", "seconds"),
    [
        ([], 0.0),
        ([None], 0.0),
        ([0.1, 0.2], 0.0),
        ([60.0, 0.2], 0.0),
        ([LAG_S + 0.5, None], 0.5),
        ([60.0, 60.0], PAUSE_MAX_S),
    ],
)
def test_an_import_waits_only_while_even_the_freshest_replica_is_behind(
    lags: list[float | None], seconds: float
) -> None:
    assert pause_s(lags) == pytest.approx(seconds)
