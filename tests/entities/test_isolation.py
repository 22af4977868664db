"""As the application's role, bound to one tenant: nothing of another can be read or written, by any statement."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import DatabaseError, InternalError, ProgrammingError, connections, transaction

from entities import receipts, selectors, services
from entities.aggregates import aggregate_parse, aggregate_run
from entities.ingest.importer import import_run
from entities.search.cursors import InvalidCursor
from entities.search.query import query_parse
from entities.search.run import search_run
from entities.selectors import EntityNotFound
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tests.cluster import Cluster
from tests.entities import plane
from tests.entities.plane import entity

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
# Every table with rows of tenants that only a bound tenant sees, and a column whose change would be noticed.
TABLES = {
    "entities": "external_id",
    "entity_keys": "external_id",
    "entity_attributes": "attribute_value",
    "attribute_metadata": "unit",
    "attribute_changes": "attribute_name",
    "import_receipts": "idempotency_key",
    "import_jobs": "file_name",
    "attribute_usage": "attribute_name",
    "search_samples": "fingerprint",
    "attribute_index_jobs": "reason",
    "attribute_aliases": "created_by",
    "attribute_governance": "version",
    "attribute_job_changes": "old_value",
    "attribute_jobs": "detail",
    "attribute_rules": "updated_by",
    "bulk_edit_changes": "before",
    "bulk_edits": "detail",
    "export_jobs": "file_path",
    "import_mappings": "fingerprint",
    "import_rejections": "code",
    "tenant_statistics": "entities",
    "alert_rules": "webhook_url",
    "alert_states": "run_length",
    "alert_firings": "external_id",
    "notice_deliveries": "address",
}
# A column that takes no text.
TAKEN = {
    "attribute_governance": "7",
    "attribute_job_changes": "'{}'",
    "bulk_edit_changes": "'{}'",
    "tenant_statistics": "7",
    "alert_states": "7",
}
# The platform's own about tenants: unbound it sees every row, and a bound tenant its own.
PLATFORM_TABLES = ("partition_archives", "partition_promotions", "tenant_traffic", "tenants_tenantjob")
# Whose guard is another, and why.
OTHERWISE = {
    "audit_log": "not forced, so that the owner prunes it; the application changes no row (test_audit.py)",
    "tenants_domain": "read before any tenant is known",
    "demo_airlines": "which tenants are the demo's",
}
VIEWS = ("entity_documents", "entity_values")
EVERY_TABLE = pytest.mark.parametrize("table", TABLES)
Read = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def both(acme: Tenant, globex: Tenant) -> tuple[Tenant, Tenant]:
    """Both tenants with a row in every table, of the same keys."""
    for tenant in (acme, globex):
        plane.write(tenant, [entity("1", secret=tenant.name), entity(tenant.name, secret=tenant.name)])
        with tenant_bind(tenant), connections["default"].cursor() as cursor:
            receipts.receipt_open(tenant_id=tenant.pk, key="k", now=NOW)
            cursor.execute("UPDATE attribute_metadata SET unit = %s WHERE tenant_id = %s", [tenant.name, tenant.pk])
            cursor.execute(
                "INSERT INTO import_jobs (job_id, tenant_id, file_name, file_path, bytes_total)"
                " VALUES (gen_random_uuid(), %s, 'f', 'f', 1)",
                [tenant.pk],
            )
            cursor.execute(
                "INSERT INTO attribute_usage VALUES (%(id)s, 'secret', 1, 1, now());"
                " INSERT INTO search_samples VALUES (%(id)s, 'f', '{}', 1, 1, now());"
                " INSERT INTO attribute_index_jobs (tenant_id, attribute_name, action)"
                " VALUES (%(id)s, 'secret', 'build')",
                {"id": tenant.pk},
            )
            cursor.execute(
                # What the tenants of these tests are not rid of by themselves.
                "DELETE FROM alert_rules; DELETE FROM notice_deliveries;"
                " INSERT INTO attribute_aliases (tenant_id, alias, attribute_name) VALUES (%(id)s, 'hidden', 'secret');"
                " INSERT INTO attribute_governance VALUES (%(id)s, 1);"
                " INSERT INTO attribute_jobs (job_id, tenant_id, kind) VALUES (gen_random_uuid(), %(id)s, 'rename');"
                " INSERT INTO attribute_job_changes SELECT %(id)s, job_id, 1, now(), '1' FROM attribute_jobs;"
                " INSERT INTO attribute_rules (tenant_id, attribute_name, conditions) VALUES (%(id)s, 'secret', '{}');"
                " INSERT INTO bulk_edits (edit_id, tenant_id) VALUES (gen_random_uuid(), %(id)s);"
                " INSERT INTO bulk_edit_changes SELECT %(id)s, edit_id, 1, now(), '{}' FROM bulk_edits;"
                " INSERT INTO export_jobs (job_id, tenant_id, format, query)"
                " VALUES (gen_random_uuid(), %(id)s, 'csv', '{}');"
                " INSERT INTO import_mappings VALUES (%(id)s, 'f', '{}');"
                " INSERT INTO import_rejections SELECT %(id)s, job_id, 1, 'c', 'd' FROM import_jobs;"
                " INSERT INTO tenant_statistics VALUES (%(id)s, 1, '{}', now()) ON CONFLICT DO NOTHING;"
                " INSERT INTO alert_rules (tenant_id, name, attribute_name, operator, threshold, effective_lsn,"
                " created_at, updated_at) VALUES (%(id)s, 'hot', 'secret', 'gt', 1, 0, now(), now());"
                " INSERT INTO alert_states SELECT rule_id, 1, %(id)s, 1, 1, 1, 1 FROM alert_rules;"
                " INSERT INTO alert_firings (tenant_id, rule_id, entity_id, entity_type, external_id, fired_lsn,"
                " fired_us, value, noticed_at) SELECT %(id)s, rule_id, 1, 'lamp', '1', 1, 1, 1, now() FROM alert_rules;"
                " INSERT INTO notice_deliveries (tenant_id, kind, address, notice_key, event, subject, body, facts,"
                " happened_at, queued_at)"
                " VALUES (%(id)s, 'email', 'a@acme.test', 'k', 'e', 's', 'b', '{}', now(), now())",
                {"id": tenant.pk},
            )
    return acme, globex


def read(statement: str, *parameters: Any, using: str = "default") -> list[tuple[Any, ...]]:
    with connections[using].cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall()) if cursor.description else [(cursor.rowcount,)]


def contents(owner: psycopg.Connection[Any], tenant: Tenant) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the tenant in every table, as its owner sees it when bound."""
    owner.execute("SELECT set_config('atlasco.tenant_id', %s, false)", [str(tenant.pk)])
    found = {table: owner.execute(f"SELECT * FROM {table} ORDER BY {table}::text").fetchall() for table in TABLES}
    owner.execute("RESET atlasco.tenant_id")
    return found


