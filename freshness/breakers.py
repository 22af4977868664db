"""When a store is left out, and when it is believed again. One breaker a store and process; pure, time is passed in.

A failure opens it at once: the store answers no read. From then on only the monitor's own probes reach the store, with
a growing, jittered pause between them, so that many processes do not fall upon one that is just coming back. Several
good ones in a row close it. So no user's request is the experiment, and a store that answers now and then stays out.

Lag has a hysteresis of its own: a store that crossed a limit is taken again only once it is clearly below.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

BreakerState: TypeAlias = Literal["closed", "half-open", "open"]

GOOD_PROBES: Final = 3
PAUSE_FIRST_S: Final = 0.2
PAUSE_MAX_S: Final = 1.0
# The limits of the decision tree that are watched, in seconds, and the share of one below which a store is back.
LAG_LIMITS_S: Final = (5.0, 10.0, 60.0)
BACK_SHARE: Final = 0.8


@dataclass(slots=True)
class Breaker:
    """state: half-open while good probes are being counted. changed_at: when it opened or closed, the caller's clock.

    opened: how often it did. out_of: limits that the store's lag crossed and has not come back from.
    """

    changed_at: float
    state: BreakerState = "closed"
    opened: int = 0
    good: int = 0
    pause_s: float = PAUSE_FIRST_S
    out_of: frozenset[float] = field(default_factory=frozenset)

    @property
    def is_closed(self) -> bool:
        return self.state == "closed"

    def fail(self, *, now: float) -> bool:
        """A read or a probe failed. Return whether that opened it."""
        was_closed = self.is_closed
        self.good = 0
        if was_closed:
            self.changed_at, self.opened, self.pause_s = now, self.opened + 1, PAUSE_FIRST_S
        else:
            self.pause_s = min(self.pause_s * 2, PAUSE_MAX_S)
        self.state = "open"
        return was_closed

    def succeed(self, *, now: float) -> bool:
        """A probe was answered. Return whether that closed it."""
        if self.is_closed:
            return False
        self.good += 1
        self.state, self.pause_s = "half-open", PAUSE_FIRST_S
        if self.good < GOOD_PROBES:
            return False
        self.state, self.changed_at = "closed", now
        return True

    def pause(self, *, jitter: float) -> float:
        """How long to wait before the next probe of one that is not closed. jitter: at random from 0 to 1."""
        return self.pause_s * (0.5 + jitter)

    def lag_note(self, lag_s: float | None) -> None:
        """Judge a newly measured lag. An unknown one changes nothing: it is refused anyway."""
        if lag_s is not None:
            self.out_of = frozenset(
                limit_s
                for limit_s in LAG_LIMITS_S
                if lag_s >= limit_s or (limit_s in self.out_of and lag_s >= limit_s * BACK_SHARE)
            )
