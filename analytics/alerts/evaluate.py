"""Whether a sample makes a rule fire or clears it. Pure."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

Operator: TypeAlias = Literal["gt", "ge", "lt", "le", "eq", "ne"]
OPERATORS: Final[dict[Operator, Callable[[float, float], bool]]] = {
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
    "eq": operator.eq,
    "ne": operator.ne,
}
SIGNS: Final[dict[Operator, str]] = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤", "eq": "=", "ne": "≠"}
Outcome: TypeAlias = Literal["fired", "cleared"]


@dataclass(frozen=True, slots=True)
class Condition:
    """When a rule fires. clear_threshold: None for the threshold itself."""

    operator: Operator
    threshold: float
    clear_threshold: float | None = None
    for_samples: int = 1
    for_seconds: int = 0

    def is_beyond(self, value: float) -> bool:
        return OPERATORS[self.operator](value, self.threshold)

    def is_still_beyond(self, value: float) -> bool:
        """Whether one that has fired goes on: beyond the clear threshold, which is nearer than the threshold."""
        limit = self.threshold if self.clear_threshold is None else self.clear_threshold
        return OPERATORS[self.operator](value, limit)


@dataclass(frozen=True, slots=True)
class Sample:
    """One value. at_us: its own instant; value: None where it was removed."""

    lsn: int
    at_us: int
    value: float | None


@dataclass(frozen=True, slots=True)
class State:
    """How a rule stands for one entity. run_length: true samples in a row, since run_since_us.

    firing_lsn: of the sample with which it fired, None while it has not; last_lsn: of the last sample counted.
    """

    run_length: int = 0
    run_since_us: int = 0
    firing_lsn: int | None = None
    last_lsn: int = 0

    @property
    def is_quiet(self) -> bool:
        return self.run_length == 0 and self.firing_lsn is None


def sample_judge(condition: Condition, state: State, sample: Sample) -> tuple[State, Outcome | None]:
    """The state after a sample, and what it did. A sample that was counted before does nothing."""
    if sample.lsn <= state.last_lsn:
        return state, None
    value = sample.value
    if state.firing_lsn is not None:
        if value is not None and condition.is_still_beyond(value):
            return replace(state, last_lsn=sample.lsn), None
        return State(last_lsn=sample.lsn), "cleared"
    if value is None or not condition.is_beyond(value):
        return State(last_lsn=sample.lsn), None
    since_us = state.run_since_us if state.run_length else sample.at_us
    run = State(state.run_length + 1, since_us, None, sample.lsn)
    lasted = sample.at_us - since_us >= condition.for_seconds * 1_000_000
    if run.run_length >= condition.for_samples and lasted:
        return replace(run, firing_lsn=sample.lsn), "fired"
    return run, None


def firings_count(condition: Condition, samples: Iterable[Sample]) -> int:
    """How often a rule would have fired for one entity, from its samples in order."""
    state, fired = State(), 0
    for sample in samples:
        state, outcome = sample_judge(condition, state, sample)
        fired += outcome == "fired"
    return fired
