"""A tenant in which people have worked: something of each kind that pages show, in each state that looks different."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connections

from analytics.alerts.services import rule_create, rule_parse
from analytics.statistics import statistics_refresh
from atlasco.lib import clock
from atlasco.lib.clock import to_us
from entities.browser.saved import Keeper, search_save
from entities.browser.state import state_of_body
from entities.bulk.edits import bulk_edit_create
from entities.bulk.run import bulk_edit_run
from entities.exports.jobs import export_job_create
from entities.exports.run import export_job_run
from entities.governance import jobs as attribute_jobs
from entities.governance import store
from entities.governance.work import attribute_job_run
from entities.imports import jobs as imports
from entities.imports.prepare import job_describe
from entities.imports.run import import_job_run
from entities.models import AttributeJob, BulkEdit, ExportJob, ImportJob
from tenants.binding import public_bind, tenant_bind
from tenants.members.models import Role, SavedSearch, User
from tenants.models import Tenant, TenantJob
from tenants.services import member_create, token_create
from tests.browser.data import aircraft, entities_write

FLEET_CSV = b"tail,seats,maker,delivered\nN901,149,Airbus,2019-03-01 10:00\nN902,many,Boeing,2020-07-09 08:30\n,12,,\n"
ODD_NAME = "run_550e8400-e29b-41d4-a716-446655440000"


@dataclass(frozen=True, slots=True)
class LivedIn:
    """What the arguments of pages may be: for each of their names, every value that is worth a look.

    queries: for paths that want parameters, or look otherwise with them.
    """

    arguments: dict[str, list[Any]]
    queries: dict[str, list[str]]


def lived_in(tenant: Tenant) -> LivedIn:
    """Fill the tenant, which has the members "alice" and "bob"; nothing is left for a worker to do."""
    now = clock.now()
    ids = entities_write(tenant, *(_one(number) for number in range(30)))
    entities_write(tenant, {"entity_type": "gate", "external_id": "A12", "attributes": {"open": True, ODD_NAME: 7}})
    token, _ = token_create(tenant=tenant, name="nightly import", now=now)
    with tenant_bind(tenant):
        alice, bob = (User.objects.get(username=name).pk for name in ("alice", "bob"))
        searched = _search(alice, now)
        imported, checked, waiting = _imports(tenant.pk, now)
        exported = _export(tenant.pk, now)
        edited, queued = _edits(tenant.pk, now)
        attribute = _attribute_jobs(tenant.pk, now)
        rule, firing = _alerts(tenant.pk, ids[0], now)
        statistics_refresh(tenant_id=tenant.pk, now=now)
    with public_bind():
        about = {"tenant_id": tenant.pk, "slug": tenant.slug, "created_at": now, "created_by": "admin-of-browsers"}
        done = {"started_at": now, "finished_at": now, "done": 412, "total": 412}
        jobs = [
            TenantJob.objects.create(
                kind="export", status="done", report={"entities": 31, "tokens": 1}, **about, **done
            ),
            TenantJob.objects.create(kind="export", status="failed", detail="The disk is full.", **about),
        ]
    question = 'type=aircraft&where=[["seats","ge",100],{"any":[["maker","eq","Airbus"],["wifi","eq",true]]}]'
    chosen = "&".join(f"id={entity_id}" for entity_id in ids[:3])
    named = ["name=seats", "name=maker", f"name={ODD_NAME}"]
    return LivedIn(
        arguments={
            "slug": [tenant.slug],
            "entity_id": ids[:1],
            "token_id": [token.pk],
            "member_id": [bob],
            "search_id": [searched.pk],
            "rule_id": [rule],
            "firing_id": [firing],
            "edit_id": [edited.edit_id, queued.edit_id],
            "suffix": ["csv"],
            "job_id": [],
            "imports/<uuid:job_id>": [job.job_id for job in (imported, checked, waiting)],
            "exports/<uuid:job_id>": [exported.job_id],
            "attributes/jobs/<uuid:job_id>": [job.job_id for job in attribute],
            "tenants/-/jobs/<int:job_id>": [job.pk for job in jobs],
        },
        queries={
            "attributes/one/": named,
            **{f"attributes/one/{what}/": named[:1] for what in ("rule", "promote", "alias", "remove")},
            "attributes/one/rename/": ["name=seats", "name=tail_no&target=tail_number"],
            "attributes/": ["", "q=nothing-is-called-that", "status=quarantined"],
            "entities/": ["", question, 'where=[["seats","gt","x"]]', "q=N0", "q=nobody", 'where=[["seats","eq",-1]]'],
            "entities/searches/new/": [question],
            "entities/exports/new/": [question],
            "entities/bulk/new/": [question, f"of=selected&{chosen}"],
            f"entities/{ids[0]}/edit/": ["", "name=seats", "name=note"],
            "analytics/": ["", "attribute=seats", "attribute=maker"],
            "alerts/": ["", "state=open"],
            "audit/": ["", "actor=nobody"],
        },
    )  # fmt: skip


def lived_on(tenant: Tenant, *, times: int) -> None:
    """So many more of everything that pages list."""
    now = clock.now()
    entities_write(tenant, *(_one(number) for number in range(30, 30 + 10 * times)))
    for number in range(times):
        token_create(tenant=tenant, name=f"token {number}", now=now)
        member_create(tenant=tenant, username=f"member-{number}", password="a-fresh-one-77", now=now)
    with tenant_bind(tenant):
        alice = User.objects.get(username="alice").pk
        for number in range(times):
            _search(alice, now, name=f"Search {number}")
            _imports(tenant.pk, now)
            _export(tenant.pk, now)
            _edits(tenant.pk, now)
            _alerts(tenant.pk, 1, now)
        statistics_refresh(tenant_id=tenant.pk, now=now)


def _one(number: int) -> dict[str, Any]:
    makers = ("Airbus", "Boeing", "Embraer")
    values: dict[str, Any] = {
        "seats": 70 + number * 7,
        "maker": makers[number % 3],
        "wifi": number % 4 == 0,
        "delivered": f"20{10 + number % 12}-03-0{1 + number % 9}T10:00:00Z",
        "tail_no" if number % 5 else "tail_number": f"T-{number}",
    }
    if not number:
        values |= {"note": "Repainted in spring. " * 40, "engine_temperature_at_take_off_celsius": 612.5, "empty": ""}
    return aircraft(f"N{number:03}", **values)


def _search(owner: int, now: datetime, name: str = "Large Airbuses") -> SavedSearch:
    return search_save(
        keeper=Keeper(user_id=owner, name="alice", role=Role.ADMIN),
        search=None,
        name=name,
        state=state_of_body({"entity_type": "aircraft", "where": [["seats", "ge", 200]]}, ["seats", "maker"]),
        is_shared=True,
        is_default=False,
        now=now,
    )


def _imports(tenant_id: int, now: datetime) -> tuple[ImportJob, ImportJob, ImportJob]:
    """One that was imported with lines left out, one checked, one waiting."""
    made = []
    for name in ("fleet.csv", "checked.csv", "waiting.csv"):
        job = imports.import_job_create(
            tenant_id=tenant_id, chunks=[FLEET_CSV], file_name=name, mode="merge", created_by="alice", now=now,
            enqueue=None, prepare=job_describe,
        )  # fmt: skip
        made.append(job)
    mapping = {
        "entity_type": "aircraft",
        "empty": "missing",
        "decimal": ".",
        "columns": {
            "tail": {"use": "external_id"},
            "seats": {"use": "attribute", "name": "seats", "type": "number"},
            "maker": {"use": "attribute", "name": "maker", "type": "string"},
            "delivered": {"use": "attribute", "name": "delivered", "type": "timestamp"},
        },
    }
    for job, is_dry in ((made[0], False), (made[1], True)):
        job_describe(job, file_format="csv", mapping=mapping)
        imports.import_job_change(tenant_id=tenant_id, job_id=job.job_id, options=job.options)
        imports.import_job_start(
            tenant_id=tenant_id, job_id=job.job_id, dry_run=is_dry, now=now, enqueue=lambda _: None
        )
        import_job_run(tenant_id=tenant_id, job_id=job.job_id, clock=clock.now)
    return made[0], made[1], made[2]


def _export(tenant_id: int, now: datetime) -> ExportJob:
    job = export_job_create(
        tenant_id=tenant_id, query={"entity_type": "aircraft", "where": [["maker", "eq", "Boeing"]]},
        columns=["seats", "maker"], format="csv", rows_expected=10, created_by="alice", now=now, enqueue=lambda _: None,
    )  # fmt: skip
    export_job_run(tenant_id=tenant_id, job_id=job.job_id, clock=clock.now)
    return job


def _edits(tenant_id: int, now: datetime) -> tuple[BulkEdit, BulkEdit]:
    """One that is done, one that was cancelled."""
    made = [
        bulk_edit_create(
            tenant_id=tenant_id, query={"where": [["maker", "eq", "Airbus"]]}, entity_ids=[],
            changes={"status": value, "wifi": None}, entities_total=10, created_by="alice", now=now,
            enqueue=lambda _: None,
        )
        for value in ("stored", "sold")
    ]  # fmt: skip
    bulk_edit_run(tenant_id=tenant_id, job_id=made[0].edit_id, clock=clock.now)
    BulkEdit.objects.filter(edit_id=made[1].edit_id).update(status="cancelled", finished_at=now)
    return made[0], made[1]


def _attribute_jobs(tenant_id: int, now: datetime) -> list[AttributeJob]:
    """A rule that was checked, near-duplicates that were found, a rename that is done, and one that failed."""
    told: dict[str, Any] = {"tenant_id": tenant_id, "created_by": "alice", "now": now, "enqueue": lambda _: None}
    conditions = {"types": ["number"], "maximum": 200}
    made = [
        attribute_jobs.rule_check_start(name="seats", conditions=conditions, **told),
        attribute_jobs.similar_start(**told),
        attribute_jobs.rename_start(name="delivered", target="delivered_at", keep_alias=True, **told),
        attribute_jobs.rule_check_start(name="maker", conditions={"types": ["string"]}, **told),
    ]
    for job in made[:3]:
        attribute_job_run(tenant_id=tenant_id, job_id=job.job_id, clock=clock.now)
    AttributeJob.objects.filter(job_id=made[3].job_id).update(status="failed", detail="The database was away.")
    store.rule_set(
        tenant_id=tenant_id, name="maker", mode="warn", conditions={"types": ["string"]}, updated_by="alice", now=now
    )
    return made


def _alerts(tenant_id: int, entity_id: int, now: datetime) -> tuple[int, int]:
    """A rule, and a firing of it that nobody has acknowledged, beside one that was cleared and seen."""
    wanted = {"name": "Engine too hot", "attribute": "engine_temperature_at_take_off_celsius", "operator": "gt",
              "threshold": 600, "clear_threshold": 580, "emails": ["ops@example.com"]}  # fmt: skip
    rule, _ = rule_create(tenant_id=tenant_id, rule=rule_parse(wanted), now=now)
    with connections["default"].cursor() as cursor:
        for lsn, cleared in ((1, now - timedelta(hours=1)), (2, None)):
            cursor.execute(
                "INSERT INTO alert_firings (tenant_id, rule_id, entity_id, entity_type, external_id, fired_lsn,"
                " fired_us, value, noticed_at, cleared_us, cleared_value, acknowledged_at, acknowledged_by)"
                " VALUES (%s, %s, %s, 'aircraft', 'N000', %s, %s, 612.5, %s, %s, %s, %s, %s) RETURNING firing_id",
                (
                    *(tenant_id, rule.rule_id, entity_id, lsn, to_us(now - timedelta(hours=lsn + 1))),
                    *(now - timedelta(hours=lsn + 1), cleared and to_us(cleared), cleared and 571.0),
                    *(cleared, "alice" if cleared else ""),
                ),
            )
            [firing] = cursor.fetchone()
    return rule.rule_id, firing
