"""Attribute statistics: how many distinct values, how many entities without one, which values are common.

People read them in the registry, and the search planner chooses by them. They are estimates with one exception: while a
tenant has at most SAMPLE_MAX entities every document is read, all figures are exact, and the registry's counts of types
are put right by the way.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

import orjson
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.backends.utils import CursorWrapper

from atlasco.lib.sql import sql_blocks
from entities.search.statistics import SAMPLED_FROM
from entities.services import attribute_changes_fold, registry_lock

log = logging.getLogger(__name__)

SQL: Final = sql_blocks(Path(__file__).parent / "sql" / "statistics.sql")

# An attribute is analysed again when this share of its values has changed, or a day after its last few changes.
CHANGED_SHARE: Final = 0.05
CHANGES_WAIT: Final = timedelta(days=1)
# Documents that one analysis reads: about two seconds.
SAMPLE_MAX: Final = 50_000
# Beyond this many entities even walking their ids takes seconds: then blocks are sampled.
WALK_MAX: Final = 5_000_000
COMMON_MAX: Final = 10
BUCKETS: Final = 100
# Entities that the planner of searches keeps at hand, to see how conditions go together.
PLANNER_SAMPLE: Final = 2_000
# As for ANALYZE: a wider value is taken for a text that nobody compares.
WIDE_BYTES: Final = 1_024

Method = Literal["all", "ranges", "blocks"]


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What one refresh did. attributes: analysed; documents: read; entities: the tenant's.

    is_exact: every document was read. Where it is not, the number of entities may be an estimate, too.
    """

    attributes: int = 0
    documents: int = 0
    entities: int = 0
    is_exact: bool = True


@dataclass(frozen=True, slots=True)
class _Due:
    """An attribute to analyse. pending: changes that this analysis sees; count: its values as the registry has them."""

    name: str
    pending: int
    count: int


@dataclass(frozen=True, slots=True)
class _Found:
    """What the documents read hold of an attribute. types: less what is not folded in yet; value_bytes: on average."""

    name: str
    sampled: int
    distinct: int
    singletons: int
    most_common: Any
    types: Any
    histogram: list[float] | None
    value_bytes: float | None


@dataclass(frozen=True, slots=True)
class _Sample:
    """The documents read, and what was found in them, by attribute. entities: about how many there are in all."""

    method: Method
    documents: int
    entities: int
    found: Mapping[str, _Found]


def statistics_refresh(
    *,
    tenant_id: int,
    now: datetime,
    force: bool = False,
    sample_max: int = SAMPLE_MAX,
    walk_max: int = WALK_MAX,
) -> Refreshed:
    """Analyse the bound tenant's attributes that are due, in one pass over its documents or a sample of them.

    force: all attributes are due. sample_max, walk_max: for tests.
    Safe to run twice and beside itself and writers: who comes second leaves at once, and changes that are reported
    meanwhile stay pending. Nothing due: one query, and nothing is read.
    """
    # By itself: the rows that it locks must not stay locked for as long as documents are read.
    attribute_changes_fold(tenant_id=tenant_id)
    with transaction.atomic(using=DEFAULT_DB_ALIAS), connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        if not registry_lock(tenant_id=tenant_id):
            return Refreshed()
        due = _due_read(cursor, tenant_id, now=now, force=force)
        if not due:
            return Refreshed()
        # Half a million values are sorted and counted: not on disk, where memory allows. What 10,000 names have in
        # common is hashed: PostgreSQL takes them for few, and would compare each with each.
        cursor.execute(
            "SET LOCAL work_mem = '64MB'; SET LOCAL statement_timeout = '5min'; SET LOCAL enable_nestloop = off"
        )
        sample = _sample_take(cursor, tenant_id, due, now=now, sample_max=sample_max, walk_max=walk_max)
        _write(cursor, tenant_id, due, sample, now=now)
        _planner_sample_draw(cursor, tenant_id, sample, now=now)
    log.info(
        "Attribute statistics refreshed.",
        extra={"attributes": len(due), "documents": sample.documents, "entities": sample.entities},
    )
    return Refreshed(len(due), sample.documents, sample.entities, is_exact=sample.method == "all")


def distinct_estimate(*, sampled: int, distinct: int, singletons: int, total: int) -> int:
    """How many distinct values `total` values have, of which `sampled` were seen, with `distinct` different ones.

    singletons: values seen exactly once. The estimator Duj1 of Haas and Stokes ("Estimating the number of classes in a
    finite population", JASA 1998), which PostgreSQL's ANALYZE uses too: what occurred only once in the sample stands
    for what was not seen. Exact where everything was seen; never less than was seen, nor more than there are.
    """
    total = max(total, sampled)
    if sampled == 0:
        return 0
    estimate = sampled * distinct / (sampled - singletons + singletons * sampled / total)
    return min(max(round(estimate), distinct), total)


