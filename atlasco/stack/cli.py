"""`up` and `stack`, as `manage.py` and `python -m atlasco.stack` offer them."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from atlasco.stack.control import control_ask
from atlasco.stack.errors import StackError
from atlasco.stack.plan import BASE_DIR, DEFAULT_WEB_PORT, environment_own, external_servers
from atlasco.stack.services import STEPS
from atlasco.stack.stack import Options


def up_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, help=f"the web's port (ATLASCO_PORT, else {DEFAULT_WEB_PORT})")
    parser.add_argument(
        "--run-dir", type=Path, help="where data, logs and secrets are kept (ATLASCO_RUN_DIR, else .run)"
    )
    parser.add_argument("--no-demo", action="store_true", help="start with an empty product")
    # For the tests, which want some of it only, anywhere, and fast.
    parser.add_argument("--any-port", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--steps", default=",".join(STEPS), help=argparse.SUPPRESS)
    parser.add_argument("--not-durable", action="store_true", help=argparse.SUPPRESS)


def stack_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run-dir", type=Path, help="of the stack to talk to (ATLASCO_RUN_DIR, else .run)")
    actions = parser.add_subparsers(dest="action", required=True)
    status = actions.add_parser("status", help="each service's state")
    status.add_argument("--json", action="store_true", help="with pids, ports and addresses")
    actions.add_parser("stop", help="stop the whole stack")
    for action, help_text, what in (
        ("kill", "SIGKILL a service and keep it down", "NAME"),
        ("start", "start a service that is down", "NAME"),
        ("pause-replay", "let a replica fall behind", "REPLICA"),
        ("resume-replay", "let a replica catch up", "REPLICA"),
        ("promote", "kill the primary and make a replica the primary", "REPLICA"),
    ):
        actions.add_parser(action, help=help_text).add_argument("name", metavar=what)


def run_dir_of(options: argparse.Namespace, environ: dict[str, str]) -> Path:
    return Path(options.run_dir or environ.get("ATLASCO_RUN_DIR") or BASE_DIR / ".run").resolve()


def up(options: argparse.Namespace) -> int:
    """Run a stack until it is told to stop. Returns the exit code."""
    # Late: the other commands start without drawing anything, and without psycopg.
    from atlasco.stack.up import up_run

    run_dir = run_dir_of(options, dict(os.environ))
    environ = environment_own(os.environ)
    port: int | None = None
    if not options.any_port:
        try:
            port = options.port or int(environ.get("ATLASCO_PORT") or DEFAULT_WEB_PORT)
        except ValueError:
            raise StackError(f"ATLASCO_PORT={environ['ATLASCO_PORT']!r} must be a whole number.") from None
    stack_options = Options(
        run_dir=run_dir,
        web_port=port,
        wanted=options.only.split(",") if options.only else None,
        steps=[step for step in options.steps.split(",") if step],
        durable=not options.not_durable,
        external=external_servers(environ),
        environ=environ,
    )
    return asyncio.run(up_run(stack_options, with_demo=not options.no_demo))


def stack(options: argparse.Namespace) -> int:
    """Ask a running stack. Returns the exit code."""
    run_dir = run_dir_of(options, dict(os.environ))
    arguments: dict[str, Any] = {"name": options.name} if "name" in options else {}
    answer = control_ask(run_dir, options.action, **arguments)
    if options.action == "status":
        if options.json:
            print(json.dumps(answer, indent=1))
        else:
            # Late: `--json` draws nothing.
            from atlasco.stack.display import status_print

            status_print(answer)
    return 0


def run(command: str, options: argparse.Namespace) -> int:
    """`up` or `stack`; trouble that we can explain becomes one sentence on stderr and exit code 1."""
    try:
        return {"up": up, "stack": stack}[command](options)
    except StackError as error:
        print(error, file=sys.stderr)
        return 1


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="atlasco.stack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up_arguments(commands.add_parser("up", help="run the whole stack"))
    stack_arguments(commands.add_parser("stack", help="ask a running stack"))
    options = parser.parse_args(arguments)
    return run(options.command, options)
