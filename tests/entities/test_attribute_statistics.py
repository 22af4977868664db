"""What the registry says of values: exact for small tenants, estimated for large ones, never another tenant's."""

from __future__ import annotations

import io
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import psycopg
import pytest
from django.core.management import call_command
from django.db import connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from analytics.statistics import SQL, Refreshed, distinct_estimate, entities_estimate, statistics_refresh
from analytics.tasks import refresh_attribute_statistics
from entities.ingest.importer import import_run
from entities.models import AttributeMetadata, Entity
from entities.services import attribute_changes_fold, entity_delete, registry_lock
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tests.cluster import Cluster

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def write(tenant: Tenant, entities: Iterable[dict[str, Any]], *, start: int = 0) -> None:
    """Import entities e-0, e-1, … with these attributes."""
    lines = (
        orjson.dumps({"entity_type": "thing", "external_id": f"e-{number}", "attributes": attributes}) + b"\n"
        for number, attributes in enumerate(entities, start)
    )
    with tenant_bind(tenant):
        import_run(tenant_id=tenant.pk, chunks=lines, mode="merge", now=NOW, line_max_bytes=1 << 20)


def refresh(tenant: Tenant, *, now: datetime = NOW, **options: Any) -> Refreshed:
    with tenant_bind(tenant):
        return statistics_refresh(tenant_id=tenant.pk, now=now, **options)


def known(tenant: Tenant, name: str) -> AttributeMetadata:
    with tenant_bind(tenant):
        return AttributeMetadata.objects.get(tenant_id=tenant.pk, attribute_name=name)


def fold(tenant: Tenant) -> None:
    with tenant_bind(tenant):
        attribute_changes_fold(tenant_id=tenant.pk)


# --- Exact ------------------------------------------------------------------------------------------------------------


def test_a_small_tenants_figures_are_exact(acme: Tenant, globex: Tenant) -> None:
    write(acme, [{"color": "red"}, {"color": "red"}, {"color": "blue", "size": 3}, {}])
    write(globex, [{"color": "green"}])
    assert refresh(acme) == Refreshed(attributes=2, documents=4, entities=4, is_exact=True)
    color = known(acme, "color")
    assert (color.cardinality_estimate, color.null_rate, color.last_analyzed) == (2, 0.25, NOW)
    assert color.most_common == [["red", pytest.approx(2 / 3, abs=1e-6)], ["blue", pytest.approx(1 / 3, abs=1e-6)]]
    size = known(acme, "size")
    assert (size.cardinality_estimate, size.null_rate, size.most_common) == (1, 0.75, [[3, 1]])
    assert known(globex, "color").last_analyzed is None


def test_common_values_keep_their_json_type(acme: Tenant) -> None:
    write(acme, [{"v": value} for value in (1, 1.0, "1", True, "true", "", "")])
    refresh(acme)
    found = known(acme, "v")
    assert [(type(value), value) for value, _ in found.most_common] == [
        (str, ""),
        (int, 1),
        (str, "1"),
        (str, "true"),
        (bool, True),
    ]
    assert found.cardinality_estimate == 5
    assert found.value_types == {"number": 2, "string": 4, "boolean": 1}


def test_equal_instants_are_one_value(acme: Tenant) -> None:
    write(acme, [{"at": text} for text in ("2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", "2026-01-01")])
    refresh(acme)
    found = known(acme, "at")
    assert found.cardinality_estimate == 2
    assert found.value_types == {"timestamp": 2, "string": 1}
    assert found.most_common[0] == ["2026-01-01T00:00:00+00:00", pytest.approx(2 / 3, abs=1e-6)]


def test_wide_values_are_counted_and_never_listed(acme: Tenant) -> None:
    write(acme, [{"text": letter * 75_000} for letter in "aab"])
    refresh(acme)
    found = known(acme, "text")
    assert (found.cardinality_estimate, found.most_common) == (2, [])


