"""Indexes are built and dropped beside everything that goes on: whole when they say so, resumable, reversible."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import psycopg
import pytest
from django.core.management import call_command
from django.db import connections, transaction

from entities.indexing import jobs, proposals
from entities.indexing.jobs import IndexJob, index_jobs, index_request, index_work
from entities.indexing.proposals import IndexProposal, autopilot_run, index_proposals
from entities.indexing.usage import usage_fold, usage_write
from entities.models import AttributeMetadata
from entities.search import usage
from entities.search.plan import Plan
from entities.search.query import Condition, query_parse
from entities.search.run import search_run
from entities.search.statistics import statistics_forget
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tests.cluster import Cluster
from tests.entities import plane
from tests.entities.plane import entity, rows_read

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def request(tenant: Tenant, *names: str, action: jobs.Action = "build") -> list[str]:
    with tenant_bind(tenant):
        return index_request(tenant_id=tenant.pk, names=names, action=action, now=NOW, requested_by="ada")


def work(tenant: Tenant, *, batch: int = 3, seconds_max: float = 20.0) -> bool:
    with tenant_bind(tenant):
        return index_work(tenant_id=tenant.pk, clock=lambda: NOW, seconds_max=seconds_max, batch=batch)


def job_of(tenant: Tenant, name: str) -> IndexJob:
    with tenant_bind(tenant):
        return next(job for job in index_jobs(tenant_id=tenant.pk, limit=10) if job.name == name)


def known(tenant: Tenant, name: str) -> AttributeMetadata:
    with tenant_bind(tenant):
        return AttributeMetadata.objects.get(attribute_name=name)


def marked(tenant: Tenant, name: str) -> list[Any]:
    """The texts of the values that the index holds."""
    found = rows_read(
        tenant,
        "SELECT attribute_value FROM entity_attributes WHERE tenant_id = %s AND attribute_name = %s AND indexed"
        " ORDER BY attribute_value",
        [tenant.pk, name],
    )
    return [text for (text,) in found]


def driven(tenant: Tenant, condition: Condition) -> list[str]:
    """What a search finds by the index, and fails where it does not go by it."""
    query = query_parse({"where": [[condition.attribute, condition.operator, condition.value]], "limit": 1000})
    with tenant_bind(tenant):
        plan = Plan("drive", drivers=((condition,),))
        page = search_run(tenant_id=tenant.pk, query=query, using="default", position="0/0", plan=plan)
    assert [name for name, _ in page.trace.steps] == ["drive"]
    return sorted(row.external_id for row in page.entities)


def test_a_built_index_holds_every_short_value_and_drives_searches(acme: Tenant, globex: Tenant) -> None:
    for tenant in (acme, globex):
        plane.write(tenant, [entity(str(n), cost=n, name="x" * 1001 if n == 3 else f"n{n}") for n in range(10)])
    assert request(acme, "cost", "name", "unknown") == ["cost", "name"]
    assert not work(acme)
    assert len(marked(acme, "cost")) == 10
    # The long one is not in the index, and nobody looks for it there.
    assert len(marked(acme, "name")) == 9
    assert (known(acme, "cost").is_indexed, known(acme, "cost").is_indexing) == (True, False)
    assert driven(acme, Condition("cost", "gt", 7)) == ["8", "9"]
    assert (job_of(acme, "cost").status, job_of(acme, "cost").values_done) == ("done", 10)
    assert marked(globex, "cost") == [] and not known(globex, "cost").is_indexed


def test_what_is_written_while_an_index_is_built_is_in_it(acme: Tenant) -> None:
    plane.write(acme, [entity(str(n), cost=n) for n in range(9)])
    request(acme, "cost")
    # A slice at a time, with a write between any two: before, in and after what was gone through.
    turn = 0
    while work(acme, seconds_max=0) and job_of(acme, "cost").is_open:
        assert not known(acme, "cost").is_indexed
        plane.write(acme, [entity(f"new{turn}", cost=100 + turn), entity("0", cost=200 + turn), entity("8", cost=None)])
        turn += 1
    assert turn > 3
    assert known(acme, "cost").is_indexed
    held = rows_read(
        acme,
        "SELECT attribute_value FROM entity_attributes WHERE tenant_id = %s AND value_type = 'number' ORDER BY 1",
        [acme.pk],
    )
    assert marked(acme, "cost") == [text for (text,) in held]


def test_a_writer_from_before_the_start_is_waited_for(acme: Tenant, stack: Cluster) -> None:
    plane.write(acme, [entity("1", cost=1)])
    with psycopg.connect(stack.database_url) as writer:
        # It has read that the attribute is not indexed, and writes and commits later.
        writer.execute("SELECT pg_current_xact_id()")
        request(acme, "cost")
        assert work(acme, seconds_max=0.5)
        assert job_of(acme, "cost").entities_done == 0
        writer.commit()
    assert not work(acme)
    assert known(acme, "cost").is_indexed


def test_a_worker_that_was_killed_goes_on_where_it_was(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    plane.write(acme, [entity(str(n), cost=n) for n in range(9)])
    request(acme, "cost")
    with tenant_bind(acme):
        for _ in range(3):
            jobs._step(acme.pk, NOW, 3)
        done = index_jobs(tenant_id=acme.pk, limit=1)[0].entities_done
        # Killed in the middle of a batch: its transaction is undone.
        with pytest.raises(KeyboardInterrupt), transaction.atomic():
            jobs._step(acme.pk, NOW, 3)
            raise KeyboardInterrupt
        assert 0 < done == index_jobs(tenant_id=acme.pk, limit=1)[0].entities_done < 9
    assert not work(acme)
    assert (job_of(acme, "cost").entities_done, len(marked(acme, "cost"))) == (9, 9)


def test_a_build_under_way_turns_round_and_leaves_nothing(acme: Tenant) -> None:
    plane.write(acme, [entity(str(n), cost=n) for n in range(9)])
    request(acme, "cost")
    with tenant_bind(acme):
        for _ in range(3):
            jobs._step(acme.pk, NOW, 3)
    assert marked(acme, "cost")
    assert request(acme, "cost", action="drop") == ["cost"]
    assert not work(acme)
    assert marked(acme, "cost") == []
    assert (known(acme, "cost").is_indexed, known(acme, "cost").is_indexing) == (False, False)


def test_a_dropped_index_is_left_at_once_and_can_be_built_again(acme: Tenant) -> None:
    plane.write(acme, [entity(str(n), cost=n) for n in range(4)])
    request(acme, "cost")
    work(acme)
    request(acme, "cost", action="drop")
    with tenant_bind(acme):
        jobs._step(acme.pk, NOW, 3)
    assert not known(acme, "cost").is_indexed
    assert not work(acme)
    assert marked(acme, "cost") == []
    assert request(acme, "cost") == ["cost"] and not work(acme)
    assert len(marked(acme, "cost")) == 4


def test_two_workers_do_not_do_the_same(acme: Tenant, stack: Cluster) -> None:
    plane.write(acme, [entity("1", cost=1)])
    request(acme, "cost")
    with psycopg.connect(stack.database_url) as other:
        other.execute("SELECT pg_advisory_xact_lock(hashtext('attribute_index'), %s)", [acme.pk])
        assert work(acme)
        assert job_of(acme, "cost").status == "queued"


# --- What people search for -------------------------------------------------------------------------------------------


def search(tenant: Tenant, where: list[Any]) -> None:
    with tenant_bind(tenant):
        search_run(tenant_id=tenant.pk, query=query_parse({"where": where}), using="default", position="0/0")


def test_searches_are_counted_by_attribute_and_by_body(acme: Tenant, globex: Tenant) -> None:
    usage.usage_hand_over()
    usage.usage_take(messages_max=10_000)
    for tenant in (acme, globex):
        plane.write(tenant, [entity("1", cost=1, color="red")])
    search(acme, [["cost", "gt", 5]])
    search(acme, [["cost", "gt", 5]])
    search(acme, [["color", "eq", "red"], ["unknown", "exists"], ["@entity_type", "eq", "t"]])
    search(globex, [["color", "eq", "red"]])
    usage.usage_hand_over()
    assert usage_fold(now=NOW) == 4
    assert usage_fold(now=NOW) == 0
    counted = rows_read(
        acme, "SELECT attribute_name, searches FROM attribute_usage WHERE tenant_id = %s ORDER BY 1", [acme.pk]
    )
    assert counted == [("color", 1.0), ("cost", 2.0)]
    bodies = rows_read(
        acme, "SELECT body::text, searches FROM search_samples WHERE tenant_id = %s ORDER BY 2", [acme.pk]
    )
    assert [searches for _, searches in bodies] == [1.0, 2.0]
    assert query_parse(orjson.loads(bodies[1][0])) == query_parse({"where": [["cost", "gt", 5]]})
    assert max(known(acme, "cost").hot_score, known(acme, "color").hot_score) == 1.0


def test_what_was_counted_fades(acme: Tenant) -> None:
    plane.write(acme, [entity("1", cost=1)])
    for weeks in (0, 1):
        counted = usage.TenantUsage()
        counted.names["cost"] = [8, 80.0]
        with tenant_bind(acme):
            usage_write(tenant_id=acme.pk, usage=counted, now=NOW + timedelta(weeks=weeks))
    found = rows_read(acme, "SELECT searches, search_ms FROM attribute_usage WHERE tenant_id = %s", [acme.pk])
    assert found == [(12.0, 120.0)]


# --- Proposals --------------------------------------------------------------------------------------------------------


def large(tenant: Tenant) -> None:
    """As if the tenant were large, a cost above 5 rare, and slow to search for."""
    plane.write(tenant, [entity(str(n), cost=n) for n in range(6)])
    with tenant_bind(tenant), connections["default"].cursor() as cursor:
        cursor.execute("DELETE FROM attribute_changes WHERE tenant_id = %s", [tenant.pk])
        cursor.execute(
            "UPDATE attribute_metadata SET value_types = '{\"number\": 1000000}', histogram = %s WHERE tenant_id = %s",
            [[n / 20 for n in range(101)], tenant.pk],
        )
        cursor.execute("INSERT INTO tenant_statistics VALUES (%s, 1000000, '{}', %s)", [tenant.pk, NOW])
        counted = usage.TenantUsage()
        counted.names["cost"] = [10, 5_000.0]
        counted.bodies[b'{"where":[["cost","gt",4.99999]],"limit":100}'] = [10, 5_000.0]
        usage_write(tenant_id=tenant.pk, usage=counted, now=NOW)
    statistics_forget()


def proposed(tenant: Tenant, *, days: int = 0) -> list[IndexProposal]:
    with tenant_bind(tenant):
        return index_proposals(tenant_id=tenant.pk, now=NOW + timedelta(days=days))


def test_an_index_that_would_save_time_is_proposed_with_what_it_saves_and_costs(acme: Tenant) -> None:
    large(acme)
    (proposal,) = proposed(acme)
    assert (proposal.name, proposal.action, proposal.searches, proposal.mean_ms) == ("cost", "build", 10, 500)
    assert proposal.after_ms < 50 and proposal.saved_share > 0.9
    assert proposal.values == 1_000_000 and proposal.megabytes > 10 and proposal.write_share == 1


def test_the_autopilot_builds_only_where_it_may(acme: Tenant, settings: Any) -> None:
    large(acme)
    with tenant_bind(acme):
        assert autopilot_run(tenant_id=acme.pk, now=NOW) == []
        settings.INDEX_AUTOPILOT, settings.INDEX_MAX = "auto", 0
        assert autopilot_run(tenant_id=acme.pk, now=NOW) == []
        settings.INDEX_MAX = 1
        assert autopilot_run(tenant_id=acme.pk, now=NOW) == ["cost"]
        assert autopilot_run(tenant_id=acme.pk, now=NOW) == []
    job = job_of(acme, "cost")
    assert (job.requested_by, job.is_open) == ("", True)


def test_a_cold_index_is_proposed_to_be_dropped_and_people_are_not_overruled(acme: Tenant, settings: Any) -> None:
    settings.INDEX_AUTOPILOT = "auto"
    large(acme)
    request(acme, "cost")
    work(acme)
    assert [proposal.action for proposal in proposed(acme, days=40)] == ["drop"]
    with tenant_bind(acme):
        assert autopilot_run(tenant_id=acme.pk, now=NOW + timedelta(days=40)) == []


def test_a_finished_index_says_what_searches_take_now(acme: Tenant) -> None:
    large(acme)
    request(acme, "cost")
    with tenant_bind(acme):
        proposals.index_run(tenant_id=acme.pk, seconds_max=20.0, clock=lambda: NOW)
    assert job_of(acme, "cost").detail.startswith("1 recent search, run again: 500.0 ms on average before")


def test_the_command_plans_builds_and_drops(acme: Tenant) -> None:
    large(acme)
    assert command("plan", tenant=acme).startswith("build cost: ")
    assert "cost: the index is whole" in command("build", "cost", "unknown", tenant=acme)
    assert "cost: the index is gone" in command("drop", "cost", tenant=acme)


def command(*arguments: str, tenant: Tenant) -> str:
    out = io.StringIO()
    call_command("attribute_index", *arguments, "--tenant", tenant.slug, stdout=out)
    return out.getvalue()
