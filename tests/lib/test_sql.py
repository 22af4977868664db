"""Named blocks of SQL, and migrations made of two files."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import migrations

from atlasco.lib.sql import RunSQLFile, sql_blocks

TWO_BLOCKS = """-- A file of its own.

-- name: first
-- What it is for.
SELECT 1;

-- name: second
SELECT 2
FROM t;
"""


def sql_file(folder: Path, text: str, name: str = "queries.sql") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_block_is_all_up_to_the_next_name(tmp_path: Path) -> None:
    blocks = sql_blocks(sql_file(tmp_path, TWO_BLOCKS))
    assert blocks == {"first": "-- What it is for.\nSELECT 1;", "second": "SELECT 2\nFROM t;"}


def test_a_file_without_names_has_no_block(tmp_path: Path) -> None:
    assert sql_blocks(sql_file(tmp_path, "SELECT 1;\n")) == {}


def test_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stands twice"):
        sql_blocks(sql_file(tmp_path, TWO_BLOCKS.replace("second", "first")))


def test_a_migration_runs_one_file_forwards_and_one_backwards(tmp_path: Path) -> None:
    sql_file(tmp_path, "CREATE TABLE t ();", "0001_t.sql")
    sql_file(tmp_path, "DROP TABLE t;", "0001_t.down.sql")
    operation = RunSQLFile(tmp_path, "0001_t", state_operations=[migrations.RunSQL("SELECT 1")])
    # With None as its parameters a statement's % signs stay what they are.
    assert operation.sql == [("CREATE TABLE t ();", None)]
    assert operation.reverse_sql == [("DROP TABLE t;", None)]
    name, arguments, options = operation.deconstruct()
    assert (name, arguments) == ("RunSQLFile", [tmp_path, "0001_t"])
    assert options == {"state_operations": operation.state_operations}


def test_a_migration_without_its_way_back_is_refused(tmp_path: Path) -> None:
    sql_file(tmp_path, "CREATE TABLE t ();", "0001_t.sql")
    with pytest.raises(FileNotFoundError):
        RunSQLFile(tmp_path, "0001_t")