def test_values_that_occur_once_are_listed_only_where_they_are_few(acme: Tenant) -> None:
    write(acme, [{"serial": number, "site": number // 2, "few": number % 3} for number in range(30)])
    refresh(acme)
    assert known(acme, "serial").most_common == []
    assert len(known(acme, "site").most_common) == 10
    assert len(known(acme, "few").most_common) == 3


def test_numbers_get_a_histogram_of_equally_filled_buckets(acme: Tenant) -> None:
    write(acme, [{"n": number**2} for number in range(1, 101)] + [{"n": "text"}])
    refresh(acme)
    histogram = known(acme, "n").histogram
    assert histogram is not None
    assert (len(histogram), histogram[0], histogram[50], histogram[-1]) == (101, 1, 2500, 10_000)
    assert histogram == sorted(histogram)


def test_names_of_any_kind_are_analysed(acme: Tenant) -> None:
    names = ["a:b c", "100%", "%s", '"', "ünï", "{}", "x" * 255]
    write(acme, [dict.fromkeys(names, 1)])
    assert refresh(acme).attributes == len(names)
    assert all(known(acme, name).cardinality_estimate == 1 for name in names)


# --- Incremental ------------------------------------------------------------------------------------------------------


def test_a_second_run_has_nothing_to_do(acme: Tenant) -> None:
    write(acme, [{"color": "red"}])
    refresh(acme)
    assert refresh(acme, now=NOW + timedelta(days=9)) == Refreshed()


def test_an_attribute_waits_until_enough_of_it_has_changed(acme: Tenant) -> None:
    write(acme, [{"color": "red", "size": number} for number in range(100)])
    refresh(acme)
    write(acme, [{"color": "blue"}] * 4)
    assert refresh(acme) == Refreshed()
    assert known(acme, "color").pending_changes == 4
    write(acme, [{"color": "blue"}], start=4)
    assert refresh(acme).attributes == 1
    color = known(acme, "color")
    assert (color.pending_changes, color.most_common) == (0, [["red", 0.95], ["blue", 0.05]])


def test_a_few_changes_are_seen_after_a_day(acme: Tenant) -> None:
    write(acme, [{"color": "red"}] * 100)
    refresh(acme)
    write(acme, [{"color": "blue"}])
    assert refresh(acme, now=NOW + timedelta(hours=23)) == Refreshed()
    assert refresh(acme, now=NOW + timedelta(hours=25)).attributes == 1


def test_new_entities_change_the_null_rate_of_attributes_they_lack(acme: Tenant) -> None:
    write(acme, [{"old": 1}] * 10)
    refresh(acme)
    write(acme, [{"new": 1}] * 10, start=10)
    assert refresh(acme).attributes == 1
    assert (known(acme, "old").null_rate, known(acme, "new").null_rate) == (0.5, 0.5)


def test_changes_that_come_during_the_analysis_stay_pending(acme: Tenant) -> None:
    write(acme, [{"color": "red"}] * 3)
    fold(acme)
    with tenant_bind(acme), connection.cursor() as cursor:
        # As if a folder had come between the reading and the writing.
        statistics_refresh(tenant_id=acme.pk, now=NOW)
        cursor.execute("UPDATE attribute_metadata SET pending_changes = pending_changes + 7, last_analyzed = NULL")
        row = {"name": "color", "cardinality": 1, "null_rate": 0, "most_common": [], "pending_seen": 5}
        cursor.execute(
            SQL["statistics_write"],
            {"tenant_id": acme.pk, "now": NOW, "statistics": orjson.dumps([row]).decode()},
        )
    assert known(acme, "color").pending_changes == 2


def test_an_attribute_that_nobody_has_any_more_is_empty(acme: Tenant) -> None:
    write(acme, [{"color": "red"}, {"size": 1}])
    refresh(acme)
    write(acme, [{"color": None}])
    refresh(acme)
    color = known(acme, "color")
    assert (color.cardinality_estimate, color.null_rate, color.most_common, color.value_types) == (0, 1, [], {})


def test_a_tenant_without_entities_is_no_trouble(acme: Tenant, globex: Tenant) -> None:
    assert refresh(acme) == Refreshed()
    write(acme, [{"color": "red"}])
    with tenant_bind(acme):
        entity_id = Entity.objects.get().entity_id
        entity_delete(tenant_id=acme.pk, entity_id=entity_id, expected_versions=None)
    assert refresh(acme).entities == 0
    assert known(acme, "color").null_rate == 1


# --- Counts -----------------------------------------------------------------------------------------------------------


def test_wrong_counts_are_put_right(acme: Tenant, globex: Tenant) -> None:
    for tenant in (acme, globex):
        write(tenant, [{"v": 1}, {"v": 2}, {"v": "text"}])
        fold(tenant)
    with tenant_bind(acme):
        AttributeMetadata.objects.update(value_types={"number": 99, "boolean": 1}, value_type="boolean")
    refresh(acme)
    assert known(acme, "v").value_types == {"number": 2, "string": 1}
    assert known(acme, "v").value_type == "number"


def test_counts_that_are_not_folded_in_yet_are_not_counted_twice(acme: Tenant, stack: Cluster) -> None:
    write(acme, [{"v": 1}])
    fold(acme)
    write(acme, [{"v": "one"}, {"v": 2}])
    # Somebody else holds the folding lock while we look: then we leave everything to them.
    with psycopg.connect(stack.database_url) as other:
        other.execute("SELECT pg_advisory_xact_lock(hashtext('attribute_changes_fold'), %s)", [acme.pk])
        assert refresh(acme) == Refreshed()
    with tenant_bind(acme), transaction.atomic(), connection.cursor() as cursor:
        assert registry_lock(tenant_id=acme.pk)
        cursor.execute(
            SQL["values_summarize"],
            {
                "tenant_id": acme.pk, "names": ["v"], "method": "all", "stride": 1, "offset": 0, "percent": 100.0,
                "wide_bytes": 1024, "common_max": 10, "fractions": [0.0, 1.0],
            },
        )  # fmt: skip
        types = orjson.loads(cursor.fetchone()[6])
    # The documents hold one string and one number; of these the registry knows one number.
    assert types == {"number": 1}
    refresh(acme)
    assert known(acme, "v").value_types == {"number": 1, "string": 1}


# --- Sampled ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("walk_max", [10_000, 1_000], ids=["ranges of ids", "blocks"])
def test_a_large_tenant_is_sampled(acme: Tenant, globex: Tenant, walk_max: int) -> None:
    count = 3_000
    write(acme, [{"unique": number, "half": number % 2 == 0, "word": f"w{number % 20}"} for number in range(count)])
    write(globex, [{"half": "never"}] * 50)
    refreshed = refresh(acme, sample_max=500, walk_max=walk_max)
    assert not refreshed.is_exact and 0 < refreshed.documents < count
    assert refreshed.entities == pytest.approx(count, rel=0.01)
    # All values were different, so as many are expected as there are.
    assert known(acme, "unique").cardinality_estimate == pytest.approx(count, rel=0.01)
    assert known(acme, "word").cardinality_estimate == 20
    half = known(acme, "half")
    assert {value for value, _ in half.most_common} == {True, False}
    assert half.null_rate == 0
    # A sample corrects no counts.
    assert half.value_types == {"boolean": count}


def test_samples_of_ranges_take_their_turn_through_the_tenant(acme: Tenant) -> None:
    write(acme, [{"n": number} for number in range(200)])
    seen: set[float] = set()
    for second in range(2):
        refreshed = refresh(acme, now=NOW + timedelta(seconds=second), sample_max=100, force=True)
        assert refreshed.documents == 100
        histogram = known(acme, "n").histogram
        assert histogram is not None
        seen |= {number // 10 % 2 for number in histogram}
    assert seen == {0, 1}


@given(
    classes=st.lists(st.integers(min_value=1, max_value=50), min_size=1, max_size=50),
    unseen=st.integers(min_value=0, max_value=10_000),
)
def test_an_estimate_lies_between_what_was_seen_and_what_there_is(classes: list[int], unseen: int) -> None:
    sampled, total = sum(classes), sum(classes) + unseen
    estimate = distinct_estimate(sampled=sampled, distinct=len(classes), singletons=classes.count(1), total=total)
    assert len(classes) <= estimate <= total
    if unseen == 0:
        assert estimate == len(classes)
    if all(count == 1 for count in classes):
        assert estimate == total


def test_nothing_seen_is_nothing_there() -> None:
    assert distinct_estimate(sampled=0, distinct=0, singletons=0, total=9) == 0
    assert entities_estimate(documents=0, values_sampled=0, values_known=5, at_least=7) == 7
    assert entities_estimate(documents=100, values_sampled=250, values_known=25_000, at_least=7) == 10_000


# --- Doors ------------------------------------------------------------------------------------------------------------


def test_the_task_goes_through_every_tenant(acme: Tenant, globex: Tenant) -> None:
    write(acme, [{"color": "red"}])
    write(globex, [{"size": 1}])
    assert refresh_attribute_statistics() >= 2
    assert refresh_attribute_statistics() == 0
    assert known(acme, "color").last_analyzed is not None
    assert known(globex, "size").last_analyzed is not None


def test_the_command_says_what_it_did(acme: Tenant, globex: Tenant) -> None:
    write(acme, [{"color": "red"}, {}])
    write(globex, [{"color": "red"}])
    assert run("--tenant", acme.slug) == f"{acme.slug}: 1 attributes analysed from all 2 entities\n"
    assert run("--tenant", acme.slug) == f"{acme.slug}: nothing to do\n"
    assert run("--tenant", acme.slug, "--force").count("1 attributes") == 1
    assert f"{globex.slug}: 1 attributes" in run()


def run(*options: str) -> str:
    out = io.StringIO()
    call_command("refresh_statistics", *options, stdout=out)
    return out.getvalue()
