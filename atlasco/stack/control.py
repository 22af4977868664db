"""The socket in the run directory over which other commands talk to the supervisor: one JSON line each way.

Its mode is 600 in a directory that is closed to others: whoever may speak to it is the supervisor's user, or root.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from atlasco.stack.errors import StackError, StackNotRunning

SOCKET_NAME = "control.sock"
# `start NAME` waits for readiness, `stop` for everybody's end.
ANSWER_TIMEOUT_S = 180.0

Answer = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class ControlServer:
    """Answers each line with what `answer` returns; a StackError becomes `{"error": …}`."""

    def __init__(self, run_dir: Path, answer: Answer) -> None:
        self.run_dir = run_dir
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with _short_path(self.run_dir) as path:
            Path(path).unlink(missing_ok=True)
            # Closed from its first moment on: nobody may connect between bind and chmod.
            umask = os.umask(0o177)
            try:
                sock.bind(path)
            finally:
                os.umask(umask)
        self._server = await asyncio.start_unix_server(self._on_connection, sock=sock)

    def remove(self) -> None:
        """Take the socket away; questions that are under way are still answered."""
        if self._server is not None:
            self._server.close()
            (self.run_dir / SOCKET_NAME).unlink(missing_ok=True)

    async def close(self) -> None:
        """Wait until every question under way has its answer."""
        if self._connections:
            await asyncio.wait(self._connections, timeout=5)

    async def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        try:
            line = await reader.readline()
            try:
                reply = await self._answer(json.loads(line))
            except StackError as error:
                reply = {"error": str(error)}
            writer.write(json.dumps(reply).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError):
            pass  # A client that vanished, or never was one of ours.
        finally:
            writer.close()


def control_ask(run_dir: Path, do: str, **arguments: Any) -> dict[str, Any]:
    """Ask the supervisor of that run directory to do something; returns its answer.

    Raises StackNotRunning where nobody listens, and StackError with the supervisor's own words where it refuses.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(ANSWER_TIMEOUT_S)
    with sock:
        try:
            with _short_path(run_dir) as path:
                sock.connect(path)
            sock.sendall(json.dumps({"do": do, **arguments}).encode() + b"\n")
            received = b"".join(iter(lambda: sock.recv(65_536), b""))
        except PermissionError:
            raise StackError(f"The stack on {run_dir} belongs to another user.") from None
        except TimeoutError:
            raise StackError(f"The stack on {run_dir} does not answer.") from None
        except OSError:
            raise StackNotRunning(f"No stack runs on {run_dir}; `make up` starts one.") from None
    try:
        reply = json.loads(received)
    except ValueError:
        raise StackError(f"The stack on {run_dir} ended before it could answer.") from None
    if "error" in reply:
        raise StackError(str(reply["error"]))
    return dict(reply)


@contextmanager
def _short_path(run_dir: Path) -> Iterator[str]:
    """The socket's path through a descriptor of its folder: a socket's address holds 108 bytes only."""
    fd = os.open(run_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{fd}/{SOCKET_NAME}"
    finally:
        os.close(fd)
