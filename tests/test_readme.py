"""The README's table of settings is complete and has no others."""

from __future__ import annotations

import re
from pathlib import Path

import atlasco.settings  # noqa: F401  # Reading the settings is what fills the list.
from atlasco.lib.env import SETTINGS_READ

README = Path(__file__).parent.parent / "README.md"
# Read by the stack and by a command, not by the settings module.
READ_ELSEWHERE = {"ATLASCO_PORT", "ATLASCO_ADMIN_PASSWORD"}


def test_the_table_of_settings_lists_every_setting_and_no_other() -> None:
    section = README.read_text(encoding="utf-8").split("\n## Settings\n")[1].split("\n## ")[0]
    table = set(re.findall(r"^\| `([A-Z_]+)` \|", section, re.MULTILINE))
    assert table == set(SETTINGS_READ) | READ_ELSEWHERE


def test_the_two_commands_stand_in_the_readme_and_in_the_makefile() -> None:
    makefile = (README.parent / "Makefile").read_text(encoding="utf-8")
    for command in ("up", "test"):
        assert f"make {command}" in README.read_text(encoding="utf-8")
        assert re.search(rf"^{command}:", makefile, re.MULTILINE)
