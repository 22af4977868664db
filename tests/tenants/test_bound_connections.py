"""Every connection follows the bound tenant, whatever happens to its transaction."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, DataError, InterfaceError, OperationalError, connection, connections, transaction
from django_tenants.utils import schema_context, tenant_context

from tenants.binding import public_bind, tenant_bind, tenant_current
from tenants.database.base import BindingChanged
from tenants.members.models import SavedSearch, User
from tenants.models import Tenant

Notes = Callable[..., list[str]]


def user_make(name: str) -> None:
    User.objects.create(username=name, date_joined="2026-01-01T00:00Z")


def test_a_statement_sees_only_the_bound_tenant(acme: Tenant, globex: Tenant, notes: Notes) -> None:
    with tenant_bind(acme):
        assert notes() == ["of acme"]
        with tenant_bind(globex):
            assert notes() == ["of globex"]
        assert notes() == ["of acme"]


def test_nobody_sees_nothing(acme: Tenant, notes: Notes) -> None:
    assert notes() == []
    with tenant_bind(acme):
        notes()
    assert notes() == []
    with tenant_bind(acme), public_bind():
        assert notes() == []


def test_a_row_of_another_tenant_can_not_be_written(acme: Tenant, globex: Tenant, rows: str) -> None:
    with tenant_bind(acme), connection.cursor() as cursor:
        with pytest.raises(DatabaseError, match="row-level security"), transaction.atomic():
            cursor.execute(f"insert into {rows} values (%s, 'stray')", [globex.pk])
        cursor.execute(f"update {rows} set note = 'changed' where tenant_id = %s", [globex.pk])
        assert cursor.rowcount == 0


def test_the_schema_follows_too(acme: Tenant, globex: Tenant) -> None:
    with tenant_bind(acme):
        user_make("ann")
    with tenant_bind(globex):
        assert not User.objects.filter(username="ann").exists()
        user_make("ann")
    with public_bind():
        assert not User.objects.filter(username="ann").exists()


def test_a_rollback_reverts_nothing_for_us(acme: Tenant, globex: Tenant, notes: Notes) -> None:
    with tenant_bind(acme):
        notes()
    with tenant_bind(globex):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            assert notes() == ["of globex"]  # Bound inside the transaction: its rollback takes the setting back.
            _ = 1 / 0
        assert notes() == ["of globex"]


def test_a_savepoint_rollback_reverts_nothing_for_us(acme: Tenant, globex: Tenant, notes: Notes) -> None:
    with transaction.atomic():
        with tenant_bind(acme):
            notes()
        with tenant_bind(globex):
            with pytest.raises(ZeroDivisionError), transaction.atomic():
                notes()
                _ = 1 / 0
            assert notes() == ["of globex"]


def test_a_failed_statement_in_a_savepoint_can_be_left(acme: Tenant, globex: Tenant, notes: Notes) -> None:
    with transaction.atomic():
        with pytest.raises(DatabaseError), tenant_bind(acme), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("select 1 / 0")
        with tenant_bind(globex):
            assert notes() == ["of globex"]


def test_a_binding_left_inside_a_broken_transaction_does_no_harm(acme: Tenant, globex: Tenant, notes: Notes) -> None:
    # The rollback to the savepoint runs under another binding than the statement that failed.
    with tenant_bind(globex):
        with transaction.atomic():
            with pytest.raises(DatabaseError), transaction.atomic(), tenant_bind(acme), connection.cursor() as cursor:
                cursor.execute("select 1 / 0")
            assert notes() == ["of globex"]
        assert notes() == ["of globex"]


def test_a_new_connection_is_bound(acme: Tenant, notes: Notes) -> None:
    with tenant_bind(acme):
        notes()
        connection.close()
        assert notes() == ["of acme"]


def test_a_cursor_that_was_kept_follows_the_binding(acme: Tenant, globex: Tenant, rows: str) -> None:
    with connection.cursor() as cursor:

        def seen() -> Any:
            cursor.execute(f"select note from {rows}")
            return cursor.fetchall()

        assert seen() == []
        with tenant_bind(acme):
            assert seen() == [("of acme",)]
        with tenant_bind(globex):
            with pytest.raises(ZeroDivisionError), transaction.atomic():
                seen()
                _ = 1 / 0
            assert seen() == [("of globex",)]


def test_a_cursor_whose_connection_was_closed_says_so(acme: Tenant, globex: Tenant) -> None:
    for tenant in (acme, globex):
        with tenant_bind(tenant), connection.cursor() as cursor:
            connection.close()
            with pytest.raises(InterfaceError, match="closed"):
                cursor.execute("select 1")


def test_copy_follows_the_binding(acme: Tenant, globex: Tenant, rows: str, notes: Notes) -> None:
    statement = f"copy (select note from {rows}) to stdout"
    with connection.cursor() as cursor, tenant_bind(globex), cursor.copy(statement) as copy:
        assert b"".join(bytes(chunk) for chunk in copy) == b"of globex\n"


@pytest.mark.parametrize("debug_cursor", [False, True])
def test_trouble_within_a_copy_or_a_stream_is_djangos(acme: Tenant, debug_cursor: bool) -> None:
    # What the database says only while rows flow must reach our handlers as what they know: they answer 503.
    slow = "select pg_sleep(case g when 1 then 0 else 5 end) from generate_series(1, 2) g"

    def copied(cursor: Any) -> None:
        with cursor.copy(f"copy ({slow}) to stdout") as copy:
            list(copy)

    def written(cursor: Any) -> None:
        with cursor.copy("copy refused from stdin") as copy:
            copy.write_row(["no number"])

    def streamed(cursor: Any) -> None:
        list(cursor.stream(slow))

    with tenant_bind(acme):
        for flow, trouble in ((copied, OperationalError), (streamed, OperationalError), (written, DataError)):
            connection.force_debug_cursor = debug_cursor
            with pytest.raises(trouble), transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("set local statement_timeout = 100")
                cursor.execute("create temp table refused (n integer) on commit drop")
                flow(cursor)
            connection.force_debug_cursor = False
            with connection.cursor() as cursor:
                cursor.execute("select 1")
                assert cursor.fetchone() == (1,)


def test_server_side_cursors_are_bound(acme: Tenant, globex: Tenant) -> None:
    for tenant in (acme, globex):
        with tenant_bind(tenant):
            for number in range(3):
                user_make(f"{tenant.name}-{number}")
    with tenant_bind(acme), transaction.atomic():
        found = [user.username for user in User.objects.order_by("username").iterator(chunk_size=1)]
    assert found == ["acme-0", "acme-1", "acme-2"]


def test_a_server_side_cursor_read_for_another_tenant_raises(acme: Tenant, globex: Tenant) -> None:
    with tenant_bind(acme), transaction.atomic():
        for number in range(3):
            user_make(f"u{number}")
        users = User.objects.iterator(chunk_size=1)
        next(users)
        with pytest.raises(BindingChanged), tenant_bind(globex):
            list(users)


def test_replicas_follow_the_binding(
    acme: Tenant, globex: Tenant, notes: Notes, replica: str, replicate: Callable[[], object]
) -> None:
    replicate()
    assert notes(replica) == []
    for tenant in (acme, globex):
        with tenant_bind(tenant):
            assert notes(replica) == [f"of {tenant.name}"]
    assert notes(replica) == []


def test_replicas_find_the_schema_and_write_nothing(
    acme: Tenant, replica: str, replicate: Callable[[], object]
) -> None:
    with tenant_bind(acme):
        user_make("ann")
        replicate()
        assert [user.username for user in User.objects.using(replica)] == ["ann"]
        with pytest.raises(DatabaseError, match="read-only"):
            User.objects.using(replica).update(email="x@example.com")


def test_threads_do_not_disturb_each_other(acme: Tenant, globex: Tenant, notes: Notes, rows: str) -> None:
    wrong: list[object] = []
    start = threading.Barrier(4)

    def work(tenant: Tenant) -> None:
        try:
            start.wait(10)
            for _ in range(50):
                with tenant_bind(tenant):
                    if (seen := notes()) != [f"of {tenant.name}"]:
                        wrong.append(seen)
                if notes():
                    wrong.append("seen while unbound")
        except BaseException as error:  # noqa: BLE001  # Whatever ends a thread must fail the test.
            wrong.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=[tenant]) for tenant in (acme, globex, acme, globex)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_binding_that_fails_raises_and_runs_nothing(acme: Tenant, notes: Notes) -> None:
    unusable = Tenant(id=7, slug="unusable", schema_name="tenant_\x00")
    with tenant_bind(acme):
        assert notes() == ["of acme"]
    with tenant_bind(unusable), pytest.raises((DataError, ValueError), match="NUL"):
        notes()
    with tenant_bind(acme):
        assert notes() == ["of acme"]


def test_a_binding_is_sent_only_when_it_changed(acme: Tenant, notes: Notes) -> None:
    with tenant_bind(acme):
        notes()
        # Behind Django's back: were the binding sent with every statement, this would be put right again.
        assert connection.connection is not None
        connection.connection.execute("select set_config('atlasco.tenant_id', '', false)")
        assert notes() == []
        connection.close()


def test_django_tenants_doors_move_every_alias(acme: Tenant, globex: Tenant, notes: Notes) -> None:
    with tenant_bind(acme):
        with tenant_context(globex):
            assert tenant_current() == globex
            assert connections["default"].schema_name == globex.schema_name  # type: ignore[attr-defined]  # Ours.
            assert notes() == ["of globex"]
        assert notes() == ["of acme"]
        # A schema's name alone is not a tenant: its tables, and nobody's rows.
        with schema_context(globex.schema_name):
            assert notes() == []
            assert not SavedSearch.objects.exists()


def test_the_first_look_at_a_replica_does_not_unbind(acme: Tenant, replica: str) -> None:
    seen: list[Tenant | None] = []

    def work() -> None:
        with tenant_bind(acme):
            assert connections[replica].alias == replica  # Constructs this thread's wrapper.
            seen.append(tenant_current())
        connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [acme]
