"""Typed reading of the environment. Every setting of the product comes through here.

`SETTINGS_READ` remembers what was read, so that a test can compare it with the README's table.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True)
class SettingRead:
    name: str
    default: str
    help: str


# The variable that names, for a process that this one becomes or starts, what was taken from a file and not given.
FROM_FILE: Final = "ATLASCO_ENV_FROM_FILE"
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


@dataclass(frozen=True, slots=True)
class Mail:
    """How e-mail is sent. backend: Django's, by its last name; is_tls: STARTTLS; is_ssl: TLS from the first byte."""

    backend: str = "dummy"
    host: str = ""
    port: int = 0
    user: str = ""
    password: str = field(default="", repr=False)
    is_tls: bool = False
    is_ssl: bool = False


def mail(name: str, *, help: str) -> Mail:
    """A mail server from a URL: `smtp://`, `smtp+tls://`, `smtps://`, or `console:` for the log. Unset: none."""
    raw = text(name, help=help)
    if not raw:
        return Mail()
    if raw == "console:":
        return Mail("console")
    try:
        parts = urlsplit(raw)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    ports = {"smtp": 25, "smtp+tls": 587, "smtps": 465}
    if parts.scheme not in ports or not parts.hostname:
        # The value is not repeated: it may hold a password.
        raise BadSetting(f"{name} must be smtp://, smtp+tls:// or smtps:// with a host, or console:.")
    return Mail(
        backend="smtp",
        host=parts.hostname,
        port=port or ports[parts.scheme],
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        is_tls=parts.scheme == "smtp+tls",
        is_ssl=parts.scheme == "smtps",
    )


def file_values(path: Path) -> dict[str, str]:
    """The `NAME=value` lines of a file that the embedded stack wrote; empty where there is none, or none for us.

    They know no quoting.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, PermissionError):
        return {}
    values = (line.partition("=") for line in lines)
    return {name: value for name, separator, value in values if separator and name.isidentifier()}


def file_is_of(path: Path, name: str) -> bool:
    """Whether this variable, where the environment sets it, says what the file says. True where either is silent."""
    own, written = os.environ.get(name), file_values(path).get(name)
    return not own or not written or own == written


def load_file(path: Path, *, together: Mapping[str, Collection[str]] | None = None) -> None:
    """Take `NAME=value` lines into the environment where it does not set the name itself. A missing file is fine.

    together: names that mean something only beside another one. Where the environment contradicts the file in that one,
    the file's values of these are somebody else's and are left out.
    """
    left_out = {name for leader, names in (together or {}).items() if not file_is_of(path, leader) for name in names}
    taken = set(os.environ.get(FROM_FILE, "").split())
    for name, value in file_values(path).items():
        if name not in left_out and name not in os.environ:
            os.environ[name] = value
            taken.add(name)
    os.environ[FROM_FILE] = " ".join(sorted(taken))
