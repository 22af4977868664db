"""Tenant schemas: cloned whole, migrated only when behind, out of reach for the application role's DDL."""

from __future__ import annotations

import re
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext

from tenants.binding import TEMPLATE_SCHEMA, public_bind, schema_bind, tenant_bind
from tenants.database.owner import owner_connection
from tenants.members.models import ApiToken, User
from tenants.models import Tenant
from tenants.schemas import MigrationRefused, schema_fingerprint, schemas_are_current, schemas_migrate

Owner = psycopg.Connection[tuple[Any, ...]]

# All that PostgreSQL knows of a schema's tables, each line without the schema's name.
CATALOG_SQL = """
with tables as (
    select oid, relname from pg_class where relnamespace = %(schema)s::regnamespace and relkind = 'r'
)
select 'column', relname, attname, format_type(atttypid, atttypmod), attnotnull::text,
       attidentity::text || attgenerated::text,
       attstorage::text || attcompression::text, coalesce(pg_get_expr(adbin, adrelid), ''),
       coalesce(col_description(tables.oid, attnum), ''), attcollation::text
from tables
join pg_attribute on attrelid = tables.oid and attnum > 0 and not attisdropped
left join pg_attrdef on adrelid = tables.oid and adnum = attnum
union all
select 'constraint', relname, conname, contype::text, pg_get_constraintdef(c.oid), condeferrable::text,
       condeferred::text, convalidated::text, '', ''
from tables join pg_constraint as c on c.conrelid = tables.oid
union all
select 'index', relname, indexrelid::regclass::text, pg_get_indexdef(indexrelid), indisprimary::text, indisunique::text,
       indisvalid::text, '', '', ''
from tables join pg_index on indrelid = tables.oid
union all
select 'sequence', s.relname, format_type(seqtypid, null), seqstart::text, seqincrement::text, seqmax::text,
       seqcache::text, seqcycle::text, d.refobjsubid::text, d.refobjid::regclass::text
from pg_class as s
join pg_sequence on seqrelid = s.oid
join pg_depend as d on d.classid = 'pg_class'::regclass and d.objid = s.oid and d.deptype = 'i'
where s.relnamespace = %(schema)s::regnamespace
union all
select 'other', relname, relkind::text, '', '', '', '', '', '', ''
from pg_class where relnamespace = %(schema)s::regnamespace
order by 1, 2, 3, 4, 5
"""

# PostgreSQL spells the casts of a condition another way once it has read its own spelling of them.
_SPELLING = re.compile(r"::[a-z ]+(\[\])?|[()]")


def catalog(owner: Owner, schema: str) -> list[tuple[str, ...]]:
    owner.execute("select set_config('search_path', %s, false)", [schema])
    lines = owner.execute(CATALOG_SQL, {"schema": schema}).fetchall()
    owner.execute("reset search_path")
    return [tuple(_SPELLING.sub("", str(value).replace(f"{schema}.", "")) for value in line) for line in lines]


def test_a_clone_is_the_template_to_the_last_constraint(owner: Owner, acme: Tenant) -> None:
    template = catalog(owner, TEMPLATE_SCHEMA)
    assert {kind for kind, *_ in template} == {"column", "constraint", "index", "other", "sequence"}
    assert catalog(owner, acme.schema_name) == template


POLICIES_SQL = """
select relname, relrowsecurity, array(select polname::text || ' ' || polroles::regrole[]::text || ' '
           || pg_get_expr(polqual, polrelid) from pg_policy where polrelid = c.oid)
from pg_class as c where relnamespace = %s::regnamespace and relkind = 'r' order by relname
"""


def policies(owner: Owner, schema: str) -> dict[str, tuple[bool, list[str]]]:
    return {table: (enabled, found) for table, enabled, found in owner.execute(POLICIES_SQL, [schema])}


