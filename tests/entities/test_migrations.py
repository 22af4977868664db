"""The data plane's migrations go back to nothing and forth again, on a database of their own."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from django.conf import settings
from psycopg import sql

from atlasco.management.commands.dump_schema import PATH, schema_dump
from atlasco.stack.provision import RolePasswords, database_provision
from tests.cluster import Cluster

Manage = Callable[..., str]
PARTITIONS_SQL = """
SELECT c.relname, obj_description(c.oid, 'pg_class'), c.reloptions, pg_get_partkeydef(c.oid),
       pg_get_expr(c.relpartbound, c.oid)
FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relispartition AND c.relkind IN ('r', 'p')
  AND c.relname !~ '_tenant_'
ORDER BY c.relname
"""
VIEWS_SQL = """
SELECT c.relname, r.rolname, r.rolcanlogin, r.rolbypassrls OR r.rolsuper
FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'v'
ORDER BY c.relname
"""
SEARCHERS_SQL = """
SELECT m.rolname FROM pg_auth_members a JOIN pg_roles m ON m.oid = a.member WHERE a.roleid = 'atlasco_search'::regrole
"""
PUBLISHED_SQL = "SELECT tablename, attnames FROM pg_publication_tables WHERE pubname = 'atlasco' ORDER BY tablename"


def in_database(url: str, name: str) -> str:
    """The same address in another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@pytest.fixture
def name(stack: Cluster) -> Iterator[str]:
    """A database beside the session's, provisioned and empty."""
    made = f"atlasco_migrations_{secrets.token_hex(4)}"
    database_provision(admin_url=stack.admin_url(), passwords=RolePasswords.generate(), database=made)
    yield made
    with psycopg.connect(stack.admin_url(), autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(made)))


@pytest.fixture
def manage(stack: Cluster, name: str, tmp_path: Path) -> Manage:
    """Runs manage.py on that database; returns what it printed."""
    environ = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "atlasco.settings",
        "ATLASCO_RUN_DIR": str(tmp_path),
        "DATABASE_URL": in_database(stack.database_url, name),
        "DATABASE_OWNER_URL": in_database(stack.owner_url, name),
        "REPLICA_URLS": "",
    }

    def run(*argv: str) -> str:
        command = [sys.executable, "manage.py", *argv]
        done = subprocess.run(command, cwd=settings.BASE_DIR, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    return run


def rows(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(statement).fetchall()


def test_the_data_plane_goes_back_to_nothing_and_forth_again(stack: Cluster, name: str, manage: Manage) -> None:
    url = in_database(stack.owner_url, name)
    manage("migrate_schemas", "--verbosity", "0")
    everything = schema_dump(url)
    partitions, published = rows(url, PARTITIONS_SQL), rows(url, PUBLISHED_SQL)
    assert everything == (settings.BASE_DIR / PATH).read_text(encoding="utf-8")

    manage("migrate_schemas", "entities", "zero")
    left = schema_dump(url)
    for gone in ("entit", "attribute_", "import_", "value_kind", "text_instant", "tenant_bound", "tenant_dedicate"):
        assert f" public.{gone}" not in left, gone
    assert rows(url, PARTITIONS_SQL) == rows(url, PUBLISHED_SQL) == []
    # What the platform itself needs is untouched.
    assert "CREATE TABLE public.tenants_tenant" in left

    manage("migrate_schemas", "--verbosity", "0")
    # Grants are listed in the order in which they were given.
    assert sorted(schema_dump(url).splitlines()) == sorted(everything.splitlines())
    assert (rows(url, PARTITIONS_SQL), rows(url, PUBLISHED_SQL)) == (partitions, published)
    assert "Nothing to migrate" in manage("migrate_schemas")
    manage("migrate_schemas", "--check")


# --- What the dump leaves out -----------------------------------------------------------------------------------------


def test_the_partition_tree_is_whole(stack: Cluster) -> None:
    found = {str(row[0]): row[1:] for row in rows(stack.owner_url, PARTITIONS_SQL)}
    expected: dict[str, tuple[object, ...]] = {}
    options = ["autovacuum_vacuum_insert_scale_factor=0.02", "autovacuum_analyze_scale_factor=0.02"]
    for bucket in range(16):
        of_bucket = f"FOR VALUES WITH (modulus 16, remainder {bucket})"
        expected[f"entity_keys_p{bucket:02}"] = (None, None, None, of_bucket)
        for parent in ("entities", "entity_attributes"):
            expected[f"{parent}_p{bucket:02}"] = (None, None, "RANGE (tenant_id, entity_id)", of_bucket)
            expected[f"{parent}_p{bucket:02}_shared"] = ("atlasco: shared leaf", options, None, "DEFAULT")
    assert found == expected


def test_the_change_feed_reads_whole_tables(stack: Cluster) -> None:
    published = {str(row[0]) for row in rows(stack.owner_url, PUBLISHED_SQL)}
    assert {"entities", "entity_attributes", "attribute_metadata"} <= published
    assert not [table for table in published if "_p0" in table or "_tenant_" in table]
    assert rows(stack.owner_url, "SELECT pubviaroot FROM pg_publication WHERE pubname = 'atlasco'") == [(True,)]


def test_the_search_reads_as_a_role_that_nobody_serves_as(stack: Cluster) -> None:
    views = [(view, "atlasco_search", False, False) for view in ("entity_documents", "entity_named", "entity_values")]
    assert rows(stack.owner_url, VIEWS_SQL) == views
    assert ("atlasco_app",) not in rows(stack.owner_url, SEARCHERS_SQL)
