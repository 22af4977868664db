"""What `up` and `stack status` show: one line a service; live on a terminal, a line at each change elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from atlasco.stack.admin import login_words

if TYPE_CHECKING:
    from atlasco.stack.stack import Stack

STYLES = {
    "running": "green",
    "external": "green",
    "starting": "yellow",
    "restarting": "red",
    "stopped": "dim",
}


class Display:
    """stack: may still have to be opened; there is nothing to show before."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.console = Console(file=sys.stdout, highlight=False)
        self._shown: dict[str, tuple[Any, ...]] = {}

    @contextlib.contextmanager
    def live(self) -> Iterator[None]:
        """Keep the table on the screen meanwhile. Elsewhere than on a terminal, `changed` prints lines instead."""
        if not self.console.is_terminal:
            yield
            return
        # The rows are made anew at each refresh: uptimes grow without anything having changed.
        with Live(console=self.console, get_renderable=self._table, refresh_per_second=4, transient=True):
            yield

    def changed(self) -> None:
        """A service's state changed."""
        if self.console.is_terminal:
            return
        for facts in self.stack.status()["services"]:
            now = (facts["state"], facts["pid"] if facts["state"] == "running" else None)
            if self._shown.get(facts["name"], ("stopped", None)) != now:
                self._shown[facts["name"]] = now
                self.say(_line(facts))

    def started(self, *, demo_trouble: str) -> None:
        """Say where everything is. demo_trouble: why there is no demo; empty where there is, or none was wanted."""
        plan = self.stack.plan
        domain = plan.environ.get("ATLASCO_BASE_DOMAIN", "localhost")
        port = plan.port("web")
        if demo_trouble:
            self.say(Text(demo_trouble, style="red"))
        self.say()
        self.say("Atlasco is ready.")
        self.say(f"  Platform  http://{domain}:{port}/  ({login_words(plan)})")
        self.say(f"  Tenants   http://SLUG.{domain}:{port}/")
        self.say(f"  API       http://SLUG.{domain}:{port}/api/v1/docs/")
        self.say(f"  Logs      {self.stack.run_dir.logs}")
        self.say("Ctrl-C stops everything.")
        self.say()

    def say(self, text: str | Text = "") -> None:
        # Never wrapped: an address that is broken in two can't be clicked.
        self.console.print(text, soft_wrap=True)
        self.console.file.flush()

    def stopping(self) -> None:
        self.say("Stopping …")

    def stopped(self) -> None:
        self.say("Everything is stopped.")

    def _table(self) -> Table:
        table = status_table(self.stack.status())
        for name in self.stack.supervisor.steps_under_way():
            table.add_row(name, Text("under way", style="yellow"))
        return table


def status_print(status: dict[str, Any]) -> None:
    """Print the answer of `stack status` once."""
    console = Console(file=sys.stdout, highlight=False)
    if console.is_terminal:
        console.print(status_table(status))
    else:
        for facts in status["services"]:
            console.print(_line(facts), soft_wrap=True)


def status_table(status: dict[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    for facts in status["services"]:
        table.add_row(
            facts["name"],
            Text(facts["state"], style=STYLES[facts["state"]]),
            _pid(facts),
            Text(_uptime(facts), justify="right"),
            Text(_note(facts), style="dim", overflow="ellipsis", no_wrap=True),
        )
    return table


def _line(facts: dict[str, Any]) -> Text:
    parts = (facts["name"].ljust(10), facts["state"].ljust(10), _pid(facts), _uptime(facts), _note(facts))
    return Text(" ".join(filter(None, parts)).rstrip())


def _pid(facts: dict[str, Any]) -> str:
    return f"pid {facts['pid']}" if facts["pid"] else ""


def _uptime(facts: dict[str, Any]) -> str:
    seconds = facts["uptime_s"]
    if seconds is None:
        return ""
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    return f"up {hours} h {minutes % 60:02} min" if hours else f"up {minutes} min {int(seconds) % 60:02} s"


def _note(facts: dict[str, Any]) -> str:
    notes = []
    if facts["port"]:
        notes.append(f"127.0.0.1:{facts['port']}")
    if facts["restarts"]:
        notes.append(f"restarted {facts['restarts']} ×")
    if facts["trouble"]:
        notes.append(facts["trouble"].splitlines()[0])
    return " · ".join(notes)
