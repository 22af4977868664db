"""Roles and database: the same for our own cluster and for a server that somebody else runs.

atlasco_owner        owns the database and, through the migrations, every table
atlasco_app          what web and workers are: owns nothing, bypasses nothing
atlasco_replication  what the standbys and the change feed are
atlasco_search       owns the views that searches read; nobody logs in as it
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from atlasco.stack.errors import StackError
from atlasco.stack.plan import APP_ROLE, DATABASE, OWNER_ROLE, REPLICATION_ROLE, SEARCH_ROLE

# Late wherever it is needed: a stack whose PostgreSQL is somebody else's, and `stack status`, start without it.
if TYPE_CHECKING:
    import psycopg

# Serialises provisioning of one cluster: two at a time would create the same role. ASCII "atlasco!" as a number.
LOCK_KEY = 0x61746C6173636F21


@dataclass(frozen=True, slots=True)
class RolePasswords:
    """Passwords for roles that have to be created. A role that exists keeps its own."""

    owner: str
    app: str
    replication: str

    @classmethod
    def generate(cls) -> RolePasswords:
        return cls(*(secrets.token_urlsafe(24) for _ in range(3)))


@dataclass(slots=True)
class Provisioned:
    """What was done. created_roles got the given passwords; notes: what the administrator was not allowed to do."""

    created_roles: list[str] = field(default_factory=list)
    created_database: bool = False
    notes: list[str] = field(default_factory=list)


def database_provision(
    *, admin_url: str, passwords: RolePasswords, database: str = DATABASE, reset_passwords: bool = False
) -> Provisioned:
    """Bring roles, database, privileges and extension into being. Running it again changes nothing.

    admin_url: a role that may create roles and databases, on any database of the cluster.
    reset_passwords: give the passwords to roles that exist already, too.
    Raises StackError where the server can't be reached or refuses something that is needed.
    """
    import psycopg

    done = Provisioned()
    try:
        with psycopg.connect(admin_url, autocommit=True, connect_timeout=10) as admin:
            admin.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
            _roles(admin, passwords=passwords, reset_passwords=reset_passwords, done=done)
            _database(admin, database=database, done=done)
        with psycopg.connect(admin_url, dbname=database, autocommit=True, connect_timeout=10) as admin:
            _schema(admin)
    except psycopg.Error as error:
        raise StackError(f"The database can't be provisioned: {str(error).strip()}") from error
    return done


def _roles(
    admin: psycopg.Connection[Any], *, passwords: RolePasswords, reset_passwords: bool, done: Provisioned
) -> None:
    from psycopg import sql

    existing = {row[0] for row in admin.execute("SELECT rolname FROM pg_roles")}
    is_superuser = _value(admin, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    plain = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS"
    for role, password, options in (
        (OWNER_ROLE, passwords.owner, f"{plain} NOREPLICATION"),
        (APP_ROLE, passwords.app, f"{plain} NOREPLICATION"),
        (REPLICATION_ROLE, passwords.replication, f"{plain} REPLICATION"),
    ):
        if role not in existing:
            with _tolerated(role == REPLICATION_ROLE, f"{role} could not be created", done):
                admin.execute(sql.SQL("CREATE ROLE {} " + options).format(sql.Identifier(role)))
                existing.add(role)
                done.created_roles.append(role)
        if role in done.created_roles or (reset_passwords and role in existing):
            # The server gets the verifier: a password in a statement would end up in its logs.
            verifier = admin.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
            admin.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier)))
    if SEARCH_ROLE not in existing:
        admin.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(SEARCH_ROLE)))
    if not _value(admin, "SELECT pg_has_role(%s, %s, 'MEMBER')", OWNER_ROLE, SEARCH_ROLE):
        # Its views are made by the migrations, which run as the owner.
        admin.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(SEARCH_ROLE), sql.Identifier(OWNER_ROLE)))
    if OWNER_ROLE in done.created_roles:
        # The owner watches replication; pg_stat_replication shows NULLs to everybody else. The app measures its lag
        # by the heartbeat and needs no such view.
        with _tolerated(True, f"pg_monitor could not be granted to {OWNER_ROLE}", done):
            admin.execute(sql.SQL("GRANT pg_monitor TO {}").format(sql.Identifier(OWNER_ROLE)))
        if not is_superuser:
            # Who is not a superuser can only hand a database to a role it is a member of.
            admin.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(OWNER_ROLE)))


def _database(admin: psycopg.Connection[Any], *, database: str, done: Provisioned) -> None:
    from psycopg import sql

    name = sql.Identifier(database)
    if not _value(admin, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = %s)", database):
        # The same order of strings everywhere. Before PostgreSQL 17 there is no built-in provider to give it.
        locale = (
            " LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'"
            if admin.info.server_version >= 170000
            else ""
        )
        statement = "CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING 'UTF8'" + locale
        admin.execute(sql.SQL(statement).format(name, sql.Identifier(OWNER_ROLE)))
        done.created_database = True
    admin.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
    admin.execute(sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}").format(name, sql.Identifier(APP_ROLE)))
    if _value(admin, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s)", REPLICATION_ROLE):
        admin.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, sql.Identifier(REPLICATION_ROLE)))


def _schema(admin: psycopg.Connection[Any]) -> None:
    admin.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    admin.execute("CREATE EXTENSION IF NOT EXISTS btree_gin SCHEMA public")


def _value(admin: psycopg.Connection[Any], statement: str, *params: Any) -> Any:
    row = admin.execute(statement, params).fetchone()
    return None if row is None else row[0]


@contextmanager
def _tolerated(tolerate: bool, what: str, done: Provisioned) -> Iterator[None]:
    """Turn a missing privilege into a note: managed servers keep some things to themselves."""
    import psycopg

    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        if not tolerate:
            raise
        done.notes.append(f"{what}: {error.diag.message_primary}")
