"""A tenant in the shared leaf of a branch where another has partitions of its own is read whole, in slices by id.

From `tenant_id = … AND entity_id > …` PostgreSQL 18 concludes there that no partition holds such rows.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
import psycopg
import pytest
from django.conf import settings
from django.db import connection

from atlasco.lib.sql import sql_blocks
from entities.governance import jobs, work
from entities.indexing.jobs import index_request, index_work
from entities.search.containments import Document
from entities.search.plan import Plan
from entities.search.query import Condition, query_parse
from entities.search.run import search_run
from entities.search.statistics import statistics_forget, statistics_read
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tenants.services import tenant_export
from tests.entities import plane

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
IDS = [str(n) for n in range(7)]
_BY_ID = re.compile(r"\bentity_id\s*[<>]=?\s*[%\w{(:]")
_TABLES = re.compile(r"\b(entities|entity_attributes|entity_documents|entity_values)\b")
# Blocks that compare ids alone, and why they may.
_MAY = {
    "changes_slice": "attribute_job_changes is not partitioned",
    "lines_archived": "entity_keys has no ranges",
    "fingerprint": "only of a tenant with partitions of its own",
    "entities_page": "only of a tenant with partitions of its own",
    "entity_attributes_page": "only of a tenant with partitions of its own",
}


@pytest.fixture(autouse=True)
def neighbours(owner_db: psycopg.Connection[Any], acme: Tenant) -> Iterator[None]:
    """Two tenants with partitions of their own, before and after acme, in its branch."""
    (branch,) = owner_db.execute("SELECT tenant_bucket(%s)", [acme.pk]).fetchone() or ("",)
    found = owner_db.execute(
        "(SELECT -n FROM generate_series(1, 1000) n WHERE tenant_bucket(-n) = %(branch)s LIMIT 1) UNION ALL"
        " (SELECT n FROM generate_series(1000001, 1001000) n WHERE tenant_bucket(n) = %(branch)s LIMIT 1)",
        {"branch": branch},
    ).fetchall()
    tables = [
        (f"{parent}_beside_{place}", f"{parent}_p{branch}", tenant_id)
        for parent in ("entities", "entity_attributes")
        for place, (tenant_id,) in enumerate(found)
    ]
    assert len(tables) == 4
    for name, parent, tenant_id in tables:
        owner_db.execute(
            f"CREATE TABLE {name} PARTITION OF {parent}"
            f" FOR VALUES FROM ({tenant_id}, MINVALUE) TO ({tenant_id}, MAXVALUE)"
        )
    plane.write(acme, [plane.entity(key, cost=int(key)) for key in IDS])
    yield
    for name, _, _ in tables:
        owner_db.execute(f"DROP TABLE {name}")


@pytest.mark.parametrize("order_by", ["entity_id", "-entity_id", "updated_at", "-external_id"])
def test_every_page_of_a_search_is_found(acme: Tenant, order_by: str) -> None:
    found: list[str] = []
    cursor = None
    while True:
        query = query_parse({"order_by": order_by, "limit": 2, "cursor": cursor})
        with tenant_bind(acme):
            page = search_run(tenant_id=acme.pk, query=query, using="default", position="0/0")
        found += [row.external_id for row in page.entities]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert sorted(found) == IDS


@pytest.fixture
def stranger(owner_db: psycopg.Connection[Any], acme: Tenant) -> Iterator[int]:
    """Another tenant's id; its one entity lies in acme's partition, and looks like one of acme's."""
    (tenant_id,) = owner_db.execute(
        "SELECT n FROM generate_series(2000001, 2001000) n WHERE tenant_bucket(n) = tenant_bucket(%s) LIMIT 1",
        [acme.pk],
    ).fetchone() or (0,)
    owner_db.execute("SELECT set_config('atlasco.tenant_id', %s, false)", [str(tenant_id)])
    owner_db.execute(
        "INSERT INTO entities (tenant_id, entity_type, external_id, attributes)"
        " VALUES (%s, 'thing', 'theirs', '{\"cost\": 3}')",
        [tenant_id],
    )
    yield tenant_id
    owner_db.execute("DELETE FROM entities WHERE tenant_id = %s", [tenant_id])


