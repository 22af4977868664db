"""What is to be done about the partition tree, said by a pure function."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from atlasco.lib.words import size_text
from entities.admin.partitions import branches_draw
from entities.bench.growth import exponent
from entities.partitions.plan import Action, months_wanted, plan_make
from entities.partitions.promotion import SLICE_ROWS_FIRST, SLICE_ROWS_MAX, slice_rows_next
from entities.partitions.tree import Leaf, SharedTenant, id_at, month_end, month_start
from tenants.models import Tenant

NEEDS_NO_SERVER = True
NOW = datetime(2026, 11, 25, tzinfo=UTC)
ACME = Tenant(id=1, slug="acme", status=Tenant.Status.ACTIVE)
GLOBEX = Tenant(id=2, slug="globex", status=Tenant.Status.ACTIVE)
SHARED = Leaf(3, None, "", 1_000_000, 100, 1_000, 5, None)


def leaf(month: str, **changes: object) -> Leaf:
    return replace(Leaf(3, 1, month, 1_000, 10, 100, 0, None), **changes)  # type: ignore[arg-type]  # Fields by name.


def planned(
    *leaves: Leaf, shared: tuple[SharedTenant, ...] = (), orphans: tuple[str, ...] = (), archive_months: int = 0
) -> list[Action]:
    return plan_make(
        leaves=leaves,
        shared=shared,
        orphans=orphans,
        tenants={1: ACME, 2: GLOBEX},
        promote_entities=1_000,
        archive_months=archive_months,
        now=NOW,
    )


def test_months_are_wanted_up_to_three_ahead_also_over_the_year() -> None:
    assert months_wanted(now=NOW) == ["202611", "202612", "202701", "202702"]


def test_a_tree_as_it_should_be_asks_for_nothing() -> None:
    months = ("old", "202611_1", "202611", "202612", "202701", "202702", "future")
    assert planned(SHARED, *(leaf(month) for month in months)) == []


def test_months_that_are_missing_ahead_are_made_and_nobodys_tables_dropped() -> None:
    actions = planned(SHARED, leaf("old"), leaf("202612"), leaf("future"), orphans=("entities_tenant_9",))
    assert [(action.kind, action.subject, action.month, action.automatic) for action in actions] == [
        ("month", "acme", "202701", True),
        ("month", "acme", "202702", True),
        ("drop", "entities_tenant_9", "", True),
    ]


def test_large_tenants_are_proposed_and_only_proposed() -> None:
    large = SharedTenant(2, "entities_p03_shared", 1_000, 5_000_000)
    actions = planned(SHARED, shared=(large, replace(large, tenant_id=1, entities=999), replace(large, tenant_id=7)))
    assert [(action.kind, action.subject, action.automatic) for action in actions] == [("promote", "globex", False)]
    assert "1,000 entities, 5.0 MB" in actions[0].detail


def test_cold_months_are_proposed_where_that_is_wished() -> None:
    leaves = [leaf(month) for month in ("old", "202601", "202605_2", "202611", "202612", "202701", "202702", "future")]
    assert planned(*leaves) == []
    assert [action.month for action in planned(*leaves, archive_months=6)] == ["202601"]
    assert [action.month for action in planned(*leaves, archive_months=5)] == ["202601", "202605_2"]
    empty = [leaf("202601", entities=0), *leaves[2:]]
    assert "202601" not in [action.month for action in planned(*empty, archive_months=5)]


def test_a_leaf_cools_with_the_age_of_its_month() -> None:
    found = {
        month: leaf(month).temperature(now=NOW) for month in ("future", "202611", "202610", "202607", "202601", "old")
    }
    assert found == {
        "future": "hot", "202611": "hot", "202610": "hot", "202607": "warm", "202601": "cold", "old": "cold",
    }  # fmt: skip
    assert SHARED.temperature(now=NOW) == "hot"


def test_months_and_ids_are_the_same_instants_as_in_sql() -> None:
    assert (month_start("202612_3"), month_end("202612")) == (
        datetime(2026, 12, 1, tzinfo=UTC),
        datetime(2027, 1, 1, tzinfo=UTC),
    )
    assert id_at(datetime(2024, 1, 1, 0, 0, 1, tzinfo=UTC)) == 1000 << 22


def test_the_largest_branch_fills_the_picture_and_every_leaf_can_be_pointed_at() -> None:
    branches = branches_draw(
        [SHARED, leaf("old", bytes=0), replace(SHARED, bucket=4, bytes=500_000)], tenants={}, now=NOW
    )
    assert [branch.number for branch in branches] == [3, 4]
    first, second = branches
    assert first.segments[0].width > 990 and first.segments[1].width >= 1
    assert second.segments[0].width < 501
    assert first.segments[1].label == "tenant 1, old: 0 B, about 10 entities, cold"


def test_sizes_read_as_people_say_them() -> None:
    assert [size_text(size) for size in (0, 999, 1_500, 15_000, 2_500_000_000, 3 * 10**12)] == [
        "0 B", "999 B", "1.5 kB", "15 kB", "2.5 GB", "3.0 TB",
    ]  # fmt: skip


def test_a_growth_exponent_is_the_power_of_the_size() -> None:
    assert round(exponent([1, 10, 100], [5, 5, 5]), 6) == 0
    assert round(exponent([1, 10, 100], [2, 20, 200]), 6) == 1
    assert round(exponent([100, 10_000], [3, 30]), 6) == 0.5


@pytest.mark.parametrize(("look_s", "pause_s"), [(0.0, 3.0), (0.5, 3.0), (20.0, 40.0)])
def test_slices_grow_or_shrink_until_their_pause_is_as_it_should_be(look_s: float, pause_s: float) -> None:
    """look_s: what a slice costs however small it is."""
    rows, taken = SLICE_ROWS_FIRST, list[tuple[int, float]]()
    for _ in range(20):
        taken.append((rows, look_s + rows / 80_000))
        rows = slice_rows_next(rows, taken)
    assert look_s + rows / 80_000 == pytest.approx(min(pause_s, look_s + SLICE_ROWS_MAX / 80_000), rel=0.02)
