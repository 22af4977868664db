"""One machine's readings, shared: a small file in memory that one process writes and every other one reads.

Whoever holds the file's lock watches the stores and writes what it finds; the kernel frees the lock when that process
dies, and the next one goes on. `time.monotonic` is the same clock for every process of a machine, so instants mean the
same to all; a container with a clock of its own (a time namespace) has a board of its own.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import struct
import tempfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import orjson

_SIZE: Final = 64 << 10
# Of what is written: processes of another version, during an update say, have a board of their own.
_LAYOUT: Final = "2"
# How often it was written, how many bytes, their checksum.
_HEAD: Final = struct.Struct("<QII")


class Board:
    """One process's view of the file. `lead` says whether this one is to write it."""

    def __init__(self, path: Path) -> None:
        """Raises OSError where the file can't be ours."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            facts = os.fstat(self._file)
            if facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
                raise PermissionError(f"{path} is somebody else's.")
            # Not its length alone: touching what a full file system has no room for kills the process.
            os.posix_fallocate(self._file, 0, _SIZE)
            self._map = mmap.mmap(self._file, _SIZE)
        except OSError:
            os.close(self._file)
            raise
        self.is_leading = False
        self._seen = -1

    def lead(self) -> bool:
        """Take the lock where nobody holds it. True as long as this process writes."""
        if not self.is_leading:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return False
            self.is_leading = True
        return True

    def write(self, state: dict[str, Any]) -> None:
        """Publish what is known. Only while leading; what does not fit is not published."""
        content = orjson.dumps(state)
        if len(content) > _SIZE - _HEAD.size:
            return
        number = _HEAD.unpack_from(self._map)[0]
        # A reader between these two sees a checksum that does not fit, and looks again.
        self._map[_HEAD.size : _HEAD.size + len(content)] = content
        _HEAD.pack_into(self._map, 0, number + 1, len(content), zlib.crc32(content))

    def read(self) -> dict[str, Any] | None:
        """What was published since the last call; None where nothing was."""
        number, length, checksum = _HEAD.unpack_from(self._map)
        if number == self._seen or not 0 < length <= _SIZE - _HEAD.size:
            return None
        content = self._map[_HEAD.size : _HEAD.size + length]
        if zlib.crc32(content) != checksum:
            return None
        self._seen = number
        state: dict[str, Any] = orjson.loads(content)
        return state

    def close(self) -> None:
        """Let go of it, and of the lock."""
        self.is_leading = False
        self._map.close()
        os.close(self._file)
        # The number may be somebody else's next.
        self._file = -1


def board_open(addresses: Iterable[str], *, folder: Path | None = None) -> Board | None:
    """The board of all processes of this user here that watch the same addresses; None where there can be none.

    folder: where it lies; by default in memory, where it stays until the machine is restarted.
    """
    clock = Path("/proc/self/ns/time")
    told = [_LAYOUT, *addresses, str(os.geteuid()), str(clock.stat().st_ino) if clock.exists() else ""]
    name = hashlib.sha256("\n".join(told).encode()).hexdigest()[:24]
    memory = Path("/dev/shm")  # noqa: S108  # A file of our own in it, and nobody else's is taken.
    folder = folder or (memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir()))
    try:
        return Board(folder / f"atlasco-monitor-{name}")
    except OSError:
        return None
