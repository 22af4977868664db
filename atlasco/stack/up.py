"""`up`: one stack in the foreground, from the first line to the last service's end."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Coroutine
from typing import Any

from atlasco.stack.display import Display
from atlasco.stack.django import python_command
from atlasco.stack.errors import StackError
from atlasco.stack.plan import BASE_DIR
from atlasco.stack.processes import tree_kill
from atlasco.stack.stack import Options, Stack

log = logging.getLogger(__name__)

DEMO_STOP_TIMEOUT_S = 10.0


async def up_run(options: Options, *, with_demo: bool) -> int:
    """Start, show, wait, stop. Returns the exit code: 1 where the start failed, 0 where it was ended on purpose.

    Raises StackError where it could not even begin.
    """
    stack = Stack(options)
    display = Display(stack)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Once is enough: a second Ctrl-C must not cut a clean stop short.
        loop.add_signal_handler(number, stack.stop_requested.set)
    await stack.open(changed=display.changed)
    # The terminal belongs to the display.
    log_path = stack.run_dir.log("supervisor")
    logging.basicConfig(filename=log_path, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    log.info("opened %s", stack.run_dir.path)
    failure = ""
    try:
        with display.live():
            await _unless_stopped(stack, stack.start())
        demo_trouble = ""
        if with_demo and not stack.stop_requested.is_set():
            demo_trouble = await _demo_load(stack)
        if not stack.stop_requested.is_set():
            display.started(demo_trouble=demo_trouble)
            with display.live():
                await stack.stop_requested.wait()
    except StackError as error:
        failure = str(error)
    display.stopping()
    await stack.close()
    display.stopped()
    if failure:
        # Last, where it is seen.
        print(failure, file=sys.stderr)
    return 1 if failure else 0


async def _demo_load(stack: Stack) -> str:
    """Let `manage.py load_demo` talk to the terminal; returns why there is no demo, empty where there is.

    The product is up without it: a demo that can't be loaded is no reason to stop.
    """
    plan = stack.plan
    command = python_command(plan, str(BASE_DIR / "manage.py"), "load_demo", env=plan.serving_env())
    process = await asyncio.create_subprocess_exec(*command.argv, **command.popen_options())

    async def load() -> None:
        await process.wait()

    await _unless_stopped(stack, load())
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), DEMO_STOP_TIMEOUT_S)
        except TimeoutError:
            tree_kill(process.pid)
            await process.wait()
        return ""
    return "The demo could not be loaded; `manage.py load_demo` tries again." if process.returncode else ""


async def _unless_stopped(stack: Stack, work: Coroutine[Any, Any, None]) -> None:
    """Do something, but drop it when the stack is told to stop."""
    doing = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stack.stop_requested.wait())
    await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if doing.done():
        doing.result()
    else:
        doing.cancel()
        await asyncio.wait({doing})
