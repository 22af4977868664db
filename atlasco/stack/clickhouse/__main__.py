"""The ClickHouse process: `python -m atlasco.stack.clickhouse --path DIR --port N`, password in CLICKHOUSE_PASSWORD."""

from __future__ import annotations

import argparse

# These two before the process gives up root: the interpreter may lie where the unprivileged user can't look.
import encodings.idna  # noqa: F401  # So that it is loaded.
import logging
import os
import pwd
import signal
import sys
import threading
from pathlib import Path

import chdb.state  # noqa: F401  # So that it is loaded.

from atlasco.stack.clickhouse.engine import Engine
from atlasco.stack.clickhouse.server import server_bind
from atlasco.stack.processes import die_with_parent

SHUTDOWN_LIMIT_S = 10


def main() -> None:
    parser = argparse.ArgumentParser(prog="atlasco.stack.clickhouse")
    parser.add_argument("--path", type=Path, required=True, help="the data directory")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--database", default="atlasco", help="created where it does not exist")
    parser.add_argument("--concurrency", type=int, default=8, help="statements that run at once")
    parser.add_argument("--user", default="", help="whom to become before the data directory is opened")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    if options.user:
        user_become(options.user)
    engine = Engine(options.path, database=options.database, concurrency=options.concurrency)
    password = os.environ.pop("CLICKHOUSE_PASSWORD", "")
    server = server_bind(host=options.host, port=options.port, engine=engine, password=password)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=server.serve_forever, args=(0.2,), daemon=True).start()
    stop.wait()
    # A flush that hangs must not keep the process alive.
    limit = threading.Timer(SHUTDOWN_LIMIT_S, lambda: os._exit(1))
    limit.daemon = True
    limit.start()
    server.shutdown()
    engine.flush()
    # chDB can crash in its own shutdown; what was answered is on the disk.
    os._exit(0)


def user_become(name: str) -> None:
    """Give up root for good. What is needed from places closed to that user must have been imported before."""
    entry = pwd.getpwnam(name)
    parent_pid = os.getppid()
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    os.environ["HOME"] = "/"
    # The switch has cleared the request that the supervisor made for us.
    die_with_parent(signal.SIGKILL, parent_pid=parent_pid)


if __name__ == "__main__":
    main()
