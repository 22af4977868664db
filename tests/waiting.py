"""Waiting for what comes by itself, without saying how fast it must."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_S = 60


def wait_until(condition: Callable[[], T | None], *, timeout_s: float = PATIENCE_S, pause_s: float = 0.01) -> T:
    """Ask until the answer is true, and return it. pause_s: between two questions."""
    deadline = time.monotonic() + timeout_s
    while not (answer := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(pause_s)
    return answer
