"""What an admin would call administration stands in the audit log, however it was asked for."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from atlasco.lib import clock
from entities.imports.jobs import import_job_create
from tenants.audit import AuditFilter, audit_page
from tenants.binding import tenant_bind
from tests.api.client import Client

# What the history of an entity tells, value by value.
WRITES: Final = {
    "entities_create", "entities_update", "entities_delete", "entities_import", "entity_attributes_set",
    "entity_attributes_delete",
}  # fmt: skip
READS: Final = {"entities_search", "freshness_explain"}
CHANGING: Final = ("post", "put", "patch", "delete")
LINE: Final = b'{"entity_type": "lamp", "external_id": "1", "attributes": {"seats": 5}}\n'


def actions(client: Client) -> Counter[str]:
    with tenant_bind(client.tenant):
        entries, _ = audit_page(wanted=AuditFilter(), before=None, limit=1_000)
    return Counter(entry.action for entry in entries)


def import_draft(client: Client) -> str:
    """An upload that waits for somebody to say go, as a page makes it."""
    with tenant_bind(client.tenant):
        job = import_job_create(
            tenant_id=client.tenant.pk, chunks=[LINE], file_name="", mode="merge", created_by="test", now=clock.now(),
            enqueue=None,
        )  # fmt: skip
    return str(job.job_id)


def test_every_operation_that_administers_is_in_the_audit_log_once(acme: Client, globex: Client) -> None:
    acme.create("1", seats=5)
    waiting, thrown_away = import_draft(acme), import_draft(acme)
    asked: dict[str, tuple[str, str, dict[str, Any], str]] = {
        "imports_create": ("POST", "/imports/", {"data": LINE}, "import.start"),
        "imports_start": ("POST", f"/imports/{waiting}/start/", {"json": {}}, "import.start"),
        "imports_cancel": ("DELETE", f"/imports/{thrown_away}/", {}, "import.cancel"),
        "attributes_update": ("PATCH", "/attributes/seats/", {"json": {"unit": "1"}}, "attribute.describe"),
        "attribute_rules_set": ("PUT", "/attribute-rules/seats/", {"json": {"mode": "warn", "minimum": 0}}, "rule.set"),
        "attribute_rules_remove": ("DELETE", "/attribute-rules/seats/", {}, "rule.remove"),
        "attribute_aliases_set": ("PUT", "/attribute-aliases/chairs/", {"json": {"name": "seats"}}, "alias.set"),
        "attribute_aliases_remove": ("DELETE", "/attribute-aliases/chairs/", {}, "alias.remove"),
        "freshness_defaults_update": (
            "PATCH", "/freshness/defaults/", {"json": {"attributes": {"seats": {"tier": "REALTIME"}}}},
            "tenant.freshness",
        ),
    }  # fmt: skip
    document = acme.get("/schema/", headers={"Accept": "application/vnd.oai.openapi+json"}).body
    described = {
        methods[method]["operationId"]
        for path, methods in document["paths"].items()
        if not path.startswith(("/api/v1/alerts/", "/api/v1/analytics/"))
        for method in CHANGING
        if method in methods
    }
    assert described == asked.keys() | WRITES | READS
    before_others = actions(globex)
    for operation, (method, path, options, action) in asked.items():
        before = actions(acme)
        answer = acme.ask(method, path, **options)
        assert answer.status < 300, (operation, answer.content)
        assert actions(acme) - before == Counter([action]), operation
    acme.ask("PATCH", "/freshness/defaults/", {"attributes": {"seats": None}})
    assert actions(globex) == before_others
