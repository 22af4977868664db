"""When will a store have what it lacks? From how fast it has been applying the log lately. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# The weight of the newest observation.
_NEWEST: Final = 0.3


@dataclass(slots=True)
class Progress:
    """How a store moves along the log.

    bytes_per_s: of log, while it moves; beats_per_s: seconds of the primary's time that it catches up a second: 1 keeps
    the lag as it is, more shrinks it. None until two looks have been compared.
    """

    lsn: int | None = None
    beat_at: float | None = None
    at: float = 0.0
    bytes_per_s: float | None = None
    beats_per_s: float | None = None

    def note(self, *, lsn: int | None, beat_at: float | None, at: float) -> None:
        """Take one look into account. at: when, in seconds of any steady clock."""
        spent_s = at - self.at
        if spent_s > 0:
            if self.lsn is not None and lsn is not None:
                self.bytes_per_s = _blend(self.bytes_per_s, max(0.0, (lsn - self.lsn) / spent_s))
            if self.beat_at is not None and beat_at is not None:
                self.beats_per_s = _blend(self.beats_per_s, max(0.0, (beat_at - self.beat_at) / spent_s))
        self.lsn, self.beat_at, self.at = lsn, beat_at, at

    def reaches_in_s(self, lsn: int) -> float | None:
        """Seconds until it has applied a position; None where it does not move or nothing is known."""
        if self.lsn is None:
            return None
        if self.lsn >= lsn:
            return 0.0
        return (lsn - self.lsn) / self.bytes_per_s if self.bytes_per_s else None

    def is_within_in_s(self, *, lag_s: float, limit_s: float) -> float | None:
        """Seconds until a lag has shrunk below a limit; None where it does not shrink."""
        if lag_s < limit_s:
            return 0.0
        gain = (self.beats_per_s or 0.0) - 1.0
        return (lag_s - limit_s) / gain if gain > 0 else None


def _blend(known: float | None, seen: float) -> float:
    return seen if known is None else known + _NEWEST * (seen - known)
