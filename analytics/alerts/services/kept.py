"""What is kept of a tenant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from analytics.alerts.services.checking import rule_body
from analytics.alerts.services.firings import firings_read
from analytics.alerts.services.rules import rules_read
from atlasco.lib.clock import iso
from tenants.models import Tenant
from tenants.stores import TenantStore, rows_counter, rows_eraser, store_register

_PAGE: Final = 1_000


def stores_register() -> None:
    """Make the tables known. States only say where the rules stand with values that are exported."""
    exports = {"alert_rules": _rules_export, "alert_firings": _firings_export}
    for order, table in enumerate(("alert_firings", "alert_states", "alert_rules")):
        store_register(
            TenantStore(
                name=table,
                count=rows_counter(table),
                erase=rows_eraser(table),
                export=exports.get(table),
                order=140 + order,
            )
        )


def _rules_export(tenant: Tenant) -> Iterator[Mapping[str, Any]]:
    """Each rule as the API takes it. What a webhook's secret is derived from stays here."""
    for rule in rules_read(tenant_id=tenant.pk):
        yield {
            "rule_id": rule.rule_id,
            **rule_body(rule.wanted),
            "created_at": iso(rule.created_at),
            "updated_at": iso(rule.updated_at),
        }


def _firings_export(tenant: Tenant) -> Iterator[Mapping[str, Any]]:
    """Each firing, newest first."""
    before = None
    while page := firings_read(tenant_id=tenant.pk, before=before, limit=_PAGE):
        for firing in page:
            yield {
                "rule_id": firing.rule_id,
                "entity_type": firing.entity_type,
                "external_id": firing.external_id,
                "fired_at": iso(firing.fired_at),
                "value": firing.value,
                "noticed_at": iso(firing.noticed_at),
                "cleared_at": None if firing.cleared_at is None else iso(firing.cleared_at),
                "cleared_value": firing.cleared_value,
                "acknowledged_at": None if firing.acknowledged_at is None else iso(firing.acknowledged_at),
                "acknowledged_by": firing.acknowledged_by,
            }
        before = page[-1].firing_id
