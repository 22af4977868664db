"""`entities/sql/schema.sql` is what the migrations make, and the migrations are what Django expects."""

from __future__ import annotations

import difflib

import pytest
from django.conf import settings
from django.core.management import call_command

from atlasco.management.commands.dump_schema import PATH, schema_dump
from tests.cluster import Cluster


def test_the_schema_file_is_the_migrated_database(stack: Cluster) -> None:
    kept = (settings.BASE_DIR / PATH).read_text(encoding="utf-8").splitlines()
    found = schema_dump(stack.owner_url).splitlines()
    assert list(difflib.unified_diff(kept, found, "schema.sql", "database", lineterm="", n=1)) == []


def test_no_migration_is_missing(stack: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("makemigrations", check=True, dry_run=True)
    assert "No changes detected" in capsys.readouterr().out
