"""What was acknowledged when, what was read when, and which of the answers claimed too much. Pure.

Every counter has one writer, who raises it by one and notes when each value was acknowledged. An answer that shows
`v` lacks every greater value. Instants are those of one steady clock, the checker's own: a value counts as acknowledged
when the writer had the answer in hand, and a read begins when its first byte is sent. Both err on the system's side by
the time that a request is on its way, never against it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Literal, TypeAlias

Violation: TypeAlias = Literal["lag bound", "SLA met", "token", "monotonic"]
VIOLATIONS: Final[tuple[Violation, ...]] = ("lag bound", "SLA met", "token", "monotonic")
# Answers that refuse what can't be had: a write that a promotion lost, a token that nobody who is up has reached.
HONEST_REFUSALS: Final = frozenset({"write_lost", "position_not_reached"})


@dataclass(frozen=True, slots=True)
class Read:
    """One value of one answer. began: before it was asked for; ended: when it was in hand; value: None if refused.

    lag_s: what the answer claims, None for unknown; token: the value whose write's token was sent; seen: the page
    before showed a later write of the same writer than this value's; code: of a refusal; phase: what was going on;
    is_further: another value of an answer that has been counted.
    """

    counter: int
    began: float
    ended: float
    value: int | None
    lag_s: float | None
    sla_met: bool
    sla_s: float | None
    tier: str
    source: str
    phase: str
    token: int | None = None
    seen: int | None = None
    code: str = ""
    is_further: bool = False


@dataclass(slots=True)
class Ledger:
    """Acknowledged values of each counter, in order, and the ranges that a promotion lost."""

    values: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    acked: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    lost: dict[int, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))

    def acknowledge(self, counter: int, value: int, at: float) -> None:
        """Values of a counter come in order, from its one writer."""
        self.values[counter].append(value)
        self.acked[counter].append(at)

    def lose(self, counter: int, *, survived: int) -> int:
        """A promotion left everything above a value behind. Return how many acknowledged values that are."""
        values = self.values[counter]
        gone = [value for value in values if value > survived]
        if gone:
            self.lost[counter].append((survived, gone[-1]))
        return len(gone)

    def is_lost(self, counter: int, value: int) -> bool:
        return any(low < value <= high for low, high in self.lost[counter])

    def last_by(self, counter: int, at: float) -> int:
        """The greatest value that was acknowledged by an instant and is not lost; -1 where there is none."""
        index = bisect_right(self.acked[counter], at) - 1
        values = self.values[counter]
        while index >= 0 and self.is_lost(counter, values[index]):
            index -= 1
        return values[index] if index >= 0 else -1

    def last_up_to(self, counter: int, value: int) -> int:
        """The greatest acknowledged value that is no greater than this one and not lost; -1 where there is none."""
        values = self.values[counter]
        index = bisect_right(values, value) - 1
        while index >= 0 and self.is_lost(counter, values[index]):
            index -= 1
        return values[index] if index >= 0 else -1

    def first_missing_at(self, counter: int, value: int) -> float | None:
        """When the oldest acknowledged value that an answer of this value lacks was acknowledged; None for none."""
        values, acked = self.values[counter], self.acked[counter]
        for index in range(bisect_right(values, value), len(values)):
            if not self.is_lost(counter, values[index]):
                return acked[index]
        return None

    def violations(self, read: Read) -> list[Violation]:
        """Which claims of an answer are not true. None of a refusal."""
        if read.value is None:
            return []
        found: list[Violation] = []
        if read.lag_s is not None and read.value < self.last_by(read.counter, read.began - read.lag_s):
            found.append("lag bound")
        if read.sla_met and read.sla_s is not None:
            missing_at = self.first_missing_at(read.counter, read.value)
            if missing_at is not None and read.began - missing_at > read.sla_s:
                found.append("SLA met")
        if read.token is not None and read.value < read.token:
            found.append("token")
        if read.seen is not None and read.value < self.last_up_to(read.counter, read.seen):
            found.append("monotonic")
        return found


@dataclass(slots=True)
class Verdict:
    """What a run came to. values: compared with the ledger; served: answers by tier and source; failures: by kind.

    examples: of violations, the first of each kind; longest_silence_s: without an answer, by what was going on then.
    """

    reads: int = 0
    values: int = 0
    token_reads: int = 0
    sla_claims: int = 0
    violations: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    served: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[str, Read] = field(default_factory=dict)
    longest_silence_s: dict[str, float] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        return self.failures.total()

    @property
    def failed_share(self) -> float:
        return self.failed / self.reads if self.reads else 0.0

    @property
    def is_honest(self) -> bool:
        return not self.violations


def judge(ledger: Ledger, reads: Iterable[Read]) -> Verdict:
    """Hold every answer against the ledger."""
    verdict = Verdict()
    answered: list[tuple[float, str]] = []
    for read in reads:
        verdict.reads += not read.is_further
        verdict.token_reads += read.token is not None
        if read.value is None:
            if read.code in HONEST_REFUSALS:
                verdict.refused[read.code] += 1
            else:
                verdict.failures[read.code] += 1
            continue
        verdict.values += 1
        verdict.sla_claims += read.sla_met
        if not read.is_further:
            answered.append((read.ended, read.phase))
            verdict.served[read.tier, read.source] += 1
        for violation in ledger.violations(read):
            verdict.violations[violation] += 1
            verdict.examples.setdefault(violation, read)
    answered.sort()
    for (before, _), (after, phase) in pairwise(answered):
        verdict.longest_silence_s[phase] = max(verdict.longest_silence_s.get(phase, 0.0), after - before)
    return verdict