# --- Raw statements ---------------------------------------------------------------------------------------------------


@EVERY_TABLE
def test_no_statement_reads_another_tenants_rows(table: str, both: tuple[Tenant, Tenant]) -> None:
    acme, globex = both
    with tenant_bind(acme):
        assert {row[0] for row in read(f"SELECT tenant_id FROM {table}")} == {acme.pk}
        assert read(f"SELECT * FROM {table} WHERE tenant_id = %s", globex.pk) == []
        assert read(f"SELECT count(*) FROM {table} WHERE tenant_id <> %s", acme.pk) == [(0,)]
        # Nor by a join.
        joined = f"SELECT t.tenant_id FROM {table} t JOIN tenants_tenant o ON o.id = t.tenant_id WHERE o.id <> %s"
        assert read(joined, acme.pk) == []


@EVERY_TABLE
def test_no_statement_writes_another_tenants_rows(
    table: str, both: tuple[Tenant, Tenant], owner_db: psycopg.Connection[Any]
) -> None:
    acme, globex = both
    before = contents(owner_db, globex)
    assert all(before.values())
    with tenant_bind(acme):
        taken = TAKEN.get(table, "'taken'")
        assert read(f"UPDATE {table} SET {TABLES[table]} = {taken} WHERE tenant_id = %s", globex.pk) == [(0,)]
        assert read(f"DELETE FROM {table} WHERE tenant_id = %s", globex.pk) == [(0,)]
        assert read(f"DELETE FROM {table} WHERE tenant_id <> %s", acme.pk) == [(0,)]
        with pytest.raises(ProgrammingError, match="row-level security"):
            read(f"UPDATE {table} SET tenant_id = %s", globex.pk)
        columns = [
            row[0]
            for row in read(
                "SELECT column_name FROM information_schema.columns"
                " WHERE table_name = %s AND table_schema = 'public' AND is_generated = 'NEVER' AND is_identity = 'NO'",
                table,
            )
        ]
        values = ", ".join("%s" if column == "tenant_id" else f"t.{column}" for column in columns)
        with pytest.raises(ProgrammingError, match="row-level security"):
            read(f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {table} t LIMIT 1", globex.pk)
        for statement in (
            f"TRUNCATE {table}",
            f"DROP TABLE {table}",
            f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
            f"ALTER TABLE {table} OWNER TO atlasco_app",
            f"DROP POLICY tenant ON {table}",
            f"CREATE POLICY mine ON {table} USING (true)",
            f"CREATE RULE mine AS ON DELETE TO {table} DO NOTHING",
            f"CREATE INDEX mine ON {table} (tenant_id)",
            f"COPY {table} TO PROGRAM 'true'",
            f"COPY {table} TO '/dev/null'",
        ):
            with pytest.raises(ProgrammingError, match=r"permission denied|must be owner|must have privileges"):
                read(statement)
    assert contents(owner_db, globex) == before


@pytest.mark.parametrize("table", [*TABLES, *VIEWS])
def test_bound_to_nobody_there_is_no_row(table: str, both: tuple[Tenant, Tenant]) -> None:
    assert read(f"SELECT * FROM {table}") == []
    for value in ("", "0", "-1"):
        with transaction.atomic():
            read("SELECT set_config('atlasco.tenant_id', %s, true)", value)
            assert read(f"SELECT * FROM {table}") == []


@pytest.mark.parametrize("view", VIEWS)
def test_the_views_of_the_search_show_one_tenant(view: str, both: tuple[Tenant, Tenant]) -> None:
    for tenant in both:
        with tenant_bind(tenant):
            # Marked and written again, so that there is an indexed value to see.
            read("UPDATE attribute_metadata SET is_indexed = true WHERE tenant_id = %s", tenant.pk)
            services.entity_create(
                tenant_id=tenant.pk,
                entity=services.EntityInput("lamp", "indexed", None, None, {"secret": "indexed"}),
                upsert=False,
                now=NOW,
            )
    acme, globex = both
    with tenant_bind(acme):
        assert {row[0] for row in read(f"SELECT tenant_id FROM {view}")} == {acme.pk}
        assert read(f"SELECT * FROM {view} WHERE tenant_id = %s", globex.pk) == []
        # A function that tells what it sees sees nothing that the view hides.
        told = read(f"SELECT string_agg(tenant_id::text, ',') FROM {view} WHERE tenant_id::text LIKE '%%'")[0][0]
        assert set(told.split(",")) == {str(acme.pk)}


@pytest.mark.parametrize("using", ["default", *settings.REPLICA_ALIASES])
def test_every_connection_sees_one_tenant(using: str, both: tuple[Tenant, Tenant], stack: Cluster) -> None:
    stack.wait_for_replicas()
    for tenant in both:
        with tenant_bind(tenant):
            for table in (*TABLES, "entity_documents"):
                assert {row[0] for row in read(f"SELECT tenant_id FROM {table}", using=using)} == {tenant.pk}, table
    for table in (*TABLES, *VIEWS):
        assert read(f"SELECT * FROM {table}", using=using) == []


def leaves(tenant: Tenant | None = None) -> list[str]:
    """Every partition and branch; with a tenant only its own."""
    pattern = (
        r"^(entities|entity_attributes|entity_keys)_(p\d\d|tenant_)" if tenant is None else f"_tenant_{tenant.pk}(_|$)"
    )
    rows = read(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        " AND relname ~ %s ORDER BY relname",
        pattern,
    )
    return [row[0] for row in rows]


def assert_out_of_reach(tables: list[str]) -> None:
    for table in tables:
        for statement in (
            f"SELECT * FROM {table}",
            f"INSERT INTO {table} DEFAULT VALUES",
            f"UPDATE {table} SET tenant_id = tenant_id",
            f"DELETE FROM {table}",
            f"TRUNCATE {table}",
            f"COPY {table} TO STDOUT",
        ):
            with pytest.raises(ProgrammingError, match=f"permission denied for table {table}"):
                read(statement)


def test_partitions_can_not_be_named(both: tuple[Tenant, Tenant]) -> None:
    named = [name for name in leaves() if "_tenant_" not in name]
    assert len(named) == 16 * 2 + 16 * 2 + 16  # Branches and shared leaves of two tables, and the buckets of keys.
    with tenant_bind(both[0]):
        assert_out_of_reach(named)


def test_partitions_of_a_dedicated_tenant_can_not_be_named(acme: Tenant, tenant_make: Callable[..., Tenant]) -> None:
    initech = tenant_make("initech", dedicated=True)
    plane.write(initech, [entity("1", secret="theirs")])
    own = leaves(initech)
    assert len(own) > 10
    for tenant in (acme, initech):
        with tenant_bind(tenant):
            assert_out_of_reach(own)
    with tenant_bind(acme):
        assert read("SELECT * FROM entities WHERE tenant_id = %s", initech.pk) == []
    with tenant_bind(initech):
        assert read("SELECT external_id FROM entities") == [("1",)]


def test_statistics_of_the_planner_tell_nothing(both: tuple[Tenant, Tenant], owner_db: psycopg.Connection[Any]) -> None:
    owner_db.execute("ANALYZE entity_attributes")
    with tenant_bind(both[0]):
        assert (
            read("SELECT * FROM pg_stats WHERE schemaname = 'public' AND tablename ~ '^(entit|attribute|import)'") == []
        )
        with pytest.raises(ProgrammingError, match="permission denied"):
            read("SELECT * FROM pg_statistic")


@pytest.mark.parametrize("role", ["atlasco_owner", "atlasco_search", "atlasco_replication", "postgres"])
def test_the_role_can_not_become_another(role: str, both: tuple[Tenant, Tenant]) -> None:
    with tenant_bind(both[0]):
        for statement in (f"SET ROLE {role}", f"SET SESSION AUTHORIZATION {role}"):
            with pytest.raises(DatabaseError, match=r"permission denied|does not exist"):
                read(statement)
        assert read("SELECT current_user::text, session_user::text") == [("atlasco_app", "atlasco_app")]


def test_the_role_can_not_turn_the_guard_off(both: tuple[Tenant, Tenant]) -> None:
    facts = read(
        "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication FROM pg_roles"
        " WHERE rolname = current_user"
    )
    assert facts == [(False,) * 5]
    owned = "SELECT relname FROM pg_class WHERE relowner = current_user::regrole AND relpersistence <> 't'"
    assert read(owned) == []
    with tenant_bind(both[0]), transaction.atomic():
        # This asks for an error instead of filtered rows; it does not lift the filter.
        read("SET LOCAL row_security = off")
        with pytest.raises(ProgrammingError, match="row-level security"), transaction.atomic():
            read("SELECT * FROM entities")


@pytest.mark.parametrize("table", PLATFORM_TABLES)
def test_of_the_platforms_tables_a_tenant_sees_its_own_rows(table: str, both: tuple[Tenant, Tenant]) -> None:
    written = {
        "partition_archives": "VALUES (%s, 'old', NULL, 1, now(), 1, 1, 1, 'p', 'd')",
        "partition_promotions": "(tenant_id, status, requested_at) VALUES (%s, 'done', now())",
        "tenant_traffic": "VALUES (%s, now(), 1, 1, 1, 1)",
        "tenants_tenantjob": (
            "(tenant_id, kind, status, slug, created_at, created_by, done, total, report, file_path, file_bytes,"
            " detail) VALUES (%s, 'export', 'done', 's', now(), 'p', 1, 1, '{}', 'f', 1, '')"
        ),
    }
    acme, globex = both
    ids = {acme.pk, globex.pk}
    for tenant in both:
        read(f"INSERT INTO {table} {written[table]}", tenant.pk)
    assert {row[0] for row in read(f"SELECT tenant_id FROM {table}")} >= ids
    with tenant_bind(acme):
        assert {row[0] for row in read(f"SELECT tenant_id FROM {table}")} == {acme.pk}
        assert read(f"DELETE FROM {table} WHERE tenant_id = %s", globex.pk) == [(0,)]
        with pytest.raises(ProgrammingError, match="row-level security"):
            read(f"UPDATE {table} SET tenant_id = %s", globex.pk)
    assert read(f"DELETE FROM {table} WHERE tenant_id = ANY (%s)", list(ids)) >= [(2,)]


def test_every_table_with_a_tenant_is_guarded(live_db: None) -> None:
    """A table that comes later must not be forgotten: it stands in TABLES, or its reason here."""
    rows = read(
        "SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity"
        " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
        " AND a.attname = 'tenant_id'"
    )
    assert {name for name, *_ in rows} == {*TABLES, *PLATFORM_TABLES, *OTHERWISE}
    assert [name for name, enabled, _ in rows if not enabled and name not in OTHERWISE] == []
    # An owner whom no policy binds is one whom no mistake in its functions stops.
    assert {name for name, _, forced in rows if not forced} == {*OTHERWISE, "tenant_traffic"}


# --- The product's own doors ------------------------------------------------------------------------------------------


def test_an_entity_of_another_tenant_is_not_there_by_id(both: tuple[Tenant, Tenant]) -> None:
    acme, globex = both
    theirs = plane.stored(globex)["lamp", "1"].entity_id
    before = plane.stored(globex)
    patch = services.EntityInput("", None, None, None, {"secret": "taken"})
    # By its own tenant_id, and by the other's: what a mistake in a caller would do.
    for tenant_id in (acme.pk, globex.pk):
        where: dict[str, Any] = {"tenant_id": tenant_id, "entity_id": theirs}
        anyhow: dict[str, Any] = {**where, "expected_versions": None}
        acts: list[Callable[[], object]] = [
            partial(selectors.entity_get, **where, using="default"),
            partial(selectors.value_get, **where, name="secret", using="default"),
            partial(services.entity_patch, **anyhow, entity=patch, now=NOW),
            partial(services.attribute_put, **anyhow, name="secret", value="taken", now=NOW),
            partial(services.attribute_delete, **anyhow, name="secret", now=NOW),
            partial(services.entity_delete, **anyhow),
        ]
        for act in acts:
            with tenant_bind(acme), pytest.raises(EntityNotFound):
                act()
    assert plane.stored(globex) == before


def test_a_search_for_another_tenant_finds_nothing(both: tuple[Tenant, Tenant]) -> None:
    acme, globex = both
    bodies: list[dict[str, Any]] = [
        {},
        {"where": [["secret", "eq", "globex"]]},
        {"where": [["@external_id", "eq", "globex"]]},
        {"where": [["@external_id", "in", ["globex", "1"]]]},
        {"where": [{"not": ["secret", "eq", "acme"]}]},
        {"count": "exact"},
        {"count": "estimate"},
    ]
    with tenant_bind(acme):
        for body in bodies:
            page = search_run(tenant_id=globex.pk, query=query_parse(body), using="default", position="0/0")
            assert (page.entities, page.total_count or 0) == ([], 0), body
        for group_by in (None, "secret", "entity_type"):
            aggregate = aggregate_parse({"fn": "count", "group_by": group_by})
            groups = aggregate_run(tenant_id=globex.pk, aggregate=aggregate, using="default")
            assert sum(group.count for group in groups) == 0
        assert (
            selectors.attributes_page(tenant_id=globex.pk, prefix="", limit=10, cursor=None, using="default").attributes
            == []
        )


def test_a_cursor_of_another_tenant_is_refused(both: tuple[Tenant, Tenant]) -> None:
    acme, globex = both
    with tenant_bind(globex):
        page = search_run(tenant_id=globex.pk, query=query_parse({"limit": 1}), using="default", position="0/0")
    with tenant_bind(acme), pytest.raises(InvalidCursor):
        query = query_parse({"limit": 1, "cursor": page.next_cursor})
        search_run(tenant_id=acme.pk, query=query, using="default", position="0/0")


def test_an_import_for_another_tenant_is_refused_whole(both: tuple[Tenant, Tenant]) -> None:
    acme, globex = both
    before = plane.stored(globex)
    lines = (plane.line_of(update) for update in [entity("1", secret="taken"), entity("new")])
    with tenant_bind(acme), pytest.raises(ProgrammingError, match="row-level security"):
        import_run(tenant_id=globex.pk, chunks=lines, mode="merge", now=NOW, line_max_bytes=1000)
    assert plane.stored(globex) == before


def test_a_search_touches_only_the_tenants_own_bucket(both: tuple[Tenant, Tenant]) -> None:
    acme, _ = both
    with tenant_bind(acme):
        ((bucket,),) = read(
            "SELECT g FROM generate_series(0, 15) g WHERE satisfies_hash_partition('entities'::regclass, 16, g, %s)",
            acme.pk,
        )
        touched: set[str] = set()

        def explain(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
            if sql.lstrip().upper().startswith(("SELECT", "WITH")):
                with context["connection"].connection.cursor() as plain:
                    plain.execute("EXPLAIN (FORMAT JSON) " + sql, parameters)
                    touched.update(relations(plain.fetchone()[0]))
            return execute(sql, parameters, many, context)

        bodies: list[dict[str, Any]] = [
            {},
            {"where": [["secret", "eq", "acme"]], "count": "exact"},
            {"where": [["@external_id", "eq", "1"]]},
            {"where": [["secret", "prefix", "a"]], "order_by": "external_id", "count": "estimate"},
        ]
        with connections["default"].execute_wrapper(explain):
            for body in bodies:
                search_run(tenant_id=acme.pk, query=query_parse(body), using="default", position="0/0")
            aggregate_run(
                tenant_id=acme.pk, aggregate=aggregate_parse({"fn": "count", "group_by": "secret"}), using="default"
            )
    partitions = {name for name in touched if "_p" in name}
    assert partitions and all(f"_p{bucket:02}" in name for name in partitions), touched


def relations(plan: Any) -> Iterator[str]:
    """Every table that a plan reads."""
    if isinstance(plan, list):
        for item in plan:
            yield from relations(item)
    elif isinstance(plan, dict):
        if "Relation Name" in plan:
            yield plan["Relation Name"]
        for item in plan.values():
            yield from relations(item)


# --- The owner's functions --------------------------------------------------------------------------------------------


def test_a_live_tenants_partitions_can_not_be_dropped(acme: Tenant, tenant_make: Callable[..., Tenant]) -> None:
    initech = tenant_make("initech", dedicated=True)
    plane.write(initech, [entity("1")])
    for tenant_id in (initech.pk, acme.pk, 0, -1, 2**31 - 1):
        for bound in (acme, initech):
            with tenant_bind(bound), pytest.raises(DatabaseError, match="is not being deleted"):
                read("SELECT tenant_partitions_drop(%s)", tenant_id)
    with tenant_bind(acme), pytest.raises(DatabaseError, match="not being deleted"):
        read("SELECT tenant_partitions_drop(NULL)")
    assert list(plane.stored(initech)) == [("lamp", "1")]


def test_nobody_gets_partitions_of_his_own_twice_or_without_being_there(
    acme: Tenant, tenant_make: Callable[..., Tenant]
) -> None:
    initech = tenant_make("initech", dedicated=True)
    with tenant_bind(acme):
        for unknown in (0, -1, 2**31 - 1, None):
            with pytest.raises(DatabaseError, match="there is no tenant"):
                read("SELECT tenant_dedicate(%s)", unknown)
        with pytest.raises(DatabaseError, match="already exists"):
            read("SELECT tenant_dedicate(%s)", initech.pk)


def test_a_tenant_with_rows_is_not_moved_by_this_door(acme: Tenant) -> None:
    plane.write(acme, [entity("1")])
    with (
        tenant_bind(acme),
        pytest.raises((InternalError, DatabaseError), match="default partition"),
        transaction.atomic(),
    ):
        read("SELECT tenant_dedicate(%s)", acme.pk)
    assert list(plane.stored(acme)) == [("lamp", "1")]


def test_temporary_objects_do_not_stand_in_for_the_owners(acme: Tenant) -> None:
    """A function of the owner must not be led to a table that the application made."""
    with tenant_bind(acme), transaction.atomic():
        read("CREATE TEMP TABLE tenants_tenant (id integer, status text) ON COMMIT DROP")
        read("INSERT INTO pg_temp.tenants_tenant VALUES (%s, 'deleting')", acme.pk)
        with pytest.raises(DatabaseError, match="is not being deleted"), transaction.atomic():
            read("SELECT tenant_partitions_drop(%s)", acme.pk)


def test_the_role_makes_nothing_that_lasts(acme: Tenant) -> None:
    with tenant_bind(acme):
        for statement in (
            "CREATE TABLE public.mine ()",
            "CREATE FUNCTION public.mine() RETURNS integer LANGUAGE sql RETURN 1",
            "CREATE SCHEMA mine",
            "CREATE EXTENSION hstore",
            f"CREATE TABLE {acme.schema_name}.mine ()",
        ):
            with pytest.raises(ProgrammingError, match="permission denied"):
                read(statement)