@pytest.mark.parametrize("order_by", ["entity_id", "-updated_at"])
@pytest.mark.usefixtures("stranger")
def test_documents_looked_up_without_asking_whose_they_are_are_ones_own(acme: Tenant, order_by: str) -> None:
    """See Note [Whose documents]."""
    where = {"any": [["cost", "eq", n] for n in range(7)]}
    documents: tuple[Document, ...] = tuple({"cost": n} for n in range(7))
    # By itself, and beside ids that an index of names finds.
    for plan in (
        Plan("gin", documents=documents, is_alone=True),
        Plan("drive", documents=documents, named=(Condition("cost", "exists"),), is_alone=True),
    ):
        found: list[str] = []
        cursor = None
        while cursor is not None or not found:
            query = query_parse({"where": where, "order_by": order_by, "limit": 2, "cursor": cursor})
            with tenant_bind(acme):
                page = search_run(tenant_id=acme.pk, query=query, using="default", position="0/0", plan=plan)
            assert [name for name, _ in page.trace.steps] == [plan.name]
            found += [row.external_id for row in page.entities]
            cursor = page.next_cursor
        assert sorted(found) == IDS


def test_who_has_a_partition_nearly_to_itself_is_known(acme: Tenant, owner_db: psycopg.Connection[Any]) -> None:
    owner_db.execute("ANALYZE entities")
    found = []
    for entities in (7, 0):
        with tenant_bind(acme), connection.cursor() as cursor:
            cursor.execute("DELETE FROM tenant_statistics WHERE tenant_id = %s", [acme.pk])
            cursor.execute("INSERT INTO tenant_statistics VALUES (%s, %s, '{}', %s)", [acme.pk, entities, NOW])
            statistics_forget()
            found.append(statistics_read(tenant_id=acme.pk, names=(), using="default").is_alone)
    assert found == [True, False]


def test_an_export_holds_every_entity(acme: Tenant) -> None:
    with tenant_bind(acme):
        records = [orjson.loads(line) for line in tenant_export(tenant=acme, now=NOW)]
    assert sorted(record["data"]["external_id"] for record in records if record["record"] == "entities") == IDS


def test_a_rename_moves_every_value(acme: Tenant) -> None:
    with tenant_bind(acme):
        job = jobs.rename_start(
            tenant_id=acme.pk,
            name="cost",
            target="price",
            keep_alias=False,
            created_by="test",
            now=NOW,
            enqueue=lambda job: None,
        )
        work.attribute_job_run(tenant_id=acme.pk, job_id=job.job_id, clock=lambda: NOW)
    documents = {key: entity.document for (_, key), entity in plane.stored(acme).items()}
    assert documents == {key: {"price": int(key)} for key in IDS}


def test_a_rule_is_held_against_every_value(acme: Tenant) -> None:
    with tenant_bind(acme):
        job = jobs.rule_check_start(
            tenant_id=acme.pk,
            name="cost",
            conditions={"maximum": 4},
            created_by="test",
            now=NOW,
            enqueue=lambda job: None,
        )
        work.attribute_job_run(tenant_id=acme.pk, job_id=job.job_id, clock=lambda: NOW)
        job = jobs.job_get(tenant_id=acme.pk, job_id=job.job_id, using="default")
    assert (job.entities_done, job.result["violations"]) == (7, 2)


def test_an_index_holds_every_value(acme: Tenant) -> None:
    with tenant_bind(acme):
        index_request(tenant_id=acme.pk, names=["cost"], action="build", now=NOW, requested_by="ada")
        index_work(tenant_id=acme.pk, clock=lambda: NOW, seconds_max=20.0, batch=3)
    marked = plane.rows_read(acme, "SELECT count(*) FROM entity_attributes WHERE tenant_id = %s AND indexed", [acme.pk])
    assert marked == [(7,)]


def test_no_statement_compares_the_id_alone() -> None:
    """`(tenant_id, entity_id) > (…)` it must be. What looks like it is, is looked for in every statement of the app."""
    found = {
        name: text
        for path in sorted((settings.BASE_DIR / "entities" / "sql").glob("*.sql"))
        if not path.name[0].isdigit() and path.name != "schema.sql"
        for name, text in sql_blocks(path).items()
    }
    for path in sorted((settings.BASE_DIR / "entities").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant | ast.JoinedStr):
                found[f"{path.name}:{node.lineno}"] = ast.unparse(node)
    suspects = {
        name for name, text in found.items() if _TABLES.search(text) and _BY_ID.search(re.sub(r"--.*", "", text))
    }
    assert suspects - _MAY.keys() == set()
    assert _BY_ID.search("WHERE tenant_id = 1 AND e.entity_id >= 5") and not _BY_ID.search(
        "(tenant_id, entity_id) > (1, 5)"
    )
