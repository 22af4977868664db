"""Typed reading of the environment. Every setting of the product comes through here.

`SETTINGS_READ` remembers what was read, so that a test can compare it with the README's table.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SettingRead:
    name: str
    default: str
    help: str


SETTINGS_READ: dict[str, SettingRead] = {}


class BadSetting(SystemExit):
    """A setting's value can't be used. Ends the process before it serves anything with a wrong one."""


def text(name: str, default: str = "", *, help: str) -> str:
    """The variable's text, or the default where it is unset or empty."""
    SETTINGS_READ[name] = SettingRead(name, default, help)
    return os.environ.get(name) or default


def integer(name: str, default: int, *, help: str, minimum: int | None = None) -> int:
    raw = text(name, str(default), help=help)
    try:
        value = int(raw)
    except ValueError:
        raise BadSetting(f"{name}={raw!r} must be a whole number.") from None
    if minimum is not None and value < minimum:
        raise BadSetting(f"{name}={value} must be at least {minimum}.")
    return value


def number(name: str, default: float, *, help: str) -> float:
    raw = text(name, str(default), help=help)
    try:
        return float(raw)
    except ValueError:
        raise BadSetting(f"{name}={raw!r} must be a number.") from None


def flag(name: str, default: bool, *, help: str) -> bool:
    raw = text(name, "1" if default else "0", help=help).lower()
    if raw in {"1", "true", "yes", "on"}:
        return True
    if raw in {"0", "false", "no", "off"}:
        return False
    raise BadSetting(f"{name}={raw!r} must be one of 1, 0, true, false, yes, no, on, off.")


def words(name: str, default: str = "", *, help: str) -> list[str]:
    """A comma-separated list; empty parts are dropped."""
    return [part.strip() for part in text(name, default, help=help).split(",") if part.strip()]


def load_file(path: Path) -> None:
    """Take `NAME=value` lines into the environment where it does not set the name itself. A missing file is no error.

    The lines are what the embedded stack wrote (`atlasco.stack`); they know no quoting.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, PermissionError):
        return
    for line in lines:
        name, separator, value = line.partition("=")
        if separator and name.isidentifier():
            os.environ.setdefault(name, value)
