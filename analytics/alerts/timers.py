"""When states are due."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import Final, TypeAlias

Key: TypeAlias = tuple[int, int]
# So many outdated entries may lie beside as many current ones before all are made anew.
_OUTDATED_MAX: Final = 1_000


class Timers:
    """Instants by key, taken as they come. They stay as few as the keys, however often those move."""

    def __init__(self, due: Mapping[Key, int] | None = None) -> None:
        self._due: dict[Key, int] = dict(due or {})
        # Each key's instants, outdated ones too: those are passed over when their time comes.
        self._heap: list[tuple[int, Key]] = []
        self._rebuild()

    def __len__(self) -> int:
        return len(self._heap)

    def put(self, key: Key, due_us: int) -> None:
        """From now on the key is due then. 0: never."""
        if not due_us:
            self._due.pop(key, None)
        elif self._due.get(key) != due_us:
            self._due[key] = due_us
            heapq.heappush(self._heap, (due_us, key))
            if len(self._heap) > 2 * len(self._due) + _OUTDATED_MAX:
                self._rebuild()

    def _rebuild(self) -> None:
        self._heap = [(due_us, key) for key, due_us in self._due.items()]
        heapq.heapify(self._heap)

    def is_due(self, now_us: int) -> bool:
        """Whether `take` may have something, at little cost."""
        return bool(self._heap) and self._heap[0][0] <= now_us

    def take(self, now_us: int) -> list[Key]:
        """The keys that are due by now, in the order of their instants. They are due no more."""
        taken = []
        while self.is_due(now_us):
            due_us, key = heapq.heappop(self._heap)
            if self._due.get(key) == due_us:
                del self._due[key]
                taken.append(key)
        return taken
