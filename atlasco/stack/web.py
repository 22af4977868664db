"""The web process: granian in front of `atlasco.wsgi`, bound to the life of the supervisor.

python -m atlasco.stack.web --port N [--host ADDRESS]
"""

from __future__ import annotations

import argparse
import os
import signal
from typing import Any

from granian.constants import Interfaces
from granian.server import Server

from atlasco.stack.processes import die_with_parent

# Requests wait for stores most of the time, and an import holds a thread for as long as it streams.
THREADS_PER_CORE = 4
# Granian counts connections, and browsers keep idle ones open: far more than threads.
BACKPRESSURE = 512


def load_application(parent_pid: int) -> Any:
    """The WSGI application, in the worker process; called by granian after the fork.

    Granian's workers would outlive a SIGKILL of their parent.
    """
    die_with_parent(signal.SIGKILL, parent_pid=parent_pid)
    # Late: in the worker only, after the fork.
    from atlasco.wsgi import application

    return application


class Loader:
    """`load_application` with its argument, as something that granian can hand to another process."""

    def __init__(self) -> None:
        self.parent_pid = os.getpid()

    def __call__(self) -> Any:
        return load_application(self.parent_pid)


def main() -> None:
    parser = argparse.ArgumentParser(prog="atlasco.stack.web")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    cores = os.cpu_count() or 1
    server = Server(
        target="atlasco.wsgi:application",
        address=options.host,
        port=options.port,
        interface=Interfaces.WSGI,
        # One process for two cores: the databases want the other one.
        workers=max(1, cores // 2),
        blocking_threads=min(32, THREADS_PER_CORE * max(2, cores)),
        backpressure=BACKPRESSURE,
        websockets=False,
        # The supervisor restarts us as a whole, with back-off.
        respawn_failed_workers=False,
        workers_kill_timeout=10,
    )
    server.serve(target_loader=Loader(), wrap_loader=False)


if __name__ == "__main__":
    main()
