"""Migrating public, the template and the tenants' schemas. Runs as the owner; `migrate_schemas` is the door.

# Note [Schema versions]
A tenant's schema is a clone of `tenant_template`. Its version is a fingerprint of the code that defines it: names of
the tenant apps' migrations and of this app's, whose functions clone and guard it, and the permissions their rows are
filled with. The template carries its version in its
COMMENT, each tenant in its row. So one query tells whether there is anything to do, however many tenants there are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth.management import create_permissions
from django.core.management.sql import emit_post_migrate_signal, emit_pre_migrate_signal
from django.db import ProgrammingError
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.migration import Migration
from django.db.migrations.recorder import MigrationRecorder
from psycopg import sql

from atlasco.lib.sql import sql_blocks
from tenants.binding import PUBLIC_SCHEMA, TEMPLATE_SCHEMA, schema_bind
from tenants.database.base import DatabaseWrapper

APP_ROLE = "atlasco_app"
SQL = sql_blocks(Path(__file__).parent / "sql" / "queries.sql")
_COMMENT = "Atlasco tenant schema, version {version}"

Report = Callable[[str], None]
Target = tuple[str, str | None]  # (app label, migration name; None undoes all of them)


class MigrationRefused(Exception):
    """The database is not in a state in which migrating makes sense."""


def tenant_app_labels() -> frozenset[str]:
    """Labels of the apps whose tables every tenant schema holds."""
    return frozenset(app.label for app in apps.get_app_configs() if app.name in settings.TENANT_APPS)


@cache
def _migrations_on_disk() -> frozenset[tuple[str, str]]:
    return frozenset(MigrationLoader(None).disk_migrations or ())


@cache
def schema_fingerprint() -> str:
    """The version a tenant schema has when this code has migrated it: 16 hex digits. Needs no database."""
    labels = tenant_app_labels() | {"tenants"}
    lines = sorted(f"{app}.{name}" for app, name in _migrations_on_disk() if app in labels)
    for model in sorted(apps.get_models(), key=lambda model: model._meta.label):
        meta = model._meta
        if meta.app_label != "tenants":
            codenames = [*meta.default_permissions, *(codename for codename, _ in meta.permissions)]
            lines.append(f"{meta.label} {' '.join(codenames)}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def schemas_are_current(connection: DatabaseWrapper) -> bool:
    """True when nothing is to be migrated, neither in public nor in the template nor in any tenant. One query."""
    version = schema_fingerprint()
    try:
        with schema_bind(PUBLIC_SCHEMA), connection.cursor() as cursor:
            cursor.execute(SQL["migration_state"], {"version": version})
            applied, template, outdated = cursor.fetchone()
    except ProgrammingError:  # A new database: the tables are not there yet.
        return False
    on_disk = {f"{app}.{name}" for app, name in _migrations_on_disk()}
    return on_disk <= set(applied) and template == _COMMENT.format(version=version) and not outdated


def schemas_migrate(connection: DatabaseWrapper, *, report: Report, target: Target | None = None) -> int:
    """Bring public, the template and every outdated tenant schema to the state of the code.

    target: stop at this migration of this app, forwards or backwards, wherever the app lives. Schemas that hold a
    tenant app then count as outdated until a migrate without a target brings them forward again.
    Result: how many schemas were touched. Raises MigrationRefused where the application role is missing or the
    template holds something that clones would lack.
    """
    if target is None and schemas_are_current(connection):
        return 0
    with schema_bind(PUBLIC_SCHEMA), connection.cursor() as cursor:
        cursor.execute("select exists (select from pg_roles where rolname = %s)", [APP_ROLE])
        if not cursor.fetchone()[0]:
            raise MigrationRefused(f"The role {APP_ROLE} must exist before the tables: see README, your own servers.")
        cursor.execute(SQL["migration_lock"])
    try:
        return _migrate_locked(connection, report=report, target=target)
    finally:
        with schema_bind(PUBLIC_SCHEMA), connection.cursor() as cursor:
            cursor.execute(SQL["migration_unlock"])


def _migrate_locked(connection: DatabaseWrapper, *, report: Report, target: Target | None) -> int:
    version = schema_fingerprint() if target is None else ""
    _public_migrate(connection, report=report, target=target)
    touched = 1
    if target is not None and target[0] not in tenant_app_labels():
        return touched
    _template_migrate(connection, report=report, target=target, version=version)
    touched += 1
    with schema_bind(PUBLIC_SCHEMA), connection.cursor() as cursor:
        cursor.execute("select id, slug from tenants_tenant where schema_version <> %s or %s order by id",
                       [version, target is not None])  # fmt: skip
        outdated = cursor.fetchall()
    for tenant_id, slug in outdated:
        schema = f"tenant_{tenant_id}"
        _schema_migrate(connection, schema=schema, report=report, target=target, name=f"{schema} ({slug})")
        _schema_seal(connection, schema=schema, version=version)
        touched += 1
    return touched


def _public_migrate(connection: DatabaseWrapper, *, report: Report, target: Target | None) -> None:
    _schema_migrate(connection, schema=PUBLIC_SCHEMA, report=report, target=target, name=PUBLIC_SCHEMA)
    with schema_bind(PUBLIC_SCHEMA):
        public_grants_apply(connection)


def _template_migrate(connection: DatabaseWrapper, *, report: Report, target: Target | None, version: str) -> None:
    with schema_bind(PUBLIC_SCHEMA), connection.cursor() as cursor:
        cursor.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(TEMPLATE_SCHEMA)))
        # While it is worked on it has no version, so that nothing is cloned from it after a failure.
        _comment(cursor, TEMPLATE_SCHEMA, "being migrated")
    _schema_migrate(connection, schema=TEMPLATE_SCHEMA, report=report, target=target, name=TEMPLATE_SCHEMA)
    with schema_bind(PUBLIC_SCHEMA), connection.cursor() as cursor:
        cursor.execute("select public.tenant_template_unclonable()")
        unclonable = cursor.fetchone()[0]
        if unclonable:
            raise MigrationRefused(
                f"tenant_template holds what tenant_schema_create() can't clone yet: {', '.join(unclonable)}."
            )
        if version:
            _comment(cursor, TEMPLATE_SCHEMA, version)


def _schema_seal(connection: DatabaseWrapper, *, schema: str, version: str) -> None:
    """Grant and guard what the migration added, and note the version the schema has reached."""
    with schema_bind(PUBLIC_SCHEMA), connection.cursor() as cursor:
        cursor.execute("select public.tenant_schema_grant(%s)", [schema])
        _comment(cursor, schema, version or "unfinished")
        cursor.execute("update tenants_tenant set schema_version = %s where schema_name = %s", [version, schema])


def _comment(cursor: Any, schema: str, version: str) -> None:
    statement = sql.SQL("comment on schema {} is {}").format(
        sql.Identifier(schema), sql.Literal(_COMMENT.format(version=version))
    )
    cursor.execute(statement)


def _schema_migrate(
    connection: DatabaseWrapper, *, schema: str, report: Report, target: Target | None, name: str
) -> None:
    """Run the migrations of one schema: all apps in public, the tenant apps elsewhere."""
    with schema_bind(schema):
        MigrationRecorder(connection).ensure_schema()

        def progress(action: str, migration: Migration | None = None, fake: bool | None = None) -> None:
            if action in {"apply_start", "unapply_start"}:
                report(f"{name}: {'undoing ' if action == 'unapply_start' else ''}{migration}")

        executor = MigrationExecutor(connection, progress)
        executor.loader.check_consistent_history(connection)
        conflicts = executor.loader.detect_conflicts()
        if conflicts:
            raise MigrationRefused(f"Two migrations end {', '.join(sorted(conflicts))}: run makemigrations --merge.")
        is_public = schema == PUBLIC_SCHEMA
        labels = {node[0] for node in executor.loader.graph.leaf_nodes()} if is_public else tenant_app_labels()
        targets = _targets(executor, labels=labels, target=target)
        plan = executor.migration_plan(targets)
        if is_public and target is None:
            emit_pre_migrate_signal(verbosity=0, interactive=False, db=connection.alias, plan=plan)
        executor.migrate(targets, plan=plan)
        if target is not None:
            return
        if is_public:
            emit_post_migrate_signal(verbosity=0, interactive=False, db=connection.alias, plan=plan)
        else:
            # Permissions on the platform's own tables have no place in a tenant's groups.
            for app_config in apps.get_app_configs():
                if app_config.label != "tenants":
                    create_permissions(app_config, verbosity=0, interactive=False, using=connection.alias)


def _targets(executor: MigrationExecutor, *, labels: set[str] | frozenset[str], target: Target | None) -> list[Target]:
    leaves: list[Target] = [node for node in executor.loader.graph.leaf_nodes() if node[0] in labels]
    if target is None:
        return leaves
    app_label, migration_name = target
    if migration_name == "":  # The app's newest.
        return [node for node in leaves if node[0] == app_label]
    if migration_name is None:
        return [(app_label, None)]
    try:
        return [(app_label, executor.loader.get_migration_by_prefix(app_label, migration_name).name)]
    except KeyError:
        raise MigrationRefused(f"There is no migration {migration_name!r} in {app_label}.") from None


def public_grants_apply(connection: DatabaseWrapper) -> None:
    """Grant the application role rows of the platform's own tables in public, one table at a time.

    No default privileges on the schema: leaf partitions are created there later, and a role that may read a leaf reads
    past its parent's row-level security. `entities` and `analytics` grant their tables in their own migrations.
    """
    labels = {*tenant_app_labels(), "tenants"}
    existing = set(connection.introspection.table_names())
    role = sql.Identifier(APP_ROLE)
    tables = sorted(
        model._meta.db_table
        for model in apps.get_models(include_auto_created=True)
        if model._meta.app_label in labels and model._meta.managed and not model._meta.proxy
        and model._meta.db_table in existing
    )  # fmt: skip
    statements: list[sql.Composable] = [
        sql.SQL("grant select, insert, update, delete on public.{} to {}").format(sql.Identifier(table), role)
        for table in tables
    ]
    statements.append(sql.SQL("grant select on public.django_migrations to {}").format(role))
    if "tenants_tenant" in existing:
        # `tenant_create` draws the key first, because the schema is named after it.
        statements.append(sql.SQL("grant usage on sequence public.tenants_tenant_id_seq to {}").format(role))
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL(";\n").join(statements))
