"""What is remembered of each asker's own writes: for a moment, and of no more askers than wrote in it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from freshness import own_writes
from freshness.own_writes import OwnWrites
from freshness.timelines import NOWHERE, Position

ACME, GLOBEX = 1, 2


def test_writes_are_remembered_for_a_moment_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    now = SimpleNamespace(s=100.0)
    monkeypatch.setattr(own_writes, "time", SimpleNamespace(monotonic=lambda: now.s))
    monkeypatch.setattr(own_writes, "_MANY", 4)
    writes = OwnWrites()
    for number in range(20):
        for tenant_id in (ACME, GLOBEX):
            writes.note((tenant_id, f"user {number}"), Position(1, 100 * tenant_id + number))
    assert len(writes._written) == 40, "those of the last moment are kept, all of them"
    assert writes.position((ACME, "user 0")) == Position(1, 100)
    assert writes.position((GLOBEX, "user 19")) == Position(1, 219)
    assert writes.position((GLOBEX, "nobody")) == NOWHERE
    now.s += own_writes._KEPT_S
    assert writes.position((ACME, "user 0")) == NOWHERE
    for number in range(40):
        writes.note((ACME, f"later {number}"), Position(1, 500 + number))
    assert writes.position((ACME, "later 0")) == Position(1, 500)
    assert (GLOBEX, "user 19") not in writes._written, "what is over is forgotten"