def test_every_table_of_a_clone_is_guarded(owner: Owner, acme: Tenant) -> None:
    guards = policies(owner, acme.schema_name)
    unguarded = policies(owner, TEMPLATE_SCHEMA)
    assert guards.keys() == unguarded.keys() >= {"members_user", "members_apitoken", "django_session"}
    assert set(map(str, unguarded.values())) == {"(False, [])"}
    for enabled, (policy,) in guards.values():
        assert enabled and policy.startswith("tenant {atlasco_app} ") and policy.endswith(f" = {acme.pk})")


def test_a_schema_of_before_the_policies_gets_them_by_migrating(owner: Owner, acme: Tenant) -> None:
    expected = policies(owner, acme.schema_name)
    for table in expected:
        owner.execute(f"drop policy tenant on {acme.schema_name}.{table}")
        owner.execute(f"alter table {acme.schema_name}.{table} disable row level security")
    Tenant.objects.filter(pk=acme.pk).update(schema_version="0123456789abcdef")
    call_command("migrate_schemas", verbosity=0)
    assert policies(owner, acme.schema_name) == expected


def test_another_tenants_schema_is_out_of_reach_by_name(acme: Tenant, globex: Tenant) -> None:
    for tenant in (acme, globex):
        with tenant_bind(tenant):
            User.objects.create(username="ann", date_joined="2026-01-01T00:00Z")
    theirs = f"{globex.schema_name}.members_user"
    for bind in (tenant_bind(acme), public_bind(), schema_bind(globex.schema_name)):
        with bind, connection.cursor() as cursor:
            for table in tables_of(globex):
                cursor.execute(f"select count(*) from {globex.schema_name}.{table}")
                assert cursor.fetchone() == (0,), table
            for statement in (f"update {theirs} set email = 'x'", f"delete from {theirs}"):
                cursor.execute(statement)
                assert cursor.rowcount == 0
            with pytest.raises(DatabaseError, match="row-level security"), transaction.atomic():
                cursor.execute(f"insert into {globex.schema_name}.auth_group (name) values ('stray')")
    with tenant_bind(globex):
        assert [(user.username, user.email) for user in User.objects.all()] == [("ann", "")]


def tables_of(tenant: Tenant) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("select tablename::text from pg_tables where schemaname = %s", [tenant.schema_name])
        return [table for (table,) in cursor.fetchall()]


def test_a_clone_holds_the_templates_rows_and_counts_on(owner: Owner, acme: Tenant) -> None:
    for table in ("django_migrations", "django_content_type", "auth_permission", "auth_group"):
        clone, template = (
            owner.execute(f"select * from {schema}.{table} order by id").fetchall()
            for schema in (acme.schema_name, TEMPLATE_SCHEMA)
        )
        assert clone == template
    with tenant_bind(acme):
        user = User.objects.create(username="ann", date_joined="2026-01-01T00:00Z")
        user.user_permissions.create(codename="x", name="x", content_type_id=1)
    assert user.pk == 1


def test_foreign_keys_of_a_clone_stay_inside_it(owner: Owner, acme: Tenant) -> None:
    outside = owner.execute(
        """select conname from pg_constraint join pg_class on pg_class.oid = confrelid
           where contype = 'f' and connamespace = %(schema)s::regnamespace
             and relnamespace <> %(schema)s::regnamespace""",
        {"schema": acme.schema_name},
    ).fetchall()
    assert outside == []


