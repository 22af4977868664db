"""ClickHouse's schema: numbered SQL files, each applied once, in order."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from django.conf import settings

_SQL: Final = Path(__file__).parent / "sql"
_STATEMENT_END: Final = re.compile(r";[ \t]*$", re.MULTILINE)
_COMMENT: Final = re.compile(r"^\s*--.*$", re.MULTILINE)
_MIGRATIONS: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations {on_cluster} (name String, applied_at DateTime DEFAULT now())
ENGINE = {replacing}(applied_at) ORDER BY name
"""


def variables(*, cluster: str, is_durable: bool = True) -> dict[str, str]:
    """What stands in the braces of the SQL files.

    cluster: the name of a ClickHouse cluster whose macros {shard} and {replica} are set; empty for a single server.
    is_durable: wait for the disk, or a machine that dies could lose data whose position it has kept.
    """
    settings_of_tables = "fsync_after_insert = 1, fsync_part_directory = 1" if is_durable else "fsync_after_insert = 0"
    if cluster:
        quoted = cluster.replace("\\", "\\\\").replace("'", "\\'")
        return {
            "on_cluster": f"ON CLUSTER '{quoted}'",
            # The server puts database, table, shard and replica into the path (default_replica_path).
            "replacing": "ReplicatedReplacingMergeTree",
            "merge_tree": "ReplicatedMergeTree",
            "table_settings": settings_of_tables,
        }
    return {
        "on_cluster": "",
        "replacing": "ReplacingMergeTree",
        "merge_tree": "MergeTree",
        "table_settings": settings_of_tables,
    }


def migrations_pending(client: Any) -> list[str]:
    """The names of the files that have not been applied, in order."""
    client.command(_filled(_MIGRATIONS))
    applied = {name for (name,) in client.query("SELECT name FROM schema_migrations").result_rows}
    return [path.stem for path in sorted(_SQL.glob("*.sql")) if path.stem not in applied]


def migrations_apply(client: Any) -> list[str]:
    """Apply what is pending; return the names. Raises ClickHouseError; what was applied then stays."""
    pending = migrations_pending(client)
    for name, statements in migrations_sql():
        if name not in pending:
            continue
        for statement in statements:
            client.command(statement)
        client.insert("schema_migrations", [[name]], column_names=["name"])
    return pending


def migrations_sql() -> list[tuple[str, list[str]]]:
    """Every file's name and statements as this installation runs them, in order."""
    paths = sorted(_SQL.glob("*.sql"))
    return [(path.stem, statements_of(_filled(path.read_text(encoding="utf-8")))) for path in paths]


def statements_of(text: str) -> list[str]:
    """The statements of a file, without comments between them."""
    parts = (part.strip() for part in _STATEMENT_END.split(_COMMENT.sub("", text)))
    return [part for part in parts if part]


def _filled(text: str) -> str:
    for name, value in variables(cluster=settings.CLICKHOUSE_CLUSTER).items():
        text = text.replace("{" + name + "}", value)
    return text
