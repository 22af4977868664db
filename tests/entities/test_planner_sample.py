"""The planner's sample is drawn with the statistics, and read as the entities are now."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from analytics import statistics as refreshing
from entities.models import Entity
from entities.search import statistics
from entities.search.query import Condition
from entities.search.sample import Sample
from entities.services import entity_delete
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tests.entities import plane
from tests.entities.plane import entity

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _small_tenants_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (refreshing, statistics):
        monkeypatch.setattr(module, "SAMPLED_FROM", 1)


def sample_of(tenant: Tenant, *names: str) -> Sample | None:
    statistics.statistics_forget()
    with tenant_bind(tenant):
        return statistics.statistics_read(tenant_id=tenant.pk, names=names, using="default").sample


def refresh(tenant: Tenant) -> None:
    with tenant_bind(tenant):
        refreshing.statistics_refresh(tenant_id=tenant.pk, now=NOW, force=True)


def test_a_sample_holds_the_tenants_entities_and_their_own_fields(acme: Tenant, globex: Tenant) -> None:
    plane.write(acme, [entity(str(n), color="red" if n % 4 == 0 else "blue", text="x" * 3_000) for n in range(40)])
    plane.write(globex, [entity("theirs", color="red")])
    assert sample_of(acme, "color") is None
    refresh(acme)
    refresh(globex)
    sample = sample_of(acme, "color", "text", "unknown")
    assert sample is not None and sample.size == 40
    assert sample.hits(Condition("color", "eq", "red")) == 10
    assert sample.hits(Condition("@entity_type", "eq", "lamp")) == 40
    # A long value is there, and equals nothing that anybody would ask for.
    assert sample.hits(Condition("text", "exists")) == 40
    assert sample.hits(Condition("text", "prefix", "x")) == 0
    assert sample.hits(Condition("unknown", "exists")) == 0


def test_what_was_deleted_is_kept_nowhere(acme: Tenant) -> None:
    plane.write(acme, [entity(str(n), color="red") for n in range(4)])
    refresh(acme)
    with tenant_bind(acme):
        entity_delete(tenant_id=acme.pk, entity_id=Entity.objects.all()[0].entity_id, expected_versions=None)
    sample = sample_of(acme, "color")
    assert sample is not None
    assert (sample.size, sample.hits(Condition("color", "exists"))) == (4, 3)
