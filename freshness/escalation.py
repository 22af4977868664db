"""How many reads may move to the primary because replicas lag.

"Replica late → primary" can take the primary down just when it is busiest. So such reads spend from token buckets, one
for this process and one for each tenant; when either is empty, the freshest replica answers, honestly marked. Reads
that asked for the primary in the first place (REALTIME) spend nothing.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Final

from django.conf import settings

_TENANTS_MAX: Final = 10_000
# A full bucket holds what flows in within so many seconds: a short lag costs nobody anything.
_BURST_S: Final = 5.0


@dataclass(slots=True)
class TokenBucket:
    """rate: tokens a second; level: tokens there at the instant `at`, no more than flows in within the burst."""

    rate: float
    level: float
    at: float
    burst_s: float = _BURST_S

    def has(self, *, now: float) -> bool:
        """Whether a token is there, after what has flowed in since."""
        self.level = min(self.rate * self.burst_s, self.level + (now - self.at) * self.rate)
        self.at = now
        return self.level >= 1.0

    def spend(self) -> None:
        self.level -= 1.0


class EscalationBudget:
    """The buckets of one process."""

    def __init__(self, *, rate: float, tenant_rate: float, now: float) -> None:
        self._tenant_rate = tenant_rate
        self._all = TokenBucket(rate, rate * _BURST_S, now)
        self._tenants: dict[int, TokenBucket] = {}
        self._lock = threading.Lock()

    def take(self, tenant_id: int, *, now: float) -> bool:
        """Spend one read on the primary for this tenant. False, and nothing spent, where either bucket is empty."""
        with self._lock:
            bucket = self._tenants.get(tenant_id)
            if bucket is None:
                if len(self._tenants) >= _TENANTS_MAX:
                    self._tenants.clear()
                bucket = TokenBucket(self._tenant_rate, self._tenant_rate * _BURST_S, now)
                self._tenants[tenant_id] = bucket
            if not (self._all.has(now=now) and bucket.has(now=now)):
                return False
            self._all.spend()
            bucket.spend()
            return True


_budget: EscalationBudget | None = None
_guard = threading.Lock()


def escalation_take(tenant_id: int) -> bool:
    """Spend one read of this process's budget. False where it is used up for now."""
    global _budget  # noqa: PLW0603  # One a process, made when first wanted: settings may not be read earlier.
    now = time.monotonic()
    with _guard:
        if _budget is None:
            _budget = EscalationBudget(
                rate=settings.ESCALATIONS_PER_S, tenant_rate=settings.ESCALATIONS_PER_S_TENANT, now=now
            )
    return _budget.take(tenant_id, now=now)
