"""Child processes that never outlive us, and the unprivileged user they run as when we are root."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import pwd
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atlasco.stack.errors import ServiceFailed, StackError

_PR_SET_PDEATHSIG = 1
# Looked up once, before any fork: the child must not search for libraries between fork and exec.
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class ServiceUser:
    """Whom the servers run as when the supervisor is root: initdb and postgres refuse root."""

    name: str
    uid: int
    gid: int


def service_user(*, data: Path | None = None) -> ServiceUser | None:
    """The unprivileged user for the servers, or None where we are not root and they simply run as us.

    data: where the servers keep theirs. Its owner stays the same: root may carry on with the stack of a user.
    Raises StackError where we are root and the system knows neither `postgres` nor `nobody`, or where we are a uid
    without a passwd entry, which initdb refuses.
    """
    if os.geteuid() != 0:
        if _passwd_entry(os.geteuid()) is None:
            raise StackError(
                f"PostgreSQL refuses uid {os.geteuid()}: it has no entry in /etc/passwd; run as a user that has one."
            )
        return None
    owner = data.stat().st_uid if data is not None and data.exists() else 0
    for candidate in (owner or "postgres", "postgres", "nobody"):
        if (entry := _passwd_entry(candidate)) is not None:
            return ServiceUser(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)
    raise StackError("As root the servers need a user `postgres` or `nobody`; this system has neither.")


def _passwd_entry(user: int | str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(user) if isinstance(user, int) else pwd.getpwnam(user)
    except KeyError:
        return None


def die_with_parent(death_signal: signal.Signals, *, parent_pid: int) -> None:
    """Ask the kernel to send us death_signal when the thread that forked us ends.

    Must run after any switch of uid, which clears the request. Ends the process where the parent is gone already.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(1)


@dataclass(frozen=True, slots=True)
class Command:
    """What to execute. user: None runs as the supervisor's own user."""

    argv: Sequence[str]
    user: ServiceUser | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    death_signal: signal.Signals = signal.SIGKILL

    def popen_options(self) -> dict[str, Any]:
        """Options for Popen that keep the child unprivileged, off our terminal and mortal.

        Note [Death signal]
        PR_SET_PDEATHSIG is bound to the *thread* that forks and is cleared when the uid changes. Popen calls
        preexec_fn after it has switched the uid, and only the supervisor's main thread, which lives as long as the
        process, starts children.
        """
        parent_pid = os.getpid()

        def in_child() -> None:
            die_with_parent(self.death_signal, parent_pid=parent_pid)

        options: dict[str, Any] = {
            # initdb insists on a working directory it may enter; `/` is always one.
            "cwd": "/",
            "stdin": subprocess.DEVNULL,
            "env": dict(self.env),
            # Out of the terminal's process group: Ctrl-C is for the supervisor, which then stops us in order.
            "start_new_session": True,
            "umask": 0o077,
            "preexec_fn": in_child,
        }
        if self.user is not None:
            options |= {"user": self.user.uid, "group": self.user.gid, "extra_groups": []}
        return options


async def command_start(command: Command, *, log_path: Path) -> asyncio.subprocess.Process:
    """Start a long-running child whose output is appended to log_path."""
    with log_path.open("ab") as log_file:
        return await asyncio.create_subprocess_exec(
            *command.argv, stdout=log_file, stderr=log_file, **command.popen_options()
        )


async def command_run(command: Command, *, log_path: Path, what: str) -> None:
    """Run a child to its end; its output is appended to log_path.

    what: a few words for the error, as in "initdb".
    Raises ServiceFailed where it ends with anything but 0. A cancelled wait kills the child.
    """
    start = log_path.stat().st_size if log_path.exists() else 0
    process = await command_start(command, log_path=log_path)
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        tree_kill(process.pid)
        await process.wait()
        raise
    if code != 0:
        raise ServiceFailed(f"{what} ended with code {code}:\n{log_tail(log_path, start=start)}")


def log_tail(path: Path, *, start: int = 0, lines: int = 15) -> str:
    """The last lines that were written to a log after byte `start`, indented; says so where there are none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(start, size - 32_768))
            tail = file.read().decode("utf-8", "replace").splitlines()[-lines:]
    except OSError:
        tail = []
    return "\n".join(f"    {line}" for line in tail) or f"    (nothing was written to {path})"


def process_start_time(pid: int) -> int | None:
    """The kernel's start time of a process, which together with the pid names it for good; None where it is gone."""
    fields = _stat_fields(pid)
    # A zombie has ended: nobody but its parent can do anything about it.
    return None if fields is None or fields[0] == "Z" else int(fields[19])


def descendants(pid: int) -> list[int]:
    """Every living descendant of a process, children first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat_fields(int(entry.name))) is not None:
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: list[int] = []
    queue = [pid]
    while queue:
        offspring = children.get(queue.pop(0), [])
        found += offspring
        queue += offspring
    return found


def tree_kill(pid: int) -> None:
    """SIGKILL a process and all its descendants: a supervisor's own helpers must not survive it."""
    for victim in [pid, *descendants(pid)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)


async def wait_until(condition: Callable[[], bool], *, timeout_s: float, every_s: float = 0.02) -> bool:
    """Poll a cheap condition; True as soon as it holds, False when the time is over."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while not condition():
        if loop.time() > deadline:
            return False
        await asyncio.sleep(every_s)
    return True


def _stat_fields(pid: int) -> list[str] | None:
    """/proc/PID/stat from the state onwards: [0] state, [1] parent, [19] start time. None where there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name stands in parentheses and may itself hold spaces and parentheses.
    return text[text.rindex(")") + 2 :].split()
