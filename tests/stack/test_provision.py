"""Roles and database: what the application may not, and that provisioning is safe to repeat."""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest
from django.core.management import CommandError, call_command
from psycopg import sql

from atlasco.stack.errors import StackError
from atlasco.stack.provision import RolePasswords, database_provision
from tests.cluster import Cluster


@pytest.fixture
def admin_url(stack: Cluster) -> str:
    return stack.admin_url()


@pytest.fixture
def other_database(admin_url: str) -> Iterator[str]:
    name = f"other_{secrets.token_hex(4)}"
    yield name
    with psycopg.connect(admin_url, dbname="postgres", autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))


def test_the_roles_can_do_no_more_than_they_must(admin_url: str) -> None:
    with psycopg.connect(admin_url) as admin:
        rows = admin.execute(
            "SELECT rolname, rolsuper, rolbypassrls, rolcreatedb, rolcreaterole, rolreplication, rolcanlogin"
            " FROM pg_roles WHERE rolname LIKE 'atlasco%' ORDER BY rolname"
        ).fetchall()
        members = admin.execute(
            "SELECT m.rolname, r.rolname FROM pg_auth_members a JOIN pg_roles m ON m.oid = a.member"
            " JOIN pg_roles r ON r.oid = a.roleid WHERE m.rolname LIKE 'atlasco%'"
        ).fetchall()
    assert rows == [
        ("atlasco_app", False, False, False, False, False, True),
        ("atlasco_owner", False, False, False, False, False, True),
        ("atlasco_replication", False, False, False, False, True, True),
        ("atlasco_search", False, False, False, False, False, False),
    ]
    assert sorted(members) == [("atlasco_owner", "atlasco_search"), ("atlasco_owner", "pg_monitor")]


def test_the_application_creates_nothing_in_public(stack: Cluster) -> None:
    with psycopg.connect(stack.database_url, autocommit=True) as app:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("CREATE TABLE public.mine (id int)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("CREATE SCHEMA mine")
        app.execute("CREATE TEMPORARY TABLE mine (id int)")


def test_the_owner_sees_replication_and_the_application_does_not(stack: Cluster) -> None:
    stack.admin_url()
    query = "SELECT count(*), count(replay_lsn) FROM pg_stat_replication WHERE application_name LIKE 'replica%'"
    with psycopg.connect(stack.owner_url) as owner, psycopg.connect(stack.database_url) as app:
        assert owner.execute(query).fetchone() == (2, 2)
        shown = app.execute(query).fetchone()
        assert shown is not None
        assert shown[1] == 0


def test_nobody_gets_in_without_the_right_password(admin_url: str, stack: Cluster) -> None:
    server = urlsplit(admin_url)
    for role in ("postgres", "atlasco_owner", "atlasco_app", "atlasco_replication"):
        for password in ("", ":wrong"):
            for node in ("primary", "replica1"):
                with pytest.raises(psycopg.OperationalError, match=r"password|no password supplied"):
                    psycopg.connect(f"postgresql://{role}{password}@{server.hostname}:{stack.plan.port(node)}/atlasco")


def test_checksums_are_on_and_the_log_serves_the_feed(admin_url: str) -> None:
    with psycopg.connect(admin_url) as admin:
        for name, value in (
            ("data_checksums", "on"),
            ("wal_level", "logical"),
            ("hot_standby_feedback", "on"),
            ("track_commit_timestamp", "on"),
            ("synchronous_commit", "on"),
            ("max_slot_wal_keep_size", "2GB"),
        ):
            assert admin.execute(sql.SQL("SHOW {}").format(sql.Identifier(name))).fetchone() == (value,), name


def test_provisioning_twice_changes_nothing(admin_url: str, stack: Cluster) -> None:
    done = database_provision(admin_url=admin_url, passwords=RolePasswords.generate())
    assert (done.created_roles, done.created_database, done.notes) == ([], False, [])
    psycopg.connect(stack.database_url).close()  # With the password of before.


def test_another_database_belongs_to_the_owner(admin_url: str, stack: Cluster, other_database: str) -> None:
    done = database_provision(admin_url=admin_url, passwords=RolePasswords.generate(), database=other_database)
    assert done.created_database
    with psycopg.connect(stack.owner_url, dbname=other_database) as owner:
        owner.execute("CREATE TABLE mine (words text[])")
        owner.execute("CREATE INDEX ON mine USING gin (words)")
        assert owner.execute("SELECT extname FROM pg_extension WHERE extname = 'btree_gin'").fetchone() is not None
        collation = owner.execute("SELECT datcollate, datlocale FROM pg_database WHERE datname = current_database()")
        assert collation.fetchone() == ("C", "C.UTF-8")


def test_an_administrator_who_is_no_superuser_will_do(admin_url: str, stack: Cluster, other_database: str) -> None:
    admin_role = f"admin_{secrets.token_hex(4)}"
    with psycopg.connect(admin_url, dbname="postgres", autocommit=True) as admin:
        identifier = sql.Identifier(admin_role)
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEDB CREATEROLE PASSWORD 'x'").format(identifier))
        # As if it had created them: this cluster's roles exist already.
        admin.execute(sql.SQL("GRANT atlasco_owner TO {}").format(identifier))
        try:
            server = urlsplit(admin_url)
            url = f"postgresql://{admin_role}:x@{server.hostname}:{server.port}/postgres"
            done = database_provision(admin_url=url, passwords=RolePasswords.generate(), database=other_database)
            assert done.created_database
            psycopg.connect(stack.database_url, dbname=other_database).close()
        finally:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(other_database)))
            admin.execute(sql.SQL("DROP OWNED BY {}").format(identifier))
            admin.execute(sql.SQL("DROP ROLE {}").format(identifier))


def test_the_command_prints_what_belongs_into_the_environment(admin_url: str, other_database: str) -> None:
    out, errors = io.StringIO(), io.StringIO()
    call_command(
        "provision_database", "--admin-url", admin_url, "--database", other_database, stdout=out, stderr=errors
    )
    port = urlsplit(admin_url).port
    assert out.getvalue().splitlines()[:2] == [
        f"DATABASE_URL=postgresql://atlasco_app:PASSWORD@127.0.0.1:{port}/{other_database}",
        f"DATABASE_OWNER_URL=postgresql://atlasco_owner:PASSWORD@127.0.0.1:{port}/{other_database}",
    ]
    assert "Kept the passwords" in errors.getvalue()


def test_a_server_that_is_not_there_is_said_in_a_sentence() -> None:
    url = "postgresql://postgres@127.0.0.1:1/postgres"
    with pytest.raises(StackError, match="can't be provisioned"):
        database_provision(admin_url=url, passwords=RolePasswords.generate())
    with pytest.raises(CommandError, match="can't be provisioned"):
        call_command("provision_database", "--admin-url", url)
