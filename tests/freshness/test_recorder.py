"""What is kept of each answer, and how much of it at the most."""

from __future__ import annotations

from django.conf import settings

from freshness.recorder import Recorder
from freshness.state import Answer, FreshnessState


def recorder_make() -> Recorder:
    """One that only takes notes: nothing writes them down."""
    return Recorder(feed_figures=lambda client: {})


def noted(recorder: Recorder, state: FreshnessState, *, path: str = "/", times: int = 1) -> None:
    for _ in range(times):
        recorder.note(state, tenant_id=1, path=path, status=200)


def read(*, is_explained: bool = False) -> FreshnessState:
    return FreshnessState(answer=Answer(source="primary", lag_s=0.0, position=1), is_explained=is_explained)


def test_what_read_nothing_is_not_noted() -> None:
    recorder = recorder_make()
    noted(recorder, FreshnessState(is_explained=True), times=10)
    assert not recorder._queue


def test_a_path_is_kept_up_to_its_500th_character() -> None:
    recorder = recorder_make()
    noted(recorder, read(), path="/" + "y" * 30_000)
    assert [len(one.path) for one in recorder._queue] == [500]


def test_also_decisions_that_were_asked_for_have_a_bound() -> None:
    recorder = recorder_make()
    burst = int(settings.DECISIONS_PER_S * 20)
    noted(recorder, read(), times=2 * burst)
    noted(recorder, read(is_explained=True), times=20 * burst)
    explained = [one.is_kept for one in recorder._queue if one.state.is_explained]
    sampled = [one.is_kept for one in recorder._queue if not one.state.is_explained]
    # All are counted; and those nobody asked for do not crowd out the others. Some flow in while this runs.
    assert (len(sampled), len(explained)) == (2 * burst, 20 * burst)
    assert burst <= sum(sampled) < 2 * burst and 10 * burst <= sum(explained) < 20 * burst
