"""How much memory the servers take. Pure but for `machine_bytes`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from atlasco.stack.plan import POSTGRES_NODES

_MIB: Final = 1 << 20
_MIN_MIB: Final = 128
# Beyond this a checkpoint writes longer than a read gains.
_MAX_MIB: Final = 8192
# Containers: version 2 and 1 of control groups. Without a limit they say "max", or a number beyond every machine.
_LIMITS: Final = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def shared_buffers_mib(machine: int) -> int:
    """MiB of shared_buffers of one PostgreSQL node: all nodes together take a quarter of the machine's bytes."""
    return max(_MIN_MIB, min(_MAX_MIB, machine // (4 * len(POSTGRES_NODES)) // _MIB))


def machine_bytes() -> int:
    """The memory that we may use, in bytes: the machine's, or a container's limit."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in _LIMITS:
        try:
            found = min(found, int(path.read_text()))
        except (OSError, ValueError):
            continue
    return found
