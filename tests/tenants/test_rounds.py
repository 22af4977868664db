"""Periodic work goes round the tenants, and one tenant's trouble stays its own."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from django.db import connection, connections

import analytics.tasks
from entities import receipts, services, tasks
from entities.imports import jobs
from tenants.binding import tenant_current
from tenants.models import Tenant
from tenants.rounds import RoundIncomplete, tenants_each
from tenants.services import tenant_suspend
from tests.tenants.test_services import NOW

Round = Callable[[], int]


def test_every_tenant_gets_its_turn_bound(acme: Tenant, globex: Tenant) -> None:
    tenant_suspend(tenant=globex, now=NOW)
    bound: dict[str, Tenant | None] = {}

    def work(tenant: Tenant) -> int:
        bound[tenant.slug] = tenant_current()
        return 1

    assert tenants_each(work) == len(bound)
    assert (bound[acme.slug], bound[globex.slug]) == (acme, globex)
    assert tenant_current() is None


def test_a_tenant_that_is_being_deleted_is_left_out(acme: Tenant, globex: Tenant) -> None:
    Tenant.objects.filter(pk=acme.pk).update(status=Tenant.Status.DELETING)
    seen: list[str] = []
    tenants_each(lambda tenant: seen.append(tenant.slug) or 0)  # type: ignore[func-returns-value]  # For its effect.
    assert globex.slug in seen and acme.slug not in seen


@pytest.mark.parametrize("statement", ["select 1 / 0", "select pg_terminate_backend(pg_backend_pid())"])
def test_one_tenants_trouble_stops_no_other(
    acme: Tenant, globex: Tenant, statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[str] = []

    def work(tenant: Tenant) -> int:
        with connections["default"].cursor() as cursor:
            cursor.execute(statement if tenant == acme else "select 1")
        done.append(tenant.slug)
        return 1

    with caplog.at_level(logging.ERROR), pytest.raises(RoundIncomplete, match=acme.slug) as incomplete:
        tenants_each(work)
    assert incomplete.value.slugs == [acme.slug]
    assert globex.slug in done
    told = [(vars(record)["slug"], record.exc_info is not None) for record in caplog.records]
    assert told == [(acme.slug, True)]
    connection.close()


@pytest.mark.parametrize(
    ("module", "name", "round_of_all"),
    [
        (services, "attribute_changes_fold", tasks.attribute_changes_fold),
        (receipts, "receipts_expire", tasks.import_receipts_expire),
        (tasks, "jobs_abandoned", tasks.jobs_resume),
        (jobs, "import_jobs_expire", tasks.import_jobs_expire),
        (analytics.tasks, "statistics_refresh", analytics.tasks.refresh_attribute_statistics),
    ],
)
def test_every_task_goes_round_like_that(
    acme: Tenant, globex: Tenant, module: object, name: str, round_of_all: Round, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: set[int] = set()

    def failing(*which: object, tenant_id: int, **options: object) -> None:
        asked.add(tenant_id)
        raise LookupError(name)

    monkeypatch.setattr(module, name, failing)
    with pytest.raises(RoundIncomplete):
        round_of_all()
    assert {acme.pk, globex.pk} <= asked