def test_a_callers_temporary_table_is_not_mistaken_for_ours(owner: Owner, tenant_make: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("create temp table auth_group (id integer primary key)")
        cursor.execute("create temp table members_user (username text)")
    try:
        acme = tenant_make("acme")
        test_foreign_keys_of_a_clone_stay_inside_it(owner, acme)
        with tenant_bind(acme):
            assert User.objects.count() == 0
    finally:
        connection.close()


def test_a_migrate_with_nothing_to_do_costs_one_query(acme: Tenant, globex: Tenant) -> None:
    with owner_connection() as owner_side, CaptureQueriesContext(owner_side) as queries:
        assert schemas_migrate(owner_side, report=lambda line: None) == 0
    assert len(queries) == 1


def test_only_outdated_tenants_are_migrated(acme: Tenant, globex: Tenant) -> None:
    Tenant.objects.filter(pk=acme.pk).update(schema_version="0123456789abcdef")
    migrated: list[str] = []
    with owner_connection() as owner_side:
        assert not schemas_are_current(owner_side)
        # Public, the template and acme.
        assert schemas_migrate(owner_side, report=migrated.append) == 3
        assert schemas_are_current(owner_side)
    acme.refresh_from_db()
    assert acme.schema_version == globex.schema_version == schema_fingerprint()


def test_a_tenant_migration_goes_back_and_forth_in_every_schema(owner: Owner, acme: Tenant) -> None:
    call_command("migrate", "sessions", "zero", verbosity=0)
    gone = f"select to_regclass('{acme.schema_name}.django_session') is null"
    try:
        assert owner.execute(gone).fetchone() == (True,)
        with pytest.raises(DatabaseError, match="not migrated"), connection.cursor() as cursor:
            cursor.execute("select tenant_schema_create(%s)", [acme.pk])
    finally:
        call_command("migrate_schemas", verbosity=0)
    assert owner.execute(gone).fetchone() == (False,)
    with tenant_bind(acme), connection.cursor() as cursor:
        cursor.execute("select count(*) from django_session")  # Granted again.
    with owner_connection() as owner_side:
        assert schemas_are_current(owner_side)


def test_a_template_that_can_not_be_cloned_is_refused(owner: Owner) -> None:
    owner.execute("create view tenant_template.glimpse as select 1 as one")
    owner.execute("comment on schema tenant_template is 'Atlasco tenant schema, version 00'")
    try:
        with pytest.raises(MigrationRefused, match="relation glimpse"), owner_connection() as owner_side:
            schemas_migrate(owner_side, report=lambda line: None)
    finally:
        owner.execute("drop view tenant_template.glimpse")
        call_command("migrate_schemas", verbosity=0)


@pytest.mark.parametrize(
    "statement",
    [
        "create table public.stray (id integer)",
        "create table {schema}.stray (id integer)",
        "create schema stray",
        "alter table {schema}.members_user add column stray text",
        "drop schema {schema} cascade",
        "truncate {schema}.members_user",
        "set role atlasco_owner",
        "select count(*) from tenant_template.members_user",
        "select tenant_schema_grant('public')",
        "alter table {schema}.members_user disable row level security",
        "drop policy tenant on {schema}.members_user",
        "insert into {schema}.django_migrations (app, name, applied) values ('x', 'x', now())",
        "select tenant_schema_create(2147483647)",
        "select tenant_schema_create(null)",
        "select tenant_schema_create({id})",
        "select tenant_schema_drop({id})",
        "update tenants_tenant set schema_name = 'tenant_template' where id = {id}",
        "create or replace function tenant_schema_drop(integer) returns boolean language sql as 'select true'",
        "alter table tenants_test.rows disable row level security",
    ],
)
def test_the_application_role_can_not(statement: str, acme: Tenant, rows: str) -> None:
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement.format(schema=acme.schema_name, id=acme.pk))


def test_no_table_of_public_is_open_by_default(owner: Owner) -> None:
    # A leaf partition that the application role could read would show every tenant's rows.
    owner.execute("create table public.stray_leaf (id integer)")
    try:
        with pytest.raises(DatabaseError, match="permission denied"), connection.cursor() as cursor:
            cursor.execute("select * from stray_leaf")
    finally:
        owner.execute("drop table public.stray_leaf")


def test_scopes_are_checked_by_the_database_too(acme: Tenant) -> None:
    with pytest.raises(DatabaseError, match="apitoken_scopes_known"), tenant_bind(acme):
        ApiToken.objects.create(name="x", prefix="x", digest="x", scopes=["all"], created_at="2026-01-01T00:00Z")


def test_plain_migrate_refuses_replicas() -> None:
    with pytest.raises(Exception, match="replica1 follows it"):
        call_command("migrate", database="replica1")
