"""How much memory each PostgreSQL node takes."""

from __future__ import annotations

import pytest

from atlasco.stack.memory import machine_bytes, shared_buffers_mib

_GIB = 1 << 30


@pytest.mark.parametrize(("machine", "mib"), [(1 * _GIB, 128), (8 * _GIB, 682), (24 * _GIB, 2048), (1024 * _GIB, 8192)])
def test_all_nodes_together_take_a_quarter_of_the_machine_within_bounds(machine: int, mib: int) -> None:
    assert shared_buffers_mib(machine) == mib


def test_this_machine_has_memory() -> None:
    assert machine_bytes() > 0