def entities_estimate(*, documents: int, values_sampled: int, values_known: int, at_least: int) -> int:
    """About how many entities there are: values that the registry knows of, by values that an entity has on average."""
    if documents == 0 or values_sampled == 0:
        return at_least
    return max(round(values_known * documents / values_sampled), at_least)


def _due_read(cursor: CursorWrapper, tenant_id: int, *, now: datetime, force: bool) -> Sequence[_Due]:
    cursor.execute(
        SQL["attributes_due"],
        {"tenant_id": tenant_id, "force": force, "share": CHANGED_SHARE, "stale_before": now - CHANGES_WAIT},
    )
    return [_Due(*row) for row in cursor.fetchall()]


def _sample_take(
    cursor: CursorWrapper, tenant_id: int, due: Sequence[_Due], *, now: datetime, sample_max: int, walk_max: int
) -> _Sample:
    cursor.execute(SQL["entities_count"], {"tenant_id": tenant_id, "limit": walk_max + 1})
    counted = int(cursor.fetchone()[0])
    method: Method = "all" if counted <= sample_max else "ranges" if counted <= walk_max else "blocks"
    stride = max(-(-counted // sample_max), 1)
    at_least = max(counted, *(attribute.count for attribute in due), 1)
    cursor.execute(
        SQL["values_summarize"],
        {
            "tenant_id": tenant_id,
            "names": [attribute.name for attribute in due],
            "method": method,
            "stride": stride,
            "offset": int(now.timestamp()) % stride,  # Another part of the tenant each time.
            "percent": min(100.0, 100.0 * sample_max / at_least),
            "wide_bytes": WIDE_BYTES,
            "common_max": COMMON_MAX,
            "fractions": [bucket / BUCKETS for bucket in range(BUCKETS + 1)],
        },
    )
    rows = cursor.fetchall()
    documents = int(rows[0][0])
    found = {row[1]: _found(*row[1:]) for row in rows}
    if method == "blocks":
        counted = entities_estimate(
            documents=documents,
            values_sampled=sum(values.sampled for values in found.values()),
            values_known=sum(attribute.count for attribute in due),
            at_least=counted,
        )
    return _Sample(method, documents, counted, found)


def _found(name: str, sampled: int, distinct: int, singletons: int, common: str, types: str, *rest: Any) -> _Found:
    # JSON passes through as PostgreSQL wrote it: no number is touched.
    return _Found(name, sampled, distinct, singletons, orjson.Fragment(common), orjson.Fragment(types), *rest)


def _planner_sample_draw(cursor: CursorWrapper, tenant_id: int, sample: _Sample, *, now: datetime) -> None:
    """Write down how many entities there are, and some of them drawn at random, others each time."""
    cursor.execute(
        SQL["planner_sample_draw"],
        {
            "tenant_id": tenant_id,
            "now": now,
            "entities": sample.entities,
            "sample_max": PLANNER_SAMPLE,
            "stride": max(-(-sample.entities // PLANNER_SAMPLE), 1),
            "seed": int(now.timestamp()),
            "is_sampled": sample.entities >= SAMPLED_FROM,
            "by_blocks": sample.method == "blocks",
            # Ten times as many as needed: entities of one block were written together, and are alike.
            "percent": min(100.0, 1000.0 * PLANNER_SAMPLE / max(sample.entities, 1)),
        },
    )


def _write(cursor: CursorWrapper, tenant_id: int, due: Sequence[_Due], sample: _Sample, *, now: datetime) -> None:
    statistics = [_statistics(attribute, sample) for attribute in due]
    cursor.execute(
        SQL["statistics_write"], {"tenant_id": tenant_id, "now": now, "statistics": orjson.dumps(statistics).decode()}
    )
    if sample.entities:
        names = [attribute.name for attribute in due]
        cursor.execute(SQL["null_rates_write"], {"tenant_id": tenant_id, "entities": sample.entities, "names": names})


def _statistics(due: _Due, sample: _Sample) -> dict[str, Any]:
    """A row for `statistics_write`."""
    found = sample.found[due.name]
    share = found.sampled / sample.documents if sample.documents else 0.0
    is_exact = sample.method == "all"
    total = found.sampled if is_exact else max(due.count, round(share * sample.entities))
    return {
        "name": due.name,
        "cardinality": distinct_estimate(
            sampled=found.sampled, distinct=found.distinct, singletons=found.singletons, total=total
        ),
        "null_rate": 1 - share,
        "most_common": found.most_common,
        "histogram": found.histogram,
        "value_bytes": found.value_bytes,
        "value_types": found.types if is_exact else None,
        "pending_seen": due.pending,
    }
