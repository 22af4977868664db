"""The primary's clock, as seen from a process that only trusts its own steady one. Pure; instants are passed in.

# Note [Clocks]
All lags are differences on the primary's clock: heartbeats carry it, on whichever store they arrive. No process asks
its own wall clock, so one that is wrong changes nothing. What a process keeps is the distance between the primary's
clock and its own monotonic one, measured so that it can only be too large: then a lag can only be too large as well.
While the primary is away the monotonic clock goes on, and lags grow as they should.

The primary's clock may be set while heartbeats are under way, or a replica be promoted whose machine's clock differs.
Ahead makes older heartbeats look older than they are, which is harmless. Back would make them look younger; a look that
proves it (the clock shows less than it must by now) has the larger distance kept for HELD_S, so that lags are too large
by the step for so long instead. Only what is later than HELD_S by then is told too young, by no more than the step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

HELD_S: Final = 300.0
# How far two clocks of sound machines drift apart, at most: 200 parts in a million.
_DRIFT: Final = 2e-4


@dataclass(slots=True)
class PrimaryClock:
    """distance_s: primary's clock minus ours, never too small; least_s: never too large, as of least_at.

    held_s: the distance from before it was set back, until held_until. None where nothing is known.
    """

    distance_s: float | None = None
    least_s: float | None = None
    least_at: float = 0.0
    held_s: float | None = None
    held_until: float = 0.0

    def note(self, *, shown: float, began: float, ended: float) -> bool:
        """Take one look into account. shown: at some instant between the two. Return whether it was set back."""
        most_s, least_s = shown - began, shown - ended
        known_s = None if self.least_s is None else self.least_s - _DRIFT * (ended - self.least_at)
        is_back = known_s is not None and most_s < known_s
        if is_back:
            self.held_s, self.held_until = self.distance(at=began), ended + HELD_S
        self.least_s = least_s if known_s is None or is_back else max(known_s, least_s)
        self.distance_s, self.least_at = most_s, ended
        return is_back

    def distance(self, *, at: float) -> float | None:
        """Primary's clock minus ours, never too small, at an instant of ours."""
        if self.distance_s is None or self.held_s is None or at > self.held_until:
            return self.distance_s
        return max(self.distance_s, self.held_s)
