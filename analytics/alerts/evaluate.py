"""Whether a sample, or the time without one, makes a rule fire or clears it. Pure.

# Note [By which clock]
A run lasts from the instant of its first sample to that of its last, and then as long as no other sample comes, by the
primary's clock: a value holds until it is replaced. So a rule fires when its time is up, not when something happens to
be written; and an import of last year's samples, which all come now, is judged by their own instants. `stale` has only
the second half: nothing came for so long.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

Operator: TypeAlias = Literal["gt", "ge", "lt", "le", "eq", "ne", "stale"]
_COMPARES: Final[dict[Operator, Callable[[float, float], bool]]] = {
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
    "eq": operator.eq,
    "ne": operator.ne,
}
SIGNS: Final[dict[Operator, str]] = {
    "gt": ">",
    "ge": "≥",
    "lt": "<",
    "le": "≤",
    "eq": "=",
    "ne": "≠",
    "stale": "not set",
}
OPERATORS: Final[tuple[Operator, ...]] = tuple(SIGNS)
Outcome: TypeAlias = Literal["fired", "cleared"]
_SECOND: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Condition:
    """When a rule fires. clear_threshold: None for the threshold itself.

    With `stale` only for_seconds means anything.
    """

    operator: Operator
    threshold: float
    clear_threshold: float | None = None
    for_samples: int = 1
    for_seconds: int = 0

    def is_beyond(self, value: float) -> bool:
        return _COMPARES[self.operator](value, self.threshold)

    def is_still_beyond(self, value: float) -> bool:
        """Whether one that has fired goes on: beyond the clear threshold, which is nearer than the threshold."""
        limit = self.threshold if self.clear_threshold is None else self.clear_threshold
        return _COMPARES[self.operator](value, limit)


@dataclass(frozen=True, slots=True)
class Sample:
    """One value. at_us: its own instant; seen_us: when it was committed, 0 where that is not known.

    value: None where it is not a number; is_there: False where it was removed. is_found: it did not come from the feed
    but was found present, so that its own LSN is not known; lsn is where the feed goes on.
    """

    lsn: int
    at_us: int
    value: float | None
    seen_us: int = 0
    is_there: bool = True
    is_found: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """How a rule stands for one entity. run_length: true samples in a row, since run_since_us.

    firing_lsn: of the sample with which it fired, None while it has not; last_lsn: of the last sample counted.
    due_us: when it fires if no other sample comes, 0 for never; value, last_us: of the last sample, which is_found says
    was found present.
    """

    run_length: int = 0
    run_since_us: int = 0
    firing_lsn: int | None = None
    last_lsn: int = 0
    due_us: int = 0
    value: float | None = None
    last_us: int = 0
    is_found: bool = False

    @property
    def is_quiet(self) -> bool:
        return self.run_length == 0 and self.firing_lsn is None


def sample_judge(condition: Condition, state: State, sample: Sample) -> tuple[State, Outcome | None]:
    """The state after a sample, and what it did. A sample that was counted before does nothing.

    Judge the time until the sample came first.
    """
    if sample.is_found and _is_last(state, sample):
        return replace(state, is_found=True), None
    if _is_counted(state, sample):
        return state, None
    value, is_found = sample.value, sample.is_found
    if condition.operator == "stale":
        outcome: Outcome | None = None if state.firing_lsn is None else "cleared"
        if not sample.is_there:
            return State(last_lsn=sample.lsn), outcome
        due_us = sample.seen_us + condition.for_seconds * _SECOND if sample.seen_us else 0
        return State(1, sample.at_us, None, sample.lsn, due_us, value, sample.at_us, is_found), outcome
    if value is None and sample.is_there:
        # No number says nothing of a threshold; but the value before it holds no longer.
        return replace(state, due_us=0), None
    if state.firing_lsn is not None:
        if value is not None and condition.is_still_beyond(value):
            going_on = replace(state, last_lsn=sample.lsn, value=value, last_us=sample.at_us, is_found=is_found)
            return going_on, None
        return State(last_lsn=sample.lsn), "cleared"
    if value is None or not condition.is_beyond(value):
        return State(last_lsn=sample.lsn), None
    since_us = state.run_since_us if state.run_length else sample.at_us
    run = State(state.run_length + 1, since_us, None, sample.lsn, 0, value, sample.at_us, is_found)
    if run.run_length < condition.for_samples:
        return run, None
    left_us = condition.for_seconds * _SECOND - (sample.at_us - since_us)
    if left_us <= 0:
        return replace(run, firing_lsn=sample.lsn), "fired"
    return replace(run, due_us=sample.seen_us + left_us if sample.seen_us else 0), None


def _is_last(state: State, sample: Sample) -> bool:
    """Whether it is the sample that was counted last."""
    return not state.is_quiet and (sample.at_us, sample.value) == (state.last_us, state.value)


def _is_counted(state: State, sample: Sample) -> bool:
    if sample.is_found:
        return False
    if not state.is_found:
        return sample.lsn <= state.last_lsn
    # What was found present may come from the feed as well, and what it replaced; a row of a transaction that was open
    # then has a smaller LSN and counts all the same. Values of one key come in the order of their instants.
    return sample.is_there and (sample.at_us < state.last_us or _is_last(state, sample))


def time_judge(state: State, now_us: int) -> tuple[State, Outcome | None]:
    """The state at an instant up to which everything was seen, and what the time did: see Note [By which clock]."""
    if not state.due_us or now_us < state.due_us:
        return state, None
    return replace(state, firing_lsn=state.last_lsn, due_us=0), "fired"


def firings_count(
    condition: Condition, samples: Iterable[Sample], *, until_us: int, since_us: int | None = None
) -> int:
    """How often a rule would have fired for one entity, from its samples in order, between two instants."""
    state, fired = State(), 0
    for sample in samples:
        due_us = state.due_us
        state, late = time_judge(state, sample.seen_us)
        state, outcome = sample_judge(condition, state, sample)
        fired += late == "fired" and (since_us is None or due_us >= since_us)
        fired += outcome == "fired" and (since_us is None or sample.seen_us >= since_us)
    _, late = time_judge(state, until_us)
    return fired + (late == "fired" and (since_us is None or state.due_us >= since_us))
