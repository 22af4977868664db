"""SQL kept as text: named blocks in `sql/*.sql`, and migrations that run a file.

A block starts with `-- name: block_name`; the comment lines after it say what it is for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from django.db import migrations

_NAME = re.compile(r"^-- name: (\w+)[ \t]*$", re.MULTILINE)


@cache
def sql_blocks(path: Path) -> Mapping[str, str]:
    """Return the named blocks of one file. Raises ValueError where a name stands twice."""
    parts = _NAME.split(path.read_text(encoding="utf-8"))
    names, bodies = parts[1::2], parts[2::2]
    if len(set(names)) != len(names):
        raise ValueError(f"{path}: a block name stands twice")
    return {name: body.strip() for name, body in zip(names, bodies, strict=True)}


class RunSQLFile(migrations.RunSQL):
    """Run `NAME.sql` forwards and `NAME.down.sql` backwards.

    directory: the folder of both files. The files hold no placeholders: values that differ between installations
    are read by the SQL itself.
    """

    def __init__(self, directory: Path, name: str, state_operations: list[Any] | None = None) -> None:
        self.directory, self.name = directory, name
        super().__init__(
            sql=[((directory / f"{name}.sql").read_text(encoding="utf-8"), None)],
            reverse_sql=[((directory / f"{name}.down.sql").read_text(encoding="utf-8"), None)],
            state_operations=state_operations,
        )

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return (type(self).__qualname__, [self.directory, self.name], {"state_operations": self.state_operations})
